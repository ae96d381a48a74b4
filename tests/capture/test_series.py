"""Metric series: one node and one attachment, however many steps; and the attachment's format."""

from __future__ import annotations

import math
import struct
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readback import attachment, facts_of

import provgraph
from provgraph.capture.series import MAGIC, Point, Points, decode
from provgraph.errors import FormatError

INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
# Up to the year 9999, which is all that datetime has.
TIMES_MS = st.integers(min_value=0, max_value=253_402_300_799_999)


def encoded(*points: tuple[int | None, int, float]) -> bytes:
    series = Points()
    for step, at_ms, value in points:
        series.append(step=step, at_ms=at_ms, value=value)
    return series.encode()


@pytest.mark.usefixtures("home")
def test_ten_thousand_steps_are_one_node_and_one_attachment():
    with provgraph.run("train", owner="ada") as run:
        before = datetime.now(UTC)
        for step in range(10_000):
            run.log_metrics(loss=1 / (step + 1), accuracy=step / 10_000, step=step * 10)
        after = datetime.now(UTC)
    with provgraph.run("train", owner="ada") as small:
        small.log_metrics(loss=1.0)
    facts = facts_of(run.receipt)
    assert len(facts.all("MetricSeries")) == 2
    few = len(facts_of(small.receipt).statements)
    assert len(facts.statements) - few == 2 * 10 + 1  # two series, and one more metric
    fields = ("metricName", "first", "last", "minimum", "maximum", "count")
    rows = facts.parts(facts.run, "series", *fields)
    assert sorted(rows) == [
        ("accuracy", "0", "0.9999", "0", "0.9999", "10000"),
        ("loss", "1", "0.0001", "0.0001", "1", "10000"),
    ]
    (loss,) = [s for s in facts.all("MetricSeries") if facts.one(s, "metricName") == "loss"]
    points = decode(attachment(str(facts.one(loss, "attachment"))))
    assert [point.step for point in points] == list(range(0, 100_000, 10))
    assert [point.value for point in points] == [1 / (step + 1) for step in range(10_000)]
    assert before.replace(microsecond=0) <= points[0].at <= points[-1].at <= after
    assert facts.metrics() == {"loss": "0.0001", "accuracy": "0.9999"}


@pytest.mark.usefixtures("home")
def test_one_value_is_a_metric_and_two_are_a_series():
    with provgraph.run("train", owner="ada") as run:
        run.log_metrics(once=0.5)
        run.log_metrics({"twice": 0.25})
        run.log_metrics(twice=0.75)
        run.log_metrics(stepped=1, step=7)
    facts = facts_of(run.receipt)
    assert facts.metrics() == {"once": "0.5", "twice": "0.75", "stepped": "1"}
    assert facts.parts(facts.run, "series", "metricName", "count") == [("twice", "2")]


@pytest.mark.usefixtures("home")
def test_a_series_of_a_step_carries_the_steps_name():
    with provgraph.run("train", owner="ada") as run, run.step("fit") as step:
        for epoch in range(3):
            step.log_metrics(loss=epoch, step=epoch)
    facts = facts_of(run.receipt)
    assert facts.parts(facts.run, "series", "metricName", "count") == [("fit/loss", "3")]
    assert facts.metrics(facts.step("fit")) == {"loss": "2"}
    assert facts.metrics() == {}


@pytest.mark.usefixtures("home")
def test_values_that_are_no_numbers_have_their_place_in_a_series():
    with provgraph.run("train", owner="ada") as run:
        for value in (math.nan, 2.0, -math.inf, math.nan):
            run.log_metrics(loss=value)
        run.log_metrics(only=math.nan)
        run.log_metrics(only=math.nan)
    facts = facts_of(run.receipt)
    fields = ("metricName", "first", "last", "minimum", "maximum", "count")
    assert facts.parts(facts.run, "series", *fields) == [
        ("loss", "NaN", "NaN", "-INF", "2", "4"),
        ("only", "NaN", "NaN", "NaN", "NaN", "2"),
    ]
    assert facts.metrics() == {"loss": "NaN", "only": "NaN"}


def test_a_value_that_is_no_number_costs_only_itself(careful_home, caplog):
    with provgraph.run("train", owner="ada") as run:
        run.log_metrics({"good": 1, "bad": "high"}, step=0)
        run.log_metrics({"good": 2, "bad": [1, 2]}, step="one")
        run.log_metrics(bad=None)
    facts = facts_of(run.receipt)
    assert facts.metrics() == {"good": "2"}
    said = [
        (field, reason)
        for field, reason in facts.parts(facts.run, "missing", "field", "reason")
        if "metric" in field
    ]
    assert said == [
        ("metric bad", "expected a number, found str 'high'"),
        ("metric bad", "expected a number, found list [1, 2]"),
        ("metric step", "step: expected a whole number, found str 'one'"),
        ("metric bad", "expected a number, found NoneType None"),
    ]
    assert len(caplog.records) == 4


def test_nonsense_ten_thousand_times_over_is_listed_a_hundred_times(careful_home, caplog):
    with provgraph.run("train", owner="ada") as run:
        for step in range(1000):
            run.log_metrics(loss=f"not a number {step}", good=step)
    facts = facts_of(run.receipt)
    listed = [field for (field,) in facts.parts(facts.run, "missing", "field")]
    assert listed.count("metric loss") == 100
    assert facts.missing_reason("missing") == "900 more that could not be recorded are not listed"
    assert facts.metrics() == {"good": "999"}
    assert len(caplog.records) == 100


@pytest.mark.usefixtures("home")
def test_a_step_beyond_64_bits_is_refused_and_the_others_keep_in_line():
    with provgraph.run("train", owner="ada") as run:
        run.log_metrics(loss=1.0, step=2**63 - 1)
        with pytest.raises(FormatError, match="expected a 64-bit step"):
            run.log_metrics(loss=2.0, step=2**63)
        run.log_metrics(loss=3.0, step=-(2**63))
    facts = facts_of(run.receipt)
    (series,) = facts.all("MetricSeries")
    points = decode(attachment(str(facts.one(series, "attachment"))))
    assert [(point.step, point.value) for point in points] == [
        (2**63 - 1, 1.0),
        (-(2**63), 3.0),
    ]


# ---- the format ---------------------------------------------------------------------------------------------
def test_the_bytes_of_the_format():
    data = encoded((0, 1000, 0.5), (1, 1500, 0.25), (5, 1400, math.inf))
    assert data[:23] == b"provgraph-series-1\n" + b"\x03\0\0\0"
    assert zlib.decompress(data[23:]) == struct.pack(
        "<3q3q3d", 0, 1, 4, 1000, 500, -100, 0.5, 0.25, math.inf
    )


@given(st.lists(st.tuples(INT64, TIMES_MS, st.floats(allow_nan=False)), max_size=50))
def test_points_come_back_as_they_were(points):
    assert decode(encoded(*points)) == [
        Point(step, datetime.fromtimestamp(at_ms / 1000, UTC), value)
        for step, at_ms, value in points
    ]


def test_without_a_step_points_count_on():
    data = encoded((None, 0, 1.0), (None, 0, 2.0), (10, 0, 3.0), (None, 0, 4.0))
    assert [point.step for point in decode(data)] == [0, 1, 10, 11]


GOOD = encoded((0, 1000, 0.5), (1, 1500, 0.25))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a metric series"),
        (GOOD[:20], "expected a metric series"),
        (b"x" + GOOD, "expected a metric series"),
        (MAGIC + struct.pack("<I", 3) + GOOD[23:], "expected 3 points"),
        (MAGIC + struct.pack("<I", 1) + GOOD[23:], "expected 1 points"),
        (MAGIC + struct.pack("<I", 60_000_000) + GOOD[23:], "60000000 points is over the limit"),
        (GOOD + b"x", "expected 2 points"),
        (GOOD[:-1], "expected 2 points"),
        (GOOD[:30] + b"\xff" + GOOD[31:], "damaged metric series"),
        (
            MAGIC + struct.pack("<I", 1) + zlib.compress(struct.pack("<qqd", 0, 2**62, 1.0)),
            "its times are none",
        ),
    ],
)
def test_other_bytes_are_refused(data, message):
    with pytest.raises(FormatError, match=message):
        decode(data)
