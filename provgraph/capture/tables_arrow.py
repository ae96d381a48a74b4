"""Arrow tables, record batches and arrays as columns in the canonical form of `.tables`.

pyarrow is not imported: what was handed in brought it. Chunks, dictionaries, views and extension
types are ways to store, so they are undone, block by block. Schema metadata is not content.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.cells import decimal_text, text_block
from provgraph.capture.tables import (
    Block,
    Column,
    MakeColumn,
    array_block,
    join_blocks,
    null_column,
    struct_block,
)
from provgraph.errors import CaptureError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Types that are read as another one of the same values.
_READ_AS: Final = {
    "string_view": "large_string",
    "binary_view": "large_binary",
    "date64[ms]": "date32",
    "time32[s]": "time64[us]",
    "time32[ms]": "time64[us]",
}


def arrow_columns(table: Any) -> list[tuple[str, MakeColumn]]:
    """Return the columns of a pyarrow Table or RecordBatch."""
    return [
        (name, partial(arrow_column, table.column(position)))
        for position, name in enumerate(table.schema.names)
    ]


def arrow_column(values: Any) -> Column:
    """Return a pyarrow Array or ChunkedArray as a column.

    Raises:
        CaptureError: a type that has no canonical form.
    """
    arrow = sys.modules["pyarrow"]
    types = arrow.types
    column = values if hasattr(values, "chunks") else arrow.chunked_array([values])
    kind = column.type
    if isinstance(kind, arrow.BaseExtensionType):
        return arrow_column(_map_chunks(column, lambda chunk: chunk.storage, kind.storage_type))
    if types.is_dictionary(kind):
        return _rewritten(column, lambda chunk: chunk.dictionary_decode(), kind.value_type)
    if as_type := _READ_AS.get(str(kind)):
        plain = arrow.type_for_alias(as_type)
        return _rewritten(column, lambda chunk: chunk.cast(plain), plain)
    if types.is_null(kind):
        return null_column(len(column))
    if types.is_boolean(kind):
        return _column(column, "bool", _primitives)
    if types.is_integer(kind) or types.is_floating(kind):
        return _column(column, "number", _primitives)
    if types.is_string(kind) or types.is_large_string(kind):
        return _column(column, "string", _texts)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _column(column, "bytes", _texts)
    if types.is_fixed_size_binary(kind):
        return _rewritten(column, lambda chunk: chunk.cast(arrow.binary()), arrow.binary())
    if types.is_date32(kind):
        return _column(column, "date", partial(_ticks, bits=32))
    if types.is_temporal(kind) and hasattr(kind, "unit") and kind.bit_width == 64:
        named = {types.is_time64: "time", types.is_duration: "duration"}
        family = next((name for test, name in named.items() if test(kind)), "timestamp")
        if getattr(kind, "tz", None) is not None:
            family = "instant"
        return _column(column, family, partial(_ticks, bits=64), unit=kind.unit)
    if types.is_decimal(kind):
        return _column(column, "decimal", _decimals)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        items = _map_chunks(column, lambda chunk: chunk.flatten(), kind.value_type)
        return Column(
            kind="list",
            rows=len(column),
            read=_column(
                _map_chunks(column, lambda chunk: chunk.value_lengths(), None), "list", _primitives
            ).read,
            children=lambda: [("item", arrow_column(items))],
        )
    if types.is_struct(kind):
        return _struct(column)
    raise CaptureError(f"Arrow type {kind} has no canonical form; cast the column")


def _column(column: Any, kind: str, read: Callable[[Any], Block], *, unit: str = "") -> Column:
    """Return a column; `read` makes a block of an array that has no missing cells."""

    def read_cells(start: int, stop: int) -> Block:
        return join_blocks(
            [_chunk_block(chunk, read) for chunk in column.slice(start, stop - start).chunks]
        )

    return Column(kind=kind, unit=unit, rows=len(column), read=read_cells)


def _chunk_block(chunk: Any, read: Callable[[Any], Block]) -> Block:
    if not chunk.null_count:
        return read(chunk)
    block = read(chunk.drop_null())
    return Block(rows=len(chunk), valid=_validity(chunk), values=block.values, data=block.data)


def _rewritten(column: Any, rewrite: Callable[[Any], Any], kind: Any) -> Column:
    """Return a column read through an equal one of another type, made block by block."""
    arrow = sys.modules["pyarrow"]
    if arrow.types.is_nested(kind):
        return arrow_column(_map_chunks(column, rewrite, kind))
    outline = arrow_column(arrow.chunked_array([], kind))

    def read_cells(start: int, stop: int) -> Block:
        part = _map_chunks(column.slice(start, stop - start), rewrite, kind)
        return arrow_column(part).read(0, stop - start)

    return Column(kind=outline.kind, unit=outline.unit, rows=len(column), read=read_cells)


def _struct(column: Any) -> Column:
    arrow = sys.modules["pyarrow"]
    kind = column.type
    # flatten gives the fields with the struct's own gaps as theirs.
    chunks = [chunk.flatten() for chunk in column.chunks]

    def field(position: int) -> Column:
        parts = [fields[position] for fields in chunks]
        return arrow_column(arrow.chunked_array(parts, kind.field(position).type))

    def read(start: int, stop: int) -> Block:
        part = column.slice(start, stop - start)
        return join_blocks(
            [struct_block(len(chunk), valid=_validity(chunk)) for chunk in part.chunks]
        )

    return Column(
        kind="struct",
        rows=len(column),
        read=read,
        children=lambda: [
            (kind.field(position).name, field(position)) for position in range(kind.num_fields)
        ],
    )


def _map_chunks(column: Any, rewrite: Callable[[Any], Any], kind: Any) -> Any:
    """Return a chunked array of the rewritten chunks; `kind` is needed when there are none."""
    arrow = sys.modules["pyarrow"]
    parts = [rewrite(chunk) for chunk in column.chunks]
    return arrow.chunked_array(parts, kind or (parts[0].type if parts else arrow.int64()))


def _validity(chunk: Any) -> npt.NDArray[np.bool_]:
    valid: npt.NDArray[np.bool_] = chunk.is_valid().to_numpy(zero_copy_only=False)
    return valid


# ---- arrays without missing cells ----------------------------------------------------------------
def _primitives(array: Any) -> Block:
    return array_block(array.to_numpy(zero_copy_only=False))


def _ticks(array: Any, *, bits: int) -> Block:
    return _primitives(array.view(f"int{bits}"))


def _texts(array: Any) -> Block:
    import numpy as np

    _, offsets, data = array.buffers()
    if not len(array):
        return text_block([])
    width = np.int64 if str(array.type).startswith("large_") else np.int32
    ends = np.frombuffer(offsets, width)[array.offset : array.offset + len(array) + 1]
    return Block(
        rows=len(array),
        values=np.diff(ends),
        data=memoryview(data or b"")[int(ends[0]) : int(ends[-1])],
    )


def _decimals(array: Any) -> Block:
    return text_block(list(map(decimal_text, array.to_pylist())))
