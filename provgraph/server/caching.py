"""Answers that a client may keep: an entity tag over the bytes, and 304 when it has them already.

Specification: RFC 9110 sections 8.8.3 (ETag) and 13.1.2 (If-None-Match, compared weakly).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response


def cacheable(
    request: Request,
    data: bytes,
    *,
    media_type: str,
    cache_control: str = "no-cache",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return bytes under their tag, or 304 where the client's own copy is the same.

    `no-cache` lets a client keep the bytes and ask each time whether they are still right.
    """
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    sent = {"Cache-Control": cache_control, "ETag": tag, **(headers or {})}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=sent)
    return Response(data, media_type=media_type, headers=sent)


def _has(header: str, tag: str) -> bool:
    known = [each.strip().removeprefix("W/") for each in header.split(",")]
    return tag in known or known == ["*"]
