"""Evidence in words and numbers that a person can check by hand from the two profiles."""

from __future__ import annotations

import math
from typing import Final

from provgraph.drift.align import Factor
from provgraph.drift.columns import ColumnShift
from provgraph.drift.evidence import Evidence
from provgraph.drift.facts import DATA_CATEGORIES, UNRECORDED
from provgraph.drift.rules import Points
from provgraph.drift.tables import TableShift

MAX_LINES: Final = 12


def evidence_lines(category: str, evidence: Evidence, points: Points) -> tuple[str, ...]:
    """Return what speaks for and against a candidate."""
    lines: list[str] = []
    factors = evidence.factors.get(category, ())
    for factor in factors[:3]:
        lines.append(_changed(factor))
        if factor.kind == "data" and factor.path in evidence.shifts:
            lines += _table(category, evidence.shifts[factor.path])
    if category not in DATA_CATEGORIES and category != UNRECORDED:
        lines += [
            f"{place}: what it made parts from what it was given by {evidence.own[place]:.2f}"
            " (log loudness; healthy runs stay below about 0.35)"
            for place in dict.fromkeys(factor.slot.of or "" for factor in factors[:2])
            if place in evidence.own
        ]
    lines += _of_the_case(evidence)
    lines += [f"rule {value:+.1f}: {text}" for value, text in points]
    return tuple(dict.fromkeys(lines))[:MAX_LINES]


def _changed(factor: Factor) -> str:
    if factor.state == "appeared":
        return f"{factor.path} was not there before"
    if factor.state == "vanished":
        return f"{factor.path} is not there any more"
    if factor.changed_values:
        shown = ", ".join(
            f"{name} {_short(old)} → {_short(new)}" for name, old, new in factor.changed_values[:4]
        )
        more = len(factor.changed_values) - 4
        return f"{factor.path}: {shown}" + (f" and {more} more" if more > 0 else "")
    usual = f"; it did in {factor.usual:.0%} of healthy runs too" if factor.usual else ""
    return f"{factor.path}: its content changed{usual}"


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "…"


def _table(category: str, shift: TableShift) -> list[str]:
    lines = []
    if shift.rows_before != shift.rows_after:
        lines.append(f"rows {shift.rows_before:,} → {shift.rows_after:,}")
    loud = sorted(shift.columns, key=lambda column: -column.loudness)
    lines += [text for column in loud[:3] if (text := _column(column))]
    if shift.lost or shift.added:
        lines.append(
            f"columns lost: {', '.join(shift.lost[:5]) or 'none'}; new: {', '.join(shift.added[:5]) or 'none'}"
        )
    if shift.label_z is not None and shift.label_distance is not None and shift.label_z > 1.2:
        lines.append(
            f"label mix differs by {shift.label_distance:.3f}, {shift.label_z:.1f} times noise"
        )
        if shift.residual_z is not None and shift.marginal_z:
            left = shift.residual_z / shift.marginal_z
            lines.append(f"former classes in the new mix leave {left:.0%} of what the columns show")
    if shift.association_z is not None and shift.association_z > 3:
        lines.append(
            f"{shift.association_name} goes with the label otherwise: {shift.association_z:.1f} standard errors"
        )
    if shift.lonely > 0.15:
        lines.append(f"one column moved by {shift.lonely:.2f} without those tied to it")
    if not lines and category in DATA_CATEGORIES:
        lines.append("its columns look as in healthy runs")
    return lines


def _column(column: ColumnShift) -> str:
    if column.loudness < 1.3:
        return ""
    parts = []
    if abs(column.null_after - column.null_before) > 0.005 and column.null_z > 2:
        parts.append(
            f"empty {column.null_before:.1%} → {column.null_after:.1%} (z {column.null_z:.1f})"
        )
    if column.shape_z > 1.3:
        parts.append(f"distance {column.distance:.3f}, {column.shape_z:.1f} times noise")
    if column.unit is not None:
        parts.append(f"multiplied by {column.unit:.4g}")
    if column.outside > 0.02:
        parts.append(f"{column.outside:.0%} beyond the former range")
    if column.new_mass > 0.02:
        parts.append(f"{column.new_mass:.0%} in classes not seen before")
    if column.spike > 0.05:
        parts.append(f"{column.spike_value!r} rose by {column.spike:.0%} of rows")
    return f"{column.name}: {', '.join(parts)}" if parts else ""


def _of_the_case(evidence: Evidence) -> list[str]:
    shared, lines = evidence.shared, []

    def known(name: str) -> float | None:
        value = shared.get(name, math.nan)
        return None if math.isnan(value) else value

    if (share := known("canonical_share")) is not None:
        lines.append(
            f"under an unchanged protocol {share:.0%} of the drop is seen (in units of noise)"
        )
    if (excess := known("probe_excess")) is not None:
        level = shared["probe"]
        lines.append(
            f"golden set: {level:.1%} predicted otherwise, {excess:.1f} times the usual spread"
        )
    if (trained := known("trained_z")) is not None:
        lines.append(f"on training rows the metric is {trained:+.1f} times noise below usual")
    if (part := known("reweighted")) is not None and part > 0.3:
        lines.append(f"with classes weighted as before, {part:.0%} of the drop is gone")
    return lines
