"""Behind a proxy: whose word counts; the server's public address; and how often a caller may ask."""

import pytest
from serving_process import serving
from starlette.requests import Request

from provgraph.errors import UsageError
from provgraph.server.proxies import Front
from provgraph.server.rates import Rates
from provgraph.settings import load


def front(**settings):
    return Front.of(load({f"PROVGRAPH_{name.upper()}": value for name, value in settings.items()}))


def scope(client, **headers):
    return {
        "type": "http",
        "client": (client, 1234),
        "scheme": "http",
        "path": "/sparql",
        "query_string": b"",
        "server": ("127.0.0.1", 8321),
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }


@pytest.mark.parametrize(
    ("client", "chain", "seen"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "203.0.113.9, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("10.0.0.1", "203.0.113.9, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "10.0.0.5", "10.0.0.5"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.0.2.7", "203.0.113.9", "192.0.2.7"),
        ("::1", "203.0.113.9", "203.0.113.9"),
    ],
)
def test_the_caller_is_the_last_address_that_is_no_trusted_proxy(client, chain, seen):
    found = front(trusted_proxies="10.0.0.0/8, ::1").seen_through(
        scope(client, x_forwarded_for=chain)
    )
    assert found["client"][0] == seen


def test_the_scheme_of_a_trusted_proxy_counts_and_nobody_elses():
    sent = scope("10.0.0.1", x_forwarded_proto="https", host="lineage.example.org")
    trusted = front(trusted_proxies="10.0.0.1")
    assert trusted.url(Request(trusted.seen_through(sent))) == "https://lineage.example.org/sparql"
    assert front().url(Request(front().seen_through(sent))) == "http://lineage.example.org/sparql"
    odd = scope("10.0.0.1", x_forwarded_proto="javascript")
    assert trusted.seen_through(odd)["scheme"] == "http"


@pytest.mark.parametrize(
    "text", ["ftp://x", "lineage.example.org", "https://x/below", "https://a@x", "https://x?q"]
)
def test_a_public_url_is_scheme_and_host(text):
    with pytest.raises(UsageError, match="setting public_url"):
        front(public_url=text)


def test_documents_name_the_public_address_and_forwarded_strangers_stay_out(tmp_path):
    with serving(tmp_path / "home", public_url="https://lineage.example.org") as server:
        forwarded = server.ask("GET", "/sparql", headers={"X-Forwarded-For": "192.0.2.1"})
        assert forwarded.status == 421
        root = server.ask("GET", "/openapi.json").json["servers"]
        assert root == [{"url": "https://lineage.example.org"}]


def test_the_service_description_is_of_the_public_address(served_home, tmp_path):
    import shutil

    home = tmp_path / "home"
    shutil.copytree(served_home, home, ignore=shutil.ignore_patterns("snapshots", "access.db"))
    with serving(home, public_url="https://lineage.example.org/") as server:
        headers = {"Accept": "application/n-triples"}
        about = server.ask("GET", "/sparql", headers=headers).body.decode()
        void = server.ask("GET", "/.well-known/void", headers=headers).body.decode()
        assert "sparql-service-description#endpoint> <https://lineage.example.org/sparql>" in about
        assert "void#sparqlEndpoint> <https://lineage.example.org/sparql>" in void
        assert ("127.0.0.1" in about, "127.0.0.1" in void) == (False, False)


def test_a_bucket_fills_with_time():
    now = [0.0]
    rates = Rates(per_s=2, burst=3, clock=lambda: now[0])
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.take("b") == 0
    now[0] = 0.5
    assert [rates.take("a"), rates.take("a")] == [0, 0.5]
    now[0] = 100.0
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_callers_beyond_count_share_a_bucket_and_memory_stays():
    now = [0.0]
    rates = Rates(per_s=1, burst=1, clock=lambda: now[0])
    for number in range(10_000):
        rates.take(f"caller {number}")
    assert [rates.take(f"more {number}") for number in range(3)] == [0, 1, 1]
    assert len(rates._buckets) == 10_000
    now[0] = 2.0
    assert (rates.take("new"), len(rates._buckets)) == (0, 1)


def test_too_many_requests_are_told_when_to_come_again(tmp_path):
    with serving(tmp_path / "home", requests_per_s="1", requests_burst="3") as server:
        answers = [server.ask("GET", "/ns") for _ in range(6)]
        assert [answer.status for answer in answers[:3]] == [200] * 3
        assert answers[-1].status == 429
        assert answers[-1].headers["retry-after"] == "1"
        assert answers[-1].json["title"] == "Too many requests"
        assert server.ask("GET", "/healthz").status == 200
