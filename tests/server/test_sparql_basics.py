"""SPARQL over HTTP: the three ways to ask, the forms of answers, refusals."""

import json
from urllib.parse import quote, urlencode

import pytest

RUNS = "SELECT (COUNT(DISTINCT ?r) AS ?n) WHERE { ?r a <https://w3id.org/provgraph/ns#Run> }"


def get(server, query, accept=None, **parameters):
    pairs = urlencode({"query": query, **parameters})
    headers = {} if accept is None else {"Accept": accept}
    return server.ask("GET", f"/sparql?{pairs}", headers=headers)


def post(server, body, media_type):
    return server.ask("POST", "/sparql", body=body, headers={"Content-Type": media_type})


def test_the_three_ways_to_ask_give_one_answer(server):
    form = urlencode({"query": RUNS}).encode()
    answers = [
        get(server, RUNS),
        post(server, form, "application/x-www-form-urlencoded"),
        post(server, RUNS.encode(), "application/sparql-query; charset=UTF-8"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200]
    counts = [answer.json["results"]["bindings"][0]["n"]["value"] for answer in answers]
    assert counts == ["4", "4", "4"]


@pytest.mark.parametrize(
    ("accept", "media_type", "start"),
    [
        ("text/csv", "text/csv; charset=utf-8", b"n\r\n4"),
        ("text/tab-separated-values", "text/tab-separated-values; charset=utf-8", b"?n\n4"),
        ("application/sparql-results+xml", "application/sparql-results+xml", b"<?xml"),
        ("text/csv;q=0.2, application/json;q=0.9", "application/json", b'{"head"'),
        (None, "application/sparql-results+json", b'{"head"'),
    ],
)
def test_rows_come_as_the_client_wants(server, accept, media_type, start):
    answer = get(server, RUNS, accept=accept)
    assert answer.headers["content-type"] == media_type
    assert answer.body[: len(start)] == start


def test_triples_come_as_the_client_wants(server):
    query = "CONSTRUCT { <urn:a> <urn:b> 1 } WHERE {}"
    answer = get(server, query, accept="application/n-triples")
    assert answer.body == b'<urn:a> <urn:b> "1"^^<http://www.w3.org/2001/XMLSchema#integer> .\n'


def test_what_nobody_can_give_is_not_acceptable(server):
    answer = get(server, RUNS, accept="image/png")
    assert (answer.status, answer.json["title"]) == (406, "Not acceptable")


def test_an_update_is_refused_with_the_reason(server):
    update = b"INSERT DATA { <urn:a> <urn:b> <urn:c> }"
    for answer in (
        post(server, update, "application/sparql-update"),
        post(server, urlencode({"update": update}).encode(), "application/x-www-form-urlencoded"),
        server.ask("GET", f"/sparql?update={quote(update)}"),
    ):
        assert (answer.status, answer.json["title"]) == (403, "Updates are refused")


def test_a_syntax_error_is_the_askers(server):
    answer = get(server, "SELECT * {\n ?s ex:p 1 }")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    found = {name: answer.json[name] for name in ("title", "line", "column", "excerpt")}
    assert found == {
        "title": "Syntax error",
        "line": 2,
        "column": 5,
        "excerpt": " ?s ex:p 1 }\n    ^",
    }


def test_a_query_at_its_deadline_is_an_error_and_others_go_on(server):
    crossing = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }"
    answer = get(server, crossing)
    assert (answer.status, answer.json["title"]) == (504, "Query stopped at its deadline")
    assert get(server, "ASK {}").json["boolean"] is True


def test_a_query_that_kills_its_worker_is_an_error_and_others_go_on(server):
    chain = " || ".join(["?s = ?o"] * 20_000)
    answer = post(
        server, f"SELECT * {{ ?s ?p ?o FILTER({chain}) }}".encode(), "application/sparql-query"
    )
    assert (answer.status, answer.json["title"]) == (413, "Query or answer too large")
    assert get(server, "ASK {}").json["boolean"] is True


def test_every_answer_says_its_ledger_size(server):
    size = int(get(server, "ASK {}").headers["provgraph-ledger-size"])
    ready = server.ask("GET", "/readyz").json
    assert ready == {"status": "ok", "ledgerSize": size, "problem": None}


def test_a_ledger_size_that_does_not_come_is_said(server):
    answer = get(server, "ASK {}", **{"min-ledger-size": "x"})
    assert answer.status == 400


def test_every_refusal_is_a_problem_with_an_id(server):
    answer = server.ask("DELETE", "/sparql")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert answer.json["requestId"] == answer.headers["x-request-id"]
    assert server.ask("GET", "/no/such/place").status == 404


def test_the_openapi_document_names_every_path(server):
    document = json.loads(server.ask("GET", "/openapi.json").body)
    assert {"/sparql", "/healthz", "/readyz", "/version"} <= set(document["paths"])


def test_a_query_is_asked_by_its_better_text_and_explained(server):
    query = (
        "PREFIX prov: <http://www.w3.org/ns/prov#>"
        " SELECT ?e { <urn:m> prov:wasDerivedFrom+ ?e . ?e a prov:Entity }"
    )
    answer = get(server, query)
    assert (answer.status, answer.headers["provgraph-rewritten"]) == (
        200,
        "<urn:m>, at the end of an endless path, bound by VALUES",
    )
    as_written = get(server, query, **{"as-written": "true"})
    assert as_written.body == answer.body
    assert "provgraph-rewritten" not in as_written.headers
    explained = server.ask("GET", f"/explain?{urlencode({'query': query})}").json
    assert "VALUES ?end1" in explained["rewriting"]["text"]
    assert server.ask("GET", f"/explain?{urlencode({'query': 'SELECT ?x {'})}").status == 400
