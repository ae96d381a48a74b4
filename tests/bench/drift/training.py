"""Fit the ranker that ships: `make train-drift`, or `python -m tests.bench.drift.training [OUT]`.

scikit-learn's gradient boosting over the figures of every candidate; small trees, written as text.
Confidence is a logistic function of how clear the lead is, fitted and calibrated (isotonic) on cases
whose table the ranker had not seen, and again on cases whose kind of fault it had not seen.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from provgraph.drift import rules
from provgraph.drift.evidence import FEATURES, vector
from provgraph.drift.ranking import CONFIDENCE, _mixed, _normalised, confidence_figures
from provgraph.drift.trees import FORMAT
from tests.bench.drift.features import Row, load_rows

TREES: Final = 120
LEAVES: Final = 10
TYPE_FOLDS: Final = 8
OUT: Final = Path(__file__).resolve().parents[3] / "provgraph" / "drift" / "ranker.json"


@dataclass(frozen=True, slots=True)
class Fitted:
    """Chances of every candidate of every case, from a ranker that had not seen cases like it."""

    rows: list[Row]
    chances: list[dict[str, float]]


def model() -> Any:
    """Return the learner."""
    return HistGradientBoostingClassifier(
        max_iter=TREES,
        learning_rate=0.07,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=12,
        l2_regularization=3.0,
        max_features=0.4,
        early_stopping=False,
        random_state=0,
    )


def matrix(rows: Sequence[Row]) -> tuple[Any, Any, Any]:
    """Return figures, whether each candidate is a cause, and the number of its case."""
    x, y, case = [], [], []
    for number, row in enumerate(rows):
        for category, figures in row.figures.items():
            x.append(vector(figures))
            y.append(category in row.causes)
            case.append(number)
    return np.array(x, float), np.array(y), np.array(case)


FORGOTTEN: Final = (
    (("source",), 0.5),
    (("canonical_z", "canonical_share"), 0.25),
    (("probe", "probe_excess"), 0.3),
    (("trained_z",), 0.3),
    (("lonely", "broken", "broken_share"), 0.3),
    (("reweighted", "outputs"), 0.4),
    (("own_here", "own_rest", "own_first", "largest_own", "unclaimed_own", "matrix",
      "matrix_weighted"), 0.25),
)  # fmt: skip
"""Figures that pipelines often cannot give, and how often they are taken from a second copy."""


def fit(x: Any, y: Any, case: Any) -> Any:
    """Fit on the cases, and on a copy of each that knows less; never known columns are constant."""
    rng = np.random.default_rng(7)
    poorer = x.copy()
    for names, share in FORGOTTEN:
        without = rng.random(case.max() + 1) < share
        for name in names:
            poorer[without[case], FEATURES.index(name)] = np.nan
    both = np.concatenate([x, poorer])
    unknown = np.isnan(both).all(axis=0)
    return model().fit(np.where(unknown, 0.0, both), np.concatenate([y, y]))


def held_out(rows: list[Row], folds: Sequence[Any]) -> Fitted:
    """Return chances where each fold's cases were left out of training."""
    x, y, case = matrix(rows)
    chance = np.full(len(y), np.nan)
    for inside in folds:
        picked = np.asarray(inside)
        learner = fit(x[~picked[case]], y[~picked[case]], case[~picked[case]])
        unknown = np.isnan(x[~picked[case]]).all(axis=0)
        part = np.where(unknown, 0.0, x[picked[case]])
        chance[picked[case]] = learner.predict_proba(part)[:, 1]
    chances = []
    for number, row in enumerate(rows):
        own = chance[case == number]
        chances.append(dict(zip(row.figures, map(float, own), strict=True)))
    return Fitted(rows=rows, chances=chances)


def by_table(rows: list[Row]) -> list[Any]:
    """Return one fold for each table."""
    return [[row.table == table for row in rows] for table in sorted({r.table for r in rows})]


def by_type(rows: list[Row]) -> list[Any]:
    """Return folds of kinds of faults: all cases with a fault of the fold are left out together."""
    types = sorted({name for row in rows for name in row.types})
    order = np.random.default_rng(1).permutation(types)
    folds = []
    taken: set[int] = set()
    for part in np.array_split(order, TYPE_FOLDS):
        those = {i for i, row in enumerate(rows) if set(row.types) & set(part) and i not in taken}
        taken |= those
        folds.append([i in those for i in range(len(rows))])
    return folds


def mixed(row: Row, chances: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the shares of ranker and rules together, and of the rules."""
    by_rules = rules.shares(rules.score(row.figures))
    return _mixed(_normalised(chances), by_rules), by_rules


def confidence_data(fitted: Fitted) -> tuple[Any, Any]:
    """Return the figures of confidence, and whether the first candidate was a cause."""
    x, y = [], []
    for row, chances in zip(fitted.rows, fitted.chances, strict=True):
        if any(math.isnan(value) for value in chances.values()):
            continue
        shares, by_rules = mixed(row, chances)
        figures = confidence_figures(row.figures, shares, by_rules)
        x.append([figures[name] for name in CONFIDENCE])
        y.append(next(iter(shares)) in row.causes)
    return np.array(x), np.array(y)


def fit_confidence(parts: Sequence[Fitted]) -> tuple[list[float], float, list[tuple[float, float]]]:
    """Fit the logistic function and the isotonic steps over it."""
    pieces = [confidence_data(part) for part in parts]
    x = np.concatenate([piece[0] for piece in pieces])
    y = np.concatenate([piece[1] for piece in pieces])
    logistic = LogisticRegression(C=0.3, max_iter=2000).fit(x, y)
    raw = logistic.predict_proba(x)[:, 1]
    isotonic = IsotonicRegression(out_of_bounds="clip", y_min=0.02, y_max=0.985).fit(raw, y)
    grid = np.quantile(raw, np.linspace(0, 1, 16))
    steps = [
        (float(a), float(b)) for a, b in zip(grid, _smoothed(isotonic.predict(grid)), strict=True)
    ]
    return list(map(float, logistic.coef_[0])), float(logistic.intercept_[0]), steps


def _smoothed(values: Any) -> Any:
    padded = np.concatenate([values[:1], values, values[-1:]])
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def trees_of(learner: Any) -> tuple[float, list[list[Any]]]:
    """Return the learner's baseline and trees as plain lists."""
    trees = []
    for (predictor,) in learner._predictors:
        nodes = []
        for node in predictor.nodes:
            if node["is_leaf"]:
                nodes.append([round(float(node["value"]), 5)])
            else:
                nodes.append(
                    [
                        int(node["feature_idx"]), float(f"{node['num_threshold']:.5g}"),
                        int(node["left"]), int(node["right"]), int(node["missing_go_to_left"]),
                    ]
                )  # fmt: skip
        trees.append(nodes)
    return float(np.ravel(learner._baseline_prediction)[0]), trees


def train(rows: list[Row]) -> dict[str, Any]:
    """Return the file that ships."""
    parts = [held_out(rows, by_table(rows)), held_out(rows, by_type(rows))]
    weights, base, steps = fit_confidence(parts)
    x, y, case = matrix(rows)
    baseline, trees = trees_of(fit(x, y, case))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.kind] = counts.get(row.kind, 0) + 1
    return {
        "format": FORMAT,
        "version": f"3.{len(rows)}",
        "recipe": {
            "command": "make train-drift",
            "learner": f"scikit-learn {sklearn.__version__} HistGradientBoostingClassifier",
            "trees": TREES,
            "leaves": LEAVES,
            "cases": dict(sorted(counts.items())),
            "tables": sorted({row.table for row in rows}),
        },
        "features": list(FEATURES),
        "base": round(baseline, 6),
        "confidence": {
            "figures": list(CONFIDENCE),
            "weights": [round(weight, 4) for weight in weights],
            "base": round(base, 4),
        },
        "steps": [[round(a, 4), round(b, 4)] for a, b in steps],
        "trees": trees,
    }


def write(plain: dict[str, Any], path: Path) -> None:
    """Write the file: one tree a line."""
    trees = plain["trees"]
    head = json.dumps({key: value for key, value in plain.items() if key != "trees"}, indent=1)
    lines = ",\n".join(json.dumps(tree, separators=(",", ":")) for tree in trees)
    path.write_text(f'{head[:-2]},\n "trees": [\n{lines}\n ]\n}}\n')


def main(arguments: list[str]) -> None:
    """Train on every case that was measured."""
    rows = [row for row in load_rows() if row.causes]
    write(train(rows), Path(arguments[0]) if arguments else OUT)
    print(f"trained on {len(rows)} cases")


if __name__ == "__main__":
    main(sys.argv[1:])
