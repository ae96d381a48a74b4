"""Cases drawn by number: a task, a pipeline, what went wrong, and what changed beside it.

Kinds: `single` (one fault, and harmless changes in half of the cases), `double` (two faults of two
categories), `adversarial` (a quiet fault beside a loud harmless change), `hidden` (the fault stands
where nobody records; harmless changes are recorded), `serving` (the model stays, what it is given
or how it is served changes), `healthy` (nothing, or harmless changes only).
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tests.bench.drift import faults
from tests.bench.drift.faults import Fault
from tests.bench.drift.pipeline import MODELS, healthy_factors
from tests.bench.drift.tables import Task, available, load

KINDS: Final = ("single", "single", "single", "single", "double", "adversarial", "hidden",
                "serving", "serving", "healthy")  # fmt: skip
RARELY_HARMS: Final = {
    "covariate shift": 5.0, "data quality": 2.5, "label shift": 1.5, "environment": 1.5,
    "feature definition": 1.5, "preprocessing": 1.3,
}  # fmt: skip
HISTORY: Final = 8  # healthy runs behind a case; fewer are shown to the engine in some


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One case before it is measured."""

    number: int
    task: Task
    model: str
    kind: str
    is_rolling: bool
    is_serving: bool
    baseline: dict[str, dict[str, Any]]
    drifted: dict[str, dict[str, Any]]
    faults: tuple[Fault, ...]
    decoys: tuple[Fault, ...]
    seed: int  # of the drifted run
    withheld: frozenset[str] = field(default_factory=frozenset)  # facts that nobody recorded
    history: int = HISTORY

    @property
    def group(self) -> tuple[str, str, bool, bool]:
        """Return what cases with the same healthy history share."""
        return (self.task.name, self.model, self.is_rolling, self.is_serving)


def draw_scenario(number: int, tasks: tuple[str, ...] | None = None) -> Scenario | None:
    """Draw case `number`; None where what was drawn does not fit together."""
    rng = np.random.default_rng([number, 4711])
    names = tasks or available()
    # Tables that have two tasks, or are small, do not weigh more than others.
    task = load(str(names[int(rng.integers(len(names)))]))
    # Three models for each task, not the same three: fewer histories to run.
    own = np.random.default_rng([len(task.name), sum(map(ord, task.name))])
    models = own.choice(MODELS, 3, replace=False, p=[0.3, 0.2, 0.2, 0.2, 0.1])
    model = str(models[int(rng.integers(3))])
    kind = KINDS[number % len(KINDS)]
    is_serving = kind == "serving" or (kind in {"healthy", "hidden"} and rng.random() < 0.3)
    is_rolling = bool(rng.random() < 0.6)
    baseline = healthy_factors(task, model, derived_features(task))
    chosen: list[Fault] = []
    table = faults.SERVING if is_serving else faults.FAULTS
    if kind in {"single", "serving", "adversarial"}:
        chosen = _draw_faults(task, baseline, rng, table, 1)
    elif kind == "double":
        chosen = _draw_faults(task, baseline, rng, table, 2)
    elif kind == "hidden":
        hidden = faults.hidden_change(task, baseline, rng)
        if hidden is not None:
            chosen = [hidden]
    wanted = {"single": 1, "serving": 1, "adversarial": 1, "double": 2, "hidden": 1, "healthy": 0}
    if len(chosen) < wanted[kind]:
        return None
    if is_serving:  # nothing before the served model can have changed
        for each in chosen:
            if each.category not in {"code", "environment", "evaluation protocol", "unrecorded"}:
                chosen = [_only_test(each)]
    count = int(rng.choice([0, 1, 2, 3], p=[0.35, 0.3, 0.2, 0.15]))
    if kind == "hidden":
        count = max(count, 1)
    decoys = _draw_decoys(task, baseline, rng, chosen, count, is_serving=is_serving, kind=kind)
    drifted = copy.deepcopy(baseline)
    for each in (*chosen, *decoys):
        each.apply(drifted)
    withheld = frozenset(
        name
        for name, share in (("probe", 0.4), ("canonical", 0.15), ("trained", 0.2), ("stages", 0.15),
                            ("ast", 0.3))
        if rng.random() < share
    )  # fmt: skip
    return Scenario(
        number=number,
        task=task,
        model=model,
        kind=kind,
        is_rolling=is_rolling,
        is_serving=is_serving,
        baseline=baseline,
        drifted=drifted,
        faults=tuple(chosen),
        decoys=tuple(decoys),
        seed=int(100 + rng.integers(50)),
        withheld=withheld,
        history=int(rng.integers(5, HISTORY + 1)),
    )


def derived_features(task: Task) -> list[list[str]]:
    """Return what the healthy pipeline derives: ratios and products of the foremost columns."""
    names = faults.important(task)[:4]
    pairs = list(itertools.combinations(names, 2))[:3]
    return [[a, how, b] for (a, b), how in zip(pairs, ("ratio", "product", "log"), strict=False)]


def _draw_faults(task: Task, baseline: Any, rng: Any, table: Any, count: int) -> list[Fault]:
    # What seldom harms is drawn more often, or the oracle would leave too little of it.
    weights = np.array([RARELY_HARMS.get(name, 1.0) for name in table])
    order = rng.choice(len(table), len(table), replace=False, p=weights / weights.sum())
    categories = [list(table)[int(i)] for i in order]
    found: list[Fault] = []
    for category in categories:
        makers = table[category]
        fault = makers[int(rng.integers(len(makers)))](task, baseline, rng)
        if fault is None or any(set(fault.factors) & set(f.factors) for f in found):
            continue
        found.append(fault)
        if len(found) == count:
            break
    return found


def _only_test(fault: Fault) -> Fault:
    def apply(factors: Any) -> None:
        train = factors["train"]
        fault.apply(factors)
        factors["train"] = train
        if "test" not in fault.factors:  # the same edit, where serving sees it
            changed: dict[str, Any] = {"train": copy.deepcopy(train), "test": factors["test"]}
            fault.apply(changed)
            factors["test"] = changed["train"]

    return Fault(type=fault.type, category=fault.category, factors=("test",), apply=apply)


def _draw_decoys(
    task: Task,
    baseline: Any,
    rng: Any,
    chosen: list[Fault],
    count: int,
    *,
    is_serving: bool,
    kind: str,
) -> list[Fault]:
    taken = {name for fault in chosen for name in fault.factors}
    makers = list(faults.SERVING_DECOYS if is_serving else faults.DECOYS)
    order = [makers[int(i)] for i in rng.permutation(len(makers))]
    if kind == "adversarial":
        order = [faults.LOUD[int(rng.integers(len(faults.LOUD)))], *order]
        count = max(count, 1)
    found: list[Fault] = []
    for make in order:
        if len(found) == count:
            break
        decoy = make(task, baseline, rng)
        if decoy is None or taken & set(decoy.factors):
            continue
        if is_serving and decoy.category not in {"code", "environment", "evaluation protocol"}:
            decoy = _only_test(decoy)
            if "test" in taken:
                continue
        taken |= set(decoy.factors)
        found.append(decoy)
    return found
