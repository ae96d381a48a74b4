"""`python -m tests.bench.drift.report` (`make bench-drift`): what docs/benchmarks.md says of drift.

Every case is judged by a ranker that had not seen its table (first part), or its kind of fault (second);
confidence is fitted without the case's fold as well. Only cases that were measured and made are judged:
`make train-drift` makes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from provgraph.drift import rules
from provgraph.drift.ranking import CONFIDENCE, _caps, confidence_figures
from provgraph.drift.trees import interpolate
from tests.bench.drift import training
from tests.bench.drift.features import Row, load_rows
from tests.bench.drift.scoring import (
    PLAIN,
    Said,
    by_chance,
    first_divergence,
    loudest_data,
    score,
    test_of_drop,
)


def said_held_out(rows: list[Row], folds_of: Callable[[list[Row]], list[Any]]) -> list[Said]:
    """Return what is said of each case by what was fitted without its fold."""
    folds = folds_of(rows)
    fitted = training.held_out(rows, folds)
    found = []
    for fold in folds:
        rest = [i for i, inside in enumerate(fold) if not inside]
        weights, base, steps = training.fit_confidence(
            [
                training.Fitted(
                    rows=[rows[i] for i in rest], chances=[fitted.chances[i] for i in rest]
                )
            ]
        )
        for i in (i for i, inside in enumerate(fold) if inside):
            chances = fitted.chances[i]
            if any(math.isnan(value) for value in chances.values()):
                continue
            shares, by_rules = training.mixed(rows[i], chances)
            figures = confidence_figures(rows[i].figures, shares, by_rules)
            total = base + sum(w * figures[n] for w, n in zip(weights, CONFIDENCE, strict=True))
            sure = interpolate(steps, 1 / (1 + math.exp(-total)))
            for bound, _ in _caps(rows[i].evidence, shares, by_rules):
                sure = min(sure, bound)
            found.append(Said(row=rows[i], order=tuple(shares), confidence=sure))
    return found


def print_scores(title: str, said: Sequence[Said]) -> None:
    """Print one line for each kind of case, and the confusion of the plain ones."""
    print(f"\n{title}\nkind cases top1 top3 ece brier right>=0.8 share>=0.8 wrong>0.7 both-in-3")
    for kind in ("plain", "single", "serving", "double", "adversarial", "hidden"):
        part = [s for s in said if (s.row.kind in PLAIN if kind == "plain" else s.row.kind == kind)]
        found = score(part)
        figures = (
            found.top1, found.top3, found.ece, found.brier, found.sure, found.sure_share,
            found.wrong_sure, found.both,
        )  # fmt: skip
        print(kind, found.cases, *(f"{value:.3f}" for value in figures))
    plain = score([one for one in said if one.row.kind in PLAIN])
    for (truth, named), count in sorted(plain.confusion.items()):
        print(f"  {truth} -> {named}: {count}")


def _first(shares: dict[str, float]) -> str:
    return max(shares, key=lambda name: shares[name])


def main() -> None:
    """Judge all cases."""
    rows = load_rows()
    faulty = [row for row in rows if row.causes]
    print_scores("leave one table out", said_held_out(faulty, training.by_table))
    print_scores("leave kinds of faults out", said_held_out(faulty, training.by_type))
    print("\ntest of the drop", test_of_drop(rows))
    plain = [row for row in faulty if row.kind in PLAIN]
    top = [_first(rules.shares(rules.score(row.figures))) for row in plain]
    count = max(len(plain), 1)
    print("hand rules", sum(t in r.causes for t, r in zip(top, plain, strict=True)) / count)
    print("first divergence", sum(first_divergence(r) in r.causes for r in plain) / count)
    print("data drift only", sum(loudest_data(r) in r.causes for r in plain) / count)
    print("random changed factor", sum(map(by_chance, plain)) / count)


if __name__ == "__main__":
    main()
