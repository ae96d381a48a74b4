"""Two columns compared through their profiles: by how much each trait differs, and beyond what noise.

Each `*_z` is a statistic over its standard error under no change, or over its critical value at about
5 % for Kolmogorov-Smirnov: below 1 to 2 is what two samples of one population show. The error of the
sketches is taken off first. No cut-off of a population stability index is used anywhere: under no
change it depends on n alone.

Units: shares 0 to 1. Figures can be checked by hand from the two profiles (docs/drift.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from provgraph.frozen import dataclass
from provgraph.profiles.profile import ColumnProfile, Group
from provgraph.profiles.quantiles import Quantiles
from provgraph.profiles.values import Frequent, key_of

KS_CRITICAL: Final = 1.36
"""Of the two-sample Kolmogorov-Smirnov statistic times sqrt(nm / (n + m)), at 5 %."""


RARE: Final = 0.05
"""Share up to which a value counts as rare, so that its becoming common is a spike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnShift:
    """How one column differs between two tables."""

    name: str
    null_before: float = 0.0
    null_after: float = 0.0
    null_z: float = 0.0
    distance: float = 0.0  # KS of numbers, total variation of classes
    shape_z: float = 0.0
    new_mass: float = 0.0  # share of rows with a class that was not there before
    spike: float = 0.0  # by how much the share of one value rose
    spike_value: str = ""
    outside: float = 0.0  # share of rows beyond the former range
    unit: float | None = None  # factor that the whole column was multiplied with
    collapse: float = 0.0  # share of distinct values lost, beyond what fewer rows explain
    location: float = 0.0  # shift of the median in former interquartile ranges
    scale: float = 0.0  # log2 of the ratio of interquartile ranges
    type_changed: bool = False
    comparable: bool = True

    @property
    def loudness(self) -> float:
        """Return the largest of its z values."""
        return max(self.null_z, self.shape_z)


def compare_columns(before: ColumnProfile, after: ColumnProfile, n: int, m: int) -> ColumnShift:
    """Compare a column over n rows with the same over m rows."""
    if n < 1 or m < 1:
        return ColumnShift(name=before.name, comparable=False)
    null_before, null_after = before.nulls / n, after.nulls / m
    pooled = (before.nulls + after.nulls) / (n + m)
    spread = math.sqrt(max(pooled * (1 - pooled), 0.25 / (n + m)) * (1 / n + 1 / m))
    null_z = abs(null_after - null_before) / spread
    numbers = before.quantiles is not None and after.quantiles is not None
    classes = before.frequent is not None and after.frequent is not None
    few = classes and (before.distinct or 0) <= 12 and (after.distinct or 0) <= 12
    distance = shape_z = outside = location = scale = 0.0
    unit = None
    if before.quantiles is not None and after.quantiles is not None and not few:
        distance, shape_z = _numbers(before.quantiles, after.quantiles)
        outside = _outside(before.quantiles, after.quantiles)
        location, scale = _moved(before.quantiles, after.quantiles)
        # Rows selected from a skewed column look multiplied as well, but stay within its range.
        if outside > 0.1:
            unit = _unit(before.quantiles, after.quantiles, distance)
    elif before.frequent is not None and after.frequent is not None:
        distance, shape_z = classes_distance(
            before.frequent, after.frequent, n - before.nulls, m - after.nulls
        )
    new_mass = spike = 0.0
    value = ""
    if after.frequent is not None and (before.frequent is not None or _all_differ(before, n)):
        # Where all values differ none is listed: whatever is common now was rare.
        listed = before.frequent if before.frequent is not None else Frequent(counts=())
        spike, value = _spike(listed, after.frequent, n, m)
        if before.frequent is not None and (not numbers or few):
            new_mass = _new(before.frequent, after.frequent, m)
    return ColumnShift(
        name=before.name,
        null_before=null_before,
        null_after=null_after,
        null_z=null_z,
        distance=distance,
        shape_z=shape_z,
        new_mass=new_mass,
        spike=spike,
        spike_value=value,
        outside=outside,
        unit=unit,
        collapse=_collapse(before, after, n, m),
        location=location,
        scale=scale,
        type_changed=before.type != after.type
        and {before.type, after.type} not in ({"integer", "float"}, {"null", before.type}),
        comparable=numbers or classes,
    )


def _all_differ(column: ColumnProfile, rows: int) -> bool:
    return column.distinct is not None and column.distinct > 0.9 * max(rows - column.nulls, 1)


def _numbers(before: Quantiles, after: Quantiles) -> tuple[float, float]:
    distance = ks_distance(before, after)
    n, m = before.count, after.count
    return distance, distance * math.sqrt(n * m / (n + m)) / KS_CRITICAL


def ks_distance(before: Quantiles, after: Quantiles) -> float:
    """Return the largest gap of two distribution functions, less what the sketches may be off.

    Both one-sided limits are looked at, since a spike is a jump. Long sketches are read at every
    second value. A quarter of a gap is taken off for each: a whole one is the bound, not what is usual.
    """
    first, second = before.values, after.values
    points = sorted({*_sparse(first), *_sparse(second)})
    worst = 0.0
    for (up, below), (other_up, other_below) in zip(
        _walk(first, points), _walk(second, points), strict=True
    ):
        gap = max(abs(up - other_up), abs(below - other_below))
        worst = max(worst, gap)
    slack = 0.25 * (before.error + after.error) if min(before.count, after.count) > 80 else 0.0
    return max(0.0, worst - min(slack, 0.03))


def _sparse(values: tuple[float, ...]) -> tuple[float, ...]:
    return (*values[::2], values[-1]) if len(values) > 40 else values


def _walk(values: tuple[float, ...], points: list[float]) -> Iterator[tuple[float, float]]:
    """Yield the shares up to, and below, each of the points, which are in order."""
    gaps = len(values) - 1
    right = left = 0
    for x in points:
        while right <= gaps and values[right] <= x:
            right += 1
        while left <= gaps and values[left] < x:
            left += 1
        if right > gaps:
            up = 1.0
        elif right == 0:
            up = 0.0
        else:
            low, high = values[right - 1], values[right]
            up = (right - 1 + (x / 2 - low / 2) / ((high / 2 - low / 2) or 1.0)) / gaps
        if left == right:
            yield up, up
        else:  # x is one of the values
            yield up, (left / gaps if gaps else 0.0)


def mixture_distance(
    parts: Sequence[tuple[Quantiles, float]], seen: Quantiles, size: int = 24
) -> float:
    """Return the largest gap between parts mixed in given shares and what was seen."""
    total = sum(share for _, share in parts) or 1.0
    step = max(1, len(seen.values) // size)
    points = [*seen.values[::step]]
    mixed = [0.0] * len(points)
    for part, share in parts:
        for i, (up, below) in enumerate(_walk(part.values, points)):
            mixed[i] += share / total * (up + below) / 2
    return max(
        abs(value - (up + below) / 2)
        for value, (up, below) in zip(mixed, _walk(seen.values, points), strict=True)
    )


def classes_distance(before: Frequent, after: Frequent, n: int, m: int) -> tuple[float, float]:
    """Return total variation between class shares, and it over what sampling alone gives."""
    if n < 1 or m < 1:
        return 0.0, 0.0
    first = {key_of(value): count / n for value, count in before.counts}
    second = {key_of(value): count / m for value, count in after.counts}
    keys = set(first) & set(second) if before.others or after.others else set(first) | set(second)
    total = expected = 0.0
    rest_first, rest_second = 1.0, 1.0
    for key in keys:
        p, q = first.get(key, 0.0), second.get(key, 0.0)
        total += abs(p - q)
        expected += _noise((p * n + q * m) / (n + m), n, m)
        rest_first -= p
        rest_second -= q
    total += abs(rest_first - rest_second)
    expected += _noise(min(1.0, max(0.0, (rest_first + rest_second) / 2)), n, m)
    # A sum of |differences|, each with mean sqrt(2/pi) sigma: twice that is rarely reached by chance.
    return total / 2, total / max(2 * expected, 1e-9)


def _noise(p: float, n: int, m: int) -> float:
    return 0.8 * math.sqrt(max(p * (1 - p), 0.25 / (n + m)) * (1 / n + 1 / m))


def _outside(before: Quantiles, after: Quantiles) -> float:
    if before.count < 30:
        return 0.0
    below = after.share_below(before.minimum)
    above = 1 - after.share_up_to(before.maximum)
    return max(0.0, below + above - 2 / before.count)


def _moved(before: Quantiles, after: Quantiles) -> tuple[float, float]:
    spread = before.at(0.75) - before.at(0.25)
    other = after.at(0.75) - after.at(0.25)
    if not (math.isfinite(spread) and math.isfinite(other)):
        return 0.0, 0.0
    base = spread or (before.at(0.95) - before.at(0.05)) or 1.0
    location = (after.at(0.5) - before.at(0.5)) / base
    scale = (
        math.log2(other / spread) if spread > 0 and other > 0 else (0.0 if spread == other else 6.0)
    )
    return max(-50.0, min(50.0, location)), max(-12.0, min(12.0, scale))


def _unit(before: Quantiles, after: Quantiles, distance: float) -> float | None:
    """Return the factor that makes the two the same, where there is one and it is not 1."""
    if distance < 0.2:
        return None
    pairs = [(before.at(rank), after.at(rank)) for rank in (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9)]
    ratios = sorted(b / a for a, b in pairs if abs(a) > 1e-12)
    if len(ratios) < 4:
        return None
    factor = ratios[len(ratios) // 2]
    if factor <= 0 or not math.isfinite(factor) or 0.83 < factor < 1.2:
        return None
    try:
        scaled = Quantiles(
            values=tuple(v * factor for v in before.values), count=before.count, error=before.error
        )
    except Exception:  # an overflow is no unit
        return None
    # As close as two samples of one table, not only closer than before.
    n, m = before.count, after.count
    bound = 1.3 * KS_CRITICAL / math.sqrt(n * m / (n + m))
    return factor if ks_distance(scaled, after) < min(bound, 0.35 * distance) else None


def _spike(before: Frequent, after: Frequent, n: int, m: int) -> tuple[float, str]:
    first = {key_of(value): count / n for value, count in before.counts}
    floor = before.counts[-1][1] / n if before.others and before.counts else 0.0
    best, name = 0.0, ""
    for value, count in after.counts:
        usual = first.get(key_of(value), floor)
        if usual > RARE:
            continue  # a common class that became more common: a shift, not a mark of damage
        rise = count / m - usual
        noise = 3 * math.sqrt(max(count, 1)) / m + 2 / m
        if rise - noise > best:
            best, name = rise - noise, str(value)
    return best, name[:60]


def _new(before: Frequent, after: Frequent, m: int) -> float:
    known = {key_of(value) for value, _ in before.counts}
    if before.others:
        return 0.0
    fresh = sum(count for value, count in after.counts if key_of(value) not in known)
    return (fresh + after.others) / m


def _collapse(before: ColumnProfile, after: ColumnProfile, n: int, m: int) -> float:
    if before.distinct is None or after.distinct is None or before.distinct < 20:
        return 0.0
    expected = before.distinct * min(1.0, m / n) ** 0.85 * (1 - after.nulls / m)
    return max(0.0, 1 - after.distinct / max(expected, 1.0)) if expected > 15 else 0.0


def group_distance(before: Group, after: Group) -> tuple[float, float] | None:
    """Compare one column within one class of the label: (distance, z), None where too few rows."""
    if min(before.rows, after.rows) < 8:
        return None
    if before.quantiles is not None and after.quantiles is not None:
        return _numbers(before.quantiles, after.quantiles)
    if before.frequent is not None and after.frequent is not None:
        return classes_distance(
            before.frequent, after.frequent, before.rows - before.nulls, after.rows - after.nulls
        )
    return None
