"""Health, readiness and version, for whoever keeps the server running."""

from __future__ import annotations

from typing import Final

from starlette.responses import JSONResponse, Response

from provgraph import __version__
from provgraph.server.endpoints import Call, Endpoint
from provgraph.server.guard import OPEN


async def healthz(_: Call) -> Response:
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


async def readyz(call: Call) -> Response:
    """Say whether queries can be answered."""
    snapshots = call.services.snapshots
    is_ready = snapshots.problem is None
    body = {
        "status": "ok" if is_ready else "not ready",
        "ledgerSize": snapshots.ledger_size,
        "problem": snapshots.problem,
    }
    return JSONResponse(body, status_code=200 if is_ready else 503)


async def version(_: Call) -> Response:
    """Say which version this is."""
    return JSONResponse({"name": "provgraph", "version": __version__})


ENDPOINTS: Final = (
    Endpoint(
        path="/healthz",
        method="GET",
        action=OPEN,
        handler=healthz,
        summary="Whether the process answers",
        tag="operations",
    ),
    Endpoint(
        path="/readyz",
        method="GET",
        action=OPEN,
        handler=readyz,
        summary="Whether queries can be answered, and at which ledger size",
        tag="operations",
        answers={"503": "Not ready; the problem says why"},
    ),
    Endpoint(
        path="/version",
        method="GET",
        action=OPEN,
        handler=version,
        summary="Name and version of this server",
        tag="operations",
    ),
)
