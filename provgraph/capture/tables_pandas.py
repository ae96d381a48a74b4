"""pandas DataFrames, Series and indexes as columns in the canonical form of `.tables`.

pandas is not imported: each column is read with its own methods, block by block. Extension dtypes
are told apart by the names of their classes, so that pandas 2 and 3 read alike.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.cells import cells_column, numpy_column
from provgraph.capture.tables import Block, Column, MakeColumn, array_block, struct_block
from provgraph.capture.tables_arrow import arrow_column
from provgraph.errors import CaptureError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

# What pandas itself calls an index without a name when it writes Parquet or Arrow.
_INDEX_NAME: Final = "__index_level_{}__"


def pandas_columns(frame: Any) -> list[tuple[str, MakeColumn]]:
    """Return a DataFrame's or Series' columns, then those of its index unless that only counts rows.

    The index comes last because that is where pandas itself puts it in Parquet and Arrow, so a
    frame and its Parquet file read by another library are the same table.
    """
    columns: list[tuple[str, MakeColumn]]
    if len(frame.shape) == 1:
        columns = [("" if frame.name is None else str(frame.name), partial(pandas_column, frame))]
    else:
        columns = [
            (str(label), partial(_column_at, frame, position))
            for position, label in enumerate(frame.columns)
        ]
    if not _only_counts_rows(frame.index):
        columns += pandas_index_columns(frame.index)
    return columns


def pandas_index_columns(index: Any) -> list[tuple[str, MakeColumn]]:
    """Return the levels of an Index as columns."""
    return [
        (
            _INDEX_NAME.format(level) if name is None else str(name),
            partial(_level_at, index, level),
        )
        for level, name in enumerate(index.names)
    ]


def pandas_column(series: Any) -> Column:
    """Return a pandas Series (without its index) as a column.

    Raises:
        CaptureError: a dtype or an object that has no canonical form.
    """
    dtype = series.dtype
    family = type(dtype).__name__
    if hasattr(dtype, "newbyteorder"):  # a numpy dtype, not an extension of pandas
        return numpy_column(series.to_numpy())
    if family == "StringDtype" and dtype.storage != "pyarrow":
        return cells_column(series.to_numpy(object), rows=len(series))
    if family in {"StringDtype", "ArrowDtype"}:
        return arrow_column(series.array.__arrow_array__())
    if family == "DatetimeTZDtype":
        return Column(
            kind="instant",
            unit=dtype.unit,
            rows=len(series),
            read=lambda start, stop: array_block(
                series.iloc[start:stop].dt.tz_convert(None).to_numpy()
            ),
        )
    if family == "CategoricalDtype":
        return _categorical(series)
    if family == "SparseDtype":
        return pandas_column(series.sparse.to_dense())
    if family == "IntervalDtype":
        return _intervals(series.array, missing=series.isna().to_numpy())
    if hasattr(dtype, "numpy_dtype"):  # Int64, Float32, boolean and the like: values and a mask
        return Column(
            kind="bool" if dtype.kind == "b" else "number",
            rows=len(series),
            read=lambda start, stop: _masked_block(series.array[start:stop]),
        )
    raise CaptureError(f"pandas dtype {dtype} has no canonical form; convert the column")


def _column_at(frame: Any, position: int) -> Column:
    return pandas_column(frame.iloc[:, position])


def _level_at(index: Any, level: int) -> Column:
    return pandas_column(index.get_level_values(level).to_series())


def _masked_block(array: Any) -> Block:
    missing = array.isna()
    values = array[~missing].to_numpy(dtype=array.dtype.numpy_dtype)
    return Block(rows=len(array), valid=~missing if missing.any() else None, values=values)


def _categorical(series: Any) -> Column:
    """Read categories as the values they stand for, one block at a time."""
    categories = series.dtype.categories
    inner = pandas_column(categories.to_series())
    codes = series.cat.codes.to_numpy()
    if inner.kind == "struct":  # what pd.cut returns
        return _intervals(categories.take(codes).array, missing=codes < 0)
    if inner.kind == "mixed":  # of which kind the cells are is not decided by a block alone
        return pandas_column(series.astype(object))

    def read(start: int, stop: int) -> Block:
        valid = codes[start:stop] >= 0
        part = pandas_column(categories.take(codes[start:stop][valid]).to_series())
        block = part.read(0, part.rows)
        return Block(rows=stop - start, valid=valid, values=block.values, data=block.data)

    return Column(kind=inner.kind, unit=inner.unit, rows=len(series), read=read)


def _intervals(array: Any, *, missing: Array) -> Column:
    """Read an IntervalArray as structs of its two sides and which of them belongs to it."""
    there: Array = ~missing
    sides = [
        (name, pandas_column(side.to_series().where(there)))
        for name, side in (("left", array.left), ("right", array.right))
    ]
    closed = cells_column([array.closed if cell else None for cell in there], rows=len(there))
    return Column(
        kind="struct",
        rows=len(there),
        read=lambda start, stop: struct_block(stop - start, valid=there[start:stop]),
        children=lambda: [*sides, ("closed", closed)],
    )


def _only_counts_rows(index: Any) -> bool:
    """Whether an index is nameless and 0, 1, 2…: then it says nothing that the rows do not."""
    import numpy as np

    if index.nlevels > 1 or index.name is not None or index.dtype != "int64":
        return False
    if type(index).__name__ == "RangeIndex":
        return bool(len(index) == 0 or (index.start == 0 and index.step == 1))
    return bool(np.array_equal(index.to_numpy(), np.arange(len(index))))
