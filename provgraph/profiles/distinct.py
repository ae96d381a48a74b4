"""How many distinct values: HyperLogLog registers as text, one character each.

Specification: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog" (2007), over 64-bit hashes, with
linear counting for small numbers. Register i holds the highest rank seen among the hashes whose low
bits are i; its character is the rank in the alphabet of base64. Merging takes the larger of two
registers and loses nothing; the standard error is 1.04 / sqrt(registers).

The number of distinct values in one profile is counted, not estimated; the registers are there so
that profiles can be merged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from provgraph.errors import FormatError

ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
SIZES: Final = (16, 64, 256)
_RANKS: Final = {character: rank for rank, character in enumerate(ALPHABET)}


def write_registers(ranks: Sequence[int]) -> str:
    """Return registers as text."""
    return "".join([ALPHABET[min(63, rank)] for rank in ranks])


def read_registers(text: str) -> list[int]:
    """Return registers as ranks.

    Raises:
        FormatError: another length or alphabet.
    """
    if len(text) not in SIZES or not _RANKS.keys() >= set(text):
        raise FormatError(f"expected {SIZES} registers in base64 letters, found {text!r:.80}")
    return [_RANKS[character] for character in text]


def fold_registers(text: str, size: int) -> str:
    """Return fewer registers that say the same with a larger error.

    A register of the smaller set unites those whose index ends in the same bits: the bits above them
    come to the front of what ranks are counted in, so a one among them is what is seen first.
    """
    ranks = read_registers(text)
    if len(ranks) <= size:
        return text
    extra_bits = (len(ranks) // size).bit_length() - 1
    folded = [0] * size
    for index, rank in enumerate(ranks):
        if rank == 0:
            continue
        above = index // size
        seen = (above & -above).bit_length() if above else extra_bits + rank
        folded[index % size] = max(folded[index % size], seen)
    return write_registers(folded)


def merge_registers(one: str, other: str) -> str:
    """Return the registers of both sets together."""
    size = min(len(one), len(other))
    left, right = (read_registers(fold_registers(text, size)) for text in (one, other))
    return write_registers([max(pair) for pair in zip(left, right, strict=True)])


def estimate(text: str) -> float:
    """Return the number of distinct values, with a relative error of about 1.04 / sqrt(registers)."""
    ranks = read_registers(text)
    size = len(ranks)
    alpha = {16: 0.673, 64: 0.709}.get(size, 0.7213 / (1 + 1.079 / size))
    raw: float = alpha * size * size / sum(2.0**-rank for rank in ranks)
    zeros = ranks.count(0)
    if raw <= 2.5 * size and zeros:
        return size * math.log(size / zeros)
    return raw
