"""A scenario as the facts that provgraph reads: the same dataclasses as come out of records.

Tables become profiles by the capture's own profiler, and only those profiles are handed on: the
engine never sees a row. What a scenario withholds is left out, as a pipeline that does not record it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd

from provgraph.capture.profiling.limits import Limits
from provgraph.capture.profiling.tables import profile_table
from provgraph.drift.facts import EVALUATED, TRAIN, Activity, Case, End, Measure, Probe, Slot
from provgraph.profiles.profile import TableProfile
from tests.bench.drift.oracle import healthy, run_once
from tests.bench.drift.pipeline import Outcome
from tests.bench.drift.scenarios import HISTORY, Scenario

SETTINGS: Final = {
    "impute": ("clean", "preprocessing"),
    "features": ("features", "feature definition"),
    "scale": ("scale", "preprocessing"),
    "model": ("train", "model architecture"),
    "hyper": ("train", "hyperparameters"),
}
_PACKAGES: Final = {
    "package.numpy": "2.1.3",
    "package.scikit-learn": "1.5.2",
    "package.pandas": "2.2.3",
    "package.requests": "2.32.3",
    "package.tqdm": "4.66.5",
    "python": "3.11.9",
}


def case_of(scenario: Scenario) -> Case:
    """Return the facts of a scenario: the drifted end, the last healthy one, and those before it."""
    outcome = run_once(scenario.group, scenario.drifted, scenario.seed, keep=True)
    rng = np.random.default_rng([scenario.number, 99])
    after = _end(
        "after",
        scenario.group,
        scenario.drifted,
        outcome,
        scenario.seed,
        packages=_packages(scenario, rng),
        syntax=_syntax(scenario, rng),
    )
    healthy = healthy_ends(scenario.group)[: scenario.history]
    if rng.random() < 0.06:
        after = _without(after, frozenset({"profiles"}))
    withheld = scenario.withheld
    ends = [_without(end, withheld) for end in (*healthy, after)]
    return Case(before=ends[-2], after=ends[-1], history=tuple(ends[:-2]))


@lru_cache(6)
def healthy_ends(group: tuple[str, str, bool, bool]) -> tuple[End, ...]:
    """Return the healthy runs of a group as facts."""
    factors = healthy(group)
    return tuple(
        _end(
            f"healthy-{seed}",
            group,
            factors,
            run_once(group, factors, seed, keep=True),
            seed,
            packages=_PACKAGES,
            syntax="tree-1",
        )
        for seed in range(2, 2 + HISTORY)
    )


def _packages(scenario: Scenario, rng: Any) -> dict[str, str]:
    """Return the packages of the drifted end; versions of what changed are drawn."""
    packages = dict(_PACKAGES)
    for change in scenario.drifted["environment"]["behaviour"]:
        if change["kind"] == "unrelated":
            name, shares = str(rng.choice(["package.requests", "package.tqdm"])), (0.3, 0.4, 0.3)
        else:
            name = str(rng.choice(["package.numpy", "package.scikit-learn", "package.pandas"]))
            shares = (0.1, 0.3, 0.6) if change["kind"] == "patch" else (0.25, 0.55, 0.2)
        parts = [int(word) for word in packages[name].split(".")]
        place = int(rng.choice(3, p=shares))
        parts[place] += 1
        packages[name] = ".".join(map(str, parts))
    return packages


def _syntax(scenario: Scenario, rng: Any) -> str:
    behaviour = scenario.drifted["code"]["behaviour"]
    if behaviour and (behaviour[-1]["kind"] != "refactor" or rng.random() < 0.5):
        return "tree-2"
    return "tree-1"


def _end(
    name: str,
    group: tuple[str, str, bool, bool],
    factors: Any,
    outcome: Outcome,
    seed: int,
    *,
    packages: dict[str, str],
    syntax: str,
) -> End:
    _, model, is_rolling, is_serving = group
    slots: dict[str, Slot] = {}
    sides = ("test",) if is_serving else ("train", "test")
    for role in sides:
        frame, label = outcome.tables[role]
        slots[role] = _data(role, frame, label, role, None, factors[role]["source"])
    makers = {"clean": "clean", "features": "features", "matrix": "scale"}
    for stage, maker in makers.items():
        for role in sides:
            path = f"{stage}.{role}"
            slots[path] = _data(path, *outcome.tables[path], role, maker, None)
    slots["predictions"] = _data(
        "predictions", *outcome.tables["predictions"], "test", "evaluate", None
    )
    for factor, (activity, category) in SETTINGS.items():
        if is_serving and activity == "train":
            continue
        path = f"{activity}:{factor}"
        slots[path] = _settings(path, activity, category, factors[factor])
    slots["code"] = Slot(
        path="code", kind="code", category="code",
        digest=_hash(factors["code"]["version"]), values={"syntax": syntax},
    )  # fmt: skip
    slots["environment"] = Slot(
        path="environment", kind="environment", category="environment",
        digest=_hash(packages), values=packages,
    )  # fmt: skip
    protocol = json.dumps(factors["evaluation"], sort_keys=True)
    slots["evaluation"] = Slot(
        path="evaluation", kind="evaluation", category="evaluation protocol", of="evaluate",
        digest=_hash(protocol), values={k: str(v) for k, v in factors["evaluation"].items()},
    )  # fmt: skip
    if not is_serving:
        slots["seed"] = Slot(
            path="seed", kind="seed", category="randomness", digest=_hash(seed), of="train",
            values={"seed": seed},
        )  # fmt: skip
    fixed = is_serving or (model in {"linear", "neighbours"} and not is_rolling)
    identity = factors if not is_serving else "deployed"
    slots["model"] = Slot(
        path="model",
        kind="model",
        digest=_hash([str(identity), 0 if is_serving else (seed if not fixed else 0)]),
    )
    activities = {
        "clean": Activity(path="clean", used=sides, made=_made("clean", sides), depth=0),
        "features": Activity(
            path="features", used=_made("clean", sides), made=_made("features", sides), depth=1
        ),
        "scale": Activity(
            path="scale", used=_made("features", sides), made=_made("matrix", sides), depth=2
        ),
        "evaluate": Activity(
            path="evaluate", used=("matrix.test", "model"), made=("predictions",), depth=4
        ),
    }
    if not is_serving:
        activities["train"] = Activity(
            path="train", used=("matrix.train",), made=("model",), depth=3
        )
    measure = Measure(
        metric="score", value=outcome.metric, n=outcome.n,
        standard_error=outcome.standard_error, protocol=protocol,
    )  # fmt: skip
    measures = [
        measure,
        Measure(metric="canonical", value=outcome.canonical, n=outcome.n,
                standard_error=outcome.standard_error),
    ]  # fmt: skip
    if not is_serving:
        measures.append(Measure(metric="canonical", value=outcome.trained, side=TRAIN, n=outcome.n))
    return End(
        name=name,
        iri=f"urn:case:{name}",
        slots=slots,
        activities=activities,
        measure=measure,
        measures=tuple(measures),
        probe=Probe(name="golden", predictions=tuple(v.item() for v in np.asarray(outcome.probe))),
        is_observation=is_serving,
    )


def _made(stage: str, sides: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{stage}.{role}" for role in sides)


def _data(
    path: str, frame: pd.DataFrame, label: Any, role: str, maker: str | None, source: str | None
) -> Slot:
    columns = frame[[name for name in frame.columns if not str(name).startswith("__")]]
    table = columns.assign(label=np.asarray(label))
    profile: TableProfile | None = profile_table(table, limits=Limits(), label="label")
    return Slot(
        path=path,
        kind="data",
        digest=_content(columns, label),
        side=TRAIN if role == "train" else EVALUATED,
        made_by=maker,
        source=source,
        profile=profile,
    )


def _settings(path: str, activity: str, category: str, values: Any) -> Slot:
    flat = {
        key: value if isinstance(value, (int, float, bool)) else json.dumps(value, sort_keys=True)
        for key, value in values.items()
    }
    return Slot(
        path=path, kind="settings", category=category, of=activity, digest=_hash(flat), values=flat
    )


def _content(frame: pd.DataFrame, label: Any) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(np.asarray(label)).tobytes())
    for name in frame.columns:
        values = frame[name].to_numpy()
        digest.update(
            np.ascontiguousarray(values).tobytes()
            if values.dtype.kind in "fiu"
            else "\0".join(map(str, values)).encode()
        )
    return digest.hexdigest()


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _without(end: End, withheld: frozenset[str]) -> End:
    slots = dict(end.slots)
    for path, slot in end.slots.items():
        if slot.kind == "data" and (
            "profiles" in withheld
            or ("stages" in withheld and slot.made_by not in {None, "evaluate"})
        ):
            slots[path] = replace(slot, profile=None)
        if slot.kind == "code" and "ast" in withheld:
            slots[path] = replace(slot, values={})
    measures = tuple(
        each
        for each in end.measures
        if not ("canonical" in withheld and each.metric == "canonical" and each.side == EVALUATED)
        and not ("trained" in withheld and each.side == TRAIN)
    )
    probe = None if "probe" in withheld else end.probe
    return replace(end, slots=slots, measures=measures, probe=probe)
