"""Questions of a stranger to a private project, beside a server that never had it; and certificates.

Rows, evidence, contradictions, completeness and counts are alike on both, but for positions, seals' times
and keys, and ledger sizes, which the log shows to everybody.
"""

from __future__ import annotations

import json
import re
import time

import pytest
from private_history import (
    OPEN_MODEL,
    PRIVATE_DATA,
    PRIVATE_MODEL,
    SHARED_DATA,
    WORD,
    Client,
    give_access,
    record_home,
)
from serving_process import serving

from provgraph.query.catalogue import catalogue

_OWN = {"position", "sealed_by", "sealed_at", "ledger_size", "requestId", "ledgerSize", "at"}
_OF_SERVER = re.compile(r"20[0-9-]{8}T[0-9:]{8}\.[0-9]+Z|did:key:z\w+|tree of [0-9]+ entries")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    homes = tmp_path_factory.mktemp("private-queries")
    record_home(homes / "with", kind="private")
    record_home(homes / "without", kind="open")
    with serving(homes / "with") as one, serving(homes / "without") as other:
        yield (
            Client(server=one, secrets=give_access(homes / "with")),
            Client(server=other, secrets=give_access(homes / "without")),
        )


def plain(value):
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if name not in _OWN}
    if isinstance(value, list):
        return [plain(each) for each in value]
    # When a record came in, by which key and among how many, differs between any two servers.
    return _OF_SERVER.sub("", value) if isinstance(value, str) else value


THINGS = (
    SHARED_DATA,
    OPEN_MODEL,
    PRIVATE_DATA,
    PRIVATE_MODEL,
    "clean",
    "churn:1",
    f"{WORD}-model:1",
)


def questions():
    for query in catalogue():
        things = [each for each in query.parameters if each.type == "thing"]
        needed = [
            each for each in query.parameters if not each.is_optional and each.default is None
        ]
        if query.right != "read" or [each for each in needed if each not in things]:
            continue
        if not things:
            yield f"/queries/{query.id}"
        for thing in THINGS if things else ():
            given = "&".join(f"{each.name}={thing}" for each in things)
            yield f"/queries/{query.id}?{given}"


@pytest.mark.parametrize("who", ["stranger", "limited"])
def test_a_stranger_learns_nothing_from_any_question(clients, who):
    wrong = []
    for path in questions():
        one, other = (client.ask(who, "GET", path) for client in clients)
        # Both know the name that the question itself brings.
        same = (one.status, plain(one.json)) == (other.status, plain(other.json))
        if not same or (WORD.encode() in one.body and WORD not in path):
            wrong.append(path)
    assert wrong == []


@pytest.mark.parametrize("size", [3, 5])
def test_a_stranger_learns_nothing_from_the_ledger_as_it_was(clients, size):
    for thing in (SHARED_DATA, PRIVATE_MODEL):
        answer = clients[0].ask("stranger", "GET", f"/queries/Q19?dataset={thing}&as-of={size}")
        assert WORD.encode() not in answer.body
        assert b"5e5e5e5e" not in answer.body.replace(PRIVATE_MODEL.encode(), b"")


def test_a_member_gets_what_a_stranger_does_not(clients):
    path = f"/queries/Q19?dataset={SHARED_DATA}"
    mia, stranger = (clients[0].ask(who, "GET", path) for who in ("mia", "stranger"))
    assert (WORD.encode() in mia.body, WORD.encode() in stranger.body) == (True, False)
    assert len(mia.json["rows"]) > len(stranger.json["rows"])
    assert len(mia.json["evidence"]["records"]) > len(stranger.json["evidence"]["records"])


def test_an_auditor_gets_a_certificate_that_is_in_the_ledger(clients):
    body = json.dumps({"parameters": {"dataset": SHARED_DATA}}).encode()
    refused = clients[0].ask(
        "stranger", "POST", "/queries/Q19/certificate", body=body, headers=JSON
    )
    assert refused.status == 403
    made = clients[0].ask("auditor", "POST", "/queries/Q19/certificate", body=body, headers=JSON)
    assert (made.status, made.json.keys()) == (
        201,
        {"certificate", "record", "position", "ledgerSize"},
    )
    deadline_s = time.monotonic() + 10
    while True:
        entry = clients[0].ask("auditor", "GET", f"/graphs?graph={made.json['record']}")
        if entry.status == 200 or time.monotonic() > deadline_s:
            break
        time.sleep(0.1)
    hidden = clients[0].ask("stranger", "GET", f"/graphs?graph={made.json['record']}")
    assert b"auditor@example.org" in entry.body
    # It counts over everything: it is for those who read everything.
    assert hidden.status == 404


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"[", "expected JSON"),
        (b"[]", "expected {"),
        (b'{"colour": 1}', "expected {"),
        (b'{"parameters": {"dataset": []}}', "parameters: expected an object of texts"),
        (b'{"as_of": true}', "as_of: expected a ledger size or a time"),
        (b'{"parameters": {"data": "x"}}', "has no parameter 'data'"),
    ],
)
def test_a_certificate_of_nothing_that_can_be_asked_is_refused(clients, body, detail):
    answer = clients[0].ask("auditor", "POST", "/queries/Q19/certificate", body=body, headers=JSON)
    assert answer.status == 400
    assert detail in answer.json["detail"]
