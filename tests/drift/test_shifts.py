"""Columns and tables compared through their profiles, each trait with what must not show it."""

import numpy as np
import pandas as pd
import pytest

from provgraph.capture.profiling.limits import Limits
from provgraph.capture.profiling.tables import profile_table
from provgraph.drift.confusion import class_rates, reweighted
from provgraph.drift.tables import column_noise, compare_tables


def table(seed, rows=900):
    generator = np.random.default_rng(seed)
    label = (generator.random(rows) < 0.4).astype(int)
    length = generator.normal(170, 10, rows) + 8 * label
    return pd.DataFrame(
        {
            "length": length,
            "weight": 0.9 * (length - 100) + generator.normal(0, 5, rows),
            "colour": generator.choice(["red", "green", "blue"], rows, p=[0.5, 0.3, 0.2]),
            "label": label,
        }
    )


def profiled(frame):
    found = profile_table(frame, limits=Limits(), label="label")
    assert found is not None
    return found


def shift(after, before=None):
    return compare_tables(profiled(table(1) if before is None else before), profiled(after))


def column(found, name):
    return next(each for each in found.columns if each.name == name)


def test_two_samples_of_one_population_are_quiet():
    found = shift(table(2))
    assert found.loudness < 1.6
    assert found.moved_share == 0.0
    assert (found.lost, found.added) == ((), ())


def test_empty_cells_show_as_nulls_and_only_there():
    after = table(2)
    after.loc[after.index % 3 == 0, "weight"] = np.nan
    found = shift(after)
    assert column(found, "weight").null_after == pytest.approx(1 / 3)
    assert column(found, "weight").null_z > 10
    assert column(found, "length").null_z == 0


def test_another_unit_shows_its_factor():
    after = table(2)
    after["length"] /= 2.54
    found = shift(after)
    assert column(found, "length").unit == pytest.approx(1 / 2.54, rel=0.02)
    assert column(found, "weight").unit is None


def test_selected_rows_do_not_look_like_another_unit():
    after = table(2, 3000).nlargest(900, "length")
    found = shift(after)
    assert column(found, "length").shape_z > 5
    assert column(found, "length").unit is None
    # The tied column moves along, so that none is alone.
    assert found.lonely < 0.2


def test_a_column_that_moves_alone_is_damage():
    after = table(2)
    after["length"] = np.random.default_rng(5).permutation(after["length"]) + 30
    found = shift(after)
    assert found.lonely > 0.3
    assert found.broken_share > 0.8


def test_a_sentinel_shows_as_spike_and_outside():
    after = table(2)
    after.loc[after.index % 4 == 0, "length"] = -999.0
    seen = column(shift(after), "length")
    assert seen.spike > 0.15
    assert seen.spike_value == "-999.0"
    assert seen.outside > 0.2


def test_new_classes_show_their_share():
    after = table(2)
    after.loc[after.index % 2 == 0, "colour"] = "RED"
    assert column(shift(after), "colour").new_mass == pytest.approx(0.5, abs=0.01)


def test_a_changed_label_mix_explains_the_columns():
    before, after = table(1, 3000), table(2, 6000)
    ones, zeros = after[after.label == 1], after[after.label == 0]
    found = shift(pd.concat([ones.head(1800), zeros.head(400)]), before)
    assert found.label_z > 5
    assert found.residual_z < 0.5 * found.marginal_z


def test_a_shift_within_classes_is_not_explained_by_the_mix():
    after = table(2)
    after["length"] += 12
    found = shift(after)
    assert found.label_z < 1.5
    assert found.residual_z > 0.7 * found.marginal_z


def test_labels_at_random_lose_the_relation():
    after = table(2)
    after["label"] = np.random.default_rng(3).permutation(after["label"])
    found = shift(after)
    assert found.association_lost > 0.7
    assert found.association_z > 3
    assert found.loudness < 1.6


def test_columns_that_come_and_go_are_named():
    after = table(2).rename(columns={"weight": "mass"})
    found = shift(after)
    assert (found.lost, found.added) == (("weight",), ("mass",))


def test_what_moves_in_healthy_tables_is_not_loud():
    def noisy(seed):
        return table(seed).assign(length=lambda t: t.length + 12 * (seed % 4))

    noise = column_noise([profiled(noisy(s)) for s in (1, 2, 3, 4)])
    seen = compare_tables(profiled(noisy(1)), profiled(noisy(6)), noise)
    assert column(seen, "length").loudness < 1.5


def test_a_constant_column_and_a_hundred_thousand_classes_are_compared():
    rows = 4000
    before = table(1, rows).assign(constant=1.0, name=[f"n{i % 4000}" for i in range(rows)])
    after = table(2, rows).assign(constant=1.0, name=[f"m{i * 25}" for i in range(rows)])
    found = shift(after, before)
    assert column(found, "constant").loudness == 0
    assert column(found, "name").new_mass <= 1.0


def test_the_mix_alone_lowers_accuracy():
    def predictions(right_of_one, ones):
        rows = 1000
        label = (np.arange(rows) < ones).astype(int)
        generator = np.random.default_rng(0)
        hit = np.where(label == 1, generator.random(rows) < right_of_one, True)
        return profiled(
            pd.DataFrame({"prediction": np.where(hit, label, 1 - label), "label": label})
        )

    before, mixed, worse = predictions(0.6, 200), predictions(0.6, 700), predictions(0.1, 200)
    rates = class_rates(before)
    assert rates.accuracy == pytest.approx(0.92, abs=0.04)
    assert reweighted(rates, class_rates(mixed)) == pytest.approx(1, abs=0.1)
    assert reweighted(rates, class_rates(worse)) == pytest.approx(0, abs=0.1)
