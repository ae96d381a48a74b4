"""Errors over HTTP: RFC 9457 problem details, one table from our errors to status codes.

A problem says what was expected and found, and what to do; it never shows internals: an error that
is none of ours is logged with the request's id, and the client gets that id.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from provgraph.errors import (
    ConflictError,
    FormatError,
    IndexUnavailableError,
    KeyRefusedError,
    LedgerError,
    NotFoundError,
    ProvgraphError,
    QueryError,
    StorageError,
    UntrustedError,
    UsageError,
)
from provgraph.index.diagnosis import QuerySyntaxError
from provgraph.index.pool import (
    QueryStoppedError,
    QueryTimeoutError,
    QueryTooLargeError,
    TooBusyError,
)
from provgraph.service.duties import SeparationError

logger: Final = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"

# Status and title of each kind of error; the first class that fits counts.
_TABLE: Final[tuple[tuple[type[ProvgraphError], int, str], ...]] = (
    (SeparationError, 403, "Separation of duties"),
    (TooBusyError, 503, "Too busy"),
    (QueryTimeoutError, 504, "Query stopped at its deadline"),
    (QueryStoppedError, 503, "Query stopped"),
    (QueryTooLargeError, 413, "Query or answer too large"),
    (QueryError, 400, "Query refused"),
    (NotFoundError, 404, "Not found"),
    (UsageError, 400, "Bad request"),
    (FormatError, 400, "Malformed content"),
    (UntrustedError, 422, "Not to be believed"),
    (ConflictError, 409, "Conflict"),
    (KeyRefusedError, 422, "The key may not seal here"),
    (StorageError, 503, "The ledger cannot take it now"),
    (LedgerError, 500, "The ledger is damaged"),
    (IndexUnavailableError, 503, "The index is not available now"),
    (ProvgraphError, 500, "Error"),
)
_RETRY_AFTER_S: Final = {429: 1, 503: 1}


class HttpError(ProvgraphError):
    """A refusal with a status code of its own."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        """Take what the client gets: `members` are further members of the problem."""
        super().__init__(detail)
        self.status = status
        self.title = title
        self.headers = dict(headers or {})
        self.members = dict(members or {})


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """Return a problem as a response."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    body |= {"detail": detail, **(members or {})}
    if request_id is not None:
        body["requestId"] = request_id
    sent = dict(headers or {})
    if status in _RETRY_AFTER_S:
        sent.setdefault("Retry-After", str(_RETRY_AFTER_S[status]))
    return Response(
        json.dumps(body, ensure_ascii=False),
        status_code=status,
        headers=sent,
        media_type=MEDIA_TYPE,
    )


def respond(request: Request, error: Exception) -> Response:
    """Turn an error into a problem; what is not ours is logged and shown as a number only."""
    request_id: str = request.state.request_id
    if isinstance(error, HttpError):
        return problem(
            error.status,
            error.title,
            str(error),
            request_id=request_id,
            headers=error.headers,
            members=error.members,
        )
    if isinstance(error, QuerySyntaxError):
        found = error.diagnosis
        return problem(
            400,
            "Syntax error",
            str(error),
            request_id=request_id,
            members={
                "line": found.line,
                "column": found.column,
                "excerpt": found.excerpt,
                "hint": found.hint,
            },
        )
    for kind, status, title in _TABLE:
        if isinstance(error, kind):
            if status >= 500 and status not in {503, 504}:
                logger.error("request failed id=%s error=%s", request_id, error)
            return problem(status, title, str(error), request_id=request_id)
    logger.error("request failed id=%s", request_id, exc_info=error)
    return problem(
        500,
        "Internal error",
        "The server made an error; its log has more under this request's id.",
        request_id=request_id,
    )
