"""Entries of MLflow's registries as units: logged models, registered models, versions, experiments.

An entry says what MLflow said when it was imported. MLflow keeps no history of stages and aliases: each
state that an import saw is a record of its own, which supersedes the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from provgraph import terms, vocab
from provgraph.converters.contract import Reading, Unit, canonical_json
from provgraph.converters.mlflow import names
from provgraph.converters.mlflow.clean import Clean
from provgraph.converters.mlflow.mapping import OUR_TAGS, deletion
from provgraph.converters.mlflow.stored import (
    StoredExperiment,
    StoredModel,
    StoredRegistered,
    StoredVersion,
)
from provgraph.imported import Disagreement, RegistryEntry
from provgraph.records import Agent, Entity, Evaluation, Missing

DELETED_STAGE = "Deleted_Internal"
_UNDATED = "MLflow keeps neither when nor by whom it was set"


def model_units(model: StoredModel, reading: Reading) -> Iterator[Unit]:
    """Yield the entry of a logged model, and its deletion."""
    clean = Clean()
    model.params, model.tags = clean.named(model.params), clean.named(model.tags)
    entity = names.model_entity(model.model_id, name=model.name, location=model.artifact_location)
    where = f"logged model {model.model_id}"
    if model.params:
        reading.report.kept("model parameter", where=where, reason="its run has them too")
    key = f"mlflow/logged-model/{model.model_id}"
    yield _unit(
        key,
        RegistryEntry(
            id="",
            what="logged model",
            thing=entity,
            title=f"{model.name} ({model.model_id})",
            status=model.status,
            tags=model.tags,
            run=names.run_id(model.source_run) if model.source_run else None,
            evaluations=tuple(
                Evaluation(
                    model=entity,
                    data=None,
                    metric=each.name,
                    value=each.mean,
                    n=each.count,
                    implementation=f"mean of the assessments of traces ({each.source_type})",
                    at=names.time_of(each.last_ms),
                )
                for each in model.assessments
            ),
            by=_agent(model.tags.get("mlflow.user")),
            created_at=names.time_of(model.created_ms),
            updated_at=names.time_of(model.updated_ms),
        ),
        _content(model, "lifecycle"),
        clean,
    )
    reading.report.mapped("logged model")
    reading.report.mapped("assessment", sum(each.count for each in model.assessments))
    if model.lifecycle == "deleted":
        reading.report.mapped("deletion")
        yield deletion(
            key=key,
            target=names.model_iri(model.model_id),
            what="logged model",
            at_ms=None,
            otherwise_ms=model.updated_ms or model.created_ms,
        )


def version_units(version: StoredVersion, reading: Reading) -> Iterator[Unit]:
    """Yield the entry of a version of a registered model, and its deletion."""
    clean = Clean()
    version.tags = clean.named(
        {name: value for name, value in version.tags.items() if not name.startswith(OUR_TAGS)}
    )
    version.source = clean.text(version.source)
    name = _name(version.name, version.workspace)
    entity = _version_entity(version, name)
    # With its time of creation: another store can have a version of that name too.
    key = (
        f"mlflow/model-version/{terms.segment(name)}/{terms.segment(version.version)}"
        f"@{version.created_ms}"
    )
    if version.stage == DELETED_STAGE:
        # MLflow empties the row: what it was is in the record of an earlier import, if there is one.
        reading.report.mapped("deletion")
        yield deletion(
            key=key,
            target=vocab.named_iri("model", reading.namespace, name, version.version),
            what=f"version {version.version} of {name}",
            at_ms=version.updated_ms,
            otherwise_ms=version.created_ms,
        )
        return
    stage = None if version.stage in {None, "None"} else version.stage
    missing = []
    if stage is not None:
        missing.append(Missing(field="time and author of the stage", reason=_UNDATED))
    if version.aliases:
        missing.append(Missing(field="time and author of the aliases", reason=_UNDATED))
    disagreements = []
    if version.run_id and version.model_run and version.run_id != version.model_run:
        disagreements.append(
            Disagreement(
                about=str(entity.uri),
                fact="run that made it",
                first=version.run_id,
                first_place=f"version {version.version} of {name}",
                second=version.model_run,
                second_place=f"the logged model {version.model_id}",
            )
        )
    run = version.run_id or version.model_run
    yield _unit(
        key,
        RegistryEntry(
            id="",
            what="model version",
            thing=entity,
            title=f"{name}:{version.version}",
            status=version.status,
            stage=stage,
            aliases=tuple(sorted(version.aliases)),
            description=version.description or None,
            tags=version.tags,
            run=names.run_id(run) if run else None,
            by=_agent(version.user),
            created_at=names.time_of(version.created_ms),
            updated_at=names.time_of(version.updated_ms),
            missing=tuple(missing),
        ),
        _content(version),
        clean,
        disagreements=tuple(disagreements),
    )
    reading.report.mapped("model version")
    reading.report.mapped("alias", len(version.aliases))


def registered_units(model: StoredRegistered, reading: Reading) -> Iterator[Unit]:
    """Yield the entry of a registered model."""
    clean = Clean()
    model.tags = clean.named(model.tags)
    name = _name(model.name, model.workspace)
    yield _unit(
        f"mlflow/registered-model/{terms.segment(name)}@{model.created_ms}",
        RegistryEntry(
            id="",
            what="registered model",
            title=name,
            description=model.description or None,
            aliases=tuple(f"{alias}={version}" for alias, version in sorted(model.aliases.items())),
            tags=model.tags,
            created_at=names.time_of(model.created_ms),
            updated_at=names.time_of(model.updated_ms),
        ),
        _content(model),
        clean,
    )
    reading.report.mapped("registered model")


def experiment_units(experiment: StoredExperiment, reading: Reading) -> Iterator[Unit]:
    """Yield the entry of an experiment."""
    clean = Clean()
    experiment.tags = clean.named(experiment.tags)
    yield _unit(
        f"mlflow/experiment/{terms.segment(experiment.experiment_id)}@{experiment.created_ms}",
        RegistryEntry(
            id="",
            what="experiment",
            title=experiment.name,
            status=experiment.lifecycle,
            description=experiment.tags.get("mlflow.note.content"),
            tags=experiment.tags,
            created_at=names.time_of(experiment.created_ms),
            updated_at=names.time_of(experiment.updated_ms),
        ),
        _content(experiment),
        clean,
    )
    reading.report.mapped("experiment")


def _version_entity(version: StoredVersion, name: str) -> Entity:
    if version.model_id:
        return names.model_entity(
            version.model_id,
            name=name,
            version=version.version,
            description=version.description or None,
        )
    return names.source_entity(
        version.source,
        name=name,
        version=version.version,
        description=version.description or None,
    )


def _unit(
    key: str,
    record: RegistryEntry,
    content: dict[str, Any],
    clean: Clean,
    *,
    disagreements: tuple[Disagreement, ...] = (),
) -> Unit:
    return Unit(
        key=key,
        record=record,
        content=canonical_json(content),
        redacted=clean.count,
        disagreements=disagreements,
    )


def _content(stored: Any, *without: str) -> dict[str, Any]:
    return {name: value for name, value in asdict(stored).items() if name not in without}


def _name(name: str, workspace: str) -> str:
    return name if workspace in {"", "default"} else f"{workspace}/{name}"


def _agent(name: str | None) -> Agent | None:
    return Agent(name=name) if name else None
