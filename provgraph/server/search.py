"""`GET /search`: things by words and facts, among what the caller sees."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Final

from starlette.responses import JSONResponse, Response

from provgraph.index.texts import KINDS
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.problems import HttpError
from provgraph.service.searching import filters_of, search

MAX_WORDS_LENGTH: Final = 1000


async def find(call: Call) -> Response:
    """Search, and answer with the best hits first."""
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
        as_of=None if "as-of" not in given else _whole(given["as-of"], "as-of"),
        view=call.view,
        recovers=False,
    )
    body = {
        "hits": [asdict(each) for each in found.hits],
        "isCut": found.is_cut,
        "ledgerSize": found.ledger_size,
    }
    return JSONResponse(body, headers={LEDGER_SIZE_HEADER: str(found.ledger_size)})


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
            Parameter(name="as-of", help="a ledger size", schema={"type": "integer", "minimum": 0}),
            Parameter(
                name="limit", help="at most so many", schema={"type": "integer", "minimum": 1}
            ),
        ),
        media_types=("application/json",),
    ),
)
