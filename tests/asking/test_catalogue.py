"""Front matter and parameters: what they take, and what is refused with which words."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from provgraph.errors import FormatError, ProvgraphError, QueryError, UsageError
from provgraph.index.store import Solutions
from provgraph.query import catalogue
from provgraph.query.catalogue import find, parse
from provgraph.query.parameters import TYPES, Parameter
from provgraph.query.reporting import Material, Table, load_report

FRONT = """# ---
# id = "Q99"
# name = "sample"
# title = "A sample"
# help = "Nothing."
# empty = "nothing is known"
# tags = []
{more}# ---
{query}
"""
NOON = "2026-03-01T12:00:00Z"
AT_MOST = """# [parameters.at-most]
# type = "integer"
# help = "So many."
"""
QUERY = "SELECT ?a (COUNT(?b) AS ?n) WHERE {\n  VALUES ?at_most { UNDEF }\n  ?a ?p ?b }"


def sample(more: str = AT_MOST, query: str = QUERY) -> catalogue.CannedQuery:
    return parse(FRONT.format(more=more, query=query), where="sample.rq")


def terms_of(kind: str, value: object, **more: object) -> tuple[str, ...]:
    parameter = Parameter(name="it", type=kind, help="", **more)
    return parameter.terms(value, resolve=lambda text: [f"https://example.org/{text}"])


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("thing", "a", "<https://example.org/a>"),
        ("text", 'say "x" }', '"say \\"x\\" }"'),
        ("integer", " -12", '"-12"^^<http://www.w3.org/2001/XMLSchema#integer>'),
        ("integer", 7, '"7"^^<http://www.w3.org/2001/XMLSchema#integer>'),
        ("boolean", "yes", '"true"^^<http://www.w3.org/2001/XMLSchema#boolean>'),
        ("boolean", False, '"false"^^<http://www.w3.org/2001/XMLSchema#boolean>'),
        (
            "time",
            "2026-03-01T13:00:00+01:00",
            '"2026-03-01T12:00:00Z"^^<http://www.w3.org/2001/XMLSchema#dateTime>',
        ),
        (
            "time",
            datetime(2026, 3, 1, 12, tzinfo=UTC),
            '"2026-03-01T12:00:00Z"^^<http://www.w3.org/2001/XMLSchema#dateTime>',
        ),
    ],
)
def test_a_value_becomes_a_term(kind, value, expected):
    assert terms_of(kind, value) == (expected,)


def test_a_number_becomes_a_double_and_a_choice_a_text():
    assert terms_of("number", "0.25")[0].endswith("#double>") is True
    assert terms_of("choice", "up", choices=("up", "down")) == ('"up"',)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("thing", "  ", "it: expected a name, digest or IRI, found '  '; for example it=churn:3"),
        ("integer", "3.5", "it: expected a whole number, found '3.5'; for example it=10"),
        (
            "integer",
            "9" * 19,
            f"it: expected a whole number, found '{'9' * 19}'; for example it=10",
        ),
        ("integer", "\u0661", "it: expected a whole number, found '\u0661'; for example it=10"),
        ("number", "nan", "it: expected a number, found 'nan'; for example it=0.5"),
        ("number", "much", "it: expected a number, found 'much'; for example it=0.5"),
        (
            "time",
            "yesterday",
            f"it: expected a time such as {NOON}, found 'yesterday'; for example it={NOON}",
        ),
        ("boolean", "maybe", "it: expected true or false, found 'maybe'; for example it=true"),
        ("choice", "left", "it: expected one of up, down, found 'left'; for example it=up"),
    ],
)
def test_a_value_of_another_type_is_refused(kind, value, message):
    choices = ("up", "down") if kind == "choice" else ()
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        terms_of(kind, value, choices=choices)


def test_a_hole_without_a_value_stays_unbound_where_the_parameter_is_optional():
    query = sample(f"{AT_MOST}# optional = true\n")
    assert query.bind({}, resolve=lambda _: []) == query.text
    assert query.values({"at_most": 3}, resolve=lambda _: []) == query.values(
        {"at-most": "3"}, resolve=lambda _: []
    )


def test_a_default_fills_the_hole_and_a_value_replaces_it():
    query = sample(f"{AT_MOST}# default = 10\n")
    assert query.values({}, resolve=lambda _: []) == query.values(
        {"at-most": "10"}, resolve=lambda _: []
    )
    assert '"3"^^' in query.bind({"at-most": "3"}, resolve=lambda _: [])


def test_a_hole_that_stands_twice_is_filled_twice():
    query = sample(query=f"{QUERY} # VALUES ?at_most {{ UNDEF }}")
    assert query.bind({"at-most": "3"}, resolve=lambda _: []).count('"3"^^') == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {},
            "Q99 (A sample) needs at-most: So many. Example: provgraph query Q99 --param at-most=10",
        ),
        ({"most": "3"}, "Q99 has no parameter 'most'; it takes at-most; did you mean at-most?"),
    ],
)
def test_missing_and_unknown_parameters_are_named(given, message):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        sample().bind(given, resolve=lambda _: [])


@pytest.mark.parametrize(
    ("more", "query", "message"),
    [
        (AT_MOST, "SELECT ?a WHERE { ?a ?p ?b }", "expected the line VALUES ?at_most { UNDEF }"),
        ("", QUERY, "?at_most has a hole and no [parameters.at_most]"),
        (f"# colour = 1\n{AT_MOST}", QUERY, "there is no key 'colour' in front matter"),
        (f"{AT_MOST}# colour = 1\n", QUERY, "parameter at-most: there is no key 'colour'"),
        (
            f"{AT_MOST}# choices = ['a']\n",
            QUERY,
            "parameter at-most: a choice has choices, and nothing else has",
        ),
        (
            AT_MOST.replace("integer", "colour"),
            QUERY,
            "parameter at-most: expected a type among thing, text",
        ),
        (f'{AT_MOST}# default = "x"\n', QUERY, "the default of a parameter: at-most: expected a"),
        (f'# [columns]\n# a = ""\n{AT_MOST}', QUERY, "expected the columns of SELECT, a, n, found"),
        (f'# required = ["c"]\n{AT_MOST}', QUERY, "required names 'c', which is no column"),
        (f'# right = "fly"\n{AT_MOST}', QUERY, "expected a right among open, read"),
    ],
)
def test_front_matter_that_does_not_fit_is_refused(more, query, message):
    with pytest.raises(FormatError, match=f"^{re.escape(f'sample.rq: {message}')}"):
        sample(more, query)


def test_an_unknown_question_is_refused_with_near_names():
    with pytest.raises(
        QueryError, match=r"no query is called 'model-dat'; did you mean model-data"
    ):
        find("model-dat")


def echo(material: Material) -> Table:
    return Table(columns=material.found.columns, rows=material.found.rows)


@pytest.mark.parametrize(
    "where",
    ["os:system", "provgraph.query.reports:none", "provgraph.query.nowhere:x", "provgraph.query"],
)
def test_a_report_is_code_of_ours_or_nothing(where):
    with pytest.raises(FormatError, match="report: "):
        load_report(where)


def test_a_report_is_loaded_by_its_name(monkeypatch):
    monkeypatch.setattr("provgraph.query.reports.echo", echo, raising=False)
    query = sample(f'# report = "provgraph.query.reports:echo"\n{AT_MOST}')
    found = Solutions(columns=("a", "n"), rows=())
    material = Material(
        query=query, values={}, found=found, select=lambda _: found, entries=None, settings=None
    )
    assert query.load()(material) == Table(columns=("a", "n"), rows=())


@pytest.mark.parametrize("query", catalogue.catalogue(), ids=lambda query: query.id)
def test_every_question_of_ours_says_what_its_columns_and_parameters_are(query):
    assert [name for name, told in query.columns.items() if not told.strip()] == []
    assert query.columns.keys() >= set(query.required) | {next(iter(query.columns), "")}
    assert [each.name for each in query.parameters if not each.help.strip()] == []
    assert [each.name for each in query.parameters if each.type not in TYPES] == []
    for parameter in query.parameters:
        try:
            parameter.terms(parameter.sample, resolve=lambda text: [f"urn:x:{len(text)}"])
        except ProvgraphError as error:
            pytest.fail(f"{query.id}: the example of {parameter.name} is refused: {error}")
