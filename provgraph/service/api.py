"""The public functions of `import provgraph`: a run, and the facts that come after it.

None of them raises into the caller's pipeline, save in strict mode (as under pytest): a fault is
said on the logger `provgraph`, and a fact that the ledger could not take is kept on disk for
`provgraph recover`. Heavy parts (ledger, keys) are loaded when the first record is sealed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

from provgraph.capture import things
from provgraph.capture.identifiers import new_id
from provgraph.capture.profiled import Attachments, with_profile
from provgraph.capture.profiling.limits import limits_of
from provgraph.capture.recorder import say
from provgraph.capture.run import Run, RunFactory
from provgraph.capture.sinks import HandedOver, Receipt
from provgraph.capture.state import RunState
from provgraph.capture.values import (
    judge,
    metric_value,
    plain_name,
    whole_number,
)
from provgraph.errors import CaptureError
from provgraph.loading import import_lock
from provgraph.records import Entity, Observation
from provgraph.service.guarding import guarded, usable_settings
from provgraph.service.later import (
    activity_iri,
    agent_of,
    deliver_soon,
    model_of,
    notes_of,
    record_later,
    time_of,
)
from provgraph.settings import Settings, is_strict

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
            raise HandedOver(lambda: deliver_soon(self._settings, run_id))
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
    profile: bool = True,
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
    profile: bool = True,
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
        profile: False records no profiles of tables (docs/profiles.md).
        unknown: kept as notes, so that nothing said is lost.
    """

    def make() -> Run:
        settings = usable_settings()
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
            limits=limits_of(settings) if profile else None,
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


@guarded
def observe(
    model: Any,
    *,
    metric: str | None = None,
    value: Any = None,
    inputs: Any = None,
    outputs: Any = None,
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
        metric: what was measured; without it this records a window of what went in and came out.
        value: the measured value.
        inputs: the table of inputs that the model was given in the window; digested and profiled
            (docs/profiles.md), its rows are not kept.
        outputs: what the model said of them, likewise.
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
    if inputs is not None and data is not None:
        raise CaptureError("observe: data and inputs are the same; hand over one of them")
    if (metric is None) != (value is None) or (
        metric is None and inputs is None and outputs is None
    ):
        raise CaptureError(
            "observe: expected metric= with value=, or inputs= and outputs= of a window, or both"
        )
    attachments: Attachments = {}
    window_in = _window("inputs", inputs, attachments)
    window_out = _window("outputs", outputs, attachments)
    if metric is None:
        # A window of which nothing was measured has been seen: its rows are the figure.
        metric, seen = "rows", window_in or window_out
        value = None if seen is None else seen.rows
        if value is None:
            raise CaptureError("observe: expected inputs or outputs with a number of rows")
    name, measured = plain_name(metric), metric_value(value)
    text, met = judge(name, measured, threshold)
    observed = window_in
    if data is not None:
        observed = things.entity_of(data, default_kind=None, role=None, given={})
    start, end = (
        (None, None)
        if window is None
        else (
            time_of(window[0], "window"),
            time_of(window[1], "window"),
        )
    )
    entity, called = model_of(model)
    observation = Observation(
        id=new_id(),
        model=entity,
        deployment=activity_iri("deployment", deployment),
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
        outputs=window_out,
        by=agent_of(by),
        at=at,
        notes=notes_of(note, at),
    )
    return record_later("observe", observation, called=called, attachments=attachments)


def _window(what: str, table: Any, attachments: Attachments) -> Entity | None:
    """Return the inputs or outputs of a window as an entity with its profile."""
    if table is None:
        return None
    entity = things.entity_of(table, default_kind=None, role=None, given={})
    settings = usable_settings()
    limits = None if settings is None else limits_of(settings)
    profiled = with_profile(entity, table, limits=limits, attachments=attachments)
    for unknown in profiled.missing:
        say(f"observe: {unknown.field} of {what}: {unknown.reason}")
    return profiled
