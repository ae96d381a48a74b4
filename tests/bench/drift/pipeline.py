"""The pipeline of the benchmark: every factor is a value that can be swapped.

    draw -> impute -> features -> scale -> fit -> predict -> evaluate

A factor is a mapping from setting to value; what has gone wrong stands in it under `edits` (for
data) or `behaviour` (for code, environment and what nobody records). `execute` is a pure function
of task, factors and seed, so that two runs with a common seed differ in nothing but the factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tests.bench.drift.edits import apply_edits
from tests.bench.drift.tables import Task

Factors = Mapping[str, Mapping[str, Any]]
Frame = pd.DataFrame

FACTORS: Final = (
    "train",
    "test",
    "impute",
    "features",
    "scale",
    "model",
    "hyper",
    "code",
    "environment",
    "evaluation",
    "hidden",
)
MODELS: Final = ("linear", "tree", "forest", "neighbours", "boosting")


@dataclass(slots=True)
class Outcome:
    """What one execution gave."""

    metric: float  # under the factor's own protocol; higher is better
    canonical: float  # accuracy or R², whatever the protocol
    trained: float  # canonical, on the training rows
    standard_error: float
    n: int
    probe: Any  # predictions on the golden rows
    tables: dict[str, tuple[Frame, Any]] = field(default_factory=dict)  # role -> frame, label


def default_hyper(model: str) -> dict[str, Any]:
    """Return the settings a healthy pipeline has."""
    return {
        "linear": {"alpha": 1.0, "max_iter": 120},
        "tree": {"max_depth": 7, "min_samples_leaf": 4},
        "forest": {"n_estimators": 12, "max_depth": 9, "max_features": 0.5},
        "neighbours": {"n_neighbors": 9},
        "boosting": {"max_iter": 20, "learning_rate": 0.2, "max_leaf_nodes": 15},
    }[model]


def healthy_factors(task: Task, model: str, derived: list[list[str]]) -> dict[str, dict[str, Any]]:
    """Return the factors of a pipeline in which nothing is wrong."""
    return {
        "train": {"source": "A", "edits": []},
        "test": {"source": "A", "edits": []},
        "impute": {"strategy": "median", "clip": 0.0},
        "features": {"columns": list(task.columns), "derived": derived},
        "scale": {"method": "standard", "encode": "onehot"},
        "model": {"model": model},
        "hyper": default_hyper(model),
        "code": {"version": "r1", "behaviour": []},
        "environment": {"version": "e1", "behaviour": []},
        "evaluation": {
            "metric": "accuracy" if task.is_classification else "r2",
            "threshold": None,
            "slice": None,
        },
        "hidden": {"behaviour": []},
    }


def draw(task: Task, seed: int, *, is_rolling: bool) -> tuple[Frame, Frame, Frame]:
    """Return the training and the test rows of a run, and the rows in reserve for its test side.

    A rolling run has the window of a period, of more or fewer rows; a fixed one has snapshots. The
    reserve holds the test rows: what a shift selects comes from it without repeating a row.
    """
    generator = np.random.default_rng(1000 + seed if is_rolling else 7)
    order = generator.permutation(len(task.pool))
    train = order[: task.rows]
    reserve = order[task.rows :]
    test = reserve[: max(50, min(len(reserve), task.rows))]
    if is_rolling:
        train = train[: int(len(train) * generator.uniform(0.55, 1.0))]
        test = test[: max(40, int(len(test) * generator.uniform(0.55, 1.0)))]
    return task.pool.iloc[train], task.pool.iloc[test], task.pool.iloc[reserve]


def execute(
    task: Task,
    factors: Factors,
    seed: int,
    *,
    is_rolling: bool,
    keep: bool = False,
    fitted: Any = None,
) -> Outcome:
    """Run the pipeline once. `fitted` is a state from `fit`: a deployed model that is only used."""
    generator = np.random.default_rng(seed * 7919 + 13)
    behaviour = _behaviour(factors)
    train, test, reserve = draw(task, seed, is_rolling=is_rolling)
    tables: dict[str, tuple[Frame, Any]] = {}
    test = apply_edits(task, test, reserve, factors["test"]["edits"], seed=seed + 1)
    state = fitted
    trained = float("nan")
    if state is None:
        train = apply_edits(task, train, train, factors["train"]["edits"], seed=seed)
        state = fit(task, factors, train, seed=seed, generator=generator)
        tables |= {"train": (train, train["__y"])} | state["tables"]
        trained = _canonical(task, state["truth"], _predict(task, state, state["matrix"], None))
    serving = [each for each in behaviour if each["where"] in {"serve", "both"}]
    prepared = transform(task, factors, test, state, serving, generator, is_training=False)
    truth = test["__y"].to_numpy()
    scores = _scores(task, state, prepared["matrix"])
    if any(each["kind"] == "shifted_rows" for each in serving):
        scores = np.roll(scores, 1, axis=0)
    predicted = _decide(task, state, scores, factors["evaluation"]["threshold"])
    if any(each["kind"] == "rounded" for each in serving):
        predicted = predicted if task.is_classification else np.round(predicted / 2) * 2
    plain = _decide(task, state, scores, None)
    metric, n = _metric(task, factors["evaluation"], prepared["clean"], truth, predicted)
    golden = transform(task, factors, task.golden, state, serving, generator, is_training=False)
    probe = _decide(task, state, _scores(task, state, golden["matrix"]), None)
    outcome = Outcome(
        metric=metric,
        canonical=_canonical(task, truth, plain),
        trained=trained,
        standard_error=_standard_error(task, truth, plain, n),
        n=n,
        probe=probe,
    )
    if keep:
        tables["test"] = (test, truth)
        for name in ("clean", "features", "matrix"):
            tables[f"{name}.test"] = (_as_frame(prepared[name], prepared["names"]), truth)
        outputs = pd.DataFrame({"prediction": plain})
        if task.is_classification:
            outputs["confidence"] = scores.max(1)
        tables["predictions"] = (outputs, truth)
        outcome.tables = tables
    return outcome


def fit(task: Task, factors: Factors, train: Frame, *, seed: int, generator: Any) -> dict[str, Any]:
    """Train: return everything that serving needs, and the tables on the way."""
    behaviour = [each for each in _behaviour(factors) if each["where"] in {"fit", "both"}]
    train = train.reset_index(drop=True)
    truth = train["__y"].to_numpy().copy()
    state: dict[str, Any] = {"truth": truth}
    prepared = transform(task, factors, train, state, behaviour, generator, is_training=True)
    state["tables"] = {
        f"{name}.train": (_as_frame(prepared[name], prepared["names"]), truth)
        for name in ("clean", "features", "matrix")
    }
    matrix, labels = prepared["matrix"], truth
    for each in behaviour:
        if each["kind"] == "first_rows":  # sorted and cut: sees one end of the label only
            order = np.argsort(matrix[:, 0], kind="stable")
            keep = order[: max(12, int(len(order) * each["share"]))]
            matrix, labels = matrix[keep], labels[keep]
        elif each["kind"] == "misaligned":
            count = int(len(labels) * each["share"])
            labels = labels.copy()
            labels[:count] = np.roll(labels[:count], 1)
        elif each["kind"] == "duplicated_weight":
            extreme = matrix[:, 0] > np.quantile(matrix[:, 0], 0.8)
            matrix = np.concatenate([matrix] + [matrix[extreme]] * 8)
            labels = np.concatenate([labels] + [labels[extreme]] * 8)
    if len(np.unique(labels)) < 2:
        labels = labels.copy()
        labels[0] = truth[truth != labels[0]][0]
    estimator = _estimator(task, factors, behaviour, seed)
    if hasattr(estimator, "n_neighbors"):
        estimator.n_neighbors = min(estimator.n_neighbors, len(labels))
    state["model"] = estimator.fit(matrix, labels)
    state["matrix"], state["columns"] = prepared["matrix"], prepared["names"]
    return state


def transform(
    task: Task,
    factors: Factors,
    frame: Frame,
    state: dict[str, Any],
    behaviour: list[Any],
    generator: Any,
    *,
    is_training: bool,
) -> dict[str, Any]:
    """Impute, derive features, encode and scale."""
    impute, features, scale = factors["impute"], factors["features"], factors["scale"]
    numeric, categorical = task.numeric, task.categorical
    clean = frame.reset_index(drop=True).copy()
    values = clean[numeric].to_numpy(float)
    if is_training:
        strategy = impute["strategy"]
        with np.errstate(all="ignore"):
            filler = {
                "median": lambda: np.nanmedian(values, axis=0),
                "mean": lambda: np.nanmean(values, axis=0),
                "zero": lambda: np.zeros(values.shape[1]),
                "extreme": lambda: np.nanmax(values, axis=0) * 3,
            }[strategy]()
        state["filler"] = np.nan_to_num(filler)
        low = np.nanquantile(values, impute["clip"], axis=0)
        high = np.nanquantile(values, 1 - impute["clip"], axis=0)
        state["bounds"] = (low, high)
    filler = state["filler"]
    if any(each["kind"] == "nan_zero" for each in behaviour):
        filler = np.zeros_like(filler)
    values = np.where(np.isnan(values), filler, values)
    if impute["clip"] > 0:
        values = np.clip(values, *state["bounds"])
    clean[numeric] = values
    used = [c for c in features["columns"] if c in numeric]
    texts = [c for c in features["columns"] if c in categorical]
    columns: dict[str, Any] = {name: clean[name].to_numpy(float) for name in used}
    for each in behaviour:
        if each["kind"] == "swapped_columns" and len(used) > 1:
            order = [c for c in used if c in each["columns"]]
            for a, b in zip(order[::2], order[1::2], strict=False):
                columns[a], columns[b] = columns[b], columns[a]
        elif each["kind"] == "sign":
            for name in each["columns"]:
                if name in columns:
                    columns[name] = -columns[name]
        elif each["kind"] == "stale":
            for name in each["columns"]:
                if name in columns:
                    columns[name] = np.roll(columns[name], 7)
        elif each["kind"] == "truncated_numbers":
            for name in used:
                spread = max(np.nanstd(columns[name]), 1e-9)
                columns[name] = np.trunc(columns[name] / spread / 1.5) * spread * 1.5
    for first, how, second in features["derived"]:
        a, b = columns.get(first), columns.get(second)
        if a is None or b is None:
            continue
        columns[f"{first}_{second}"] = {
            "ratio": lambda a=a, b=b: a / (np.abs(b) + 1e-3 + np.abs(b).mean() * 0.01),
            "product": lambda a=a, b=b: a * b,
            "difference": lambda a=a, b=b: a - b,
            "log": lambda a=a, b=b: np.log1p(np.abs(a)) - np.log1p(np.abs(b)),
            "sum": lambda a=a, b=b: a + b,
        }[how]()
    for name, how in features.get("redefined", {}).items():
        if name in columns:
            v = columns[name]
            spread = max(np.std(v), 1e-9)
            columns[name] = {
                "coarse": lambda v=v, s=spread: np.sign(np.round(v / s / 4)),
                "square": lambda v=v: (v - v.mean()) ** 2,
                "absolute": lambda v=v: np.abs(v - np.median(v)),
                "rank": lambda v=v: np.argsort(np.argsort(v)) / max(len(v), 1),
                "lagged": lambda v=v: np.roll(v, 1),
            }[how]()
    table = pd.DataFrame(columns)
    names = list(columns)
    dense = np.column_stack(list(columns.values())) if columns else np.zeros((len(clean), 0))
    dense = np.nan_to_num(dense, posinf=0.0, neginf=0.0)
    if is_training:
        state["center"], state["spread"] = dense.mean(0), dense.std(0) + 1e-9
        state["low"], state["range"] = dense.min(0), np.ptp(dense, axis=0) + 1e-9
        state["levels"] = {name: list(clean[name].value_counts().index[:8]) for name in categorical}
    method = scale["method"]
    if any(each["kind"] == "unscaled" for each in behaviour):
        method = "none"
    if method == "standard":
        dense = (dense - state["center"]) / state["spread"]
    elif method == "range":
        dense = (dense - state["low"]) / state["range"]
    elif (
        method == "skewed"
    ):  # standardised with its own statistics where it should use those of training
        own = dense[: max(8, len(dense) // 10)]
        dense = (dense - own.max(0)) / (own.std(0) + 1e-9) * 0.4
    elif method == "binary":
        dense = (dense > state["center"]).astype(float)
    for each in behaviour:
        if each["kind"] == "half":
            dense = np.round(np.clip(dense, -1.0, 1.0) * each["levels"]) / each["levels"]
        elif each["kind"] == "twice":
            dense = dense * state["spread"] * 0.5 + 0.5
        elif each["kind"] == "noise":
            dense = dense + generator.normal(0, each["size"], dense.shape)
    blocks, all_names = [dense], list(names)
    for name in texts:
        levels = state["levels"][name]
        shift = 1 if any(each["kind"] == "level_order" for each in behaviour) else 0
        order = levels[shift:] + levels[:shift]
        column = clean[name].to_numpy()
        if scale["encode"] == "onehot":
            blocks.append(np.column_stack([(column == level).astype(float) for level in order]))
            all_names += [f"{name}={level}" for level in levels]
        else:
            codes = {level: i for i, level in enumerate(sorted(map(str, levels)))}
            coded = np.array([codes.get(str(v), -1) for v in column], float) / 4
            blocks.append(coded[:, None])
            all_names.append(name)
        table[name] = column
    matrix = np.column_stack(blocks)
    return {
        "clean": clean[[*numeric, *categorical]],
        "features": table,
        "matrix": np.nan_to_num(matrix),
        "names": all_names,
    }


def _behaviour(factors: Factors) -> list[Any]:
    return [
        each for name in ("code", "environment", "hidden") for each in factors[name]["behaviour"]
    ]


def _estimator(task: Task, factors: Factors, behaviour: list[Any], seed: int) -> Any:
    kind = factors["model"]["model"]
    known = default_hyper(kind) if kind in MODELS else {}
    hyper = {k: v for k, v in factors["hyper"].items() if k in known}
    hyper = known | hyper
    for each in behaviour:
        if each["kind"] == "default":  # a library changed what a setting means
            hyper |= {k: v for k, v in each["values"].items() if k in known}
    is_cls = task.is_classification
    if kind == "linear":
        alpha, steps = float(hyper["alpha"]), int(hyper["max_iter"])
        if is_cls:
            return _quiet(LogisticRegression(C=1.0 / alpha, max_iter=steps))
        return Ridge(alpha=alpha)
    if kind == "tree":
        return (DecisionTreeClassifier if is_cls else DecisionTreeRegressor)(
            random_state=seed, **hyper
        )
    if kind == "forest":
        return (RandomForestClassifier if is_cls else RandomForestRegressor)(
            random_state=seed, n_jobs=1, **hyper
        )
    if kind == "neighbours":
        return (KNeighborsClassifier if is_cls else KNeighborsRegressor)(**hyper)
    if kind == "boosting":
        return (HistGradientBoostingClassifier if is_cls else HistGradientBoostingRegressor)(
            random_state=seed, early_stopping=False, **hyper
        )
    if kind == "bayes":
        return GaussianNB() if is_cls else Ridge(alpha=1e5)
    if kind == "stump":
        return (DecisionTreeClassifier if is_cls else DecisionTreeRegressor)(max_depth=1)
    raise ValueError(kind)


class _quiet:  # noqa: N801 - used as a function
    """A linear model that is told to stop early stops without a word."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def fit(self, matrix: Any, labels: Any) -> Any:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.inner.fit(matrix, labels)


def _scores(task: Task, state: dict[str, Any], matrix: Any) -> Any:
    model = state["model"]
    wanted = model.n_features_in_
    if matrix.shape[1] != wanted:  # a pipeline that breaks is not drift
        matrix = np.column_stack([matrix, np.zeros((len(matrix), wanted))])[:, :wanted]
    with np.errstate(all="ignore"):
        return model.predict_proba(matrix) if task.is_classification else model.predict(matrix)


def _decide(task: Task, state: dict[str, Any], scores: Any, threshold: float | None) -> Any:
    if not task.is_classification:
        return scores
    classes = state["model"].classes_
    if threshold is not None and len(classes) == 2:
        return classes[(scores[:, 1] >= threshold).astype(int)]
    if threshold is not None:  # many classes: below the threshold it abstains to the first class
        chosen = classes[scores.argmax(1)]
        return np.where(scores.max(1) >= threshold, chosen, classes[0])
    return classes[scores.argmax(1)]


def _predict(task: Task, state: dict[str, Any], matrix: Any, threshold: float | None) -> Any:
    return _decide(task, state, _scores(task, state, matrix), threshold)


def _canonical(task: Task, truth: Any, predicted: Any) -> float:
    if task.is_classification:
        return float(np.mean(truth == predicted))
    spread = float(np.var(truth)) or 1.0
    return 1.0 - float(np.mean((truth - predicted) ** 2)) / spread


def _metric(
    task: Task, evaluation: Mapping[str, Any], clean: Frame, truth: Any, predicted: Any
) -> tuple[float, int]:
    if evaluation["slice"] is not None:
        name, at, is_above = evaluation["slice"]
        column = clean[name].to_numpy(float)
        chosen = column >= at if is_above else column < at
        if chosen.sum() >= 15:
            truth, predicted = truth[chosen], predicted[chosen]
    kind = evaluation["metric"]
    if kind == "balanced":
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(balanced_accuracy_score(truth, predicted)), len(truth)
    if kind == "f1":
        return float(f1_score(truth, predicted, average="macro", zero_division=0)), len(truth)
    if kind == "adjusted":
        value = _canonical(task, truth, predicted)
        return 1 - (1 - value) * (len(truth) - 1) / max(len(truth) - 60, 10), len(truth)
    if kind == "median":
        spread = float(np.median(np.abs(truth - np.median(truth)))) or 1.0
        return 1 - float(np.median(np.abs(truth - predicted))) / spread, len(truth)
    return _canonical(task, truth, predicted), len(truth)


def _standard_error(task: Task, truth: Any, predicted: Any, n: int) -> float:
    if task.is_classification:
        p = float(np.mean(truth == predicted))
        return float(np.sqrt(max(p * (1 - p), 0.25 / max(n, 1)) / max(n, 1)))
    errors = (truth - predicted) ** 2 / (float(np.var(truth)) or 1.0)
    return float(np.std(errors) / np.sqrt(max(n, 1)))


def _as_frame(values: Any, names: list[str]) -> Frame:
    if isinstance(values, pd.DataFrame):
        return values
    return pd.DataFrame(values[:, : len(names)], columns=names[: values.shape[1]])
