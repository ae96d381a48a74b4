"""Columns of Python objects: what pandas and numpy call `object`, and plain Python lists.

Only plain kinds of cells have a canonical form: numbers, text, bytes, dates and times, decimals,
lists and dicts of these, and None, NaN, NA and NaT for a missing cell. Anything else is refused
with its type and row, never pickled: a pickle of the same object differs from process to process.
A column with several kinds is `mixed`: a tag per cell, then one column per kind.

Cells are sorted into kinds by their type through a table that is filled on demand, so that a
column of a million texts costs one dict look-up per cell and no Python bytecode.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.tables import (
    KINDS,
    Block,
    Column,
    MakeColumn,
    array_block,
    array_column,
    compact_column,
    null_column,
    struct_block,
)
from provgraph.errors import CaptureError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

_TAG: Final = {kind: tag for tag, kind in enumerate(KINDS)}
_UNKNOWN: Final = len(KINDS)

# Integers up to here are doubles, too; beyond it a column of integers and floats would lose some.
_EXACT_DOUBLE: Final = 2**53
_INT64_END: Final = 2**63
_UINT64_END: Final = 2**64


def cells_column(cells: Iterable[Any], *, rows: int) -> Column:
    """Return Python objects as a column.

    Raises:
        CaptureError: a cell that has no canonical form, with its type and row.
    """
    import numpy as np

    values: Array = (
        cells
        if isinstance(cells, np.ndarray) and cells.dtype == object
        else np.fromiter(cells, object, rows)
    )
    tags = _tags(values)
    present = [tag for tag in np.unique(tags).tolist() if tag != _TAG["null"]]
    valid = tags != _TAG["null"]
    if not present:
        return null_column(rows)
    whole = bool(valid.all())
    if len(present) == 1:
        return _CONVERT[KINDS[present[0]]](
            KINDS[present[0]], values if whole else values[valid], None if whole else valid
        )
    parts = [
        (KINDS[tag], _CONVERT[KINDS[tag]](KINDS[tag], values[tags == tag], None)) for tag in present
    ]
    compact = tags if whole else tags[valid]
    return compact_column(
        kind="mixed",
        rows=rows,
        valid=None if whole else valid,
        read=lambda start, stop: array_block(compact[start:stop]),
        children=lambda: parts,
    )


def is_scalar(cls: type) -> bool:
    """Tell whether a type of cells is a single value: a number, text, time, or None."""
    return _tag_of(cls) not in {_TAG["list"], _TAG["struct"], _UNKNOWN}


def numpy_column(values: Array) -> Column:
    """Return a one-dimensional numpy array as a column, whatever its dtype.

    Raises:
        CaptureError: a dtype or an object that has no canonical form.
    """
    if values.dtype.kind not in "OUST":
        return array_column(values)
    # Fixed-width texts are padded and numpy's own strings packed: both read as Python's.
    return cells_column(values if values.dtype.kind == "O" else values.tolist(), rows=len(values))


def structured_columns(array: Array) -> list[tuple[str, MakeColumn]]:
    """Return the fields of a one-dimensional structured array as columns."""
    return [(name, partial(numpy_column, array[name])) for name in array.dtype.names or ()]


def text_block(texts: list[str]) -> Block:
    """Return texts as a block: their lengths in UTF-8 and all their bytes."""
    import numpy as np

    joined = "".join(texts)
    if joined.isascii():
        lengths = np.fromiter(map(len, texts), np.uint64, len(texts))
        return Block(rows=len(texts), values=lengths, data=joined.encode("ascii"))
    return bytes_block([text.encode("utf-8", "surrogatepass") for text in texts])


def bytes_block(parts: list[bytes]) -> Block:
    """Return byte strings as a block: their lengths and all their bytes."""
    import numpy as np

    lengths = np.fromiter(map(len, parts), np.uint64, len(parts))
    return Block(rows=len(parts), values=lengths, data=b"".join(parts))


def decimal_text(value: Decimal) -> str:
    """Write a decimal without exponent and trailing zeros: `1.50` and `1.5` are one value.

    Raises:
        CaptureError: infinite.
    """
    if value.is_infinite():
        raise CaptureError(f"a decimal must be finite, found {value}")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


# ---- sorting cells into kinds ----------------------------------------------------------------------
class _Tags(dict[type, int]):
    """Type of a cell -> tag of its kind, filled on demand."""

    def __missing__(self, cls: type) -> int:
        self[cls] = tag = _tag_of(cls)
        return tag


def _tag_of(cls: type) -> int:
    import numpy as np

    missing = {type(None)}
    if pandas := sys.modules.get("pandas"):
        missing |= {type(pandas.NA), type(pandas.NaT)}
    if cls in missing:
        return _TAG["null"]
    # The first row that fits: bool is an int and datetime a date, so they come before them.
    table: tuple[tuple[str, tuple[type, ...]], ...] = (
        ("bool", (bool, np.bool_)),
        ("number", (int, float, np.integer, np.float16, np.float32, np.float64)),
        ("string", (str,)),
        ("bytes", (bytes, bytearray)),
        ("timestamp", (datetime,)),
        ("date", (date,)),
        ("time", (time,)),
        ("duration", (timedelta,)),
        ("decimal", (Decimal,)),
        ("list", (list, tuple, np.ndarray)),
        ("struct", (dict,)),
    )
    return next((_TAG[kind] for kind, bases in table if issubclass(cls, bases)), _UNKNOWN)


def _tags(values: Array) -> Array:
    """Return one tag per cell; NaN counts as missing, a time with a zone as an instant."""
    import numpy as np

    types = list(map(type, values.tolist()))
    table = _Tags()
    tags = np.fromiter(map(table.__getitem__, types), np.uint8, len(types))
    unknown = tags == _UNKNOWN
    if unknown.any():
        row = int(unknown.argmax())
        cls = types[row]
        raise CaptureError(
            f"row {row} holds a {cls.__module__}.{cls.__qualname__}, which has no canonical form;"
            " convert the column to numbers, text, times, or lists or dicts of these"
        )
    floats = (float, np.floating)
    if any(tag == _TAG["number"] and issubclass(cls, floats) for cls, tag in table.items()):
        _retag(values, tags, kind="number", to="null", where=lambda cell: bool(cell != cell))  # noqa: PLR0124
    if _TAG["decimal"] in table.values():
        _retag(values, tags, kind="decimal", to="null", where=lambda cell: cell.is_nan())
    if _TAG["timestamp"] in table.values():
        _retag(
            values, tags, kind="timestamp", to="instant", where=lambda cell: cell.tzinfo is not None
        )
    return tags


def _retag(values: Array, tags: Array, *, kind: str, to: str, where: Callable[[Any], bool]) -> None:
    import numpy as np

    rows = np.flatnonzero(tags == _TAG[kind])
    hits = np.fromiter(map(where, values[rows].tolist()), bool, len(rows))
    tags[rows[hits]] = _TAG[to]


# ---- one kind of cells as a column -------------------------------------------------------------------
def _from_array(kind: str, values: Array, valid: Array | None, unit: str = "") -> Column:
    return compact_column(
        kind=kind,
        unit=unit,
        valid=valid,
        rows=len(values) if valid is None else len(valid),
        read=lambda start, stop: array_block(values[start:stop]),
    )


def _bools(kind: str, cells: Array, valid: Array | None) -> Column:
    return _from_array(kind, cells.astype(bool), valid)


def _numbers(kind: str, cells: Array, valid: Array | None) -> Column:
    import numpy as np

    items = cells.tolist()
    floats = [issubclass(cls, (float, np.floating)) for cls in set(map(type, items))]
    if all(floats):
        return _from_array(kind, cells.astype(np.float64), valid)
    integers = [item for item in items if not isinstance(item, (float, np.floating))]
    low, high = int(min(integers)), int(max(integers))
    if not any(floats):
        if low >= -_INT64_END and high < _INT64_END:
            return _from_array(kind, cells.astype(np.int64), valid)
        if low >= 0 and high < _UINT64_END:
            return _from_array(kind, cells.astype(np.uint64), valid)
        raise CaptureError(f"integers from {low} to {high} do not fit into 64 bits")
    if max(-low, high) > _EXACT_DOUBLE:
        raise CaptureError(
            f"holds both floats and the integer {max(-low, high)}, which no float can hold exactly"
        )
    return _from_array(kind, cells.astype(np.float64), valid)


def _texts(kind: str, cells: Array, valid: Array | None) -> Column:
    return compact_column(
        kind=kind,
        valid=valid,
        rows=len(cells) if valid is None else len(valid),
        read=lambda start, stop: text_block(cells[start:stop].tolist()),
    )


def _bytes(kind: str, cells: Array, valid: Array | None) -> Column:
    return compact_column(
        kind=kind,
        valid=valid,
        rows=len(cells) if valid is None else len(valid),
        read=lambda start, stop: bytes_block(cells[start:stop].tolist()),
    )


def _decimals(kind: str, cells: Array, valid: Array | None) -> Column:
    return compact_column(
        kind=kind,
        valid=valid,
        rows=len(cells) if valid is None else len(valid),
        read=lambda start, stop: text_block(list(map(decimal_text, cells[start:stop].tolist()))),
    )


def _dates(kind: str, cells: Array, valid: Array | None) -> Column:
    import numpy as np

    return _from_array(kind, cells.astype("datetime64[D]").view(np.int64), valid)


def _times(kind: str, cells: Array, valid: Array | None) -> Column:
    import numpy as np

    if any(cell.tzinfo is not None for cell in cells):
        raise CaptureError("a time of day with a zone names no instant; drop the zone")
    ticks = (
        ((cell.hour * 60 + cell.minute) * 60 + cell.second) * 1_000_000 + cell.microsecond
        for cell in cells
    )
    return _from_array(kind, np.fromiter(ticks, np.int64, len(cells)), valid, unit="us")


def _timestamps(kind: str, cells: Array, valid: Array | None) -> Column:
    return _ticks(kind, cells, valid, dtype="datetime64[us]", below_microsecond="nanosecond")


def _instants(kind: str, cells: Array, valid: Array | None) -> Column:
    import numpy as np

    naive = (cell.astimezone(UTC).replace(tzinfo=None) for cell in cells)
    return _timestamps(kind, np.fromiter(naive, object, len(cells)), valid)


def _durations(kind: str, cells: Array, valid: Array | None) -> Column:
    return _ticks(kind, cells, valid, dtype="timedelta64[us]", below_microsecond="nanoseconds")


def _ticks(
    kind: str, cells: Array, valid: Array | None, *, dtype: str, below_microsecond: str
) -> Column:
    """Count microseconds; nanoseconds where pandas' own cell types carry some."""
    import numpy as np

    ticks = cells.astype(dtype).view(np.int64)
    rest = np.fromiter(
        (getattr(cell, below_microsecond, 0) for cell in cells), np.int64, len(cells)
    )
    if not rest.any():
        return _from_array(kind, ticks, valid, unit="us")
    if np.abs(ticks).max() >= _INT64_END // 1_000:
        raise CaptureError("times with nanoseconds lie outside of what 64 bits can hold")
    return _from_array(kind, ticks * 1_000 + rest, valid, unit="ns")


def _lists(kind: str, cells: Array, valid: Array | None) -> Column:
    import numpy as np

    items = cells.tolist()
    lengths = np.fromiter(map(len, items), np.uint64, len(items))
    types = {(item.dtype, item.ndim) if isinstance(item, np.ndarray) else None for item in items}
    first = next(iter(types))
    if len(types) == 1 and first is not None and first[1] == 1 and first[0].kind in "biufMm":
        child = array_column(np.concatenate(items))
    else:
        plain = (item.tolist() if isinstance(item, np.ndarray) else item for item in items)
        child = cells_column(chain.from_iterable(plain), rows=int(lengths.sum()))
    return compact_column(
        kind=kind,
        valid=valid,
        rows=len(cells) if valid is None else len(valid),
        read=lambda start, stop: array_block(lengths[start:stop]),
        children=lambda: [("item", child)],
    )


def _structs(kind: str, cells: Array, valid: Array | None) -> Column:
    import numpy as np

    items: list[dict[Any, Any]] = cells.tolist()
    names = dict.fromkeys(chain.from_iterable(items))
    if not all(isinstance(name, str) for name in names):
        raise CaptureError("the keys of a dict must be text")
    rows = len(items) if valid is None else len(valid)

    def field(name: str) -> Column:
        full: Array = np.full(rows, None, object)
        full[slice(None) if valid is None else valid] = np.fromiter(
            (item.get(name) for item in items), object, len(items)
        )
        return cells_column(full, rows=rows)

    return compact_column(
        kind=kind,
        valid=valid,
        rows=rows,
        read=lambda start, stop: struct_block(stop - start),
        children=lambda: [(name, field(name)) for name in names],
    )


_CONVERT: Final[dict[str, Callable[[str, Array, Array | None], Column]]] = {
    "bool": _bools,
    "number": _numbers,
    "string": _texts,
    "bytes": _bytes,
    "date": _dates,
    "timestamp": _timestamps,
    "instant": _instants,
    "duration": _durations,
    "time": _times,
    "decimal": _decimals,
    "list": _lists,
    "struct": _structs,
}
