"""polars DataFrames and Series as columns in the canonical form of `.tables`.

polars is not imported: each column is read with its own methods, in slices that copy nothing. Texts
are joined and measured by polars itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from provgraph.capture.cells import bytes_block, cells_column, decimal_text, text_block
from provgraph.capture.tables import Block, Column, MakeColumn, array_block, struct_block
from provgraph.errors import CaptureError


def polars_columns(frame: Any) -> list[tuple[str, MakeColumn]]:
    """Return the columns of a polars DataFrame."""
    return [(series.name, partial(polars_column, series)) for series in frame.get_columns()]


def polars_column(series: Any) -> Column:
    """Return a polars Series as a column.

    Raises:
        CaptureError: a type or an object that has no canonical form.
    """
    polars = sys.modules["polars"]
    dtype = series.dtype
    family = dtype.base_type().__name__
    if family in {"Categorical", "Enum"}:
        return _column(series, "string", lambda part: _text_block(part.cast(polars.String)))
    if family in {"Int128", "UInt128"}:
        return polars_column(series.cast(polars.Int64 if family == "Int128" else polars.UInt64))
    if family == "Object":
        return cells_column(series.to_list(), rows=len(series))
    if family == "Array":
        return polars_column(series.arr.to_list())
    if family == "List":
        # explode would make a missing item of an empty list, so those are left out first.
        items = series.filter(series.list.len() > 0).explode()
        return _column(
            series,
            "list",
            lambda part: array_block(part.list.len().to_numpy()),
            children=lambda: [("item", polars_column(items))],
        )
    if family == "Struct":
        names = series.struct.fields
        return _column(
            series,
            "struct",
            lambda part: struct_block(len(part)),
            children=lambda: [(name, polars_column(series.struct.field(name))) for name in names],
        )
    if family not in _FAMILIES:
        raise CaptureError(f"polars type {dtype} has no canonical form; convert the column")
    kind, read = _FAMILIES[family]
    if family == "Datetime" and dtype.time_zone is not None:
        kind = "instant"
    unit = "ns" if family == "Time" else getattr(dtype, "time_unit", None) or ""
    return _column(series, kind, read, unit=unit)


def _column(
    series: Any,
    kind: str,
    read: Callable[[Any], Block],
    *,
    unit: str = "",
    children: Callable[[], list[tuple[str, Column]]] = list,
) -> Column:
    """Return a column; `read` makes a block of a part of the series that has no missing cells."""

    def read_cells(start: int, stop: int) -> Block:
        part = series.slice(start, stop - start)
        if not part.null_count():
            return read(part)
        block = read(part.drop_nulls())
        valid = part.is_not_null().to_numpy()
        return Block(rows=stop - start, valid=valid, values=block.values, data=block.data)

    return Column(kind=kind, unit=unit, rows=len(series), read=read_cells, children=children)


def _text_block(part: Any) -> Block:
    joined = part.str.join("").item() if len(part) else ""
    return Block(rows=len(part), values=part.str.len_bytes().to_numpy(), data=joined.encode())


def _numbers(part: Any) -> Block:
    return array_block(part.to_physical().to_numpy())


def _decimals(part: Any) -> Block:
    return text_block(list(map(decimal_text, part.to_list())))


_FAMILIES: Final[dict[str, tuple[str, Callable[[Any], Block]]]] = {
    "Null": ("null", lambda part: struct_block(len(part))),
    "Boolean": ("bool", _numbers),
    "String": ("string", _text_block),
    "Binary": ("bytes", lambda part: bytes_block(part.to_list())),
    "Date": ("date", _numbers),
    "Datetime": ("timestamp", _numbers),
    "Duration": ("duration", _numbers),
    "Time": ("time", _numbers),
    "Decimal": ("decimal", _decimals),
} | {
    f"{sign}{bits}": ("number", _numbers)
    for sign, widths in (
        ("Int", (8, 16, 32, 64)),
        ("UInt", (8, 16, 32, 64)),
        ("Float", (16, 32, 64)),
    )
    for bits in widths
}
