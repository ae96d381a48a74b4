r"""A metric over steps: points in arrays while a run is going, one compact attachment at its end.

Attachment format `series-v1`, little-endian: the line `provgraph-series-1\n`, a uint32 count, then
one zlib stream over three columns of `count` values each: steps (int64), times (int64 milliseconds
since 1970), values (float64). Steps and times are stored as differences to the value before, modulo
2^64.
"""

from __future__ import annotations

import math
import struct
import sys
import zlib
from array import array
from datetime import UTC, datetime
from typing import Final

from provgraph.errors import FormatError
from provgraph.frozen import dataclass

MAGIC: Final = b"provgraph-series-1\n"
MAX_POINTS: Final = 50_000_000
_POINT_BYTES: Final = 24
_HALF: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Point:
    """One logged value."""

    step: int
    at: datetime
    value: float


_Columns = tuple["array[int]", "array[int]", "array[float]"]
"""Steps, times in milliseconds, and values."""


class Points:
    """The points of one metric, 24 bytes each, in the order in which they were logged."""

    __slots__ = ("_columns", "_only")

    def __init__(self) -> None:
        # Most metrics are logged once: their one point needs no columns.
        self._only: tuple[int, int, float] | None = None
        self._columns: _Columns | None = None

    def __len__(self) -> int:
        if self._only is not None:
            return 1
        return 0 if self._columns is None else len(self._columns[2])

    def append(self, *, step: int | None, at_ms: int, value: float) -> None:
        """Add a point; without a step it follows the one before."""
        if self._columns is None:
            if self._only is None and _is_plain(step, at_ms, value):
                self._only = (step or 0, at_ms, value)
                return
            self._columns = self._in_columns()
            self._only = None
        steps, times, values = self._columns
        if step is None:
            step = steps[-1] + 1 if steps else 0
        try:
            steps.append(step)
            times.append(at_ms)
            values.append(value)
        except (TypeError, OverflowError) as error:
            # All three or none, or the columns would no longer belong together.
            for column in (steps, times):
                del column[len(values) :]
            raise FormatError(
                f"expected a 64-bit step and a number, found step {step!r:.40} and"
                f" {value!r:.40}: {error}"
            ) from None

    @property
    def first(self) -> float:
        """The value logged first."""
        return self._only[2] if self._only is not None else self._in_columns()[2][0]

    @property
    def last(self) -> float:
        """The value logged last."""
        return self._only[2] if self._only is not None else self._in_columns()[2][-1]

    def extremes(self) -> tuple[float, float]:
        """Return (minimum, maximum) over the values that are numbers; NaN when none is."""
        numbers = [value for value in self._in_columns()[2] if not math.isnan(value)]
        return (min(numbers), max(numbers)) if numbers else (math.nan, math.nan)

    def encode(self) -> bytes:
        """Return the attachment."""
        steps, times, values = self._in_columns()
        columns = (_differences(steps), _differences(times), values)
        raw = b"".join(_little_endian(column) for column in columns)
        return MAGIC + struct.pack("<I", len(self)) + zlib.compress(raw, 6)

    def _in_columns(self) -> _Columns:
        if self._columns is not None:
            return self._columns
        points = () if self._only is None else (self._only,)
        return (
            array("q", [step for step, _, _ in points]),
            array("q", [at_ms for _, at_ms, _ in points]),
            array("d", [value for _, _, value in points]),
        )


def decode(data: bytes) -> list[Point]:
    """Read an attachment back into points.

    Raises:
        FormatError: not a series, a count that does not fit, or damaged bytes.
    """
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + 4:
        raise FormatError("expected a metric series (provgraph-series-1), found other bytes")
    (count,) = struct.unpack_from("<I", data, len(MAGIC))
    if count > MAX_POINTS:
        raise FormatError(f"a series of {count} points is over the limit of {MAX_POINTS}")
    size_bytes = count * _POINT_BYTES
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(data[len(MAGIC) + 4 :], size_bytes + 1)
    except zlib.error as error:
        raise FormatError(f"damaged metric series: {error}") from None
    if len(raw) != size_bytes or not inflater.eof or inflater.unused_data:
        raise FormatError(f"expected {count} points in a metric series, found other bytes")
    third = count * 8
    steps = _sums(array("q", _native(raw[:third])))
    times = _sums(array("q", _native(raw[third : 2 * third])))
    values = array("d", _native(raw[2 * third :], code="d"))
    try:
        return [
            Point(step, datetime.fromtimestamp(at_ms / 1000, UTC), value)
            for step, at_ms, value in zip(steps, times, values, strict=True)
        ]
    except (ValueError, OverflowError, OSError) as error:
        raise FormatError(f"damaged metric series, its times are none: {error}") from None


def _is_plain(step: object, at_ms: object, value: object) -> bool:
    """Whether a point is what the columns would take; all others are left to them to judge."""
    return (
        type(value) is float
        and type(at_ms) is int
        and (step is None or type(step) is int)
        and -_HALF <= (step or 0) < _HALF
        and -_HALF <= at_ms < _HALF
    )


def _differences(values: array[int]) -> array[int]:
    previous = 0
    result = array("q")
    for value in values:
        result.append(_wrapped(value - previous))
        previous = value
    return result


def _sums(values: array[int]) -> array[int]:
    total = 0
    result = array("q")
    for value in values:
        total = _wrapped(total + value)
        result.append(total)
    return result


def _wrapped(value: int) -> int:
    """Bring a number back into 64 bits with sign, as two's complement does."""
    if -_HALF <= value < _HALF:
        return value
    return (value + _HALF) % (2 * _HALF) - _HALF


def _little_endian(column: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _native(raw: bytes, *, code: str = "q") -> bytes:
    column = array(code)
    column.frombytes(raw)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()
