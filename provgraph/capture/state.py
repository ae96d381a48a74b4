"""The state of a run: what its facts add up to.

`RunState.apply` takes one fact at a time, as the run makes it or as a journal gives it back, so the
live path and the recovery of a killed run are the same function. Kinds of facts and their keys
stand in `_APPLY` at the end; `s` is the key of the step that a fact belongs to, 0 for the run. Keys
are unique in the run, also between forked processes; numbers are given in order of appearance.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from provgraph.capture.facts import Fact, decode, parse_time
from provgraph.capture.series import Points
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import FormatError
from provgraph.frozen import dataclass
from provgraph.profiles.marks import is_profile
from provgraph.records import (
    Agent,
    Environment,
    Evaluation,
    Feature,
    Filter,
    Generation,
    GoldenPredictions,
    Invocation,
    Labelling,
    Missing,
    Note,
    Quality,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first fact of a run."""

    version: int  # of the journal
    run: str
    record: str
    name: str
    at: datetime
    project: str | None = None
    experiment: str | None = None
    owner: Agent | None = None
    plan: str | None = None
    parent: str | None = None
    resumes: str | None = None
    rank: int | None = None
    world_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run or a step ended."""

    ended_at: datetime
    duration_s: float
    status: str  # completed | failed | abandoned
    reason: str | None = None
    exit_code: int | None = None


class _Scope:
    """What a run and a step both collect."""

    def __init__(
        self, *, name: str, started_at: datetime, number: int = 0, parent: int = 0
    ) -> None:
        self.name = name
        self.started_at = started_at
        self.number = number  # 0 is the run itself
        self.parent = parent
        self.ending: Ending | None = None
        self.rows_in: int | None = None
        self.rows_out: int | None = None
        self.parameters: dict[str, Scalar] = {}
        self.points: dict[str, Points] = {}
        self.used: list[Usage] = []
        self.generated: list[Generation] = []
        self.filters: list[Filter] = []
        self.features: list[Feature] = []
        self.labellings: list[Labelling] = []
        self.qualities: list[Quality] = []
        self.notes: list[Note] = []
        self.missing: list[Missing] = []


class RunState:
    """A run so far. Built by facts; `run()` turns it into a record at any moment."""

    def __init__(self) -> None:
        self._start: Start | None = None
        self._scopes: dict[int | str, _Scope] = {}
        self._evaluations: list[Evaluation] = []
        self._golden: list[GoldenPredictions] = []
        self._attachments: dict[Digest, bytes] = {}
        self._code: Digest | None = None
        self._tags: dict[str, str] = {}
        self._environment: Environment | None = None
        self._source: SourceCode | None = None
        self._invocation = Invocation()
        self._last_ms = 0

    @property
    def record_id(self) -> str:
        """The id of the record that this run will be: the same however often it is sealed."""
        return self._begun.record

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._begun.run

    def holds(self, digest: Digest) -> bool:
        """Whether an attachment is here already."""
        return digest in self._attachments

    def apply(self, fact: Fact, part: Any = None) -> None:
        """Add one fact. `part` is what its value says, where the caller has that already.

        Raises:
            FormatError: the fact is of an unknown kind or damaged.
        """
        kind = fact.get("f")
        apply = _APPLY.get(str(kind))
        if apply is None:
            raise FormatError(f"unknown kind of fact {kind!r}: the journal is from a later version")
        try:
            at_ms = int(parse_time(fact["at"]).timestamp() * 1000) if "at" in fact else 0
            apply(self, fact, part)
            self._last_ms = max(self._last_ms, at_ms)
        except FormatError:
            raise
        except Exception as error:
            raise FormatError(f"damaged fact {fact!r:.200}: {error!r}") from error

    def run(self) -> tuple[Run, dict[Digest, bytes]]:
        """Return the record as it stands now, and the attachments it refers to.

        Raises:
            FormatError: there was no start fact.
        """
        start = self._begun
        scope = self._scopes[0]
        # What no fact names in the end is left out: no seal would cover it.
        named = {self._code, *(golden.attachment for golden in self._golden)}
        named |= {evaluation.outcomes for evaluation in self._evaluations}
        attachments = {
            digest: data
            for digest, data in self._attachments.items()
            if digest in named or is_profile(data)
        }
        series: list[Series] = []
        metrics: dict[str, float] = {}
        for each in self._scopes.values():
            for name, points in each.points.items():
                if each.number == 0:
                    metrics[name] = points.last
                if len(points) > 1:
                    label = name if each.number == 0 else f"{each.name}/{name}"
                    series.append(_series(label, points, attachments))
        ending = scope.ending or Ending(
            # A run that could not say when it ended did so after the last thing it said.
            ended_at=max(start.at, datetime.fromtimestamp(self._last_ms / 1000, UTC)),
            duration_s=0.0,
            status="abandoned",
            reason=ABANDONED_REASON,
        )
        run = Run(
            id=start.run,
            name=start.name,
            project=start.project,
            experiment=start.experiment,
            owner=start.owner,
            plan=start.plan,
            status=ending.status,
            reason=ending.reason,
            started_at=start.at,
            ended_at=ending.ended_at,
            duration_s=None if scope.ending is None else ending.duration_s,
            exit_code=ending.exit_code,
            parent=start.parent,
            resumes=start.resumes,
            rank=self._invocation.rank if start.rank is None else start.rank,
            world_size=(
                self._invocation.world_size if start.world_size is None else start.world_size
            ),
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
                _step(each, ended_at=ending.ended_at)
                for each in self._scopes.values()
                if each.number
            ),
            evaluations=tuple(self._evaluations),
            golden=tuple(self._golden),
            code=self._code,
            features=tuple(dict.fromkeys(scope.features)),
            labellings=tuple(scope.labellings),
            qualities=tuple(scope.qualities),
            notes=tuple(scope.notes),
            missing=tuple(dict.fromkeys(scope.missing)),
        )
        return run, attachments

    @property
    def _begun(self) -> Start:
        if self._start is None:
            raise FormatError("expected a start fact at the head of a journal, found none")
        return self._start

    def _scope(self, fact: Fact) -> _Scope:
        return self._scopes[fact.get("s", 0)]

    def _on_start(self, fact: Fact, part: Any) -> None:
        if fact["version"] > JOURNAL_VERSION:
            raise FormatError(
                f"journal version {fact['version']} is newer than this provgraph understands"
                f" ({JOURNAL_VERSION}); upgrade provgraph to seal it"
            )
        if self._start is not None:
            raise FormatError("a second start fact in one journal")
        self._start = start = part or decode(Start, _without_kind(fact))
        self._scopes[0] = _Scope(name=start.name, started_at=start.at)

    def _on_step(self, fact: Fact, _part: Any) -> None:
        key = fact["n"]
        if key in self._scopes:
            raise FormatError(f"a second step {key!r} in one journal")
        scope = _Scope(
            parent=self._scope(fact).number,
            name=decode(str, fact["name"]),
            started_at=parse_time(fact["at"]),
            number=len(self._scopes),
        )
        scope.parameters.update(_parameters(fact.get("parameters", {})))
        self._scopes[key] = scope

    def _on_end(self, fact: Fact, part: Any) -> None:
        self._scope(fact).ending = part or decode(Ending, _without_kind(fact))

    def _on_metrics(self, fact: Fact, _part: Any) -> None:
        points = self._scope(fact).points
        step, at_ms = fact.get("n"), fact["t"]
        for name, value in fact["v"].items():
            if (known := points.get(name)) is None:
                known = Points()
            known.append(step=step, at_ms=at_ms, value=value)
            points[name] = known
        self._last_ms = max(self._last_ms, at_ms)

    def _on_rows(self, fact: Fact, _part: Any) -> None:
        scope = self._scope(fact)
        stated = decode(dict[str, int], {key: fact[key] for key in ("in", "out") if key in fact})
        scope.rows_in = stated.get("in", scope.rows_in)
        scope.rows_out = stated.get("out", scope.rows_out)

    def _on_environment(self, fact: Fact, _part: Any) -> None:
        self._environment = _environment(fact["text"])


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
    # Hundreds of packages, the same for all runs of a process: read once.
    return decode(Environment, json.loads(text))


def _without_kind(fact: Fact) -> Fact:
    return {key: value for key, value in fact.items() if key not in {"f", "s"}}


def _parameters(value: Any) -> dict[str, Scalar]:
    return decode(dict[str, Scalar], value)


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


def _step(scope: _Scope, *, ended_at: datetime) -> Step:
    ending = scope.ending
    if ending is None:
        ending = Ending(
            ended_at=max(scope.started_at, ended_at),
            duration_s=0.0,
            status="abandoned",
            reason="the run ended inside this step",
        )
    return Step(
        number=scope.number,
        parent=scope.parent or None,
        name=scope.name,
        parameters=scope.parameters,
        started_at=scope.started_at,
        ended_at=ending.ended_at,
        duration_s=None if scope.ending is None else ending.duration_s,
        status=ending.status,
        reason=ending.reason,
        used=tuple(scope.used),
        generated=tuple(scope.generated),
        rows_in=_rows(scope.rows_in, [usage.entity.rows for usage in scope.used]),
        rows_out=_rows(scope.rows_out, [made.entity.rows for made in scope.generated]),
        filters=tuple(scope.filters),
        features=tuple(dict.fromkeys(scope.features)),
        labellings=tuple(scope.labellings),
        qualities=tuple(scope.qualities),
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


_Apply = Callable[[RunState, Fact, Any], None]
"""Adds a fact to a state; the last argument is the part that its value says, None to read it."""


def _append(attribute: str, kind: type[Any]) -> _Apply:
    def apply(state: RunState, fact: Fact, part: Any) -> None:
        listed = getattr(state._scope(fact), attribute)
        listed.append(decode(kind, fact["value"]) if part is None else part)

    return apply


def _set(attribute: str, kind: type[Any]) -> _Apply:
    def apply(state: RunState, fact: Fact, part: Any) -> None:
        setattr(state, attribute, decode(kind, fact["value"]) if part is None else part)

    return apply


def _on_parameters(state: RunState, fact: Fact, part: Any) -> None:
    state._scope(fact).parameters.update(_parameters(fact["value"]) if part is None else part)


def _on_tags(state: RunState, fact: Fact, part: Any) -> None:
    state._tags.update(decode(dict[str, str], fact["value"]) if part is None else part)


def _on_attachment(state: RunState, fact: Fact, part: Any) -> None:
    data = decode(str, fact["value"]).encode() if part is None else part
    state._attachments[sha256_bytes(data)] = data


def _on_golden(state: RunState, fact: Fact, part: Any) -> None:
    state._golden.append(decode(GoldenPredictions, fact["value"]) if part is None else part)


def _on_evaluation(state: RunState, fact: Fact, part: Any) -> None:
    state._evaluations.append(decode(Evaluation, fact["value"]) if part is None else part)


_APPLY: Final[dict[str, _Apply]] = {
    "start": RunState._on_start,
    "step": RunState._on_step,
    "end": RunState._on_end,
    "metrics": RunState._on_metrics,
    "rows": RunState._on_rows,
    "environment": RunState._on_environment,
    "use": _append("used", Usage),
    "generate": _append("generated", Generation),
    "filter": _append("filters", Filter),
    "feature": _append("features", Feature),
    "labels": _append("labellings", Labelling),
    "quality": _append("qualities", Quality),
    "note": _append("notes", Note),
    "missing": _append("missing", Missing),
    "parameters": _on_parameters,
    "tags": _on_tags,
    "evaluation": _on_evaluation,
    "attachment": _on_attachment,
    "golden": _on_golden,
    "code": _set("_code", Digest),
    "source": _set("_source", SourceCode),
    "invocation": _set("_invocation", Invocation),
}
