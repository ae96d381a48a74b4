"""Replays of a drift verdict: a user's function runs the pipeline with factors swapped.

Each replay is a run of its own in the ledger, named `drift replay`, with its mix as parameters and the
metric it gave, so that an auditor sees what was tried. A function that raises or takes too long costs that
run; three in a row end it, with what it said.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from provgraph import vocab
from provgraph.drift.facts import DATA_CATEGORIES, UNRECORDED
from provgraph.drift.noise import is_lower_better
from provgraph.drift.replaying import (
    REPRODUCED,
    Mix,
    Replay,
    Replayed,
    Runs,
    Watch,
    replay_factors,
)
from provgraph.drift.verdict import (
    INSUFFICIENT,
    ORIGIN,
    UNRECORDED_FACTOR,
    Candidate,
    Verdict,
    summarise,
)
from provgraph.errors import UsageError
from provgraph.frozen import dataclass, replace
from provgraph.service.api import run as open_run
from provgraph.service.drifting import Found

RIGHT_WHEN_VERIFIED: Final = 0.97
"""What is said of a cause that a replay has verified. Assumed: replays were not measured on the benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How far a replay may go."""

    budget: int = 20
    seeds: tuple[int, ...] = (0,)
    timeout_s: float = 600.0
    state: Path | None = None


def load_function(named: str) -> Replay:
    """Return what `module:function` names; the working folder is looked in as well.

    Raises:
        UsageError: there is none, or it cannot be called.
    """
    module_name, _, name = named.partition(":")
    if not module_name or not name:
        raise UsageError(f"expected --replay module:function, found {named!r}")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise UsageError(f"cannot load {named}: {type(error).__name__}: {error}") from None
    if not callable(found):
        raise UsageError(f"{named} is a {type(found).__name__}; expected a function of (mix, seed)")
    function: Replay = found
    return function


def replay(
    found: Found,
    function: Replay,
    options: Options,
    *,
    watch: Watch | None = None,
    by: str | None = None,
) -> tuple[Found, list[str]]:
    """Replay a verdict's suspects; return the verdict that follows, and the IRIs of the runs made.

    Raises:
        UsageError: nothing to replay, or the function fails again and again.
    """
    verdict = found.verdict
    factors = list(dict.fromkeys(path for each in verdict.candidates for path in each.factors))
    if not factors or not verdict.drop.size > 0:
        raise UsageError(
            "there is nothing to replay: "
            + ("no recorded factor changed" if not factors else "the value did not get worse")
        )
    made: list[str] = []
    runs = Runs(
        _recorded(function, made, options.timeout_s, metric=verdict.drop.metric, by=by),
        budget=options.budget,
        state=options.state,
        watch=watch,
    )
    shown = replay_factors(
        runs,
        factors,
        recorded_drop=verdict.drop.size,
        seeds=options.seeds,
        sign=-1.0 if is_lower_better(verdict.drop.metric) else 1.0,
    )
    notes = (*verdict.notes, f"replay: {shown.why} ({shown.runs} runs)", *runs.failures)
    judged = replace(_judged(verdict, shown), replays=shown.runs, notes=notes)
    return replace(found, verdict=replace(judged, summary=summarise(judged))), made


def _judged(verdict: Verdict, shown: Replayed) -> Verdict:
    """Return the verdict that replays lead to."""
    if shown.is_complete and shown.reproduced < REPRODUCED:
        return replace(verdict, outcome=UNRECORDED_FACTOR, candidates=_last(verdict.candidates))
    candidates = []
    verified = set(shown.verified)
    for each in verdict.candidates:
        share = max(
            (shown.shares[path] for path in each.factors if path in shown.shares), default=None
        )
        candidates.append(replace(each, recovered=share))
    if not verified:
        outcome = INSUFFICIENT if not shown.is_complete or not shown.shares else verdict.outcome
        return replace(verdict, outcome=outcome, candidates=tuple(candidates))
    data = [
        each.share
        for each in candidates
        if each.category in DATA_CATEGORIES and verified & {*each.factors}
    ]
    ranked = []
    for each in candidates:
        if not verified & {*each.factors}:
            ranked.append(replace(each, confidence=(1 - RIGHT_WHEN_VERIFIED) / len(candidates)))
            continue
        # A replay convicts the data; which kind of change it was is still the profiles' word.
        is_data = each.category in DATA_CATEGORIES and sum(data) > 0
        part = each.share / sum(data) if is_data else 1.0
        confidence = RIGHT_WHEN_VERIFIED * part
        status = "verified" if part >= 0.5 else "hypothesis"
        ranked.append(replace(each, confidence=confidence, status=status))
    ranked.sort(
        key=lambda each: (-((each.recovered or 0.0) >= 0.25) * each.confidence, -each.confidence)
    )
    return replace(verdict, outcome=ORIGIN, candidates=tuple(ranked), caps=())


def _last(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Put what is outside of the record first."""
    first = [each for each in candidates if each.category == UNRECORDED]
    rest = [each for each in candidates if each.category != UNRECORDED]
    low = (1 - RIGHT_WHEN_VERIFIED) / max(len(rest), 1)
    return (
        *(replace(each, confidence=RIGHT_WHEN_VERIFIED, status="verified") for each in first),
        *(replace(each, confidence=low) for each in rest),
    )


def _recorded(
    function: Replay, made: list[str], timeout_s: float, *, metric: str, by: str | None
) -> Replay:
    """Wrap a function so that each call is a run in the ledger, and ends in time."""

    def replayed(mix: Mix, seed: int) -> float:
        with open_run("drift replay", project="drift replays", owner=by, profile=False) as run:
            run.log_params({f"mix.{name}": side for name, side in mix.items()}, seed=seed)
            with _within(timeout_s):
                value = float(function(mix, seed))
            run.log_metrics({metric or "metric": value})
        made.append(vocab.run_iri(run.id))
        return value

    return replayed


@contextmanager
def _within(timeout_s: float) -> Iterator[None]:
    """Raise TimeoutError in the block when its time is over; only in a main thread, between bytecodes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"a replay took longer than {timeout_s:g} s")

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
