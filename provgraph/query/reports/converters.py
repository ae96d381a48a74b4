"""Q34: the versions under which each record entered, with its position in the ledger."""

from __future__ import annotations

from provgraph import terms
from provgraph.index.store import Row
from provgraph.query.reporting import Material, Table


def report(material: Material) -> Table:
    """Add the position of each record, and put the rows in the ledger's order."""
    record = material.found.columns.index("record")
    rows: list[tuple[int, Row]] = []
    for row in material.found.rows:
        iri = row[record]
        index = None if iri is None else material.entries.find(iri[1:-1])
        position = None if index is None else terms.integer(index)
        rows.append((-1 if index is None else index, (position, *row)))
    rows.sort(key=lambda each: (each[0], str(each[1])))
    return Table(columns=tuple(material.query.columns), rows=[row for _, row in rows])
