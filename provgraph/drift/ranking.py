"""From figures to shares and a confidence that holds: the ranker and the rules, and what caps them.

The ranker's chances and the rules' shares are mixed as a weighted geometric mean. The confidence of the
first candidate is a logistic function of how clear the lead is, whether ranker and rules agree, and what
was not recorded, calibrated on cases whose table, or whose kind of fault, the ranker had never seen.
Caps stand where evidence of this kind has been seen to mislead whatever the figures say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from provgraph.drift import rules
from provgraph.drift.evidence import Evidence
from provgraph.drift.facts import DATA_CATEGORIES, UNRECORDED
from provgraph.drift.rules import Points
from provgraph.drift.trees import Ranker
from provgraph.frozen import dataclass

RANKER_WEIGHT: Final = 0.55
BLIND: Final = frozenset({"code", "environment"})

CONFIDENCE: Final = (
    "lead", "gap", "agrees", "rule_share", "unrecorded", "rivals", "stages", "canonical", "probe",
    "is_data", "is_blind", "is_unrecorded", "rival_loud",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """The shares of a case's candidates, first to last, and how sure the first one is."""

    shares: Mapping[str, float]
    ranker_shares: Mapping[str, float]
    rule_shares: Mapping[str, float]
    points: Mapping[str, Points]
    confidence: float
    caps: tuple[str, ...]

    @property
    def order(self) -> tuple[str, ...]:
        """Return the categories, most suspect first."""
        return tuple(self.shares)


def rank(evidence: Evidence, ranker: Ranker) -> Ranked:
    """Rank the candidates of a case."""
    chances = {name: ranker.chance(row) for name, row in evidence.rows.items()}
    learned = _normalised(chances)
    points = rules.score(evidence.rows)
    by_rules = rules.shares(points)
    mixed = _mixed(learned, by_rules)
    raw = confidence_figures(evidence.rows, mixed, by_rules)
    confidence = ranker.confidence(raw)
    caps = _caps(evidence, mixed, by_rules)
    for bound, _ in caps:
        confidence = min(confidence, bound)
    return Ranked(
        shares=mixed,
        ranker_shares=learned,
        rule_shares=by_rules,
        points=points,
        confidence=confidence,
        caps=tuple(reason for _, reason in caps),
    )


def _normalised(values: Mapping[str, float]) -> dict[str, float]:
    total = sum(values.values()) or 1.0
    return {name: value / total for name, value in values.items()}


def _mixed(learned: Mapping[str, float], by_rules: Mapping[str, float]) -> dict[str, float]:
    weights = {
        name: (share + 1e-6) ** RANKER_WEIGHT * (by_rules[name] + 1e-4) ** (1 - RANKER_WEIGHT)
        for name, share in learned.items()
    }
    shares = _normalised(weights)
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def confidence_figures(
    rows: Mapping[str, Mapping[str, float]],
    mixed: Mapping[str, float],
    by_rules: Mapping[str, float],
) -> dict[str, float]:
    """Return what the confidence of the first candidate is computed from."""
    order = list(mixed)
    first, row = order[0], rows[order[0]]
    second = mixed[order[1]] if len(order) > 1 else 0.0
    agrees = max(by_rules, key=lambda name: by_rules[name]) == first
    rivals = [
        name
        for name in rows
        if name not in {first, UNRECORDED, "randomness"}
        and not (name in DATA_CATEGORIES and first in DATA_CATEGORIES)
        and rows[name].get("usual", 0.0) < 0.5
    ]
    loud = max((_loudness(rows[name], name) for name in rivals), default=0.0)
    return {
        "lead": _logit(mixed[first]),
        "gap": math.log((mixed[first] + 1e-6) / (second + 1e-6)),
        "agrees": float(agrees),
        "rule_share": by_rules[first],
        "unrecorded": mixed.get(UNRECORDED, 0.0),
        "rivals": math.log1p(len(rivals)),
        "stages": float(row.get("stages_known", 0.0) > 3),
        "canonical": float(not math.isnan(row.get("canonical_share", math.nan))),
        "probe": float(not math.isnan(row.get("probe_excess", math.nan))),
        "is_data": float(first in DATA_CATEGORIES),
        "is_blind": float(first in BLIND),
        "is_unrecorded": float(first == UNRECORDED),
        "rival_loud": min(loud, 3.0),
    }


def _loudness(row: Mapping[str, float], name: str) -> float:
    keys = ("train_weighted", "test_weighted") if name in DATA_CATEGORIES else ("own_here",)
    values = [row.get(key, math.nan) for key in keys]
    return max((value for value in values if not math.isnan(value)), default=0.0)


def _logit(share: float) -> float:
    share = min(max(share, 1e-4), 1 - 1e-4)
    return math.log(share / (1 - share))


def _caps(
    evidence: Evidence, mixed: Mapping[str, float], by_rules: Mapping[str, float]
) -> list[tuple[float, str]]:
    """Return upper bounds of the confidence with the reason for each."""
    caps: list[tuple[float, str]] = []
    first = next(iter(mixed))
    row = evidence.rows[first]
    by_rule = max(by_rules, key=lambda name: by_rules[name])
    if by_rule != first and by_rules[by_rule] > 0.6 and mixed[first] < 0.9:
        caps.append((0.69, f"the hand rules name {by_rule} first"))
    if not evidence.shifts and first in DATA_CATEGORIES:
        caps.append(
            (0.45, "no profiles of both ends: which kind of data change it is cannot be told")
        )
    if not evidence.shifts and first not in DATA_CATEGORIES and len(mixed) > 3:
        caps.append((0.6, "no profiles of both ends: no candidate can be cleared by what it made"))
    if first in BLIND:
        caps.append(
            (0.69, f"a change of {first} may act anywhere, as a cause that nobody recorded may")
        )
    open_rivals = [
        name
        for name in mixed
        if name not in {first, by_rule, UNRECORDED, "randomness"}
        and not (name in DATA_CATEGORIES and first in DATA_CATEGORIES)
        and evidence.rows[name].get("usual", 0.0) < 0.5
        and by_rules[name] > 0.001
    ]
    if open_rivals and first not in {"evaluation protocol", UNRECORDED}:
        named = ", ".join(open_rivals[:3])
        reason = f"{named} changed as well and nothing clears it: a loud change may be harmless"
        caps.append((0.69, reason))
    if first not in {UNRECORDED, "evaluation protocol"} and not _explains(row, first):
        caps.append((0.65, "what it shows is small for a drop of this size"))
    return caps


def _explains(row: Mapping[str, float], first: str) -> bool:
    """Whether a candidate shows anything out of the ordinary besides having changed."""

    def known(name: str) -> float:
        value = row.get(name, math.nan)
        return 0.0 if math.isnan(value) else value

    if first in DATA_CATEGORIES:
        figures = ("train_max", "test_max", "label_z", "association")
        return max(known(name) for name in figures) > 1.0 or abs(known("rows")) > 0.5
    signs = [known("own_here") > 0.35, known("probe_excess") > 2, abs(known("trained_z")) > 3]
    return any(signs) or (
        math.isnan(row.get("own_here", math.nan)) and math.isnan(row.get("probe_excess", math.nan))
    )
