"""Is the drop real: against healthy runs, against sampling error alone, and where it cannot be told."""

import math

import pytest

from provgraph.drift.facts import Measure
from provgraph.drift.noise import (
    is_lower_better,
    judge_drop,
    student_critical,
    student_tail,
)


def measure(value, metric="accuracy", n=400, error=None):
    return Measure(metric=metric, value=value, n=n, standard_error=error)


HEALTHY = [0.91, 0.90, 0.92, 0.905, 0.915, 0.91]


def test_a_value_far_below_healthy_runs_is_a_drop():
    drop = judge_drop(measure(0.91), measure(0.80), HEALTHY)
    assert drop.is_real is True
    assert drop.size == pytest.approx(0.11)
    # By hand: floor 0.75 * sqrt(0.8 * 0.2 / 400) = 0.015 above the spread 0.0071; times sqrt(7/6).
    assert drop.noise == pytest.approx(0.75 * 0.02 * math.sqrt(7 / 6), rel=1e-6)


def test_a_value_within_healthy_runs_is_none():
    drop = judge_drop(measure(0.91), measure(0.899), HEALTHY)
    assert drop.is_real is False
    assert drop.smallest_visible > 0.011


def test_a_rise_is_no_drop():
    assert judge_drop(measure(0.91), measure(0.99), HEALTHY).z < 0


@pytest.mark.parametrize("metric", ["rmse", "log_loss", "mean_absolute_error", "brier", "val_loss"])
def test_where_lower_is_better_the_sign_turns(metric):
    assert is_lower_better(metric) is True
    healthy = [1.0, 1.02, 0.98, 1.01, 0.99, 1.0]
    worse = judge_drop(measure(1.0, metric, None), measure(1.5, metric, None), healthy)
    better = judge_drop(measure(1.0, metric, None), measure(0.5, metric, None), healthy)
    assert (worse.is_real, better.is_real) == (True, False)


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", "f1_macro", "r2", "glossiness"])
def test_names_that_only_look_like_errors_are_better_when_higher(metric):
    assert is_lower_better(metric) is False


def test_nan_is_not_judged():
    drop = judge_drop(measure(0.9), measure(math.nan), HEALTHY)
    assert (drop.z, drop.is_real) == (None, False)
    assert drop.why == "the metric is not a number"


def test_one_healthy_value_without_n_leaves_noise_unknown():
    drop = judge_drop(measure(0.9, n=None), measure(0.5, n=None), [0.9])
    assert (drop.z, drop.is_real) == (None, False)
    assert drop.why == "1 healthy value and no n or interval: noise is unknown"


def test_one_healthy_value_with_n_is_judged_by_sampling_error():
    drop = judge_drop(measure(0.9), measure(0.6), [0.9])
    assert drop.is_real is True
    assert drop.runs == 1


def test_few_rows_see_only_large_drops():
    few = judge_drop(measure(0.9, n=20), measure(0.75, n=20), [0.9, 0.85, 0.9, 0.95])
    many = judge_drop(measure(0.9, n=2000), measure(0.75, n=2000), [0.9, 0.89, 0.9, 0.91])
    assert (few.is_real, many.is_real) == (False, True)


# Quantiles of Student's t from tables (Abramowitz and Stegun 26.10).
@pytest.mark.parametrize(
    ("p", "degrees", "t"), [(0.01, 5, 3.365), (0.05, 10, 1.812), (0.01, 30, 2.457), (0.1, 1, 3.078)]
)
def test_student_agrees_with_tables(p, degrees, t):
    assert student_critical(p, degrees) == pytest.approx(t, abs=2e-3)
    assert student_tail(t, degrees) == pytest.approx(p, rel=2e-3)
    assert student_tail(-t, degrees) == pytest.approx(1 - p, rel=2e-3)
