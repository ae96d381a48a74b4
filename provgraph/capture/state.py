"""The state of a run: what its facts add up to.

`RunState.apply` takes one fact at a time, as the run makes it or as a journal gives it back, so the
live path and the recovery of a killed run are the same function. Kinds of facts and their keys
stand in `_APPLY` at the end; `s` is the number of the step that a fact belongs to, 0 for the run.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from provgraph.capture.facts import Fact, decode, parse_time
from provgraph.capture.series import Points
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import FormatError
from provgraph.records import (
    Agent,
    Environment,
    Evaluation,
    Filter,
    Generation,
    Invocation,
    Missing,
    Note,
    Run,
    Scalar,
    Series,
    SourceCode,
    Step,
    Usage,
)

JOURNAL_VERSION: Final = 1
ABANDONED_REASON: Final = (
    "the process ended without closing the run (killed, or the machine stopped)"
)


@dataclass(slots=True)
class _Scope:
    """What a run and a step both collect."""

    name: str
    started_at: datetime
    parent: int | None = None
    ended_at: datetime | None = None
    duration_s: float | None = None
    status: str | None = None
    reason: str | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    parameters: dict[str, Scalar] = field(default_factory=dict)
    points: dict[str, Points] = field(default_factory=dict)
    used: list[Usage] = field(default_factory=list)
    generated: list[Generation] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


class RunState:
    """A run so far. Built by facts; `run()` turns it into a record at any moment."""

    def __init__(self) -> None:
        self._start: Fact | None = None
        self._scopes: dict[int, _Scope] = {}
        self._evaluations: list[Evaluation] = []
        self._tags: dict[str, str] = {}
        self._environment: Environment | None = None
        self._source: SourceCode | None = None
        self._invocation = Invocation()
        self._end: Fact | None = None
        self.last_time: datetime | None = None
        """When the last fact with a time was made: the end of a run that could not say so."""

    @property
    def record_id(self) -> str:
        """The id of the record that this run will be: the same however often it is sealed."""
        return str(self._begun["record"])

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self._begun["run"])

    @property
    def is_ended(self) -> bool:
        """Whether the run said that it was over."""
        return self._end is not None

    def apply(self, fact: Fact) -> None:
        """Add one fact.

        Raises:
            FormatError: the fact is of an unknown kind or damaged.
        """
        kind = fact.get("f")
        apply = _APPLY.get(str(kind))
        if apply is None:
            raise FormatError(f"unknown kind of fact {kind!r}: the journal is from a later version")
        try:
            apply(self, fact)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"damaged fact {json.dumps(fact)[:200]}: {error!r}") from error

    def run(self) -> tuple[Run, dict[Digest, bytes]]:
        """Return the record as it stands now, and the attachments it refers to.

        Raises:
            FormatError: there was no start fact.
        """
        start = self._begun
        scope = self._scopes[0]
        attachments: dict[Digest, bytes] = {}
        series: list[Series] = []
        metrics: dict[str, float] = {}
        for number, each in sorted(self._scopes.items()):
            for name, points in each.points.items():
                if number == 0:
                    metrics[name] = points.last
                if len(points) > 1:
                    label = name if number == 0 else f"{each.name}/{name}"
                    series.append(_series(label, points, attachments))
        end = self._end or {}
        status = scope.status or "abandoned"
        ended_at = scope.ended_at or self.last_time or scope.started_at
        run = Run(
            id=self.run_id,
            name=scope.name,
            project=start.get("project"),
            experiment=start.get("experiment"),
            owner=None if start.get("owner") is None else decode(Agent, start["owner"]),
            plan=start.get("plan"),
            status=status,
            reason=scope.reason if self._end is not None else ABANDONED_REASON,
            started_at=scope.started_at,
            ended_at=ended_at,
            duration_s=scope.duration_s,
            exit_code=end.get("exit_code"),
            parent=start.get("parent"),
            resumes=start.get("resumes"),
            rank=start.get("rank", self._invocation.rank),
            world_size=start.get("world_size", self._invocation.world_size),
            invocation=self._invocation,
            environment=self._environment,
            source_code=self._source,
            parameters=scope.parameters,
            metrics=metrics,
            series=tuple(series),
            tags=self._tags,
            used=tuple(scope.used),
            generated=tuple(scope.generated),
            steps=tuple(
                _step(number, each, ended_at=ended_at)
                for number, each in sorted(self._scopes.items())
                if number > 0
            ),
            evaluations=tuple(self._evaluations),
            notes=tuple(scope.notes),
            missing=tuple(dict.fromkeys(scope.missing)),
        )
        return run, attachments

    @property
    def _begun(self) -> Fact:
        if self._start is None:
            raise FormatError("expected a start fact at the head of a journal, found none")
        return self._start

    def _scope(self, fact: Fact) -> _Scope:
        scope = self._scopes[fact.get("s", 0)]
        if "at" in fact:
            self.last_time = max(self.last_time or scope.started_at, parse_time(fact["at"]))
        return scope

    def _on_start(self, fact: Fact) -> None:
        if fact["version"] > JOURNAL_VERSION:
            raise FormatError(
                f"journal version {fact['version']} is newer than this provgraph understands"
                f" ({JOURNAL_VERSION}); upgrade provgraph to seal it"
            )
        self._start = fact
        started_at = parse_time(fact["at"])
        self._scopes[0] = _Scope(name=fact["name"], started_at=started_at)
        self.last_time = started_at

    def _on_step(self, fact: Fact) -> None:
        self._scopes[fact["n"]] = _Scope(
            name=fact["name"],
            started_at=parse_time(fact["at"]),
            parent=fact.get("s") or None,
            parameters=dict(fact.get("parameters", {})),
        )

    def _on_step_end(self, fact: Fact) -> None:
        self._close(self._scope(fact), fact)

    def _on_end(self, fact: Fact) -> None:
        self._end = fact
        self._close(self._scope(fact), fact)

    def _close(self, scope: _Scope, fact: Fact) -> None:
        scope.ended_at = parse_time(fact["ended_at"])
        scope.duration_s = fact["duration_s"]
        scope.status = fact["status"]
        scope.reason = fact.get("reason")

    def _on_metrics(self, fact: Fact) -> None:
        points = self._scopes[fact.get("s", 0)].points
        step, at_ms = fact.get("n"), fact["t"]
        for name, value in fact["v"].items():
            if (known := points.get(name)) is None:
                known = points[name] = Points()
            known.append(step=step, at_ms=at_ms, value=value)

    def _on_rows(self, fact: Fact) -> None:
        scope = self._scope(fact)
        scope.rows_in = fact.get("in", scope.rows_in)
        scope.rows_out = fact.get("out", scope.rows_out)

    def _on_environment(self, fact: Fact) -> None:
        self._environment = _environment(json.dumps(fact["value"], sort_keys=True))


def replay(facts: Iterable[Fact]) -> RunState:
    """Build a run's state from a journal; facts that are damaged become missing facts.

    Raises:
        FormatError: there is no readable start, so nothing can be said about this run.
    """
    state = RunState()
    for fact in facts:
        try:
            state.apply(fact)
        except FormatError as error:
            if state._start is None:
                raise
            state._scopes[0].missing.append(Missing(field="journal", reason=str(error)))
    state.run_id  # noqa: B018 - raises where there was no start
    return state


@functools.lru_cache(maxsize=8)
def _environment(text: str) -> Environment:
    # Hundreds of packages, the same for all runs of a process: decoded once.
    return decode(Environment, json.loads(text))


def _series(name: str, points: Points, attachments: dict[Digest, bytes]) -> Series:
    data = points.encode()
    digest = sha256_bytes(data)
    attachments[digest] = data
    minimum, maximum = points.extremes()
    return Series(
        name=name,
        first=points.first,
        last=points.last,
        minimum=minimum,
        maximum=maximum,
        count=len(points),
        attachment=digest,
    )


def _step(number: int, scope: _Scope, *, ended_at: datetime) -> Step:
    return Step(
        number=number,
        parent=scope.parent,
        name=scope.name,
        parameters=scope.parameters,
        started_at=scope.started_at,
        ended_at=scope.ended_at or max(scope.started_at, ended_at),
        duration_s=scope.duration_s,
        status=scope.status or "abandoned",
        reason=scope.reason if scope.status else "the run ended inside this step",
        used=tuple(scope.used),
        generated=tuple(scope.generated),
        rows_in=_rows(scope.rows_in, [usage.entity.rows for usage in scope.used]),
        rows_out=_rows(scope.rows_out, [made.entity.rows for made in scope.generated]),
        filters=tuple(scope.filters),
        metrics={name: points.last for name, points in scope.points.items()},
        notes=tuple(scope.notes),
        missing=tuple(dict.fromkeys(scope.missing)),
    )


def _rows(stated: int | None, counted: list[int | None]) -> int | None:
    """What the user stated, or the one count there is; several tables have no common count."""
    if stated is not None:
        return stated
    known = [rows for rows in counted if rows is not None]
    return known[0] if len(known) == 1 else None


def elapsed_end(started_at: datetime, now: datetime, duration_s: float) -> tuple[datetime, float]:
    """Return (end, seconds by which the clock disagrees) of something that took duration_s.

    The monotonic clock is believed; where the wall clock was set back meanwhile, the end is the
    start plus the duration, so that nothing ends before it began.
    """
    expected = started_at + timedelta(seconds=duration_s)
    drift_s = (now - expected).total_seconds()
    return (expected if now < started_at else now), drift_s


def _append(attribute: str, kind: type[Any]) -> Callable[[RunState, Fact], None]:
    def apply(state: RunState, fact: Fact) -> None:
        getattr(state._scope(fact), attribute).append(decode(kind, fact["value"]))

    return apply


_APPLY: Final[dict[str, Callable[[RunState, Fact], None]]] = {
    "start": RunState._on_start,
    "step": RunState._on_step,
    "step-end": RunState._on_step_end,
    "end": RunState._on_end,
    "metrics": RunState._on_metrics,
    "rows": RunState._on_rows,
    "environment": RunState._on_environment,
    "use": _append("used", Usage),
    "generate": _append("generated", Generation),
    "filter": _append("filters", Filter),
    "note": _append("notes", Note),
    "missing": _append("missing", Missing),
    "parameters": lambda state, fact: state._scope(fact).parameters.update(fact["value"]),
    "tags": lambda state, fact: state._tags.update(fact["value"]),
    "evaluation": lambda state, fact: state._evaluations.append(decode(Evaluation, fact["value"])),
    "source": lambda state, fact: setattr(state, "_source", decode(SourceCode, fact["value"])),
    "invocation": lambda state, fact: setattr(
        state, "_invocation", decode(Invocation, fact["value"])
    ),
}
