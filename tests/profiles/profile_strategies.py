"""Profiles of all shapes for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from provgraph.profiles.profile import (
    Association,
    ByLabel,
    ColumnProfile,
    Group,
    Label,
    Lengths,
    Sampled,
    TableProfile,
)
from provgraph.profiles.quantiles import Quantiles
from provgraph.profiles.values import Frequent, key_of, ordered

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COUNTS = st.integers(0, 10_000)
REALS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.one_of(
    TEXTS, st.booleans(), st.integers(-(2**70), 2**70), REALS.filter(lambda x: x % 1)
)


@st.composite
def quantiles(draw):
    values = tuple(sorted(draw(st.lists(REALS, min_size=1, max_size=9))))
    return Quantiles(values=values, count=draw(st.integers(1, 10_000)), error=draw(st.floats(0, 1)))


@st.composite
def frequents(draw):
    counts = draw(st.dictionaries(VALUES.map(key_of), st.integers(1, 1_000), max_size=5))
    return Frequent(counts=ordered(counts), others=draw(COUNTS), at_most=draw(COUNTS))


COLUMNS = st.builds(
    ColumnProfile,
    name=TEXTS,
    type=st.sampled_from(["integer", "float", "string", "bool", "null"]),
    unit=st.none() | TEXTS,
    nulls=COUNTS,
    infinite=COUNTS,
    distinct=st.none() | COUNTS,
    is_distinct_exact=st.booleans(),
    mean=st.none() | REALS,
    variance=st.none() | REALS,
    quantiles=st.none() | quantiles(),
    frequent=st.none() | frequents(),
    registers=st.none() | st.just("A" * 16),
    buckets=st.just(()) | st.just((3,) * 16),
    lengths=st.none() | st.builds(Lengths, minimum=COUNTS, maximum=COUNTS, mean=st.floats(0, 99)),
    patterns=st.lists(st.tuples(TEXTS, COUNTS), max_size=2).map(tuple),
    withheld=st.none() | TEXTS,
)
GROUPS = st.builds(
    Group,
    rows=COUNTS,
    nulls=COUNTS,
    quantiles=st.none() | quantiles(),
    frequent=st.none() | frequents(),
)
TABLES = st.builds(
    TableProfile,
    rows=COUNTS,
    column_count=COUNTS,
    columns=st.lists(COLUMNS, max_size=4).map(tuple),
    sampled=st.none() | st.builds(Sampled, rows=COUNTS, of=COUNTS, method=TEXTS),
    label=st.none()
    | st.builds(
        Label,
        name=TEXTS,
        origin=st.just("given"),
        classes=st.just((("a", 3), ("b", 2))),
    ),
    by_label=st.lists(
        st.builds(ByLabel, column=TEXTS, groups=st.lists(GROUPS, max_size=2).map(tuple)), max_size=2
    ).map(tuple),
    associations=st.lists(
        st.builds(
            Association,
            one=TEXTS,
            other=TEXTS,
            measure=st.just("spearman"),
            value=st.floats(-1, 1),
            rows=COUNTS,
        ),
        max_size=3,
    ).map(tuple),
    notes=st.lists(TEXTS, max_size=2).map(tuple),
)
