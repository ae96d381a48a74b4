"""Tables for people: nothing twice, no two things alike, no pages of text, and nothing lost."""

from __future__ import annotations

import pytest

from provgraph.cli.output import print_table
from provgraph.terms import Term, integer, string

ONE, TWO = "https://w3id.org/provgraph/id/run/1", "https://w3id.org/provgraph/id/run/2"


def printed(capsys, columns, *rows, labels=None) -> list[str]:
    print_table(columns, rows, labels=labels or {})
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def iri(text: str) -> Term:
    return Term(f"<{text}>")


def test_two_things_of_one_label_are_told_apart(capsys):
    rows = [(iri(ONE),), (iri(TWO),), (iri("https://e.org/x"),)]
    labels = {ONE: "train", TWO: "train", "https://e.org/x": "prepare"}
    assert printed(capsys, ("activity",), *rows, labels=labels) == [
        "activity",
        "train (run/1)",
        "train (run/2)",
        "prepare",
    ]


def test_a_label_is_not_said_beside_the_thing_that_it_names(capsys):
    rows = [(iri(ONE), string("train"), string("train"))]
    assert printed(capsys, ("activity", "label", "role"), *rows, labels={ONE: "train"}) == [
        "activity  role",
        "train     train",
    ]


def test_a_label_that_says_more_stays(capsys):
    rows = [(iri(ONE), string("features")), (iri(TWO), string("b"))]
    assert printed(capsys, ("thing", "label"), *rows, labels={ONE: "features:1", TWO: "b"}) == [
        "thing       label",
        "features:1  features",
        "b",
    ]


def test_equal_figures_both_stay(capsys):
    rows = [(string("m"), integer(1), integer(1))]
    assert printed(capsys, ("metric", "low", "high"), *rows) == [
        "metric  low  high",
        "m       1    1",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ValueError: no\nand a page of advice", "ValueError: no …"),
        ("x" * 301, f"{'x' * 300}…"),
    ],
    ids=["lines", "length"],
)
def test_long_text_is_cut_and_that_is_said(capsys, text, shown):
    lines = printed(capsys, ("reason",), (string(text),), (string("short"),))
    assert "".join(lines).replace("reason", "").replace(" ", "").startswith(shown.replace(" ", ""))
    assert lines[-1] == "text that ends in … is cut; --format json has all of it"


def test_text_that_fits_is_whole_and_nothing_is_said(capsys):
    assert printed(capsys, ("reason",), (string("…"),)) == ["reason", "…"]
