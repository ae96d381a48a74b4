"""The application: the table of endpoints, and what every request passes through.

Order for every request: a request id; the body's size; the guard; the handler; errors become
problems (RFC 9457); security headers. Handlers read bodies themselves, within their limits.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from provgraph import __version__
from provgraph.server import (
    description,
    graphs,
    linked,
    log,
    monitor,
    operations,
    records,
    sparql,
    trail,
)
from provgraph.server.cors import allow_origin, preflight
from provgraph.server.endpoints import Call, Endpoint, openapi
from provgraph.server.guard import OPEN
from provgraph.server.problems import HttpError, respond
from provgraph.server.schemas import SCHEMAS
from provgraph.server.services import Services

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *operations.ENDPOINTS,
    *monitor.ENDPOINTS,
    *sparql.ENDPOINTS,
    *graphs.ENDPOINTS,
    *description.ENDPOINTS,
    *records.ENDPOINTS,
    *linked.ENDPOINTS,
    *log.ENDPOINTS,
    *trail.ENDPOINTS,
)

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def make_app(services: Services) -> Starlette:
    """Build the application; its lifespan starts and stops the services."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.close()

    document = openapi(ENDPOINTS, version=__version__, schemas=SCHEMAS)

    async def describe(_: Call) -> Response:
        return JSONResponse(document)

    described = Endpoint(
        path="/openapi.json",
        method="GET",
        action=OPEN,
        handler=describe,
        summary="This document",
        tag="operations",
    )
    by_path: dict[str, dict[str, Endpoint]] = {}
    for each in (*ENDPOINTS, described):
        by_path.setdefault(each.path, {})[each.method] = each
    routes = [Route(path, _Dispatch(services, methods)) for path, methods in by_path.items()]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_exception_handler(404, _not_found)
    return app


class _Dispatch:
    """All methods of one path, as an ASGI application: for functions Starlette would allow GET only."""

    def __init__(self, services: Services, methods: dict[str, Endpoint]) -> None:
        self._services = services
        self._methods = methods
        self._allowed = ", ".join(
            sorted({*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"})
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request.state.request_id = secrets.token_hex(8)
        services = self._services
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = self._methods.get(method)
        began_s = time.monotonic()
        request.state.caller = None
        try:
            if request.method == "OPTIONS":
                response = preflight(request, allowed=self._allowed, origins=services.cors_origins)
            elif endpoint is None:
                raise HttpError(
                    405,
                    "Method not allowed",
                    f"expected one of {self._allowed}, found {request.method}",
                    headers={"Allow": self._allowed},
                )
            else:
                _require_small_body(request, endpoint)
                if endpoint.action != OPEN:
                    services.require_trail()
                caller = services.guard.admit(request, endpoint.action)
                response = await endpoint.handler(
                    Call(request=request, caller=caller, services=services)
                )
        except Exception as error:
            response = respond(request, error)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = request.state.request_id
        allow_origin(request, response, services.cors_origins)
        if endpoint is not None and endpoint.action != OPEN:
            services.note_access(request, response, endpoint.action, began_s=began_s)
        await response(scope, receive, send)


async def read_body(call: Call, *, max_bytes: int) -> bytes:
    """Read a request's body, refusing one that is longer than it may be.

    Raises:
        HttpError: 413.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in call.request.stream():
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes)
        pieces.append(piece)
    return b"".join(pieces)


def _require_small_body(request: Request, endpoint: Endpoint) -> None:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > endpoint.max_body_bytes:
        raise _too_large(endpoint.max_body_bytes)


def _too_large(max_bytes: int) -> HttpError:
    return HttpError(413, "Body too large", f"expected a body of at most {max_bytes} bytes")


async def _not_found(request: Request, _: Exception) -> Response:
    request.state.request_id = secrets.token_hex(8)
    return respond(
        request,
        HttpError(404, "Not found", f"there is nothing at {request.url.path}; see /openapi.json"),
    )


def endpoints() -> Sequence[Endpoint]:
    """Return the table of endpoints, for documents and tests."""
    return ENDPOINTS
