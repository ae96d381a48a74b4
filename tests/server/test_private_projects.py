"""Attacks on a private project by a stranger, beside a server that never had that project.

Whatever a stranger asks, the two servers answer alike, but for ledger sizes, request ids and times of
recording. So there is nothing in an answer that the private project could have put there.
"""

import re
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import pytest
from private_history import (
    NOWHERE,
    PRIVATE_DATA,
    PRIVATE_MODEL,
    SHARED_DATA,
    WORD,
    Client,
    give_access,
    record_home,
)
from serving_process import serving

from provgraph import vocab
from provgraph.access.store import AccessStore
from provgraph.digests import Digest


def content(digest):
    return vocab.content_iri(Digest.parse(digest))


MODEL, DATA, SHARED = content(PRIVATE_MODEL), content(PRIVATE_DATA), content(SHARED_DATA)
RECORD, RUN = vocab.record_iri("priv-1"), vocab.run_iri("priv-1")
DERIVED = vocab.record_iri("priv-4")
PROV, PG = "PREFIX prov: <http://www.w3.org/ns/prov#> ", f"PREFIX pg: <{vocab.PG}> "


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    homes = tmp_path_factory.mktemp("private")
    record_home(homes / "with", kind="private")
    record_home(homes / "without", kind="open")
    with serving(homes / "with") as one, serving(homes / "without") as other:
        yield (
            Client(server=one, secrets=give_access(homes / "with")),
            Client(server=other, secrets=give_access(homes / "without")),
        )


HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_TIME = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z")


def plain(answer):
    """Return status, headers and body without what differs between any two servers."""
    left_out = {"x-request-id", "provgraph-ledger-size", "date", "content-length", "etag"}
    headers = {name: value for name, value in answer.headers.items() if name not in left_out}
    body = answer.body.decode()
    body = re.sub(r'"requestId": "[0-9a-f]+"', "", body)
    body = re.sub(r"As of [0-9]+ ledger entries", "", body)
    body = re.sub(r"(ledger size|/ledger/|Request|tree of) ?[0-9a-f]+", "", body)
    body = re.sub(r">[0-9]+</a></td>", "", body)  # positions of entries
    body = re.sub(r"did:key:[a-zA-Z0-9]+|20[0-9-]{8}[T ][0-9:.]+(\+00:00| UTC)", "", body)
    body = re.sub(r'"ledgerSize": ?[0-9]+', "", body)
    body = re.sub(r"[0-9]+ [0-9a-f]{64}", "", body)  # the watermark
    body = _TIME.sub(lambda found: found[0] if found[0] == "2026-03-01T00:00:00Z" else "", body)
    body = re.sub(r"127\.0\.0\.1:[0-9]+", "", body)
    location = headers.get("location")
    return answer.status, headers, sorted(body.splitlines()), location


def sparql(query, **more):
    return "/sparql?" + urlencode({"query": query, **more}, doseq=True)


QUERIES = {
    "default graph": "SELECT * { ?s ?p ?o }",
    "GRAPH ?g": "SELECT * { GRAPH ?g { ?s ?p ?o } }",
    "graph names": "SELECT DISTINCT ?g { GRAPH ?g { ?s ?p ?o } }",
    "GRAPH <private>": f"SELECT * {{ GRAPH <{RECORD}> {{ ?s ?p ?o }} }}",
    "FROM": f"SELECT * FROM <{RECORD}> {{ ?s ?p ?o }}",
    "FROM NAMED": f"SELECT * FROM NAMED <{RECORD}> {{ GRAPH ?g {{ ?s ?p ?o }} }}",
    "FROM of what mentions it": f"SELECT * FROM <{DERIVED}> {{ ?s ?p ?o }}",
    "ASK": f"ASK {{ <{MODEL}> ?p ?o }}",
    "EXISTS": f"SELECT ?s {{ ?s a pg:Run FILTER EXISTS {{ ?x pg:project '{WORD}' }} }}",
    "NOT EXISTS": f"SELECT ?s {{ ?s a pg:Run FILTER NOT EXISTS {{ GRAPH ?g {{ <{RUN}> ?p ?o }} }} }}",
    "MINUS": f"SELECT ?s {{ ?s a pg:Run MINUS {{ ?s pg:environment ?e . <{RUN}> ?p ?o }} }}",
    "DESCRIBE": f"DESCRIBE <{MODEL}> <{RUN}> <{RECORD}>",
    "DESCRIBE of what both use": f"DESCRIBE <{SHARED}>",
    "CONSTRUCT": f"CONSTRUCT {{ ?s ?p ?o }} {{ ?s ?p ?o . ?s ?q <{SHARED}> }}",
    "path down": f"SELECT ?x {{ ?x (prov:wasDerivedFrom|prov:used)+ <{SHARED}> }}",
    "path up": f"SELECT ?x {{ <{MODEL}> (prov:wasDerivedFrom|prov:wasGeneratedBy)* ?x }}",
    "any path": f"SELECT ?x {{ <{SHARED}> (!<x:y>|^!<x:y>)* ?x }}",
    "zero length path": f"SELECT ?x {{ <{MODEL}> prov:wasDerivedFrom? ?x }}",
    "COUNT": "SELECT (COUNT(*) AS ?n) (COUNT(DISTINCT ?s) AS ?m) { ?s ?p ?o }",
    "COUNT of graphs": "SELECT (COUNT(DISTINCT ?g) AS ?n) { GRAPH ?g { ?s ?p ?o } }",
    "COUNT by project": "SELECT ?p (COUNT(*) AS ?n) { ?r pg:project ?p } GROUP BY ?p",
    "properties": "SELECT DISTINCT ?p { ?s ?p ?o }",
    "people": "SELECT DISTINCT ?l { ?a a prov:Person ; rdfs:label ?l }",
    "packages": "SELECT ?l { ?e a pg:Environment ; ?p ?o }",
    "text": f"SELECT ?s {{ ?s ?p ?o FILTER(CONTAINS(STR(?o), '{WORD}')) }}",
    "IRI": f"SELECT ?s {{ ?s ?p ?o FILTER(CONTAINS(STR(?s), '{WORD}')) }}",
    "syntax error": f"SELECT ?{WORD} {{ <{RUN}> ?p }}",
    "VALUES": f"SELECT ?x ?p {{ VALUES ?x {{ <{MODEL}> <{RUN}> <{DATA}> }} ?x ?p ?o }}",
    "subquery": f"SELECT ?n {{ {{ SELECT (COUNT(?s) AS ?n) {{ ?s pg:project '{WORD}' }} }} }}",
    "the index's own": "SELECT * { GRAPH <urn:provgraph:index> { ?s ?p ?o } }",
}


def query(name):
    return f"{PROV}{PG}PREFIX rdfs: <{vocab.RDFS}> {QUERIES[name]}"


def requests():
    for name in QUERIES:
        yield f"SPARQL {name}", "GET", sparql(query(name)), {}
    everything = "SELECT * { ?s ?p ?o }"
    named = "SELECT * { GRAPH ?g { ?s ?p ?o } }"
    for graph in (RECORD, DERIVED, vocab.record_iri("priv-3")):
        for text, key in ((everything, "default-graph-uri"), (named, "named-graph-uri")):
            yield f"{key} {graph[-6:]}", "GET", sparql(text, **{key: graph}), {}
        yield f"graph {graph[-6:]}", "GET", f"/graphs?graph={quote(graph)}", {}
        yield f"HEAD graph {graph[-6:]}", "HEAD", f"/graphs?graph={quote(graph)}", {}
    yield "all graphs", "GET", "/graphs?default", {"Accept": "application/n-triples"}
    yield "VoID", "GET", "/.well-known/void", {"Accept": "application/n-triples"}
    yield "service description", "GET", "/sparql", {"Accept": "application/n-triples"}
    yield "query in the body", "POST", "/sparql", {"Content-Type": "application/sparql-query"}
    for iri in (
        MODEL,
        RUN,
        RECORD,
        DATA,
        SHARED,
        vocab.named_iri("model", "acme", f"{WORD}-model"),
    ):
        path = iri.removeprefix(vocab.ID)
        for suffix in ("html", "ttl", "jsonld", "nt"):
            yield f"about {path[-12:]}.{suffix}", "GET", f"/about/{path}.{suffix}", {}
        yield f"HEAD about {path[-12:]}", "HEAD", f"/about/{path}.ttl", {}
        yield f"id {path[-12:]}", "GET", f"/id/{path}", {}
    parent = vocab.run_iri("priv-1-parent")
    yield "about what is mentioned only", "GET", f"/about/{parent.removeprefix(vocab.ID)}.html", {}
    names = (
        MODEL,
        RUN,
        DATA,
        SHARED,
        parent,
        f"{WORD}-model:1",
        f"{WORD}-train",
        "churn:1",
        "train",
    )
    for thing in (*names, PRIVATE_MODEL, NOWHERE):
        for direction in ("up", "down"):
            pairs = urlencode({"thing": thing, "direction": direction})
            yield f"lineage {direction} {thing[-14:]}", "GET", f"/lineage?{pairs}", {}
    for search in (
        "",
        f"q={WORD}",
        "q=train",
        "kind=model",
        f"metric={WORD}_auc",
        f"project={WORD}",
    ):
        yield f"search {search}", "GET", f"/search?{search}", {}
    for more in ({"kind": "model"}, {"project": WORD}, {"project": "churn"}, {"as-of": 2}):
        for thing in (SHARED, f"{WORD}-model:1", "churn:1"):
            pairs = urlencode({"thing": thing, "direction": "down", **more})
            name = f"lineage with {next(iter(more))} {next(iter(more.values()))} {thing[-6:]}"
            yield name, "GET", f"/lineage?{pairs}", {}
    pages = ["/", "/search", f"/search?q={WORD}", "/search?kind=model", f"/search?project={WORD}"]
    pages += [f"/about/{iri.removeprefix(vocab.ID)}.html" for iri in (MODEL, RUN, SHARED, RECORD)]
    pages += [f"/about/{parent.removeprefix(vocab.ID)}.html", f"/about/run/{WORD}.html"]
    for thing in (MODEL, RUN, SHARED, parent, f"{WORD}-model:1", "churn:1"):
        drawn = f"/picture?{urlencode({'thing': thing})}"
        yield f"picture {thing[-12:]}", "GET", drawn, {}
        yield f"drawn {thing[-12:]}", "GET", f"{drawn}&format=svg", {}
        pages += [drawn, f"/verify?{urlencode({'thing': thing})}"]
        pages += [f"/compare?{urlencode({'before': 'churn:1', 'after': thing})}"]
        yield f"bundle {thing[-12:]}", "GET", f"/bundle?{urlencode({'thing': thing})}", HTML
    pages += [sparql(query(name)) for name in ("default graph", "GRAPH <private>", "DESCRIBE")]
    for path in pages:
        yield f"page {path[-20:]}", "GET", path, HTML
    yield "running queries", "GET", "/queries/running", {}
    yield "trail", "GET", f"/trail?about={WORD}", {}


REQUESTS = list(requests())


@pytest.mark.parametrize("who", ["stranger", "operator", "limited"])
@pytest.mark.parametrize("request_", REQUESTS, ids=[each[0] for each in REQUESTS])
def test_a_stranger_learns_nothing(clients, request_, who):
    _, method, path, headers = request_
    body = query("text").encode() if method == "POST" else None
    found = [each.ask(who, method, path, body=body, headers=headers) for each in clients]
    assert plain(found[0]) == plain(found[1])
    # The word comes back only where it was in the question.
    told = WORD in found[0].body.decode()
    assert told <= (WORD in path or WORD in str(body))


@pytest.mark.parametrize("who", ["mia", "auditor"])
def test_members_and_auditors_see_all_of_it(clients, who):
    answer = clients[0].ask(who, "GET", sparql(query("COUNT by project")))
    rows = {row["p"]["value"]: row["n"]["value"] for row in answer.json["results"]["bindings"]}
    assert rows == {WORD: "1", "churn": "2", "other": "1"}
    about = clients[0].ask(who, "GET", f"/about/{MODEL.removeprefix(vocab.ID)}.html")
    assert (about.status, WORD in about.body.decode()) == (200, True)


def test_a_member_walks_through_the_private_project_where_a_stranger_sees_none_of_it(clients):
    path = "/lineage?" + urlencode({"thing": SHARED, "direction": "down"})
    labels = {
        who: {node.get("label") for node in clients[0].ask(who, "GET", path).json["nodes"]}
        for who in ("stranger", "mia")
    }
    private = {f"{WORD}-model:1", f"derived-{WORD}"}
    assert (labels["mia"] >= private, labels["stranger"] & private) == (True, set())


def test_the_ledger_shows_a_stranger_that_there_is_an_entry_and_not_of_what(clients):
    client = clients[0]
    size = int(client.ask("auditor", "GET", sparql("ASK {}")).headers["provgraph-ledger-size"])
    unnamed = b"you may not read"
    seen = []
    for who in ("stranger", "auditor"):
        pages = [client.ask(who, "GET", f"/ledger/{n}", headers=HTML) for n in range(size)]
        pages.append(client.ask(who, "GET", "/ledger", headers=HTML))
        seen.append(sum(each.body.count(b"nothing that") for each in pages[-1:]))
        seen.append(
            sum(unnamed in each.body or b"may not read" in each.body for each in pages[:-1])
        )
        told = [WORD in each.body.decode() or b"priv-" in each.body for each in pages]
        seen.append(any(told))
    # Four records and what they brought are hidden from the stranger, nothing from the auditor.
    assert seen[0] == seen[1] > 3
    assert seen[2:] == [False, 0, 0, True]


def test_a_limited_token_sees_its_projects_only(clients):
    answer = clients[0].ask("limited", "GET", sparql(query("COUNT by project")))
    rows = {row["p"]["value"]: row["n"]["value"] for row in answer.json["results"]["bindings"]}
    assert rows == {"churn": "1"}


def test_a_private_thing_is_refused_like_one_that_does_not_exist(clients):
    client = clients[0]
    answers = []
    for iri in (MODEL, content(NOWHERE)):
        path = iri.removeprefix(vocab.ID)
        found = client.ask("stranger", "GET", f"/about/{path}.ttl")
        answers.append((found.status, found.json["detail"].replace(iri, "")))
        graph = client.ask("stranger", "GET", f"/graphs?graph={quote(iri)}")
        answers.append((graph.status, graph.json["detail"].replace(iri, "")))
    assert answers[:2] == answers[2:]


def test_read_your_writes_holds_on_an_index_of_ones_own(clients):
    client = clients[0]
    with_all = client.ask("auditor", "GET", sparql("ASK {}"))
    size = int(with_all.headers["provgraph-ledger-size"])
    answer = client.ask("stranger", "GET", sparql("ASK {}", **{"min-ledger-size": size}))
    assert (answer.status, answer.headers["provgraph-ledger-size"]) == (200, str(size))


def test_a_project_that_becomes_private_is_hidden_at_once_and_open_again_as_well(clients):
    client = clients[1]
    store = AccessStore(client.server.home / "access.db", clock=lambda: datetime.now(UTC))
    ask = query("COUNT by project")

    def projects(who):
        rows = client.ask(who, "GET", sparql(ask)).json["results"]["bindings"]
        return {row["p"]["value"] for row in rows}

    seen = [projects("stranger")]
    store.set_private("other", is_private=True)
    seen += [projects("stranger"), projects("auditor")]
    void = client.ask("stranger", "GET", "/.well-known/void").body
    store.set_private("other", is_private=False)
    seen.append(projects("stranger"))
    whole = client.ask("stranger", "GET", "/.well-known/void").body
    store.close()
    assert seen == [{"churn", "other"}, {"churn"}, {"churn", "other"}, {"churn", "other"}]
    assert void != whole
