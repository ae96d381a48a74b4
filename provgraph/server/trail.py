"""The access trail over HTTP, for auditors: rows by time, person and text, and flags."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from itertools import islice
from typing import Final

from starlette.responses import JSONResponse, Response

from provgraph.access.anomalies import flags
from provgraph.access.roles import READ_TRAIL
from provgraph.access.trail import read_trail, select
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.problems import HttpError

MAX_ROWS: Final = 10_000


async def rows(call: Call) -> Response:
    """List rows of the trail, the newest last."""
    given = call.request.query_params
    limit = _limit(given.get("limit", "1000"))
    path = call.services.trail_path

    def read() -> list[dict[str, object]]:
        found = select(
            read_trail(path),
            since=given.get("since"),
            until=given.get("until"),
            who=given.get("who"),
            about=given.get("about"),
            outcome=given.get("outcome"),
        )
        return [{"position": position, **asdict(row)} for position, row in islice(found, limit + 1)]

    found = await asyncio.to_thread(read)
    if len(found) > limit:
        raise HttpError(
            413, "Too many rows", f"more than {limit} rows; narrow it by since, until, who, about"
        )
    return JSONResponse({"rows": found})


async def flagged(call: Call) -> Response:
    """List what in the trail somebody should look at."""
    path = call.services.trail_path
    found = await asyncio.to_thread(lambda: [asdict(flag) for flag in flags(read_trail(path))])
    return JSONResponse({"flags": found})


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text[:9]) <= MAX_ROWS:
        raise HttpError(400, "Bad request", f"limit: expected 1 to {MAX_ROWS}, found {text[:40]!r}")
    return int(text[:9])


ENDPOINTS: Final = (
    Endpoint(
        path="/trail",
        method="GET",
        action=READ_TRAIL,
        handler=rows,
        summary="Who asked what",
        tag="access",
        parameters=(
            Parameter(name="since", help="from this time on, as 2026-01-02T03:04:05Z or its start"),
            Parameter(name="until", help="before this time"),
            Parameter(name="who", help="whose requests"),
            Parameter(name="about", help="a text in what was asked: a model's name, an IRI"),
            Parameter(name="outcome", help="answered, refused or failed"),
            Parameter(
                name="limit",
                help="refuse more rows than this rather than cut them",
                schema={"type": "integer", "minimum": 1, "maximum": MAX_ROWS, "default": 1000},
            ),
        ),
        answers={"413": "More rows than the limit"},
    ),
    Endpoint(
        path="/trail/flags",
        method="GET",
        action=READ_TRAIL,
        handler=flagged,
        summary="What in the trail to look at: many denials, bulk exports, new addresses",
        tag="access",
    ),
)
