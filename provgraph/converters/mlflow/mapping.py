"""What an MLflow store holds, as units: runs, logged models, registry entries, deletions.

Mapping version 1. What it claims: a run used the datasets and models that it logged as inputs, and made
the models that it logged as outputs or that name it as their source. A model derives from an input only
where MLflow says that it was trained on it (context `training` or `train`) or that it went in as a model.
Values of parameters and tags stay text, as MLflow keeps them. Derived from no documentation but the schema
of MLflow 2.0 to 3.17 and its REST API.

No I/O here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from provgraph import vocab
from provgraph.converters.contract import Reading, Unit, canonical_json
from provgraph.converters.mlflow import names
from provgraph.converters.mlflow.clean import Clean
from provgraph.converters.mlflow.metrics import Metrics, disagreements, number
from provgraph.converters.mlflow.stored import StoredDataset, StoredModel, StoredRun
from provgraph.errors import FormatError
from provgraph.frozen import replace
from provgraph.imported import Disagreement
from provgraph.records import (
    Agent,
    Entity,
    Evaluation,
    Generation,
    Invocation,
    Missing,
    Note,
    Retraction,
    Run,
    SourceCode,
    Usage,
)

OUR_TAGS: Final = "provgraph."
RUN_TAG: Final = "provgraph.run"
"""Set by the plugin: the run of ours inside which MLflow's run began."""

# Tags that become facts of their own.
_USER: Final = "mlflow.user"
_NAME: Final = "mlflow.runName"
_PARENT: Final = "mlflow.parentRunId"
_COMMIT: Final = "mlflow.source.git.commit"
_BRANCH: Final = "mlflow.source.git.branch"
_REPOSITORY: Final = "mlflow.source.git.repoURL"
_ENTRY: Final = "mlflow.source.name"
_NOTE: Final = "mlflow.note.content"
_CONTEXT: Final = "mlflow.data.context"
_MAPPED_TAGS: Final = frozenset(
    {_USER, _NAME, _PARENT, _COMMIT, _BRANCH, _REPOSITORY, _ENTRY, _NOTE}
)
# Tags that hold documents of MLflow's own, which the store says elsewhere too.
_RAW_TAGS: Final = frozenset({"mlflow.log-model.history", "mlflow.loggedArtifacts"})
_MAX_TAG: Final = 5000
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def run_units(run: StoredRun, reading: Reading) -> Iterator[Unit]:
    """Yield the unit of a run, and of its deletion.

    Raises:
        FormatError: nothing can be recorded of it; the message says why.
    """
    report = reading.report
    if run.status in names.UNFINISHED and not reading.takes_unfinished:
        report.waiting(
            "run",
            where=run.run_id,
            reason=f"{run.status} in MLflow; it is imported when it has ended, or with --unfinished",
        )
        return
    clean = Clean()
    run.params = clean.named(run.params)
    # What we wrote there ourselves (`provgraph.frameworks.mlflow`) is no fact of the source.
    inside = run.tags.get(RUN_TAG)
    run.tags = clean.named(
        {name: value for name, value in run.tags.items() if not name.startswith(OUR_TAGS)}
    )
    metrics = Metrics(run, report)
    record, places = _run(run, metrics, reading, clean)
    if record.parent is None and inside is not None and _UUID.fullmatch(inside):
        record = replace(record, parent=inside)
    report.mapped("run")
    report.mapped("parameter", len(run.params))
    yield Unit(
        key=f"mlflow/run/{run.run_id}",
        record=record,
        content=canonical_json(_content(run, metrics, places)),
        attachments=metrics.attachments,
        redacted=clean.count,
        disagreements=tuple(_run_disagreements(run, metrics.last)),
    )
    if run.lifecycle == "deleted":
        yield deletion(
            key=f"mlflow/run/{run.run_id}",
            target=vocab.run_iri(names.run_id(run.run_id)),
            what="run",
            at_ms=run.deleted_ms,
            otherwise_ms=run.end_ms if run.end_ms is not None else run.start_ms,
        )
        report.mapped("deletion")


def deletion(
    *, key: str, target: str, what: str, at_ms: int | None, otherwise_ms: int | None
) -> Unit:
    """Return the unit of a deletion: the thing is not to be relied on any more, and stays recorded."""
    at = names.time_of(at_ms)
    missing = [Missing(field="by", reason="MLflow does not keep who deleted something")]
    if at is None:
        at = names.time_of(otherwise_ms)
        missing.append(Missing(field="at", reason="MLflow does not keep when it was deleted"))
    if at is None:
        raise FormatError(f"deleted {what} without any time")
    return Unit(
        key=f"{key}/deletion",
        record=Retraction(
            id="", target=target, reason=f"{what} deleted in MLflow", at=at, missing=tuple(missing)
        ),
        content=canonical_json({"deleted": key}),
    )


def _run(
    run: StoredRun, metrics: Metrics, reading: Reading, clean: Clean
) -> tuple[Run, list[dict[str, Any]]]:
    report = reading.report
    missing: list[Missing] = []
    started, ended = names.time_of(run.start_ms), names.time_of(run.end_ms)
    if started is None:
        first = min((row[1] for rows in run.metrics.values() for row in rows[:1]), default=None)
        started = names.time_of(first) or ended
        if started is None:
            raise FormatError(
                f"no time at all (start_time {run.start_ms!r:.40}): a run without one cannot be put"
                " in order"
            )
        missing.append(
            Missing(field="start time", reason=f"MLflow has {run.start_ms!r:.40} for it")
        )
    if run.end_ms is not None and ended is None:
        missing.append(Missing(field="end time", reason=f"MLflow has {run.end_ms!r:.40} for it"))
    status, reason = names.STATUSES.get(run.status or ""), None
    if status is None:
        status, reason = "abandoned", f"its status in MLflow is {run.status!r:.40}"
    used, roles, places = _used(run, report, clean)
    generated = _generated(run, used, roles, report)
    tags, notes = _tags(run, report)
    user = run.tags.get(_USER) or run.user
    if not user:
        missing.append(Missing(field="owner", reason="MLflow names no user for this run"))
    project = reading.project or run.experiment
    record = Run(
        id=names.run_id(run.run_id),
        name=run.tags.get(_NAME) or run.name or run.run_id,
        project=project,
        experiment=run.experiment,
        owner=Agent(name=user) if user else None,
        status=status,
        reason=reason,
        started_at=started,
        ended_at=ended,
        duration_s=None if ended is None else max(0.0, (ended - started).total_seconds()),
        parent=names.run_id(run.tags[_PARENT]) if run.tags.get(_PARENT) else None,
        invocation=Invocation(entry_script=run.tags.get(_ENTRY)),
        source_code=_source_code(run),
        parameters=dict(run.params),
        metrics=metrics.last,
        series=tuple(metrics.series),
        tags=tags,
        used=used,
        generated=generated,
        evaluations=tuple(_evaluations(run, report)),
        notes=notes,
        missing=tuple(missing),
    )
    return record, places


def _tags(run: StoredRun, report: Any) -> tuple[dict[str, str], tuple[Note, ...]]:
    tags: dict[str, str] = {}
    for name, value in run.tags.items():
        if name in _MAPPED_TAGS:
            continue
        if name in _RAW_TAGS or len(value) > _MAX_TAG:
            where = f"run {run.run_id}, tag {name}"
            report.kept("tag", where=where, reason="a document, kept as it is in the source bytes")
        else:
            tags[name] = value
    report.mapped("tag", len(run.tags) - sum(name in _RAW_TAGS for name in run.tags))
    text = run.tags.get(_NOTE)
    return tags, (Note(text=text),) if text else ()


def _source_code(run: StoredRun) -> SourceCode | None:
    commit = run.tags.get(_COMMIT)
    if not commit:
        return None
    return SourceCode(
        repository=run.tags.get(_REPOSITORY),
        commit=commit,
        branch=run.tags.get(_BRANCH),
        missing=(
            Missing(
                field="is_dirty",
                reason="MLflow keeps the commit, and not whether files had been changed since",
            ),
        ),
    )


def _used(
    run: StoredRun, report: Any, clean: Clean
) -> tuple[tuple[Usage, ...], dict[Entity, str], list[dict[str, Any]]]:
    usages: list[Usage] = []
    roles: dict[Entity, str] = {}
    places: list[dict[str, Any]] = []
    for data in run.inputs:
        data.source = clean.text(data.source)
        entity = names.dataset_entity(
            data.name,
            data.digest,
            source=data.source,
            rows=_rows(data.profile),
            where=_where(data.source),
        )
        role = _role(data)
        usages.append(Usage(entity=entity, role=role))
        if role is not None:
            roles[entity] = role
        places.append(_dataset_content(data))
        if data.schema:
            report.kept(
                "dataset schema",
                where=f"run {run.run_id}, dataset {data.name}",
                reason="not mapped",
            )
    for model_id in run.model_inputs:
        entity = names.model_entity(model_id)
        usages.append(Usage(entity=entity, role="model"))
        roles[entity] = "model"
    report.mapped("dataset input", len(run.inputs))
    report.mapped("model input", len(run.model_inputs))
    return tuple(usages), roles, places


def _generated(
    run: StoredRun, used: tuple[Usage, ...], roles: dict[Entity, str], report: Any
) -> tuple[Generation, ...]:
    sources = tuple(
        dict.fromkeys(use.entity for use in used if roles.get(use.entity) in {"train", "model"})
    )
    known = {model.model_id: model for model in run.models}
    made = dict.fromkeys([*known, *(model_id for model_id, _ in run.outputs)])
    generations = []
    for model_id in made:
        model = known.get(model_id)
        entity = (
            names.model_entity(model_id)
            if model is None
            else names.model_entity(model_id, name=model.name, location=model.artifact_location)
        )
        generations.append(
            Generation(
                entity=entity,
                role="model",
                at=None if model is None else names.time_of(model.created_ms),
                derived_from=sources,
            )
        )
    report.mapped("model output", len(generations))
    return tuple(generations)


def _evaluations(run: StoredRun, report: Any) -> Iterator[Evaluation]:
    """Yield the last value of each metric of a model on a dataset; the others are kept raw."""
    last: dict[tuple[str, str, str | None, str | None], Any] = {}
    datasets = {(data.name, data.digest): data for data in run.inputs}
    for metric in run.model_metrics:
        key = metric.model_id, metric.name, metric.dataset_name, metric.dataset_digest
        if type(metric.value) is not float:
            report.refused(
                "model metric",
                where=f"model {metric.model_id}, metric {metric.name}",
                reason=f"expected a number, found {metric.value!r:.100}",
            )
            continue
        before = last.get(key)
        if before is None or (before.step, before.at_ms) <= (metric.step, metric.at_ms):
            last[key] = metric
    report.mapped("model metric", len(run.model_metrics))
    for (model_id, name, dataset, digest), metric in last.items():
        data, known = None, None
        if dataset is not None and digest is not None:
            known = datasets.get((dataset, digest))
            source = None if known is None else known.source
            data = names.dataset_entity(
                dataset,
                digest,
                source=source,
                rows=None if known is None else _rows(known.profile),
                where=_where(source),
            )
        yield Evaluation(
            model=names.model_entity(model_id),
            data=data,
            metric=name,
            value=metric.value,
            at=names.time_of(metric.at_ms),
            role=None if known is None else _role(known),
        )


def _run_disagreements(run: StoredRun, last: dict[str, float]) -> Iterator[Disagreement]:
    yield from disagreements(run, last)
    user = run.tags.get(_USER)
    if user and run.user and user != run.user:
        yield Disagreement(
            about=vocab.run_iri(names.run_id(run.run_id)),
            fact="user",
            first=run.user,
            first_place="the run",
            second=user,
            second_place=f"its tag {_USER}",
        )


def _content(run: StoredRun, metrics: Metrics, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "run_id": run.run_id,
        "name": run.name,
        "experiment_id": run.experiment_id,
        "user": run.user,
        "status": run.status,
        "start_time": run.start_ms,
        "end_time": run.end_ms,
        "artifact_uri": run.artifact_uri,
        "params": run.params,
        "tags": run.tags,
        "metrics": metrics.content,
        **run.others,
    }
    if inputs:
        content["inputs"] = inputs
    if run.model_inputs:
        content["model_inputs"] = run.model_inputs
    if run.outputs:
        content["outputs"] = sorted(run.outputs)
    if run.model_metrics:
        content["model_metrics"] = [
            [
                each.model_id,
                each.name,
                each.step,
                each.at_ms,
                number(each.value) if type(each.value) is float else each.value,
                each.dataset_name,
                each.dataset_digest,
            ]
            for each in run.model_metrics
        ]
    if run.models:
        content["models"] = sorted(_model_of_run(model) for model in run.models)
    return content


def _model_of_run(model: StoredModel) -> list[Any]:
    return [model.model_id, model.name, model.created_ms, model.artifact_location]


def _dataset_content(data: StoredDataset) -> dict[str, Any]:
    return {
        "name": data.name,
        "digest": data.digest,
        "source_type": data.source_type,
        "source": data.source,
        "schema": data.schema,
        "profile": data.profile,
        "tags": data.tags,
    }


def _role(data: StoredDataset) -> str | None:
    context = data.tags.get(_CONTEXT)
    return names.ROLES.get(context, context) if context else None


def _rows(profile: str | None) -> int | None:
    value = _member(profile, "num_rows")
    return value if type(value) is int and value >= 0 else None


def _where(source: str | None) -> str | None:
    for key in ("uri", "url", "path"):
        value = _member(source, key)
        if type(value) is str and value:
            return value
    return None


def _member(text: str | None, key: str) -> Any:
    if not text or text[0] != "{":
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value.get(key) if type(value) is dict else None
