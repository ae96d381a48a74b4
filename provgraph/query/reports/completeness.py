"""Q29: what a model lacks against a profile, requirement by requirement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provgraph import terms
from provgraph.errors import FormatError
from provgraph.index.store import Row
from provgraph.query.reporting import Material, Table
from provgraph.query.requirements import Requirement, load_profile
from provgraph.terms import Term, literal_parts

_FIELDS = {
    "source-code": ("source", "commit", "source code"),
    "environment": ("environment",),
    "data-digest": ("digest",),
}
"""Fields that capture says to be missing, by the fact that they are about."""


def report(material: Material) -> Table:
    """Hold what was found against each requirement.

    Raises:
        NotFoundError: there is no such profile.
        FormatError: the profile asks for nothing, or for what no question answers.
    """
    profile = load_profile(_value(material, "profile"))
    wants_all = _value(material, "all") == "true"
    asked = [each for each in profile.requirements if each.fact is not None]
    if not asked:
        raise FormatError(
            f"{profile.id} asks for no fact; `provgraph gate` judges what it does ask"
        )
    found = by_fact(material.found.rows)
    rows: list[Row] = []
    for each in asked:
        rows += judged(each, found, wants_all=wants_all)
    return Table(columns=tuple(material.query.columns), rows=rows)


def by_fact(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Sort what the query found by the fact that it is about."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        fact = row[0]
        if fact is not None:
            found.setdefault(literal_parts(fact)[0], []).append(row)
    return found


def judged(each: Requirement, found: Mapping[str, list[Row]], *, wants_all: bool) -> list[Row]:
    """Hold what was found against a requirement: rows of this report, none where it is met."""
    stated = found.get(each.fact or "", [])
    absent = [row for row in stated if row[1] == terms.string("absent")]
    if stated and not absent:
        return [_row(each, "met", None, None, None)] if wants_all else []
    reasons = [
        row
        for field in _FIELDS.get(each.fact or "", ())
        for row in found.get(f"missing {field}", [])
    ]
    if not stated:
        state = "missing" if reasons else "not recorded"
        return [_row(each, state, *(reasons[0][2:5] if reasons else (None, None, None)))]
    rows = []
    for row in _once(absent):
        why = next((other[4] for other in reasons if other[2] == row[2]), None)
        state = "incomplete" if len(absent) < len(stated) else "not recorded"
        rows.append(_row(each, "missing" if why is not None else state, row[2], row[3], why))
    return rows


def _once(rows: list[Row]) -> list[Row]:
    """Return one row for each thing: what people call it may be several words."""
    return list({row[2]: row for row in reversed(rows)}.values())[::-1]


def _row(
    each: Requirement, state: str, thing: Term | None, label: Term | None, reason: Term | None
) -> Row:
    return (
        terms.string(each.id),
        terms.string(each.title),
        terms.string(state),
        thing,
        label,
        reason,
        terms.string(each.source),
    )


def _value(material: Material, name: str) -> str:
    return literal_parts(material.values[name][0])[0]
