"""One column read whole: which cells are there, their numbers, and a hash for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.profiling.hashing import NULL_HASH, hash_numbers, hash_texts
from provgraph.capture.tables import BLOCK_ROWS, KINDS, Block, Column
from provgraph.frozen import dataclass

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

PER_SECOND: Final = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
TEXTS: Final = frozenset({"string", "bytes"})
_SECONDS_PER_DAY: Final = 86_400.0
_INT64_END: Final = 2.0**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A column's cells. `numbers` and `hashes` are of the cells that are there, in order.

    `numbers` are int64, uint64 or float64: values, 0 and 1, seconds, or lengths of lists and texts.
    """

    type: str  # as in a profile
    rows: int
    valid: Array | None  # one bool a row; None: all
    numbers: Array
    hashes: Array
    column: Column
    kinds: tuple[tuple[str, int], ...] = ()  # of a mixed column

    @property
    def is_text(self) -> bool:
        """Whether these are texts or bytes, which have no order that a figure could tell of."""
        return self.type in TEXTS

    def row_hashes(self) -> Array:
        """Return one hash for each row, nulls included."""
        import numpy as np

        if self.valid is None:
            return self.hashes
        hashes = np.full(self.rows, NULL_HASH, np.uint64)
        hashes[self.valid] = self.hashes
        return hashes

    def row_numbers(self) -> Array:
        """Return one float64 for each row, NaN for nulls."""
        import numpy as np

        if self.valid is None:
            return self.numbers.astype(np.float64)
        numbers = np.full(self.rows, np.nan)
        numbers[self.valid] = self.numbers
        return numbers

    def text_at(self, row: int) -> str:
        """Return the text of one row."""
        start = row // BLOCK_ROWS * BLOCK_ROWS
        block = self.column.read(start, min(start + BLOCK_ROWS, self.rows))
        place = row - start
        if block.valid is not None:
            place = int(block.valid[:place].sum())
        offset = int(block.values[:place].sum())
        data = memoryview(block.data)[offset : offset + int(block.values[place])]
        return bytes(data).decode("utf-8", "replace")


def read_cells(column: Column) -> Cells:
    """Read a column.

    Raises:
        CaptureError: a cell that has no canonical form.
    """
    import numpy as np

    blocks: list[Block] = []
    hashes: list[Array] = []
    is_text = column.kind in TEXTS
    for block in column.blocks():
        if is_text:
            hashes.append(hash_texts(block))
            block = Block(rows=block.rows, valid=block.valid, values=block.values)  # noqa: PLW2901
        blocks.append(block)
    valid = _joined_valid(blocks)
    values = np.concatenate([block.values for block in blocks]) if blocks else np.empty(0, np.int64)
    if column.kind in {"mixed", "struct", "null"}:
        return _without_values(column, valid, values)
    if column.kind == "decimal":
        numbers: Array = _decimals(column)
    elif is_text or column.kind in {"list", "bool"}:
        numbers = values.astype(np.int64)
    elif column.kind == "date":
        numbers = values * _SECONDS_PER_DAY
    elif column.unit:
        numbers = values / PER_SECOND[column.unit]
    else:
        valid, numbers = _numbers(valid, values, column.rows)
    kind = column.kind
    if kind == "number":
        kind = "float" if numbers.dtype.kind == "f" else "integer"
    if not len(numbers):
        kind = "null"
    hashed = np.concatenate(hashes) if is_text and hashes else hash_numbers(numbers)
    return Cells(
        type=kind, rows=column.rows, valid=valid, numbers=numbers, hashes=hashed, column=column
    )


def _joined_valid(blocks: list[Block]) -> Array | None:
    import numpy as np

    if all(block.valid is None for block in blocks):
        return None
    return np.concatenate(
        [np.ones(block.rows, bool) if block.valid is None else block.valid for block in blocks]
    )


def _numbers(valid: Array | None, values: Array, rows: int) -> tuple[Array | None, Array]:
    """Return numbers without NaN: int64 or uint64 where all are whole and fit, else float64."""
    import numpy as np

    if values.dtype.kind in "iu":
        wide = np.uint64 if values.dtype == np.uint64 else np.int64
        return valid, values.astype(wide, copy=False)
    numbers = values.astype(np.float64, copy=False)
    missing = np.isnan(numbers)
    if missing.any():
        there = np.ones(rows, bool) if valid is None else valid.copy()
        there[np.flatnonzero(there)[missing]] = False
        valid, numbers = there, numbers[~missing]
    if len(numbers) and _is_whole(numbers):
        return valid, numbers.astype(np.int64)
    return valid, numbers


def _is_whole(numbers: Array) -> bool:
    import numpy as np

    head = numbers[:1_000]
    if not (np.floor(head) == head).all():
        return False
    low, high = float(numbers.min()), float(numbers.max())
    return low >= -_INT64_END and high < _INT64_END and bool((np.floor(numbers) == numbers).all())


def _decimals(column: Column) -> Array:
    import numpy as np

    texts: list[bytes] = []
    for block in column.blocks():
        data, start = bytes(block.data), 0
        for length in block.values.tolist():
            texts.append(data[start : start + length])
            start += length
    return np.array([float(text) for text in texts], np.float64)


def _without_values(column: Column, valid: Array | None, values: Array) -> Cells:
    """Cells that are no numbers and no texts: what is there is counted, and mixed kinds are told."""
    import numpy as np

    kinds: tuple[tuple[str, int], ...] = ()
    if column.kind == "mixed":
        counted = np.bincount(values, minlength=len(KINDS)).tolist()
        kinds = tuple(
            sorted(((k, n) for k, n in zip(KINDS, counted, strict=True) if n), key=_by_count)
        )
    if column.kind == "null":
        valid = np.zeros(column.rows, bool)
    return Cells(
        type=column.kind,
        rows=column.rows,
        valid=valid,
        numbers=np.empty(0, np.int64),
        hashes=hash_numbers(values.astype(np.int64)),
        column=column,
        kinds=kinds,
    )


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
