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
        st.tuples(st.none() | st.floats(), st.none() | st.text(max_size=3)).map(
            lambda pair: {"a": pair[0], "b": pair[1]}
        ),
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
    assert digest(table.to_pandas(integer_object_nulls=True)) == expected
    chunked = pa.Table.from_batches(table.to_batches(chunk_rows), table.schema)
    assert digest(chunked) == expected
    assert digest(pa.concat_tables([table.slice(0, 0), chunked])) == expected
    assert digest(pl.from_arrow(chunked, rechunk=False)) == expected
    for name, _, values in columns:
        assert digest(table[name]) == table_digest([("", values)])
    if table.num_rows:
        last = pa.concat_tables([table.slice(0, 1), table]).slice(1)
        assert digest(last) == expected


# ---- pinned: a change of these numbers is a change of the format ---------------------------------------
UTC_NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
PINNED = {
    "null": [None, None],
    "bool": [True, None, False],
    "int": [1, None, -(2**63)],
    "uint": [0, 2**64 - 1],
    "float": [0.5, None, math.inf, 1e300],
    "string": ["", None, "grün", "日本"],
    "bytes": [b"", b"\x00\xff"],
    "date": [dt.date(1969, 12, 31), dt.date(2024, 2, 29)],
    "timestamp-us": [dt.datetime(2024, 2, 29, 12), None],
    "instant-us": [UTC_NOON, None],
    "duration-us": [dt.timedelta(days=-1, microseconds=1)],
    "time-us": [dt.time(23, 59, 59, 999_999)],
    "decimal": [Decimal("1.50"), Decimal("-0"), Decimal("1E+3"), Decimal("0.000001")],
    "list": [[1, 2], None, [], [None]],
    "struct": [{"a": 1, "b": "x"}, None, {"a": None, "b": ""}],
    "mixed": [1, "1", None, True, [1]],
}
GOLDEN = {
    "null": "a1f959d8f1c0a5e76aa8476921ea59f7d6705f035ab48c6a54f1135b5f435669",
    "bool": "105475eef2d840f38f72b54f887bcf1f8c0fff7f4b4cfdfc050775aff2ee1164",
    "int": "ac77f80a52d3aafc8c67c23a922a639720f26f422e27853b2791135cd9a67a4f",
    "uint": "abae788a40b85ae78305b6fd3a2c82d7b5543e645e4dcaf0bfa443d90158dfdc",
    "float": "ddd8cbb9f89f9ab4c5e7aac03eb84e5bf6e775de80bc03f115152b626fb76487",
    "string": "b2208e36203d8673e0e5698444f687483bc08713f87513e949776b7179295ad1",
    "bytes": "d73158fa664b4aaebf998aa7b2e973b6c688531ef779ab607846b0cd2168fa4e",
    "date": "afc1400dfae306f5a2dcc05b9b0090c772da30a76ff30b5af9eb1e6b15b5b318",
    "timestamp-us": "1786e06758b0a2b1e786658c3cd0c4ab56346ffc035c08eda63394d0383a16ba",
    "instant-us": "ce794991d830381d05e49be76f8645cd96354946d371a36e0ac422e4c0510ed1",
    "duration-us": "9d7b9c6fef4c07e345e348f3ca8e6097322fa4e1eeae08b1b0bdd87eae427bd1",
    "time-us": "bb301fd3a1f5144d3efc216f4b3eea5041c77e5b349ee44f52638686f23384ca",
    "decimal": "b85a6947e8af4936fd6772015bd1cbb15a6ed6b5537450c082ad8c221c21b076",
    "list": "26dc91dfae3507ecd34ad734b0966e0dc9086ee3465051fc86266a64a39c500d",
    "struct": "6c1909310089e6807c2ef4746228253b12a231491c554f40ba0d89a09b7f1538",
    "mixed": "cf5dbefe72a627f1376b1f404e18bf90d472f48ba42bda038a49b205d1db1276",
    "empty": "3ec2dc0549110440163e5d22d3f92c24d7a3e73af3f705926bd59422e3a4cea1",
}


@pytest.mark.parametrize("name", PINNED)
def test_the_format_is_pinned(name):
    cells = PINNED[name]
    assert digest(cells if any(cell is not None for cell in cells) else pd.Series(cells)) == (
        f"table-v1:{GOLDEN[name]}"
    )
    assert table_digest([("", cells)]) == f"table-v1:{GOLDEN[name]}"


def test_a_table_without_rows_or_columns_is_pinned():
    assert digest(pd.DataFrame()) == table_digest([]) == f"table-v1:{GOLDEN['empty']}"
    assert digest(pl.DataFrame()) == digest(pa.table({})) == digest(pd.DataFrame())
    none = table_digest([("a", [])])
    assert digest(pd.DataFrame({"a": pd.Series([], dtype="float64")})) == none
    assert digest(pl.DataFrame({"a": []}, schema={"a": pl.String})) == none
    assert digest(pa.table({"a": pa.array([], pa.int32())})) == none


# ---- blocks ---------------------------------------------------------------------------------------------
def test_tables_longer_than_a_block():
    rows = 2 * 65_536 + 77
    columns = {
        "int": [number if number % 7 else None for number in range(rows)],
        "float": [number / 4 if number % 5 else None for number in range(rows)],
        "text": [f"näme {number}" if number % 3 else None for number in range(rows)],
        "list": [[number, None] if number % 11 else None for number in range(rows)],
        "late": [None] * 70_000 + [0.5] * (rows - 70_000),
    }
    expected = table_digest(list(columns.items()))
    table = pa.table(columns)
    assert digest(table) == expected
    assert digest(pl.from_arrow(table)) == expected
    assert digest(pd.DataFrame(columns)) == expected
    assert digest(table.to_pandas()) == expected
    assert digest(pa.Table.from_batches(table.to_batches(10_007))) == expected
    shifted = pa.concat_tables([table.slice(0, 13), table]).combine_chunks().slice(13)
    assert digest(shifted) == expected
    mixed = [number if number % 2 else str(number) for number in range(rows)]
    assert digest(pd.Series(mixed, dtype=object)) == table_digest([("", mixed)])


# ---- the same file, read by each library ----------------------------------------------------------------
CSV = "id,age,name,score,ok\n1,34,Ada,0.5,true\n2,,,,false\n3,51,Zoë,1e3,true\n"


def test_one_csv_file():
    frame = pd.read_csv(io.StringIO(CSV))
    assert str(frame["age"].dtype) == "float64"
    expected = table_digest(
        [
            ("id", [1, 2, 3]),
            ("age", [34, None, 51]),
            ("name", ["Ada", None, "Zoë"]),
            ("score", [0.5, None, 1000.0]),
            ("ok", [True, False, True]),
        ]
    )
    assert digest(frame) == expected
    assert digest(pd.read_csv(io.StringIO(CSV), dtype_backend="numpy_nullable")) == expected
    assert digest(pd.read_csv(io.StringIO(CSV), dtype_backend="pyarrow")) == expected
    assert digest(pl.read_csv(io.StringIO(CSV))) == expected


def test_one_parquet_file_with_an_index(tmp_path):
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2024-03-31", periods=3, freq="h", tz="Europe/Paris"),
            "colour": pd.Categorical(["red", None, "blue"]),
            "x": [1.5, math.nan, 2.5],
        },
        index=pd.Index([10, 20, 40], name="row"),
    )
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    expected = digest(frame)
    assert digest(pd.read_parquet(path)) == expected
    assert digest(pl.read_parquet(path)) == expected
    assert digest(pyarrow.parquet.read_table(path)) == expected


# ---- storage is not content -----------------------------------------------------------------------------
def same(*objects):
    return len({digest(obj) for obj in objects}) == 1


def test_the_width_and_kind_of_a_number_is_storage():
    dtypes = ["int8", "uint8", "int64", "uint64", "float16", "float32", "float64", ">i4", "object"]
    dtypes += ["Int16", "UInt64", "Float32", "int32[pyarrow]", "double[pyarrow]", "Sparse[int]"]
    dtypes += ["category"]
    assert same(*(pd.Series([1, 2, 0, 0], dtype=of_type) for of_type in dtypes)) is True
    whole = [pl.Int8, pl.UInt32, pl.Float32, pl.Float64, pl.Int128]
    assert (
        same([1, 2, 0, 0], *(pl.Series([1, 2, 0, 0], dtype=of_type) for of_type in whole)) is True
    )
    halves = pd.Series([0.5, 2.0])
    assert same(halves, halves.astype("float32"), halves.astype("float16"), [0.5, 2]) is True
    assert same(pd.Series([0.1]), pd.Series([0.1], dtype="float32")) is False


def test_numbers_beyond_int64():
    big = [2**63, 1]
    assert same(pd.Series(big, dtype="uint64"), pl.Series(big, dtype=pl.UInt64), big) is True
    assert same(pd.Series(big, dtype="float64"), big) is True
    assert same(pd.Series([2.0**64, -1]), pl.Series([2.0**64, -1.0]), [2.0**64, -1]) is True
    assert digest([2.0**64, -1.0]) == table_digest([("", [2.0**64, -1.0])])


def test_how_texts_are_stored():
    texts = ["a", "", None, "a longer text than twelve bytes", "ü"]
    plain = pa.array(texts)
    assert (
        same(
            texts,
            plain,
            plain.cast(pa.large_string()),
            plain.cast(pa.string_view()),
            plain.dictionary_encode(),
            pa.chunked_array([plain[:2].dictionary_encode(), plain[2:].dictionary_encode()]),
            pd.Series(texts, dtype="str"),
            pd.Series(texts, dtype=object),
            pd.Series(texts, dtype=pd.StringDtype("python")),
            pd.Series(texts, dtype=pd.StringDtype("pyarrow")),
            pd.Series(texts, dtype="category"),
            pl.Series(texts),
            pl.Series(texts, dtype=pl.Categorical),
            pl.Series(texts, dtype=pl.Enum(sorted(set(texts) - {None}))),
        )
        is True
    )
    unused = pd.Series(pd.Categorical(["a"], categories=["b", "a", "c"], ordered=True))
    assert same(unused, ["a"]) is True


def test_how_bytes_and_other_kinds_are_stored():
    data = [b"ab", None, b"cd"]
    assert (
        same(
            data,
            pa.array(data),
            pa.array(data, pa.large_binary()),
            pa.array(data, pa.binary(2)),
            pa.array(data, pa.binary_view()),
            pl.Series(data),
            pd.Series(data, dtype=object),
        )
        is True
    )
    days = [dt.date(2024, 2, 29), None]
    assert same(days, pa.array(days), pa.array(days, pa.date64()), pl.Series(days)) is True
    times = [dt.time(1, 2, 3), None]
    assert (
        same(
            times,
            pa.array(times, pa.time32("s")),
            pa.array(times, pa.time32("ms")),
            pa.array(times, pa.time64("ns")),
            pl.Series(times),
        )
        is True
    )
    money = [Decimal("1.5"), None, Decimal(-20)]
    assert (
        same(
            money,
            [Decimal("1.50"), Decimal("nan"), Decimal("-2E1")],
            pa.array(money, pa.decimal128(9, 3)),
            pa.array(money, pa.decimal256(60, 1)),
            pl.Series(money),
        )
        is True
    )


def test_how_lists_are_stored():
    lists = [[1.0, 2.0], [3.0, 4.5]]
    assert (
        same(
            lists,
            pa.array(lists),
            pa.array(lists, pa.large_list(pa.float32())),
            pa.array(lists, pa.list_(pa.float64(), 2)),
            pl.Series(lists),
            pl.Series(lists, dtype=pl.Array(pl.Float32, 2)),
            pd.Series([np.array(cell) for cell in lists]),
            pd.Series([tuple(cell) for cell in lists]),
        )
        is True
    )
    deep = [[["a"], None], [], None, [[], ["b", None]]]
    assert same(deep, pa.array(deep), pl.Series(deep), pa.array(deep).to_pandas()) is True
    assert digest(deep) == table_digest([("", deep)])


def test_how_times_are_stored():
    whole = [dt.datetime(2024, 2, 29, 12), None]
    units = ["s", "ms", "us", "ns"]
    assert (
        same(
            whole,
            *(pa.array(whole, pa.timestamp(unit)) for unit in units),
            *(pd.Series(whole, dtype=f"datetime64[{unit}]") for unit in units),
            *(pl.Series(whole, dtype=pl.Datetime(unit)) for unit in units[1:]),
            pd.Series([pd.Timestamp("2024-02-29 12:00"), pd.NaT], dtype=object),
        )
        is True
    )
    spans = [dt.timedelta(hours=5), None]
    assert (
        same(
            spans,
            *(pa.array(spans, pa.duration(unit)) for unit in units),
            *(pd.Series(spans, dtype=f"timedelta64[{unit}]") for unit in units),
            *(pl.Series(spans, dtype=pl.Duration(unit)) for unit in units[1:]),
            pd.Series([pd.Timedelta("5h"), None], dtype=object),
        )
        is True
    )


def test_nanoseconds_are_kept():
    when = pd.Series(["2024-02-29 12:00:00.000000001"], dtype="datetime64[ns]")
    span = pd.Series([pd.Timedelta(1, "ns")])
    assert same(when, pl.from_pandas(when), pa.array(when), when.astype(object)) is True
    assert same(span, pl.from_pandas(span), pa.array(span), span.astype(object)) is True
    assert same(when, when.astype("datetime64[us]")) is False
    assert same(span, pd.Series([pd.Timedelta(0)])) is False


def test_a_zone_is_not_content_but_having_one_is():
    paris = pd.Series(pd.date_range("2024-02-29 13:00", periods=2, tz="Europe/Paris"))
    noon = [UTC_NOON, UTC_NOON + dt.timedelta(days=1)]
    assert (
        same(
            noon,
            paris,
            paris.dt.tz_convert("UTC"),
            paris.astype(object),
            pl.Series(noon),
            pl.from_pandas(paris),
            pa.array(noon, pa.timestamp("ns", "+05:30")),
        )
        is True
    )
    assert same(paris, paris.dt.tz_localize(None)) is False
    assert same(noon, [when.replace(tzinfo=None) for when in noon]) is False


def test_missing_is_missing_and_zero_is_zero():
    assert (
        same(
            pd.Series([0.5, math.nan]),
            pd.Series([0.5, None], dtype="Float64"),
            pd.Series([0.5, pd.NA], dtype=object),
            pl.Series([0.5, None]),
            pl.Series([0.5, math.nan]),
            pa.array([0.5, None]),
            pa.array([0.5, math.nan]),
            [0.5, math.nan],
            [np.float32(0.5), None],
        )
        is True
    )
    assert same([0.0, 0.5], [-0.0, 0.5]) is True
    assert same([0.0], [-0.0], [0]) is True
    assert same([None, "a"], ["", "a"]) is False
    assert same([None, 1], [0, 1]) is False
    assert same([[], [1]], [None, [1]]) is False


def test_kinds_are_content():
    assert same([1], ["1"]) is False
    assert same([1], [True]) is False
    assert same(["a"], [b"a"]) is False
    assert same(["2024-02-29"], [dt.date(2024, 2, 29)]) is False
    assert same([dt.date(2024, 2, 29)], [dt.datetime(2024, 2, 29)]) is False
    assert same([1.5], [Decimal("1.5")]) is False
    assert same([[1]], [{"item": 1}]) is False


# ---- names and the index of pandas ------------------------------------------------------------------------
def test_an_index_that_only_counts_rows_is_no_content():
    frame = pd.DataFrame({"a": [1, 2, 3]})
    assert same(frame, pl.DataFrame({"a": [1, 2, 3]}), frame.set_index(np.arange(3))) is True
    assert same(frame, frame.loc[[0, 1, 2]], frame.sort_values("a")) is True


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(1, 4),
        pd.RangeIndex(0, 6, 2),
        pd.RangeIndex(3, name="row"),
        pd.Index([0, 2, 1]),
        pd.Index([0, 1, 2], dtype="int32"),
        pd.Index(["x", "y", "z"]),
        pd.MultiIndex.from_tuples([(0, 0), (1, 1), (2, 2)]),
    ],
    ids=str,
)
def test_any_other_index_is_content_and_comes_last(index):
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=index)
    levels = [
        (f"__index_level_{level}__" if name is None else name, list(index.get_level_values(level)))
        for level, name in enumerate(index.names)
    ]
    expected = [
        ("a", [1, 2, 3]),
        *((name, [c if isinstance(c, str) else int(c) for c in cells]) for name, cells in levels),
    ]
    assert digest(frame) == table_digest(expected)
    assert digest(frame["a"]) == table_digest(expected)
    assert digest(index) == table_digest(expected[1:])
    assert describe(frame).columns == 1 + len(levels)


def test_names_of_pandas_columns_are_written_as_text():
    frame = pd.DataFrame([[1, 2]], columns=[0, ("a", 1)])
    assert digest(frame) == table_digest([("0", [1]), ("('a', 1)", [2])])
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert digest(twice) == table_digest([("a", [1]), ("a", [2])])


def test_intervals_are_records():
    cut = pd.cut(pd.Series([1.0, 5.0, None]), [0, 2, 6])
    sides = [
        {"left": 0, "right": 2, "closed": "right"},
        {"left": 2, "right": 6, "closed": "right"},
        None,
    ]
    assert digest(cut) == digest(pd.Series(cut.astype("interval"))) == table_digest([("", sides)])


# ---- any change shows ----------------------------------------------------------------------------------------
@settings(deadline=None)
@given(tables(), st.data())
def test_changing_one_cell_changes_the_digest(columns, data):
    before = digest(arrow_table(columns))
    if not columns[0][2]:
        return
    number = data.draw(st.integers(0, len(columns) - 1))
    row = data.draw(st.integers(0, len(columns[0][2]) - 1))
    name, of_type, values = columns[number]
    kind = name.split()[0]
    cell = data.draw(st.none() | CELLS[kind][1])
    changed = [*values[:row], cell, *values[row + 1 :]]
    after_columns = [*columns[:number], (name, of_type, changed), *columns[number + 1 :]]
    assert (digest(arrow_table(after_columns)) == before) is (
        table_digest([("", [cell])]) == table_digest([("", [values[row]])])
    )


@settings(deadline=None)
@given(st.lists(st.lists(st.text(max_size=4), min_size=3, max_size=3), min_size=2, max_size=2))
def test_cells_and_names_do_not_run_together(pair):
    first, second = pair
    assert same(pl.Series("n", first), pl.Series("n", second)) is (first == second)
    tables_of_names = [pa.table([[1], [1], [1]], names=names) for names in pair]
    assert same(*tables_of_names) is (first == second)


def test_order_and_names_are_content():
    frame = pl.DataFrame({"a": ["x", "y"], "b": ["x", "y"]})
    changed = [
        frame.reverse(),
        frame.rename({"a": "c"}),
        frame.rename({"a": "b", "b": "a"}),
        frame.select("a"),
        frame.head(1),
        frame.with_columns(c=pl.lit(None)),
        pl.DataFrame({"a": ["x", "y"], "b": ["y", "x"]}),
    ]
    assert len({digest(obj) for obj in [frame, *changed]}) == 1 + len(changed)
    reordered = pl.DataFrame({"b": [1], "a": [2]})
    assert same(reordered, reordered.select("a", "b")) is False
    assert same(pl.Series(["a", "bc"]), pl.Series(["ab", "c"])) is False
    assert same(pl.Series([["a"], ["b"]]), pl.Series([["a", "b"], []])) is False
