"""Asking the query workers for an endpoint: the snapshot, the form of the answer, the response."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import IO, Final

from starlette.responses import Response, StreamingResponse

from provgraph.errors import DamagedIndexError
from provgraph.index.pool import PoolAnswer, Request
from provgraph.server.endpoints import Call
from provgraph.server.headers import ERASED_HEADER, LEDGER_SIZE_HEADER
from provgraph.server.negotiation import choose
from provgraph.server.problems import HttpError

# Media type -> the engine's name of the serialisation; the first of each is the default.
ROWS: Final = {
    "application/sparql-results+json": "JSON",
    "application/json": "JSON",
    "application/sparql-results+xml": "XML",
    "application/xml": "XML",
    "text/csv": "CSV",
    "text/tab-separated-values": "TSV",
}
TRIPLES: Final = {
    "text/turtle": "TURTLE",
    "application/trig": "TRIG",
    "application/n-triples": "N_TRIPLES",
    "application/n-quads": "N_QUADS",
    "application/rdf+xml": "RDF_XML",
    "application/ld+json": "JSON_LD",
}
_PIECE_BYTES: Final = 256 * 1024


async def answer_query(
    call: Call,
    query: str,
    *,
    default_graphs: tuple[str, ...] | None = None,
    named_graphs: tuple[str, ...] | None = None,
    min_ledger_size: int = 0,
    status: int = 200,
    accept: str | None = None,
) -> Response:
    """Answer a query in the form that the client wants, by `accept` or its header.

    Raises:
        QueryError: refused, malformed, or over a limit.
        HttpError: 406, nothing that we have is acceptable.
    """
    answer, size = await run_query(
        call,
        query,
        default_graphs=default_graphs,
        named_graphs=named_graphs,
        min_ledger_size=min_ledger_size,
        accept=accept,
    )
    accept = accept or call.request.headers.get("accept")
    offered = TRIPLES if answer.kind == "triples" else ROWS
    chosen = choose(accept, list(offered))
    if chosen is None:
        if not isinstance(answer.body, bytes):
            answer.body.close()
        raise HttpError(406, "Not acceptable", f"this answer comes as one of {', '.join(offered)}")
    headers = {
        LEDGER_SIZE_HEADER: str(size),
        ERASED_HEADER: str(call.request.state.erased),
        "Vary": "Accept",
    }
    if isinstance(answer.body, bytes):
        return Response(answer.body, status_code=status, media_type=chosen, headers=headers)
    # The length is known, so a connection that breaks cannot pass for a whole answer.
    headers["Content-Length"] = str(answer.size_bytes)
    return StreamingResponse(
        _pieces(answer.body), status_code=status, media_type=chosen, headers=headers
    )


async def run_query(
    call: Call,
    query: str,
    *,
    default_graphs: tuple[str, ...] | None = None,
    named_graphs: tuple[str, ...] | None = None,
    min_ledger_size: int = 0,
    form: str | None = None,
    accept: str | None = None,
) -> tuple[PoolAnswer, int]:
    """Run a query in a worker; return the answer, serialised, and the ledger size it holds for.

    `form` is the engine's name of a serialisation; without it the client's wish counts.

    Raises:
        QueryError: refused, malformed, or over a limit.
    """
    accept = accept or call.request.headers.get("accept")
    rows = form or ROWS[choose(accept, list(ROWS)) or next(iter(ROWS))]
    triples = form or TRIPLES[choose(accept, list(TRIPLES)) or next(iter(TRIPLES))]
    services = call.services
    async with services.snapshots.lend(call.view, min_size=min_ledger_size) as snapshot:
        request = Request(
            query=query,
            folder=snapshot.folder,
            formats={"rows": rows, "boolean": rows, "triples": triples},
            # RFC 3986 section 5.1.3: what was retrieved from where is the base.
            base=services.front.url(call.request),
            default_graphs=default_graphs,
            named_graphs=named_graphs,
        )
        try:
            answer = await services.pool.run(request, who=call.caller.name)
        except DamagedIndexError:
            await services.snapshots.rebuild(snapshot)
            raise
        call.request.state.erased = snapshot.erased
        return answer, snapshot.ledger_size


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
