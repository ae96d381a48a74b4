"""The quantile sketch keeps its word: no reading is further off than its stated error."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provgraph.errors import FormatError
from provgraph.profiles.quantiles import Quantiles, merge_quantiles

# Few different values among many: spikes are where sketches go wrong.
NUMBERS = st.one_of(
    st.integers(-5, 5).map(float),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.sampled_from([-1e308, 1e308, 0.0]),
)
SAMPLES = st.lists(NUMBERS, min_size=1, max_size=200)


def exact(numbers: list[float], *, size: int) -> Quantiles:
    """A sketch as capture makes it: order statistics at evenly spaced ranks."""
    numbers = sorted(numbers)
    count = len(numbers)
    size = min(size, count)
    places = [round(i * (count - 1) / max(1, size - 1)) for i in range(size)]
    error = 0.0 if size == 1 else min(1.0, 1 / (size - 1) + 1.5 / count)
    return Quantiles(values=tuple(numbers[p] for p in places), count=count, error=error)


def worst_error(sketch: Quantiles, numbers: list[float]) -> float:
    worst = 0.0
    points = sorted({*numbers, *sketch.values})
    middles = [a / 2 + b / 2 for a, b in pairwise(points)]
    for x in [*points, *middles]:
        up_to = sum(each <= x for each in numbers) / len(numbers)
        below = sum(each < x for each in numbers) / len(numbers)
        worst = max(worst, abs(sketch.share_up_to(x) - up_to), abs(sketch.share_below(x) - below))
    return worst


@given(numbers=SAMPLES, size=st.integers(2, 33))
def test_a_sketch_of_all_values_is_within_its_error(numbers, size):
    sketch = exact(numbers, size=size)
    assert worst_error(sketch, numbers) <= sketch.error + 1e-9


@given(parts=st.lists(SAMPLES, min_size=1, max_size=4), size=st.integers(2, 33))
def test_a_merged_sketch_is_within_its_error(parts, size):
    merged = merge_quantiles([exact(part, size=size) for part in parts], size=size)
    numbers = [number for part in parts for number in part]
    assert merged.count == len(numbers)
    assert (merged.minimum, merged.maximum) == (min(numbers), max(numbers))
    assert worst_error(merged, numbers) <= merged.error + 1e-9


@given(numbers=SAMPLES, size=st.sampled_from([2, 3, 5, 9, 17]))
def test_a_thinned_sketch_is_within_its_error(numbers, size):
    thin = exact(numbers, size=33).thinned(size)
    assert len(thin.values) <= max(size, 33)
    assert worst_error(thin, numbers) <= thin.error + 1e-9


@given(parts=st.lists(SAMPLES, min_size=2, max_size=4), data=st.data())
def test_the_order_of_the_parts_does_not_matter(parts, data):
    sketches = [exact(part, size=17) for part in parts]
    shuffled = data.draw(st.permutations(sketches))
    assert merge_quantiles(shuffled, size=17) == merge_quantiles(sketches, size=17)


@given(numbers=SAMPLES, digits=st.integers(3, 6))
def test_a_shortened_sketch_keeps_its_ends_and_spikes_and_moves_little(numbers, digits):
    sketch = exact(numbers, size=17)
    short = sketch.shortened(digits)
    assert (short.minimum, short.maximum) == (sketch.minimum, sketch.maximum)
    step = 10.0**-digits * (sketch.maximum / 2 - sketch.minimum / 2) * 20
    for value, moved in zip(sketch.values, short.values, strict=True):
        assert abs(value / 2 - moved / 2) <= step


def test_a_shortened_value_is_short():
    numbers = [float(number) / 7 for number in range(100)]
    assert exact(numbers, size=5).shortened(3).values[1:-1] == (3.6, 7.1, 10.6)


def test_a_spike_is_a_jump_of_the_distribution():
    sketch = exact([0.0] * 60 + [float(n) for n in range(1, 41)], size=65)
    assert sketch.share_below(0.0) == 0.0
    assert abs(sketch.share_up_to(0.0) - 0.6) <= sketch.error
    assert sketch.at(0.5) == 0.0
    assert sketch.at(1.0) == 40.0


def test_a_rank_outside_of_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"found 1\.5"):
        exact([1.0, 2.0], size=2).at(1.5)


@pytest.mark.parametrize(
    "values", [(), (2.0, 1.0), (1.0, float("nan"))], ids=["none", "descending", "nan"]
)
def test_what_is_no_sketch_is_refused(values):
    with pytest.raises(FormatError):
        Quantiles(values=values, count=2, error=0.1)


def test_nothing_to_merge_is_refused():
    with pytest.raises(FormatError, match="at least one"):
        merge_quantiles([], size=17)
