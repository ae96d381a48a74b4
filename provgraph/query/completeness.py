"""How complete an answer is: of the facts that it needs, which are there, absent with reason, missing.

Which columns a row needs stands in the question's front matter (`required`). A fact that is not there
is *absent, with reason* where a record says that it could not be learnt, and why (`pg:missing`); it is
*missing* where nobody says anything. What could not be learnt of the things in the rows, or of what
made the things asked about, is listed whether or not a column asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from provgraph.index.store import Row, values_block
from provgraph.query.asking import Ask, blocks, things_in
from provgraph.query.lineage import plain

# More than these are a list for `provgraph query --json`, not for a reader of an answer.
MAX_ABSENT: Final = 200
_MISSING: Final = (
    "PREFIX pg: <https://w3id.org/provgraph/ns#>"
    " SELECT DISTINCT ?it ?field ?reason WHERE {{ {values} ?it pg:missing ?missing ."
    " ?missing pg:field ?field . OPTIONAL {{ ?missing pg:reason ?reason }} }} ORDER BY ?it ?field ?reason"
)
_MADE_BY: Final = (
    "PREFIX prov: <http://www.w3.org/ns/prov#> PREFIX pg: <https://w3id.org/provgraph/ns#>"
    " SELECT DISTINCT ?maker WHERE {{ {values} ?it prov:wasGeneratedBy/pg:partOfRun? ?maker }}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A fact that a record says could not be learnt, and why."""

    thing: str
    field: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """How often a required column is filled."""

    present: int
    absent: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """What an answer lacks, as far as anybody can tell."""

    required: Mapping[str, Facts]
    absent: tuple[Absent, ...]
    is_cut: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every required fact is there, and nothing is said to be unknown."""
        return not self.absent and all(
            each.absent + each.missing == 0 for each in self.required.values()
        )


def completeness_of(
    ask: Ask,
    *,
    columns: Sequence[str],
    required: Sequence[str],
    rows: Sequence[Row],
    given: Iterable[str],
) -> Completeness:
    """Say what of the required facts is there."""
    asked = set(given)
    makers: set[str] = set()
    for block in blocks(asked):
        makers |= things_in(ask(_MADE_BY.format(values=values_block("it", block))).rows)
    absent: list[Absent] = []
    for block in blocks(things_in(rows) | asked | makers):
        found = ask(_MISSING.format(values=values_block("it", block))).rows
        absent += [
            Absent(
                thing=plain(it),
                field=plain(name),
                reason=None if reason is None else plain(reason),
            )
            for it, name, reason in found
            if it is not None and name is not None
        ]
    noted: dict[str, list[str]] = {}
    for each in absent:
        noted.setdefault(each.thing, []).append(each.field.lower())
    places = {name: place for place, name in enumerate(columns)}
    return Completeness(
        required={
            name: _facts(name, places[name], rows, noted) for name in required if name in places
        },
        absent=tuple(absent[:MAX_ABSENT]),
        is_cut=len(absent) > MAX_ABSENT,
    )


def _facts(column: str, place: int, rows: Sequence[Row], noted: Mapping[str, list[str]]) -> Facts:
    present = absent = 0
    for row in rows:
        if row[place] is not None:
            present += 1
        elif any(
            column.lower() in name for thing in things_in([row]) for name in noted.get(thing, ())
        ):
            absent += 1
    return Facts(present=present, absent=absent, missing=len(rows) - present - absent)
