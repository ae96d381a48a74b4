"""Small ledgers for the lineage index: edges by record, as canonical graphs, and as a SPARQL store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyoxigraph as ox

from provgraph import vocab
from provgraph.index.edges import EdgeFile, Entry, build_edges, open_edges
from provgraph.index.store import Watermark

DERIVED = f"{vocab.PROV}wasDerivedFrom"
ABOUT = f"{vocab.PG}model"

Record = Sequence[tuple[int, str, int]]
"""Statements of one record: thing, property, thing."""


def thing(number: int) -> str:
    return f"https://example.org/thing/{number}"


def record_iri(position: int) -> str:
    return f"{vocab.ID}record/{position}"


def graph(position: int, statements: Record) -> bytes:
    lines = {
        f"<{thing(child)}> <{predicate}> <{thing(parent)}> <{record_iri(position)}> .\n"
        for child, predicate, parent in statements
    }
    return "".join(sorted(lines)).encode()


def entries(records: Iterable[Record], *, start: int = 0) -> list[Entry]:
    return [
        Entry(position=at, iri=record_iri(at), graph_nq=graph(at, statements))
        for at, statements in enumerate(records, start=start)
    ]


def mark(size: int) -> Watermark:
    return Watermark(size=size, root_hex=hashlib.sha256(str(size).encode()).hexdigest())


def edge_file(folder: Path, records: Sequence[Record]) -> EdgeFile:
    build_edges(folder, [(entries(records), mark(len(records)))])
    file = open_edges(folder, read_only=False)
    assert file is not None
    return file


def store(records: Iterable[Record]) -> ox.Store:
    """The union of all graphs as the default graph, as the index has it."""
    made = ox.Store()
    for statements in records:
        for child, predicate, parent in statements:
            made.add(
                ox.Quad(
                    ox.NamedNode(thing(child)), ox.NamedNode(predicate), ox.NamedNode(thing(parent))
                )
            )
    return made
