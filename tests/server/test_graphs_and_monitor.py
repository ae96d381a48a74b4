"""Reading graphs, the description of the data, and the query monitor."""

import concurrent.futures
import json
import time
from urllib.parse import quote

import pyoxigraph as ox

from provgraph.service.home import readable_ledger
from provgraph.settings import load

RDF = "application/n-triples"
SLOW = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }"


def triples(answer):
    return {quad.triple for quad in ox.parse(answer.body, format=ox.RdfFormat.N_TRIPLES)}


def test_a_graph_is_read_as_it_was_sealed(server, served_home):
    with readable_ledger(load({"PROVGRAPH_HOME": str(served_home)})) as ledger:
        record = ledger.read(0)
    sealed = {quad.triple for quad in ox.parse(record.graph_nq, format=ox.RdfFormat.N_QUADS)}
    path = f"/graphs?graph={quote(record.iri, safe='')}"
    answer = server.ask("GET", path, headers={"Accept": RDF})
    assert (answer.status, triples(answer) == sealed) == (200, True)
    head = server.ask("HEAD", path)
    assert (head.status, head.body, head.headers["content-type"]) == (
        200,
        b"",
        "text/turtle; charset=utf-8",
    )


def test_a_graph_that_is_not_there(server):
    for method in ("GET", "HEAD"):
        assert server.ask(method, "/graphs?graph=urn%3Anone").status == 404


def test_which_graph_must_be_said_once(server):
    for query in ("", "?graph=urn:a&graph=urn:b", "?default&graph=urn:a", "?graph=no%20iri"):
        assert (query, server.ask("GET", f"/graphs{query}").status) == (query, 400)


def test_void_counts_what_is_there(server):
    answer = server.ask("GET", "/.well-known/void", headers={"Accept": RDF})
    counts = {
        str(t.predicate).rsplit("#", 1)[-1].rstrip(">"): t.object.value for t in triples(answer)
    }
    asked = server.ask("GET", "/sparql?query=" + quote("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"))
    assert counts["triples"] == json.loads(asked.body)["results"]["bindings"][0]["n"]["value"]
    assert counts["sparqlEndpoint"] == f"http://127.0.0.1:{server.port}/sparql"


def test_a_running_query_is_listed_and_stopped(server):
    with concurrent.futures.ThreadPoolExecutor() as threads:
        asked = threads.submit(server.ask, "GET", f"/sparql?query={quote(SLOW)}")
        time.sleep(0.5)
        (row,) = server.ask("GET", "/queries/running").json["queries"]
        stopped = server.ask("DELETE", f"/queries/running/{row['number']}")
        answer = asked.result()
    assert (row["state"], row["query"], row["who"]) == ("running", SLOW, "anonymous@127.0.0.1")
    assert stopped.status == 204
    assert (answer.status, answer.json["title"]) == (503, "Query stopped")
    assert server.ask("GET", "/queries/running").json == {"queries": []}
    assert server.ask("DELETE", "/queries/running/99999").status == 404
    assert server.ask("DELETE", "/queries/running/x").status == 404
