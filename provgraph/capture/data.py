"""Objects in memory digested by content: tables, arrays, tensors, bytes, and collections of them.

An object is known by the names of its classes, so no library is imported that the caller has not
loaded already. Digests are of the content and not of the object: a table has the same one in
pandas, polars and Arrow (`table-v1`), an array in NumPy, PyTorch, JAX and TensorFlow (`array-v1`);
docs/digests.md defines them. Bytes have the `sha256` of a file that holds them.

What it does not do: pickle. Two pickles of one fitted model differ, so a model that is no plain
set of weights is not known here (None), and its saved file is what to record.

Units: sizes are bytes of the canonical form, so that equal content states equal sizes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from provgraph.capture import arrays
from provgraph.capture.cells import cells_column, is_scalar, structured_columns
from provgraph.capture.tables import MakeColumn, digest_table
from provgraph.capture.tables_arrow import arrow_column, arrow_columns
from provgraph.capture.tables_pandas import pandas_columns, pandas_index_columns
from provgraph.capture.tables_polars import polars_column, polars_columns
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import CaptureError
from provgraph.frozen import dataclass, replace

# Deeper nesting is a data structure of its own, or a list that holds itself.
_MAX_DEPTH: Final = 16
# Members named in a description.
_NAMED_MEMBERS: Final = 6
# numpy kinds of cells whose dtype names only how they are stored.
_CELL_KINDS: Final = {"U": "text", "T": "text", "S": "bytes", "O": "objects"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is known of an object in memory."""

    kind: str  # dataset | model | file
    digest: Digest
    rows: int | None = None
    columns: int | None = None
    size_bytes: int | None = None
    media_type: str | None = None
    description: str


def describe(obj: Any) -> Described | None:
    """Digest an object in memory by content; None when its kind is not known here.

    Raises:
        CaptureError: a known kind of object with content that has no canonical form, or that is
            not there yet (lazy frames, traced arrays). The message says what to do.
    """
    try:
        return _describe(obj, depth=0)
    except CaptureError as error:
        raise CaptureError(f"cannot digest a {describe_object(obj)}: {error}") from error
    except Exception as error:
        # Any library may fail in its own way (a deleted buffer, a lost device, no memory).
        reason = f"{type(error).__name__}: {error}"
        raise CaptureError(f"cannot digest a {describe_object(obj)}: {reason}") from error


def describe_object(obj: Any) -> str:
    """Name an object by its class: `sklearn.ensemble.RandomForestClassifier object`.

    The module named is the outermost one that has the class, which is where users find it.
    """
    cls = type(obj)
    parts = str(cls.__module__).split(".")
    for length in range(1, len(parts)):
        # Not getattr: a lazy module would import what is asked for.
        module = sys.modules.get(".".join(parts[:length]))
        if module is not None and vars(module).get(cls.__qualname__) is cls:
            parts = parts[:length]
            break
    public = [part for part in parts if not part.startswith("_") and part != "builtins"]
    return f"{'.'.join([*public, cls.__qualname__])} object"


def _describe(obj: Any, *, depth: int) -> Described | None:
    if depth > _MAX_DEPTH:
        raise CaptureError(f"nested more than {_MAX_DEPTH} deep")
    for cls in type(obj).__mro__:
        key = (str(cls.__module__).partition(".")[0], cls.__name__)
        if reason := _NOT_THERE.get(key):
            raise CaptureError(reason)
        if key in _CONTAINERS:
            return _CONTAINERS[key](obj, depth)
        if key in _KNOWN:
            return _KNOWN[key](obj)
    return None


# ---- tables ----------------------------------------------------------------------------------------
def _table(columns: list[tuple[str, MakeColumn]], rows: int, description: str) -> Described:
    digest, size_bytes = digest_table(columns, rows=rows)
    return Described(
        kind="dataset",
        digest=digest,
        rows=rows,
        columns=len(columns),
        size_bytes=size_bytes,
        description=description,
    )


def _frame(
    library: str, read: Callable[[Any], list[tuple[str, MakeColumn]]]
) -> Callable[[Any], Described]:
    def describe_frame(frame: Any) -> Described:
        rows, width = frame.shape
        title = f"{library} {type(frame).__name__}, {rows:,} rows x {width:,} columns"
        return _table(read(frame), rows, title)

    return describe_frame


def _series(
    library: str, read: Callable[[Any], list[tuple[str, MakeColumn]]]
) -> Callable[[Any], Described]:
    def describe_series(series: Any) -> Described:
        rows = len(series)
        return _table(read(series), rows, f"{library} {type(series).__name__}, {rows:,} rows")

    return describe_series


# ---- arrays ----------------------------------------------------------------------------------------
def _array(
    title: str, kind: str, shape: tuple[int, ...], digested: tuple[Digest, int]
) -> Described:
    digest, size_bytes = digested
    sizes = " x ".join(f"{size:,}" for size in shape) or "one value"
    return Described(
        kind="dataset",
        digest=digest,
        rows=shape[0] if shape else None,
        columns=shape[1] if len(shape) == 2 else None,
        size_bytes=size_bytes,
        description=f"{title}, {kind}, {sizes}",
    )


def _numpy(array: Any, title: str = "NumPy array") -> Described:
    if array.dtype.names is not None and array.ndim == 1:
        columns = structured_columns(array)
        title = f"NumPy structured array, {len(array):,} rows x {len(columns):,} columns"
        return _table(columns, len(array), title)
    kind = _CELL_KINDS.get(array.dtype.kind, array.dtype.name)
    return _array(title, kind, array.shape, arrays.digest_array(array))


def _to_numpy(title: str, convert: Callable[[Any], Any]) -> Callable[[Any], Described]:
    return lambda obj: _numpy(convert(obj), title)


def _as_numpy(obj: Any) -> Any:
    import numpy as np

    return np.asarray(obj)


def _torch(tensor: Any) -> Described:
    kind = str(tensor.dtype).removeprefix("torch.")
    return _array("PyTorch tensor", kind, tuple(tensor.shape), arrays.digest_tensor(tensor))


def _sparse(matrix: Any) -> Described:
    digested = arrays.digest_sparse(matrix)
    return _array("SciPy sparse matrix", matrix.dtype.name, matrix.shape, digested)


def _bytes(data: Any) -> Described:
    plain = data if isinstance(data, bytes) else bytes(data)
    return Described(
        kind="file",
        digest=sha256_bytes(plain),
        size_bytes=len(plain),
        description=f"{type(data).__name__}, {len(plain):,} bytes",
    )


# ---- collections -------------------------------------------------------------------------------------
def _members(title: str, members: Iterable[tuple[str | None, Any]], depth: int) -> Described | None:
    """Digest a collection by its members' digests; None when the first is of no known kind.

    A member has a name in a mapping and None in a sequence. `collection-v1`, docs/digests.md.
    """
    found: list[tuple[str | None, Described]] = []
    for position, (name, member) in enumerate(members):
        described = _describe(member, depth=depth + 1)
        if described is None:
            if not found:
                return None
            where = f"member {position}" if name is None else f"member {name[:100]!r}"
            raise CaptureError(
                f"{where} is a {describe_object(member)}, which has no digest by content;"
                " record the others on their own"
            )
        found.append((name, described))
    if not found:
        return None
    found.sort(key=lambda item: (item[0] or "").encode("utf-8", "surrogatepass"))
    hasher = hashlib.sha256(b"provgraph collection-v1\n")
    for name, described in found:
        key = b"-"
        if name is not None:
            label = name.encode("utf-8", "surrogatepass")
            key = f"{len(label)} ".encode() + label
        hasher.update(key + f" {described.digest}\n".encode())
    rows = {described.rows for _, described in found}
    return Described(
        kind="dataset",
        digest=Digest("collection-v1", hasher.hexdigest()),
        rows=rows.pop() if len(rows) == 1 else None,
        size_bytes=sum(described.size_bytes or 0 for _, described in found),
        description=_list_members(title, found),
    )


def _list_members(title: str, found: list[tuple[str | None, Described]]) -> str:
    named = [
        described.description if name is None else f"{name[:40]}: {described.description}"
        for name, described in found[:_NAMED_MEMBERS]
    ]
    if len(found) > _NAMED_MEMBERS:
        named.append(f"and {len(found) - _NAMED_MEMBERS:,} more")
    return f"{title} of {len(found):,}: {'; '.join(named)}"


def _sequence(sequence: Any, depth: int) -> Described | None:
    """Digest a list of plain values or records as a column, any other list or tuple by member."""
    types = set(map(type, sequence))
    nested = (list, tuple, dict) if isinstance(sequence, list) else ()
    plain = all(issubclass(cls, nested) or is_scalar(cls) for cls in types)
    if plain and types - {type(None)}:
        column = partial(cells_column, sequence, rows=len(sequence))
        title = f"{type(sequence).__name__} of {len(sequence):,} values"
        return _table([("", column)], len(sequence), title)
    return _members(type(sequence).__name__, ((None, member) for member in sequence), depth)


def _mapping(mapping: Any, depth: int) -> Described | None:
    for name in mapping:
        if not isinstance(name, str):
            raise CaptureError(f"its keys must be text, found {name!r:.100}")
    return _members(type(mapping).__name__, mapping.items(), depth)


def _bunch(bunch: Any, depth: int) -> Described | None:
    """Digest what of a scikit-learn data set is data, and not its description and file names."""
    names = ("data", "target", "feature_names", "target_names", "frame")
    data = [(name, bunch[name]) for name in names if bunch.get(name) is not None]
    found = _members("scikit-learn Bunch", data, depth)
    return None if found is None else replace(found, rows=len(bunch["data"]))


def _masked(array: Any, depth: int) -> Described | None:
    """Digest a masked array by its mask and what it leaves; what lies below is not content."""
    import numpy as np

    visible = array.filled(array.dtype.type())
    members = [("data", visible), ("mask", np.ma.getmaskarray(array))]
    return _members("NumPy masked array", members, depth)


def _module(module: Any, depth: int) -> Described | None:
    """Digest the weights of a PyTorch module. Its class is not part of them."""
    weights = module.state_dict()
    found = _mapping(weights, depth)
    if found is None:
        return None
    count = sum(weight.numel() for weight in weights.values())
    name = describe_object(module).removesuffix(" object")
    return Described(
        kind="model",
        digest=found.digest,
        size_bytes=found.size_bytes,
        description=f"PyTorch model {name}, {count:,} weights in {len(weights):,} tensors",
    )


# ---- what is known, by top-level module and class name ---------------------------------------------
_KNOWN: Final[dict[tuple[str, str], Callable[[Any], Described]]] = {
    ("pandas", "DataFrame"): _frame("pandas", pandas_columns),
    ("pandas", "Series"): _series("pandas", pandas_columns),
    ("pandas", "Index"): _series("pandas", pandas_index_columns),
    ("polars", "DataFrame"): _frame("polars", polars_columns),
    ("polars", "Series"): _series("polars", lambda obj: [(obj.name, partial(polars_column, obj))]),
    ("pyarrow", "Table"): _frame("Arrow", arrow_columns),
    ("pyarrow", "RecordBatch"): _frame("Arrow", arrow_columns),
    ("pyarrow", "ChunkedArray"): _series("Arrow", lambda obj: [("", partial(arrow_column, obj))]),
    ("pyarrow", "Array"): _series("Arrow", lambda obj: [("", partial(arrow_column, obj))]),
    ("numpy", "ndarray"): _numpy,
    ("scipy", "_spbase"): _sparse,
    ("torch", "Tensor"): _torch,
    ("jaxlib", "ArrayImpl"): _to_numpy("JAX array", _as_numpy),
    ("tensorflow", "EagerTensor"): _to_numpy("TensorFlow tensor", lambda obj: obj.numpy()),
    ("tensorflow", "BaseResourceVariable"): _to_numpy(
        "TensorFlow variable", lambda obj: obj.numpy()
    ),
    ("cupy", "ndarray"): _to_numpy("CuPy array", lambda obj: obj.get()),
    ("builtins", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytes,
    ("builtins", "memoryview"): _bytes,
}

_CONTAINERS: Final[dict[tuple[str, str], Callable[[Any, int], Described | None]]] = {
    ("builtins", "list"): _sequence,
    ("builtins", "tuple"): _sequence,
    ("builtins", "dict"): _mapping,
    ("sklearn", "Bunch"): _bunch,
    ("numpy", "MaskedArray"): _masked,
    ("torch", "Module"): _module,
}

# Known, but their content is not there: why, and what to do.
_NOT_THERE: Final = {
    ("polars", "LazyFrame"): "it is lazy; hand over .collect()",
    ("dask", "DataFrame"): "it is lazy; hand over .compute(), or record the files it reads",
    ("dask", "FrameBase"): "it is lazy; hand over .compute(), or record the files it reads",
    ("dask", "Array"): "it is lazy; hand over .compute(), or record the files it reads",
    ("pyspark", "DataFrame"): "it is lazy; record the files it reads, or hand over .toPandas()",
    ("ibis", "Expr"): "it is lazy; hand over .to_pyarrow()",
    ("duckdb", "DuckDBPyRelation"): "it is lazy; hand over .arrow()",
    ("_duckdb", "DuckDBPyRelation"): "it is lazy; hand over .arrow()",
    ("pyarrow", "Dataset"): "it is lazy; hand over .to_table(), or record its files",
    ("pyarrow", "Scanner"): "it is lazy; hand over .to_table(), or record its files",
    ("pyarrow", "RecordBatchReader"): "reading it would use it up; hand over .read_all()",
    ("tensorflow", "DatasetV2"): "reading it would run the pipeline; record the files it reads",
    ("tensorflow", "SymbolicTensor"): "it is traced and has no values; record it outside of it",
    ("jax", "Tracer"): "it is traced and has no values; record it outside of jit",
    ("torch", "DataLoader"): "reading it would run the pipeline; record the files it reads",
    ("numpy", "NpzFile"): "it reads on demand; record its file",
    ("builtins", "generator"): "reading it would use it up; record what it reads",
}
