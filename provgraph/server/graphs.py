"""Reading graphs: W3C SPARQL 1.1 Graph Store HTTP Protocol, GET and HEAD, by `?graph=` or `?default`.

Each record is a graph. What policy refuses (PUT, POST and DELETE of a graph that is there) says why.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from provgraph import terms
from provgraph.errors import FormatError
from provgraph.server.answering import TRIPLES, answer_query, run_query
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import READ
from provgraph.server.problems import HttpError

_ALL: Final = "CONSTRUCT { ?s ?p ?o } WHERE { ?s ?p ?o }"
_ANY: Final = "ASK { ?s ?p ?o }"


async def read(call: Call) -> Response:
    """Return a graph as the index holds it."""
    graphs = call.request.query_params.getlist("graph")
    is_default = "default" in call.request.query_params
    if len(graphs) + is_default != 1:
        raise HttpError(
            400, "Bad request", "expected one of ?graph=<IRI of a graph> or ?default, and once"
        )
    if is_default:
        return await answer_query(call, _ALL)
    try:
        name = terms.iri(graphs[0])[1:-1]
    except FormatError as error:
        raise HttpError(400, "Bad request", f"graph: {error}") from None
    found, _ = await run_query(call, _ANY, default_graphs=(name,), named_graphs=(), form="CSV")
    if found.body != b"true":
        raise HttpError(404, "Not found", f"there is no graph {name[:500]} here")
    return await answer_query(call, _ALL, default_graphs=(name,), named_graphs=())


ENDPOINTS: Final = (
    Endpoint(
        path="/graphs",
        method="GET",
        action=READ,
        handler=read,
        summary="Read a graph",
        tag="query",
        parameters=(
            Parameter(name="graph", help="IRI of the graph: a record's"),
            Parameter(name="default", help="present: all statements, each once"),
        ),
        answers={"404": "There is no such graph"},
        media_types=tuple(TRIPLES),
    ),
)
