"""Profiles of parts, added up, and made as small as they must be."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_strategies import TABLES

from provgraph.errors import FormatError
from provgraph.frozen import replace
from provgraph.profiles.codec import encode
from provgraph.profiles.fitting import fitted
from provgraph.profiles.merging import merge
from provgraph.profiles.profile import (
    MAX_BYTES,
    ByLabel,
    ColumnProfile,
    Group,
    Label,
    TableProfile,
)
from provgraph.profiles.quantiles import Quantiles
from provgraph.profiles.values import Frequent


def table(*columns: ColumnProfile, rows: int = 10, **more) -> TableProfile:
    return TableProfile(rows=rows, column_count=len(columns), columns=columns, **more)


def sketch(size: int = 65) -> Quantiles:
    return Quantiles(
        values=tuple(number + 0.123456 for number in range(size)), count=1_000, error=0.02
    )


def wide(count: int) -> TableProfile:
    column = ColumnProfile(
        name="",
        type="float",
        distinct=1_000,
        mean=1.2345678,
        variance=2.3456789,
        quantiles=sketch(),
        registers="A" * 256,
    )
    columns = tuple(replace(column, name=f"feature_{number}") for number in range(count))
    groups = (Group(rows=500, quantiles=sketch(17)), Group(rows=500, quantiles=sketch(17)))
    return table(
        *columns,
        rows=1_000,
        label=Label(name="feature_0", origin="given", classes=((0, 500), (1, 500))),
        by_label=tuple(ByLabel(column=each.name, groups=groups) for each in columns),
    )


@given(parts=st.lists(st.lists(st.integers(-100, 100), min_size=1), min_size=2, max_size=4))
def test_mean_and_variance_are_those_of_all_rows(parts):
    profiles = [
        table(
            ColumnProfile(
                name="x",
                type="integer",
                distinct=len(set(part)),
                mean=statistics.fmean(part),
                variance=statistics.variance(part) if len(part) > 1 else None,
            ),
            rows=len(part),
        )
        for part in parts
    ]
    numbers = [number for part in parts for number in part]
    merged = merge(profiles)
    assert merged.rows == len(numbers)
    assert merged.columns[0].mean == pytest.approx(statistics.fmean(numbers), rel=1e-6, abs=1e-6)
    assert merged.columns[0].variance == pytest.approx(
        statistics.variance(numbers), rel=1e-6, abs=1e-6
    )


@settings(max_examples=40)
@given(parts=st.lists(TABLES, min_size=2, max_size=3), data=st.data())
def test_any_profiles_merge_in_any_order_to_the_same_bytes(parts, data):
    shuffled = data.draw(st.permutations(parts))
    assert encode(merge(shuffled)) == encode(merge(parts))


def test_columns_of_one_name_are_merged_in_their_order():
    part = table(
        ColumnProfile(name="x", type="integer", distinct=1, mean=1.0),
        ColumnProfile(name="x", type="integer", distinct=1, mean=5.0),
    )
    assert [column.mean for column in merge([part, part]).columns] == [1.0, 5.0]


def test_a_column_that_not_all_parts_have_is_left_out_and_said():
    both = ColumnProfile(name="x", type="integer", distinct=1)
    merged = merge([table(both), table(both, ColumnProfile(name="y", type="float", distinct=2))])
    assert [column.name for column in merged.columns] == ["x"]
    assert merged.notes == ("not in all 2 parts, hence left out: 'y'",)


def test_whole_numbers_and_fractions_make_a_column_of_fractions():
    merged = merge(
        [table(ColumnProfile(name="x", type=kind)) for kind in ("integer", "null", "float")]
    )
    assert merged.columns[0].type == "float"


def test_withheld_values_of_one_part_are_not_listed_by_another():
    shown = ColumnProfile(
        name="x", type="string", distinct=1, frequent=Frequent(counts=(("anna", 10),))
    )
    hidden = ColumnProfile(name="x", type="string", distinct=9, withheld="identifies")
    merged = merge([table(shown), table(hidden)])
    assert merged.columns[0].frequent is None
    assert b"anna" not in encode(merged)


def test_classes_are_matched_by_value_and_not_by_place():
    def part(*classes: tuple[str, int]) -> TableProfile:
        return table(
            ColumnProfile(name="x", type="float"),
            label=Label(name="y", origin="given", classes=classes),
            by_label=(ByLabel(column="x", groups=tuple(Group(rows=n) for _, n in classes)),),
        )

    merged = merge([part(("a", 6), ("b", 4)), part(("b", 9), ("c", 1))])
    assert merged.label is not None
    assert merged.label.classes == (("b", 13), ("a", 6), ("c", 1))
    assert [group.rows for group in merged.by_label[0].groups] == [13, 6, 1]


def test_bins_with_other_edges_are_not_added_up():
    parts = [table(label=Label(name="y", origin="given", edges=(edge,))) for edge in (1.0, 2.0)]
    merged = merge(parts)
    assert merged.label is None
    assert "bins differ" in merged.notes[0]


def test_nothing_to_merge_is_refused():
    with pytest.raises(FormatError, match="at least one"):
        merge([])


@pytest.mark.parametrize("count", [1, 20, 60, 200, 2_000])
def test_a_profile_is_below_its_size_however_wide_the_table(count):
    small = fitted(wide(count))
    assert len(encode(small)) <= MAX_BYTES
    if count <= 200:
        assert len(small.columns) == count
    else:
        assert 100 <= len(small.columns) < count
        assert "are left out" in small.notes[-1]


def test_a_narrow_table_keeps_all_its_detail():
    small = fitted(wide(5))
    assert [len(each.quantiles.values) for each in small.columns if each.quantiles] == [65] * 5
    assert [len(each.groups) for each in small.by_label] == [2] * 5
    assert fitted(small) == small


def test_long_names_are_cut_and_do_not_burst_the_profile():
    columns = tuple(ColumnProfile(name="n" * 10_000, type="null") for _ in range(200))
    small = fitted(table(*columns))
    assert len(encode(small)) <= MAX_BYTES
    assert small.columns[0].name == "n" * 99 + "…"
