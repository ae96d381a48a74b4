"""Make a small MLflow store with MLflow itself, and print it as SQL: `python make_mlflow_store.py > …`.

Run by hand with MLflow 3.17.2, when a newer schema is to be tested against; the tests load the SQL.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import tempfile
import warnings
from pathlib import Path


def main() -> None:
    """Record, register, delete, and dump."""
    import mlflow
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import AssessmentSource, LoggedModelInput, LoggedModelOutput

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp())
    os.chdir(folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    client = MlflowClient()
    experiment = mlflow.create_experiment(
        "churn", artifact_location=f"{folder}/churn", tags={"team": "retention"}
    )
    frame = pd.DataFrame({"age": range(20), "left": [0, 1] * 10})
    train = mlflow.data.from_pandas(
        frame, source="s3://data/train.csv", name="train", targets="left"
    )
    held_out = mlflow.data.from_pandas(frame[::2], source="s3://data/test.csv", name="held-out")
    commit = {
        "mlflow.source.git.commit": "5d41402abc4b2a76b9719d911017c592aabbccdd",
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.repoURL": "https://github.com/example/churn",
        "mlflow.note.content": "first model with the new data",
        "mlflow.user": "ada",
        "mlflow.source.name": "train.py",
    }
    with mlflow.start_run(experiment_id=experiment, run_name="base") as base:
        base_model = mlflow.create_external_model(name="base-model", source_run_id=base.info.run_id)
        client.log_outputs(base.info.run_id, [LoggedModelOutput(base_model.model_id, 0)])
    with mlflow.start_run(experiment_id=experiment, run_name="train", tags=commit) as run:
        mlflow.log_params({"depth": 6, "rate": 0.1, "api_key": "hunter2hunter2"})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (1 + step), step=step)
        mlflow.log_input(train, context="training")
        mlflow.log_input(held_out, context="eval")
        client.log_inputs(run.info.run_id, models=[LoggedModelInput(base_model.model_id)])
        model = mlflow.create_external_model(
            name="churn-model",
            source_run_id=run.info.run_id,
            params={"depth": "6"},
            tags={"kind": "trees"},
        )
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 4)])
        mlflow.log_metric("accuracy", 0.91, model_id=model.model_id, dataset=held_out)
        mlflow.log_metric("accuracy_train", 0.95, model_id=model.model_id, dataset=train)
        mlflow.log_metric("unstable", float("nan"))
        with mlflow.start_run(nested=True, experiment_id=experiment, run_name="fold 1"):
            mlflow.log_metric("auc", 0.88)
    with mlflow.start_run(experiment_id=experiment, run_name="mistake") as mistake:
        mlflow.log_param("depth", 60)
    client.delete_run(mistake.info.run_id)
    failed = client.create_run(experiment, run_name="failed")
    client.set_terminated(failed.info.run_id, status="FAILED")
    client.create_run(experiment, run_name="going on")
    uri = f"models:/{model.model_id}"
    client.create_registered_model(
        "churn", tags={"owner": "retention"}, description="who will leave"
    )
    for _ in range(3):
        client.create_model_version("churn", uri, run_id=run.info.run_id, description="trees")
    client.set_registered_model_alias("churn", "champion", 2)
    client.transition_model_version_stage("churn", "1", "Production")
    client.set_model_version_tag("churn", "2", "checked", "yes")
    client.delete_model_version("churn", "3")
    mlflow.set_experiment(experiment_id=experiment)
    for value in (True, False, True, True):
        span = mlflow.start_span_no_context("predict")
        span.end()
        mlflow.flush_trace_async_logging()
        client.set_trace_tag(span.trace_id, "n", str(value))
        mlflow.log_feedback(
            trace_id=span.trace_id,
            name="correct",
            value=value,
            source=AssessmentSource(source_type="HUMAN", source_id="grace"),
        )
        traces.append(span.trace_id)
    database = sqlite3.connect(folder / "mlflow.db")
    database.executemany(
        "INSERT OR REPLACE INTO trace_request_metadata (key, value, request_id) VALUES (?, ?, ?)",
        [("mlflow.modelId", model.model_id, trace) for trace in traces],
    )
    for line in database.iterdump():
        sys.stdout.write(line.replace(str(folder), "/srv/mlflow") + "\n")


traces: list[str] = []

if __name__ == "__main__":
    main()
