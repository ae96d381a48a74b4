"""`describe`: what it says of each kind of object, what it refuses and why, and what it costs."""

import datetime as dt
import hashlib
import re
import subprocess
import sys
import textwrap
import time
import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.utils import Bunch

from provgraph.capture.data import Described, describe, describe_object
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import CaptureError


class Foreign:
    """Of a kind that nobody knows."""


def digest(obj):
    return str(describe(obj).digest)


# ---- what is said ------------------------------------------------------------------------------------
FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
DESCRIPTIONS = {
    "pandas DataFrame, 3 rows x 2 columns": FRAME,
    "pandas Series, 3 rows": FRAME["a"],
    "pandas Index, 2 rows": pd.Index([5, 6]),
    "pandas MultiIndex, 1 rows": pd.MultiIndex.from_tuples([(1, 2)]),
    "polars DataFrame, 3 rows x 2 columns": pl.from_pandas(FRAME),
    "polars Series, 1,000 rows": pl.Series(range(1000)),
    "Arrow Table, 3 rows x 2 columns": pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}),
    "Arrow RecordBatch, 1 rows x 1 columns": pa.record_batch({"a": [1]}),
    "Arrow ChunkedArray, 1 rows": pa.chunked_array([[1]]),
    "Arrow Int64Array, 1 rows": pa.array([1]),
    "NumPy array, text, 2": np.array(["a", "b"]),
    "list of 2 values": [1.5, None],
    "tuple of 2 values": ("a", "b"),
    "tuple of 2: NumPy array, float64, 2 x 2; list of 2 values": (np.ones((2, 2)), [0, 1]),
    "dict of 2: X: NumPy array, int64, 1; y: pandas Series, 3 rows": {
        "y": FRAME["a"],
        "X": np.array([1]),
    },
    "bytes, 3 bytes": b"abc",
    "bytearray, 3 bytes": bytearray(b"abc"),
    "memoryview, 2 bytes": memoryview(b"abcd")[::2],
}


@pytest.mark.parametrize(("description", "obj"), DESCRIPTIONS.items(), ids=DESCRIPTIONS)
def test_descriptions(description, obj):
    assert describe(obj).description == description


def test_what_is_known_of_a_table_is_the_same_in_each_library():
    found = describe(FRAME)
    assert found == Described(
        kind="dataset",
        digest=found.digest,
        rows=3,
        columns=2,
        size_bytes=(1 + 3 * 8) + (1 + 2 * 8 + 2),
        description="pandas DataFrame, 3 rows x 2 columns",
    )
    for other in (pl.from_pandas(FRAME), pa.Table.from_pandas(FRAME)):
        same = describe(other)
        assert (same.digest, same.rows, same.columns, same.size_bytes) == (
            found.digest,
            found.rows,
            found.columns,
            found.size_bytes,
        )


def test_bytes_are_a_file_with_these_bytes(tmp_path):
    found = describe(b"abc")
    assert found == Described(
        kind="file",
        digest=sha256_bytes(b"abc"),
        size_bytes=3,
        description="bytes, 3 bytes",
    )
    assert digest(bytearray(b"abc")) == digest(memoryview(b"abc")) == str(found.digest)


@pytest.mark.parametrize(
    "obj",
    [
        "a.csv",
        3,
        0.5,
        None,
        True,
        Foreign(),
        [],
        (),
        {},
        [None],
        [Foreign()],
        {"a": 1},
        np.float64(1),
    ],
    ids=repr,
)
def test_what_is_not_known_here_is_none(obj):
    assert describe(obj) is None


def test_a_fitted_model_has_no_digest_by_content():
    model = RandomForestClassifier(2).fit([[0], [1]], [0, 1])
    assert describe(model) is None
    assert describe_object(model) == "sklearn.ensemble.RandomForestClassifier object"


def test_objects_are_named_by_their_public_module():
    assert describe_object(Foreign()) == f"{__name__}.Foreign object"
    assert describe_object({}) == "dict object"
    assert describe_object(FRAME) == "pandas.DataFrame object"
    assert describe_object(Decimal(1)) == "decimal.Decimal object"


# ---- collections ---------------------------------------------------------------------------------------
def test_a_collection_is_its_members():
    x, y = np.ones((3, 2)), np.arange(3)
    found = describe((x, y))
    lines = f"provgraph collection-v1\n- {digest(x)}\n- {digest(y)}\n"
    assert found.digest == Digest("collection-v1", hashlib.sha256(lines.encode()).hexdigest())
    assert (found.kind, found.rows, found.columns, found.size_bytes) == ("dataset", 3, None, 72)
    assert digest([x, y]) == digest((x, y))
    assert digest((y, x)) != digest((x, y))
    assert digest((x, (y,))) != digest((x, y))
    assert digest(((x, y),)) != digest((x, y))
    assert describe((x, x[:1])).rows is None


def test_a_mapping_is_its_members_by_name():
    x, y = np.ones((3, 2)), np.arange(3)
    found = describe({"ü": y, "x": x})
    lines = f"provgraph collection-v1\n1 x {digest(x)}\n2 ü {digest(y)}\n"
    assert found.digest == Digest("collection-v1", hashlib.sha256(lines.encode()).hexdigest())
    assert digest({"x": x, "ü": y}) == str(found.digest)
    assert digest({"x": y, "ü": x}) != str(found.digest)


def test_long_collections_are_described_shortly():
    many = {f"array {number}": np.zeros(1) for number in range(1000)}
    assert describe(many).description.endswith("; array 102: NumPy array, float64, 1; and 994 more")


def test_plain_lists_and_records_are_columns():
    assert digest([1, 2, None]) == digest(pl.Series([1, 2, None]))
    records = [{"text": "a", "label": 1}, {"text": "b", "label": None}]
    assert digest(records) == digest(pl.Series(records))
    assert digest([[1, 2], [3]]) == digest(pl.Series([[1, 2], [3]]))
    fields = pa.struct([("b", pa.int64()), ("a", pa.int64())])
    gaps = [{"b": 1, "a": None}, {"b": None, "a": 2}]
    assert digest([{"b": 1}, {"a": 2}]) == digest(pa.array(gaps, fields))


def test_the_data_of_a_scikit_learn_bunch():
    iris = load_iris()
    found = describe(iris)
    assert found.rows == 150
    assert (
        found.digest
        == describe(
            {
                "data": iris.data,
                "target": iris.target,
                "feature_names": iris.feature_names,
                "target_names": iris.target_names,
            }
        ).digest
    )
    assert describe(Bunch(data=iris.data, DESCR="other")).digest != found.digest


# ---- what is refused -----------------------------------------------------------------------------------
def circular():
    itself = []
    itself.append(itself)
    return itself


def deep():
    nested = np.zeros(1)
    for _ in range(20):
        nested = (nested,)
    return nested


UTC_TIME = dt.time(1, tzinfo=dt.UTC)
REFUSED = {
    "foreign cells": (
        pd.DataFrame({"ok": [1, 2], "odd": [None, Foreign()]}),
        "cannot digest a pandas.DataFrame object: column 'odd': row 1 holds a ",
    ),
    "foreign cells in polars": (pl.Series([Foreign()], dtype=pl.Object), "row 0 holds a "),
    "foreign cells in a list": (pd.Series([[1, Foreign()]]), "row 1 holds a "),
    "complex cells": (pd.Series([1j]), "cells of type complex128 have no canonical form"),
    "periods": (pd.Series(pd.period_range("2024", periods=2)), "pandas dtype period"),
    "maps": (
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "Arrow type map<string, int64> has no canonical form; cast the column",
    ),
    "month intervals": (
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        "Arrow type month_day",
    ),
    "run-end encoded": (pa.RunEndEncodedArray.from_arrays([2], [1]), "Arrow type run_end_encoded"),
    "huge integers": (pd.Series([1, 2**64]), "integers from 1 to 18446744073709551616 do not fit"),
    "huge negative": (pd.Series([-1, 2**63]), "do not fit into 64 bits"),
    "integers that no float holds": (
        pd.Series([0.5, 2**53 + 1], dtype=object),
        "holds both floats and the integer 9007199254740993, which no float can hold exactly",
    ),
    "128-bit integers": (pl.Series([2**100], dtype=pl.Int128), "conversion from `i128` to `i64`"),
    "infinite decimals": ([Decimal("inf")], "a decimal must be finite, found Infinity"),
    "times of day with a zone": ([UTC_TIME], "a time of day with a zone names no instant"),
    "times beyond 64 bits": (
        pa.array([2**62], pa.timestamp("s")),
        "a time lies outside of what microseconds in 64 bits can hold",
    ),
    "keys that are no text": (pd.Series([{1: 2}]), "the keys of a dict must be text"),
    "mixed collection": (
        (np.zeros(1), Foreign()),
        "cannot digest a tuple object: member 1 is a ",
    ),
    "mixed mapping": ({"x": np.zeros(1), "model": Foreign()}, "member 'model' is a "),
    "numbers as keys": ({1: np.zeros(1)}, "its keys must be text, found 1"),
    "circular": (circular(), "RecursionError"),
    "deep": (deep(), "nested more than 16 deep"),
    "lazy frame": (pl.LazyFrame({"a": [1]}), "polars.LazyFrame object: it is lazy"),
    "arrow dataset": (pyarrow.dataset.dataset(pa.table({"a": [1]})), "hand over .to_table()"),
    "arrow reader": (pa.table({"a": [1]}).to_reader(), "hand over .read_all()"),
    "generator": ((row for row in []), "reading it would use it up"),
}


@pytest.mark.parametrize(("obj", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_digested_is_refused_with_the_reason(obj, reason):
    with pytest.raises(CaptureError, match=re.escape(reason)):
        describe(obj)


def test_an_archive_of_arrays_is_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(1))
    with np.load(tmp_path / "a.npz") as archive, pytest.raises(CaptureError, match="its file"):
        describe(archive)


def test_a_failing_library_is_reported_as_ours():
    class Broken(pd.DataFrame):
        @property
        def shape(self):
            raise MemoryError("no more")

    with pytest.raises(CaptureError, match=r"Broken object: MemoryError: no more"):
        describe(Broken({"a": [1]}))


def test_subclasses_are_known_by_their_base():
    class Named(pd.DataFrame):
        pass

    assert digest(Named({"a": [1]})) == digest(pl.DataFrame({"a": [1]}))


def test_digesting_changes_nothing():
    frame = FRAME.copy()
    array = np.arange(6.0).reshape(2, 3).T
    array.flags.writeable = False
    describe(frame)
    describe(array)
    pd.testing.assert_frame_equal(frame, FRAME)


# ---- what it costs -----------------------------------------------------------------------------------
def test_no_library_is_imported_to_look_at_an_object():
    code = """
        import sys
        from provgraph.capture.data import describe
        describe(b"abc"), describe(object()), describe({}), describe("x"), describe(sys)
        heavy = {"numpy", "pandas", "polars", "pyarrow", "torch", "jax", "scipy", "sklearn"}
        print(sorted(heavy & set(sys.modules)))
        import polars
        print(describe(polars.DataFrame({"a": [1, None]})).rows)
        print(sorted((heavy | {"numpy"}) & set(sys.modules) - {"polars"}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "2", "['numpy']"]


def test_a_million_rows_take_less_than_a_second_and_little_memory():
    data = np.random.default_rng(0).random((20, 1_000_000))
    frame = pd.DataFrame({f"c{number}": row for number, row in enumerate(data)}, copy=False)
    tracemalloc.start()
    start = time.perf_counter()
    found = describe(frame)
    seconds = time.perf_counter() - start
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.size_bytes == 20 * (8_000_000 + 125_000)
    assert seconds < 1  # 0.12 s on 2 shared cores
    assert peak_bytes < 8_000_000  # of 160 MB


def test_texts_take_little_memory_too():
    texts = [f"text number {number}" for number in range(300_000)]
    frame = pd.DataFrame({"object": pd.Series(texts, dtype=object), "str": texts})
    tracemalloc.start()
    describe(frame)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 16_000_000  # pointers and tags of the rows, and one block
