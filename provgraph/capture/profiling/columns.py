"""One column measured: its figures, its sketches, and the values that may be listed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.profiling import privacy
from provgraph.capture.profiling.cells import Cells
from provgraph.capture.profiling.hashing import registers_of
from provgraph.capture.redact import redact
from provgraph.profiles.distinct import write_registers
from provgraph.profiles.fitting import FULL
from provgraph.profiles.merging import rounded
from provgraph.profiles.profile import ColumnProfile, Lengths
from provgraph.profiles.quantiles import Quantiles
from provgraph.profiles.values import Frequent, Value, key_of, ordered

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

BUCKETS: Final = 16
_MAX_VALUE: Final = 60
# A number is worth listing where it is one of few, or stands out: a sentinel, a filled-in value.
_FEW: Final = 32
_SPIKE: Final = 0.005


def measure(cells: Cells, *, name: str, unit: str | None, lists_values: bool) -> ColumnProfile:
    """Profile one column."""
    import numpy as np

    with np.errstate(all="ignore"):
        if cells.is_text:
            return _texts(cells, name=name, unit=unit, lists_values=lists_values)
        if cells.type in {"null", "struct", "mixed"}:
            there = 0 if cells.type == "null" else len(cells.hashes)
            return ColumnProfile(
                name=name,
                type=cells.type,
                unit=unit,
                nulls=cells.rows - there,
                distinct=0 if cells.type == "null" else None,
                patterns=cells.kinds,
            )
        return _numbers(cells, name=name, unit=unit, lists_values=lists_values)


def quantiles_of(ascending: Array, size: int) -> Quantiles | None:
    """Return the sketch of sorted finite numbers, None where there are none."""
    count = len(ascending)
    if not count:
        return None
    size = min(size, count)
    # In whole numbers, rounded half up: the same on every machine.
    gaps = max(1, size - 1)
    places = [(2 * i * (count - 1) + gaps) // (2 * gaps) for i in range(size)]
    values = tuple([float(ascending[place]) + 0.0 for place in places])
    # Between two of its values the function is off by a gap, and at them by one and a half values.
    error = 0.0 if size == 1 else min(1.0, math.ceil((1 / gaps + 1.5 / count) * 1e6) / 1e6)
    return Quantiles(values=values, count=count, error=error)


def _numbers(cells: Cells, *, name: str, unit: str | None, lists_values: bool) -> ColumnProfile:
    import numpy as np

    numbers = np.sort(cells.numbers)
    low, high, infinite = 0, len(numbers), 0
    if numbers.dtype.kind == "f":
        low = int(np.searchsorted(numbers, -np.inf, side="right"))
        high = int(np.searchsorted(numbers, np.inf, side="left"))
        infinite = len(numbers) - (high - low)
        numbers = numbers[low:high]
    starts = _starts(numbers)
    distinct = len(starts) + (low > 0) + (high < len(cells.numbers))
    is_strict = privacy.is_strictly_personal(name)
    withheld = privacy.personal_by_name(name) if cells.type != "bool" else None
    frequent = None
    if not lists_values:
        withheld = withheld or "the setting profile_values is off"
    elif withheld is None and cells.type != "list":
        frequent = _frequent_numbers(numbers, starts, is_bool=cells.type == "bool")
    mean, variance = (None, None) if is_strict else moments(numbers)
    return ColumnProfile(
        name=name,
        type=cells.type,
        unit=unit,
        nulls=cells.rows - len(cells.numbers),
        infinite=infinite,
        distinct=distinct,
        mean=mean,
        variance=variance,
        quantiles=None if is_strict else quantiles_of(numbers, FULL.quantiles),
        frequent=frequent,
        registers=_registers(cells.hashes, distinct, frequent),
        withheld=withheld,
    )


def moments(numbers: Array) -> tuple[float | None, float | None]:
    """Return mean and variance (over n - 1) without the digits in which machines differ."""
    import numpy as np

    if not len(numbers):
        return None, None
    if numbers[0] == numbers[-1]:  # sorted; no digit of a sum can make a constant vary
        return float(numbers[0]) + 0.0, 0.0 if len(numbers) > 1 else None
    mean = float(np.mean(numbers, dtype=np.float64))
    if not math.isfinite(mean):
        return None, None
    apart = numbers - mean
    variance = float(np.dot(apart, apart)) / (len(numbers) - 1)
    return rounded(mean), rounded(variance) if math.isfinite(variance) else None


def _starts(ascending: Array) -> Array:
    """Return where each of the distinct values begins."""
    import numpy as np

    if not len(ascending):
        return np.empty(0, np.int64)
    changes = np.flatnonzero(ascending[1:] != ascending[:-1]) + 1
    return np.concatenate(([0], changes))


def _frequent_numbers(numbers: Array, starts: Array, *, is_bool: bool) -> Frequent | None:
    import numpy as np

    count = len(numbers)
    if not count:
        return None
    counts = np.diff(starts, append=count)
    is_few = len(starts) <= _FEW and (is_bool or 2 * len(starts) <= count)
    least = 1 if is_few else max(privacy.MIN_ROWS, math.ceil(_SPIKE * count))
    chosen = np.flatnonzero(counts >= least)
    if len(chosen) > _FEW:
        # Ties at the end go to the smaller value, so that no order of rows decides.
        chosen = np.sort(chosen[np.argsort(-counts[chosen], kind="stable")[:_FEW]])
    listed: dict[tuple[str, Value], int] = {}
    for place in chosen.tolist():
        value = numbers[starts[place]].item()
        listed[key_of(bool(value) if is_bool else value)] = int(counts[place])
    if not listed:
        return None
    left = count - sum(listed.values())
    unlisted = np.delete(counts, chosen)
    return Frequent(
        counts=ordered(listed), others=left, at_most=int(unlisted.max()) if len(unlisted) else 0
    )


def _registers(hashes: Array, distinct: int, frequent: Frequent | None) -> str | None:
    """Return registers where the values themselves are not all listed."""
    if not distinct or (frequent is not None and frequent.is_complete):
        return None
    return write_registers(registers_of(hashes, FULL.registers))


def _texts(cells: Cells, *, name: str, unit: str | None, lists_values: bool) -> ColumnProfile:
    import numpy as np

    hashes = np.sort(cells.hashes)
    starts = _starts(hashes)
    counts = np.diff(starts, append=len(hashes))
    distinct = len(starts)
    mean_bytes = float(np.mean(cells.numbers)) if distinct else 0.0
    lengths = Lengths(
        minimum=int(cells.numbers.min()), maximum=int(cells.numbers.max()), mean=rounded(mean_bytes)
    )
    withheld = privacy.personal_by_name(name)
    withheld = withheld or privacy.identifying(
        distinct=distinct, count=len(hashes), mean_bytes=mean_bytes
    )
    if cells.type == "bytes":
        withheld = "its values are bytes"
    if not lists_values:
        withheld = withheld or "the setting profile_values is off"
    frequent = None
    if withheld is None:
        values = _frequent_texts(cells, hashes[starts], counts)
        withheld = privacy.personal_by_value([str(value) for value, _ in values])
        if withheld is None and values:
            left = len(hashes) - sum(count for _, count in values)
            unlisted = sorted(counts.tolist(), reverse=True)[len(values) :]
            frequent = Frequent(counts=values, others=left, at_most=unlisted[0] if unlisted else 0)
    is_listed = frequent is not None and frequent.is_complete
    return ColumnProfile(
        name=name,
        type=cells.type,
        unit=unit,
        nulls=cells.rows - len(hashes),
        distinct=distinct,
        frequent=frequent,
        registers=_registers(cells.hashes, distinct, frequent),
        buckets=() if is_listed else _buckets(cells.hashes),
        lengths=lengths,
        withheld=withheld,
    )


def _buckets(hashes: Array) -> tuple[int, ...]:
    """Count rows by four bits of their hash that the registers do not use for their index."""
    import numpy as np

    places = (hashes >> np.uint64(60)).astype(np.int64)
    return tuple(np.bincount(places, minlength=BUCKETS).tolist())


def _frequent_texts(cells: Cells, unique: Array, counts: Array) -> tuple[tuple[Value, int], ...]:
    import numpy as np

    # Ties go to the smaller hash.
    top = np.argsort(-counts, kind="stable")[: FULL.frequent]
    row_hashes = cells.row_hashes()
    listed: dict[tuple[str, Value], int] = {}
    for place in top.tolist():
        if counts[place] < privacy.MIN_ROWS:
            break
        row = int((row_hashes == unique[place]).argmax())
        text = cells.text_at(row)
        if len(text) > _MAX_VALUE:
            text = f"{text[:_MAX_VALUE]}…"
        key = key_of(text.replace("\x00", "\N{REPLACEMENT CHARACTER}"))
        listed[key] = listed.get(key, 0) + int(counts[place])
    return ordered(listed)


def shown(name: str) -> str:
    """Return a column's name as it may stand in a record."""
    return redact(name.encode("utf-8", "replace").decode())
