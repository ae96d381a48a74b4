"""Length-prefixed fields: how segments and homes are written down, and read back strictly.

A field is its length in 4 bytes, big-endian, and its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from provgraph.errors import FormatError

_LENGTH_BYTES: Final = 4


def field(data: bytes) -> bytes:
    """Return a field."""
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def split_header(data: bytes, *, what: str) -> tuple[str, int]:
    """Return the first line, and where the rest begins.

    Raises:
        FormatError: no line of at most 400 bytes.
    """
    end = data.find(b"\n", 0, 400)
    try:
        return data[: max(end, 0)].decode("utf-8"), end + 1
    except UnicodeDecodeError:
        raise FormatError(f"{what}: expected a first line of text") from None


def read_fields(data: bytes, start: int, *, what: str) -> Iterator[bytes]:
    """Yield the fields from a place on, to the end.

    Raises:
        FormatError: it ends in the middle of one.
    """
    view = memoryview(data)
    while start < len(data):
        end = start + _LENGTH_BYTES
        end += int.from_bytes(view[start:end], "big")
        if start + _LENGTH_BYTES > len(data) or end > len(data):
            raise FormatError(f"{what} is cut short")
        yield bytes(view[start + _LENGTH_BYTES : end])
        start = end
