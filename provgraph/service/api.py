"""The public functions of `import provgraph`: a run, and the facts that come after it.

None of them raises into the caller's pipeline, save in strict mode (as under pytest): a fault is
said on the logger `provgraph`, and a fact that the ledger could not take is kept on disk for
`provgraph recover`. Heavy parts (ledger, keys) are loaded when the first record is sealed.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

from provgraph.capture import things
from provgraph.capture.identifiers import new_id
from provgraph.capture.recorder import say
from provgraph.capture.run import Run, RunFactory
from provgraph.capture.sinks import HandedOver, Receipt
from provgraph.capture.state import RunState
from provgraph.capture.things import Handle
from provgraph.capture.values import (
    describe_error,
    judge,
    metric_value,
    plain_name,
    plain_text,
    whole_number,
)
from provgraph.errors import CaptureError, LedgerError, ProvgraphError, UntrustedError
from provgraph.loading import import_lock
from provgraph.recordable import AboutThing, LaterFact
from provgraph.records import (
    Agent,
    Approval,
    Deployment,
    Entity,
    Missing,
    Note,
    Observation,
    Retraction,
)
from provgraph.settings import Settings, is_strict, load

A = ParamSpec("A")
R = TypeVar("R")


class _LazySink:
    """The embedded sink, whose ledger and keys are loaded when the first run is sealed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def journal_folder(self) -> Path:
        return self._settings.journal_folder

    def seal(self, state: RunState) -> Receipt:
        if self._settings.server:
            run_id = state.run_id
            raise HandedOver(lambda: _deliver(self._settings, run_id))
        with import_lock:
            from provgraph.service.recording import LocalSink

        return LocalSink(self._settings).seal(state)

    def last_run(self, *, name: str, project: str | None) -> str | None:
        if self._settings.server:
            say("resume=True looks into a ledger of this machine only; name the run's id instead")
            return None
        with import_lock:
            from provgraph.service.recording import LocalSink

        return LocalSink(self._settings).last_run(name=name, project=project)


@overload
def run(name: Callable[A, R], /) -> Callable[A, R]: ...
@overload
def run(
    name: str | None = None,
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
    **unknown: Any,
) -> RunFactory: ...
def run(
    name: Any = None,
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
    **unknown: Any,
) -> Any:
    """Record a run: `with provgraph.run("train") as run:`, or `@provgraph.run("train")`.

    When the block ends, all that it recorded is sealed and durable; `run.receipt` says where. A
    block that raises is recorded as failed, and its exception goes on as if nothing were here.

    Args:
        name: what this run does, in a word or two; default is the function's or script's name.
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
        unknown: kept as notes, so that nothing said is lost.
    """

    def make() -> Run:
        settings = _settings()
        if settings is None or not settings.enabled:
            return Run(None, name="")
        return Run(
            _LazySink(settings),
            name=_name(name),
            project=project,
            experiment=experiment,
            owner=(settings.owner or None) if owner is None else owner,
            plan=plan,
            tags=tags,
            parent=parent,
            resume=resume,
            rank=rank,
            world_size=world_size,
            unknown=unknown,
            strict=is_strict(settings),
        )

    factory = RunFactory(make)
    return factory(name) if callable(name) else factory  # callable: @provgraph.run, bare


def _name(given: Any) -> Any:
    """Return the run's name: what was given, a function's, or the script's.

    Nothing is asked of a foreign object: an array has no truth value, a partial has no name.
    """
    if callable(given):
        given = getattr(given, "__name__", None)
    return _script_name() if given is None or (isinstance(given, str) and not given) else given


def _script_name() -> str:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).stem if isinstance(script, str) else "run"


def _said(function: Callable[A, Receipt | None]) -> Callable[A, Receipt | None]:
    """Keep a function's faults away from the caller, wrong arguments too: they are logged."""

    @functools.wraps(function)
    def guarded(*args: A.args, **kwargs: A.kwargs) -> Receipt | None:
        settings = _settings()
        if settings is None or not settings.enabled:
            return None
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if is_strict(settings):
                raise
            reason = str(error) if isinstance(error, ProvgraphError) else describe_error(error)
            say(f"could not record {function.__name__}: {reason}")
            return None

    return guarded


@_said
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
    at = datetime.now(UTC)
    entity, called = _model(model)
    deployment = Deployment(
        id=new_id(),
        model=entity,
        stage=plain_text(stage),
        target=_text(target),
        by=_agent(by),
        at=at,
        on_approval=_activity_iri("approval", on_approval),
        replaces=_activity_iri("deployment", replaces),
        notes=_notes(note, at),
        missing=_unknown_agent(by),
    )
    return _record("deploy", deployment, called=called)


@_said
def observe(
    model: Any,
    *,
    metric: str,
    value: Any,
    n: int | None = None,
    interval: tuple[float, float] | None = None,
    threshold: float | str | None = None,
    window: tuple[datetime | str, datetime | str] | None = None,
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
        window: (start, end) of the time observed, as datetimes or in ISO 8601; times without a
            zone count as UTC.
        data: the observed inputs, where they were kept: path, URI, table.
        deployment: receipt or IRI of the deployment observed.
        by: the person or system that observed.
        note: a remark.
    """
    at = datetime.now(UTC)
    name, measured = plain_name(metric), metric_value(value)
    text, met = judge(name, measured, threshold)
    observed = None
    if data is not None:
        observed = things.entity_of(data, default_kind=None, role=None, given={})
    start, end = (None, None) if window is None else (_time(window[0]), _time(window[1]))
    entity, called = _model(model)
    observation = Observation(
        id=new_id(),
        model=entity,
        deployment=_activity_iri("deployment", deployment),
        metric=name,
        value=measured,
        n=None if n is None else whole_number(n, "n"),
        interval=None
        if interval is None
        else (metric_value(interval[0]), metric_value(interval[1])),
        threshold=text,
        threshold_met=met,
        window_start=start,
        window_end=end,
        data=observed,
        by=_agent(by),
        at=at,
        notes=_notes(note, at),
    )
    return _record("observe", observation, called=called)


@_said
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
    agent = _agent(by)
    if agent is None or not agent.name.strip():
        raise CaptureError("by: an approval without a person is none; say who approves")
    at = datetime.now(UTC)
    entity, called = _model(model)
    approval = Approval(
        id=new_id(),
        model=entity,
        by=agent,
        meaning=plain_text(meaning),
        stage=_text(stage),
        at=at,
        notes=_notes(note, at),
    )
    return _record("approve", approval, called=called)


@_said
def retract(thing: Any, *, reason: str, by: str | None = None) -> Receipt | None:
    """Record that a thing, run or record is not to be relied on. It stays in the ledger.

    Args:
        thing: name, digest, path, handle, receipt, run, run id or IRI.
        reason: why.
        by: who retracts it.
    """
    target, called = _target(thing)
    retraction = Retraction(
        id=new_id(),
        target=target,
        reason=plain_text(reason),
        by=_agent(by),
        at=datetime.now(UTC),
        missing=_unknown_agent(by),
    )
    return _record("retract", retraction, called=called)


def _record(what: str, record: LaterFact, *, called: str | None) -> Receipt | None:
    """Write a later fact; keep it on disk where the ledger cannot take it now.

    `called` is what the caller called the thing it is about, where that must be looked up.
    """
    with import_lock:
        from provgraph.service import recording, recovery
        from provgraph.service.home import writable_ledger
        from provgraph.service.things import about

    settings = load(os.environ)
    if settings.server:
        # On this disk first; the thread that delivers takes it from there.
        recovery.spool(settings, record, record_id=record.id, called=called)
        return _deliver(settings, record.id)
    try:
        found = record
        if called is not None:
            with writable_ledger(settings) as ledger:
                found = about(ledger, record, called)
        unknown = () if isinstance(found, AboutThing) else found.model.missing
        for missing in (*found.missing, *unknown):
            say(f"{what}: {missing.field} is not known: {missing.reason}")
        return recording.write_record(settings, found, record_id=record.id)
    except (LedgerError, UntrustedError, OSError) as error:
        path = recovery.spool(settings, record, record_id=record.id, called=called)
        say(
            f"{what} is not in the ledger yet: {error}. It is kept in {path};"
            " `provgraph recover` seals it"
        )
        return None


def _deliver(settings: Settings, name: str) -> Receipt | None:
    with import_lock:
        from provgraph.service.delivery import deliver

    return deliver(settings, name)


def _settings() -> Settings | None:
    """Return the settings, or None where they are broken: capture is then off, and says so."""
    try:
        return load(os.environ)
    except Exception as error:
        reason = str(error) if isinstance(error, ProvgraphError) else describe_error(error)
        say(f"nothing is recorded: {reason}")
        return None


def _model(model: Any) -> tuple[Entity, str | None]:
    """Return the model as far as it can be told without the ledger, and the name to look up."""
    with import_lock:
        from provgraph.service.things import is_path_like

    if isinstance(model, Handle):
        entity = model.entity
    elif things.is_path(model) and (not isinstance(model, str) or is_path_like(model)):
        entity = things.entity_of(model, default_kind="model", role="model", given={})
    else:
        return Entity(kind="model"), plain_text(model)
    if entity.digest is not None:
        return Entity(kind="model", digest=entity.digest), None
    known = Entity(kind="model", uri=entity.uri, missing=entity.missing)
    if entity.uri is not None:
        return known, None
    if isinstance(model, Handle):
        return known, ":".join(filter(None, (entity.name, entity.version))) or None
    return known, os.fsdecode(model)


def _target(thing: Any) -> tuple[str, str | None]:
    """Return the IRI of what is retracted where it is known, and else the name to look up."""
    from provgraph import terms, vocab

    if isinstance(thing, Receipt):
        return thing.record, None
    if isinstance(thing, Run):
        return vocab.run_iri(thing.id), None
    if isinstance(thing, Handle):
        entity = thing.entity
        if entity.digest is not None:
            return vocab.content_iri(entity.digest), None
        if entity.uri is not None:
            return terms.to_iri(entity.uri), None
        return "", ":".join(filter(None, (entity.name, entity.version)))
    return "", os.fsdecode(thing) if isinstance(thing, os.PathLike) else plain_text(thing)


def _activity_iri(kind: str, reference: str | Receipt | None) -> str | None:
    """Return the IRI of an act: the record that a receipt names has the same id."""
    from provgraph import terms, vocab

    if reference is None:
        return None
    text = reference.record if isinstance(reference, Receipt) else plain_text(reference)
    if text.startswith(vocab.ID) or not things.is_uri(text):
        return vocab.activity_iri(kind, text.rsplit("/", 1)[-1])
    return terms.to_iri(text)


def _text(value: Any) -> str | None:
    return None if value is None else plain_text(value)


def _agent(name: Any) -> Agent | None:
    return None if name is None else Agent(name=plain_text(name))


def _unknown_agent(name: Any) -> tuple[Missing, ...]:
    if name is not None:
        return ()
    return (Missing(field="by", reason="nobody was named; pass by="),)


def _notes(text: Any, at: datetime) -> tuple[Note, ...]:
    return () if text is None else (Note(text=plain_text(text), at=at),)


def _time(value: datetime | str) -> datetime:
    """Read a time; one without a zone counts as UTC.

    Raises:
        CaptureError: neither a datetime nor ISO 8601.
    """
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise CaptureError(
            f"window: expected datetimes or ISO 8601, found {plain_text(value)!r:.80}"
        ) from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
