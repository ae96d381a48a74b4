"""The capture API: `with provgraph.run(…) as run:`. It must never hurt the run that it records.

No public method raises into the caller's code (unless strict, as under pytest): what could not be
recorded is said once on the logger `provgraph`, and recorded as missing with the reason. No method
waits for a lock of another process; sealing happens once, when the block ends.

Times: the wall clock says when, the monotonic clock how long.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from provgraph.capture import things
from provgraph.capture.facts import Fact, encode
from provgraph.capture.journal import Journal, fallback_folder
from provgraph.capture.journal import read as read_journal
from provgraph.capture.redact import redact, redact_value
from provgraph.capture.sinks import Receipt, Sink
from provgraph.capture.state import RunState, elapsed_end, replay
from provgraph.capture.things import Handle
from provgraph.errors import CaptureError
from provgraph.records import (
    Agent,
    Entity,
    Environment,
    Evaluation,
    Filter,
    Generation,
    Missing,
    Note,
    SourceCode,
    Usage,
)
from provgraph.terms import format_time

logger: Final = logging.getLogger("provgraph")

PARENT_VARIABLE: Final = "PROVGRAPH_PARENT_RUN"

# Git is asked again only after this long: hundreds of short runs in one process share one answer.
SOURCE_FRESH_S: Final = 30.0
CLOCK_TOLERANCE_S: Final = 2.0

_current: contextvars.ContextVar[Run | None] = contextvars.ContextVar("provgraph_run", default=None)

S = TypeVar("S", bound="Scope")
R = TypeVar("R")
A = ParamSpec("A")


def current_run() -> Run | None:
    """Return the innermost run that is open in this context, None outside of any."""
    return _current.get()


def _harmless(
    otherwise: Callable[[], R],
) -> Callable[[Callable[Concatenate[S, A], R]], Callable[Concatenate[S, A], R]]:
    """Keep a method's faults away from the caller: recorded, logged, replaced by `otherwise()`."""

    def wrap(method: Callable[Concatenate[S, A], R]) -> Callable[Concatenate[S, A], R]:
        @functools.wraps(method)
        def guarded(self: S, /, *args: A.args, **kwargs: A.kwargs) -> R:
            if self._run._is_off:
                return otherwise()
            try:
                return method(self, *args, **kwargs)
            except Exception as error:
                self._fault(method.__name__, error)
                return otherwise()

        return guarded

    return wrap


def _unknown_handle() -> Handle:
    return Handle(Entity())


class Scope:
    """What a run and a step share: inputs, outputs, parameters, metrics, notes."""

    _run: Run
    _number: int

    @_harmless(_unknown_handle)
    def use(
        self,
        /,
        thing: Any,
        *,
        role: str | None = None,
        name: str | None = None,
        version: str | None = None,
        kind: str | None = None,
        digest: str | None = None,
        rows: int | None = None,
        source: str | None = None,
        licence: str | None = None,
        collected: str | None = None,
        collector: str | None = None,
        consent: str | None = None,
        vendor: str | None = None,
        description: str | None = None,
        **unknown: Any,
    ) -> Handle:
        """Record an input: a file or folder, a URI, or a table, array or tensor in memory.

        Args:
            thing: path, URI, object, or the `Handle` of something recorded before.
            role: what it is used as: train, validation, test, base-model, config, …
            name: a name for people; default is the file's.
            version: version of what `name` names.
            kind: dataset, model, feature-set or file; default by role, else dataset.
            digest: `sha256:<hex>` where the bytes cannot be read here.
            rows: number of rows, where it cannot be counted here.
            source: where it came from, a URL if there is one.
            licence: SPDX identifier, URL, or text.
            collected: when it was collected, such as `2024-01/2024-06`.
            collector: who collected it.
            consent: consent or legal basis for personal data.
            vendor: who supplied it (third-party data, pre-trained models).
            description: free text.
            unknown: not recorded as such; kept as a note, so that nothing said is lost.
        """
        given = {
            "name": name,
            "version": version,
            "kind": kind,
            "digest": digest,
            "rows": rows,
            "source": source,
            "licence": licence or unknown.pop("license", None),
            "collected": collected,
            "collector": collector,
            "consent": consent,
            "vendor": vendor,
            "description": description,
        }
        entity = self._entity(thing, default_kind="dataset", role=role, given=given)
        self._record("use", Usage(entity=entity, role=role, at=self._run._now()))
        self._note_unknown("use", unknown)
        return Handle(entity)

    @_harmless(_unknown_handle)
    def generate(
        self,
        /,
        thing: Any,
        *,
        role: str | None = None,
        name: str | None = None,
        version: str | None = None,
        kind: str | None = None,
        digest: str | None = None,
        rows: int | None = None,
        licence: str | None = None,
        description: str | None = None,
        derived_from: Iterable[Any] | None = None,
        **unknown: Any,
    ) -> Handle:
        """Record an output. It counts as derived from all inputs of this run or step.

        Args:
            thing: path, URI, or object; the file must be complete by now.
            role: what it is: model, features, table, report, …
            name: what people call it; `name` and `version` make `churn:3`.
            version: version of what `name` names.
            kind: dataset, model, feature-set or file; default by role, else dataset for tables
                in memory and file for paths.
            digest: `sha256:<hex>` where the bytes cannot be read here.
            rows: number of rows, where it cannot be counted here.
            licence: SPDX identifier, URL, or text.
            description: free text.
            derived_from: exactly which inputs it was made from; `()` for none. Default: all inputs
                of this run or step except those in a measuring role (test, holdout).
            unknown: kept as a note.
        """
        given = {
            "name": name,
            "version": version,
            "kind": kind,
            "digest": digest,
            "rows": rows,
            "licence": licence or unknown.pop("license", None),
            "description": description,
        }
        is_path = isinstance(thing, str | os.PathLike)
        entity = self._entity(
            thing, default_kind="file" if is_path else "dataset", role=role, given=given
        )
        sources = None
        if derived_from is not None:
            one = isinstance(derived_from, Handle | str | os.PathLike)
            listed = [derived_from] if one else list(derived_from)
            sources = tuple(self._existing(source, "dataset") for source in listed)
        generation = Generation(entity=entity, role=role, at=self._run._now(), derived_from=sources)
        self._record("generate", generation)
        self._note_unknown("generate", unknown)
        return Handle(entity)

    @_harmless(lambda: None)
    def log_params(self, parameters: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Record parameters: plain values as they are, others as JSON or text."""
        values = {
            str(name): redact_value(str(name), plain)
            if isinstance(plain := things.plain_value(value), str)
            else plain
            for name, value in {**(parameters or {}), **more}.items()
        }
        self._write({"f": "parameters", "value": values})

    @_harmless(lambda: None)
    def log_metrics(
        self, metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any
    ) -> None:
        """Record metric values; with `step`, or more than once, they become a series.

        NaN and infinities are kept as what they are. A value that is no number is left out and
        said to be missing; the other values of the call are kept.
        """
        values: dict[str, float] = {}
        for name, value in ({**metrics, **more} if metrics and more else metrics or more).items():
            if type(value) is float:
                values[name] = value
                continue
            try:
                values[str(name)] = things.metric_value(value)
            except CaptureError as error:
                self._lost(f"metric {name}", str(error))
        fact: Fact = {"f": "metrics", "v": values, "t": int(self._run._clock() * 1000)}
        if step is not None:
            fact["n"] = int(step)
        self._write(fact)

    @_harmless(lambda: None)
    def note(self, text: str) -> None:
        """Record a remark in words."""
        shortened = things.plain_value(str(text))
        self._record("note", Note(text=str(shortened), at=self._run._now()))

    @_harmless(lambda: None)
    def missing(self, field: str, reason: str) -> None:
        """Record that a fact which should be here is not known, and why."""
        self._record("missing", Missing(field=field, reason=redact(reason)))

    def step(self, name: str, **parameters: Any) -> StepScope:
        """Open a nested preparation or feature step: `with run.step("clean", drop_na=True) as s:`."""
        return StepScope(self._run, parent=self._number, name=name, parameters=parameters)

    def _entity(
        self, thing: Any, *, default_kind: str, role: str | None, given: Mapping[str, Any]
    ) -> Entity:
        clean = {
            key: redact(value) if isinstance(value, str) else value for key, value in given.items()
        }
        entity = things.entity_of(thing, default_kind=default_kind, role=role, given=clean)
        if entity.missing and isinstance(thing, str | os.PathLike) and entity.uri is None:
            if self._run._strict:
                raise CaptureError(entity.missing[0].reason)
            self._run._say(f"recorded without a digest: {entity.missing[0].reason}")
        return entity

    def _existing(self, thing: Any, default_kind: str) -> Entity:
        """Find what a name means among the things of this run, else describe it afresh."""
        if isinstance(thing, str) and (known := self._run._named.get(thing)) is not None:
            return known
        return self._entity(thing, default_kind=default_kind, role=None, given={})

    def _record(self, kind: str, value: Any) -> None:
        self._write({"f": kind, "value": encode(value), "at": format_time(self._run._now())})
        if isinstance(value, Usage | Generation) and (name := value.entity.name) is not None:
            self._run._named[name] = value.entity
            if value.entity.version is not None:
                self._run._named[f"{name}:{value.entity.version}"] = value.entity

    def _write(self, fact: Fact) -> None:
        if self._number:
            fact["s"] = self._number
        self._run._write_fact(fact)

    def _lost(self, field: str, reason: str) -> None:
        """Say and record that something the user meant to record is not there."""
        if self._run._strict:
            raise CaptureError(f"{field}: {reason}")
        self._run._say(f"{field} was not recorded: {reason}")
        self._record("missing", Missing(field=field, reason=redact(reason)))

    def _fault(self, method: str, error: Exception) -> None:
        if self._run._strict:
            raise error
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        try:
            self._lost(method, reason)
        except Exception:
            logger.warning("provgraph could not record %s: %s", method, redact(reason))

    def _note_unknown(self, method: str, unknown: Mapping[str, Any]) -> None:
        for name, value in unknown.items():
            if self._run._strict:
                raise CaptureError(f"{method}: unknown argument {name!r}; see help(run.{method})")
            self._run._say(f"{method}: unknown argument {name!r} was kept as a note")
            plain = redact_value(name, str(things.plain_value(value)))
            self._record("note", Note(text=f"{method} {name}={plain}", at=self._run._now()))


class StepScope(Scope):
    """A step that is going; made by `run.step` or `step.step`."""

    def __init__(self, run: Run, *, parent: int, name: str, parameters: Mapping[str, Any]) -> None:
        self._run = run
        self._number = 0
        self._parent = parent
        self._name = name
        self._parameters = parameters
        self._started_s = 0.0
        self._started_at = datetime.min.replace(tzinfo=UTC)

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit(error)

    @_harmless(lambda: None)
    def rows(self, *, rows_in: int | None = None, rows_out: int | None = None) -> None:
        """State how many rows went in and came out, where the tables do not tell."""
        stated = {"in": rows_in, "out": rows_out}
        fact = {key: int(value) for key, value in stated.items() if value is not None}
        self._write({"f": "rows", **fact})

    @_harmless(lambda: None)
    def filter(
        self, condition: str, *, reason: str | None = None, rows_removed: int | None = None
    ) -> None:
        """Record rows that were left out on purpose, and why."""
        removed = None if rows_removed is None else int(rows_removed)
        self._record(
            "filter", Filter(condition=redact(str(condition)), reason=reason, rows_removed=removed)
        )

    @_harmless(lambda: None)
    def _enter(self) -> None:
        self._number = self._run._next_step()
        self._started_at, self._started_s = self._run._now(), self._run._monotonic()
        parameters = {
            name: redact_value(name, plain)
            if isinstance(plain := things.plain_value(value), str)
            else plain
            for name, value in self._parameters.items()
        }
        self._run._write_fact(
            {
                "f": "step",
                "n": self._number,
                "s": self._parent,
                "name": redact(str(self._name)),
                "parameters": parameters,
                "at": format_time(self._started_at),
            }
        )

    @_harmless(lambda: None)
    def _exit(self, error: BaseException | None) -> None:
        self._write(
            {"f": "step-end", **_ending(self._run, self._started_at, self._started_s, error)}
        )


class Run(Scope):
    """A run that is going; made by `provgraph.run`, entered with `with`."""

    def __init__(
        self,
        sink: Sink | None,
        *,
        name: str,
        project: str | None = None,
        experiment: str | None = None,
        owner: str | None = None,
        plan: str | None = None,
        tags: Mapping[str, Any] | None = None,
        parent: str | Run | None = None,
        resume: str | bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Prepare a run; nothing is read or written before it is entered."""
        self._run = self
        self._number = 0
        self._is_off = sink is None
        self._sink = sink
        self._strict = strict
        self._clock = clock
        self._monotonic = monotonic
        self._environ = environ
        self._lock = threading.RLock()
        self._state = RunState()
        self._journal: Journal | None = None
        self._owner_pid = os.getpid()
        self._step_count = 0
        self._named: dict[str, Entity] = {}
        self._said: set[str] = set()
        self._tokens: list[contextvars.Token[Run | None]] = []
        self._parent_before: str | None = None
        self._started_s = 0.0
        self._started_at = datetime.min.replace(tzinfo=UTC)
        self._given: dict[str, Any] = {
            "name": str(name),
            "project": project,
            "experiment": experiment,
            "owner": owner,
            "plan": None if plan is None else str(plan),
            "rank": rank,
            "world_size": world_size,
        }
        self._tags = dict(tags or {})
        self._parent = parent
        self._resume = resume
        self.id: str = new_run_id(clock)
        self.receipt: Receipt | None = None
        """Where the record stands in the ledger; None until sealed, or if it could not be."""

    def __enter__(self) -> Self:
        self._enter()
        self._tokens.append(_current.set(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tokens:
            try:
                _current.reset(self._tokens.pop())
            except ValueError:  # left in another context (a generator, another task)
                logger.debug("run left in another context run=%s", self.id)
        if os.getpid() == self._owner_pid:
            self._close(error)

    @_harmless(lambda: None)
    def log_tags(self, tags: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Record labels to find the run by."""
        values = {
            str(name): redact_value(str(name), str(things.plain_value(value)))
            for name, value in {**(tags or {}), **more}.items()
        }
        self._write({"f": "tags", "value": values})

    @_harmless(lambda: None)
    def evaluate(
        self,
        /,
        model: Any,
        data: Any,
        *,
        metric: str,
        value: Any,
        interval: tuple[float, float] | tuple[float, float, float] | None = None,
        interval_method: str | None = None,
        n: int | None = None,
        slice: str | None = None,  # noqa: A002 - the field's own word, keyword only
        threshold: float | str | None = None,
        implementation: str | None = None,
        test: str | None = None,
        **unknown: Any,
    ) -> None:
        """Record a measured quality of a model on data.

        Args:
            model: handle, path, object, or the name of something this run recorded.
            data: the same.
            metric: name, such as `roc_auc`.
            value: the measured value.
            interval: (low, high) or (low, high, level).
            interval_method: such as `bootstrap, 1000 resamples`.
            n: number of examples measured on.
            slice: which part of the data, in words; None for all of it.
            threshold: number or comparison (`>= 0.9`); a bare number means at least, or at most
                for losses and errors.
            implementation: what computed it, such as `sklearn.metrics.roc_auc_score`.
            test: a statistical test and its result, in words.
            unknown: kept as a note.
        """
        measured = things.metric_value(value)
        text, met = things.judge(metric, measured, threshold)
        evaluation = Evaluation(
            model=None if model is None else self._existing(model, "model"),
            data=None if data is None else self._existing(data, "dataset"),
            metric=str(metric),
            value=measured,
            interval=None if interval is None else (float(interval[0]), float(interval[1])),
            interval_level=float(interval[2]) if interval and len(interval) == 3 else None,
            interval_method=interval_method,
            n=None if n is None else int(n),
            slice=None if slice is None else str(slice),
            threshold=text,
            threshold_met=met,
            implementation=implementation,
            test=test,
            at=self._now(),
        )
        self._record("evaluation", evaluation)
        self._note_unknown("evaluate", unknown)

    # ---- life cycle ------------------------------------------------------------------------------
    @_harmless(lambda: None)
    def _enter(self) -> None:
        assert self._sink is not None
        self._started_at, self._started_s = self._now(), self._monotonic()
        start: Fact = {
            "f": "start",
            "version": 1,
            "run": self.id,
            "record": str(uuid.UUID(self.id)),
            "at": format_time(self._started_at),
            "parent": self._parent_id(),
            "resumes": self._resumed_id(),
        }
        start |= {key: redact(v) if isinstance(v, str) else v for key, v in self._given.items()}
        owner = start["owner"]
        start["owner"] = None if owner is None else encode(Agent(name=owner))
        self._journal = self._open_journal()
        self._write_fact({key: value for key, value in start.items() if value is not None})
        self._probe()
        if owner is None:
            reason = "no owner was given; pass owner= or set PROVGRAPH_OWNER"
            self._record("missing", Missing(field="owner", reason=reason))
        if self._tags:
            self.log_tags(self._tags)
        self._parent_before = os.environ.get(PARENT_VARIABLE)
        os.environ[PARENT_VARIABLE] = self.id

    def _probe(self) -> None:
        """Record invocation, environment and source code; each fails alone."""
        from provgraph.capture.invocation import probe_invocation

        probes: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("invocation", lambda: encode(probe_invocation(self._environ, sys.orig_argv))),
            ("environment", _environment_fact),
            ("source", lambda: encode(_source_code(self._monotonic()))),
        )
        for kind, probe in probes:
            try:
                self._write_fact({"f": kind, "value": probe()})
            except Exception as error:
                self._fault(kind, error)

    @_harmless(lambda: None)
    def _close(self, error: BaseException | None) -> None:
        assert self._sink is not None
        if os.environ.get(PARENT_VARIABLE) == self.id:
            if self._parent_before is None:
                del os.environ[PARENT_VARIABLE]
            else:
                os.environ[PARENT_VARIABLE] = self._parent_before
        ending = _ending(self, self._started_at, self._started_s, error)
        self._write_fact({"f": "end", **ending})
        journal = self._journal
        if journal is not None and journal.has_foreign_lines():
            # Forked children wrote too; their facts are only in the file.
            unwritten = list(journal.unwritten)
            self._state = replay([*read_journal(journal.path), *unwritten])
        is_sealed = False
        try:
            self.receipt = self._sink.seal(self._state)
            is_sealed = True
        except Exception as fault:
            if self._strict:
                raise
            kept = "nowhere" if journal is None else str(journal.path)
            self._say(
                f"run {self.id} is not in the ledger yet: {fault}. Its facts are kept in {kept}"
            )
        finally:
            if journal is not None:
                journal.close(remove=is_sealed)

    def _open_journal(self) -> Journal | None:
        assert self._sink is not None
        faults = []
        for folder in (self._sink.journal_folder(), fallback_folder()):
            try:
                journal = Journal.create(folder, self.id)
            except OSError as error:
                faults.append(f"{folder}: {error.strerror or error}")
                continue
            if faults:
                self._say(f"journal in {folder}, since {faults[0]}")
            return journal
        self._say(f"no journal, facts are only in memory until the run ends ({'; '.join(faults)})")
        return None

    def _parent_id(self) -> str | None:
        if isinstance(self._parent, Run):
            return self._parent.id
        if self._parent is not None:
            return str(self._parent).rsplit("/", 1)[-1]
        around = current_run()
        return around.id if around is not None else self._environ.get(PARENT_VARIABLE) or None

    def _resumed_id(self) -> str | None:
        if self._resume is True:
            assert self._sink is not None
            try:
                return self._sink.last_run(name=self._given["name"], project=self._given["project"])
            except Exception as error:
                self._say(f"the run to resume could not be looked up: {error}")
                return None
        return str(self._resume).rsplit("/", 1)[-1] if self._resume else None

    def _write_fact(self, fact: Fact) -> None:
        with self._lock:
            if self._journal is not None:
                self._journal.write(fact)
                if self._journal.fault is not None:
                    self._say(
                        f"journal {self._journal.path}: {self._journal.fault}; facts stay in memory"
                    )
            self._state.apply(fact)

    def _next_step(self) -> int:
        with self._lock:
            self._step_count += 1
            return self._step_count

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _say(self, text: str) -> None:
        """Say something once per run; a warning a thousand times over is noise."""
        if text not in self._said:
            self._said.add(text)
            logger.warning("provgraph: %s", redact(text))


class RunFactory:
    """What `provgraph.run(…)` returns: a context manager for one run, a decorator for many."""

    def __init__(self, make: Callable[[], Run]) -> None:
        self._make = make
        self._open: list[Run] = []

    def __enter__(self) -> Run:
        run = self._make()
        self._open.append(run)
        return run.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.pop().__exit__(kind, error, trace)

    def __call__(self, function: Callable[A, R]) -> Callable[A, R]:
        """Record every call of a function as a run; inside, `provgraph.current_run()` is it."""

        @functools.wraps(function)
        def recorded(*args: A.args, **kwargs: A.kwargs) -> R:
            with self._make():
                return function(*args, **kwargs)

        return recorded


def new_run_id(clock: Callable[[], float] = time.time) -> str:
    """Mint a UUID of version 7 (RFC 9562): sorted by time, unique without asking anyone."""
    value = (int(clock() * 1000) & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def _ending(run: Run, started_at: datetime, started_s: float, error: BaseException | None) -> Fact:
    """Return how a run or step ended, on both clocks."""
    duration_s = max(0.0, run._monotonic() - started_s)
    ended_at, drift_s = elapsed_end(started_at, run._now(), duration_s)
    if drift_s < -CLOCK_TOLERANCE_S:
        reason = f"the clock was set back by about {-drift_s:.0f} s meanwhile; durations are right"
        run._record("missing", Missing(field="clock", reason=reason))
    fact: Fact = {
        "ended_at": format_time(ended_at),
        "duration_s": round(duration_s, 6),
        "status": "completed",
    }
    if isinstance(error, SystemExit) and error.code in {None, 0}:
        fact["exit_code"] = 0
    elif error is not None:
        fact["status"] = "abandoned" if isinstance(error, KeyboardInterrupt) else "failed"
        fact["reason"] = redact(_reason(error))
        if isinstance(error, SystemExit):
            fact["exit_code"] = error.code if isinstance(error.code, int) else 1
    return fact


def _reason(error: BaseException) -> str:
    """Say what went wrong and where, without a stack trace."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted by the user"
    text = str(error)
    text = f"{type(error).__name__}: {text[:2000]}" if text else type(error).__name__
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return text
    code = trace.tb_frame.f_code
    return f"{text} (in {code.co_name}, {Path(code.co_filename).name}:{trace.tb_lineno})"


@functools.cache
def _environment_fact() -> Any:
    from provgraph.capture.environment import probe_environment

    environment: Environment = probe_environment()
    return encode(environment)


_source_cache: dict[str, tuple[float, SourceCode]] = {}


def _source_code(now_s: float) -> SourceCode:
    """Return the state of the source around the entry script, else around the working folder."""
    from provgraph.capture.source import probe_source

    main = getattr(sys.modules.get("__main__"), "__file__", None)
    start = os.path.dirname(os.path.abspath(main)) if main else os.getcwd()
    known = _source_cache.get(start)
    if known is None or not 0 <= now_s - known[0] < SOURCE_FRESH_S:
        known = _source_cache[start] = (now_s, probe_source(Path(start)))
    return replace(known[1])
