"""The application: the table of endpoints, and what every request passes through.

Order for every request: who sends it, behind proxies; a request id; the guard; the caller's rate; the
body's size; the handler; errors become problems (RFC 9457); security headers; trail, metrics and one
line of the log. Handlers read bodies themselves, within their limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from provgraph import __version__
from provgraph.server import (
    compare,
    dashboard,
    description,
    drift,
    gate,
    graphs,
    ledger_page,
    lineage,
    linked,
    log,
    metrics,
    monitor,
    openlineage,
    operations,
    pages,
    picture,
    queries,
    records,
    search,
    signing_in,
    sparql,
    trail,
    verifying,
)
from provgraph.server.cors import allow_origin, preflight
from provgraph.server.endpoints import Call, Endpoint, openapi
from provgraph.server.guard import OPEN
from provgraph.server.problems import HttpError, respond
from provgraph.server.schemas import SCHEMAS
from provgraph.server.services import Services

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *operations.ENDPOINTS,
    *metrics.ENDPOINTS,
    *monitor.ENDPOINTS,
    *sparql.ENDPOINTS,
    *graphs.ENDPOINTS,
    *description.ENDPOINTS,
    *records.ENDPOINTS,
    *openlineage.ENDPOINTS,
    *lineage.ENDPOINTS,
    *drift.ENDPOINTS,
    *queries.ENDPOINTS,
    *gate.ENDPOINTS,
    *pages.ENDPOINTS,
    *signing_in.ENDPOINTS,
    *dashboard.ENDPOINTS,
    *picture.ENDPOINTS,
    *compare.ENDPOINTS,
    *verifying.ENDPOINTS,
    *ledger_page.ENDPOINTS,
    *search.ENDPOINTS,
    *linked.ENDPOINTS,
    *log.ENDPOINTS,
    *trail.ENDPOINTS,
)

logger: Final = logging.getLogger(__name__)

# A body comes at this speed on average or faster, after a start; a slower sender gets 408.
_BODY_START_S: Final = 20.0
_BODY_BYTES_PER_S: Final = 16 * 1024
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


def make_app(services: Services) -> Starlette:
    """Build the application; its lifespan starts and stops the services."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.close()

    schemas = {
        **SCHEMAS,
        "GateVerdict": gate.SCHEMA,
        "Lineage": lineage.SCHEMA,
        "OpenLineageEvent": openlineage.SCHEMA,
        "OpenLineageName": openlineage.NAME_SCHEMA,
    }
    document = openapi(ENDPOINTS, version=__version__, schemas=schemas)
    if services.front.public_root:
        document["servers"] = [{"url": services.front.public_root.rstrip("/")}]

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
    dispatches = {path: _Dispatch(services, methods) for path, methods in by_path.items()}
    routes = [Route(path, dispatch) for path, dispatch in dispatches.items()]
    app = _App(routes=routes, lifespan=lifespan)
    app.fixed = {path: dispatch for path, dispatch in dispatches.items() if "{" not in path}
    app.router.default = _Dispatch(services, {})
    app.router.redirect_slashes = False
    return app


class _App(Starlette):
    """The application; a path without parameters is found by itself, not by trying one after another."""

    fixed: Mapping[str, _Dispatch]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.fixed.get(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await super().__call__(scope, receive, send)
        else:
            await found({**scope, "app": self, "path_params": {}}, receive, send)


class _Dispatch:
    """All methods of one path, as an ASGI application: for functions Starlette would allow GET only."""

    def __init__(self, services: Services, methods: dict[str, Endpoint]) -> None:
        self._services = services
        self._methods = methods
        self._allowed = ", ".join(
            sorted({*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"})
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        request = Request(services.front.seen_through(scope), receive)
        request.state.request_id = self._request_id(request, scope)
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = self._methods.get(method)
        began_s = time.monotonic()
        request.state.caller = None
        services.metrics.in_flight += 1
        try:
            try:
                response = await self._answered(request, endpoint)
                response = await pages.completed(response, request, services)
            except Exception as error:
                response = respond(request, error)
                if pages.wants_page(request):
                    response = await pages.problem_page(response, request, services)
            headers = response.raw_headers
            given = {name for name, _ in headers}
            headers.extend(each for each in _HEADERS if each[0] not in given)
            headers.append((b"x-request-id", request.state.request_id.encode()))
            allow_origin(request, response, services.cors_origins)
            if endpoint is not None and endpoint.action != OPEN:
                services.note_access(request, response, endpoint.action, began_s=began_s)
            took_s = time.monotonic() - began_s
            services.metrics.note(
                path="(none)" if endpoint is None else endpoint.path,
                method="(none)" if endpoint is None else method,
                status=response.status_code,
                seconds=took_s,
            )
            _log(request, response, endpoint, took_s=took_s)
            await response(scope, receive, send)
        finally:
            services.metrics.in_flight -= 1

    async def _answered(self, request: Request, endpoint: Endpoint | None) -> Response:
        services = self._services
        if not self._methods:
            services.require_rate(request, None)
            raise HttpError(
                404, "Not found", f"there is nothing at {request.url.path[:500]}; see /openapi.json"
            )
        if request.method == "OPTIONS":
            return preflight(request, allowed=self._allowed, origins=services.cors_origins)
        if endpoint is None:
            raise HttpError(
                405,
                "Method not allowed",
                f"expected one of {self._allowed}, found {request.method}",
                headers={"Allow": self._allowed},
            )
        if endpoint.action != OPEN:
            services.require_trail()
        try:
            caller = services.guard.admit(request, endpoint.action)
        except HttpError:
            services.require_rate(request, None)
            raise
        if endpoint.action != OPEN or endpoint.tag != "operations":
            # Health is asked for by machines that count on an answer.
            services.require_rate(request, request.state.caller)
        _require_small_body(request, endpoint)
        view = services.guard.view(caller)
        return await endpoint.handler(
            Call(request=request, caller=caller, view=view, services=services)
        )

    def _request_id(self, request: Request, scope: Scope) -> str:
        """Return the id that a trusted proxy gave, or one of our own."""
        if request.scope is not scope:
            given = request.headers.get("x-request-id", "")
            if _REQUEST_ID.fullmatch(given):
                return given
        return secrets.token_hex(8)


def _log(request: Request, response: Response, endpoint: Endpoint | None, *, took_s: float) -> None:
    # Whoever asks for health every second should not bury the rest.
    is_watch = endpoint is not None and endpoint.tag == "operations" and endpoint.method == "GET"
    level = logging.DEBUG if is_watch and response.status_code < 400 else logging.INFO
    if not logger.isEnabledFor(level):
        return
    caller = request.state.caller
    facts = {
        "id": request.state.request_id,
        "method": request.method,
        "path": request.scope["path"][:200],
        "status": response.status_code,
        "ms": round(took_s * 1000, 1),
        "who": "-" if caller is None else caller.name,
        "address": request.client.host if request.client else "local",
    }
    logger.log(level, "request", extra={"facts": facts})


async def read_body(call: Call, *, max_bytes: int) -> bytes:
    """Read a request's body, refusing one that is longer than it may be, or comes too slowly.

    Raises:
        HttpError: 400, it broke off; 408; 413.
    """
    pieces: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        async with asyncio.timeout_at(began_s + _BODY_START_S) as deadline:
            while True:
                message = await call.request.receive()
                if message["type"] == "http.disconnect":
                    raise HttpError(400, "Body broke off", f"found {size} bytes, and no end")
                piece = message.get("body", b"")
                size += len(piece)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                pieces.append(piece)
                if not message.get("more_body", False):
                    return b"".join(pieces)
                deadline.reschedule(began_s + _BODY_START_S + size / _BODY_BYTES_PER_S)
    except TimeoutError:
        raise HttpError(
            408,
            "Request timeout",
            f"expected the body at {_BODY_BYTES_PER_S} bytes per second or faster, found {size}"
            f" bytes in {loop.time() - began_s:.0f} s",
        ) from None


def _require_small_body(request: Request, endpoint: Endpoint) -> None:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > endpoint.max_body_bytes:
        raise _too_large(endpoint.max_body_bytes)


def _too_large(max_bytes: int) -> HttpError:
    return HttpError(413, "Body too large", f"expected a body of at most {max_bytes} bytes")


def endpoints() -> Sequence[Endpoint]:
    """Return the table of endpoints, for documents and tests."""
    return ENDPOINTS
