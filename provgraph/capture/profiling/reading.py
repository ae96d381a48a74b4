"""Any table or matrix as named columns, and some of its rows as a table of the same kind.

No library is imported: what was handed in brought its own. An index of pandas is not a column here,
though it is part of the digest: it names rows and does not describe them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.cells import cells_column, is_scalar, numpy_column, structured_columns
from provgraph.capture.tables import Column, MakeColumn
from provgraph.capture.tables_arrow import arrow_column, arrow_columns
from provgraph.capture.tables_pandas import pandas_column
from provgraph.capture.tables_polars import polars_column, polars_columns
from provgraph.errors import CaptureError
from provgraph.frozen import dataclass

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabular:
    """A table, its columns, and `take(rows)`, which makes a table of some rows."""

    rows: int
    width: int
    columns: Sequence[tuple[str, MakeColumn]]  # the first ones, at most as many as were asked for
    take: Callable[[Array], Tabular]
    label: str | None = None  # where the object itself says so


def tabular(thing: Any, *, width: int) -> Tabular | None:
    """Return a thing as a table of its first `width` columns, None where it is none.

    Raises:
        CaptureError: a table whose content cannot be read.
    """
    for cls in type(thing).__mro__:
        read = _READ.get((str(cls.__module__).partition(".")[0], cls.__name__))
        if read is not None:
            return read(thing, width)
    return None


def _pandas(frame: Any, width: int) -> Tabular:
    if len(frame.shape) == 1:
        name = "" if frame.name is None else str(frame.name)
        columns = [(name, partial(pandas_column, frame))]
    else:
        columns = [
            (str(label), partial(_pandas_at, frame, place))
            for place, label in enumerate(frame.columns[:width])
        ]
    return Tabular(
        rows=len(frame),
        width=1 if len(frame.shape) == 1 else frame.shape[1],
        columns=columns,
        take=lambda rows: _pandas(frame.iloc[rows], width),
    )


def _pandas_at(frame: Any, place: int) -> Column:
    return pandas_column(frame.iloc[:, place])


def _polars(frame: Any, width: int) -> Tabular:
    return Tabular(
        rows=len(frame),
        width=frame.width,
        columns=polars_columns(frame)[:width],
        take=lambda rows: _polars(frame[rows], width),
    )


def _polars_series(series: Any, width: int) -> Tabular:
    return Tabular(
        rows=len(series),
        width=1,
        columns=[(series.name, partial(polars_column, series))],
        take=lambda rows: _polars_series(series[rows], width),
    )


def _arrow(table: Any, width: int) -> Tabular:
    return Tabular(
        rows=table.num_rows,
        width=table.num_columns,
        columns=arrow_columns(table)[:width],
        take=lambda rows: _arrow(table.take(rows), width),
    )


def _arrow_array(array: Any, width: int) -> Tabular:
    return Tabular(
        rows=len(array),
        width=1,
        columns=[("", partial(arrow_column, array))],
        take=lambda rows: _arrow_array(array.take(rows), width),
    )


def _numpy(array: Any, width: int) -> Tabular | None:
    if array.ndim == 0:
        return None
    if array.dtype.names is not None:
        if array.ndim != 1:
            return None
        columns = structured_columns(array)
        names = len(columns)
        return Tabular(
            rows=len(array),
            width=names,
            columns=columns[:width],
            take=lambda rows: _some(_numpy(array[rows], width)),
        )
    if array.dtype.kind == "c":
        raise CaptureError("complex numbers have no order to profile; record their parts")
    if array.dtype.kind == "V":
        raise CaptureError(f"elements of type {array.dtype} are not profiled")
    if array.ndim > 2:  # images and the like: each place of one is a column
        array = array.reshape(len(array), -1)
    if array.ndim == 1:
        columns = [("", partial(numpy_column, array))]
    else:
        columns = [
            (str(place), partial(_numpy_at, array, place))
            for place in range(min(width, array.shape[1]))
        ]
    return Tabular(
        rows=len(array),
        width=1 if array.ndim == 1 else array.shape[1],
        columns=columns,
        take=lambda rows: _some(_numpy(array[rows], width)),
    )


def _numpy_at(array: Any, place: int) -> Column:
    import numpy as np

    return numpy_column(np.ascontiguousarray(array[:, place]))


def _sparse(matrix: Any, width: int) -> Tabular | None:
    if len(matrix.shape) != 2:
        return None
    by_row = matrix.tocsr()
    by_column = by_row[:, : min(width, matrix.shape[1])].tocsc()
    return Tabular(
        rows=matrix.shape[0],
        width=matrix.shape[1],
        columns=[
            (str(place), partial(_sparse_at, by_column, place))
            for place in range(by_column.shape[1])
        ],
        take=lambda rows: _some(_sparse(by_row[rows], width)),
    )


def _sparse_at(by_column: Any, place: int) -> Column:
    return numpy_column(by_column[:, [place]].toarray().reshape(-1))


def _torch(tensor: Any, width: int) -> Tabular | None:
    plain = tensor.detach().cpu()
    if str(plain.dtype) == "torch.bfloat16" or "float8" in str(plain.dtype):
        plain = plain.float()
    return _numpy(plain.numpy(), width)


def _as_numpy(thing: Any, width: int) -> Tabular | None:
    import numpy as np

    return _numpy(np.asarray(thing), width)


def _list(values: Any, width: int) -> Tabular | None:
    if not values:
        return None
    types = set(map(type, values))
    if types == {dict}:
        return _records(values, width)
    if not all(map(is_scalar, types)):
        return None
    return _columns([("", values)], len(values), width)


def _records(values: Any, width: int) -> Tabular:
    names = dict.fromkeys(itertools.chain.from_iterable(values))
    columns = [
        (str(name), [value.get(name) for value in values])
        for name in itertools.islice(names, width)
    ]
    return _columns(columns, len(values), len(names))


def _mapping(mapping: Any, width: int) -> Tabular | None:
    """Read a dict of columns: all of one length."""
    columns: list[tuple[str, Any]] = []
    rows = None
    for name, values in mapping.items():
        if not isinstance(name, str) or not hasattr(values, "__len__"):
            return None
        one = _one_column(values)
        if one is None or rows not in {None, len(values)}:
            return None
        rows = len(values)
        columns.append((name, one))
    if rows is None:
        return None
    return _columns(columns[:width], rows, len(columns))


def _one_column(values: Any) -> Any | None:
    import numpy as np

    if isinstance(values, list):
        plain = (list, tuple, dict)
        types = set(map(type, values))
        return values if all(is_scalar(cls) or issubclass(cls, plain) for cls in types) else None
    if isinstance(values, np.ndarray):
        return values if values.ndim == 1 and values.dtype.names is None else None
    if type(values).__name__ == "Series" and hasattr(values, "to_numpy"):
        return values.to_numpy()
    return None


def _columns(columns: list[tuple[str, Any]], rows: int, width: int) -> Tabular:
    import numpy as np

    def taken(places: Array) -> Tabular:
        return _columns(
            [
                (
                    name,
                    values[places]
                    if isinstance(values, np.ndarray)
                    else [values[place] for place in places.tolist()],
                )
                for name, values in columns
            ],
            len(places),
            width,
        )

    return Tabular(
        rows=rows,
        width=width,
        columns=[(name, partial(_column, values, rows)) for name, values in columns],
        take=taken,
    )


def _column(values: Any, rows: int) -> Column:
    import numpy as np

    if isinstance(values, np.ndarray):
        return numpy_column(values)
    return cells_column(values, rows=rows)


def _bunch(bunch: Any, width: int) -> Tabular | None:
    """Read a scikit-learn data set: its features with their names, and the target, which comes first."""
    data, target = bunch.get("data"), bunch.get("target")
    found = None if data is None else tabular(data, width=width)
    if found is None or len(getattr(target, "shape", ())) != 1 or len(target) != found.rows:
        return found
    names = list(bunch.get("feature_names") or ())
    named = list(found.columns)
    if len(names) == found.width:
        named = [(str(names[at]), make) for at, (_, make) in enumerate(named)]
    goal = tabular(target, width=1)
    if goal is None:
        return found

    def taken(rows: Array) -> Tabular:
        some = {name: bunch[name] for name in bunch if name == "feature_names"}
        some["target"] = target.iloc[rows] if hasattr(target, "iloc") else target[rows]
        some["data"] = data.iloc[rows] if hasattr(data, "iloc") else data[rows]
        return _some(_bunch(some, width))

    return Tabular(
        rows=found.rows,
        width=found.width + 1,
        columns=[("target", goal.columns[0][1]), *named][:width],
        take=taken,
        label="target",
    )


def _some(found: Tabular | None) -> Tabular:
    assert found is not None  # rows of a table are a table
    return found


_Read = Callable[[Any, int], Tabular | None]

_READ: Final[dict[tuple[str, str], _Read]] = {
    ("pandas", "DataFrame"): _pandas,
    ("pandas", "Series"): _pandas,
    ("polars", "DataFrame"): _polars,
    ("polars", "Series"): _polars_series,
    ("pyarrow", "Table"): _arrow,
    ("pyarrow", "RecordBatch"): _arrow,
    ("pyarrow", "ChunkedArray"): _arrow_array,
    ("pyarrow", "Array"): _arrow_array,
    ("numpy", "ndarray"): _numpy,
    ("scipy", "_spbase"): _sparse,
    ("torch", "Tensor"): _torch,
    ("jaxlib", "ArrayImpl"): _as_numpy,
    ("tensorflow", "EagerTensor"): _as_numpy,
    ("sklearn", "Bunch"): _bunch,
    ("builtins", "list"): _list,
    ("builtins", "dict"): _mapping,
}
