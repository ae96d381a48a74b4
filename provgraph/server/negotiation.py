"""Content negotiation: which of the media types that we have a client wants.

Specification: RFC 9110 section 12.5.1 (Accept, q-values; the most specific range counts).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_RANGE: Final = re.compile(r"\s*([\w!#$&^.+*-]+)/([\w!#$&^.+*-]+)\s*((?:;[^,]*)?)")
_QUALITY: Final = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.IGNORECASE)
_MAX_ACCEPT: Final = 4096


def choose(accept: str | None, offered: Sequence[str]) -> str | None:
    """Return the offered media type that the header likes best, the first of equals.

    No header accepts everything; None where nothing offered is acceptable.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = _ranges(accept[:_MAX_ACCEPT])
    best: tuple[float, str] | None = None
    for media_type in offered:
        quality = _quality(media_type, ranges)
        if quality > 0 and (best is None or quality > best[0]):
            best = quality, media_type
    return None if best is None else best[1]


def _ranges(accept: str) -> list[tuple[str, str, float]]:
    found = []
    for part in accept.split(","):
        match = _RANGE.fullmatch(part)
        if match is not None:
            quality = _QUALITY.search(match[3])
            found.append(
                (match[1].lower(), match[2].lower(), float(quality[1]) if quality else 1.0)
            )
    return found


def _quality(media_type: str, ranges: Sequence[tuple[str, str, float]]) -> float:
    main, _, sub = media_type.partition("/")
    best = (-1, 0.0)  # how specific, quality
    for range_main, range_sub, quality in ranges:
        if range_main == main and range_sub == sub:
            best = max(best, (2, quality))
        elif range_main == main and range_sub == "*":
            best = max(best, (1, quality))
        elif range_main == range_sub == "*":
            best = max(best, (0, quality))
    return best[1]
