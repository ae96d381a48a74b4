"""How bytes are kept small in the ledger: deflate with a preset dictionary, kept for ever.

Specification: RFC 1951. A blob is one format byte and the data: 0 stored as it is, 1 raw deflate
with dictionary 1. The dictionary is text typical of records' graphs, entries and proofs; it is a
file of its own and never computed, since the vocabulary changes and old blobs must stay readable.
A new dictionary gets a new format byte; none is ever changed or removed.

Raw deflate has no checksum: every blob's content is checked against a SHA-256 that a seal covers.

ISA-L deflates a graph in 40 % of zlib's time to the same size, and is used where it is installed (the
extra `fast`). Any inflater reads what either wrote; ours is always zlib.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from provgraph.errors import LedgerError

_STORED: Final = b"\x00"
_DEFLATE_V1: Final = b"\x01"
_RAW_DEFLATE_BITS: Final = -15
# Against level 3, level 5 makes a run's graph 9 % smaller and takes more than twice the time.
_LEVEL: Final = 3
_ISAL_LEVEL: Final = 1  # of 3: its graphs have the size of zlib's at level 3

DICTIONARY_V1_SHA256: Final = "3d154b3e2500da74c362a7b430c3f55a56956fa37226a88b16c92897a32a2c6a"


def encode(data: bytes) -> bytes:
    """Return the blob for data: deflated, or stored where that would not help."""
    compressor = _new_compressor()()
    deflated = compressor.compress(data) + compressor.flush()
    if len(deflated) >= len(data):
        return _STORED + data
    return _DEFLATE_V1 + deflated


def decode(blob: bytes, *, max_bytes: int) -> bytes:
    """Return the data of a blob, inflating at most `max_bytes`.

    Raises:
        LedgerError: an unknown format byte, damaged or trailing bytes, or too much data.
    """
    form, body = blob[:1], blob[1:]
    if form == _STORED:
        data = body
    elif form == _DEFLATE_V1:
        inflater = zlib.decompressobj(_RAW_DEFLATE_BITS, zdict=_dictionary_v1())
        try:
            data = inflater.decompress(body, max_bytes + 1)
        except zlib.error as error:
            raise LedgerError(f"a stored blob is damaged: {error}") from None
        if len(data) <= max_bytes and (not inflater.eof or inflater.unused_data):
            raise LedgerError("a stored blob is damaged: it is cut short, or bytes follow it")
    else:
        raise LedgerError(
            f"expected a blob of format 0 or 1, found {form.hex() or 'nothing'};"
            " a newer provgraph wrote it, or it is damaged"
        )
    if len(data) > max_bytes:
        raise LedgerError(f"a stored blob holds more than {max_bytes} bytes")
    return data


class _Compressor(Protocol):
    """What zlib and ISA-L have in common."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


@functools.cache
def _new_compressor() -> Callable[[], _Compressor]:
    """Return what makes compressors that have read the dictionary and nothing else."""
    try:
        from isal import isal_zlib
    except ImportError:
        template = zlib.compressobj(
            _LEVEL, zlib.DEFLATED, _RAW_DEFLATE_BITS, zdict=_dictionary_v1()
        )
        return template.copy
    return functools.partial(
        isal_zlib.compressobj,
        _ISAL_LEVEL,
        isal_zlib.DEFLATED,
        _RAW_DEFLATE_BITS,
        zdict=_dictionary_v1(),
    )


@functools.cache
def _dictionary_v1() -> bytes:
    data = Path(__file__).with_name("dictionary_v1.bin").read_bytes()
    if hashlib.sha256(data).hexdigest() != DICTIONARY_V1_SHA256:
        raise LedgerError(
            "the compression dictionary dictionary_v1.bin is not the one that ledgers are written"
            " with; reinstall provgraph"
        )
    return data
