"""Graphs: W3C SPARQL 1.1 Graph Store HTTP Protocol, by `?graph=` or `?default`.

Each record is a graph, and any can be read. PUT and POST of a graph that is not there yet take it in:
it is parsed in a worker, its blank nodes are named, and beside it a record says of which bytes it came;
those are kept. A graph that is there is never changed (409) nor deleted (403).
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from provgraph import terms, vocab
from provgraph.digests import sha256_bytes
from provgraph.errors import FormatError
from provgraph.index.pool import ParseRequest
from provgraph.records import Agent, GraphImport
from provgraph.server.answering import TRIPLES, answer_query, run_query
from provgraph.server.endpoints import Call, Endpoint, Handler, Parameter
from provgraph.server.guard import INGEST, READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.problems import HttpError
from provgraph.service.ingesting import IncomingGraph

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_STATEMENTS: Final = 100_000
_TAKEN: Final = (
    "text/turtle",
    "application/n-triples",
    "application/rdf+xml",
    "application/ld+json",
)
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


async def put(call: Call) -> Response:
    """Take in a foreign graph under the name that the client gives."""
    graphs = call.request.query_params.getlist("graph")
    if "default" in call.request.query_params:
        raise HttpError(
            403, "The default graph is made of all others", "expected ?graph=<IRI of a new graph>"
        )
    if len(graphs) != 1:
        raise HttpError(400, "Bad request", "expected ?graph=<IRI of a new graph>, and once")
    try:
        name = terms.iri(graphs[0])[1:-1]
    except FormatError as error:
        raise HttpError(400, "Bad request", f"graph: {error}") from None
    if name.startswith((vocab.BASE, "urn:provgraph:")):
        raise HttpError(
            403,
            "A name of records",
            f"graphs below {vocab.BASE} are records, which come in by POST /records",
        )
    return await _take_in(call, name)


async def post(call: Call) -> Response:
    """Take in a foreign graph; without a name it gets one, told in Location."""
    if call.request.url.query:
        return await put(call)
    return await _take_in(call, f"urn:uuid:{uuid.uuid4()}")


async def delete(_: Call) -> Response:
    """Refuse: what was recorded stays."""
    raise HttpError(
        403,
        "Nothing is deleted",
        "the past is never rewritten; what must go for legal grounds is erased by a steward"
        " (provgraph erase), and leaves a tombstone",
    )


async def _take_in(call: Call, name: str) -> Response:
    from provgraph.server.app import read_body

    services = call.services
    if call.caller.projects is not None:
        limits = ", ".join(sorted(call.caller.projects))
        raise HttpError(
            403,
            "Forbidden",
            f"{call.caller.name} is limited to appending runs of the projects {limits}",
        )
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _TAKEN:
        raise HttpError(
            415,
            "Unsupported media type",
            f"expected one of {', '.join(_TAKEN)}, found {media_type!r:.80}",
        )
    body = await read_body(call, max_bytes=MAX_BODY_BYTES)
    if not body:
        raise HttpError(400, "Malformed content", "expected a graph, found nothing")
    digest = sha256_bytes(body)
    lines = await services.pool.parse(
        ParseRequest(
            data=body,
            media_type=media_type,
            base=name,
            skolem=f"{vocab.ID}genid/{digest.value[:32]}-",
            statements=MAX_STATEMENTS,
        ),
        who=call.caller.name,
    )
    if not lines:
        raise HttpError(400, "Malformed content", "expected at least one statement, found none")
    end = f" {terms.iri(name)} .\n".encode()
    graph_nq = b"".join(sorted(line.removesuffix(b" .\n") + end for line in lines))
    _ = list(terms.parse_lines(graph_nq))  # canonical, or refused with the line
    ingest = await services.ingest()
    at = services.clock()
    item = IncomingGraph(
        iri=name,
        graph_nq=graph_nq,
        imported=GraphImport(
            id=f"import-{hashlib.sha256(name.encode() + digest.value.encode()).hexdigest()[:32]}",
            graph=name,
            source=digest,
            media_type=media_type,
            size_bytes=len(body),
            by=Agent(name=call.caller.name),
            at=at,
        ),
        source=body,
    )
    taken = await asyncio.to_thread(ingest.take_graph, item)
    services.snapshots.grown()
    headers = {
        "Location": f"/graphs?graph={quote(name, safe='')}",
        LEDGER_SIZE_HEADER: str(taken.receipt.ledger_size),
    }
    return Response(status_code=201 if taken.is_new else 204, headers=headers)


_NAME: Final = Parameter(name="graph", help="IRI of the graph")
_BODY: Final = {"required": True, "content": {media_type: {} for media_type in _TAKEN}}


def _taking(method: str, handler: Handler, summary: str) -> Endpoint:
    return Endpoint(
        path="/graphs",
        method=method,
        action=INGEST,
        handler=handler,
        summary=summary,
        tag="records",
        parameters=(_NAME,),
        body=_BODY,
        answers={
            "201": "It is in; Location says where",
            "204": "It was in already, just so",
            "409": "A graph of that name is there with other content",
        },
        max_body_bytes=MAX_BODY_BYTES,
    )


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
    _taking("PUT", put, "Take in a foreign graph under a new name"),
    _taking("POST", post, "Take in a foreign graph, under a name or without"),
    Endpoint(
        path="/graphs",
        method="DELETE",
        action=INGEST,
        handler=delete,
        summary="Refused: nothing is deleted",
        tag="records",
        parameters=(_NAME,),
        answers={"403": "Nothing is deleted"},
    ),
)
