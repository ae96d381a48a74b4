"""The truth of a case is measured: faults and harmless changes are swapped over several seeds.

A case stays when the fault alone costs at least `HARM` times the noise of healthy runs and the
harmless changes alone cost less than `HARMLESS` times; a decoy that really hurts drops out. Effects
are paired by seed. Noise is the spread of healthy runs, never below half the sampling error.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tests.bench.drift.pipeline import Outcome, draw, execute, fit, healthy_factors
from tests.bench.drift.scenarios import HISTORY, Scenario, derived_features
from tests.bench.drift.tables import load

SEEDS: Final = (100, 107, 113)
HARM: Final = 4.0
HARMLESS: Final = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the oracle measured: effects in units of the metric, positive where it got worse."""

    noise: float
    drop: float
    alone: tuple[float, ...]  # of each fault
    decoys: float  # of all harmless changes together
    is_kept: bool
    why: str


def measure(scenario: Scenario) -> Truth:
    """Measure one case."""
    values, error = usual(scenario.group)
    noise = max(float(np.std(values, ddof=1)), error * 0.5, 1e-4)
    first = SEEDS[:1]
    if scenario.faults:  # one seed tells the hopeless ones
        quick = _effect(
            _metrics(scenario, scenario.baseline, first),
            _metrics(scenario, scenario.drifted, first),
        )
        if quick < HARM / 4 * noise:
            return Truth(
                noise=noise, drop=quick, alone=(), decoys=0.0, is_kept=False, why="no drop"
            )
    base = _metrics(scenario, scenario.baseline)
    drop = _effect(base, _metrics(scenario, scenario.drifted))
    alone = []
    for fault in scenario.faults:
        factors = copy.deepcopy(scenario.baseline)
        fault.apply(factors)
        alone.append(
            drop
            if len(scenario.faults) == 1 and not scenario.decoys
            else _effect(base, _metrics(scenario, factors))
        )
    harmless = 0.0
    if scenario.decoys:
        factors = copy.deepcopy(scenario.baseline)
        for decoy in scenario.decoys:
            decoy.apply(factors)
        harmless = drop if not scenario.faults else _effect(base, _metrics(scenario, factors))
    is_kept, why = _judge(scenario, noise, drop, alone, harmless)
    return Truth(
        noise=noise, drop=drop, alone=tuple(alone), decoys=harmless, is_kept=is_kept, why=why
    )


def _judge(
    scenario: Scenario, noise: float, drop: float, alone: list[float], harmless: float
) -> tuple[bool, str]:
    if abs(harmless) > HARMLESS * noise:
        return False, "a harmless change is not harmless"
    if not scenario.faults:
        return True, "healthy"
    if drop < HARM * noise:
        return False, "the drop is within the noise"
    needed = HARM * noise * (0.5 if len(alone) > 1 else 1.0)
    if min(alone) < needed:
        return False, "a fault does no harm by itself"
    if len(alone) > 1 and min(alone) < 0.25 * max(alone):
        return False, "one of two faults is negligible"
    return True, "measured"


def _effect(base: list[float], other: list[float]) -> float:
    return float(np.mean([a - b for a, b in zip(base, other, strict=True)]))


def _metrics(scenario: Scenario, factors: Any, seeds: tuple[int, ...] = SEEDS) -> list[float]:
    return [run_once(scenario.group, factors, seed).metric for seed in seeds]


def run_once(
    group: tuple[str, str, bool, bool], factors: Any, seed: int, *, keep: bool = False
) -> Outcome:
    """Execute factors once, as a training run or as a window of the deployed model."""
    name, model, is_rolling, is_serving = group
    task = load(name)
    if not is_serving:
        return execute(task, factors, seed, is_rolling=is_rolling, keep=keep)
    return execute(task, factors, seed, is_rolling=True, keep=keep, fitted=deployed(name, model))


@functools.lru_cache(64)
def deployed(name: str, model: str) -> dict[str, Any]:
    """Return the model that serves in serving cases, trained once on healthy data."""
    task = load(name)
    factors = healthy_factors(task, model, derived_features(task))
    train, _, _ = draw(task, 1, is_rolling=True)
    return fit(task, factors, train, seed=1, generator=np.random.default_rng(1))


@functools.lru_cache(512)
def usual(group: tuple[str, str, bool, bool]) -> tuple[tuple[float, ...], float]:
    """Return the metrics of the healthy runs of a group, and the standard error of one."""
    runs = [run_once(group, healthy(group), seed) for seed in range(2, 2 + HISTORY)]
    return tuple(run.metric for run in runs), runs[0].standard_error


def healthy(group: tuple[str, str, bool, bool]) -> dict[str, dict[str, Any]]:
    """Return the factors of a group's healthy runs."""
    task = load(group[0])
    return healthy_factors(task, group[1], derived_features(task))
