"""Recording the workload with MLflow: its client API on SQLite, in this process, at its defaults.

What MLflow's client API has for each fact: create_run with tags, log_inputs with digests and
contexts, log_batch for parameters and metrics (one call, its cheapest way), create_logged_model,
log_outputs and finalize_logged_model for the model, set_terminated. No file is logged as an
artifact, and no version is registered, which would cost it more.

MLflow names digests with at most 36 characters, so it gets the first 32 hex digits. Its telemetry
is off, so nothing is sent anywhere.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from tests.bench.workload import EXPERIMENT, MODEL, OWNER, PROJECT, Facts

# MLflow takes at most this many metric values in one call.
BATCH_METRICS = 1000
_DIGEST_CHARACTERS = 32


class MLflowRecorder:
    """A client of a new MLflow store in a folder."""

    def __init__(self, folder: Path) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        import mlflow
        from mlflow import MlflowClient, entities

        folder.mkdir(parents=True)
        self.version: str = mlflow.__version__
        self.path = folder / "mlflow.db"
        self._entities: Any = entities
        self._client = MlflowClient(f"sqlite:///{self.path}")
        self._experiment = self._client.create_experiment(
            EXPERIMENT, artifact_location=str(folder / "artifacts")
        )

    def record(self, facts: Facts, *, losses: list[float] | None = None) -> None:
        """Record one run; `losses` go in batches, as many in a call as MLflow takes."""
        client, entities = self._client, self._entities
        tags = {"mlflow.user": OWNER, "project": PROJECT, **facts.tags}
        run_id = client.create_run(self._experiment, run_name="train", tags=tags).info.run_id
        client.log_inputs(run_id, datasets=[self._input(data) for data in facts.datasets])
        now_ms = int(time.time() * 1000)
        client.log_batch(
            run_id,
            metrics=[entities.Metric(name, v, now_ms, 0) for name, v in facts.metrics.items()],
            params=[entities.Param(name, str(v)) for name, v in facts.parameters.items()],
        )
        points = [entities.Metric("loss", v, now_ms, step) for step, v in enumerate(losses or ())]
        for start in range(0, len(points), BATCH_METRICS):
            client.log_batch(run_id, metrics=points[start : start + BATCH_METRICS])
        model = client.create_logged_model(
            self._experiment,
            name=MODEL,
            source_run_id=run_id,
            tags={
                "uri": facts.model.uri,
                "sha256": facts.model.sha256,
                "version": facts.version,
            },
        )
        client.log_outputs(run_id, models=[entities.LoggedModelOutput(model.model_id, 0)])
        client.finalize_logged_model(model.model_id, "READY")
        client.set_terminated(run_id)

    def _input(self, data: Any) -> Any:
        entities = self._entities
        dataset = entities.Dataset(
            name=data.role,
            digest=data.sha256[:_DIGEST_CHARACTERS],
            source_type="s3",
            source=json.dumps({"uri": data.uri}),
        )
        return entities.DatasetInput(dataset, [entities.InputTag("mlflow.data.context", data.role)])
