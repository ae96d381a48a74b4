"""Reading RDF files that hold PROV-O: Turtle, TriG, N-Triples, N-Quads, RDF/XML, JSON-LD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyoxigraph as ox

from provgraph.constraints.rdf import Quad, document_of
from provgraph.constraints.statements import Document
from provgraph.errors import FormatError

RDF_FORMATS: Final = {
    "turtle": ox.RdfFormat.TURTLE,
    "trig": ox.RdfFormat.TRIG,
    "ntriples": ox.RdfFormat.N_TRIPLES,
    "nquads": ox.RdfFormat.N_QUADS,
    "rdfxml": ox.RdfFormat.RDF_XML,
    "rdf-jsonld": ox.RdfFormat.JSON_LD,
}


def read_rdf(data: bytes, form: str) -> Document:
    """Read a PROV document written in RDF.

    Raises:
        FormatError: it is not in that format, or says nothing in PROV.
    """
    return document_of(read_quads(data, form, base="urn:x:"))


def read_quads(data: bytes, form: str, *, base: str) -> list[Quad]:
    """Read the statements of an RDF file, as N-Quads writes them; relative IRIs stand below `base`.

    Raises:
        FormatError: it is not in that format.
    """
    try:
        return [_quad(each) for each in ox.parse(data, format=RDF_FORMATS[form], base_iri=base)]
    except (SyntaxError, ValueError, OSError) as error:
        raise FormatError(f"not {RDF_FORMATS[form].name}: {error}") from None


def kept_literals(values: Iterable[str]) -> dict[str, str | None]:
    """Return how the index writes each literal; None for what is no literal to it."""
    store = ox.Store()
    found: dict[str, str | None] = {}
    for value in dict.fromkeys(values):
        store.clear()
        try:
            store.load(f"<urn:x:s> <urn:x:p> {value} .".encode(), format=ox.RdfFormat.N_TRIPLES)
            found[value] = str(next(iter(store)).object)
        except (SyntaxError, ValueError, OSError, StopIteration):
            found[value] = None
    return found


def read_triples(turtle: bytes) -> list[tuple[str, str, str]]:
    """Read a Turtle file of ours, as it is.

    Raises:
        FormatError: it is not Turtle.
    """
    try:
        found = [_quad(each) for each in ox.parse(turtle, format=ox.RdfFormat.TURTLE)]
    except (SyntaxError, ValueError) as error:
        raise FormatError(f"not Turtle: {error}") from None
    return [(subject, predicate, value) for subject, predicate, value, _ in found]


def _quad(quad: ox.Quad) -> Quad:
    graph = "" if isinstance(quad.graph_name, ox.DefaultGraph) else str(quad.graph_name)
    return str(quad.subject), str(quad.predicate), str(quad.object), graph
