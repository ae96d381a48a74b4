"""Q31: what is not to be relied on any more; erasures as the ledger itself bears them out.

Anybody may record a graph that claims to erase another. Only an entry of kind tombstone erases
(`provgraph.seal.entry`), so each claim is held against the ledger.
"""

from __future__ import annotations

from provgraph import terms
from provgraph.index.store import Row
from provgraph.query.reporting import Entries, Material, Table
from provgraph.seal.entry import TOMBSTONE, parse_entry


def report(material: Material) -> Table:
    """Add to each row what the ledger says of an erasure, and the position of the record."""
    place = {name: index for index, name in enumerate(material.found.columns)}
    rows: list[Row] = []
    for row in material.found.rows:
        record = row[place["record"]]
        index = None if record is None else material.entries.find(record[1:-1])
        is_erasure = row[place["what"]] == terms.string("erased")
        rows.append(
            (
                *(row[place[name]] for name in ("at", "what", "thing", "label", "by", "reason")),
                row[place["ground"]],
                terms.string(_standing(material.entries, index)) if is_erasure else None,
                None if index is None else terms.integer(index),
                row[place["act"]],
            )
        )
    return Table(columns=tuple(material.query.columns), rows=rows)


def _standing(entries: Entries, index: int | None) -> str:
    if index is None:
        return "claimed"
    entry = parse_entry(entries.ledger.entry(index))
    return "by a tombstone of this ledger" if entry.kind == TOMBSTONE else "claimed"
