"""Parameters, metrics, tags and names of any kind: what stands in the graph for each."""

from __future__ import annotations

import enum
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from readback import facts_of, runs

import provgraph
from provgraph.capture.values import (
    MAX_TEXT,
    describe_error,
    judge,
    metric_value,
    plain_parameter,
    plain_text,
    plain_value,
    whole_number,
)
from provgraph.errors import CaptureError


class Color(enum.Enum):
    RED = 1


class Mode(str, enum.Enum):  # noqa: UP042 - what most code has
    FAST = "fast"


class Level(enum.IntEnum):
    HIGH = 3


class Unwritable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Tensor:
    """One element, as frameworks have it."""

    shape = ()

    def __init__(self, value: object) -> None:
        self._value = value

    def item(self) -> object:
        return self._value


CIRCLE: list[object] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (1, 1),
        (True, True),
        (0.5, 0.5),
        ("text", "text"),
        ("", ""),
        (None, "None"),
        (Color.RED, "Color.RED"),
        (Mode.FAST, "fast"),
        (Level.HIGH, 3),
        (Decimal("0.10"), "0.10"),
        (Fraction(1, 3), "Fraction(1, 3)"),
        (1 + 2j, "(1+2j)"),
        (np.float64(0.25), 0.25),
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (np.str_("np"), "np"),
        (np.array(7), 7),
        (np.array([7]), 7),
        (Tensor(0.5), 0.5),
        ({"a": {"b": [1, 2.5, None, True]}}, '{"a": {"b": [1, 2.5, null, true]}}'),
        ((1, "ü"), '[1, "ü"]'),
        ({3, 1, 2}, "[1, 2, 3]"),
        (frozenset({"a"}), '["a"]'),
        (
            {"by": Level.HIGH, "color": Color.RED, "np": np.int64(4)},
            '{"by": 3, "color": "Color.RED", "np": 4}',
        ),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        ([object], "[\"<class 'object'>\"]"),
        (math, repr(math)),
        (CIRCLE, "[[...]]"),
        (b"ab", "b'ab'"),
        (2**200, 2**200),
        (2**20_000, hex(2**20_000)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_value(value, plain):
    found = plain_value(value)
    assert (found, type(found)) == (plain, type(plain))


def test_a_value_that_cannot_be_written_is_refused():
    with pytest.raises(CaptureError, match="a Unwritable that cannot be written: RuntimeError: no"):
        plain_value(Unwritable())
    with pytest.raises(CaptureError, match="a list that cannot be written"):
        plain_value([Unwritable()])


def test_numbers_that_are_none_are_kept_as_what_they_are():
    assert math.isnan(plain_value(math.nan))
    assert plain_value(-math.inf) == -math.inf


def test_long_texts_are_cut_and_say_so():
    assert plain_text("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert plain_text("x" * (MAX_TEXT + 1)) == f"{'x' * MAX_TEXT}… [cut: {MAX_TEXT + 1} characters]"
    assert plain_text("y" * 3_000_000) == f"{'y' * MAX_TEXT}… [cut: 3000000 characters]"


def test_a_secret_is_redacted_before_its_text_is_cut():
    secret = "hunter2" * 3
    text = "x" * (MAX_TEXT - 12) + f" password={secret}"
    assert plain_text(text) == f"{'x' * (MAX_TEXT - 12)} password=[r… [cut: 10019 characters]"
    assert secret[:4] not in plain_text(f"password={secret}" + " y" * MAX_TEXT)


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("api_key", "abc123", "[redacted]"),
        ("db.password", "abc123", "[redacted]"),
        ("max_tokens", "4096", "4096"),
        ("url", "postgres://ada:abc123@db/x", "postgres://ada:[redacted]@db/x"),
        ("settings", {"password": "abc123", "depth": 6}, '{"password": "[redacted]", "depth": 6}'),
        ("token", 5, 5),
    ],
)
def test_secrets_in_parameters(name, value, plain):
    assert plain_parameter(name, value) == plain


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (True, 1.0),
        ("0.5", 0.5),
        ("nan", math.nan),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(2.5), 2.5),
        (np.array([2.5]), 2.5),
        (Tensor(3), None),
        (1 + 1j, None),
        (None, None),
        ("good", None),
        ([1.0], None),
        (np.array([1.0, 2.0]), None),
        (10**400, None),
        (Unwritable(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_metric_value(value, number):
    if number is None:
        with pytest.raises(CaptureError, match="expected a number, found"):
            metric_value(value)
    else:
        assert repr(metric_value(value)) == repr(number)


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3), (3.0, 3), ("3", 3), (np.int8(3), 3), (True, 1), (-0.0, 0)]
)
def test_whole_number(value, number):
    assert (whole_number(value, "n"), type(whole_number(value, "n"))) == (number, int)


@pytest.mark.parametrize("value", [3.5, "3.5", "x", None, math.nan, math.inf, [3], Unwritable()])
def test_not_a_whole_number(value):
    with pytest.raises(CaptureError, match="n: expected a whole number, found"):
        whole_number(value, "n")


@pytest.mark.parametrize(
    ("metric", "value", "threshold", "text", "met"),
    [
        ("roc_auc", 0.9, None, None, None),
        ("roc_auc", 0.9, 0.9, ">= 0.9", True),
        ("roc_auc", 0.89, 0.9, ">= 0.9", False),
        ("val_loss", 0.2, 0.2, "<= 0.2", True),
        ("val_loss", 0.3, 0.2, "<= 0.2", False),
        ("closeness", 0.3, 0.2, ">= 0.2", True),
        ("roc_auc", 0.9, "> 0.9", "> 0.9", False),
        ("roc_auc", 0.9, "<=1e-1", "<= 0.1", False),
        ("roc_auc", 0.9, "== 0.9", "== 0.9", True),
        ("roc_auc", 0.9, "< .95", "< 0.95", True),
        ("roc_auc", 0.9, "0.5", ">= 0.5", True),
        ("roc_auc", math.nan, 0.5, ">= 0.5", False),
        ("val_loss", math.nan, 0.5, "<= 0.5", False),
    ],
)
def test_judge(metric, value, threshold, text, met):
    assert judge(metric, value, threshold) == (text, met)


@pytest.mark.parametrize("threshold", ["about 1", "> 1.2.3", "=> 1", [], object()])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(CaptureError, match="expected a number or a comparison such as"):
        judge("roc_auc", 0.5, threshold)


def test_describe_error_does_without_a_text():
    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert describe_error(SilentError()) == "SilentError"
    assert describe_error(KeyError("x")) == "KeyError: 'x'"
    assert describe_error(OSError()) == "OSError"


# ---- in the graph ---------------------------------------------------------------------------------------
ODD_NAMES = [
    *("with space", 'quo"te', "it's", "slash/and\\back", "", "emoji 🚀", "ünïcode", "a:b", "#hash"),
    *("percent%41", "new\nline", "tab\t", "nul\0", "\u202eright to left", "<iri>", "../up", "."),
]


@pytest.mark.usefixtures("home")
def test_parameters_metrics_and_tags_with_odd_names_come_back_under_their_names():
    with provgraph.run("train", owner="ada") as run:
        run.log_params({name: number for number, name in enumerate(ODD_NAMES)})
        run.log_metrics({name: number / 2 for number, name in enumerate(ODD_NAMES)})
        run.log_tags({name: f"tag {name}" for name in ODD_NAMES})
    facts = facts_of(run.receipt)
    expected = {name: str(number) for number, name in enumerate(ODD_NAMES)}
    assert facts.parameters() == expected
    assert facts.metrics() == {name: f"{int(n) / 2:g}" for name, n in expected.items()}
    assert facts.tags() == {name: f"tag {name}" for name in ODD_NAMES}


@pytest.mark.usefixtures("home")
def test_values_have_their_types_in_the_graph():
    values = {
        "whole": 3,
        "big": 2**70,
        "negative": -(2**63) - 1,
        "half": 0.5,
        "tiny": 5e-324,
        "huge": 1.7e308,
        "third": 1 / 3,
        "yes": True,
        "no": False,
        "text": "3",
        "nan": math.nan,
        "inf": math.inf,
        "none": None,
    }
    with provgraph.run("train", owner="ada") as run:
        run.log_params(values)
    facts = facts_of(run.receipt)
    (node,) = facts.of(facts.run, "parameters")
    written = {
        p.rsplit("/", 1)[-1]: o for s, p, o in facts.statements if s == node and "param/" in p
    }
    xsd = "http://www.w3.org/2001/XMLSchema#"
    assert written == {
        "whole": f'"3"^^<{xsd}integer>',
        "big": f'"1180591620717411303424"^^<{xsd}integer>',
        "negative": f'"-9223372036854775809"^^<{xsd}integer>',
        "half": f'"0.5"^^<{xsd}decimal>',
        "tiny": f'"{"0." + "0" * 323 + "5"}"^^<{xsd}double>',
        "huge": f'"{17 * 10**307}"^^<{xsd}double>',
        "third": f'"0.3333333333333333"^^<{xsd}decimal>',
        "yes": f'"true"^^<{xsd}boolean>',
        "no": f'"false"^^<{xsd}boolean>',
        "text": '"3"',
        "nan": f'"NaN"^^<{xsd}double>',
        "inf": f'"INF"^^<{xsd}double>',
        "none": '"None"',
    }


@pytest.mark.usefixtures("home")
def test_equal_parameters_of_two_runs_are_one_set():
    for owner in ("ada", "grace"):
        with provgraph.run("train", owner=owner) as run:
            run.log_params({"b": 2, "a": 1.5} if owner == "ada" else {"a": 1.5})
            run.log_params({} if owner == "ada" else {"b": 2})
    with provgraph.run("train", owner="ada") as run:
        run.log_params(a=1.5, b=3)
    sets = [facts.one(facts.run, "parameters") for facts in runs()]
    assert sets[0] == sets[1]
    assert sets[0] != sets[2]


@pytest.mark.usefixtures("home")
def test_the_last_value_of_a_parameter_or_tag_counts():
    with provgraph.run("train", owner="ada", tags={"stage": "old"}) as run:
        run.log_params(depth=3)
        run.log_params({"depth": 4}, rate=0.1)
        run.log_tags(stage="new")
    facts = facts_of(run.receipt)
    assert facts.parameters() == {"depth": "4", "rate": "0.1"}
    assert facts.tags() == {"stage": "new"}


def test_a_parameter_that_cannot_be_written_costs_only_itself(careful_home, caplog):
    with provgraph.run("train", owner="ada") as run:
        run.log_params({"good": 1, "bad": Unwritable(), "api_key": "hunter2"})
        run.log_tags({"fine": "yes", "not": Unwritable()})
    facts = facts_of(run.receipt)
    assert facts.parameters() == {"good": "1", "api_key": "[redacted]"}
    assert facts.tags() == {"fine": "yes"}
    reason = "a Unwritable that cannot be written: RuntimeError: no repr"
    assert {k: v for k, v in facts.missing().items() if k.startswith(("para", "tag"))} == {
        "parameter bad": reason,
        "tag not": reason,
    }
    assert [record.getMessage() for record in caplog.records] == [
        f"provgraph: not recorded: parameter bad: {reason}",
        f"provgraph: not recorded: tag not: {reason}",
    ]
