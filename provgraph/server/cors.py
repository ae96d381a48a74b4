"""Cross-origin requests: which web pages may ask this server from a browser.

Specification: WHATWG Fetch, CORS protocol. None may unless a setting names it: a server on this
machine must not be readable by whatever page its user happens to visit. No cookies are used, so no
credentials are allowed.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from provgraph.server.headers import ERASED_HEADER, LEDGER_SIZE_HEADER

_REQUEST_HEADERS: Final = "Accept, Authorization, Content-Type"
_RESPONSE_HEADERS: Final = (
    f"{LEDGER_SIZE_HEADER}, {ERASED_HEADER}, ETag, Link, Location, Retry-After, X-Request-Id"
)
_KEPT_S: Final = 600


def preflight(request: Request, *, allowed: str, origins: frozenset[str]) -> Response:
    """Answer OPTIONS: the methods, and to a page that may ask, that it may."""
    response = Response(status_code=204, headers={"Allow": allowed})
    if request.headers.get("origin") in origins:
        response.headers["Access-Control-Allow-Methods"] = allowed
        response.headers["Access-Control-Allow-Headers"] = _REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = str(_KEPT_S)
    return response


def allow_origin(request: Request, response: Response, origins: frozenset[str]) -> None:
    """Let a page that may ask read the response."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    response.headers.add_vary_header("Origin")
    if origin in origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _RESPONSE_HEADERS
