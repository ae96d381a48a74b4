"""Identifiers of runs and later facts: UUIDs of version 7 (RFC 9562 section 5.7).

Sorted by time, and unique without asking anyone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def new_id(clock: Callable[[], float] = time.time) -> str:
    """Mint an identifier from the clock, seconds since 1970, and 74 random bits."""
    value = (int(clock() * 1000) & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return format_uuid(f"{value:032x}")


def format_uuid(hex_digits: str) -> str:
    """Write 32 hex digits as a UUID (RFC 9562 section 4)."""
    h = hex_digits
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
