"""`/`: what there is, what needs attention, and where to begin. For people; programs find `/openapi.json`."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.responses import Response

from provgraph.errors import NotFoundError
from provgraph.index.texts import Filters
from provgraph.server.endpoints import Call, Endpoint
from provgraph.server.guard import READ
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.pages import page, wants_page
from provgraph.server.problems import HttpError
from provgraph.server.search import FILTERS
from provgraph.service.searching import Found, counts_by_kind, search

_NEWEST: Final = 15
_FIRST: Final = ("model", "dataset", "run", "deployment", "evaluation", "approval", "person")


async def show(call: Call) -> Response:
    """Show the dashboard."""
    if not wants_page(call.request):
        raise HttpError(404, "Not found", "there is nothing at /; see /openapi.json")
    services = call.services

    def look() -> tuple[Found, dict[str, int]]:
        settings, view = services.settings, call.view
        found = search(settings, "", Filters(), limit=_NEWEST, view=view, recovers=False)
        return found, counts_by_kind(settings, view=view)

    try:
        found, counts = await asyncio.to_thread(look)
    except NotFoundError:
        return page("empty.html", {})
    attention = await services.attention.of(call, size=found.ledger_size)
    kinds: list[str] = [each for each in _FIRST if each in counts]
    kinds += sorted(counts.keys() - set(kinds))
    values = {
        "newest": found.hits,
        "counts": [(kind, counts[kind]) for kind in kinds],
        "attention": attention,
        "ledger_size": found.ledger_size,
        "given": dict.fromkeys(FILTERS, ""),
        "kinds": kinds,
    }
    return page("dashboard.html", values, headers={LEDGER_SIZE_HEADER: str(found.ledger_size)})


ENDPOINTS: Final = (
    Endpoint(
        path="/",
        method="GET",
        action=READ,
        handler=show,
        summary="The dashboard, for people",
        tag="pages",
        answers={"404": "Whoever asks does not want a page"},
        media_types=("text/html",),
    ),
)
