"""Who may do what: every endpoint names an action, and the guard admits callers to it.

Until access is set up (tokens, OpenID Connect), everybody who reaches the server may read and
record, and so it listens on this machine only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from starlette.requests import Request

OPEN: Final = "open"  # for everybody: health, version, the log, vocabularies
READ: Final = "read"  # queries, things, records
INGEST: Final = "ingest"  # append records
OPERATE: Final = "operate"  # metrics, running queries


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request, as far as is known."""

    name: str
    roles: frozenset[str] = frozenset()


class Guard(Protocol):
    """Decides on requests. `admit` raises HttpError (401, 403) with the reason, or returns who it is."""

    def admit(self, request: Request, action: str) -> Caller:
        """Admit a request to an action."""


class OpenGuard:
    """Admits everybody: for a server that only this machine reaches."""

    def admit(self, request: Request, action: str) -> Caller:
        """Admit a request to any action."""
        del action
        host = request.client.host if request.client else "local"
        return Caller(name=f"anonymous@{host}")
