"""The query monitor: what is running or waiting, and how to stop it."""

from __future__ import annotations

import time
from typing import Final

from starlette.responses import JSONResponse, Response

from provgraph.access.roles import READ_TRAIL
from provgraph.access.verdict import judge
from provgraph.server.endpoints import Call, Endpoint, Parameter
from provgraph.server.guard import OPERATE
from provgraph.server.problems import HttpError


async def list_queries(call: Call) -> Response:
    """List the queries that are running or waiting, the oldest first.

    What others ask is shown to who may read the access trail, or everything.
    """
    now_s = time.time()
    caller = call.caller
    shows_all = call.view.is_full or judge(caller, READ_TRAIL).is_allowed
    rows = [
        {
            "number": each.number,
            "state": each.state,
            "who": each.who,
            "seconds": round(now_s - each.since_s, 3),
            "query": each.query if shows_all or each.who == caller.name else None,
        }
        for each in call.services.pool.running.values()
    ]
    return JSONResponse({"queries": rows})


async def stop_query(call: Call) -> Response:
    """Stop a query: its worker is killed, and who asked gets an error."""
    text = call.request.path_params["number"]
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1
    if not call.services.pool.cancel(number):
        raise HttpError(404, "Not found", f"no query {text[:40]} is running; it may be over")
    return Response(status_code=204)


ENDPOINTS: Final = (
    Endpoint(
        path="/queries/running",
        method="GET",
        action=OPERATE,
        handler=list_queries,
        summary="Queries that are running or waiting",
        tag="operations",
    ),
    Endpoint(
        path="/queries/running/{number}",
        method="DELETE",
        action=OPERATE,
        handler=stop_query,
        summary="Stop a running query",
        tag="operations",
        parameters=(Parameter(name="number", place="path", help="its number in the list"),),
        answers={"204": "It was stopped", "404": "No such query is running"},
    ),
)
