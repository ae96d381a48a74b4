"""Run by an interpreter with MLflow: records runs, and prints what MLflow then has of them as JSON."""

import json
import sys
import warnings

warnings.simplefilter("ignore")
import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.tracking.context.registry import (  # noqa: E402
    _run_context_provider_registry as registry,
)

from provgraph.frameworks.mlflow_context import RunContext  # noqa: E402

store, artifacts = sys.argv[1:]
# As its entry point does where provgraph is installed beside MLflow.
if not any(type(each).__name__ == "RunContext" for each in registry):
    registry.register(RunContext)
mlflow.set_tracking_uri(store)
client = MlflowClient()
experiment = mlflow.create_experiment("live", artifact_location=artifacts)
client.create_registered_model("live")
with mlflow.start_run(experiment_id=experiment, run_name="one") as run:
    mlflow.log_param("depth", 6)
    for step in range(3):
        mlflow.log_metric("loss", 1 / (1 + step), step=step)
    model = mlflow.create_external_model(name="m", source_run_id=run.info.run_id)
    mlflow.log_metric("accuracy", 0.9, model_id=model.model_id)
    client.create_model_version("live", f"models:/{model.model_id}", run_id=run.info.run_id)
client.create_model_version("live", f"models:/{model.model_id}", run_id=run.info.run_id)

import provgraph  # noqa: E402

with provgraph.run("around") as around:
    with mlflow.start_run(experiment_id=experiment, run_name="inside") as inside:
        pass
found = client.get_run(run.info.run_id)
print(
    json.dumps(
        {
            "run": run.info.run_id,
            "tags": dict(found.data.tags),
            "versions": [dict(each.tags) for each in client.search_model_versions("name = 'live'")],
            "document": mlflow.artifacts.load_text(
                f"{found.info.artifact_uri}/provgraph/record.jsonld"
            ),
            "around": around.id,
            "inside": dict(client.get_run(inside.info.run_id).data.tags),
            "inside_run": inside.info.run_id,
        }
    )
)
