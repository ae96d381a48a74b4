"""A second implementation of `table-v1`, from docs/digests.md alone: plain Python, cell by cell.

A column is a list of Python values, None for a missing cell. Only the kinds of the property tests
are here: bool, int, float, str, bytes, date, datetime with and without zone, timedelta, time,
Decimal, list and dict of these. Times have microseconds, as Python's have.
"""

import hashlib
import math
import struct
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

BLOCK_ROWS = 65_536
TAGS = {
    "bool": 1, "number": 2, "string": 3, "bytes": 4, "date": 5, "timestamp": 6, "instant": 7,
    "duration": 8, "time": 9, "decimal": 10, "list": 11, "struct": 12,
}  # fmt: skip


def table_digest(columns):
    """Return the digest of [(name, cells), …] as text."""
    rows = len(columns[0][1]) if columns else 0
    data = b"provgraph table-v1\n" + u64(len(columns)) + u64(rows)
    for name, cells in columns:
        data += text(name) + column_digest(cells)
    return f"table-v1:{hashlib.sha256(data).hexdigest()}"


def column_digest(cells):
    cells = [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells]
    written_as, values, children = classify([cell for cell in cells if cell is not None])
    data = f"{written_as}\n".encode() + u64(len(cells))
    if written_as == "null":
        return hashlib.sha256(data).digest()
    values = iter(values)
    for start in range(0, len(cells), BLOCK_ROWS):
        block = cells[start : start + BLOCK_ROWS]
        bits = sum(1 << row for row, cell in enumerate(block) if cell is not None)
        present = [next(values) for cell in block if cell is not None]
        data += bits.to_bytes((len(block) + 7) // 8, "little")
        if written_as in {"string", "bytes", "decimal"}:
            data += b"".join(u64(len(value)) for value in present) + b"".join(present)
        else:
            data += b"".join(present)
    if written_as == "struct":
        children = [
            (name, [None if cell is None else cell[name] for cell in cells]) for name in children
        ]
    data += u64(len(children))
    for name, child in children:
        data += text(name) + column_digest(child)
    return hashlib.sha256(data).digest()


def classify(present):
    """Return (class, the bytes of each value, the children)."""
    kinds = {kind_of(cell) for cell in present}
    if not kinds:
        return "null", [], []
    if len(kinds) > 1:
        ordered = sorted(kinds, key=TAGS.__getitem__)
        tags = [bytes([TAGS[kind_of(cell)]]) for cell in present]
        parts = [(kind, [cell for cell in present if kind_of(cell) == kind]) for kind in ordered]
        return "mixed", tags, parts
    (kind,) = kinds
    if kind == "number":
        return *numbers(present), []
    if kind == "list":
        items = [item for cell in present for item in cell]
        return "list", [u64(len(cell)) for cell in present], [("item", items)]
    if kind == "struct":
        return "struct", [b"" for _ in present], list(present[0])
    return *PLAIN[kind](present), []


def numbers(present):
    if all(math.isfinite(cell) and cell == int(cell) for cell in present):
        whole = [int(cell) for cell in present]
        if all(-(2**63) <= cell < 2**63 for cell in whole):
            return "int", [struct.pack("<q", cell) for cell in whole]
        if all(0 <= cell < 2**64 for cell in whole):
            return "uint", [struct.pack("<Q", cell) for cell in whole]
    return "float", [struct.pack("<d", 0.0 if cell == 0 else float(cell)) for cell in present]


def decimal_text(value):
    sign, digits, exponent = value.as_tuple()
    whole = int("".join(map(str, digits)))
    if exponent >= 0:
        plain = str(whole * 10**exponent)
    else:
        padded = str(whole).zfill(1 - exponent)
        plain = f"{padded[:exponent]}.{padded[exponent:]}".rstrip("0").rstrip(".")
    return f"{'-' if sign and plain != '0' else ''}{plain}".encode()


def ticks(name, microseconds):
    def write(present):
        return f"{name}-us", [struct.pack("<q", microseconds(cell)) for cell in present]

    return write


MICROSECOND = timedelta(microseconds=1)
PLAIN = {
    "bool": lambda cells: ("bool", [bytes([cell]) for cell in cells]),
    "string": lambda cells: ("string", [cell.encode() for cell in cells]),
    "bytes": lambda cells: ("bytes", list(cells)),
    "date": lambda cells: (
        "date",
        [struct.pack("<q", cell.toordinal() - date(1970, 1, 1).toordinal()) for cell in cells],
    ),
    "timestamp": ticks("timestamp", lambda cell: (cell - datetime(1970, 1, 1)) // MICROSECOND),
    "instant": ticks(
        "instant", lambda cell: (cell - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND
    ),
    "duration": ticks("duration", lambda cell: cell // MICROSECOND),
    "time": ticks(
        "time",
        lambda cell: ((cell.hour * 60 + cell.minute) * 60 + cell.second) * 10**6 + cell.microsecond,
    ),
    "decimal": lambda cells: ("decimal", [decimal_text(cell) for cell in cells]),
}


def kind_of(cell):
    if isinstance(cell, datetime):
        return "timestamp" if cell.tzinfo is None else "instant"
    return KINDS[type(cell)]


KINDS = {
    bool: "bool", int: "number", float: "number", str: "string", bytes: "bytes", date: "date",
    timedelta: "duration", time: "time", Decimal: "decimal", list: "list", dict: "struct",
}  # fmt: skip


def u64(value):
    return struct.pack("<Q", value)


def text(value):
    return u64(len(value.encode())) + value.encode()
