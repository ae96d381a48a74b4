"""64-bit hashes of cells and rows, the same on every machine and for every library.

Numbers are hashed by value: 1 and 1.0 are one. Texts up to 64 bytes are hashed eight bytes at a time
for a whole block of rows at once, longer ones by BLAKE2b. The mixing step is the finalizer of
SplitMix64 (Steele, Lea, Flood 2014). These hashes choose and count; nothing rests on their being
hard to forge.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy.typing as npt

    from provgraph.capture.tables import Block

    Array = npt.NDArray[Any]

NULL_HASH: Final = 0x9E3779B97F4A7C15
_GOLDEN: Final = 0x9E3779B97F4A7C15
_SHORT_BYTES: Final = 64


def mix(values: Array) -> Array:
    """Return well spread 64-bit numbers, in place of those handed over."""
    import numpy as np

    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def hash_numbers(values: Array) -> Array:
    """Hash numbers: int64 or uint64 by value, float64 by its bits."""
    import numpy as np

    if values.dtype.kind == "f":
        values = values + 0.0  # one zero
    return mix(values.view(np.uint64) + np.uint64(_GOLDEN))


def hash_texts(block: Block) -> Array:
    """Hash the texts or bytes of a block."""
    import numpy as np

    lengths = np.ascontiguousarray(block.values, np.int64)
    data = np.frombuffer(block.data, np.uint8)
    hashes = mix(lengths.astype(np.uint64) * np.uint64(_GOLDEN))
    is_long = lengths > _SHORT_BYTES
    long_rows = np.flatnonzero(is_long)
    short = lengths
    if len(long_rows):
        starts = np.cumsum(lengths) - lengths
        view = memoryview(block.data)
        for row in long_rows.tolist():
            start = int(starts[row])
            text = view[start : start + int(lengths[row])]
            digest = hashlib.blake2b(text, digest_size=8).digest()
            hashes[row] = int.from_bytes(digest, "little")
        data = data[np.repeat(~is_long, lengths)]
        short = np.where(is_long, 0, lengths)
    width = -(-int(short.max(initial=0)) // 8) * 8
    if width:
        padded = np.zeros((len(short), width), np.uint8)
        padded[np.arange(width) < short[:, None]] = data
        words = padded.view("<u8").astype(np.uint64, copy=False)
        for place in range(words.shape[1]):
            has_more = short > place * 8
            mixed = mix((hashes ^ words[:, place]) + np.uint64(_GOLDEN))
            hashes = np.where(has_more, mixed, hashes)
    return hashes


def add_to_rows(rows: Array | None, cells: Array) -> Array:
    """Return the hashes of rows with one more column."""
    import numpy as np

    if rows is None:
        return mix(cells + np.uint64(1))
    rows *= np.uint64(0xD1342543DE82EF95)
    rows += cells
    return mix(rows)


def registers_of(hashes: Array, size: int) -> list[int]:
    """Return HyperLogLog registers (`provgraph.profiles.distinct`)."""
    import numpy as np

    bits = size.bit_length() - 1
    if len(hashes) > 64 * size:
        # Only high ranks decide where there are many hashes: one of sixteen is enough to look at,
        # unless a register would stay empty.
        high = _highest_ranks(hashes[hashes & np.uint64(0xF << bits) == 0], size, bits)
        if min(high) > 0:
            return high
    return _highest_ranks(hashes, size, bits)


def _highest_ranks(hashes: Array, size: int, bits: int) -> list[int]:
    import numpy as np

    rest = hashes >> np.uint64(bits)
    lowest = rest & (~rest + np.uint64(1))
    # The exponent of a power of two: frexp of 2^n is n + 1, which is the rank.
    ranks = np.frexp(lowest.astype(np.float64))[1]
    ranks[rest == 0] = 64 - bits + 1
    places = (hashes & np.uint64(size - 1)).astype(np.int64)
    seen = np.bincount(places * 64 + ranks, minlength=size * 64).reshape(size, 64) > 0
    return [int(rank) for rank in np.where(seen, np.arange(64), 0).max(1)]
