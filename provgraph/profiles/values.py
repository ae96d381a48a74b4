"""Frequent values with their counts, in bounded space.

Counted exactly in one table. Merging keeps the most frequent and remembers, as Misra and Gries
(1982) and the mergeable summaries of Agarwal and others (2012) do, how many rows a value that is not
listed can have at most: `at_most` is a bound, so `count` to `count + at_most` is what is true of a
listed value, and 0 to `at_most` of any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provgraph.errors import FormatError
from provgraph.frozen import dataclass

Value = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Frequent:
    """Values and how many rows have them, the most frequent first.

    `others` counts the rows of values that are not listed. `at_most` bounds what is not counted of a
    single value, 0 where all is.
    """

    counts: tuple[tuple[Value, int], ...]
    others: int = 0
    at_most: int = 0

    def __post_init__(self) -> None:
        if any(count < 1 for _, count in self.counts) or min(self.others, self.at_most) < 0:
            raise FormatError("expected counts of at least 1")
        if len({key_of(value) for value, _ in self.counts}) != len(self.counts):
            raise FormatError("expected each value once")

    @property
    def is_complete(self) -> bool:
        """Whether every value is listed."""
        return self.others == 0

    def thinned(self, size: int) -> Frequent:
        """Return at most `size` of the values."""
        left_out = self.counts[size:]
        if not left_out:
            return self
        return Frequent(
            counts=self.counts[:size],
            others=self.others + sum(count for _, count in left_out),
            at_most=max(self.at_most, left_out[0][1] + self.at_most),
        )


def ordered(counts: Mapping[tuple[str, Value], int]) -> tuple[tuple[Value, int], ...]:
    """Return values with counts, the most frequent first, equal ones in the order of the values."""
    listed = sorted(counts.items(), key=lambda item: (-item[1], item[0][0], item[0][1]))
    return tuple((value, count) for (_, value), count in listed)


def key_of(value: Value) -> tuple[str, Value]:
    """Tell True from 1, and keep values comparable."""
    return ("number" if type(value) in {int, float} else type(value).__name__, value)


def merge_frequent(parts: Sequence[Frequent], *, size: int) -> Frequent:
    """Return the frequent values of all parts together."""
    counts: dict[tuple[str, Value], int] = {}
    for part in parts:
        for value, count in part.counts:
            counts[key_of(value)] = counts.get(key_of(value), 0) + count
    merged = Frequent(
        counts=ordered(counts),
        others=sum(part.others for part in parts),
        at_most=sum(part.at_most for part in parts),
    )
    return merged.thinned(size)
