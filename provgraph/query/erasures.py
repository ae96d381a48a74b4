"""Erasures: what the index knows of content that is no longer there, so that every answer says so.

A thing is *erased* where an erased record described it and no other does; it is *partly erased* where
others still say something. Which records were erased is in the tombstones; what they said is nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from provgraph import vocab
from provgraph.index.store import MAX_VALUES, values_block
from provgraph.query.lineage import Node, Select, plain

_PREFIXES: Final = (
    f"PREFIX prov: <{vocab.PROV}> PREFIX pg: <{vocab.PG}> PREFIX rdfs: <{vocab.RDFS}> "
)
_ERASED: Final = (
    _PREFIXES + "SELECT DISTINCT ?it ?tombstone WHERE {{ {values} ?it pg:erasedBy ?tombstone }}"
)
# One statement at a time, so that what a tombstone does not say costs nothing.
_TOMBSTONES: Final = _PREFIXES + (
    "SELECT ?it ?record ?index ?at ?reason ?ground ?by WHERE {{ {values}"
    " ?it pg:erases ?record ; pg:entryIndex ?index ; prov:startedAtTime ?at ; pg:reason ?reason ."
    " OPTIONAL {{ ?it pg:legalGround ?ground }}"
    " OPTIONAL {{ ?it prov:wasAssociatedWith/rdfs:label ?by }} }} ORDER BY ?index"
)
# What a record says of a thing in words; of an erased thing at most its class and edges are left.
_WORDS: Final = ("label", "digest", "at", "value", "reason", "rows", "project")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """An entry whose content was erased, by whom, and why."""

    tombstone: str
    record: str
    entry_index: int
    at: str
    by: str
    reason: str
    ground: str | None

    def __str__(self) -> str:
        """Say it in a line for people."""
        ground = f" ({self.ground})" if self.ground else ""
        return f"erased by {self.by} on {self.at[:10]}: {self.reason}{ground}"


def erasures_of(
    select: Select, iris: Iterable[str], *, tombstones: Collection[str]
) -> dict[str, tuple[Erasure, ...]]:
    """Return what was erased of things and records, by their IRI; those untouched are left out.

    Args:
        select: runs a SELECT over the index.
        iris: of things and records.
        tombstones: those that count; any record can say that something was erased.
    """
    wanted = sorted(set(iris))
    pairs: list[tuple[str, str]] = []
    for start in range(0, len(wanted), MAX_VALUES):
        block = values_block("it", wanted[start : start + MAX_VALUES])
        for it, tombstone in select(_ERASED.format(values=block)).rows:
            if it is not None and tombstone is not None and tombstone[1:-1] in tombstones:
                pairs.append((it[1:-1], tombstone[1:-1]))
    told = _tombstones(select, {tombstone for _, tombstone in pairs})
    found: dict[str, list[Erasure]] = {}
    for iri, tombstone_iri in sorted(pairs):
        found.setdefault(iri, []).append(told[tombstone_iri])
    return {iri: tuple(each) for iri, each in found.items()}


def is_wholly_erased(node: Node) -> bool:
    """Whether nothing but class and edges is left of a thing that an erasure touched."""
    return not any(node.facts.get(name) for name in _WORDS)


def _tombstones(select: Select, iris: Iterable[str]) -> dict[str, Erasure]:
    wanted = sorted(iris)
    found: dict[str, Erasure] = {}
    for start in range(0, len(wanted), MAX_VALUES):
        block = values_block("it", wanted[start : start + MAX_VALUES])
        for row in select(_TOMBSTONES.format(values=block)).rows:
            it, record, index, at, reason, ground, by = (
                None if term is None else plain(term) for term in row
            )
            found[str(it)] = Erasure(
                tombstone=str(it),
                record=str(record),
                entry_index=int(str(index)),
                at=str(at),
                by=by or "somebody unnamed",
                reason=str(reason),
                ground=ground,
            )
    return found
