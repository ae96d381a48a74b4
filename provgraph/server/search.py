"""`GET /search`: things by words and facts, among what the caller sees; as JSON, and as a page of rows."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from provgraph.errors import UsageError
from provgraph.index.texts import KINDS
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.pages import page, wants_page
from provgraph.server.problems import HttpError
from provgraph.service.searching import filters_of, search

MAX_WORDS_LENGTH: Final = 1000
ALL_KINDS: Final = (*(each.lower() for each in KINDS), "person", "organization", "software")
MAX_OFFSET: Final = 100_000
PAGE_ROWS: Final = 50
FILTERS: Final = ("q", "kind", "project", "owner", "licence", "stage", "since", "until", "metric")


async def find(call: Call) -> Response:
    """Search, and answer with the best hits first."""
    if wants_page(call.request) and call.request.query_params.get("format") != "json":
        return await _html(call)
    given = call.request.query_params
    text = given.get("q", "")
    if len(text) > MAX_WORDS_LENGTH:
        raise HttpError(400, "Bad request", f"q: at most {MAX_WORDS_LENGTH} characters")
    filters = filters_of(
        kinds=tuple(given.getlist("kind")),
        **{
            name: given.get(name) or None
            for name in ("project", "owner", "licence", "since", "until", "metric")
        },
    )
    found = await asyncio.to_thread(
        search,
        call.services.settings,
        text,
        filters,
        limit=_whole(given.get("limit", "50"), "limit"),
        offset=_offset(given.get("offset", "0")),
        as_of=given.get("as-of") or None,
        view=call.view,
        recovers=False,
    )
    body = {
        "hits": [asdict(each) for each in found.hits],
        "isCut": found.is_cut,
        "ledgerSize": found.ledger_size,
    }
    return JSONResponse(body, headers={LEDGER_SIZE_HEADER: str(found.ledger_size)})


async def _html(call: Call) -> Response:
    """Show what was found as rows, with the filters as a form."""
    given = {name: call.request.query_params.get(name, "").strip() for name in FILTERS}
    if len(given["q"]) > MAX_WORDS_LENGTH:
        raise HttpError(400, "Bad request", f"q: at most {MAX_WORDS_LENGTH} characters")
    offset = _offset(call.request.query_params.get("offset", "0"))
    values: dict[str, Any] = {
        "given": given,
        "kinds": ALL_KINDS,
        "problem": None,
        "found": None,
        "offset": offset,
    }
    # A stage is said of deployments, in words.
    words, kind = given["q"], given["kind"]
    if given["stage"]:
        words, kind = f'{words} "{given["stage"].replace(chr(34), " ")}"', "deployment"
    try:
        filters = filters_of(
            kinds=(kind,) if kind else (),
            **{
                name: given[name] or None
                for name in ("project", "owner", "licence", "since", "until", "metric")
            },
        )
        found = await asyncio.to_thread(
            search,
            call.services.settings,
            words,
            filters,
            limit=PAGE_ROWS,
            offset=offset,
            view=call.view,
            recovers=False,
        )
    except UsageError as error:
        return page("search.html", {**values, "problem": str(error)}, status=400)
    plain = {name: each for name, each in given.items() if each}
    links = {
        "next": {**plain, "offset": offset + PAGE_ROWS} if found.is_cut else None,
        "previous": {**plain, "offset": max(0, offset - PAGE_ROWS)} if offset else None,
        "json": {
            **plain,
            "stage": "",
            "kind": kind,
            "q": words,
            "format": "json",
            "limit": PAGE_ROWS,
            "offset": offset,
        },
    }
    values |= {"found": found, "links": links}
    return page("search.html", values, headers={LEDGER_SIZE_HEADER: str(found.ledger_size)})


def _offset(text: str) -> int:
    offset = _whole(text, "offset")
    if offset > MAX_OFFSET:
        raise HttpError(
            400, "Bad request", f"offset: at most {MAX_OFFSET}; narrow the search instead"
        )
    return offset


def _whole(text: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise HttpError(400, "Bad request", f"{name}: expected a number, found {text[:80]!r}")
    return int(text)


ENDPOINTS: Final = (
    Endpoint(
        path="/search",
        method="GET",
        action=READ,
        handler=find,
        summary="Find things by words and facts",
        tag="query",
        parameters=(
            Parameter(name="q", help="words; all must occur", example="churn gradient"),
            Parameter(
                name="kind",
                help="repeatable",
                schema={"type": "string", "enum": sorted(each.lower() for each in KINDS)},
            ),
            Parameter(name="project", help="of this project"),
            Parameter(name="owner", help="of this person"),
            Parameter(name="licence", help="SPDX identifier, such as CC-BY-4.0"),
            Parameter(name="since", help="from this day or time on"),
            Parameter(name="until", help="before this day or time"),
            Parameter(name="metric", help="a bound, such as auc>=0.8"),
            Parameter(name="as-of", help="a ledger size or a time", example="2026-03-01T12:00:00Z"),
            Parameter(
                name="offset",
                help="after so many",
                schema={"type": "integer", "minimum": 0, "maximum": MAX_OFFSET},
            ),
            Parameter(
                name="format",
                help="json: also where a page would be preferred",
                schema={"enum": ["json"]},
            ),
            Parameter(
                name="limit", help="at most so many", schema={"type": "integer", "minimum": 1}
            ),
        ),
        media_types=("application/json", "text/html"),
    ),
)
