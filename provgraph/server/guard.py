"""The guard of the server: who sends a request, and whether it may do what it asks.

Specifications: RFC 6750 (bearer tokens), RFC 9110 section 11 (challenges). The decision itself is
`provgraph.access.verdict.judge`; here are the header, the challenge and the host. People at a browser
send a session instead of the header (`provgraph.server.sessions`).

Until somebody was given access (`provgraph access create-token`), the server is open to read, on this
machine only; from the first token on nobody reads without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from starlette.requests import Request

from provgraph.access import roles
from provgraph.access.store import AccessStore
from provgraph.access.verdict import Caller, judge
from provgraph.access.views import View, view_of
from provgraph.errors import UntrustedError
from provgraph.server.problems import HttpError
from provgraph.server.proxies import Front
from provgraph.server.sessions import Sessions, require_own_page

OPEN: Final = roles.OPEN
READ: Final = roles.READ
INGEST: Final = roles.INGEST
OPERATE: Final = roles.OPERATE

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
# What anybody on this machine may do while nobody was given access yet.
_OPEN_ROLES: Final = frozenset({"reader", "admin"})

OpenId = Callable[[str], Caller]
"""Verifies a bearer token that an OpenID provider issued; raises UntrustedError."""


class Guard(Protocol):
    """Decides on requests. `admit` raises HttpError (401, 403) with the reason, or says who it is."""

    def admit(self, request: Request, action: str) -> Caller:
        """Admit a request to an action."""

    def known(self, secret: str) -> Caller:
        """Say whose a token is. Raises HttpError (401)."""

    def view(self, caller: Caller) -> View:
        """Say what somebody who was just admitted may see."""


class AccessGuard:
    """Admits by token. Used by one event loop."""

    def __init__(
        self,
        store: AccessStore,
        *,
        openid: OpenId | None = None,
        sessions: Sessions | None = None,
        front: Front | None = None,
    ) -> None:
        """Take the store of tokens, what verifies other tokens, and the sessions of browsers."""
        self._store = store
        self._sessions = sessions or Sessions()
        self._front = front or Front()
        self._openid = openid
        self._version: int | None = None
        self._is_set_up = False
        self._private: frozenset[str] = frozenset()
        self._look_for_changes()

    def admit(self, request: Request, action: str) -> Caller:
        """Admit a request.

        Raises:
            HttpError: 401 without a valid token, 403 without the right, 421 for a foreign host.
        """
        self._look_for_changes()
        secret = _bearer(request)
        if secret is None and action != OPEN and self._is_set_up:
            secret = self._sessions.secret_of(request)
            if secret is not None:
                require_own_page(request, root=self._front.root(request))
        if secret is None and not self._is_set_up:
            _require_this_machine(request)
            host = request.client.host if request.client else "local"
            caller: Caller | None = Caller(name=f"anonymous@{host}", by="open", roles=_OPEN_ROLES)
        elif secret is None:
            caller = None
        else:
            caller = self._caller(secret)
        request.state.caller = caller  # the access trail names whoever is refused, too
        verdict = judge(caller, action)
        if verdict.is_allowed:
            return caller or Caller(name="anonymous", by="open")
        if caller is None:
            raise _unauthorized(verdict.reason)
        raise HttpError(403, "Forbidden", verdict.reason)

    def known(self, secret: str) -> Caller:
        """Say whose a token is.

        Raises:
            HttpError: 401, nobody's.
        """
        return self._caller(secret)

    def view(self, caller: Caller) -> View:
        """Say what somebody sees by the policy that held when they were admitted."""
        return view_of(caller, private=self._private)

    def _caller(self, secret: str) -> Caller:
        try:
            if secret.count(".") == 2 and self._openid is not None:
                return self._openid(secret)
            return self._store.caller(secret)
        except UntrustedError as error:
            raise _unauthorized(str(error), error="invalid_token") from None

    def _look_for_changes(self) -> None:
        version = self._store.version
        if version != self._version:
            self._version = version
            self._is_set_up = self._store.is_set_up() or self._openid is not None
            self._private = self._store.private_projects()


def _bearer(request: Request) -> str | None:
    """Return the token of a request, None where it has none.

    Raises:
        HttpError: 401, another scheme.
    """
    value = request.headers.get("authorization")
    if value is None:
        return None
    scheme, _, secret = value.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise _unauthorized(f"expected 'Authorization: Bearer <token>', found {scheme[:40]!r}")
    return secret.strip()


def _require_this_machine(request: Request) -> None:
    """Refuse a name that is not this machine's: a page could have had its own name lead here.

    https://en.wikipedia.org/wiki/DNS_rebinding
    """
    forwarded = [name for name in _FORWARDED if name in request.headers]
    client = request.client.host if request.client else "127.0.0.1"
    if forwarded or client not in LOOPBACK:
        # A proxy on this machine would open the home to all who reach it.
        raise HttpError(
            421,
            "Misdirected request",
            f"this server is open to its own machine only, found {forwarded or [client]}; make a"
            " token to let others in: provgraph access create-token",
        )
    host = request.headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name.strip("[]").lower() not in LOOPBACK:
        raise HttpError(
            421,
            "Misdirected request",
            f"this server is open to its own machine only, found the host {host[:200]!r};"
            " make a token to let others in: provgraph access create-token",
        )


def _unauthorized(reason: str, *, error: str | None = None) -> HttpError:
    challenge = 'Bearer realm="provgraph"'
    if error is not None:
        challenge += f', error="{error}"'
    return HttpError(401, "Unauthorized", reason, headers={"WWW-Authenticate": challenge})
