"""Turtle, TriG and N-Quads of a set of graphs.

Specifications: RDF 1.1 Turtle, TriG, N-Quads. N-Quads are the lines that were signed, sorted; the
other two are for reading: prefixes, one block per subject, type and label first. Oxigraph writes
them, which keeps every literal as it is (its store would not, its serializers do).

Equal sets of graphs give equal bytes in any order of the argument. What it does not do: Turtle
has no named graphs, so it does not tell which record made a statement; TriG does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import pyoxigraph

from provgraph import terms
from provgraph.terms import Term
from provgraph.vocab import LABEL, PREFIXES, A

_Statement = tuple[Term, Term, Term, Term]

_FIRST: Final = {A: "0", LABEL: "1"}


def as_turtle(graphs: Sequence[bytes]) -> bytes:
    """Write the union of the statements as Turtle.

    Raises:
        FormatError: bytes that are not canonical N-Quads.
    """
    merged = {(s, p, o): None for s, p, o, _ in _read(graphs)}
    text = "".join(f"{s} {p} {o} .\n" for s, p, o in sorted(merged, key=_reading_order))
    return _serialize(text, pyoxigraph.RdfFormat.N_TRIPLES, pyoxigraph.RdfFormat.TURTLE)


def as_trig(graphs: Sequence[bytes]) -> bytes:
    """Write the graphs as TriG, each under its name.

    Raises:
        FormatError: bytes that are not canonical N-Quads.
    """
    ordered = sorted(_read(graphs), key=lambda line: (line[3], _reading_order(line[:3])))
    text = "".join(f"{s} {p} {o} {g} .\n" for s, p, o, g in ordered)
    return _serialize(text, pyoxigraph.RdfFormat.N_QUADS, pyoxigraph.RdfFormat.TRIG)


def as_nquads(graphs: Sequence[bytes]) -> bytes:
    """Write the graphs as one set of canonical N-Quads lines.

    Raises:
        FormatError: bytes that are not canonical N-Quads.
    """
    lines = sorted(f"{s} {p} {o} {g} .\n" for s, p, o, g in _read(graphs))
    return "".join(lines).encode()


def _read(graphs: Iterable[bytes]) -> set[_Statement]:
    return {statement for graph in graphs for statement in terms.parse_lines(graph)}


def _reading_order(triple: tuple[Term, Term, Term]) -> tuple[Term, str, Term]:
    subject, predicate, value = triple
    return subject, _FIRST.get(predicate, predicate), value


def _serialize(text: str, read: pyoxigraph.RdfFormat, write: pyoxigraph.RdfFormat) -> bytes:
    quads = pyoxigraph.parse(text, format=read)
    # Only prefixes that occur: a long head for a short graph helps nobody.
    prefixes = {name: iri for name, iri in PREFIXES.items() if f"<{iri}" in text}
    return pyoxigraph.serialize(quads, format=write, prefixes=prefixes)
