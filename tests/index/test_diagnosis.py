"""Syntax errors: each usual mistake is found at its own place, with a hint that mends it."""

import pyoxigraph as ox
import pytest

from provgraph.index.diagnosis import diagnose

MISTAKES = [
    ("SELCT * {}", (1, 1), "SELCT is no word of SPARQL", "did you mean SELECT?"),
    (
        "SELECT * {\n  ?s prov:used ?o }",
        (2, 6),
        "the prefix prov: is not declared",
        "put this first: PREFIX prov: <http://www.w3.org/ns/prov#>",
    ),
    (
        "PREFIX data: <urn:d:> SELECT * { ?s date:x ?o }",
        (1, 37),
        "the prefix date: is not declared",
        "did you mean data: ?",
    ),
    (
        "SELECT * {\n ?s ?p ?o ",
        (1, 10),
        "this { is not closed",
        "add the } that belongs to it",
    ),
    ("SELECT * { ?s ?p ?o }}", (1, 22), "this } closes nothing", None),
    ("ASK { FILTER(1 < 2 }", (1, 13), "this ( is not closed", "add the ) that belongs to it"),
    (
        "ASK { ?s ?p 'x }",
        (1, 13),
        "this string is not closed",
        "end it with ' on the same line, or use ''' around it",
    ),
    (
        "ASK { ?s a <http://e x> }",
        (1, 12),
        "this IRI holds a character that an IRI may not hold, or is not closed",
        "write a space in an IRI as %20, and close it with >",
    ),
    (
        "ASK { ?s <p> 1 }",
        (1, 10),
        "<p> is no absolute IRI",
        "write it whole, with its scheme (https://…), or declare a BASE",
    ),
    (
        "ASK { BIND(STRLENGTH(?x) AS ?y) }",
        (1, 12),
        "STRLENGTH is no function of SPARQL",
        "did you mean STRLEN?",
    ),
    (
        "SELECT ?a, ?b { ?a ?p ?b }",
        (1, 10),
        "variables stand without commas between them",
        "write SELECT ?a ?b",
    ),
    ("ASK {} SELECT * {}", (1, 8), "a second query begins here", None),
    (
        "SELECT ?s { ?s ?p ?o } GROUP BY ?p",
        (1, 35),
        "a selected variable is neither grouped nor aggregated",
        None,
    ),
    (
        "ASK {\n ?s ?p ?o ?x ?y }",
        (2, 18),
        "the query cannot be read from here on",
        "look at this place and just before it: a dot between two patterns, a missing variable?",
    ),
]


@pytest.mark.parametrize(("query", "place", "message", "hint"), MISTAKES, ids=range(len(MISTAKES)))
def test_the_mistake_is_named_at_its_place(query, place, message, hint):
    with pytest.raises(SyntaxError) as refused:
        ox.Store().query(query)
    found = diagnose(query, str(refused.value))
    assert ((found.line, found.column), found.message, found.hint) == (place, message, hint)


def test_the_caret_stands_below_the_place():
    found = diagnose("SELECT * {\n  ?s prov:used ?o }", "error at 2:15: expected OPTIONAL")
    assert found.excerpt == "  ?s prov:used ?o }\n     ^"


def test_a_long_line_is_shown_around_the_place():
    query = "SELECT * { " + "?s ?p ?o . " * 100 + "?s ex:p ?o }"
    found = diagnose(query, "error at 1:1: expected x")
    shown, caret = found.excerpt.split("\n")
    assert (len(shown) <= 120, shown[len(caret) - 1 :][:4]) == (True, "ex:p")


def test_any_text_gets_a_diagnosis():
    for text in ("", "\0", "?" * 1000, '"' * 7, "<" * 50, "é\n\n\U0001f600"):
        assert diagnose(text, "no place in this").line >= 1
