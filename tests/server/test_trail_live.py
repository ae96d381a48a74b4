"""The access trail of a running server: reads, denials, what is not kept, and fail closed."""

import sqlite3
import time
from datetime import UTC, datetime

import pytest
from serving_process import serving

from provgraph.access.store import AccessStore
from provgraph.access.trail import read_trail, verify_trail

ASK = "/sparql?query=ASK%20%7B%7D"


@pytest.fixture
def watched(tmp_path):
    home = tmp_path / "home"
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    secrets = {
        role: store.create_token(owner=role, roles=[role])[1] for role in ("reader", "auditor")
    }
    store.close()
    with serving(home) as running:
        yield running, secrets


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def test_who_asked_what_is_kept_denials_too_and_no_secret(watched):
    server, secrets = watched
    server.ask("GET", ASK, headers=bearer(secrets["reader"]))
    server.ask(
        "POST",
        "/sparql",
        body=b"ASK { <urn:churn> ?p ?o }",
        headers={**bearer(secrets["reader"]), "Content-Type": "application/sparql-query"},
    )
    server.ask("GET", "/trail", headers=bearer(secrets["reader"]))
    server.ask("GET", ASK, headers=bearer("pgt_" + "A" * 43))
    server.ask("GET", "/healthz")
    time.sleep(0.3)
    answer = server.ask("GET", "/trail", headers=bearer(secrets["auditor"]))
    rows = [(row["who"], row["asked"], row["outcome"]) for row in answer.json["rows"]]
    assert rows == [
        ("reader", "GET /sparql?query=ASK {}", "failed"),
        ("reader", "POST /sparql ASK { <urn:churn> ?p ?o }", "failed"),
        ("reader", "GET /trail", "refused"),
        ("unknown", "GET /sparql?query=ASK {}", "refused"),
    ]
    about = server.ask("GET", "/trail?about=churn", headers=bearer(secrets["auditor"]))
    assert [row["position"] for row in about.json["rows"]] == [1]
    path = server.home / "trail.db"
    kept = b"".join(part.read_bytes() for part in path.parent.glob("trail.db*"))
    assert [secret.encode() in kept for secret in secrets.values()] == [False, False]


def test_the_last_rows_are_written_when_the_server_stops(tmp_path):
    home = tmp_path / "home"
    with serving(home) as server:
        for _ in range(20):
            server.ask("GET", ASK)
    assert (len(list(read_trail(home / "trail.db"))), verify_trail(home / "trail.db").size) == (
        20,
        20,
    )


def test_nobody_is_answered_while_the_trail_cannot_be_written(tmp_path):
    home = tmp_path / "home"
    with serving(home) as server:
        assert server.ask("GET", "/graphs?default").status == 404
        db = sqlite3.connect(home / "trail.db", isolation_level=None)
        db.execute("DROP TABLE access")
        server.ask("GET", "/graphs?default")
        time.sleep(0.5)
        answer = server.ask("GET", "/graphs?default")
        health = server.ask("GET", "/healthz")
        db.close()
    assert (answer.status, "without an access trail" in answer.json["detail"]) == (503, True)
    assert health.status == 200
