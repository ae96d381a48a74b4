"""W3C's SPARQL 1.1 protocol and service description suites, from their manifests, live."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime

import pyoxigraph as ox
import pytest
from serving_process import serving
from w3c_manifests import SUITE, http_cases

from provgraph import terms
from provgraph.ledger.rows import Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import generate_signer, load_or_create_signer
from provgraph.seal.proof import seal

if not SUITE.exists():
    if os.environ.get("CI") == "true":
        raise AssertionError(f"the SPARQL suites are missing at {SUITE}")
    pytest.skip(f"the SPARQL suites are not at {SUITE}", allow_module_level=True)

# The past is never rewritten: what these ask for is refused with 403, whatever the request's form.
UPDATES = {
    "update_base_uri",
    "update_dataset_default_graph",
    "update_dataset_default_graphs",
    "update_dataset_full",
    "update_dataset_named_graphs",
    "update_post_direct",
    "update_post_form",
}
CASES = http_cases(SUITE / "protocol/manifest.ttl", "ProtocolTest")
_FORMATS = {
    "boolean": {"application/sparql-results+json", "application/sparql-results+xml"},
    "tabular": {"application/sparql-results+json", "application/sparql-results+xml"},
    "RDF": {"text/turtle", "application/rdf+xml", "application/n-triples"},
}


@pytest.fixture(scope="module")
def w3c_server(tmp_path_factory):
    """A server whose ledger holds the graphs that the suite speaks of, as records."""
    home = tmp_path_factory.mktemp("w3c") / "home"
    signer = generate_signer()
    now = datetime(2026, 3, 1, tzinfo=UTC)
    data = {iri: path for case in CASES for iri, path in case.data.items()}
    log_signer = load_or_create_signer(home / "keys" / "log.pem")
    with Ledger.open(home / "ledger.db", log_signer=log_signer, clock=lambda: now) as ledger:
        for iri, path in sorted(data.items()):
            triples = ox.parse(path=str(path), format=ox.RdfFormat.N_TRIPLES)
            lines = sorted(f"{t.triple} {terms.iri(iri)} .\n" for t in triples)
            graph_nq = "".join(lines).encode()
            sealed = seal(graph_nq, signer=signer, created=now)
            ledger.append([Pending(iri=iri, graph_nq=graph_nq, seal=sealed)])
    with serving(home) as running:
        yield running


def test_the_suite_is_whole():
    assert (len(CASES), {case.name for case in CASES} >= UPDATES) == (34, True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_protocol(w3c_server, case):
    for exchange in case.exchanges:
        path = exchange.path.replace("/sparql/", "/sparql", 1)
        answer = w3c_server.ask(exchange.method, path, body=exchange.body, headers=exchange.headers)
        if case.name in UPDATES and not exchange.accepts(answer.status):
            assert (answer.status, answer.json["title"]) == (403, "Updates are refused")
            return  # what follows asks for what the update would have changed
        assert (answer.status, exchange.accepts(answer.status)) == (answer.status, True)
        if exchange.boolean is not None:
            assert answer.json["boolean"] is exchange.boolean
        if exchange.format is not None:
            media_type = answer.headers["content-type"].partition(";")[0]
            assert media_type in _FORMATS[exchange.format]


def test_how_many_are_refused_by_policy(w3c_server):
    refused = Counter()
    for case in CASES:
        first = case.exchanges[0]
        path = first.path.replace("/sparql/", "/sparql", 1)
        answer = w3c_server.ask(first.method, path, body=first.body, headers=first.headers)
        refused[answer.status == 403 and not first.accepts(403)] += 1
    assert refused == {False: 27, True: 7}


@pytest.mark.parametrize("accept", ["text/turtle", "application/rdf+xml", "application/n-triples"])
def test_service_description(w3c_server, accept):
    answer = w3c_server.ask("GET", "/sparql", headers={"Accept": accept})
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, accept)
    form = ox.RdfFormat.from_media_type(accept)
    triples = {quad.triple for quad in ox.parse(answer.body, format=form)}
    sd = "http://www.w3.org/ns/sparql-service-description#"
    endpoint = ox.NamedNode(f"http://127.0.0.1:{w3c_server.port}/sparql")
    type_ = ox.NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
    assert ox.Triple(endpoint, ox.NamedNode(sd + "endpoint"), endpoint) in triples
    assert ox.Triple(endpoint, type_, ox.NamedNode(sd + "Service")) in triples
    # The schema: what stands in the namespace is a term of the specification.
    ours = {
        term.value.removeprefix(sd)
        for triple in triples
        for term in triple
        if isinstance(term, ox.NamedNode) and term.value.startswith(sd)
    }
    assert ours <= {
        *("Service", "Dataset", "Graph", "endpoint", "supportedLanguage", "SPARQL11Query"),
        *("resultFormat", "defaultDataset", "defaultGraph"),
    }
