"""What is meant to hurt the server gets a clear error, and the server goes on answering others.

How long each takes, and how others fare meanwhile, is measured by tests/soak/test_hostile.py.
"""

import concurrent.futures
import contextlib
import shutil
import socket
from datetime import UTC, datetime

import pytest
from hostile_queries import AT_ONCE, UNTIL_STOPPED
from serving_process import serving

from provgraph.access.store import AccessStore

MEMBERS = {"type", "title", "status", "detail", "requestId"}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory, served_home):
    home = tmp_path_factory.mktemp("attacked") / "home"
    shutil.copytree(served_home, home, ignore=shutil.ignore_patterns("snapshots", "access.db"))
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    _, secret = store.create_token(owner="mallory@example.org", roles=["steward"])
    store.close()
    limits = {"query_timeout_s": "1", "query_memory_mib": "300", "query_answer_mib": "2"}
    with serving(home, **limits) as running:
        running.headers = {"Authorization": f"Bearer {secret}"}
        yield running
        assert running.process.poll() is None
        assert "Traceback" not in running.log()


def ask(server, query):
    headers = {**server.headers, "Content-Type": "application/sparql-query"}
    return server.ask(
        "POST", "/sparql", body=query.encode("utf-8", "surrogatepass"), headers=headers
    )


def require_well(server):
    answer = ask(server, "ASK {}")
    assert (answer.status, answer.json["boolean"]) == (200, True)


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_query_that_cannot_run(attacked, name):
    query, statuses = AT_ONCE[name]
    answer = ask(attacked, query)
    assert answer.status in statuses, answer.body[:500]
    if answer.status != 200:
        assert answer.json.keys() >= MEMBERS
    if name.startswith("from-"):
        assert answer.json["results"]["bindings"] == []
    require_well(attacked)


def test_queries_that_run_until_something_stops_them(attacked):
    """Two at a time, as there are workers: each is really run."""
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        jobs = {
            name: threads.submit(ask, attacked, query) for name, (query, _) in UNTIL_STOPPED.items()
        }
        found = {name: job.result() for name, job in jobs.items()}
    wrong = {
        name: (answer.status, answer.body[:200])
        for name, answer in found.items()
        if answer.status not in UNTIL_STOPPED[name][1]
    }
    assert wrong == {}
    require_well(attacked)


@contextlib.contextmanager
def trap():
    """Listen where nothing should ever connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(BlockingIOError):
            listener.accept()


LAUGHS = "<!DOCTYPE r [<!ENTITY a0 'ha'>" + "".join(
    f"<!ENTITY a{n + 1} '&a{n};&a{n};&a{n};&a{n};&a{n};&a{n};&a{n};&a{n};&a{n};&a{n};'>"
    for n in range(12)
)
RDF = (
    "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:e='urn:e:'>"
    "<rdf:Description rdf:about='urn:s'><e:p>{}</e:p></rdf:Description></rdf:RDF>"
)
CLIQUE = "".join(
    f"_:b{left} <urn:p> _:b{right} .\n"
    for left in range(40)
    for right in range(40)
    if left != right
)
GRAPHS = {
    "entity-bomb": ("application/rdf+xml", LAUGHS + "]>" + RDF.format("&a12;")),
    "entity-of-a-file": (
        "application/rdf+xml",
        "<!DOCTYPE r [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>" + RDF.format("&f;"),
    ),
    "remote-dtd": ("application/rdf+xml", "<!DOCTYPE r SYSTEM '{trap}'>" + RDF.format("x&y;")),
    "remote-context": ("application/ld+json", '{"@context": "{trap}", "@id": "urn:a", "b": 1}'),
    "remote-context-nested": (
        "application/ld+json",
        '{"@context": {"b": {"@id": "urn:b", "@context": "{trap}"}}, "b": {"c": 1}}',
    ),
    "json-nesting": ("application/ld+json", "[" * 200_000),
    "turtle-nesting": ("text/turtle", "<urn:a> <urn:b> " + "(" * 200_000),
    "turtle-brackets": ("text/turtle", "<urn:a> <urn:b> " + "[<urn:c> " * 100_000),
    "xml-nesting": ("application/rdf+xml", "<a>" * 200_000),
    "truncated": ("text/turtle", "<urn:a> <urn:b> <urn:c"),
    "base-that-is-none": ("text/turtle", "@base <> . <a> <b> <c> ."),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_is_meant_to_hurt_is_refused_and_nothing_is_fetched(attacked, name):
    media_type, text = GRAPHS[name]
    with trap() as address:
        answer = attacked.ask(
            "PUT",
            f"/graphs?graph=urn:hostile:{name}",
            body=text.replace("{trap}", address).encode(),
            headers={**attacked.headers, "Content-Type": media_type},
        )
    allowed = {400, 413, 422, 503, 504} | ({201} if name == "base-that-is-none" else set())
    assert answer.status in allowed, answer.body[:300]
    assert b"root:" not in answer.body
    require_well(attacked)


def test_a_poison_graph_takes_no_time(attacked):
    """A clique of blank nodes makes RDFC-1.0 run for ever; here they are named as they come."""
    answer = attacked.ask(
        "PUT",
        "/graphs?graph=urn:hostile:clique",
        body=CLIQUE.encode(),
        headers={**attacked.headers, "Content-Type": "application/n-triples"},
    )
    assert answer.status in {201, 400, 413}
    require_well(attacked)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
@pytest.mark.parametrize(
    ("path", "media_type", "text"),
    [
        ("/records", "application/json", '{"records": ["ä"]}'),
        ("/api/v1/lineage", "application/json", '{"producer": "ä"}'),
        ("/graphs?graph=urn:e", "text/turtle", "<urn:a> <urn:b> 'ä' ."),
        ("/sparql", "application/sparql-query", "ASK { ?s ?p 'ä' }"),
        ("/sparql", "application/x-www-form-urlencoded", "query=ASK{?s ?p 'ä'}"),
    ],
)
def test_a_wrong_encoding_is_refused(attacked, path, media_type, text, encoding):
    answer = attacked.ask(
        "POST",
        path,
        body=text.encode(encoding),
        headers={**attacked.headers, "Content-Type": media_type},
    )
    assert answer.status in {400, 415}


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/about/..%2f..%2fkeys/producer.pem.ttl",
        "/log/tile/../../keys/producer.pem",
        "/log/tile/0/%2e%2e%2f%2e%2e%2fkeys%2flog.pem",
        "/about/%00.ttl",
        "/about/%ff%fe.ttl",
        "/about/%0d%0aSet-Cookie:x=1.ttl",
        "//evil.example/sparql",
        "/graphs?graph=%ff",
        "/graphs?graph=file:///etc/passwd",
        "/sparql?query=%ff",
        "/sparql?" + "a=1&" * 3000,
        "/sparql?query=ASK%7B%7D&min-ledger-size=" + "9" * 500,
        "/queries/running/%EF%BC%91",
        "/ns" + "/" * 5000,
    ],
)
def test_a_path_that_is_a_trick_finds_nothing(attacked, path):
    answer = attacked.ask("GET", path, headers=attacked.headers)
    assert answer.status in {400, 404, 405, 414}, answer.body[:300]
    assert (b"PRIVATE KEY" in answer.body, b"root:" in answer.body) == (False, False)
    assert "set-cookie" not in answer.headers


def test_a_body_that_breaks_off_leaves_nothing_behind(attacked):
    for claimed in (b"Content-Length: 100000", b"Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", attacked.port)) as raw:
            token = attacked.headers["Authorization"].encode()
            raw.sendall(
                b"POST /records HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Authorization: " + token + b"\r\n" + claimed + b"\r\n\r\n" + b'5\r\n{"rec'
            )
    require_well(attacked)
    assert attacked.ask("GET", "/metrics", headers=attacked.headers).status in {200, 403}
