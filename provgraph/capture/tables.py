"""The canonical form of a table and its digest, `table-v1` (docs/digests.md says it to the byte).

A table is its column names, their order and its cells. How the cells are stored is not part of
it: chunks, dictionaries, 32 or 64 bits, nullable or not, pandas, polars or arrow. So the class in
which a column is written follows from its values: numbers that are all whole are written as
integers (a CSV column `1,,3` is float64 in pandas and Int64 in polars), NaN is a missing cell
(pandas cannot tell them apart), and a column without a single value is `null` whatever its type.

Nothing here knows a data frame library: `provgraph.capture.frames` and `.cells` turn theirs into
`Column`, read block by block, so that no copy of a whole table is made. numpy is imported inside
functions; importing this module is cheap.

Units: block positions and lengths are cells, `size_bytes` counts canonical bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from provgraph.digests import Digest
from provgraph.errors import CaptureError
from provgraph.frozen import dataclass, replace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

# Part of the format: cells are written in blocks of this many, each with its own bitmap, so that
# a column is hashed in one pass with bounded memory. Divisible by 8.
BLOCK_ROWS: Final = 65_536

TEMPORAL: Final = frozenset({"timestamp", "instant", "duration", "time"})

# Kinds of cells and their tags in a `mixed` column. The order is part of the format.
KINDS: Final = (
    "null",
    "bool",
    "number",
    "string",
    "bytes",
    "date",
    "timestamp",  # wall clock without a zone
    "instant",  # a point in time, UTC
    "duration",
    "time",  # of day
    "decimal",
    "list",
    "struct",
    "mixed",
)

_PER_MICROSECOND: Final = {"s": -1_000_000, "ms": -1_000, "us": 1, "ns": 1_000}
_INT64_END: Final = 2**63
_UINT64_END: Final = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Up to BLOCK_ROWS cells: which of them are there, and the values of those only.

    `values` are numbers; booleans; days; ticks of the column's unit; the lengths of strings, bytes
    and lists; tags of a mixed column. `data` holds the bytes that the lengths are of.
    """

    rows: int
    valid: Array | None = None  # one bool per cell; None: all are there
    values: Array
    data: bytes | memoryview = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its kind, and a reader of its blocks.

    `read(start, stop)` is called with a start that is a multiple of BLOCK_ROWS. `children` are a
    list's items (one column named `item`), a struct's fields (each as long as the struct), or the
    parts of a mixed column, each named by its kind.
    """

    kind: str
    rows: int
    read: Callable[[int, int], Block]
    unit: str = ""  # of temporal kinds: s, ms, us or ns
    children: Callable[[], Sequence[tuple[str, Column]]] = tuple

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks in order."""
        for start in range(0, self.rows, BLOCK_ROWS):
            yield self.read(start, min(start + BLOCK_ROWS, self.rows))


MakeColumn = Callable[[], Column]


def digest_table(columns: Sequence[tuple[str, MakeColumn]], *, rows: int) -> tuple[Digest, int]:
    """Return the `table-v1` digest of columns with their names, and the canonical size in bytes.

    Each column is made when its turn comes, so that what it needs is freed before the next.

    Raises:
        CaptureError: a value that the canonical form has no place for, with the column's name.
    """
    hasher = hashlib.sha256(b"provgraph table-v1\n")
    hasher.update(_u64(len(columns)) + _u64(rows))
    size_bytes = 0
    for name, make in columns:
        try:
            value, size = _digest_column(make())
        except Exception as error:
            reason = str(error)
            if not isinstance(error, CaptureError):
                reason = f"{type(error).__name__}: {error}"
            raise CaptureError(f"column {name[:100]!r}: {reason}" if name else reason) from error
        hasher.update(_name(name) + value)
        size_bytes += size
    return Digest("table-v1", hasher.hexdigest()), size_bytes


def array_column(values: Array) -> Column:
    """Return a one-dimensional numpy array of numbers or times as a column.

    Raises:
        CaptureError: another dtype. Texts and objects go to `provgraph.capture.cells`.
    """
    import numpy as np

    dtype = values.dtype
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        kind, unit = "number", ""
    elif dtype.kind == "b":
        kind, unit = "bool", ""
    elif dtype.kind in "Mm":
        unit = np.datetime_data(dtype)[0]
        kind = "timestamp" if dtype.kind == "M" else "duration"
        if unit == "D" and dtype.kind == "M":
            kind = "date"
        elif unit in {"W", "D", "h", "m"}:
            values, unit = values.astype(f"{dtype.kind}8[s]"), "s"
        elif unit not in _PER_MICROSECOND or np.datetime_data(dtype)[1] != 1:
            raise CaptureError(f"{dtype} has no fixed length in seconds; convert it to [us]")
    else:
        raise CaptureError(f"cells of type {dtype} have no canonical form; convert them")
    return Column(
        kind=kind,
        unit=unit,
        rows=len(values),
        read=lambda start, stop: array_block(values[start:stop]),
    )


def array_block(values: Array) -> Block:
    """Return a slice of a numpy array as a block; NaT is a missing cell."""
    import numpy as np

    if values.dtype.kind not in "Mm":
        return Block(rows=len(values), values=values)
    missing = np.isnat(values)
    ticks = values.astype(values.dtype.newbyteorder("="), copy=False).view(np.int64)
    if not missing.any():
        return Block(rows=len(values), values=ticks)
    return Block(rows=len(values), valid=~missing, values=ticks[~missing])


def compact_column(
    *,
    kind: str,
    valid: Array | None,
    rows: int,
    read: Callable[[int, int], Block],
    unit: str = "",
    children: Callable[[], Sequence[tuple[str, Column]]] = tuple,
) -> Column:
    """Return a column over values that are already without their gaps.

    `read(start, stop)` here counts the values that are there, not the cells.
    """
    import numpy as np

    if valid is None:
        return Column(kind=kind, unit=unit, rows=rows, read=read, children=children)
    counts = np.add.reduceat(valid, np.arange(0, rows, BLOCK_ROWS), dtype=np.int64)
    starts = np.concatenate(([0], np.cumsum(counts)))

    def read_cells(start: int, stop: int) -> Block:
        number = start // BLOCK_ROWS
        block = read(int(starts[number]), int(starts[number + 1]))
        return replace(block, rows=stop - start, valid=valid[start:stop])

    return Column(kind=kind, unit=unit, rows=rows, read=read_cells, children=children)


def struct_block(rows: int, *, valid: Array | None = None) -> Block:
    """Return a block of cells that hold no value of their own: structs, and missing cells."""
    import numpy as np

    there = rows if valid is None else int(np.count_nonzero(valid))
    return Block(rows=rows, valid=valid, values=np.zeros(there, np.uint8))


def null_column(rows: int) -> Column:
    """Return a column in which every cell is missing."""
    import numpy as np

    return Column(
        kind="null",
        rows=rows,
        read=lambda start, stop: struct_block(stop - start, valid=np.zeros(stop - start, bool)),
    )


def join_blocks(blocks: Sequence[Block]) -> Block:
    """Return several blocks, one after the other, as one."""
    import numpy as np

    if len(blocks) == 1:
        return blocks[0]
    return Block(
        rows=sum(block.rows for block in blocks),
        valid=np.concatenate(
            [np.ones(block.rows, bool) if block.valid is None else block.valid for block in blocks]
        ),
        values=np.concatenate([block.values for block in blocks]),
        data=b"".join(block.data for block in blocks),
    )


# ---- writing -------------------------------------------------------------------------------------
def _digest_column(column: Column) -> tuple[bytes, int]:
    """Return (SHA-256 of the column, canonical bytes in it)."""
    written_as = _class_of(column)
    hasher = hashlib.sha256(f"{written_as}\n".encode())
    hasher.update(_u64(column.rows))
    if written_as == "null":
        return hasher.digest(), 0
    size_bytes = 0
    for block in column.blocks():
        whole = _without_nan(block) if column.kind == "number" else block
        values = _values(whole, written_as, column.unit)
        for part in (_bitmap(whole).data, values.data, memoryview(whole.data)):
            hasher.update(part)
            size_bytes += part.nbytes
    children = column.children()
    hasher.update(_u64(len(children)))
    for name, child in children:
        value, size = _digest_column(child)
        hasher.update(_name(name) + value)
        size_bytes += size
    return hasher.digest(), size_bytes


def _class_of(column: Column) -> str:
    """Decide in which class a column is written, from its values alone."""
    if column.kind == "number":
        return _class_of_numbers(column)
    seen = False
    for block in column.blocks():
        if not len(block.values):
            continue
        if column.kind not in TEMPORAL:
            return column.kind
        seen = True
        if column.unit == "ns" and (block.values % 1_000).any():
            return f"{column.kind}-ns"
    if not seen:
        return "null"
    return f"{column.kind}-us"


def _class_of_numbers(column: Column) -> str:
    import numpy as np

    low = high = None
    for block in column.blocks():
        values = _without_nan(block).values
        if not len(values):
            continue
        if values.dtype.kind == "i" or (values.dtype.kind == "u" and values.dtype.itemsize < 8):
            return "int"
        if values.dtype.kind == "f" and not (np.floor(values) == values).all():
            return "float"
        smallest, largest = float(values.min()), values.max()
        if smallest == -np.inf or largest == np.inf:
            return "float"
        low = int(smallest) if low is None else min(low, int(smallest))
        high = int(largest) if high is None else max(high, int(largest))
    if low is None or high is None:
        return "null"
    if low >= -_INT64_END and high < _INT64_END:
        return "int"
    return "uint" if low >= 0 and high < _UINT64_END else "float"


def _values(block: Block, written_as: str, unit: str) -> Array:
    """Return the values in the little-endian type of their class."""
    import numpy as np

    values = block.values
    if written_as in {"bool", "mixed"}:
        return np.ascontiguousarray(values, np.uint8)
    if written_as == "float":
        # Adding zero turns -0.0 into 0.0: they are equal, and one of them is 0 when all are whole.
        return np.ascontiguousarray(values.astype("<f8") + 0.0)
    if written_as in {"uint", "string", "bytes", "decimal", "list"}:
        return np.ascontiguousarray(values, "<u8")
    if written_as == "struct":
        return np.empty(0, "<u8")
    ticks = np.ascontiguousarray(values, "<i8")
    if not unit:
        return ticks
    return _rescale(ticks, _PER_MICROSECOND[unit], written_as)


def _rescale(ticks: npt.NDArray[np.int64], per_microsecond: int, written_as: str) -> Array:
    if written_as.endswith("-ns") or per_microsecond == 1:
        return ticks
    if per_microsecond > 0:
        return ticks // per_microsecond
    limit = (_INT64_END - 1) // -per_microsecond
    if len(ticks) and (ticks.max() > limit or ticks.min() < -limit):
        raise CaptureError("a time lies outside of what microseconds in 64 bits can hold")
    return ticks * -per_microsecond


def _without_nan(block: Block) -> Block:
    import numpy as np

    if block.values.dtype.kind != "f":
        return block
    missing = np.isnan(block.values)
    return _with_nulls_dropped(block, ~missing) if missing.any() else block


def _with_nulls_dropped(block: Block, keep: Array) -> Block:
    """Return a block in which the values outside `keep` count as missing cells."""
    import numpy as np

    valid = np.ones(block.rows, bool) if block.valid is None else block.valid.copy()
    valid[np.flatnonzero(valid)[~keep]] = False
    return replace(block, valid=valid, values=block.values[keep])


def _bitmap(block: Block) -> Array:
    """Return the validity bits, least significant first, padded with zeros to a whole byte."""
    import numpy as np

    valid = np.ones(block.rows, bool) if block.valid is None else block.valid
    return np.packbits(valid, bitorder="little")


def _name(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return _u64(len(data)) + data


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "little")
