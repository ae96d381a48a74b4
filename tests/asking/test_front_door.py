"""The front door for free SPARQL: reading, explaining, warning, and rewriting without a change of rows."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pyoxigraph as ox
import pytest

from provgraph.cli.main import main
from provgraph.errors import QueryError
from provgraph.query.advice import improved, rewrite, warnings_of
from provgraph.query.catalogue import catalogue
from provgraph.query.explaining import explain
from provgraph.query.parsed import parse_query

P = "PREFIX : <urn:x:> "


def rules(text: str) -> set[str]:
    return {each.rule for each in warnings_of(parse_query(P + text))}


GOOD = (
    "ASK {}",
    "SELECT * WHERE { ?a :p ?b . FILTER(?a<?b&&?b>1) }",
    "SELECT (COUNT(*) AS ?n) WHERE { ?s ?p ?o } GROUP BY ?s HAVING (COUNT(?o) > 3) ORDER BY DESC(?n) LIMIT 3",
    "SELECT ?x { ?x !(a|^:b)/(:c|:d)*/^:e? [ :p (1 2.5 -3e7) ; a :C, :D ] . _:b :q 'x'@en , '''y'''^^:t }",
    "CONSTRUCT { ?s :p ?o } FROM <urn:g> WHERE { ?s ?p ?o }",
    "CONSTRUCT WHERE { ?s :p ?o }",
    "DESCRIBE :a ?x WHERE { ?x a :C }",
    "SELECT ?x { { SELECT ?x { ?x :p ?y } LIMIT 1 } UNION { ?x :q ?z } MINUS { ?x :b true } } VALUES (?x ?y) { (:a UNDEF) }",
    "SELECT (GROUP_CONCAT(DISTINCT ?x; SEPARATOR=', ') AS ?all) { ?x :p ?y BIND(IF(?y IN (1, 2), ?y + 1, -?y) AS ?z) }",
    "SELECT ?x { ?x :p ?y FILTER NOT EXISTS { ?x :q ?y } FILTER(REGEX(STR(?x), 'a', 'i') || BOUND(?y)) }",
    "SELECT ?größe { GRAPH ?g { ?größe :länge ?y } } # a comment",
)
BAD = {
    "a bracket that is not closed": ("SELECT ?x { ?x :p ?y", "not closed"),
    "a prefix that nobody declared": ("SELECT ?x { ?x q:p ?y }", "q:"),
    "no pattern": ("SELECT ?x", "syntax error"),
    "an update": ("DELETE WHERE { ?s ?p ?o }", "update"),
    "a path as object": ("SELECT ?x { ?x :p :q+ }", "syntax error"),
    "two selects": ("SELECT ?x {} SELECT ?y {}", "syntax error"),
}


@pytest.mark.parametrize("text", GOOD)
def test_what_the_engine_reads_the_grammar_reads(text: str) -> None:
    parse_query(P + text)
    ox.Store().query(P + text)


@pytest.mark.parametrize("name", BAD)
def test_what_the_engine_refuses_the_grammar_refuses(name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(QueryError, match=message):
        parse_query(P + text)
    with pytest.raises(SyntaxError):
        ox.Store().query(P + text)


@pytest.mark.parametrize("query", catalogue(), ids=lambda query: query.id)
def test_every_written_down_question_is_read_and_needs_no_rewriting(query: object) -> None:
    found = explain(query.text)  # type: ignore[attr-defined]
    assert found.lines[0].startswith("Gives ")
    assert found.rewriting is None
    assert not {each.rule for each in found.warnings} & {
        "constant-path-end",
        "open-path",
        "two-patterns-in-not-exists",
        "two-patterns-in-optional",
        "long-values",
        "product",
    }


# rule -> (a query that it warns of, one that it does not)
WARNED = {
    "path-in-graph": ("ASK { GRAPH ?g { ?x :p+ ?y } }", "ASK { ?x :p+ ?y GRAPH ?g { ?x :p ?z } }"),
    "repeated-by-record": (
        "SELECT ?x { GRAPH ?g { ?x :p ?y } }",
        "SELECT DISTINCT ?x { GRAPH ?g { ?x :p ?y } }",
    ),
    "open-path": ("ASK { ?x :p* ?y }", "ASK { ?x a :C . ?x :p* ?y }"),
    "constant-path-end": (
        "ASK { :m :p+ ?y . ?y a :C }",
        "ASK { VALUES ?m { :m } ?m :p+ ?y . ?y a :C }",
    ),
    "two-patterns-in-not-exists": (
        "ASK { ?x a :C FILTER NOT EXISTS { ?x :p ?y . ?y :q ?z } }",
        "ASK { ?x a :C FILTER NOT EXISTS { ?x :p ?y } }",
    ),
    "two-patterns-in-optional": (
        "ASK { ?x a :C OPTIONAL { ?x :p ?y . ?y :q ?z } }",
        "ASK { ?x a :C OPTIONAL { ?x :p ?y } OPTIONAL { ?y :q ?z } }",
    ),
    "long-values": (
        f"ASK {{ VALUES ?x {{ {' '.join(f':v{n}' for n in range(501))} }} ?x :p ?y }}",
        f"ASK {{ VALUES ?x {{ {' '.join(f':v{n}' for n in range(500))} }} ?x :p ?y }}",
    ),
    "select-beside-class": (
        "ASK { ?x a :C { SELECT ?x { ?x :p ?y } } }",
        "ASK { { SELECT ?x { ?x a :C ; :p ?y } } }",
    ),
    "product": ("ASK { ?x a :C . ?y a :D }", "ASK { ?x a :C . ?y a :D . ?x :p ?y }"),
    "no-limit": ("SELECT ?x { ?x :p ?y }", "SELECT (COUNT(?x) AS ?n) { ?x :p ?y }"),
    "from": ("ASK FROM <urn:g> { ?x :p ?y }", "ASK { ?x :p ?y }"),
}


@pytest.mark.parametrize("rule", WARNED)
def test_each_warning_is_given_where_it_belongs_and_only_there(rule: str) -> None:
    warned, fine = WARNED[rule]
    assert rule in rules(warned)
    assert rule not in rules(fine)


# Queries that are rewritten, over any graph.
REWRITTEN = (
    "SELECT ?y { :a :p+ ?y . ?y a :C }",
    "SELECT ?y { ?y a :C . ?y :p* :b }",
    "SELECT ?y ?z { :a :p+ ?y ; :q ?z . ?y :q ?z }",
    "SELECT ?y { { :a :p+ ?y . ?y a :C } UNION { ?y :p+ :b . ?y :q ?z } }",
    "SELECT ?x { ?x a :C OPTIONAL { :a (:p|:q)+ ?x . ?x :q ?z } }",
    "SELECT ?x { ?x a :C . :a :p+/:q ?x FILTER NOT EXISTS { ?x :p ?y . ?y :q ?z } }",
    "SELECT ?x { FILTER NOT EXISTS { ?x :p ?y . ?y a :C } ?x :q ?w OPTIONAL { ?x :p ?v } }",
    "SELECT (COUNT(?x) AS ?n) { ?x :q ?w FILTER NOT EXISTS { ?x :p ?y . ?y :p ?w } }",
    "CONSTRUCT { ?y a :Found } WHERE { :a :p+ ?y . ?y a :C }",
)
# Queries whose rows would change, or might: they stay as they are.
LEFT_ALONE = (
    "SELECT * { :a :p+ ?y . ?y a :C }",  # a new column
    "SELECT ?y { :a :p+ ?y }",  # nothing to join
    "SELECT ?y { :a :p+ ?y . _:b :q ?y . _:b a :C }",  # a blank node on both sides
    "SELECT ?x { ?x a :C FILTER NOT EXISTS { ?u :p ?y . ?y :q ?z } }",  # nothing shared
    "SELECT ?x { ?x a :C OPTIONAL { ?x :q ?y } FILTER NOT EXISTS { ?x :p ?y . ?y a :C } }",
    "SELECT ?x { ?x :q ?w FILTER NOT EXISTS { ?x :p ?y . FILTER(?y = ?w) ?y a :C } }",
    "SELECT ?x { ?x a :C FILTER(?x = :a || NOT EXISTS { ?x :p ?y . ?y :q ?z }) }",
    "DESCRIBE ?y { :a :p+ ?y . ?y a :C }",
)


def rows(store: ox.Store, text: str) -> Counter[str]:
    answer = store.query(text)
    return Counter(str(row) for row in answer)  # type: ignore[union-attr]


@pytest.mark.parametrize("text", REWRITTEN)
def test_a_rewriting_gives_the_same_rows_as_often(text: str) -> None:
    found = rewrite(P + text)
    assert found is not None
    assert found.text != P + text
    parse_query(found.text)
    not_empty = 0
    for seed in range(40):
        chance = random.Random(seed)
        store = ox.Store()
        for _ in range(30):
            subject, value = (ox.NamedNode(f"urn:x:{chance.choice('abcdef')}") for _ in "so")
            predicate = ox.NamedNode(f"urn:x:{chance.choice('ppq')}")
            store.add(ox.Quad(subject, predicate, value))
        kind = ox.NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
        for name in chance.sample("abcdef", 3):
            store.add(ox.Quad(ox.NamedNode(f"urn:x:{name}"), kind, ox.NamedNode("urn:x:C")))
        expected = rows(store, P + text)
        assert rows(store, found.text) == expected
        not_empty += bool(expected)
    assert not_empty > 2


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_would_change_the_rows_is_left_alone(text: str) -> None:
    assert rewrite(P + text) is None


def test_what_is_not_sparql_1_1_is_left_to_the_engine() -> None:
    assert improved("SELECT ?x { <<( ?x ?p ?o )>> ?q ?y OPTIONAL { ?x ?y ?z } }") is None
    assert improved("SELECT ?x { ?x <urn:p>+ ") is None
    with pytest.raises(QueryError, match=r"nests too deeply|not closed|syntax error"):
        parse_query("ASK " + "{" * 5000)


def test_the_default_graph_counts_a_statement_of_several_records_once(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import provgraph

    for _ in range(3):
        with provgraph.run("train") as run:
            run.use("s3://bucket/data.csv", role="train")
    count = "SELECT (COUNT(*) AS ?n) {{ {} }}"
    said = "<s3://bucket/data.csv> a <http://www.w3.org/ns/prov#Entity>"
    counts = []
    for pattern in (said, f"GRAPH ?g {{ {said} }}"):
        assert main(["sparql", count.format(pattern), "--format", "csv"]) == 0
        counts.append(capsys.readouterr().out.split()[-1])
    assert counts[0] == "1"
    assert counts[1] == "3"


def test_a_query_is_explained_and_asked_by_its_better_text(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import provgraph

    with provgraph.run("train") as run:
        run.use("s3://bucket/data.csv", role="train")
        run.generate("s3://bucket/model", role="model")
    text = (
        "PREFIX prov: <http://www.w3.org/ns/prov#> SELECT ?e {"
        " <s3://bucket/model> prov:wasDerivedFrom+ ?e . ?e a prov:Entity }"
    )
    assert main(["explain", text]) == 0
    said = capsys.readouterr().out
    assert "leads to ?e by prov:wasDerivedFrom+ (any number of steps)" in said
    assert "VALUES ?end1" in said
    assert main(["explain", text, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["rule"] for each in answer["warnings"]] == ["constant-path-end", "no-limit"]
    assert main(["sparql", text, "--format", "csv"]) == 0
    first = capsys.readouterr()
    assert "bound by VALUES" in first.err
    assert main(["sparql", text, "--format", "csv", "--as-written"]) == 0
    second = capsys.readouterr()
    assert second.err == ""
    assert first.out == second.out
    assert "s3://bucket/data.csv" in first.out
    assert main(["explain", "DELETE WHERE { ?s ?p ?o }"]) == 2
