"""Runs the application under uvicorn until it is told to stop."""

from __future__ import annotations

import uvicorn

from provgraph.server.app import make_app
from provgraph.server.services import Services
from provgraph.settings import Settings


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve a home until SIGINT or SIGTERM; requests under way are answered first."""
    config = uvicorn.Config(
        make_app(Services.of(settings)),
        host=host,
        port=port,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
        ws="none",
        h11_max_incomplete_event_size=64 * 1024,
    )
    uvicorn.Server(config).run()
