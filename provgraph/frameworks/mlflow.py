"""MLflow's runs, recorded as they end: one line in a training script, autologging included.

    import provgraph.frameworks.mlflow
    provgraph.frameworks.mlflow.record_runs()

When a run ends, what MLflow has of it is read through its own client, mapped as an import maps it, and sealed
together with what this process knows besides: its environment, how it was started, and the state of its
source code. Then the run, and every registered version of its models, get the record's IRI and digest as tags,
and the run the sealed document as artifact `provgraph/record.jsonld`, which anyone can verify. A later
`provgraph import` of the store finds the run recorded.

Nothing of this raises into a run: what fails is said once on standard error.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from provgraph.capture.facts import decode
from provgraph.capture.recorder import say
from provgraph.capture.surroundings import automatic_facts, environment_fact
from provgraph.converters.contract import Reading, Unit
from provgraph.converters.mlflow import mapping
from provgraph.converters.mlflow.stored import (
    Row,
    StoredDataset,
    StoredModel,
    StoredModelMetric,
    StoredRun,
)
from provgraph.converters.report import Report
from provgraph.digests import sha256_bytes
from provgraph.export.jsonld import secured_document, to_bytes
from provgraph.frozen import replace
from provgraph.records import Environment, Invocation, Run, SourceCode
from provgraph.service.home import readable_ledger
from provgraph.service.importing import record_units
from provgraph.settings import load

RECORD_TAG: Final = "provgraph.record"
DIGEST_TAG: Final = "provgraph.digest"
ARTIFACT: Final = "provgraph/record.jsonld"
_MARK: Final = "_provgraph_records"


def record_runs() -> None:
    """Have every run of MLflow in this process recorded when it ends; again, it changes nothing.

    Raises:
        ImportError: MLflow is not installed.
    """
    from mlflow import MlflowClient

    if getattr(MlflowClient, _MARK, False):
        return
    setattr(MlflowClient, _MARK, True)
    MlflowClient.set_terminated = _after(MlflowClient.set_terminated, _ended)
    MlflowClient.create_model_version = _after(MlflowClient.create_model_version, _versioned)
    # What the fluent API calls, where the client has it.
    if hasattr(MlflowClient, "_create_model_version"):
        MlflowClient._create_model_version = _after(MlflowClient._create_model_version, _versioned)


def record_run(client: Any, run_id: str) -> str | None:
    """Record one run that has ended, and link the record back; return the IRI of the record."""
    stored = _stored(client, client.get_run(run_id))
    units = list(mapping.run_units(stored, Reading(report=Report())))
    if not units:
        return None
    settings = load(os.environ)
    found = record_units(settings, "mlflow", [_with_surroundings(units[0]), *units[1:]])
    record = found[0]
    with readable_ledger(settings) as ledger:
        index = ledger.find(record)
        assert index is not None, "it was recorded just now"
        stands = ledger.read(index)
    digest = str(sha256_bytes(stands.graph_nq))
    document = secured_document(
        stands.graph_nq, proof_nq=stands.proof_nq, proof_value=stands.proof_value
    )
    client.set_tag(run_id, RECORD_TAG, record)
    client.set_tag(run_id, DIGEST_TAG, digest)
    for version in client.search_model_versions(f"run_id = '{run_id}'"):
        _tag_version(client, version, record, digest)
    client.log_text(run_id, to_bytes(document).decode("utf-8"), ARTIFACT)
    return record


# ---- hooks -----------------------------------------------------------------------------------------
def _after(
    method: Callable[..., Any], then: Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], None]
) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapped(client: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(client, *args, **kwargs)
        try:
            then(client, result, args, kwargs)
        except Exception as error:
            say(f"the run of MLflow is not recorded: {type(error).__name__}: {error}")
        return result

    return wrapped


def _ended(client: Any, _result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    run_id = args[0] if args else kwargs["run_id"]
    record_run(client, run_id)


def _versioned(client: Any, version: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    """Link a version that is registered after its run has ended; one before is linked at its end."""
    if not version.run_id:
        return
    tags = client.get_run(version.run_id).data.tags
    if RECORD_TAG in tags:
        _tag_version(client, version, tags[RECORD_TAG], tags[DIGEST_TAG])


def _tag_version(client: Any, version: Any, record: str, digest: str) -> None:
    client.set_model_version_tag(version.name, str(version.version), RECORD_TAG, record)
    client.set_model_version_tag(version.name, str(version.version), DIGEST_TAG, digest)


# ---- what this process knows besides -----------------------------------------------------------------
def _with_surroundings(unit: Unit) -> Unit:
    import dataclasses

    record = unit.record
    if not isinstance(record, Run):
        return unit
    facts = dict(automatic_facts(os.environ, sys.argv, time.monotonic()))
    invocation = decode(Invocation, facts["invocation"]().fact["value"])
    source = decode(SourceCode, facts["source"]().fact["value"])
    commit = None if record.source_code is None else record.source_code.commit
    return dataclasses.replace(
        unit,
        record=replace(
            record,
            invocation=invocation,
            environment=decode(Environment, json.loads(environment_fact().fact["text"])),
            # Only where it is the commit that MLflow saw: a run may be ended by another process.
            source_code=source if commit in {None, source.commit} else record.source_code,
        ),
    )


# ---- what MLflow has of it ---------------------------------------------------------------------------
def _stored(client: Any, run: Any) -> StoredRun:
    info, data = run.info, run.data
    stored = StoredRun(
        run_id=info.run_id,
        name=info.run_name,
        experiment_id=info.experiment_id,
        experiment=client.get_experiment(info.experiment_id).name,
        user=info.user_id or None,
        status=info.status,
        start_ms=info.start_time,
        end_ms=info.end_time,
        lifecycle=info.lifecycle_stage,
        artifact_uri=info.artifact_uri,
        params=dict(data.params),
        tags=dict(data.tags),
        metrics={name: _history(client, info.run_id, name) for name in data.metrics},
    )
    for item in getattr(run.inputs, "dataset_inputs", None) or ():
        dataset = item.dataset
        stored.inputs.append(
            StoredDataset(
                name=dataset.name,
                digest=dataset.digest,
                source_type=dataset.source_type,
                source=dataset.source,
                schema=dataset.schema,
                profile=dataset.profile,
                tags={tag.key: tag.value for tag in item.tags},
            )
        )
    stored.inputs.sort(key=lambda each: (each.name, each.digest))
    inputs = getattr(run.inputs, "model_inputs", None) or ()
    stored.model_inputs = sorted(item.model_id for item in inputs)
    outputs = getattr(getattr(run, "outputs", None), "model_outputs", None) or ()
    stored.outputs = [(item.model_id, item.step) for item in outputs]
    _models(client, stored)
    return stored


def _models(client: Any, stored: StoredRun) -> None:
    """Read the logged models of a run, and the metrics that it logged for any model."""
    if not hasattr(client, "search_logged_models"):
        return  # MLflow 2
    found = client.search_logged_models(
        [stored.experiment_id], filter_string=f"source_run_id = '{stored.run_id}'"
    )
    seen = {model.model_id: model for model in found}
    for model_id in [*stored.model_inputs, *(model_id for model_id, _ in stored.outputs)]:
        if model_id not in seen:
            seen[model_id] = client.get_logged_model(model_id)
    for model in seen.values():
        if model.source_run_id == stored.run_id:
            stored.models.append(
                StoredModel(
                    model_id=model.model_id,
                    name=model.name,
                    artifact_location=model.artifact_location,
                    source_run=model.source_run_id,
                    created_ms=model.creation_timestamp,
                    params=dict(model.params or {}),
                )
            )
        stored.model_metrics += [
            StoredModelMetric(
                model_id=model.model_id,
                name=metric.key,
                at_ms=metric.timestamp,
                step=metric.step,
                value=float(metric.value),
                dataset_name=metric.dataset_name,
                dataset_digest=metric.dataset_digest,
            )
            for metric in model.metrics or ()
            if metric.run_id == stored.run_id
        ]
    stored.model_metrics.sort(key=lambda each: (each.model_id, each.name, each.step, each.at_ms))


def _history(client: Any, run_id: str, name: str) -> list[Row]:
    rows = [
        (metric.step, metric.timestamp, float(metric.value))
        for metric in client.get_metric_history(run_id, name)
    ]
    return sorted(rows, key=lambda row: (row[0], row[1], row[2] != row[2], row[2]))
