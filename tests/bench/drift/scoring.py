"""How good a ranking is: the figures of docs/benchmarks.md, from cases that were held out.

Top-1 and top-3 category, calibration (expected error over ten bins, Brier score), what is said at a
confidence of 0.8 or more, false alarms and misses of the test of the drop, and the two stress sets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from provgraph.drift.facts import DATA_CATEGORIES, UNRECORDED
from provgraph.drift.ranking import rank
from provgraph.drift.trees import Ranker
from provgraph.drift.verdict import REAL, UNDECIDED
from tests.bench.drift.features import Row

PLAIN: Final = ("single", "serving", "double")


@dataclass(slots=True)
class Score:
    """Figures of one set of cases."""

    cases: int = 0
    top1: float = math.nan
    top3: float = math.nan
    ece: float = math.nan
    brier: float = math.nan
    sure: float = math.nan  # right among those said at 0.8 or more
    sure_share: float = math.nan  # how many are said so
    wrong_sure: float = math.nan  # wrong and above 0.7, of all
    both: float = math.nan  # doubles: both causes among the first three
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of one case."""

    row: Row
    order: tuple[str, ...]
    confidence: float


def said_by(rows: Sequence[Row], ranker_of: Any) -> list[Said]:
    """Return what the engine says of cases; `ranker_of` gives the ranker for each."""
    found = []
    for row in rows:
        ranked = rank(row.evidence, ranker_of(row))
        found.append(Said(row=row, order=ranked.order, confidence=ranked.confidence))
    return found


def score(said: Sequence[Said]) -> Score:
    """Return the figures of what was said."""
    if not said:
        return Score()
    right = [one.order[0] in one.row.causes for one in said]
    three = [bool(set(one.order[:3]) & one.row.causes) for one in said]
    total = len(said)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for one, hit in zip(said, right, strict=True):
        bins.setdefault(min(9, int(one.confidence * 10)), []).append((one.confidence, hit))
    ece = (
        sum(abs(sum(c for c, _ in part) - sum(h for _, h in part)) for part in bins.values())
        / total
    )
    sure = [hit for one, hit in zip(said, right, strict=True) if one.confidence >= 0.8]
    doubles = [one for one in said if len(one.row.causes) > 1]
    confusion: Counter[tuple[str, str]] = Counter()
    for one in said:
        if len(one.row.causes) == 1:
            confusion[next(iter(one.row.causes)), one.order[0]] += 1
    return Score(
        cases=total,
        top1=sum(right) / total,
        top3=sum(three) / total,
        ece=ece,
        brier=sum((o.confidence - h) ** 2 for o, h in zip(said, right, strict=True)) / total,
        sure=sum(sure) / len(sure) if sure else math.nan,
        sure_share=len(sure) / total,
        wrong_sure=sum(
            not hit and one.confidence > 0.7 for one, hit in zip(said, right, strict=True)
        )
        / total,
        both=sum(one.row.causes <= set(one.order[:3]) for one in doubles) / len(doubles)
        if doubles
        else math.nan,
        confusion=confusion,
    )


def test_of_drop(rows: Sequence[Row]) -> dict[str, float]:
    """Return false alarms and misses of the test, and how often it leaves it open."""
    healthy = [row.p for row in rows if not row.causes]
    faulty = [row.p for row in rows if row.causes]

    def share(values: list[float | None], low: float, high: float) -> float:
        known = [v for v in values if v is not None]
        return sum(low <= v < high for v in known) / max(len(values), 1)

    return {
        "healthy": len(healthy),
        "faulty": len(faulty),
        "false alarms": share(healthy, -1, REAL),
        "open, healthy": share(healthy, REAL, UNDECIDED),
        "missed": share(faulty, UNDECIDED, 2),
        "open, faulty": share(faulty, REAL, UNDECIDED),
    }


# ---- what others would say -------------------------------------------------------------------------
def first_divergence(row: Row) -> str:
    """Name the first changed factor of the lineage; of data, quality (the most frequent kind)."""
    firsts = row.evidence.alignment.first_divergence
    for factor in row.evidence.alignment.factors:
        if factor.path in firsts and factor.is_suspect:
            return "data quality" if factor.kind == "data" else factor.categories[0]
    return UNRECORDED


def loudest_data(row: Row) -> str:
    """Name data whenever a column differs, as tools that see data alone do, by the loudest sign."""
    figures = row.figures.get("data quality")
    if figures is None:
        return UNRECORDED
    label = figures.get("label_z", 0.0)
    columns = max(figures.get("train_max", 0.0), figures.get("test_max", 0.0))
    if label > columns:
        return "label shift"
    return "covariate shift" if columns < 99 else "data quality"


def by_chance(row: Row) -> float:
    """Return the chance that a factor drawn at random among the changed ones is of the right category."""
    names = [name for name in row.figures if name not in {UNRECORDED, "randomness"}]
    data = [name for name in names if name in DATA_CATEGORIES]
    factors = [name for name in names if name not in DATA_CATEGORIES] + (["data"] if data else [])
    if not factors:
        return 0.0
    hit = sum(name in row.causes for name in names if name not in DATA_CATEGORIES)
    inside = sum(name in row.causes for name in data) / max(len(data), 1)
    return (hit + inside) / len(factors)


def of_ranker(ranker: Ranker) -> Any:
    """Return a choice of ranker that is the same for every case."""
    return lambda _row: ranker
