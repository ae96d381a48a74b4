"""Sessions of people who signed in with a browser: a cookie that stands for their token.

The cookie holds a random id and nothing else; the token stays in this process's memory, and is checked
anew with every request, so one that is revoked ends at once. After a restart people sign in again.

Against requests that other sites make in a browser (CSRF): the cookie is SameSite=Strict and HttpOnly,
and whatever is not a GET must come from a page of ours (`require_own_page`).
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.requests import Request

from provgraph.server.problems import HttpError

COOKIE: Final = "provgraph_session"
LIFETIME_S: Final = 8 * 3600.0
MAX_SESSIONS: Final = 10_000
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Sessions:
    """Session ids and the tokens behind them. Used by one event loop."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Take a clock that only goes forward."""
        self._clock_s = clock_s
        self._held: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def begin(self, secret: str) -> str:
        """Begin a session for a token; return its id."""
        session = secrets.token_urlsafe(32)
        self._held[session] = secret, self._clock_s() + LIFETIME_S
        while len(self._held) > MAX_SESSIONS:
            self._held.popitem(last=False)
        return session

    def end(self, request: Request) -> None:
        """End the session of a request, if it has one."""
        self._held.pop(request.cookies.get(COOKIE, ""), None)

    def secret_of(self, request: Request) -> str | None:
        """Return the token of a request's session, None where it has none.

        Raises:
            HttpError: 401, the session has ended; 403, another site sent the request.
        """
        session = request.cookies.get(COOKIE)
        if not session:
            return None
        secret, until_s = self._held.get(session, ("", 0.0))
        if not secret or until_s < self._clock_s():
            self._held.pop(session, None)
            raise HttpError(
                401,
                "Unauthorized",
                "your session has ended: sign in again, and send the form again",
                headers={"WWW-Authenticate": 'Bearer realm="provgraph"'},
            )
        return secret


def require_own_page(request: Request, *, root: str) -> None:
    """Check that what may change something was sent by a page of this server.

    Raises:
        HttpError: 403, it was not, or the browser does not say.
    """
    if request.method in _SAFE:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    is_own = site == "same-origin" if site is not None else origin == root.rstrip("/")
    if not is_own:
        raise HttpError(
            403,
            "Sent by another site",
            f"expected a form of this server's own pages, found the origin {(origin or site or 'none')[:200]!r}",
        )
