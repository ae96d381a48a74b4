"""Replay: run the pipeline again with factors swapped, until it is clear which of them did it.

The user gives a function of (mix, seed): `mix` maps the path of each changed factor to `before` or
`after`; it runs the pipeline so and returns the metric. Order:

1. The end points with common seeds. Less than 30 % of the recorded drop between them: what did it is not
   among the recorded factors. A repeated end point with one seed shows whether the function is
   deterministic; if it is not, its spread is the noise.
2. Factors in the order of suspicion, swapped back one at a time in the drifted mix, and forward in the
   healthy one where that leaves it open; a factor that recovers 75 % in the mean of both is verified.
3. If none does and at most five are left: exact Shapley values over all mixes; beyond five: swaps stand.

Each run counts against the budget, and is kept in a state file, so that a replay that was stopped goes on.
Nothing here knows of the ledger: who calls records each run.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from provgraph.errors import UsageError
from provgraph.frozen import dataclass

Mix = Mapping[str, str]
Replay = Callable[[Mix, int], float]
"""Runs the pipeline with a mix and a seed; may raise what a user's code raises."""
Watch = Callable[[int, int, Mix, int, float | None], None]
"""Called with (runs done, budget, mix, seed, metric or None where the run failed)."""

BEFORE, AFTER = "before", "after"
REPRODUCED: Final = 0.3
RECOVERED: Final = 0.75
MAX_SHAPLEY: Final = 5
MAX_FAILURES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What replays showed. Shares are of the drop between the replayed end points."""

    reproduced: float  # of the recorded drop; below REPRODUCED the cause is not among the factors
    drop: float
    shares: Mapping[str, float]  # factor -> share that swapping it recovers
    verified: tuple[str, ...]
    runs: int
    noise: float  # largest difference of equal runs
    is_complete: bool  # False: the budget ended it
    why: str


class BudgetSpentError(Exception):
    """No run is left."""


class Runs:
    """Runs mixes, each at most once, within a budget, through a file that survives the process."""

    def __init__(
        self, replay: Replay, *, budget: int, state: Path | None, watch: Watch | None = None
    ) -> None:
        self._replay, self._budget, self._state, self._watch = replay, budget, state, watch
        self._known: dict[str, float] = {}
        self.failures: list[str] = []
        self.new = 0
        if state is not None and state.is_file():
            self._known = _read_state(state)

    @property
    def count(self) -> int:
        """How many runs there were, those before a stop included."""
        return len(self._known)

    def metric(self, mix: Mix, seed: int, *, attempt: int = 0) -> float:
        """Return the metric of a mix, from the file or by running it.

        Raises:
            BudgetSpentError: no run is left.
            UsageError: the function fails again and again, or returns no number.
        """
        key = json.dumps([sorted(mix.items()), seed, attempt])
        if key in self._known:
            return self._known[key]
        if self.count >= self._budget:
            raise BudgetSpentError
        try:
            value = float(self._replay(dict(mix), seed))
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}"[:300])
            if self._watch is not None:
                self._watch(self.count, self._budget, mix, seed, None)
            if len(self.failures) >= MAX_FAILURES:
                raise UsageError(
                    f"the replay function failed {MAX_FAILURES} times, last with {self.failures[-1]};"
                    f" it gets (mix, seed) with mix such as {dict(mix)!r} and returns the metric"
                ) from None
            return self.metric(mix, seed, attempt=attempt)
        if not math.isfinite(value):
            raise UsageError(f"the replay function returned {value} for {dict(mix)!r}, seed {seed}")
        self._known[key] = value
        self.new += 1
        if self._state is not None:
            _write_state(self._state, self._known)
        if self._watch is not None:
            self._watch(self.count, self._budget, mix, seed, value)
        return value


def replay_factors(
    runs: Runs,
    factors: Sequence[str],
    *,
    recorded_drop: float,
    seeds: Sequence[int] = (0,),
    sign: float = 1.0,
) -> Replayed:
    """Find which factors did it.

    Args:
        runs: runs mixes.
        factors: paths, the most suspect first.
        recorded_drop: how much worse the recorded value was, positive.
        seeds: common to all mixes.
        sign: 1 where higher is better, -1 where lower is.
    """
    shares: dict[str, float] = {}
    verified: list[str] = []

    def value(changed: frozenset[str]) -> float:
        mix = {name: AFTER if name in changed else BEFORE for name in factors}
        return sign * sum(runs.metric(mix, seed) for seed in seeds) / len(seeds)

    everything = frozenset(factors)
    noise = drop = 0.0
    try:
        healthy, drifted = value(frozenset()), value(everything)
        drop = healthy - drifted
        again = runs.metric(dict.fromkeys(factors, AFTER), seeds[0], attempt=1)
        noise = abs(sign * again - sign * runs.metric(dict.fromkeys(factors, AFTER), seeds[0]))
        reproduced = drop / recorded_drop if recorded_drop > 0 else 0.0
        if reproduced < REPRODUCED or drop <= 2 * noise:
            why = (
                f"with everything as after, {reproduced:.0%} of the recorded drop comes back"
                if drop > 2 * noise or reproduced < REPRODUCED
                else "equal runs differ as much as the two ends: the function is not deterministic"
            )
            return _replayed(
                runs, reproduced=reproduced, drop=drop, shares={}, verified=(), noise=noise, why=why
            )
        for name in factors:
            back = (value(everything - {name}) - drifted) / drop
            share = back
            if back > 0.2 or len(factors) == 1:
                forward = (healthy - value(frozenset({name}))) / drop
                share = (back + forward) / 2
            shares[name] = share
            if share >= RECOVERED:
                verified.append(name)
                return _replayed(runs, reproduced=reproduced, drop=drop, shares=shares, verified=verified, noise=noise,
                    why=f"swapping {name} alone recovers {share:.0%} of the drop",
                )  # fmt: skip
        players = [name for name in factors if abs(shares[name]) > 0.05] or list(factors)
        if len(players) <= MAX_SHAPLEY:
            shares |= _shapley(value, players, drop)
        verified = [name for name in factors if shares[name] >= 0.25]
        why = "no factor alone recovers 75 %; the drop is divided by Shapley values"
        return _replayed(
            runs,
            reproduced=reproduced,
            drop=drop,
            shares=shares,
            verified=verified,
            noise=noise,
            why=why,
        )
    except BudgetSpentError:
        reproduced = drop / recorded_drop if recorded_drop > 0 else 0.0
        done = [name for name in shares if shares[name] >= RECOVERED]
        why = f"the budget of {runs.count} runs is spent; a larger one goes on from here"
        return _replayed(
            runs,
            reproduced=reproduced,
            drop=drop,
            shares=shares,
            verified=done,
            noise=noise,
            why=why,
            is_complete=False,
        )


def _shapley(
    value: Callable[[frozenset[str]], float], players: Sequence[str], drop: float
) -> dict[str, float]:
    """Return each player's exact Shapley value as a share of the drop."""
    total = dict.fromkeys(players, 0.0)
    n = len(players)
    for name in players:
        others = [other for other in players if other != name]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for chosen in itertools.combinations(others, size):
                without = frozenset(chosen)
                total[name] += weight * (value(without) - value(without | {name}))
    return {name: amount / drop for name, amount in total.items()}


def _replayed(
    runs: Runs,
    *,
    reproduced: float,
    drop: float,
    shares: Mapping[str, float],
    verified: Sequence[str],
    noise: float,
    why: str,
    is_complete: bool = True,
) -> Replayed:
    return Replayed(
        reproduced=reproduced,
        drop=drop,
        shares=dict(shares),
        verified=tuple(verified),
        runs=runs.count,
        noise=noise,
        is_complete=is_complete,
        why=why,
    )


def _read_state(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["format"] != "provgraph-replay-v1":
            raise ValueError(found["format"])
        return {str(key): float(value) for key, value in found["runs"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no state of a replay ({error}); name another file or remove it"
        ) from None


def _write_state(path: Path, known: Mapping[str, float]) -> None:
    """Replace the file at once: a process that dies here leaves the state before this run."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps({"format": "provgraph-replay-v1", "runs": known}, indent=1))
    os.replace(beside, path)
