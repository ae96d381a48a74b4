"""The ranker's file: what ships is what was trained, and nothing else is read."""

import json
import math

import pytest

from provgraph.drift import trees
from provgraph.drift.evidence import FEATURES
from provgraph.drift.ranking import CONFIDENCE
from provgraph.errors import FormatError


def file(tree, **changed):
    plain = {
        "format": trees.FORMAT, "version": "1", "recipe": {}, "features": ["a", "b"], "base": 0.0,
        "confidence": {"figures": ["lead"], "weights": [1.0], "base": 0.0},
        "steps": [[0.0, 0.1], [1.0, 0.9]], "trees": [tree],
    }  # fmt: skip
    return json.dumps(plain | changed).encode()


def test_what_ships_is_read_and_knows_the_figures():
    ranker = trees.shipped()
    assert ranker.features == FEATURES
    assert ranker.confidence_names == CONFIDENCE
    assert ranker.recipe["command"] == "make train-drift"


@pytest.mark.parametrize(
    ("row", "value"), [({"a": 1.0}, -2.0), ({"a": 5.0}, 3.0), ({}, 3.0), ({"a": math.nan}, 3.0)]
)
def test_a_row_goes_left_up_to_the_threshold_and_unknown_goes_its_own_way(row, value):
    ranker = trees.parse(file([[0, 2.0, 1, 2, 0], [-2.0], [3.0]]))
    assert ranker.margin(row) == value


def test_unknown_goes_left_where_the_tree_says_so():
    assert trees.parse(file([[0, 2.0, 1, 2, 1], [-2.0], [3.0]])).margin({}) == -2.0


@pytest.mark.parametrize(
    "tree",
    [
        [[0, 2.0, 0, 2, 0], [1.0], [2.0]],  # leads back to itself
        [[0, 2.0, 1, 9, 0], [1.0], [2.0]],  # leads nowhere
        [[7, 2.0, 1, 2, 0], [1.0], [2.0]],  # of a figure that is not there
        [[0, 2.0, 1]],
        [],
    ],
)
def test_a_tree_that_leads_nowhere_is_refused(tree):
    with pytest.raises(FormatError):
        trees.parse(file(tree))


def test_another_format_is_refused():
    with pytest.raises(FormatError, match="provgraph-ranker-v1"):
        trees.parse(file([[1.0]], format="provgraph-ranker-v2"))


def test_calibration_is_read_off_a_rising_line():
    assert trees.interpolate([(0.0, 0.1), (1.0, 0.9)], 0.5) == pytest.approx(0.5)
    assert trees.interpolate([(0.2, 0.1), (0.8, 0.9)], 0.0) == 0.1
    assert trees.interpolate([(0.2, 0.1), (0.8, 0.9)], 1.0) == 0.9
