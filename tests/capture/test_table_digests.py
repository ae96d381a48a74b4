"""`table-v1`: one content, one digest, whichever library holds it."""

import datetime as dt
import io
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_reference import table_digest

from provgraph.capture.data import describe


def digest(obj):
    return str(describe(obj).digest)


# ---- one table, held in every way there is ---------------------------------------------------------
INT64 = st.integers(-(2**63), 2**63 - 1)
TIMES = st.datetimes(dt.datetime(1678, 1, 1), dt.datetime(2262, 1, 1))
CELLS = {
    "int8": (pa.int8(), st.integers(-128, 127)),
    "int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "int64": (pa.int64(), INT64),
    "uint16": (pa.uint16(), st.integers(0, 2**16 - 1)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "float32": (pa.float32(), st.floats(width=32)),
    "float64": (pa.float64(), st.floats()),
    "whole": (pa.float64(), st.integers(-(2**53), 2**53).map(float)),
    "bool": (pa.bool_(), st.booleans()),
    "string": (pa.string(), st.text(max_size=8)),
    "large_string": (pa.large_string(), st.text(max_size=8)),
    "bytes": (pa.binary(), st.binary(max_size=8)),
    "date": (pa.date32(), st.dates()),
    "timestamp": (pa.timestamp("us"), TIMES),
    "instant": (pa.timestamp("us", "UTC"), TIMES.map(lambda t: t.replace(tzinfo=dt.UTC))),
    "duration": (pa.duration("us"), st.timedeltas(dt.timedelta(-9000), dt.timedelta(9000))),
    "time": (pa.time64("us"), st.times()),
    "decimal": (pa.decimal128(20, 4), st.decimals(-(10**9), 10**9, places=4)),
    "list": (pa.list_(pa.int64()), st.lists(st.none() | st.integers(-9, 9), max_size=4)),
    "texts": (pa.list_(pa.string()), st.lists(st.none() | st.text(max_size=3), max_size=3)),
    "struct": (
        pa.struct([("a", pa.float64()), ("b", pa.string())]),
        st.fixed_dictionaries({"a": st.none() | st.floats(), "b": st.none() | st.text(max_size=3)}),
    ),
}  # fmt: skip


@st.composite
def tables(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
    rows = draw(st.integers(0, 12))
    columns = []
    for number, kind in enumerate(kinds):
        of_type, cells = CELLS[kind]
        values = draw(st.lists(st.none() | cells, min_size=rows, max_size=rows))
        columns.append((f"{kind} {number}", of_type, values))
    return columns


def arrow_table(columns):
    return pa.table(
        [pa.array(values, of_type) for _, of_type, values in columns],
        names=[name for name, _, _ in columns],
    )


@settings(deadline=None)
@given(tables(), st.integers(1, 5))
def test_every_library_agrees_with_the_reference(columns, chunk_rows):
    table = arrow_table(columns)
    expected = table_digest([(name, values) for name, _, values in columns])
    assert digest(table) == expected
    assert digest(pl.from_arrow(table)) == expected
    assert digest(table.to_pandas(types_mapper=pd.ArrowDtype)) == expected
    assert digest(table.to_pandas(date_as_object=True)) == expected
    chunked = pa.Table.from_batches(table.to_batches(chunk_rows), table.schema)
    assert digest(chunked) == expected
    assert digest(pa.concat_tables([table.slice(0, 0), chunked])) == expected
    assert digest(pl.from_arrow(chunked, rechunk=False)) == expected
    for name, _, values in columns:
        assert digest(table[name]) == table_digest([("", values)])
    if table.num_rows:
        last = pa.concat_tables([table.slice(0, 1), table]).slice(1)
        assert digest(last) == expected
