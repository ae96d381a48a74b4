"""Profiles of tables: the same for the same rows, right against exact figures, bounded, private."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import zoneinfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn.datasets
from scipy import stats
from tables import COLUMNS, LIBRARIES, in_pandas, random_frame

from provgraph.capture.profiled import TABLES, is_table
from provgraph.capture.profiling import reading
from provgraph.capture.profiling.limits import Limits
from provgraph.capture.profiling.tables import profile_table
from provgraph.profiles.codec import decode, encode
from provgraph.profiles.merging import merge
from provgraph.profiles.profile import MAX_BYTES, ColumnProfile, TableProfile

WHOLE = Limits()
SMALL = Limits(joint_rows=1_000)


def profiled(thing, *, limits: Limits = WHOLE, **more) -> TableProfile:
    profile = profile_table(thing, limits=limits, **more)
    assert profile is not None
    assert decode(encode(profile)) == profile
    assert len(encode(profile)) <= MAX_BYTES
    return profile


def column_of(values, **more) -> ColumnProfile:
    return profiled({"x": values}, **more).columns[0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_equal_rows_have_one_profile_in_every_library(library):
    assert encode(profiled(LIBRARIES[library]())) == encode(profiled(in_pandas()))


@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["whole", "joint-sample"])
def test_the_order_of_rows_does_not_matter(limits):
    frame = random_frame(5_000)
    shuffled = frame.sample(frac=1, random_state=7)
    assert encode(profiled(shuffled, limits=limits)) == encode(profiled(frame, limits=limits))


def test_a_changed_cell_changes_the_profile():
    frame = random_frame(500)
    changed = frame.copy()
    changed.loc[7, "noise"] = 1e6
    assert encode(profiled(changed)) != encode(profiled(frame))


def test_figures_are_those_of_the_rows():
    profile = profiled(in_pandas())
    age, income, city, since, active, _ = profile.columns
    assert [each.name for each in profile.columns] == list(COLUMNS)
    assert (age.type, age.nulls, age.distinct, age.mean) == ("integer", 0, 3, 30.0)
    assert (age.minimum, age.maximum) == (20.0, 40.0)
    assert age.frequent.counts == ((20, 20), (30, 20), (40, 20))
    assert age.variance == pytest.approx(np.var(COLUMNS["age"], ddof=1), rel=1e-8)
    assert (income.type, income.nulls, income.distinct, income.mean) == ("float", 20, 2, 2.375)
    assert (city.type, city.nulls, city.frequent.counts) == (
        "string",
        15,
        (("Rome", 30), ("Oslo", 15)),
    )
    assert (city.lengths.minimum, city.lengths.maximum, city.lengths.mean) == (4, 4, 4.0)
    assert (since.type, since.distinct) == ("timestamp", 60)
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()
    assert (since.minimum, since.maximum) == (start, start + 59 * 3600)
    assert (active.type, active.frequent.counts) == ("bool", ((False, 30), (True, 30)))


def test_quantiles_and_associations_agree_with_scipy():
    frame = random_frame(4_000)
    profile = profiled(frame)
    sketch = profile.column("signal").quantiles
    for x in np.linspace(-3, 3, 50):
        assert abs(sketch.share_up_to(x) - (frame["signal"] <= x).mean()) <= sketch.error
    found = {(each.one, each.other): each for each in profile.associations}
    expected = stats.spearmanr(frame["signal"], frame["target"]).statistic
    assert found["signal", "target"].value == pytest.approx(expected, abs=1e-4)
    expected = stats.spearmanr(frame["signal"], frame["noise"]).statistic
    assert found["signal", "noise"].value == pytest.approx(expected, abs=1e-4)
    assert found["colour", "target"].measure == "eta"
    assert found["colour", "target"].value > 0.3
    assert ("serial", "target") not in found  # of what is unique nothing can be said


def test_by_label_are_the_figures_of_each_class():
    frame = random_frame(4_000)
    profile = profiled(frame, label="target")
    counts = frame["target"].value_counts()
    assert profile.label.origin == "given"
    assert dict(profile.label.classes) == {int(k): int(v) for k, v in counts.items()}
    groups = next(each for each in profile.by_label if each.column == "signal").groups
    for (value, count), group in zip(profile.label.classes, groups, strict=True):
        part = frame.loc[frame["target"] == value, "signal"]
        assert (group.rows, group.nulls, len(group.quantiles.values)) == (count, 0, 17)
        for x in (-1.0, 0.0, 1.0):
            share = (part <= x).mean()
            assert abs(group.quantiles.share_up_to(x) - share) <= group.quantiles.error
    colours = next(each for each in profile.by_label if each.column == "colour").groups
    for (value, _), group in zip(profile.label.classes, colours, strict=True):
        part = frame.loc[frame["target"] == value, "colour"].value_counts()
        assert dict(group.frequent.counts) == part.to_dict()


def test_a_label_of_many_numbers_has_bins():
    rng = np.random.default_rng(0)
    y = rng.normal(size=1_000)
    profile = profiled({"x": y + rng.normal(size=1_000), "price": y}, label="price")
    assert len(profile.label.edges) == 3
    (by,) = profile.by_label
    medians = [group.quantiles.at(0.5) for group in by.groups]
    assert medians == sorted(medians)
    assert [group.rows for group in by.groups] == pytest.approx([250] * 4, abs=20)


def test_a_label_is_guessed_by_its_name_only_where_one_column_has_it():
    assert profiled({"x": [1, 2] * 9, "Label": [0, 1] * 9}).label.origin == "guessed"
    assert profiled({"y": [1, 2] * 9, "label": [0, 1] * 9}).label is None


def test_a_label_that_is_no_column_is_said():
    assert profiled({"x": [1, 2]}, label="goal").notes == (
        "the label 'goal' is no column that has values",
    )


def test_merged_profiles_of_parts_are_close_to_that_of_the_whole():
    frame = random_frame(6_000)
    parts = [profiled(frame.iloc[start : start + 1_500]) for start in range(0, 6_000, 1_500)]
    merged, whole = merge(parts), profiled(frame)
    assert (merged.rows, merged.parts) == (6_000, 4)
    for column in whole.columns:
        other = merged.column(column.name)
        assert (other.type, other.nulls, other.infinite) == (column.type, 0, 0)
        if column.mean is not None:
            assert other.mean == pytest.approx(column.mean, rel=1e-6, abs=1e-9)
            assert other.variance == pytest.approx(column.variance, rel=1e-6)
            for x in np.linspace(column.minimum, column.maximum, 40):
                apart = abs(other.quantiles.share_up_to(x) - column.quantiles.share_up_to(x))
                assert apart <= other.quantiles.error + column.quantiles.error
        assert abs(other.distinct - column.distinct) <= 0.25 * column.distinct
    assert merged.column("colour").frequent == whole.column("colour").frequent
    assert merged.label.classes == whole.label.classes


def test_a_big_table_is_sampled_and_says_so():
    frame = pd.DataFrame({"x": np.arange(10_000)})
    profile = profiled(frame, limits=Limits(rows=3_000))
    assert profile.rows == 10_000
    assert (profile.sampled.rows, profile.sampled.of) == (2_500, 10_000)
    assert profile.sampled.method == "every 4. row"
    assert profile.profiled_rows == 2_500
    assert profile.columns[0].maximum == 9_996


def test_a_spent_budget_leaves_columns_out_and_says_so():
    clock = iter(range(1_000))
    profile = profiled(random_frame(100), limits=Limits(seconds=2.5), clock=lambda: next(clock))
    assert len(profile.columns) == 3
    assert "columns from the 4. on are left out: the budget of 2.5 s" in profile.notes[0]
    assert profile.associations == ()


def test_the_joint_sample_is_a_fair_one_where_many_rows_are_equal():
    rows = 20_000
    frame = pd.DataFrame({"a": [0, 0, 0, 1] * (rows // 4), "target": [0, 1] * (rows // 2)})
    profile = profiled(frame, limits=SMALL)
    assert (profile.joint.rows, profile.joint.of) == (1_000, rows)
    (by,) = profile.by_label
    assert [group.rows for group in by.groups] == pytest.approx([500, 500], abs=80)


# ---- what may not be listed ----------------------------------------------------------------------
def test_identifiers_free_text_and_personal_values_are_not_listed():
    mails = [f"person{number}@example.org" for number in range(20)] * 10
    frame = {
        "serial": [f"S-{number:06d}" for number in range(200)],
        "review": ["the same long review of a product that somebody bought here"] * 200,
        "contact": mails,
        "customer_name": ["Anna Karenina", "Emma Bovary"] * 100,
        "key": ["AKIAIOSFODNN7EXAMPLE"] * 200,
        "phone": [491701234567, 491707654321] * 100,
    }
    profile = profiled(frame)
    reasons = {each.name: each.withheld for each in profile.columns}
    assert reasons == {
        "serial": "most of its values are unique, as of an identifier",
        "review": "its values are long, as of free text",
        "contact": "its values look like e-mail addresses",
        "customer_name": "its name holds 'customer'",
        "key": "a value looks like a secret",
        "phone": "its name holds 'phone'",
    }
    text = encode(profile).decode()
    for secret in ("S-0000", "review of", "person1", "Anna", "AKIA", "4917"):
        assert secret not in text
    assert profile.column("contact").patterns == (("a9@a.a", 200),)
    assert profile.column("contact").buckets != ()
    assert sum(profile.column("contact").buckets) == 200


def test_a_text_of_few_rows_is_not_listed():
    column = column_of(["common"] * 50 + ["rare"] * 4)
    assert column.frequent.counts == (("common", 50),)
    assert (column.frequent.others, column.frequent.at_most) == (4, 4)
    assert not column.frequent.is_complete


def test_values_can_be_turned_off():
    profile = profiled(in_pandas(), limits=Limits(lists_values=False))
    assert [each.frequent for each in profile.columns] == [None] * 6
    assert "Rome" not in encode(profile).decode()
    assert profile.column("city").withheld == "the setting profile_values is off"


def test_secrets_in_column_names_are_redacted():
    profile = profiled({"token=ghp_0123456789abcdefghijklmnopqrstuvwxyzAB": [1, 2]})
    assert "ghp_" not in encode(profile).decode()


# ---- what users hand over ------------------------------------------------------------------------
def test_a_hundred_thousand_categories_are_bounded():
    rng = np.random.default_rng(0)
    values = np.char.add("c", rng.integers(0, 100_000, 300_000).astype(str))
    column = column_of(values)
    assert column.distinct == len(np.unique(values))
    assert len(column.frequent.counts) <= 32
    counts = pd.Series(values).value_counts()
    assert column.frequent.counts[0][1] == counts.iloc[0]
    assert column.frequent.at_most <= counts.iloc[0]


@pytest.mark.parametrize(
    ("values", "kind", "nulls", "distinct", "infinite"),
    [
        ([None] * 5, "null", 5, 0, 0),
        ([math.nan] * 5, "null", 5, 0, 0),
        ([7] * 5, "integer", 0, 1, 0),
        ([0.1] * 5, "float", 0, 1, 0),
        ([1.5, math.inf, -math.inf, math.nan, 2.5], "float", 1, 4, 2),
        ([math.inf] * 3, "float", 0, 1, 3),
        ([0.0, -0.0], "integer", 0, 1, 0),
        ([decimal.Decimal("1.50"), decimal.Decimal(2)], "decimal", 0, 2, 0),
        ([[1, 2], [3]], "list", 0, 2, 0),
        ([dt.date(2024, 1, 1), dt.date(2024, 2, 1)], "date", 0, 2, 0),
        ([dt.time(1), dt.time(2)], "time", 0, 2, 0),
        ([dt.timedelta(1), dt.timedelta(2)], "duration", 0, 2, 0),
        ([b"ab", b"c"], "bytes", 0, 2, 0),
        ([2**63 - 1, -(2**63)], "integer", 0, 2, 0),
        ([2**64 - 1, 2**63], "integer", 0, 2, 0),
        ([1e308, -1e308], "float", 0, 2, 0),
        ([5e-324, 1.0], "float", 0, 2, 0),
        (["", "a", "a\x00"], "string", 0, 3, 0),
        (["x" * 65, "x" * 66, "x" * 1_000], "string", 0, 3, 0),
    ],
    ids=[
        "all-null", "all-nan", "constant", "constant-fraction", "nan-and-infinities",
        "all-infinite", "two-zeros", "decimals", "lists", "dates", "times", "durations", "bytes",
        "int64-ends", "uint64-ends", "huge", "tiny", "empty-text-and-nul", "long-texts",
    ],
)  # fmt: skip
def test_columns_of_all_kinds(values, kind, nulls, distinct, infinite):
    column = column_of(values)
    assert (column.type, column.nulls, column.distinct, column.infinite) == (
        kind,
        nulls,
        distinct,
        infinite,
    )


def test_a_constant_column_has_no_spread_and_says_that_it_is_one():
    column = column_of([0.1] * 1_001)
    assert (column.mean, column.variance, column.is_constant) == (0.1, 0.0, True)
    assert profiled({"x": [0.1] * 50, "y": range(50)} | {"y": list(range(50))}).associations == ()


def test_mixed_cells_are_counted_by_kind():
    column = column_of([1, "a", None, 2.5, "b"])
    assert (column.type, column.nulls, column.patterns) == (
        "mixed",
        1,
        (("number", 2), ("string", 2)),
    )


def test_a_column_that_cannot_be_read_costs_itself_and_no_other():
    frame = pd.DataFrame({"a": [object(), object()], "b": [1, 2]})
    first, second = profiled(frame).columns
    assert first.type == "unreadable"
    assert "row 0 holds a builtins.object" in first.unreadable
    assert second.distinct == 2


def test_integers_beyond_64_bits_are_said_to_be_unreadable():
    column = column_of([10**30, 1])
    assert (column.type, "do not fit into 64 bits" in column.unreadable) == ("unreadable", True)


@pytest.mark.parametrize(
    "thing",
    [
        pd.DataFrame(),
        pd.DataFrame({"a": []}),
        pd.DataFrame(index=range(5)),
        pl.DataFrame(),
        np.empty((0, 3)),
        np.empty((3, 0)),
        scipy.sparse.csr_matrix((0, 4)),
    ],
    ids=["no-columns", "no-rows", "rows-only", "polars", "array-no-rows", "array-no-columns", "sparse"],
)  # fmt: skip
def test_tables_without_rows_or_columns(thing):
    profile = profiled(thing)
    assert profile.rows == thing.shape[0]
    assert profile.column_count == thing.shape[1]
    assert {each.distinct for each in profile.columns} <= {0}


def test_columns_that_share_a_name_are_told_apart_by_place():
    frame = pd.DataFrame([[1, 2.5], [3, 4.5]], columns=["x", "x"])
    assert [each.type for each in profiled(frame).columns] == ["integer", "float"]


def test_names_of_several_levels_are_written_as_pandas_shows_them():
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    assert [each.name for each in profiled(frame).columns] == ["('a', 'x')", "('a', 'y')"]


def test_times_with_a_zone_are_instants():
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    frame = pd.DataFrame({"at": pd.to_datetime(["2024-06-01", "2024-06-02"]).tz_localize(zone)})
    column = profiled(frame).columns[0]
    assert column.type == "instant"
    assert column.minimum == dt.datetime(2024, 5, 31, 22, tzinfo=dt.UTC).timestamp()


def test_ten_thousand_columns_are_bounded_and_said():
    profile = profiled(np.random.default_rng(0).normal(size=(50, 10_000)))
    assert profile.column_count == 10_000
    assert len(profile.columns) == 200
    assert profile.notes[0] == "of 10,000 columns the first 200 are profiled"


def test_a_sparse_matrix_has_the_profile_of_its_dense_one():
    matrix = scipy.sparse.random(300, 8, density=0.1, random_state=0, format="csr")
    assert encode(profiled(matrix)) == encode(profiled(matrix.toarray()))


def test_an_array_of_images_is_profiled_by_place():
    images = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    assert profiled(images).column_count == 12


def test_a_bunch_of_scikit_learn_brings_its_names_and_its_label():
    profile = profiled(sklearn.datasets.load_iris())
    assert [each.name for each in profile.columns][:2] == ["target", "sepal length (cm)"]
    assert profile.label.classes == ((0, 50), (1, 50), (2, 50))
    assert len(profile.by_label) == 4


@pytest.mark.parametrize(
    "thing", [b"bytes", 7, object(), [], {}, [[1, 2], [3]], {"a": 1}, {"a": [1], "b": [1, 2]}]
)
def test_what_is_no_table_has_no_profile(thing):
    assert profile_table(thing, limits=Limits()) is None


def test_kinds_of_tables_are_listed_once_and_known_without_loading_anything():
    assert set(reading._READ) == TABLES
    assert [is_table(thing) for thing in (pd.DataFrame(), np.empty(1), "text", 1)] == [
        True,
        True,
        False,
        False,
    ]
