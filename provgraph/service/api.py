"""The public functions of `import provgraph`: a run, and the facts that come after it.

None of them raises into the caller's pipeline, save in strict mode (as under pytest): a fault is
said on the logger `provgraph`, and a fact that the ledger could not take is kept on disk for
`provgraph recover`. Heavy parts (ledger, keys) are loaded when the first record is sealed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provgraph.capture import things
from provgraph.capture.redact import redact
from provgraph.capture.run import Run, RunFactory, logger, new_run_id
from provgraph.capture.sinks import Receipt
from provgraph.capture.state import RunState
from provgraph.capture.things import Handle
from provgraph.errors import CaptureError, ProvgraphError
from provgraph.records import (
    Agent,
    Approval,
    Deployment,
    Entity,
    Missing,
    Note,
    Observation,
    Record,
    Retraction,
)
from provgraph.settings import Settings, is_strict, load

if TYPE_CHECKING:
    from provgraph.ledger.sqlite import Ledger

_lock = threading.Lock()


class _LazySink:
    """The embedded sink, whose ledger and keys are loaded when the first run is sealed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def journal_folder(self) -> Path:
        return self._settings.journal_folder

    def seal(self, state: RunState) -> Receipt:
        from provgraph.service.recording import LocalSink

        with _lock:
            return LocalSink(self._settings).seal(state)

    def last_run(self, *, name: str, project: str | None) -> str | None:
        from provgraph.service.recording import LocalSink

        with _lock:
            return LocalSink(self._settings).last_run(name=name, project=project)


def run(
    name: str,
    *,
    project: str | None = None,
    experiment: str | None = None,
    owner: str | None = None,
    plan: str | None = None,
    tags: Mapping[str, Any] | None = None,
    parent: str | Run | None = None,
    resume: str | bool = False,
    rank: int | None = None,
    world_size: int | None = None,
) -> RunFactory:
    """Record a run: `with provgraph.run("train") as run:`, or `@provgraph.run("train")`.

    When the block ends, all that it recorded is sealed and durable; `run.receipt` says where. A
    block that raises is recorded as failed, and its exception goes on as if nothing were here.

    Args:
        name: what this run does, in a word or two.
        project: the project it belongs to.
        experiment: groups the attempts at one thing.
        owner: who answers for it, best as an address; default is the setting `owner`.
        plan: the procedure it follows: a URL, or text.
        tags: labels to find it by.
        parent: the run, or its id, that this one is a part of; default is the run around it, also
            across processes.
        resume: the id of the run that this one goes on from; True for the latest run of this name
            and project that did not complete.
        rank: number of this process among world_size; default from torchrun, MPI, Slurm.
        world_size: how many processes share the work.
    """

    def make() -> Run:
        settings = _settings()
        sink = _LazySink(settings) if settings is not None and settings.enabled else None
        return Run(
            sink,
            name=name,
            project=project,
            experiment=experiment,
            owner=owner or (settings.owner or None if settings is not None else None),
            plan=plan,
            tags=tags,
            parent=parent,
            resume=resume,
            rank=rank,
            world_size=world_size,
            strict=settings is not None and is_strict(settings),
        )

    return RunFactory(make)


def deploy(
    model: Any,
    *,
    stage: str,
    target: str | None = None,
    by: str | None = None,
    on_approval: str | Receipt | None = None,
    replaces: str | Receipt | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record that a model was put to work.

    Args:
        model: `name:version`, name (its latest version), digest, path, or handle.
        stage: such as production, staging, shadow.
        target: where it runs, such as a URL or cluster name.
        by: who did it.
        on_approval: receipt or IRI of the approval that this rests on.
        replaces: receipt or IRI of the deployment that ends with this one.
        note: a remark.
    """

    def make(ledger: Ledger, at: datetime) -> Record:
        return Deployment(
            id=new_run_id(),
            model=_model(ledger, model),
            stage=stage,
            target=redact(target) if target else None,
            by=_agent(by),
            at=at,
            on_approval=_activity_iri("approval", on_approval),
            replaces=_activity_iri("deployment", replaces),
            notes=_notes(note, at),
            missing=_unknown_agent(by),
        )

    return _record("deploy", make)


def observe(
    model: Any,
    *,
    metric: str,
    value: Any,
    n: int | None = None,
    interval: tuple[float, float] | None = None,
    threshold: float | str | None = None,
    window: tuple[datetime, datetime] | None = None,
    data: Any = None,
    deployment: str | Receipt | None = None,
    by: str | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record what monitoring saw of a model at work.

    Args:
        model: as for `deploy`.
        metric: what was measured.
        value: the measured value.
        n: on how many examples.
        interval: (low, high).
        threshold: number or comparison; a bare number means at least, or at most for errors.
        window: (start, end) of the time observed; times without a zone count as UTC.
        data: the observed inputs, where they were kept: path, URI, table.
        deployment: receipt or IRI of the deployment observed.
        by: the person or system that observed.
        note: a remark.
    """

    def make(ledger: Ledger, at: datetime) -> Record:
        measured = things.metric_value(value)
        text, met = things.judge(metric, measured, threshold)
        observed = None
        if data is not None:
            observed = things.entity_of(data, default_kind="dataset", role=None, given={})
        return Observation(
            id=new_run_id(),
            model=_model(ledger, model),
            deployment=_activity_iri("deployment", deployment),
            metric=metric,
            value=measured,
            n=None if n is None else int(n),
            interval=None if interval is None else (float(interval[0]), float(interval[1])),
            threshold=text,
            threshold_met=met,
            window_start=None if window is None else _utc(window[0]),
            window_end=None if window is None else _utc(window[1]),
            data=observed,
            by=_agent(by),
            at=at,
            notes=_notes(note, at),
        )

    return _record("observe", make)


def approve(
    model: Any, *, by: str, meaning: str, stage: str | None = None, note: str | None = None
) -> Receipt | None:
    """Record that a person takes responsibility for a model.

    Args:
        model: as for `deploy`.
        by: who approves.
        meaning: what the approval says, such as "fit for production in the EU".
        stage: the stage that it is approved for.
        note: a remark.
    """

    def make(ledger: Ledger, at: datetime) -> Record:
        return Approval(
            id=new_run_id(),
            model=_model(ledger, model),
            by=Agent(name=by),
            meaning=redact(meaning),
            stage=stage,
            at=at,
            notes=_notes(note, at),
        )

    return _record("approve", make)


def retract(thing: Any, *, reason: str, by: str | None = None) -> Receipt | None:
    """Record that a thing, run or record is not to be relied on. It stays in the ledger.

    Args:
        thing: name, digest, path, handle, receipt, run id or IRI.
        reason: why.
        by: who retracts it.
    """

    def make(ledger: Ledger, at: datetime) -> Record:
        from provgraph.service.things import resolve

        if isinstance(thing, Receipt):
            target = thing.record
        else:
            entity = _entity(thing)
            if entity is not None and entity.digest is not None:
                target = resolve(ledger, str(entity.digest)).iris[0]
            else:
                found = resolve(ledger, str(thing))
                if len(found.iris) > 1:
                    raise CaptureError(f"{thing} names several contents; say which by digest")
                target = found.iris[0]
        return Retraction(
            id=new_run_id(),
            target=target,
            reason=redact(reason),
            by=_agent(by),
            at=at,
            missing=_unknown_agent(by),
        )

    return _record("retract", make)


def _record(what: str, make: Callable[[Ledger, datetime], Record]) -> Receipt | None:
    """Write a later fact; keep it on disk where the ledger cannot take it now."""
    settings = _settings()
    if settings is None or not settings.enabled:
        return None
    try:
        from provgraph.service import recording
        from provgraph.service.home import writable_ledger

        with _lock:
            record = make(writable_ledger(settings), datetime.now(UTC))
            for missing in record.missing:
                logger.warning(
                    "provgraph: %s: %s is not known: %s", what, missing.field, missing.reason
                )
            record_id = record.id
            try:
                return recording.write_record(settings, record, record_id=record_id)
            except (ProvgraphError, OSError) as error:
                path = recording.spool(settings, record, record_id=record_id)
                logger.warning(
                    "provgraph: %s is not in the ledger yet: %s. It is kept in %s;"
                    " `provgraph recover` seals it",
                    what,
                    error,
                    path,
                )
                return None
    except Exception as error:
        if is_strict(settings):
            raise
        logger.warning("provgraph could not record %s: %s", what, redact(str(error)))
        return None


def _settings() -> Settings | None:
    """Return the settings, or None where they are broken: capture is then off, and says so."""
    try:
        return load(os.environ)
    except ProvgraphError as error:
        logger.warning("provgraph records nothing: %s", error)
        return None


def _model(ledger: Ledger, model: Any) -> Entity:
    from provgraph.service.things import is_path_like, model_entity

    entity = _entity(model)
    if entity is not None:
        if entity.digest is not None:
            return Entity(kind="model", digest=entity.digest)
        if entity.name is not None:
            return model_entity(ledger, ":".join(filter(None, (entity.name, entity.version))))
    if isinstance(model, os.PathLike) or (isinstance(model, str) and is_path_like(model)):
        found = things.entity_of(model, default_kind="model", role="model", given={})
        if found.digest is not None:
            return Entity(kind="model", digest=found.digest)
    return model_entity(ledger, str(model))


def _entity(thing: Any) -> Entity | None:
    return thing.entity if isinstance(thing, Handle) else None


def _activity_iri(kind: str, reference: str | Receipt | None) -> str | None:
    """Return the IRI of an act: receipts name its record, which has the same id."""
    from provgraph import vocab

    if reference is None:
        return None
    text = reference.record if isinstance(reference, Receipt) else str(reference)
    return vocab.activity_iri(kind, text.rsplit("/", 1)[-1])


def _agent(name: str | None) -> Agent | None:
    return None if name is None else Agent(name=name)


def _unknown_agent(name: str | None) -> tuple[Missing, ...]:
    if name is not None:
        return ()
    return (Missing(field="by", reason="nobody was named; pass by="),)


def _notes(text: str | None, at: datetime) -> tuple[Note, ...]:
    return () if text is None else (Note(text=redact(text), at=at),)


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
