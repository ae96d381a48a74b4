"""`/gate` on a real server: verdicts, sealed decisions, who may ask, and what a private project hides."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from private_history import OPEN_MODEL, PRIVATE_MODEL, WORD, Client, give_access, record_home
from serving_process import serving

from provgraph.access.store import AccessStore
from provgraph.cli.main import main
from provgraph.query.requirements import profile_names
from provgraph.service.home import readable_ledger
from provgraph.settings import load
from provgraph.terms import parse_lines, string

sys.path.append(str(Path(__file__).resolve().parents[1] / "gates"))
from whole_model import whole_bank

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server over a home with a model of which everything is known, and a token for each role."""
    home = tmp_path_factory.mktemp("gate") / "home"
    whole_bank(home)
    (home / "profiles").mkdir()
    (home / "profiles" / "house.toml").write_text(
        'id = "house"\nversion = "1"\ntitle = "House"\n[[requirement]]\nid = "a"\ntitle = "A"\n'
        'fact = "owner"\nsource = "the house"\n'
    )
    (home / "profiles" / "broken.toml").write_text('id = "broken"\n')
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    roles = {
        "ci": ["reader", "ingest"],
        "reader": ["reader"],
        "ingest": ["ingest"],
    }
    secrets = {
        name: store.create_token(owner=f"{name}@acme.example", roles=each)[1]
        for name, each in roles.items()
    }
    with serving(home, namespace="acme") as running:
        yield running, secrets
    store.close()


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def ask(guarded, who, path, body=None):
    server, secrets = guarded
    headers = bearer(secrets[who])
    if body is None:
        return server.ask("GET", path, headers=headers)
    return server.ask("POST", path, body=json.dumps(body).encode(), headers={**headers, **JSON})


def test_a_model_passes(guarded):
    answer = ask(guarded, "reader", "/gate?model=credit:1&profile=sr-26-2&stage=production")
    said = answer.json
    assert (answer.status, said["verdict"], said["passes"], said["decision"]) == (
        200,
        "passed",
        True,
        None,
    )
    assert said["ledger_size"] == int(answer.headers["provgraph-ledger-size"])


def test_a_decision_is_sealed_in_the_name_of_who_asked(guarded):
    body = {"model": "credit:1", "profile": "minimal", "stage": "production"}
    answer = ask(guarded, "ci", "/gate", body)
    assert (answer.status, answer.json["verdict"]) == (201, "passed")
    server, _ = guarded
    with readable_ledger(load({"PROVGRAPH_HOME": str(server.home)})) as ledger:
        stored = ledger.read(ledger.find(answer.json["decision"]))
    assert stored.kind == "record"
    values = [value for _, _, value, _ in parse_lines(stored.graph_nq)]
    wanted = ["ci@acme.example", "passed", "minimal", str(answer.json["profile_digest"])]
    assert [each for each in wanted if string(each) not in values] == []


def test_what_is_wrong_with_a_model_is_a_verdict(guarded):
    for model in ("nothing:1", "applications.csv"):
        said = ask(guarded, "reader", f"/gate?model={model}")
        assert (said.status, said.json["verdict"], said.json["passes"]) == (200, "failed", False)
    # Of what is not known no decision can be recorded.
    answer = ask(guarded, "ci", "/gate", {"model": "nothing:1"})
    assert (answer.status, answer.json["decision"]) == (200, None)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/gate", 400),
        ("/gate?model=", 400),
        ("/gate?model=credit:1&profil=minimal", 400),
        ("/gate?model=credit:1&profile=sr-26", 404),
        ("/gate?model=credit:1&profile=../../etc/passwd", 404),
        ("/gate?model=credit:1&profile=broken", 409),
        (f"/gate?model={'x' * 2001}", 400),
    ],
)
def test_a_request_that_is_wrong(guarded, path, status):
    assert ask(guarded, "reader", path).status == status


@pytest.mark.parametrize(("who", "status"), [("reader", 403), ("ingest", 403), ("ci", 201)])
def test_who_may_record_a_decision(guarded, who, status):
    assert ask(guarded, who, "/gate", {"model": "credit:1"}).status == status


@pytest.mark.parametrize(
    "body", [[], {"model": 7}, {"model": "a", "more": 1}, {"model": "a", "stage": ["x"]}, {}]
)
def test_a_body_that_is_wrong(guarded, body):
    assert ask(guarded, "ci", "/gate", body).status == 400


def test_profiles_are_listed_those_of_the_home_too(guarded):
    found = {each["id"]: each for each in ask(guarded, "reader", "/gate/profiles").json["profiles"]}
    assert sorted(found) == sorted([*profile_names(), "house", "broken"])
    assert "it requires nothing" in found["broken"]["problem"]
    assert ask(guarded, "reader", "/gate?model=credit:1&profile=house").json["verdict"] == "passed"


def test_the_command_line_asks_the_server_where_records_go_to_one(
    guarded, home, monkeypatch, capsys, tmp_path
):
    server, secrets = guarded
    monkeypatch.setenv("PROVGRAPH_SERVER", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("PROVGRAPH_TOKEN", secrets["ci"])
    line = ["gate", "credit:1", "--profile", "iso-42001", "--stage", "production", "--record"]
    assert main([*line, "--format", "junit", "--out", str(tmp_path / "gate.xml")]) == 0
    shown = capsys.readouterr().out
    assert ("passed  credit:1" in shown, "recorded as" in shown) == (True, True)
    assert (tmp_path / "gate.xml").read_text().count("<testcase") == 24
    monkeypatch.setenv("PROVGRAPH_TOKEN", "pgt_wrong")
    assert main(line) == 1
    assert "answered 401" in capsys.readouterr().out
    # A profile that is another one there decides nothing.
    (tmp_path / "minimal.toml").write_text(
        'id = "minimal"\nversion = "2"\ntitle = "Mine"\n[[requirement]]\nid = "a"\ntitle = "A"\n'
        'fact = "run"\nsource = "me"\n'
    )
    monkeypatch.setenv("PROVGRAPH_TOKEN", secrets["ci"])
    assert main(["gate", "credit:1", "--profile", str(tmp_path / "minimal.toml")]) == 1
    assert "is another one than here" in capsys.readouterr().out


# ---- private projects --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = tmp_path_factory.mktemp("private-gate") / "home"
    record_home(home, kind="private")
    with serving(home) as running:
        yield Client(server=running, secrets=give_access(home))


def test_lineage_that_is_restricted_fails_for_who_cannot_see_it(client):
    for model in (PRIVATE_MODEL, f"derived-{WORD}"):
        hidden = client.server.ask(
            "GET", f"/gate?model={model}", headers=bearer(client.secrets["stranger"])
        )
        assert hidden.json["passes"] is False
        (only,) = hidden.json["requirements"]
        assert (only["requirement"], only["state"]) == ("gate.model", "failed")
        assert hidden.json["content"] is None
    shown = client.server.ask(
        "GET", f"/gate?model={OPEN_MODEL}", headers=bearer(client.secrets["stranger"])
    )
    assert WORD not in shown.body.decode()
    assert shown.json["content"].endswith("cd" * 32)
    member = client.server.ask(
        "GET", f"/gate?model={PRIVATE_MODEL}", headers=bearer(client.secrets["mia"])
    )
    assert member.json["content"].endswith("5e" * 32)
