"""Ingestion over HTTP: batches, idempotence, sealed graphs, faults with their paths, duties."""

import base64
import concurrent.futures
import hashlib
import json
from datetime import UTC, datetime

import pytest
from serving_process import serving

from provgraph.access.store import AccessStore
from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.ledger.fsck import verify_ledger
from provgraph.records import Agent, Note, Run
from provgraph.seal.keys import generate_signer
from provgraph.seal.proof import seal
from provgraph.service.home import readable_ledger
from provgraph.settings import load

AT = "2026-03-01T08:00:00Z"
DIGEST = "sha256:" + "ab" * 32


def run(number, **facts):
    value = {
        "id": f"run-{number}",
        "name": "train",
        "status": "completed",
        "started_at": AT,
        "owner": {"name": "ada@example.org"},
        **facts,
    }
    return {"kind": "run", "id": f"record-{number}", "facts": value}


def maker(number, version="1"):
    model = {"kind": "model", "digest": DIGEST, "name": "churn", "version": version}
    return run(number, generated=[{"entity": model, "role": "model"}])


def approval(number, by, called="churn:1"):
    facts = {
        "id": f"approval-{number}",
        "model": {"kind": "model"},
        "by": {"name": by},
        "meaning": "fit",
        "at": AT,
    }
    return {"kind": "approval", "id": f"approval-{number}", "facts": facts, "called": called}


class Client:
    """A server with a token for each of a few people."""

    def __init__(self, server, secrets):
        self.server = server
        self.secrets = secrets

    def post(self, *records, who="ci", body=None, headers=None):
        data = json.dumps({"records": records}).encode() if body is None else body
        sent = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.secrets[who]}",
            **(headers or {}),
        }
        return self.server.ask("POST", "/records", body=data, headers=sent)

    def ask(self, query, min_size):
        from urllib.parse import urlencode

        pairs = urlencode({"query": query, "min-ledger-size": min_size})
        headers = {"Authorization": f"Bearer {self.secrets['ada']}"}
        return self.server.ask("GET", f"/sparql?{pairs}", headers=headers)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = tmp_path_factory.mktemp("ingest") / "home"
    store = AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))
    people = {"ci": ["ingest"], "ada": ["steward"], "grace": ["steward"], "rose": ["reader"]}
    secrets = {
        name: store.create_token(owner=f"{name}@example.org", roles=roles)[1]
        for name, roles in people.items()
    }
    store.close()
    with serving(home) as server:
        yield Client(server, secrets)


def test_a_record_is_taken_in_and_can_be_asked_for_at_once(client):
    answer = client.post(run("first", parameters={"depth": 6}))
    assert answer.status == 201
    (receipt,) = answer.json["receipts"]
    assert receipt["isNew"] is True
    found = client.ask(
        "SELECT ?d { ?r <https://w3id.org/provgraph/param/depth> ?d }", answer.json["ledgerSize"]
    )
    assert [row["d"]["value"] for row in found.json["results"]["bindings"]] == ["6"]


def test_sending_it_again_is_harmless(client):
    first = client.post(run("again"))
    second = client.post(run("again"))
    assert (first.status, second.status) == (201, 200)
    one, two = first.json["receipts"][0], second.json["receipts"][0]
    assert (one["record"], one["position"], two["isNew"]) == (two["record"], two["position"], False)


def test_the_same_record_from_many_at_once_stands_once(client):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.post(run("race")), range(16)))
    assert {answer.status for answer in answers} <= {200, 201}
    receipts = [answer.json["receipts"][0] for answer in answers]
    assert (len({each["position"] for each in receipts}), len(receipts)) == (1, 16)


def test_a_batch_is_all_or_nothing(client):
    broken = run("b2")
    del broken["facts"]["status"]
    answer = client.post(run("b1"), broken)
    assert (answer.status, answer.json["errors"][0]["path"]) == (422, "records/1/facts")
    assert client.post(run("b1")).status == 201
    sealed_badly = {"graph": "", "proof": "", "proofValue": "z1"}
    answer = client.post(run("b3"), sealed_badly)
    assert answer.status == 400
    assert client.post(run("b3")).status == 201


def sealed_record(record_id, signer):
    facts = Run(
        id=record_id,
        name="elsewhere",
        status="completed",
        started_at=datetime(2026, 3, 1, tzinfo=UTC),
        owner=Agent(name="otto@example.org"),
        notes=(Note(text="sealed by its producer"),),
    )
    context = Context(
        namespace="elsewhere",
        software_version="1",
        recorded_at=datetime(2026, 3, 1, tzinfo=UTC),
        previous={},
    )
    graph_nq = convert(facts, record_id=record_id, context=context).canonical
    made = seal(graph_nq, signer=signer, created=datetime(2026, 3, 1, tzinfo=UTC))
    return {
        "graph": graph_nq.decode(),
        "proof": made.proof_nq.decode(),
        "proofValue": made.proof_value,
    }


def test_a_graph_sealed_by_its_producer_keeps_its_seal(client):
    signer = generate_signer()
    record = sealed_record("sealed-1", signer)
    answer = client.post(record)
    assert answer.status == 201
    assert client.post(record).status == 200
    with readable_ledger(load({"PROVGRAPH_HOME": str(client.server.home)})) as ledger:
        stored = ledger.read(answer.json["receipts"][0]["position"])
    assert (stored.graph_nq.decode(), stored.verification_method) == (
        record["graph"],
        signer.verification_method,
    )


def changed_literal(record):
    return {**record, "graph": record["graph"].replace("elsewhere", "nowhere")}


def swapped_signature(record):
    other = sealed_record("sealed-x", generate_signer())
    return {**record, "proofValue": other["proofValue"]}


def proof_of_another_graph(record):
    other = sealed_record("sealed-y", generate_signer())
    return {**other, "graph": record["graph"]}


def two_graphs(record):
    other = sealed_record("sealed-z", generate_signer())
    lines = sorted({*record["graph"].splitlines(), *other["graph"].splitlines()})
    return {**record, "graph": "\n".join(lines) + "\n"}


@pytest.mark.parametrize(
    "flaw", [changed_literal, swapped_signature, proof_of_another_graph, two_graphs]
)
def test_a_sealed_graph_with_a_flaw_is_refused(client, flaw):
    answer = client.post(flaw(sealed_record("sealed-2", generate_signer())))
    assert (answer.status in {400, 422}, answer.json["detail"][:10]) == (True, "records/0:")


def test_a_sealed_graph_outside_of_the_records_is_refused(client):
    signer = generate_signer()
    graph_nq = b"<urn:a> <urn:b> <urn:c> <https://example.org/mine> .\n"
    made = seal(graph_nq, signer=signer, created=datetime(2026, 3, 1, tzinfo=UTC))
    answer = client.post(
        {
            "graph": graph_nq.decode(),
            "proof": made.proof_nq.decode(),
            "proofValue": made.proof_value,
        }
    )
    assert (answer.status, "expected a graph named" in answer.json["detail"]) == (400, True)


def test_another_content_under_one_name_is_a_conflict(client):
    signer = generate_signer()
    record = sealed_record("sealed-3", signer)
    assert client.post(record).status == 201
    facts = record["graph"].replace("sealed by its producer", "sealed twice")
    graph_nq = "".join(sorted(f"{line}\n" for line in facts.splitlines())).encode()
    made = seal(graph_nq, signer=signer, created=datetime(2026, 3, 1, tzinfo=UTC))
    answer = client.post(
        {
            "graph": graph_nq.decode(),
            "proof": made.proof_nq.decode(),
            "proofValue": made.proof_value,
        }
    )
    assert (answer.status, answer.json["title"]) == (409, "Conflict")


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        ({"started_at": "yesterday"}, "/started_at"),
        ({"started_at": "2026-03-01T08:00:00"}, "/started_at"),
        ({"duration_s": "long"}, "/duration_s"),
        ({"owner": {"name": 7}}, "/owner/name"),
        ({"owner": {"nom": "ada"}}, "/owner/nom"),
        ({"used": [{"entity": {"digest": "what"}}]}, "/used/0/entity/digest"),
        ({"parameters": {"a": [1]}}, "/parameters/a"),
        ({"colour": "red"}, "/colour"),
        (
            {"steps": [{"number": 1, "parent": None, "name": "s", "rows_in": 1.5}]},
            "/steps/0/rows_in",
        ),
    ],
)
def test_a_fault_is_named_by_its_path(client, facts, path):
    answer = client.post(run("faulty", **facts))
    assert (answer.status, answer.json["errors"][0]["path"]) == (422, f"records/0/facts{path}")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"records": []}', 422),
        (b'{"records": {}}', 422),
        (b'{"records": [1]}', 422),
        (b'{"records": [{}], "more": 1}', 422),
        (b'{"records": [], "records": []}', 400),
        (b"\xff\xfe", 400),
        (b'{"records": [{"kind": "run", "id": "../x", "facts": {}}]}', 422),
        (b'{"records": [{"kind": "king", "id": "x", "facts": {}}]}', 422),
        (b"[" * 100_000, 400),
        (b'{"records": ["\\ud800"]}', 422),
    ],
)
def test_a_body_that_is_none_is_refused(client, body, status):
    assert client.post(body=body).status == status


def test_another_media_type_is_refused(client):
    assert client.post(body=b"x", headers={"Content-Type": "text/plain"}).status == 415


def test_a_body_that_is_too_long_is_refused_before_it_is_read(client):
    answer = client.post(body=b"{}", headers={"Content-Length": str(1 << 40)})
    assert answer.status == 413


def test_an_attachment_comes_with_its_record(client):
    data = b"points of a series"
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    series = {
        "name": "loss",
        "first": 1.0,
        "last": 0.5,
        "minimum": 0.5,
        "maximum": 1.0,
        "count": 2,
        "attachment": digest,
    }
    record = run("attached", series=[series])
    record["attachments"] = {digest: base64.b64encode(data).decode()}
    answer = client.post(record)
    assert answer.status == 201
    stranger = run("stranger")
    stranger["attachments"] = {digest: base64.b64encode(data).decode()}
    assert client.post(stranger).status in {400, 422, 500}


def test_only_who_may_append_appends(client):
    assert client.post(run("x"), who="rose").status == 403


def test_approvals_need_the_right_the_name_and_another_person(client):
    assert client.post(maker("made")).status == 201
    without_right = client.post(approval("1", "ci@example.org"))
    in_anothers_name = client.post(approval("2", "grace@example.org"), who="ada")
    by_the_maker = client.post(approval("3", "ada@example.org"), who="ada")
    by_another = client.post(approval("4", "grace@example.org"), who="grace")
    found = [
        (each.status, each.json.get("title"))
        for each in (without_right, in_anothers_name, by_the_maker, by_another)
    ]
    assert found == [
        (403, "Forbidden"),
        (403, "Forbidden"),
        (403, "Separation of duties"),
        (201, None),
    ]


def decision(kind, number, by, **facts):
    value = {"id": f"{kind}-{number}", "by": {"name": by}, "at": AT, "reason": "asked", **facts}
    return {"kind": kind, "id": f"{kind}-{number}", "facts": value, "called": "churn:1"}


def waiver(number, by):
    facts = {"requirement": "licence", "expires": "2099-01-01T00:00:00Z"}
    return decision("waiver", number, by, model={"kind": "model"}, **facts)


def test_waivers_are_given_as_approvals_are(client):
    assert client.post(maker("made")).status in {200, 201}
    found = [
        client.post(waiver("1", "ci@example.org")).status,
        client.post(waiver("2", "grace@example.org"), who="ada").status,
        client.post(waiver("3", "ada@example.org"), who="ada").json["title"],
        client.post(waiver("4", "grace@example.org"), who="grace").status,
    ]
    assert found == [403, 403, "Separation of duties", 201]


def test_nobody_without_the_right_says_what_becomes_of_what_a_withdrawal_affects(client):
    item = decision(
        "remediation",
        "1",
        "ci@example.org",
        target="",
        withdrawal="https://w3id.org/provgraph/id/withdrawal/w1",
        state="justified",
    )
    assert client.post(item).status == 403


def test_a_state_that_is_no_word_of_ours_is_refused(client):
    item = decision(
        "remediation",
        "2",
        "grace@example.org",
        target="",
        withdrawal="https://w3id.org/provgraph/id/withdrawal/w1",
        state="fine",
    )
    answer = client.post(item, who="grace")
    assert (answer.status, "state: expected none or retrain" in answer.json["detail"]) == (
        400,
        True,
    )


def test_the_ledger_is_whole_after_all_this(client):
    with readable_ledger(load({"PROVGRAPH_HOME": str(client.server.home)})) as ledger:
        assert verify_ledger(ledger).size == ledger.size()


# ---- facts about data ------------------------------------------------------------------------------
def description(number, called, **said):
    facts = {
        "id": f"description-{number}",
        "target": "",
        "said": said,
        "by": {"name": "rose"},
        "at": AT,
    }
    return {
        "kind": "description",
        "id": f"description-{number}",
        "facts": facts,
        "called": called,
    }


def test_facts_about_data_come_in_with_a_run_and_after_it(client):
    basis = {"basis": "consent", "expires_at": "2026-12-31T23:59:59Z"}
    data = {
        "kind": "dataset",
        "digest": "sha256:" + "cd" * 32,
        "name": "described.csv",
        "legal_bases": [basis],
    }
    used = run(
        "described",
        used=[{"entity": data}],
        features=[{"name": "tenure", "version": "2", "definition": "months"}],
        qualities=[{"data": data, "metric": "completeness", "value": 0.97}],
    )
    assert client.post(used).status == 201
    answer = client.post(description(1, "described.csv", licence="MIT", has_personal_data=True))
    assert answer.status == 201
    pg = "PREFIX pg: <https://w3id.org/provgraph/ns#> PREFIX dct: <http://purl.org/dc/terms/>"
    found = client.ask(
        f"{pg} SELECT ?basis ?licence ?value {{ ?d pg:legalBasis/pg:basis ?basis ; dct:license"
        " ?licence ; pg:hasPersonalData true . ?q pg:data ?d ; pg:value ?value }",
        answer.json["ledgerSize"],
    )
    rows = found.json["results"]["bindings"]
    assert [[row[each]["value"] for each in ("basis", "licence", "value")] for row in rows] == [
        ["consent", "https://spdx.org/licenses/MIT", "0.97"]
    ]


def test_a_fault_in_a_fact_about_data_is_named_by_its_path(client):
    answer = client.post(description(2, "described.csv", legal_bases=[{"basis": 7}]))
    assert answer.status == 422
    (error,) = answer.json["errors"]
    assert error["path"] == "records/0/facts/said/legal_bases/0/basis"
