"""The capture API: `with provgraph.run(…) as run:`. It must never hurt the run that it records.

No public method raises into the caller's code (unless strict, as under pytest): what could not be
recorded is said once on the logger `provgraph`, and recorded as missing with the reason. No method
waits for a lock of another process; sealing happens once, when the block ends.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from provgraph.capture import open_runs
from provgraph.capture.code import probe_code
from provgraph.capture.facts import Told
from provgraph.capture.identifiers import new_id
from provgraph.capture.open_runs import current_run
from provgraph.capture.profiled import Attachments, profile_bytes
from provgraph.capture.recorder import Recorder
from provgraph.capture.scope import Scope, harmless
from provgraph.capture.sinks import Receipt, Sink
from provgraph.capture.state import JOURNAL_VERSION, Start
from provgraph.capture.surroundings import automatic_facts
from provgraph.capture.values import (
    describe_error,
    judge,
    metric_value,
    plain_name,
    plain_parameter,
    plain_text,
    whole_number,
)
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import CaptureError
from provgraph.loading import import_lock
from provgraph.records import Agent, Evaluation, GoldenPredictions, Missing

if TYPE_CHECKING:
    from provgraph.capture.predictions import Compared
    from provgraph.capture.profiling.limits import Limits

__all__ = ["Run", "RunFactory", "current_run"]

R = TypeVar("R")
A = ParamSpec("A")


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
        unknown: Mapping[str, Any] | None = None,
        strict: bool = False,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Prepare a run; nothing is read or written before it is entered.

        `sink` None records nothing. `unknown` are arguments that the caller gave and nobody knows.
        """
        self.id: str = new_id(clock)
        self.receipt: Receipt | None = None
        """Where the record stands in the ledger; None until sealed, or if it could not be."""
        self._key = 0
        self._recorder = None
        if sink is not None:
            self._recorder = Recorder(
                sink,
                run_id=self.id,
                is_strict=strict,
                limits=limits,
                clock=clock,
                monotonic=monotonic,
            )
        self._began_at_s = time.time()  # as files have it, whatever clock was given
        self._sink = sink
        self._environ = environ
        self.is_over = False
        self.around: Run | None = None
        """The run that was open in the same context when this one was entered."""
        self._given: dict[str, Any] = {
            "name": name,
            "project": project,
            "experiment": experiment,
            "owner": owner,
            "plan": plan,
            "tags": tags,
            "parent": parent,
            "resume": resume,
            "rank": rank,
            "world_size": world_size,
        }
        self._unknown = unknown or {}

    def __enter__(self) -> Self:
        self.around = current_run()
        try:
            self._start_run()
        except BaseException:  # in strict mode; the block is not entered, so it is not left either
            self.is_over = True
            open_runs.withdraw(self)
            if self._recorder is not None:
                self._recorder.discard()
            raise
        open_runs.current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._recorder is None or self._recorder.is_owner:
            self.is_over = True
            open_runs.current.set(current_run())
            self._end_run(error)

    @harmless(lambda: None)
    def log_tags(self, tags: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Record labels to find the run by."""
        values: dict[str, str] = {}
        for given, value in ({**tags, **more} if tags else more).items():
            name = plain_name(given)
            try:
                values[name] = str(plain_parameter(name, value))
            except CaptureError as error:
                self._lost(f"tag {name}", error)
        self._write({"f": "tags", "value": values}, part=values)

    @harmless(lambda: None)
    def evaluate(
        self,
        /,
        model: Any,
        data: Any,
        *,
        metric: str,
        value: Any = None,
        y_true: Any = None,
        y_pred: Any = None,
        role: str | None = None,
        interval: tuple[float, float] | tuple[float, float, float] | None = None,
        interval_method: str | None = None,
        n: int | None = None,
        slice: str | None = None,  # noqa: A002 - the field's own word, keyword only
        threshold: float | str | None = None,
        implementation: str | Callable[..., Any] | None = None,
        test: str | None = None,
        **unknown: Any,
    ) -> None:
        """Record a measured quality of a model on data.

        Args:
            model: handle, path, object, or the name of something this run recorded.
            data: the same.
            metric: name, such as `roc_auc`.
            value: the measured value; with `y_true` and `y_pred` it may be left out where the
                metric is one that provgraph computes: accuracy, balanced_accuracy, f1_macro,
                log_loss, brier, roc_auc, mae, rmse, r2, spearman.
            y_true: what was true: one class or number a row.
            y_pred: what the model said of the same rows: classes, probabilities of the class 1, or
                numbers. Counted and profiled; rows are not kept.
            role: what the data was to the model: train, validation or test.
            interval: (low, high) or (low, high, level).
            interval_method: such as `bootstrap, 1000 resamples`.
            n: number of examples measured on.
            slice: which part of the data, in words; None for all of it.
            threshold: number or comparison (`>= 0.9`); a bare number means at least, or at most
                for losses and errors.
            implementation: what computed it: a function, or its name such as
                `sklearn.metrics.roc_auc_score`.
            test: a statistical test and its result, in words.
            unknown: kept as a note.
        """
        name = plain_name(metric)

        def read(field: str, how: Callable[[Any], R], given: Any) -> R | None:
            # One argument that makes no sense costs itself, not what was measured.
            try:
                return None if given is None else how(given)
            except Exception as error:
                reason = str(error) if isinstance(error, CaptureError) else describe_error(error)
                self._told.lost(f"{name} {field}", reason.removeprefix(f"{field}: "))
                return None

        compared, predictions = self._compared(name, y_true, y_pred)
        if value is None and compared is not None and name in compared.metrics:
            value = compared.metrics[name]
        if value is None:
            raise CaptureError(
                f"evaluate {name}: expected a value, or y_true and y_pred and a metric that can be"
                " computed from them"
            )
        measured = metric_value(value)
        if n is None and compared is not None:
            n = compared.n
        judged = read("threshold", lambda bound: judge(name, measured, bound), threshold)
        bounds = read("interval", _bounds, interval)
        evaluation = Evaluation(
            model=None if model is None else self._existing(model, "model"),
            data=None if data is None else self._existing(data, "dataset"),
            metric=name,
            value=measured,
            interval=None if bounds is None else (bounds[0], bounds[1]),
            interval_level=None if bounds is None or len(bounds) == 2 else bounds[2],
            interval_method=read("interval_method", plain_text, interval_method),
            n=read("n", _whole, n),
            slice=read("slice", plain_text, slice),
            threshold=None if judged is None else judged[0],
            threshold_met=None if judged is None else judged[1],
            implementation=read("implementation", _function_name, implementation),
            test=read("test", plain_text, test),
            at=self._told.now(),
            role=read("role", plain_text, role),
            standard={} if compared is None else compared.metrics,
            outcomes=None
            if compared is None or compared.outcomes is None
            else sha256_bytes(compared.outcomes),
            predictions=predictions,
        )
        if compared is not None and compared.outcomes is not None:
            self._told.attach({sha256_bytes(compared.outcomes): compared.outcomes})
        self._record("evaluation", evaluation)
        self._note_unknown("evaluate", unknown)

    @harmless(lambda: None)
    def golden(self, name: str, /, ids: Any, predictions: Any, *, model: Any = None) -> None:
        """Record what a model says of a golden set: rows that stay the same from run to run.

        Where two runs differ on it, their model or code does, and not their data.

        Args:
            name: of the set, such as `golden-2026`.
            ids: what names each row, once; kept as hashes.
            predictions: a class, a number, or a row of scores for each id. Of more than 10,000
                those with the smallest hashes are kept.
            model: handle, path, object, or the name of something this run recorded.
        """
        with import_lock:
            from provgraph.capture import predictions as predicted

        content, count, kept = predicted.golden_bytes(ids, predictions)
        attachments: Attachments = {sha256_bytes(content): content}
        profile = self._profile_of(f"golden set {plain_text(name)}", {"prediction": predictions})
        golden = GoldenPredictions(
            name=plain_text(name),
            model=None if model is None else self._existing(model, "model"),
            n=count,
            kept=kept,
            attachment=sha256_bytes(content),
            profile=profile,
            at=self._told.now(),
        )
        self._told.attach(attachments)
        self._record("golden", golden)

    def _compared(
        self, name: str, y_true: Any, y_pred: Any
    ) -> tuple[Compared | None, Digest | None]:
        """Return predictions compared with the truth, and the digest of their profile."""
        if y_true is None and y_pred is None:
            return None, None
        limits = self._told.limits
        try:
            with import_lock:
                from provgraph.capture import predictions as predicted

            if y_true is None or y_pred is None:
                raise CaptureError("y_true and y_pred: expected both or none of them")
            compared = predicted.compare(
                y_true, y_pred, lists_values=limits is None or limits.lists_values
            )
            columns = predicted.columns(y_true, y_pred)
        except Exception as error:
            reason = str(error) if isinstance(error, CaptureError) else describe_error(error)
            self._told.lost(f"{name} predictions", reason)
            return None, None
        return compared, self._profile_of(f"predictions of {name}", columns, label="y_true")

    def _profile_of(self, what: str, table: Any, *, label: str | None = None) -> Digest | None:
        if self._told.limits is None:
            return None
        try:
            data = profile_bytes(table, limits=self._told.limits, label=label)
        except CaptureError as error:
            self._told.say(f"no profile of {what}: {error}")
            return None
        if data is None:
            return None
        digest = sha256_bytes(data)
        self._told.attach({digest: data})
        return digest

    # ---- life cycle ------------------------------------------------------------------------------
    @harmless(lambda: None)
    def _start_run(self) -> None:
        recorder = self._told
        unreadable: list[Missing] = []

        def read(field: str, how: Callable[[Any], R], value: Any) -> R | None:
            try:
                return None if value is None else how(value)
            except Exception as error:
                reason = str(error) if isinstance(error, CaptureError) else describe_error(error)
                unreadable.append(Missing(field=field, reason=reason))
                return None

        given = self._given
        owner = read("owner", plain_text, given["owner"])
        recorder.begin(
            Start(
                version=JOURNAL_VERSION,
                run=self.id,
                record=self.id,
                name=read("name", plain_text, given["name"]) or "run",
                at=recorder.started_at,
                project=read("project", plain_text, given["project"]),
                experiment=read("experiment", plain_text, given["experiment"]),
                owner=None if owner is None else Agent(name=owner),
                plan=read("plan", plain_text, given["plan"]),
                parent=read("parent", self._parent_id, given["parent"]) or self._parent_around(),
                resumes=read("resumes", self._resumed_id, given["resume"]),
                rank=read("rank", _count, given["rank"]),
                world_size=read("world_size", _count, given["world_size"]),
            )
        )
        open_runs.announce(self)
        for each in unreadable:
            recorder.lost(each.field, each.reason)
        for kind, probe in automatic_facts(self._environ, sys.orig_argv, recorder.monotonic()):
            recorder.attempt(kind, functools.partial(_write_probe, recorder, probe))
        if given["owner"] is None:
            reason = "no owner was given; pass owner= or set PROVGRAPH_OWNER"
            self._record("missing", Missing(field="owner", reason=reason))
        if given["tags"]:
            self.log_tags(given["tags"])
        self._note_unknown("run", self._unknown)

    @harmless(lambda: None)
    def _end_run(self, error: BaseException | None) -> None:
        open_runs.withdraw(self)
        self._told.attempt("code", self._record_code)
        self.receipt = self._told.end(error)

    def _record_code(self) -> None:
        # At the end: by then all modules that the run needs have been loaded.
        code = probe_code(began_at_s=self._began_at_s)
        if code is None:
            return
        if code.content is not None:
            digest = sha256_bytes(code.content)
            self._told.attach({digest: code.content})
            self._record("code", digest)
        if code.left_out:
            shown = "; ".join(code.left_out[:5])
            more = f"; and {len(code.left_out) - 5} more" if len(code.left_out) > 5 else ""
            self._record("missing", Missing(field="code", reason=shown + more))

    def _parent_id(self, parent: Any) -> str:
        return parent.id if isinstance(parent, Run) else plain_text(parent).rsplit("/", 1)[-1]

    def _parent_around(self) -> str | None:
        if self.around is not None:
            return self.around.id
        return open_runs.inherited_parent(self._environ)

    def _resumed_id(self, resume: Any) -> str | None:
        if resume is True and self._sink is not None:
            name, project = self._given["name"], self._given["project"]
            return self._sink.last_run(
                name=plain_text(name), project=None if project is None else plain_text(project)
            )
        return plain_text(resume).rsplit("/", 1)[-1] if resume else None

    def _after_fork(self) -> None:
        if self._recorder is not None:
            self._recorder._after_fork()


class RunFactory:
    """What `provgraph.run(…)` returns: a context manager for one run, a decorator for many."""

    def __init__(self, make: Callable[[], Run]) -> None:
        self._make = make
        self._open: list[Run] = []

    def __enter__(self) -> Run:
        run = self._make().__enter__()
        self._open.append(run)
        return run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Threads may share a factory: the run of this one is the one that is open in its context.
        run = current_run()
        if run is None or run not in self._open:
            run = self._open[-1]
        self._open.remove(run)
        run.__exit__(kind, error, trace)

    def __call__(self, function: Callable[A, R]) -> Callable[A, R]:
        """Record every call of a function as a run; inside, `provgraph.current_run()` is it.

        The run of a coroutine function lasts until it has returned, that of a generator function
        until the last item.
        """
        recorded: Callable[A, R] = _recorded(self._make, function)
        return recorded


def _recorded(make: Callable[[], Run], function: Any) -> Any:
    with import_lock:  # only decorators need it
        import inspect

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def recorded(*args: Any, **kwargs: Any) -> Any:
            with make():
                return await function(*args, **kwargs)

    elif inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def recorded(*args: Any, **kwargs: Any) -> Any:
            with make():
                async for item in function(*args, **kwargs):
                    yield item

    elif inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            with make():
                return (yield from function(*args, **kwargs))

    else:

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            with make():
                return function(*args, **kwargs)

    return recorded


def _write_probe(recorder: Recorder, probe: Callable[[], Told]) -> None:
    told = probe()
    recorder.write(told.fact, part=told.part, line=told.line)


def _count(value: Any) -> int:
    return whole_number(value, "expected of a process among several")


def _whole(value: Any) -> int:
    return whole_number(value, "n")


def _bounds(interval: Any) -> list[float]:
    bounds = [metric_value(bound) for bound in interval]
    if len(bounds) not in {2, 3}:
        raise CaptureError(f"expected (low, high[, level]), found {len(bounds)} values")
    return bounds


def _function_name(function: Any) -> str:
    """Return `sklearn.metrics.roc_auc_score` for the function, or a name as it is."""
    if callable(function) and hasattr(function, "__qualname__"):
        return plain_text(f"{function.__module__}.{function.__qualname__}")
    return plain_text(function)
