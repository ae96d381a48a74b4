"""Turtle, TriG and N-Quads of a set of graphs.

Specifications: RDF 1.1 Turtle, TriG, N-Quads. N-Quads are the lines that were signed, sorted; the
other two are for reading: prefixes, one block per subject, type and label first. Oxigraph writes
them, which keeps every literal as it is (its store would not, its serializers do).

Equal sets of graphs give equal bytes in any order of the argument. What it does not do: Turtle
has no named graphs, so it does not tell which record made a statement; TriG does.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

import pyoxigraph

from provgraph import terms
from provgraph.terms import Term
from provgraph.vocab import LABEL, PREFIXES, A

_Statement = tuple[Term, Term, Term, Term]

_BLOCK_FORMATS: Final = (pyoxigraph.RdfFormat.TURTLE, pyoxigraph.RdfFormat.TRIG)

# Between two subjects, and between two graphs. Line feeds in literals are written as escapes.
_BLOCK_END = re.compile(rb"(?<= \.\n)(?=\t?[^\t}])|(?<=^}\n)(?=.)", re.MULTILINE)

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


def triples_as(rows: Sequence[Sequence[Term | None]], form: str) -> bytes:
    """Write triples of canonical terms (a CONSTRUCT's answer) as turtle, ntriples or jsonld.

    Unlike records, such an answer may hold blank nodes.
    """
    text = "".join(f"{s} {p} {o} .\n" for s, p, o in rows)
    written = {
        "turtle": pyoxigraph.RdfFormat.TURTLE,
        "ntriples": pyoxigraph.RdfFormat.N_TRIPLES,
        "jsonld": pyoxigraph.RdfFormat.JSON_LD,
    }[form]
    return _serialize(text, pyoxigraph.RdfFormat.N_TRIPLES, written)


def _read(graphs: Iterable[bytes]) -> set[_Statement]:
    return {statement for graph in graphs for statement in terms.parse_lines(graph)}


def _reading_order(triple: tuple[Term, Term, Term]) -> tuple[Term, str, Term]:
    subject, predicate, value = triple
    return subject, _FIRST.get(predicate, predicate), value


def _serialize(text: str, read: pyoxigraph.RdfFormat, write: pyoxigraph.RdfFormat) -> bytes:
    # Only prefixes that occur: a long head for a short graph helps nobody.
    prefixes = {name: iri for name, iri in PREFIXES.items() if f"<{iri}" in text}
    written = io.BytesIO()
    quads = pyoxigraph.parse(text, format=read)
    pyoxigraph.serialize(quads, written, format=write, prefixes=prefixes)
    if write not in _BLOCK_FORMATS:
        return written.getvalue()
    # Oxigraph writes prefixes of equal length in any order.
    lines = written.getvalue().splitlines(keepends=True)
    count = sum(line.startswith(b"@prefix ") for line in lines[: len(prefixes)])
    body = _BLOCK_END.sub(b"\n", b"".join(lines[count:]))
    return b"".join(sorted(lines[:count])) + (b"\n" + body if body else b"")
