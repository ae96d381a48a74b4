"""Contradictions: two statements of the ledger that cannot both be right, each found by a named rule.

The rules are branches of `queries/Q32-contradictions.rq`, all over one scope: the things of an answer
and what is around them, or everything. None says which of the statements is right.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provgraph import terms
from provgraph.index.store import Row, values_block
from provgraph.query.asking import Ask, blocks, things_in
from provgraph.query.lineage import plain
from provgraph.query.reporting import Material, Table
from provgraph.terms import Term

if TYPE_CHECKING:
    from provgraph.query.catalogue import CannedQuery

RULES: Final = {
    "two-digests": "one version names two different contents",
    "two-counts": "one content is said to have two different numbers of rows, columns or bytes",
    "two-licences": "one content is said to be under two different terms",
    "two-values": "one metric of a model, on the same data and slice, has two different values",
    "end-before-start": "it is said to have ended before it began",
    "used-before-made": "it was used by something that had ended before its only maker began",
    "made-before-run": "it is said to have been made before the run or step that made it began",
    "approved-before-evaluated": "it was approved before anything about it was evaluated",
    "deployed-before-approved": "it was deployed before the approval that the deployment rests on",
    "train-and-test": "a model was trained on it, and tested or evaluated on it as well",
    "withdrawn-and-deployed": "it was withdrawn, and is deployed with nothing in its place",
    "used-after-withdrawal": "it was withdrawn, and used by a run that began afterwards",
    "source-disagrees": "the source that it was imported from says two things of it",
    "source-changed": "the source that it was imported from has changed a metric afterwards",
}
COLUMNS: Final = (
    "rule",
    "thing",
    "fact",
    "first",
    "second",
    "with",
    "firstRecord",
    "secondRecord",
)

# Answers about more things than this are looked through by `provgraph query Q32` itself.
MAX_SCOPE: Final = 1_000
# The rules are many branches over one VALUES line; with hundreds of things in it the engine plans badly.
_AT_ONCE: Final = 50
# What is around a thing: its version and name, what made it, what was judged and decided on it.
_AROUND: Final = (
    "PREFIX prov: <http://www.w3.org/ns/prov#> PREFIX pg: <https://w3id.org/provgraph/ns#> "
    "SELECT DISTINCT ?other WHERE {{ {values}"
    " {{ ?it prov:specializationOf|prov:wasGeneratedBy|pg:model|pg:partOfRun|pg:data ?other }}"
    " UNION {{ ?other prov:specializationOf ?it }} }}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two statements that cannot both be right."""

    rule: str
    thing: str
    fact: str
    first: str
    second: str
    other: str | None
    records: tuple[str, ...]

    @property
    def meaning(self) -> str:
        """What the rule says, in words."""
        return RULES[self.rule]


def contradictions_of(ask: Ask, things: Iterable[str]) -> tuple[Contradiction, ...]:
    """Return the contradictions that touch things, or what is around them."""
    return tuple(_told(row) for row in _rows(ask, _scope(ask, set(things))))


def report(material: Material) -> Table:
    """Answer Q32: about one thing and what is around it, or about everything."""
    given = material.values.get("thing")
    if given is None:
        rows: Iterable[Row] = material.found.rows
    else:
        rows = _rows(material.select, _scope(material.select, things_in([given])))
    return Table(columns=COLUMNS, rows=_once(rows))


def _scope(ask: Ask, things: set[str]) -> set[str]:
    scope = set(things)
    # A version is around a content that is around a run.
    level = things
    for _ in range(2):
        following: set[str] = set()
        for block in blocks(level):
            found = ask(_AROUND.format(values=values_block("it", block))).rows
            following |= things_in(found)
        level = following - scope
        scope |= following
        if len(scope) > MAX_SCOPE:
            break
    return set(sorted(scope)[: 2 * MAX_SCOPE])


def _rows(ask: Ask, scope: set[str]) -> list[Row]:
    rows: list[Row] = []
    for block in blocks(scope, size=_AT_ONCE):
        query = _question().bound({"thing": tuple(terms.iri(iri) for iri in block)})
        rows += ask(query).rows
    return _once(rows)


def _once(rows: Iterable[Row]) -> list[Row]:
    """Keep one row of those that differ only in the records that say the same."""
    known: dict[tuple[Term | None, ...], Row] = {}
    for row in sorted(rows, key=lambda each: tuple(term or "" for term in each)):
        known.setdefault(row[:6], row)
    return list(known.values())


def _told(row: Row) -> Contradiction:
    rule, thing, fact, first, second, other, *records = (
        None if term is None else plain(term) for term in row
    )
    return Contradiction(
        rule=str(rule),
        thing=str(thing),
        fact=str(fact),
        first=str(first),
        second=str(second),
        other=other,
        records=tuple(sorted({each for each in records if each is not None})),
    )


@functools.cache
def _question() -> CannedQuery:
    from provgraph.query.catalogue import find

    return find("Q32")
