"""Reading RDF files that hold PROV-O: Turtle, TriG, N-Triples, N-Quads, RDF/XML, JSON-LD."""

from __future__ import annotations

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
    try:
        quads = [
            _quad(each) for each in ox.parse(data, format=RDF_FORMATS[form], base_iri="urn:x:")
        ]
    except (SyntaxError, ValueError, OSError) as error:
        raise FormatError(f"not {RDF_FORMATS[form].name}: {error}") from None
    return document_of(quads)


def _quad(quad: ox.Quad) -> Quad:
    graph = "" if isinstance(quad.graph_name, ox.DefaultGraph) else str(quad.graph_name)
    return str(quad.subject), str(quad.predicate), str(quad.object), graph
