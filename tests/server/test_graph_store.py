"""Foreign graphs by the Graph Store Protocol: taken in once, never changed; W3C's suite, live."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from urllib.parse import quote

import pyoxigraph as ox
import pytest
from serving_process import serving
from w3c_manifests import SUITE, http_cases

from provgraph.access.store import AccessStore
from provgraph.digests import sha256_bytes
from provgraph.ledger.fsck import verify_ledger
from provgraph.service.home import readable_ledger
from provgraph.settings import load

GRAPH = "https://example.org/catalogue/1"
PATH = f"/graphs?graph={quote(GRAPH, safe='')}"
TURTLE = b"""@prefix dcat: <http://www.w3.org/ns/dcat#> .
<https://example.org/d> a dcat:Dataset ; dcat:distribution [ dcat:byteSize 7 ] ."""
GENID = "https://w3id.org/provgraph/id/genid/"
# Eight times ten letters for one, and cut off.
ENTITIES = b"""<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#\""""


class Store:
    def __init__(self, server, secrets):
        self.server = server
        self.secrets = secrets

    def ask(self, method, path, body=None, who="ci", **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Authorization"] = f"Bearer {self.secrets[who]}"
        return self.server.ask(method, path, body=body, headers=sent)

    def put(self, body=TURTLE, path=PATH, media_type="text/turtle"):
        return self.ask("PUT", path, body=body, Content_Type=media_type)

    def get(self, path, size):
        # Read your own writes: the default graph is asked for at that size first.
        self.ask("GET", f"/sparql?query=ASK%20%7B%7D&min-ledger-size={size}", who="rose")
        return self.ask("GET", path, who="rose", Accept="application/n-triples")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    home = tmp_path_factory.mktemp("gsp") / "home"
    access = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    secrets = {
        name: access.create_token(owner=name, roles=roles)[1]
        for name, roles in {"ci": ["ingest"], "rose": ["reader"], "both": ["steward"]}.items()
    }
    access.close()
    with serving(home) as server:
        yield Store(server, secrets)


def canonical(data, form=ox.RdfFormat.N_TRIPLES, base=None):
    """Return triples with blank nodes in the place of the names that they were given."""
    dataset = ox.Dataset()
    for quad in ox.parse(data, format=form, base_iri=base):
        terms = [
            ox.BlankNode(f"g{term.value.rsplit('-', 1)[-1]}")
            if isinstance(term, ox.NamedNode) and term.value.startswith(GENID)
            else term
            for term in (quad.subject, quad.predicate, quad.object)
        ]
        dataset.add(ox.Quad(*terms))
    dataset.canonicalize(ox.CanonicalizationAlgorithm.UNSTABLE)
    return {str(quad) for quad in dataset}


def test_a_new_graph_is_taken_in_and_read_back(store):
    answer = store.put()
    assert (answer.status, answer.headers["location"]) == (201, PATH)
    size = answer.headers["provgraph-ledger-size"]
    read = store.get(PATH, size)
    assert canonical(read.body) == canonical(TURTLE, ox.RdfFormat.TURTLE)
    assert store.put().status == 204
    with readable_ledger(load({"PROVGRAPH_HOME": str(store.server.home)})) as ledger:
        graph, record = ledger.read(ledger.size() - 2), ledger.read(ledger.size() - 1)
        assert ledger.attachment(sha256_bytes(TURTLE)) == TURTLE
        assert verify_ledger(ledger).size == ledger.size()
    assert (graph.iri, f"<{GRAPH}>".encode() in record.graph_nq) == (GRAPH, True)


def test_another_content_under_a_known_name_is_a_conflict(store):
    store.put()
    answer = store.put(b"<urn:a> <urn:b> <urn:c> .")
    assert (answer.status, "nothing is changed" in answer.json["detail"]) == (409, True)


def test_nothing_is_deleted_and_the_default_graph_is_not_put(store):
    assert store.ask("DELETE", PATH).status == 403
    assert store.put(path="/graphs?default").status == 403


def test_a_graph_without_a_name_gets_one(store):
    answer = store.ask("POST", "/graphs", body=TURTLE, Content_Type="text/turtle")
    assert (answer.status, answer.headers["location"][:22]) == (201, "/graphs?graph=urn%3Auu")


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", "text/turtle", 400),
        (b"<urn:a> <urn:b> .", "text/turtle", 400),
        (b"\xff\xfe", "text/turtle", 400),
        (b'<urn:a> <urn:b> "01"^^<http://www.w3.org/2001/XMLSchema#integer> .', "text/turtle", 400),
        (b"x", "text/plain", 415),
        (
            b'{"@context": "https://example.org/c", "@id": "urn:a", "b": 1}',
            "application/ld+json",
            400,
        ),
        (
            b'{"@id": "urn:g", "@graph": [{"@id": "urn:a", "urn:b": "c"}]}',
            "application/ld+json",
            400,
        ),
        (b"<<( <urn:a> <urn:b> <urn:c> )>> <urn:d> <urn:e> .", "application/n-triples", 400),
        (ENTITIES, "application/rdf+xml", 400),
    ],
    ids=[
        *("empty", "broken", "no_utf_8", "literal_not_canonical", "no_rdf", "remote_context"),
        *("named_graph", "triple_term", "truncated_xml"),
    ],
)
def test_what_cannot_be_kept_is_refused(store, body, media_type, status):
    path = "/graphs?graph=https%3A%2F%2Fexample.org%2Frefused"
    assert store.put(body, path=path, media_type=media_type).status == status
    assert store.ask("GET", path, who="rose").status == 404


def test_names_of_records_are_not_for_foreign_graphs(store):
    for name in ("https://w3id.org/provgraph/id/record/x", "urn:provgraph:index", "no iri"):
        answer = store.put(path=f"/graphs?graph={quote(name, safe='')}")
        assert (name, answer.status in {400, 403}) == (name, True)


def test_a_reader_takes_nothing_in(store):
    assert store.ask("PUT", PATH, body=TURTLE, who="rose", Content_Type="text/turtle").status == 403


# ---- W3C's suite -------------------------------------------------------------------------------------
if not SUITE.exists() and os.environ.get("CI") == "true":
    raise AssertionError(f"the SPARQL suites are missing at {SUITE}")
CASES = (
    http_cases(SUITE / "graph-store-protocol/manifest-indirect.ttl", "GraphStoreProtocolTest")
    if SUITE.exists()
    else []
)
# Which request of a case policy refuses, and how; what comes before it is as W3C wants it.
POLICY = {
    "put_get_repeat_indirect": (2, 409),  # a second PUT with other content
    "put_get_default": (0, 403),  # PUT of the default graph
    "put_delete_get_delete_indirect": (1, 403),  # DELETE
    "post_get_post_get_indirect": (2, 415),  # a second POST would add; its form is multipart
}


def test_the_suite_is_whole():
    if CASES:
        assert (len(CASES), set(POLICY) <= {case.name for case in CASES}) == (9, True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_graph_store_protocol(store, case):
    location, store.last = None, getattr(store, "last", "0")
    for number, exchange in enumerate(case.exchanges):
        path = exchange.path.replace("/gsp", "/graphs", 1)
        # Every case starts from an empty store; ours keeps what the last one put.
        path = path.replace("www.example", f"{case.name.replace('_', '-')}.example")
        if location is not None and "$" in path:
            path = location
        who = "both"
        if exchange.method in {"GET", "HEAD"}:
            store.get("/graphs?default", store.last)
        answer = store.ask(exchange.method, path, body=exchange.body, who=who, **exchange.headers)
        store.last = answer.headers.get("provgraph-ledger-size", getattr(store, "last", "0"))
        location = answer.headers.get("location", location)
        if POLICY.get(case.name, (None,))[0] == number:
            assert answer.status == POLICY[case.name][1]
            return
        assert (number, answer.status, exchange.accepts(answer.status)) == (
            number,
            answer.status,
            True,
        )
