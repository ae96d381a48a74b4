"""Linked data: 303 by Accept, documents by suffix, ETags, Link headers, pages that hold no script."""

import json

import pyoxigraph as ox
import pytest

MODEL = "content/sha256/" + "cd" * 32
IRI = f"https://w3id.org/provgraph/id/{MODEL}"


@pytest.mark.parametrize(
    ("accept", "suffix"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "html"),
        ("text/turtle", "ttl"),
        ("application/ld+json", "jsonld"),
        (None, "html"),
        ("application/n-triples;q=0.5, text/turtle;q=0.4", "nt"),
    ],
)
def test_a_thing_sends_on_to_a_document(server, accept, suffix):
    headers = {} if accept is None else {"Accept": accept}
    answer = server.ask("GET", f"/id/{MODEL}", headers=headers)
    assert (answer.status, answer.headers["location"]) == (303, f"/about/{MODEL}.{suffix}")
    assert answer.headers["vary"] == "Accept"


def test_a_thing_in_a_form_that_nobody_has(server):
    assert server.ask("GET", f"/id/{MODEL}", headers={"Accept": "image/png"}).status == 406


def test_documents_say_what_is_recorded(server):
    turtle = server.ask("GET", f"/about/{MODEL}.ttl")
    triples = {quad.triple for quad in ox.parse(turtle.body, format=ox.RdfFormat.TURTLE)}
    label = ox.NamedNode("http://www.w3.org/2000/01/rdf-schema#label")
    labels = {t.object.value for t in triples if t.subject.value == IRI and t.predicate == label}
    assert labels == {"churn"}
    for suffix, form in (("jsonld", ox.RdfFormat.JSON_LD), ("nt", ox.RdfFormat.N_TRIPLES)):
        answer = server.ask("GET", f"/about/{MODEL}.{suffix}")
        assert {quad.triple for quad in ox.parse(answer.body, format=form)} == triples


def test_a_document_is_not_sent_twice(server):
    first = server.ask("GET", f"/about/{MODEL}.ttl")
    again = server.ask(
        "GET", f"/about/{MODEL}.ttl", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status, again.body) == (304, b"")
    tag = first.headers["etag"]
    found = [
        server.ask("GET", f"/about/{MODEL}.ttl", headers={"If-None-Match": sent}).status
        for sent in (f'"other", W/{tag}', "*", '"other"', tag[:-2], "")
    ]
    assert found == [304, 304, 200, 200, 200]


def test_links_lead_to_provenance_and_to_the_endpoint(server):
    link = server.ask("GET", f"/about/{MODEL}.html").headers["link"]
    assert f'<{f"/about/{MODEL}"}.ttl>; rel="http://www.w3.org/ns/prov#has_provenance"' in link
    assert '</sparql>; rel="http://www.w3.org/ns/prov#has_query_service"' in link


def test_the_page_names_things_and_runs_nothing(server):
    answer = server.ask("GET", f"/about/{MODEL}.html")
    page = answer.body.decode()
    assert "<h1><bdi>churn:2</bdi></h1>" in page
    assert "<script" not in page
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_what_nobody_recorded_is_not_found(server):
    for path in ("run/none.ttl", "run/none.html", "run/none.jsonld", "run/none", "x.png"):
        assert (path, server.ask("GET", f"/about/{path}").status) == (path, 404)


def test_ontology_and_context_are_where_their_names_say(server):
    ontology = server.ask("GET", "/ns")
    assert len(list(ox.parse(ontology.body, format=ox.RdfFormat.TURTLE))) > 500
    context = server.ask("GET", "/context/v1")
    assert json.loads(context.body)["@context"]["id"] == "@id"
    again = server.ask("GET", "/ns", headers={"If-None-Match": ontology.headers["etag"]})
    assert again.status == 304
