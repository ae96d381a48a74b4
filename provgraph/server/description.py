"""What this endpoint is, in RDF: SPARQL Service Description, and VoID at its well-known place.

Specifications: W3C SPARQL 1.1 Service Description; VoID (W3C note) section 5.3 for the place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from starlette.responses import Response

from provgraph import terms, vocab
from provgraph.server.answering import answer_query, run_query
from provgraph.server.endpoints import Call, Endpoint
from provgraph.server.guard import READ
from provgraph.service.snapshots import MAX_VIEWS
from provgraph.terms import Term

_SD: Final = "http://www.w3.org/ns/sparql-service-description#"
_VOID: Final = "http://rdfs.org/ns/void#"
_FORMATS: Final = "http://www.w3.org/ns/formats/"
_RESULT_FORMATS: Final = (
    "SPARQL_Results_JSON",
    "SPARQL_Results_XML",
    "SPARQL_Results_CSV",
    "SPARQL_Results_TSV",
    "Turtle",
    "TriG",
    "N-Triples",
    "N-Quads",
    "RDF_XML",
    "JSON-LD",
)
_COUNTS: Final = """SELECT (COUNT(*) AS ?triples) (COUNT(DISTINCT ?s) AS ?subjects)
  (COUNT(DISTINCT ?p) AS ?properties) WHERE { ?s ?p ?o }"""


async def describe_service(call: Call) -> Response:
    """Answer a bare GET of the endpoint with its description."""
    endpoint = terms.iri(call.services.front.url(call.request))
    dataset = terms.iri(f"{_endpoint(call)}#dataset")
    default = terms.iri(f"{_endpoint(call)}#default-graph")
    statements = [
        (endpoint, vocab.A, _sd("Service")),
        (endpoint, _sd("endpoint"), endpoint),
        (endpoint, _sd("supportedLanguage"), _sd("SPARQL11Query")),
        *((endpoint, _sd("resultFormat"), terms.iri(_FORMATS + f)) for f in _RESULT_FORMATS),
        (endpoint, _sd("defaultDataset"), dataset),
        (dataset, vocab.A, _sd("Dataset")),
        (dataset, _sd("defaultGraph"), default),
        (default, vocab.A, _sd("Graph")),
    ]
    return await _answer(call, statements)


async def void(call: Call) -> Response:
    """Describe the dataset: where to ask, how large it is, which vocabularies it uses."""
    counts = await _counts(call)
    root = call.services.front.root(call.request)
    dataset = terms.iri(f"{root}.well-known/void#dataset")
    statements = [
        (dataset, vocab.A, _void("Dataset")),
        (dataset, terms.iri(vocab.RDFS + "label"), terms.string("provgraph")),
        (dataset, _void("sparqlEndpoint"), terms.iri(f"{root}sparql")),
        (dataset, _void("vocabulary"), terms.iri(vocab.PROV)),
        (dataset, _void("vocabulary"), terms.iri(vocab.PG)),
        (dataset, _void("triples"), terms.integer(counts["triples"])),
        (dataset, _void("distinctSubjects"), terms.integer(counts["subjects"])),
        (dataset, _void("properties"), terms.integer(counts["properties"])),
    ]
    return await _answer(call, statements)


async def _counts(call: Call) -> dict[str, int]:
    """Count once a snapshot: it is a pass over everything that the caller sees."""
    counts = call.services.counts
    known = counts.get(call.view)
    size = call.services.snapshots.size_of(call.view)
    if known is None or known[0] != size:
        found, size = await run_query(call, _COUNTS, form="JSON")
        assert isinstance(found.body, bytes), "one row"
        (row,) = json.loads(found.body)["results"]["bindings"]
        known = size, {name: int(cell["value"]) for name, cell in row.items()}
        if len(counts) > MAX_VIEWS:
            counts.clear()
        counts[call.view] = known
    return known[1]


async def _answer(call: Call, statements: Iterable[tuple[Term, Term, Term]]) -> Response:
    """Let a worker write our statements in the form that the client wants."""
    template = " ".join(f"{s} {p} {o} ." for s, p, o in statements)
    return await answer_query(call, f"CONSTRUCT {{ {template} }} WHERE {{}}")


def _endpoint(call: Call) -> str:
    return f"{call.services.front.root(call.request)}sparql"


def _sd(name: str) -> Term:
    return terms.iri(_SD + name)


def _void(name: str) -> Term:
    return terms.iri(_VOID + name)


ENDPOINTS: Final = (
    Endpoint(
        path="/.well-known/void",
        method="GET",
        action=READ,
        handler=void,
        summary="What is here, as VoID",
        tag="query",
        media_types=("text/turtle", "application/ld+json"),
    ),
)
