"""What can go wrong, what only looks so, and to which category each belongs.

A fault changes one factor (data faults may change both ends of it, training and test). How strong
it is is drawn; whether it harms is measured by the oracle, never assumed. `where` says in which
factors a data fault stands.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tests.bench.drift.tables import Task, load

Generator = np.random.Generator
Changed = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that happened to one factor."""

    type: str
    category: str
    factors: tuple[str, ...]
    apply: Callable[[Changed], None]


Maker = Callable[[Task, Changed, Generator], Fault | None]


def important(task: Task) -> list[str]:
    """Return the numeric columns, those that go with the label first."""
    return list(_important(task.name))


@functools.cache
def _important(name: str) -> tuple[str, ...]:
    task = load(name)
    labels = task.pool["__y"].to_numpy(float)
    found = []
    for name in task.numeric:
        values = task.pool[name].to_numpy(float)
        values = np.nan_to_num(values, nan=float(np.nanmean(values)))
        groups = np.array_split(np.argsort(values), 8)
        means = [labels[g].mean() for g in groups]
        found.append((float(np.std(means)), name))
    return tuple(name for _, name in sorted(found, reverse=True))


def _pick(task: Task, rng: Generator, low: int, high: int, *, top: int | None = None) -> list[str]:
    names = important(task)[:top]
    count = int(min(len(names), rng.integers(low, high + 1)))
    return [str(n) for n in rng.choice(names, count, replace=False)]


def _where(rng: Generator) -> tuple[str, ...]:
    return [("train", "test"), ("test",), ("train",)][int(rng.choice(3, p=[0.5, 0.3, 0.2]))]


def _data(
    type_: str, category: str, edit: dict[str, Any], rng: Generator, where: tuple[str, ...]
) -> Fault:
    edit = edit | {"salt": int(rng.integers(1 << 20))}

    def apply(factors: Changed) -> None:
        for name in where:
            factors[name] = copy.deepcopy(factors[name])
            factors[name]["edits"].append(edit)
            if category == "data source":
                factors[name]["source"] = "B"

    return Fault(type=type_, category=category, factors=where, apply=apply)


def _setting(type_: str, category: str, factor: str, values: dict[str, Any]) -> Fault:
    def apply(factors: Changed) -> None:
        factors[factor] = factors[factor] | values

    return Fault(type=type_, category=category, factors=(factor,), apply=apply)


def _behaviour(type_: str, factor: str, behaviour: dict[str, Any]) -> Fault:
    def apply(factors: Changed) -> None:
        old = factors[factor]
        factors[factor] = old | {"behaviour": [*old["behaviour"], behaviour]}
        if factor != "hidden":
            factors[factor]["version"] = old["version"] + "+"

    category = {"code": "code", "environment": "environment", "hidden": "unrecorded"}[factor]
    return Fault(type=type_, category=category, factors=(factor,), apply=apply)


# ---- data ----------------------------------------------------------------------------------------
def null_burst(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "nulls", "columns": _pick(task, rng, 2, 6), "share": rng.uniform(0.3, 0.9)}
    return _data("null_burst", "data quality", edit, rng, _where(rng))


def unit_change(task: Task, factors: Changed, rng: Generator) -> Fault:
    factor = float(rng.choice([0.001, 0.01, 0.1, 0.3937, 2.54, 1.609, 10, 100, 1000]))
    edit = {"kind": "unit", "columns": _pick(task, rng, 1, 3, top=8), "factor": factor}
    if rng.random() < 0.4:
        edit |= {"kind": "partial_unit", "share": rng.uniform(0.3, 0.8)}
    return _data(
        "unit_change", "data quality", edit, rng, ("test",) if rng.random() < 0.6 else _where(rng)
    )


def label_noise(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "label_noise", "share": rng.uniform(0.15, 0.5)}
    return _data("label_noise", "data quality", edit, rng, _where(rng))


def misjoin(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "misjoin", "columns": _pick(task, rng, 3, 8), "share": rng.uniform(0.4, 1.0)}
    return _data("misjoin", "data quality", edit, rng, _where(rng))


def truncated_load(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "truncated", "share": rng.uniform(0.015, 0.12)}
    return _data("truncated_load", "data quality", edit, rng, ("train",))


def sentinel(task: Task, factors: Changed, rng: Generator) -> Fault:
    value = float(rng.choice([-999, -1, 0, 9999, 99999]))
    edit = {
        "kind": "sentinel",
        "columns": _pick(task, rng, 1, 4, top=8),
        "share": rng.uniform(0.15, 0.7),
        "value": value,
    }
    return _data(
        "sentinel", "data quality", edit, rng, ("test",) if rng.random() < 0.5 else _where(rng)
    )


def frozen_column(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {
        "kind": "frozen",
        "columns": _pick(task, rng, 2, 5, top=8),
        "share": rng.uniform(0.5, 1.0),
    }
    return _data("frozen_column", "data quality", edit, rng, _where(rng))


def swapped_columns(task: Task, factors: Changed, rng: Generator) -> Fault | None:
    if len(task.numeric) < 2:
        return None
    edit = {"kind": "swapped", "columns": _pick(task, rng, 2, 2, top=6)}
    return _data("swapped_columns", "data quality", edit, rng, ("test",))


def spelling(task: Task, factors: Changed, rng: Generator) -> Fault | None:
    if not task.categorical:
        return None
    names = [
        str(n) for n in rng.choice(task.categorical, min(len(task.categorical), 5), replace=False)
    ]
    edit = {"kind": "spelling", "columns": names, "share": rng.uniform(0.5, 1.0)}
    return _data("spelling", "data quality", edit, rng, ("test",))


def noisy_sensor(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "noise", "columns": _pick(task, rng, 2, 8), "size": rng.uniform(0.6, 2.5)}
    return _data("noisy_sensor", "data quality", edit, rng, _where(rng))


def selection_shift(task: Task, factors: Changed, rng: Generator) -> Fault:
    mix = [
        (name, float(rng.choice([-1, 1]) * rng.uniform(0.4, 1))) for name in _pick(task, rng, 1, 4)
    ]
    edit: dict[str, Any] = {"kind": "selection", "mix": mix, "strength": rng.uniform(2.0, 6.0)}
    return _data(
        "selection_shift",
        "covariate shift",
        edit,
        rng,
        ("test",) if rng.random() < 0.7 else _where(rng),
    )


def subgroup_shift(task: Task, factors: Changed, rng: Generator) -> Fault:
    mix = [
        (name, float(rng.choice([-1, 1]) * rng.uniform(0.4, 1))) for name in _pick(task, rng, 1, 3)
    ]
    edit = {
        "kind": "subgroup",
        "mix": mix,
        "strength": rng.uniform(0.8, 1.0),
        "share": rng.uniform(0.05, 0.25),
    }
    return _data(
        "subgroup_shift",
        "covariate shift",
        edit,
        rng,
        ("test",) if rng.random() < 0.7 else _where(rng),
    )


def label_mix(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "label_mix", "strength": float(rng.choice([-1, 1]) * rng.uniform(2.0, 6.0))}
    return _data(
        "label_mix", "label shift", edit, rng, ("test",) if rng.random() < 0.6 else _where(rng)
    )


def other_source(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "source", "share": rng.uniform(0.6, 1.0), "habit": rng.uniform(0.05, 0.5)}
    return _data(
        "other_source", "data source", edit, rng, ("test",) if rng.random() < 0.6 else _where(rng)
    )


# ---- preparation and features --------------------------------------------------------------------
def step_skipped(task: Task, factors: Changed, rng: Generator) -> Fault:
    return _setting("step_skipped", "preprocessing", "scale", {"method": "none"})


def step_skewed(task: Task, factors: Changed, rng: Generator) -> Fault:
    return _setting("step_skewed", "preprocessing", "scale", {"method": "skewed"})


def step_binary(task: Task, factors: Changed, rng: Generator) -> Fault:
    return _setting("step_binary", "preprocessing", "scale", {"method": "binary"})


def clip_hard(task: Task, factors: Changed, rng: Generator) -> Fault:
    return _setting("clip_hard", "preprocessing", "impute", {"clip": float(rng.uniform(0.3, 0.49))})


def encode_ordinal(task: Task, factors: Changed, rng: Generator) -> Fault | None:
    if not task.categorical:
        return None
    return _setting("encode_ordinal", "preprocessing", "scale", {"encode": "ordinal"})


def features_dropped(task: Task, factors: Changed, rng: Generator) -> Fault:
    names = [*important(task), *task.categorical]
    gone = set(names[: max(1, int(len(names) * rng.uniform(0.3, 0.8)))])
    columns = [c for c in task.columns if c not in gone] or task.columns[-1:]
    return _setting("features_dropped", "feature definition", "features", {"columns": columns})


def feature_redefined(task: Task, factors: Changed, rng: Generator) -> Fault:
    how = str(rng.choice(["coarse", "square", "absolute", "lagged"]))
    names = _pick(task, rng, 3, 9, top=10)
    return _setting(
        f"feature_{how}", "feature definition", "features", {"redefined": dict.fromkeys(names, how)}
    )


# ---- training ------------------------------------------------------------------------------------
def hyper_weak(task: Task, factors: Changed, rng: Generator) -> Fault:
    values = {
        "linear": {"alpha": float(10 ** rng.uniform(2.5, 5))},
        "tree": {"max_depth": int(rng.integers(1, 3))},
        "forest": {"n_estimators": 1, "max_depth": int(rng.integers(1, 3))},
        "neighbours": {"n_neighbors": int(min(task.rows * 0.7, rng.integers(60, 500)))},
        "boosting": {"max_iter": int(rng.integers(1, 3)), "learning_rate": 0.02},
    }[factors["model"]["model"]]
    return _setting("hyper_weak", "hyperparameters", "hyper", values)


def hyper_wild(task: Task, factors: Changed, rng: Generator) -> Fault | None:
    values: dict[str, Any] = {
        "linear": {"max_iter": 1, "alpha": 3000.0},
        "tree": {"max_depth": 30, "min_samples_leaf": 1},
        "forest": {"n_estimators": 1, "max_depth": 30, "max_features": 0.1},
        "neighbours": {"n_neighbors": 1},
        "boosting": {"learning_rate": float(rng.uniform(2.0, 6.0))},
    }[factors["model"]["model"]]
    return _setting("hyper_wild", "hyperparameters", "hyper", values)


def other_model(task: Task, factors: Changed, rng: Generator) -> Fault:
    kind = str(
        rng.choice(
            [m for m in ("bayes", "stump", "tree", "neighbours") if m != factors["model"]["model"]]
        )
    )

    def apply(changed: Changed) -> None:
        changed["model"] = {"model": kind}

    return Fault(
        type=f"other_model_{kind}", category="model architecture", factors=("model",), apply=apply
    )


# ---- code, environment, what nobody recorded -----------------------------------------------------
def _fit_bug(rng: Generator) -> dict[str, Any]:
    kind = str(rng.choice(["first_rows", "misaligned", "duplicated_weight"]))
    share = rng.uniform(0.1, 0.3) if kind == "first_rows" else rng.uniform(0.4, 0.9)
    return {"kind": kind, "share": float(share), "where": "fit"}


def _matrix_bug(task: Task, rng: Generator) -> dict[str, Any]:
    kind = str(rng.choice(["swapped_columns", "sign", "stale", "twice", "unscaled"]))
    return {"kind": kind, "columns": _pick(task, rng, 2, 6, top=8), "where": "serve"}


def code_training(task: Task, factors: Changed, rng: Generator) -> Fault:
    bug = _fit_bug(rng)
    return _behaviour(f"code_{bug['kind']}", "code", bug)


def code_serving(task: Task, factors: Changed, rng: Generator) -> Fault:
    bug = _matrix_bug(task, rng)
    return _behaviour(f"code_{bug['kind']}", "code", bug)


def code_rows(task: Task, factors: Changed, rng: Generator) -> Fault:
    return _behaviour("code_shifted_rows", "code", {"kind": "shifted_rows", "where": "serve"})


def _library(task: Task, factors: Changed, rng: Generator) -> dict[str, Any]:
    model = factors["model"]["model"]
    weak = {
        "linear": {"alpha": float(10 ** rng.uniform(3, 5))},
        "tree": {"max_depth": 1},
        "forest": {"max_depth": 1, "n_estimators": 2},
        "neighbours": {"n_neighbors": int(min(task.rows * 0.7, 300))},
        "boosting": {"max_iter": 1},
    }[model]
    choices: list[dict[str, Any]] = [
        {"kind": "default", "values": weak, "where": "both"},
        {"kind": "half", "levels": float(rng.choice([1, 1, 2])), "where": "both"},
        {"kind": "truncated_numbers", "where": "both"},
        {"kind": "noise", "size": float(rng.uniform(0.6, 2.0)), "where": "serve"},
        {"kind": "nan_zero", "where": "serve"},
    ]
    if task.categorical:
        choices.append({"kind": "level_order", "where": "serve"})
    return choices[int(rng.integers(len(choices)))]


def library_change(task: Task, factors: Changed, rng: Generator) -> Fault:
    change = _library(task, factors, rng)
    return _behaviour(f"library_{change['kind']}", "environment", change)


def hidden_change(task: Task, factors: Changed, rng: Generator) -> Fault:
    kind = int(rng.integers(3))
    bug = [_fit_bug(rng), _matrix_bug(task, rng), _library(task, factors, rng)][kind]
    return _behaviour(f"hidden_{bug['kind']}", "hidden", bug)


# ---- evaluation ----------------------------------------------------------------------------------
def metric_changed(task: Task, factors: Changed, rng: Generator) -> Fault:
    kinds = ["balanced", "f1"] if task.is_classification else ["adjusted", "median"]
    return _setting(
        "metric_changed", "evaluation protocol", "evaluation", {"metric": str(rng.choice(kinds))}
    )


def threshold_changed(task: Task, factors: Changed, rng: Generator) -> Fault | None:
    if not task.is_classification:
        return None
    value = float(rng.choice([0.02, 0.05, 0.9, 0.97]))
    return _setting("threshold_changed", "evaluation protocol", "evaluation", {"threshold": value})


def slice_changed(task: Task, factors: Changed, rng: Generator) -> Fault:
    name = _pick(task, rng, 1, 1, top=6)[0]
    at = float(np.nanquantile(task.pool[name], rng.uniform(0.3, 0.7)))
    return _setting(
        "slice_changed",
        "evaluation protocol",
        "evaluation",
        {"slice": [name, at, bool(rng.random() < 0.5)]},
    )


FAULTS: Final[dict[str, tuple[Maker, ...]]] = {
    "data quality": (
        null_burst,
        unit_change,
        label_noise,
        misjoin,
        truncated_load,
        sentinel,
        frozen_column,
        swapped_columns,
        spelling,
        noisy_sensor,
    ),
    "covariate shift": (selection_shift, subgroup_shift),
    "label shift": (label_mix,),
    "data source": (other_source,),
    "preprocessing": (step_skipped, step_skewed, step_binary, clip_hard, encode_ordinal),
    "feature definition": (features_dropped, feature_redefined),
    "hyperparameters": (hyper_weak, hyper_wild),
    "model architecture": (other_model,),
    "code": (code_training, code_serving, code_rows),
    "environment": (library_change,),
    "evaluation protocol": (metric_changed, threshold_changed, slice_changed),
}
SERVING: Final[dict[str, tuple[Maker, ...]]] = {
    "data quality": (
        null_burst,
        unit_change,
        misjoin,
        sentinel,
        frozen_column,
        swapped_columns,
        spelling,
        noisy_sensor,
        label_noise,
    ),
    "covariate shift": (selection_shift, subgroup_shift),
    "label shift": (label_mix,),
    "data source": (other_source,),
    "code": (code_serving, code_rows),
    "environment": (library_change,),
    "evaluation protocol": (metric_changed, threshold_changed, slice_changed),
}


# ---- changes that should do no harm ---------------------------------------------------------------
def quiet_hyper(task: Task, factors: Changed, rng: Generator) -> Fault:
    model = factors["model"]["model"]
    values = {
        "linear": [{"alpha": 1.3}, {"max_iter": 150}, {"verbose": 1}],
        "tree": [{"min_samples_leaf": 5}, {"max_depth": 8}, {"n_jobs": 4}],
        "forest": [{"n_estimators": 20}, {"n_jobs": 4}, {"max_depth": 10}],
        "neighbours": [{"n_neighbors": 11}, {"n_jobs": 4}],
        "boosting": [{"max_iter": 30}, {"max_leaf_nodes": 17}, {"verbose": 1}],
    }[model]
    return _setting(
        "quiet_hyper", "hyperparameters", "hyper", values[int(rng.integers(len(values)))]
    )


def loud_hyper(task: Task, factors: Changed, rng: Generator) -> Fault:
    values: dict[str, Any] = {
        "linear": {"alpha": 0.05, "max_iter": 400},
        "tree": {"max_depth": 12},
        "forest": {"n_estimators": 40, "max_depth": 14},
        "neighbours": {"n_neighbors": 15},
        "boosting": {"max_iter": 60, "max_leaf_nodes": 31},
    }[factors["model"]["model"]]
    return _setting("loud_hyper", "hyperparameters", "hyper", values)


def quiet_code(task: Task, factors: Changed, rng: Generator) -> Fault:
    return _behaviour("quiet_code", "code", {"kind": "refactor", "where": "both"})


def quiet_environment(task: Task, factors: Changed, rng: Generator) -> Fault:
    kind = "unrelated" if rng.random() < 0.5 else "patch"
    return _behaviour(f"quiet_{kind}", "environment", {"kind": kind, "where": "both"})


def quiet_impute(task: Task, factors: Changed, rng: Generator) -> Fault:
    return _setting("quiet_impute", "preprocessing", "impute", {"strategy": "mean"})


def quiet_clip(task: Task, factors: Changed, rng: Generator) -> Fault:
    return _setting("quiet_clip", "preprocessing", "impute", {"clip": 0.002})


def loud_scale(task: Task, factors: Changed, rng: Generator) -> Fault:
    return _setting(
        "loud_scale",
        "preprocessing",
        "scale",
        {"method": "range" if rng.random() < 0.5 else "none"},
    )


def quiet_feature(task: Task, factors: Changed, rng: Generator) -> Fault:
    names = important(task)
    derived = [*factors["features"]["derived"], [names[0], "sum", names[-1]]]
    return _setting("quiet_feature", "feature definition", "features", {"derived": derived})


def quiet_drop(task: Task, factors: Changed, rng: Generator) -> Fault:
    gone = important(task)[-1]
    columns = [c for c in task.columns if c != gone]
    return _setting("quiet_drop", "feature definition", "features", {"columns": columns})


def quiet_model(task: Task, factors: Changed, rng: Generator) -> Fault | None:
    kind = {"forest": "boosting", "boosting": "forest"}.get(factors["model"]["model"])
    if kind is None:
        return None

    def apply(changed: Changed) -> None:
        changed["model"] = {"model": kind}

    return Fault(type="quiet_model", category="model architecture", factors=("model",), apply=apply)


def quiet_snapshot(task: Task, factors: Changed, rng: Generator) -> Fault:
    kind = "same" if rng.random() < 0.7 else "shuffled"
    where = ("train", "test") if rng.random() < 0.5 else ("train",)
    return _data(
        "quiet_snapshot",
        "data source" if rng.random() < 0.3 else "data quality",
        {"kind": kind},
        rng,
        where,
    )


def quiet_nulls(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "nulls", "columns": important(task)[-1:], "share": rng.uniform(0.02, 0.08)}
    return _data("quiet_nulls", "data quality", edit, rng, _where(rng))


def quiet_shift(task: Task, factors: Changed, rng: Generator) -> Fault:
    name = important(task)[-1]
    edit: dict[str, Any] = {"kind": "selection", "mix": [(name, 1.0)], "strength": 0.4}
    return _data("quiet_shift", "covariate shift", edit, rng, _where(rng))


def loud_nulls(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "nulls", "columns": important(task)[-2:], "share": rng.uniform(0.5, 0.95)}
    return _data("loud_nulls", "data quality", edit, rng, _where(rng))


def loud_unit(task: Task, factors: Changed, rng: Generator) -> Fault:
    columns = [str(rng.choice(important(task)))] if rng.random() < 0.5 else important(task)[-1:]
    edit = {"kind": "unit", "columns": columns, "factor": float(rng.choice([0.01, 2.54, 100]))}
    return _data("loud_unit", "data quality", edit, rng, ("train", "test"))


def loud_shift(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit: dict[str, Any] = {
        "kind": "selection",
        "mix": [(important(task)[-1], 1.0)],
        "strength": rng.uniform(1.5, 3),
    }
    return _data("loud_shift", "covariate shift", edit, rng, _where(rng))


def loud_mix(task: Task, factors: Changed, rng: Generator) -> Fault:
    edit = {"kind": "label_mix", "strength": float(rng.choice([-1, 1]) * rng.uniform(1, 2.5))}
    return _data("loud_mix", "label shift", edit, rng, ("train",))


def quiet_metric(task: Task, factors: Changed, rng: Generator) -> Fault:
    kind = "f1" if task.is_classification else "adjusted"
    return _setting("quiet_metric", "evaluation protocol", "evaluation", {"metric": kind})


DECOYS: Final[tuple[Maker, ...]] = (
    quiet_hyper,
    quiet_hyper,
    quiet_code,
    quiet_code,
    quiet_environment,
    quiet_environment,
    quiet_impute,
    quiet_clip,
    quiet_feature,
    quiet_drop,
    quiet_snapshot,
    quiet_nulls,
    quiet_shift,
    quiet_model,
    quiet_metric,
    loud_hyper,
)
LOUD: Final[tuple[Maker, ...]] = (
    loud_nulls,
    loud_unit,
    loud_shift,
    loud_mix,
    loud_scale,
    loud_hyper,
    quiet_model,
)
SERVING_DECOYS: Final[tuple[Maker, ...]] = (
    quiet_code,
    quiet_environment,
    quiet_nulls,
    quiet_shift,
    quiet_snapshot,
    quiet_metric,
    loud_nulls,
)
