"""A quantile sketch: values at evenly spaced ranks, with the error that reading it may have.

`values[i]` is the value at rank i / (k - 1): the first is the minimum, the last the maximum. Read
from exact data, the distribution function is off by at most one gap, 1 / (k - 1), anywhere. Merging
mixes the distribution functions and reads k values off the mixture: the errors of the parts,
weighted, and one more gap. So `error` is a bound that holds, not an estimate. Merging many parts at
once costs one gap, merging them one by one costs one for each.

Units: ranks and errors are shares of the values, 0 to 1.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from provgraph.errors import FormatError
from provgraph.frozen import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Values at evenly spaced ranks; at least one, in order, all finite."""

    values: tuple[float, ...]
    count: int
    error: float

    def __post_init__(self) -> None:
        if not self.values or self.count < 1 or not 0 <= self.error <= 1:
            raise FormatError(
                f"expected quantiles of at least one value with an error of 0 to 1, found"
                f" {len(self.values)} of {self.count} with error {self.error}"
            )
        if any(not low <= high for low, high in pairwise(self.values)):
            raise FormatError("expected quantiles in ascending order")

    @property
    def minimum(self) -> float:
        """The smallest value."""
        return self.values[0]

    @property
    def maximum(self) -> float:
        """The largest value."""
        return self.values[-1]

    def share_up_to(self, x: float) -> float:
        """Return the share of values <= x: the distribution function, off by at most `error`."""
        if x >= self.maximum:
            return 1.0
        right = bisect_right(self.values, x)
        return 0.0 if right == 0 else self._between(right, x)

    def share_below(self, x: float) -> float:
        """Return the share of values < x, off by at most `error`; below `share_up_to` at a spike."""
        if x > self.maximum:
            return 1.0
        left = bisect_left(self.values, x)
        if left == 0:
            return 0.0
        if self.values[left] == x:
            return left / (len(self.values) - 1)
        return self._between(left, x)

    def at(self, rank: float) -> float:
        """Return the value at a rank from 0 to 1, interpolated."""
        if not 0 <= rank <= 1:
            raise ValueError(f"expected a rank from 0 to 1, found {rank}")
        place = rank * (len(self.values) - 1)
        below = min(int(place), len(self.values) - 1)
        low = self.values[below]
        high = self.values[min(below + 1, len(self.values) - 1)]
        return between(low, high, place - below)

    def thinned(self, size: int) -> Quantiles:
        """Return a sketch of at most `size` values; where they are not among its own, read off it."""
        gaps = len(self.values) - 1
        if size < 2 or gaps < size:
            return self
        if gaps % (size - 1) == 0:
            # Its own values at wider gaps. What the source was off beyond one of its gaps remains.
            step = gaps // (size - 1)
            error = min(1.0, self.error - 1 / gaps + 1 / (size - 1))
            return Quantiles(values=self.values[::step], count=self.count, error=max(0.0, error))
        return merge_quantiles([self], size=size)

    def shortened(self, digits: int, *, end_digits: int | None = None) -> Quantiles:
        """Return it with values rounded to so many digits of their range.

        The ends stay as they are, unless they may have `end_digits` only; and so does a value that
        stands twice: it is a spike, and read beside its place it would be missed.
        """
        spread = self.maximum / 2 - self.minimum / 2
        if len(self.values) < 3 or spread <= 0:
            return self
        places = digits - 1 - math.floor(math.log10(spread) + math.log10(2))
        seen = Counter(self.values)
        low, high = self.minimum, self.maximum
        if end_digits is not None:
            low, high = (round(end, places - digits + end_digits) for end in (low, high))
        values = [low]
        for value in self.values[1:-1]:
            short = value if seen[value] > 1 else round(value, places)
            values.append(min(high, max(values[-1], short)))
        return replace(self, values=(*values, high))

    def _between(self, right: int, x: float) -> float:
        low, high = self.values[right - 1], self.values[right]
        # Halved first: the difference of two large numbers of opposite signs is infinite.
        part = (x / 2 - low / 2) / (high / 2 - low / 2) if high / 2 > low / 2 else 0.0
        return (right - 1 + part) / (len(self.values) - 1)


def merge_quantiles(parts: Sequence[Quantiles], *, size: int) -> Quantiles:
    """Return the sketch of all parts' values together; the order of the parts does not matter.

    Raises:
        FormatError: no parts.
    """
    if not parts:
        raise FormatError("expected at least one sketch to merge")
    parts = sorted(parts, key=lambda part: (part.count, part.values, part.error))
    total = sum(part.count for part in parts)
    ends = sorted({value for part in parts for value in part.values})
    below = [sum(p.count * p.share_below(x) for p in parts) / total for x in ends]
    up_to = [sum(p.count * p.share_up_to(x) for p in parts) / total for x in ends]
    values = []
    for number in range(size):
        rank = number / (size - 1)
        found = min(bisect_left(up_to, rank), len(ends) - 1)
        if found == 0 or rank >= below[found]:
            values.append(ends[found])
            continue
        start, stop = up_to[found - 1], below[found]
        part = (rank - start) / (stop - start) if stop > start else 1.0
        values.append(between(ends[found - 1], ends[found], part))
    values[0], values[-1] = ends[0], ends[-1]
    values.sort()  # interpolation may round across its neighbour
    carried = sum(part.count * part.error for part in parts) / total
    # The last bits of sums and quotients are not part of the bound's arithmetic.
    error = min(1.0, round(carried + 1 / (size - 1) + 1e-12, 12))
    return Quantiles(values=tuple(values), count=total, error=error)


def between(low: float, high: float, part: float) -> float:
    """Interpolate without overflow, never outside of both."""
    return min(high, max(low, low * (1 - part) + high * part))
