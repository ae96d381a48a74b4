"""SPARQL 1.1 Protocol, query side: GET, POST as a form, POST of the query itself.

Specification: W3C SPARQL 1.1 Protocol section 2.1. Answers are complete or an error, and carry the
ledger size that they were computed at (`Provgraph-Ledger-Size`). Updates are refused: the past is
never rewritten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.responses import Response

from provgraph.query.advice import improved, may_be_rewritten
from provgraph.query.explaining import explain, explanation_json
from provgraph.server.answering import ROWS, TRIPLES, answer_query
from provgraph.server.description import describe_service
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import READ
from provgraph.server.negotiation import choose
from provgraph.server.pages import HTML
from provgraph.server.problems import HttpError
from provgraph.server.sparql_page import sparql_page

MAX_QUERY_BODY_BYTES: Final = 1024 * 1024
MAX_EXPLAINED: Final = 16 * 1024
# What a form asks for instead of Accept: rows, and triples.
_FORMS: Final = {
    "csv": "text/csv, text/turtle",
    "json": "application/sparql-results+json, application/ld+json",
}
REWRITTEN_HEADER: Final = "Provgraph-Rewritten"
_FORM: Final = "application/x-www-form-urlencoded"
_QUERY: Final = "application/sparql-query"
_UPDATE: Final = "application/sparql-update"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a protocol request asks."""

    query: str
    default_graphs: tuple[str, ...] | None
    named_graphs: tuple[str, ...] | None
    min_ledger_size: int
    as_written: bool


async def get(call: Call) -> Response:
    """Answer a query in the URL; without any, describe the service. A browser gets the page."""
    form = call.request.query_params.get("format", "")
    if form not in {"", *_FORMS}:
        raise HttpError(
            400, "Bad request", f"format: expected one of {', '.join(_FORMS)}, found {form[:40]!r}"
        )
    if not form and _wants_page(call):
        return await sparql_page(call)
    if not call.request.url.query:
        return await describe_service(call)
    return await _answer(call, _asked(_pairs(call.request.url.query), text=None))


async def post(call: Call) -> Response:
    """Answer a query in the body: a form, or the query itself."""
    from provgraph.server.app import read_body

    media_type, _, parameters = call.request.headers.get("content-type", "").partition(";")
    media_type = media_type.strip().lower()
    if media_type not in {_FORM, _QUERY, _UPDATE}:
        raise HttpError(
            415,
            "Unsupported media type",
            f"expected a body of {_FORM} or {_QUERY}, found {media_type[:100] or 'none named'}",
        )
    if media_type == _UPDATE:
        raise _update_refused()
    body = await read_body(call, max_bytes=MAX_QUERY_BODY_BYTES)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HttpError(400, "Bad encoding", f"expected a body in UTF-8: {error}") from None
    if "charset" in parameters.lower() and "utf-8" not in parameters.lower():
        raise HttpError(415, "Bad encoding", "expected a body in UTF-8")
    in_url = _pairs(call.request.url.query)
    if media_type == _FORM:
        return await _answer(call, _asked([*in_url, *_pairs(text)], text=None))
    return await _answer(call, _asked(in_url, text=text))


def _wants_page(call: Call) -> bool:
    """Whether a page is liked better than every form of an answer."""
    offered = [*ROWS, *TRIPLES, HTML]
    return choose(call.request.headers.get("accept"), offered) == HTML


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=2000)
    except (UnicodeDecodeError, ValueError) as error:
        raise HttpError(400, "Malformed parameters", f"expected a form in UTF-8: {error}") from None


def _asked(pairs: Sequence[tuple[str, str]], *, text: str | None) -> _Asked:
    if any(name == "update" for name, _ in pairs):
        raise _update_refused()
    queries = [value for name, value in pairs if name == "query"]
    if text is not None:
        queries.append(text)
    if len(queries) != 1:
        raise HttpError(
            400, "Bad request", f"expected one query, found {len(queries)}; see /openapi.json"
        )
    default = tuple(value for name, value in pairs if name == "default-graph-uri")
    named = tuple(value for name, value in pairs if name == "named-graph-uri")
    # Section 2.1.4: with either given, they are the whole dataset.
    is_given = bool(default or named)
    return _Asked(
        query=queries[0],
        default_graphs=default if is_given else None,
        named_graphs=named if is_given else None,
        min_ledger_size=_whole(dict(pairs).get("min-ledger-size", "0")),
        as_written=dict(pairs).get("as-written", "false") == "true",
    )


async def _answer(call: Call, asked: _Asked) -> Response:
    if call.request.method == "POST":
        call.request.state.asked = asked.query  # the access trail has it from the URL otherwise
    # Reading a query by its grammar takes milliseconds, so it is done where it may change something,
    # and beside the loop.
    rewriting = None
    if not asked.as_written and may_be_rewritten(asked.query):
        rewriting = await asyncio.to_thread(improved, asked.query)
    response = await answer_query(
        call,
        asked.query if rewriting is None else rewriting.text,
        default_graphs=asked.default_graphs,
        named_graphs=asked.named_graphs,
        min_ledger_size=asked.min_ledger_size,
        accept=_FORMS.get(call.request.query_params.get("format", "")),
    )
    if rewriting is not None:
        reasons = "; ".join(rewriting.reasons).encode("ascii", "replace").decode()
        response.headers[REWRITTEN_HEADER] = reasons[:500]
    return response


async def get_explanation(call: Call) -> Response:
    """Say in words what a query asks, warn, and show the text that would be run."""
    from starlette.responses import JSONResponse

    queries = [value for name, value in _pairs(call.request.url.query) if name == "query"]
    if len(queries) != 1:
        raise HttpError(400, "Bad request", f"expected one query, found {len(queries)}")
    if len(queries[0]) > MAX_EXPLAINED:
        raise HttpError(413, "Too long", f"at most {MAX_EXPLAINED} characters are explained")
    found = await asyncio.to_thread(explain, queries[0])
    return JSONResponse(explanation_json(found))


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise HttpError(400, "Bad request", f"expected a number, found {text[:80]!r}")
    return int(text)


def _update_refused() -> HttpError:
    return HttpError(
        403,
        "Updates are refused",
        "the past is never rewritten: records are appended (POST /records), nothing is changed",
    )


_PARAMETERS: Final = (
    Parameter(name="query", help="a SPARQL 1.1 query", example="ASK {}"),
    Parameter(name="default-graph-uri", help="a graph of the default graph; repeatable"),
    Parameter(name="named-graph-uri", help="a named graph; repeatable"),
    Parameter(
        name="min-ledger-size",
        help="wait until so many ledger entries are in the index: read your own writes",
        schema={"type": "integer", "minimum": 0},
    ),
    Parameter(
        name="as-written",
        help="true: run the query as it stands, where a faster one with the same rows is known"
        " (the header Provgraph-Rewritten says what was changed)",
        schema={"type": "boolean"},
    ),
    Parameter(name="format", help="instead of Accept", schema={"enum": ["csv", "json"]}),
)
ENDPOINTS: Final = (
    Endpoint(
        path="/sparql",
        method="GET",
        action=READ,
        handler=get,
        summary="Answer a SPARQL query",
        tag="query",
        parameters=_PARAMETERS,
        media_types=(*ROWS, *TRIPLES, HTML),
    ),
    Endpoint(
        path="/explain",
        method="GET",
        action=READ,
        handler=get_explanation,
        summary="Explain a SPARQL query in words, with warnings and a better text",
        tag="query",
        parameters=(Parameter(name="query", help="a SPARQL 1.1 query", example="ASK {}"),),
        media_types=("application/json",),
    ),
    Endpoint(
        path="/sparql",
        method="POST",
        action=READ,
        handler=post,
        summary="Answer a SPARQL query in the body",
        tag="query",
        parameters=_PARAMETERS[1:],
        body={
            "required": True,
            "content": {
                _FORM: {"schema": {"type": "object", "properties": {"query": {"type": "string"}}}},
                _QUERY: {"schema": {"type": "string"}},
            },
        },
        answers={"403": "Updates are refused"},
        media_types=(*ROWS, *TRIPLES),
        max_body_bytes=MAX_QUERY_BODY_BYTES,
    ),
)
