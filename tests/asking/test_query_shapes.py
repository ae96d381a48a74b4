"""No .rq file has a shape that the planner cannot run, or that is silently short.

Measured on 13 M quads: `?s path+ ?o` from a constant takes 3 s where VALUES takes 0.35 ms; FILTER NOT
EXISTS and OPTIONAL of two plain patterns 25 s and more; a path inside GRAPH ?g stays in one graph.
"""

from __future__ import annotations

import re

import pytest

from provgraph import resources

_TERM = r"(?:\?\w+|<[^<>\s]*>|[\w-]*:[\w.-]*)"
_REPEATED = re.compile(r"[\w>)][*+](?=[\s/|)])")
_BLOCK = re.compile(r"(GRAPH\s+\?\w+|NOT\s+EXISTS|OPTIONAL)\s*\{", re.IGNORECASE)


def plain(text: str) -> str:
    """The query without comments and strings, which may hold anything."""
    text = re.sub(r"\"(?:[^\"\\]|\\.)*\"", '""', text)
    return re.sub(r"(?:^|(?<=\s))#.*$", "", text, flags=re.MULTILINE)


def block(text: str, start: int) -> str:
    """What stands between the brace at `start` and its partner."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start + 1 : place]
    raise AssertionError("unbalanced braces")


def patterns(inside: str) -> int:
    """How many triple patterns a group has of its own: nested groups and filters do not count."""
    while (inner := re.sub(r"\{[^{}]*\}", " ", inside)) != inside:
        inside = inner
    inside = re.sub(r"\b(?:BIND|FILTER)\s*(?:NOT\s+EXISTS|EXISTS)?\s*(?:\(.*\))?", " ", inside)
    inside = re.sub(r"\b(?:OPTIONAL|UNION|MINUS|GRAPH\s+\?\w+|VALUES\s+\S+)\b", " ", inside)
    # `;` goes on with the same subject, and is another pattern.
    return sum(1 for each in re.split(r"\s\.(?=\s|$)|;", inside) if re.search(r"\S+\s+\S", each))


def faults(text: str) -> list[str]:
    text = plain(text)
    found = []
    for match in _BLOCK.finditer(text):
        what, inside = match[1].split()[0].upper(), block(text, match.end() - 1)
        if what == "GRAPH" and _REPEATED.search(inside):
            found.append("a path in GRAPH")
        if what in {"NOT", "OPTIONAL"} and patterns(inside) > 1:
            found.append(f"{'NOT EXISTS' if what == 'NOT' else what} with two patterns")
    if re.search(
        rf"(?:^|[{{.;]\s*|\n\s*)(?:<[^<>\s]*>|\w+:\w[\w.-]*)\s+\S*[*+]\S*\s+{_TERM}", text
    ):
        found.append("a path from a constant")
    for match in re.finditer(r"VALUES\s+(?:\?\w+|\([^)]*\))\s*\{", text):
        rows = block(text, match.end() - 1)
        count = rows.count("(") if match[0].rstrip("{ ").endswith(")") else len(rows.split())
        if count > 500:
            found.append("VALUES over 500 rows")
    return found


QUERIES = sorted(resources.folder("queries").rglob("*.rq"))


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_no_query_has_a_shape_that_fails_at_scale(path):
    assert faults(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("SELECT ?e { GRAPH ?g { ?m prov:wasDerivedFrom+ ?e } }", "a path in GRAPH"),
        ("SELECT ?e { GRAPH ?g { ?m (prov:used/pg:step*)|pg:none ?e } }", "a path in GRAPH"),
        (
            "SELECT ?e { <urn:m> prov:wasDerivedFrom+ ?e . ?e a pg:Dataset }",
            "a path from a constant",
        ),
        ("SELECT ?e { ?x a ?y . pg:m (prov:used/pg:step*) ?e }", "a path from a constant"),
        (
            "SELECT ?e { ?e a ?t OPTIONAL { ?e pg:a ?b . ?b pg:c ?d } }",
            "OPTIONAL with two patterns",
        ),
        ("SELECT ?e { ?e a ?t OPTIONAL { ?e pg:a ?b ; pg:c ?d } }", "OPTIONAL with two patterns"),
        (
            "SELECT ?e { ?e a ?t FILTER NOT EXISTS { ?e pg:a ?b . ?b pg:c ?d } }",
            "NOT EXISTS with two patterns",
        ),
        (f"SELECT ?e {{ VALUES ?e {{ {'<urn:e> ' * 501} }} }}", "VALUES over 500 rows"),
        (f"SELECT ?e {{ VALUES (?e ?f) {{ {'(1 2) ' * 501} }} }}", "VALUES over 500 rows"),
    ],
)
def test_the_look_at_shapes_sees_each_of_them(text, fault):
    assert faults(text) == [fault]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ?e { VALUES ?m { <urn:m> } ?m prov:wasDerivedFrom+ ?e }",
        "SELECT ?e { ?e a ?t OPTIONAL { ?e pg:a ?b . FILTER(?b > 1 && ?t != pg:x) } }",
        "SELECT ?e { ?e a ?t OPTIONAL { { ?e pg:a ?b } UNION { ?e pg:c ?b } } }",
        "SELECT ?e { ?e a ?t . # <urn:m> pg:x+ ?e\n FILTER NOT EXISTS { ?e pg:a ?b } }",
        "SELECT ?e { GRAPH ?g { ?e pg:a|pg:b ?b } }",
        f"SELECT ?e {{ VALUES ?e {{ {'<urn:e> ' * 500} }} }}",
    ],
)
def test_the_look_at_shapes_leaves_others_alone(text):
    assert faults(text) == []
