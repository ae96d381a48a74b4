"""Appending beside a private project: limits of tokens, and what names mean to whom."""

import concurrent.futures
import json
import time
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from private_history import (
    NOWHERE,
    OPEN_MODEL,
    PRIVATE_MODEL,
    WORD,
    Client,
    give_access,
    record_home,
)
from serving_process import serving

from provgraph import vocab
from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.digests import Digest
from provgraph.records import Agent, Approval, Entity, Generation, Run
from provgraph.seal.keys import generate_signer
from provgraph.seal.proof import seal
from provgraph.service.home import readable_ledger
from provgraph.settings import load

AT = datetime(2026, 3, 1, tzinfo=UTC)
TIME = "2026-03-01T00:00:00Z"


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    homes = tmp_path_factory.mktemp("appending")
    record_home(homes / "with", kind="private")
    record_home(homes / "without", kind="open")
    with serving(homes / "with") as one, serving(homes / "without") as other:
        yield (
            Client(server=one, secrets=give_access(homes / "with")),
            Client(server=other, secrets=give_access(homes / "without")),
        )


def run(name, project=None, used=()):
    facts = {"id": name, "name": "train", "status": "completed", "started_at": TIME}
    facts |= {"used": [{"entity": each} for each in used]}
    if project is not None:
        facts["project"] = project
    return {"kind": "run", "id": name, "facts": facts}


def deployment(name, called):
    facts = {"id": name, "model": {"kind": "model"}, "stage": "production", "at": TIME}
    return {"kind": "deployment", "id": name, "facts": facts, "called": called}


def retraction(name, called):
    facts = {"id": name, "target": "urn:x", "reason": "wrong", "at": TIME}
    return {"kind": "retraction", "id": name, "facts": facts, "called": called}


def sealed(record, *, record_id):
    context = Context(namespace="acme", software_version="1", recorded_at=AT, previous={})
    graph_nq = convert(record, record_id=record_id, context=context).canonical
    made = seal(graph_nq, signer=generate_signer(), created=AT)
    return {
        "graph": graph_nq.decode(),
        "proof": made.proof_nq.decode(),
        "proofValue": made.proof_value,
    }


def sealed_run(name, project):
    facts = Run(id=name, name="train", project=project, status="completed", started_at=AT)
    return sealed(facts, record_id=name)


def post(client, who, *records):
    body = json.dumps({"records": records}).encode()
    headers = {"Content-Type": "application/json"}
    return client.ask(who, "POST", "/records", body=body, headers=headers)


def graph(client, answer):
    """Return what was sealed, as the ledger has it."""
    with readable_ledger(load({"PROVGRAPH_HOME": str(client.server.home)})) as ledger:
        return ledger.read(answer.json["receipts"][0]["position"]).graph_nq.decode()


def is_read(client, who, graph_iri, size):
    """Whether somebody finds a graph once the index holds so many entries."""
    asked = f"ASK {{ GRAPH <{graph_iri}> {{ ?s ?p ?o }} }}"
    pairs = urlencode({"query": asked, "min-ledger-size": size})
    return client.ask(who, "GET", f"/sparql?{pairs}").json["boolean"]


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (run("l1", "churn"), 201),
        (sealed_run("l2", "churn"), 201),
        (run("l3", "other"), 403),
        (run("l4", WORD), 403),
        (run("l5"), 403),
        (sealed_run("l6", "other"), 403),
        (sealed_run("l7", None), 403),
        (deployment("l8", "churn:1"), 403),
        (retraction("l9", "churn:1"), 403),
    ],
    ids=["own", "own sealed", "other", "private", "none", "other sealed", "none sealed", "d", "r"],
)
def test_a_limited_token_appends_runs_of_its_projects_only(clients, record, status):
    answer = post(clients[0], "limited", record)
    assert answer.status == status
    refused = answer.json.get("detail", "") if status == 403 else ""
    assert WORD not in refused


def test_a_batch_with_one_foreign_run_is_refused_whole(clients):
    answer = post(clients[0], "limited", run("b1", "churn"), run("b2", "other"))
    assert (answer.status, answer.json["detail"][:10]) == (403, "records/1:")
    assert post(clients[0], "limited", run("b1", "churn")).status == 201


def test_a_limited_token_takes_no_foreign_graph_in(clients):
    body = b"<urn:a> <urn:b> <urn:c> ."
    headers = {"Content-Type": "text/turtle"}
    path = "/graphs?graph=urn:example:foreign"
    answers = [
        clients[0].ask(who, "PUT", path, body=body, headers=headers)
        for who in ("limited", "stranger")
    ]
    assert [each.status for each in answers] == [403, 201]
    # Nobody can tell whose it is.
    size = int(answers[1].headers["provgraph-ledger-size"])
    readers = ("stranger", "mia", "auditor")
    found = [is_read(clients[0], who, "urn:example:foreign", size) for who in readers]
    assert found == [False, True, True]


def test_a_name_of_a_private_project_means_nothing_to_a_stranger(clients):
    name = f"{WORD}-model:1"
    answers = [post(each, "stranger", deployment("d1", name)) for each in clients]
    said = [
        sorted(line for line in graph(*pair).splitlines() if "generatedAtTime" not in line)
        for pair in zip(clients, answers, strict=True)
    ]
    assert ([each.status for each in answers], said[0]) == ([201, 201], said[1])
    refused = [post(each, "stranger", retraction("r1", name)) for each in clients]
    details = [each.json["detail"] for each in refused]
    assert ([each.status for each in refused], details[0]) == ([404, 404], details[1])


def test_it_means_the_model_to_a_member(clients):
    answer = post(clients[0], "mia", deployment("d2", f"{WORD}-model:1"))
    model = vocab.content_iri(Digest.parse(PRIVATE_MODEL))
    assert (answer.status, f"<{model}>" in graph(clients[0], answer)) == (201, True)


def test_an_open_name_means_the_same_to_all(clients):
    answer = post(clients[0], "stranger", deployment("d3", "churn:1"))
    model = vocab.content_iri(Digest.parse(OPEN_MODEL))
    assert (answer.status, f"<{model}>" in graph(clients[0], answer)) == (201, True)


def test_bytes_under_a_private_name_are_not_told_to_whoever_takes_the_name_too(clients):
    data = {"kind": "dataset", "digest": NOWHERE, "name": f"{WORD}-data", "version": "3"}
    answer = post(clients[0], "stranger", run("c1", "churn", used=[data]))
    assert (answer.status, "already names other bytes" in graph(clients[0], answer)) == (201, False)
    # A member knows; the readers of an open run do not.
    for name, project, is_told in (("c2", "churn", False), ("c3", WORD, True)):
        answer = post(clients[0], "mia", run(name, project, used=[data]))
        told = "already names other bytes" in graph(clients[0], answer)
        assert (answer.status, told) == (201, is_told)


def test_a_run_of_the_project_follows_its_versions_whoever_sends_it(clients):
    model = {"kind": "model", "digest": NOWHERE, "name": f"{WORD}-model", "version": "2"}
    record = run("v1", WORD)
    record["facts"]["generated"] = [{"entity": model}]
    answer = post(clients[0], "stranger", record)
    assert (answer.status, "wasRevisionOf" in graph(clients[0], answer)) == (201, True)
    size, record_iri = answer.json["ledgerSize"], vocab.record_iri("v1")
    readers = ("stranger", "mia", "auditor")
    found = [is_read(clients[0], who, record_iri, size) for who in readers]
    assert found == [False, True, True]


def test_lineage_that_crosses_into_a_private_project_shows_a_restricted_node(clients):
    record_iri = vocab.record_iri("x1")
    made, source = (vocab.content_iri(Digest("sha256", each * 32)) for each in ("1a", "1b"))
    model = Entity(kind="model", digest=Digest("sha256", "1a" * 32), name="edge", version="1")
    facts = Run(
        id="x1",
        name="train",
        project="churn",
        status="completed",
        started_at=AT,
        generated=(Generation(entity=model, role="model"),),
    )
    # What a producer may seal by itself: an edge to something that it does not describe.
    edge_nq = f"<{made}> {vocab.PROV_T['wasDerivedFrom']} <{source}> <{record_iri}> ."
    lines = sealed(facts, record_id="x1")["graph"].splitlines()
    graph_nq = "".join(f"{line}\n" for line in sorted([*lines, edge_nq])).encode()
    proof = seal(graph_nq, signer=generate_signer(), created=AT)
    sent = {
        "graph": graph_nq.decode(),
        "proof": proof.proof_nq.decode(),
        "proofValue": proof.proof_value,
    }
    answers = [post(each, "stranger", sent) for each in clients]
    assert [each.status for each in answers] == [201, 201], answers[0].body
    sizes = [each.json["ledgerSize"] for each in answers]
    # One server also has the private run that made the source.
    record = run("x2", WORD)
    entity = {"kind": "dataset", "digest": f"sha256:{'1b' * 32}", "name": f"{WORD}-source"}
    record["facts"]["generated"] = [{"entity": entity}]
    sizes[0] = post(clients[0], "mia", record).json["ledgerSize"]

    def walked(client, who, size):
        pairs = urlencode({"thing": made, "min-ledger-size": size})
        answer = client.ask(who, "GET", f"/lineage?{pairs}").json
        (node,) = [each for each in answer["nodes"] if each["iri"] == source]
        return node, answer["edges"]

    edge = {"child": made, "parent": source, "activities": []}
    hidden = {"iri": source, "restricted": True}
    shown = {"iri": source, "kind": "Dataset", "label": f"{WORD}-source"}
    found = [walked(clients[0], who, sizes[0]) for who in ("stranger", "auditor")]
    assert found == [(hidden, [edge]), (shown, [edge])]
    # A thing that nobody described looks the same.
    assert walked(clients[1], "stranger", sizes[1]) == (hidden, [edge])


def test_an_operator_stops_a_members_query_without_reading_it(clients):
    terms = " ".join(f"?a{n} ?b{n} ?c{n} ." for n in range(6))
    slow = f"SELECT (COUNT(*) AS ?n) {{ {terms} FILTER(?a0 != <urn:{WORD}>) }}"
    path = "/sparql?" + urlencode({"query": slow})
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        asked = threads.submit(clients[0].ask, "mia", "GET", path)
        deadline_s = time.monotonic() + 20
        rows = []
        while not rows and time.monotonic() < deadline_s:
            rows = clients[0].ask("operator", "GET", "/queries/running").json["queries"]
        (row,) = rows
        stopped = clients[0].ask("operator", "DELETE", f"/queries/running/{row['number']}").status
        answer = asked.result()
    assert (row["who"], row["query"], stopped, answer.status) == (
        "mia@example.org",
        None,
        204,
        503,
    )


def test_a_path_on_the_servers_machine_is_no_name(clients, tmp_path):
    file = tmp_path / "secret.txt"
    file.write_text("content")
    answer = post(clients[0], "stranger", retraction("p1", str(file)))
    assert (answer.status, "nothing here is called" in answer.json["detail"]) == (404, True)
    answer = post(clients[0], "stranger", deployment("p2", str(file)))
    assert (answer.status, "sha256" in graph(clients[0], answer)) == (201, False)


def test_an_approval_that_is_sealed_takes_the_same_right(clients):
    model = Entity(kind="model", digest=Digest.parse(OPEN_MODEL))
    said = Approval(id="a1", model=model, by=Agent(name="boss"), meaning="fit", at=AT)
    answer = post(clients[0], "stranger", sealed(said, record_id="a1"))
    assert (answer.status, "to approve takes the role" in answer.json["detail"]) == (403, True)
