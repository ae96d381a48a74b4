"""Facts that come after a run: deployed, observed, approved, retracted, by any name of a model."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from readback import Facts, facts_of, journals, ledger, records, settings, verified

import provgraph
from provgraph import vocab
from provgraph.capture.sinks import Receipt
from provgraph.capture.things import Handle
from provgraph.errors import CaptureError, NotFoundError, UsageError
from provgraph.service import home as service_home
from provgraph.service.recovery import recover

MODEL = b"the weights"


@pytest.fixture
def model(home: Path, tmp_path: Path) -> Handle:
    """A model `churn:3` that the home knows, also as the file model.bin."""
    (tmp_path / "model.bin").write_bytes(MODEL)
    with provgraph.run("churn", owner="ada") as run:
        run.generate(b"older weights", role="model", name="churn", version="2")
        return run.generate(tmp_path / "model.bin", role="model", name="churn", version="3")


def content(model: Handle) -> str:
    assert model.digest is not None
    return vocab.content_iri(model.digest)


def act(facts: Facts, kind: str) -> str:
    (found,) = facts.all(kind)
    return found


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


# ---- which model ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "spelling",
    ["churn:3", "churn", "model/churn:3", "model/churn", "hex", "digest", "iri", "path", "handle"],
)
def test_a_model_by_any_of_its_names(model, tmp_path, spelling):
    # The run is called like the model, so `churn` alone has two meanings; a model is meant.
    name = {
        "hex": model.digest.value,
        "digest": str(model.digest),
        "iri": content(model),
        "path": tmp_path / "model.bin",
        "handle": model,
    }.get(spelling, spelling)
    for kind, receipt in (
        ("Deployment", provgraph.deploy(name, stage="production", by="ada")),
        ("Observation", provgraph.observe(name, metric="auc", value=0.5)),
        ("Approval", provgraph.approve(name, by="grace", meaning="fit")),
    ):
        facts = facts_of(receipt)
        assert facts.of(act(facts, kind), "model") == [content(model)]
        assert facts.of(content(model), "missing") == []
        assert facts.of(content(model), "digest") == [str(model.digest)]


def test_a_path_as_text_is_told_from_a_name_by_its_form(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("./model.bin", str(tmp_path / "model.bin"), "model.bin"):
        facts = facts_of(provgraph.deploy(path, stage="s", by="ada"))
        assert facts.of(act(facts, "Deployment"), "model") == [content(model)]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("version", ["20240101", "deadbeef", "1.0", "2024:01", "a/b", "🚀"])
def test_a_version_that_looks_like_something_else(version):
    with provgraph.run("train", owner="ada") as run:
        handle = run.generate(f"{version}".encode(), role="model", name="net", version=version)
    facts = facts_of(provgraph.deploy(f"net:{version}", stage="s", by="ada"))
    assert facts.of(act(facts, "Deployment"), "model") == [content(handle)]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("name", ["unknown:9", "unknown", "no/such/file.bin", Path("/absent.bin")])
def test_an_unknown_model_is_recorded_as_such(careful_home, caplog, name):
    facts = facts_of(provgraph.deploy(name, stage="production", by="ada"))
    (deployed,) = facts.of(act(facts, "Deployment"), "model")
    with ledger() as opened:
        namespace = opened.namespace
    assert deployed == vocab.named_iri("model", namespace, *str(name).split(":", 1))
    ((field, reason),) = facts.parts(deployed, "missing", "field", "reason")
    assert field == "model"
    assert str(reason).startswith(f"nothing here is called {str(name)!r}")
    assert said(caplog) == [f"provgraph: deploy: model is not known: {reason}"]


@pytest.mark.usefixtures("model")
def test_an_unknown_version_gets_the_name_that_it_will_have():
    facts = facts_of(provgraph.deploy("churn:4", stage="s", by="ada"))
    (before,) = facts.of(act(facts, "Deployment"), "model")
    with provgraph.run("train", owner="ada") as run:
        run.generate(b"newest", role="model", name="churn", version="4")
    assert before in facts_of(run.receipt).all("Version")


def test_a_handle_of_a_uri_or_of_nothing(careful_home):
    with provgraph.run("train", owner="ada") as run:
        by_uri = run.use("s3://bucket/model", role="model")
        by_name = run.generate("/absent", role="model", name="lost", version="1")
    facts = facts_of(provgraph.deploy(by_uri, stage="s", by="ada"))
    assert facts.of(act(facts, "Deployment"), "model") == ["s3://bucket/model"]
    facts = facts_of(provgraph.deploy(by_name, stage="s", by="ada"))
    (deployed,) = facts.of(act(facts, "Deployment"), "model")
    assert deployed.endswith("/lost/1")
    assert deployed in facts_of(run.receipt).all("Version")


# ---- what is said -----------------------------------------------------------------------------------------
def test_a_deployment_rests_on_an_approval_and_replaces_an_earlier_one(model):
    approval = provgraph.approve(
        "churn:3", by="grace@example.org", meaning="fit for the EU", stage="production", note="n"
    )
    first = provgraph.deploy("churn:2", stage="production", by="ada", target="eu-west")
    second = provgraph.deploy(
        "churn:3",
        stage="production",
        by="ada",
        target="https://ada:hunter2@eu-west",
        on_approval=approval,
        replaces=first,
        note="blue-green",
    )
    approved, old, new = facts_of(approval), facts_of(first), facts_of(second)
    one = act(approved, "Approval")
    assert {
        name: approved.one(one, name) for name in ("meaning", "stage", "prov:wasAssociatedWith")
    } == {
        "meaning": "fit for the EU",
        "stage": "production",
        "prov:wasAssociatedWith": approved.of(one, "prov:wasAssociatedWith")[0],
    }
    assert approved.one(approved.of(one, "prov:wasAssociatedWith")[0], "rdfs:label") == (
        "grace@example.org"
    )
    assert approved.parts(one, "note", "text") == [("n",)]
    two = act(new, "Deployment")
    assert {name: new.one(two, name) for name in ("stage", "target", "onApproval", "replaces")} == {
        "stage": "production",
        "target": "https://ada:[redacted]@eu-west",
        "onApproval": one,
        "replaces": act(old, "Deployment"),
    }
    assert new.of(two, "prov:used") == [content(model)]


@pytest.mark.usefixtures("model")
def test_an_approval_can_be_named_by_iri_by_id_or_elsewhere():
    approval = provgraph.approve("churn:3", by="grace", meaning="fit")
    iri = act(facts_of(approval), "Approval")
    found = []
    for reference in (iri, iri.rsplit("/", 1)[-1], "https://tickets.example.org/approval/7"):
        facts = facts_of(provgraph.deploy("churn:3", stage="s", by="ada", on_approval=reference))
        found.append(facts.one(act(facts, "Deployment"), "onApproval"))
    assert found == [iri, iri, "https://tickets.example.org/approval/7"]


@pytest.mark.usefixtures("model")
def test_without_a_person_a_deployment_says_so_and_an_approval_is_refused(caplog):
    facts = facts_of(provgraph.deploy("churn:3", stage="production"))
    assert facts.parts(act(facts, "Deployment"), "missing", "field", "reason") == [
        ("by", "nobody was named; pass by=")
    ]
    assert said(caplog) == ["provgraph: deploy: by is not known: nobody was named; pass by="]
    for nobody in (None, "", "  "):
        with pytest.raises(CaptureError, match="an approval without a person is none"):
            provgraph.approve("churn:3", by=nobody, meaning="fit")
    assert records("ApprovalRecord") == []


def test_an_observation_says_when_and_on_what_and_whether_it_is_met(model, tmp_path):
    deployment = provgraph.deploy("churn:3", stage="production", by="ada")
    (tmp_path / "live.csv").write_text("id\n1\n", "utf-8")
    receipt = provgraph.observe(
        model,
        metric="roc_auc",
        value=0.81,
        n=5000,
        interval=(0.79, 0.83),
        threshold=0.85,
        window=(datetime(2026, 1, 1), "2026-02-01T01:00:00+01:00"),
        data=tmp_path / "live.csv",
        deployment=deployment,
        by="drift monitor",
        note="drop",
    )
    facts = facts_of(receipt)
    seen = act(facts, "Observation")
    fields = (
        *("metricName", "value", "sampleSize", "intervalLow", "intervalHigh", "threshold"),
        *("thresholdMet", "windowStart", "windowEnd", "deployment"),
    )
    assert [facts.one(seen, field) for field in fields] == [
        *("roc_auc", "0.81", "5000", "0.79", "0.83", ">= 0.85", "false"),
        *("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        act(facts_of(deployment), "Deployment"),
    ]
    (data,) = facts.of(seen, "data")
    assert facts.one(data, "rdfs:label") == "live.csv"
    assert facts.parts(seen, "note", "text") == [("drop",)]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"value": "low"}, "expected a number, found str 'low'"),
        ({"n": 1.5}, "n: expected a whole number"),
        ({"interval": ("a", "b")}, "expected a number"),
        ({"window": ("yesterday", "today")}, "window: expected datetimes or ISO 8601"),
        ({"window": (1, 2)}, "window: expected datetimes or ISO 8601"),
        ({"threshold": "about"}, "threshold: expected a number or a comparison"),
    ],
)
def test_an_observation_that_makes_no_sense_is_refused(wrong, message, monkeypatch, caplog):
    call = {"metric": "auc", "value": 0.5, **wrong}
    with pytest.raises(CaptureError, match=message):
        provgraph.observe("churn:3", **call)
    monkeypatch.setenv("PROVGRAPH_STRICT", "off")
    assert provgraph.observe("churn:3", **call) is None
    assert message in said(caplog)[-1]
    assert records("ObservationRecord") == []


# ---- retractions --------------------------------------------------------------------------------------------
def test_what_can_be_retracted(model):
    with provgraph.run("other", owner="ada") as run:
        pass
    approval = provgraph.approve("churn:3", by="grace", meaning="fit")
    assert isinstance(approval, Receipt)
    run_iri = f"{vocab.ID}run/{run.id}"
    for thing, target in {
        "model/churn:3": content(model),
        str(model.digest): content(model),
        model: content(model),
        approval: approval.record,
        run: run_iri,
        run.id: run_iri,
        run_iri: run_iri,
        "other": run_iri,
        "urn:example:thing": "urn:example:thing",
    }.items():
        facts = facts_of(provgraph.retract(thing, reason="labels were wrong", by="ada"))
        retraction = act(facts, "Retraction")
        assert facts.of(retraction, "retracts") == [target]
        assert facts.of(retraction, "reason") == ["labels were wrong"]


@pytest.mark.usefixtures("model")
def test_what_nothing_goes_by_cannot_be_retracted(monkeypatch, caplog):
    with pytest.raises(NotFoundError, match="nothing here is called 'unknown:9'"):
        provgraph.retract("unknown:9", reason="r", by="ada")
    with provgraph.run("again", owner="ada") as run:
        run.generate(b"other bytes", role="model", name="churn", version="3")
    with pytest.raises(UsageError, match="names several contents; say which by digest"):
        provgraph.retract("model/churn:3", reason="r", by="ada")
    monkeypatch.setenv("PROVGRAPH_STRICT", "off")
    caplog.clear()
    assert provgraph.retract("unknown:9", reason="r", by="ada") is None
    assert said(caplog)[0].startswith(
        "provgraph: could not record retract: nothing here is called 'unknown:9'"
    )
    assert (records("RetractionRecord"), journals()) == ([], [])


# ---- when the ledger cannot take them ------------------------------------------------------------------------
def test_facts_that_the_ledger_cannot_take_are_kept_and_sealed_later(
    model, careful_home, caplog, monkeypatch
):
    with closing(sqlite3.connect(careful_home / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for call in (
            lambda: provgraph.deploy("churn:3", stage="production", by="ada"),
            lambda: provgraph.observe("churn:3", metric="auc", value=0.5),
            lambda: provgraph.approve("churn:3", by="grace", meaning="fit"),
            lambda: provgraph.retract("model/churn:3", reason="r", by="ada"),
        ):
            with service_home.writable_ledger(settings()) as opened:
                opened._db.execute("PRAGMA busy_timeout = 20")
            assert call() is None
        other.execute("ROLLBACK")
    assert len(journals()) == 4
    assert sum("`provgraph recover` seals it" in line for line in said(caplog)) == 4
    found = recover(settings())
    assert [each.problem for each in found] == [None] * 4
    for kind in ("Deployment", "Observation", "Approval"):
        (facts,) = records(f"{kind}Record")
        assert facts.of(act(facts, kind), "model") == [content(model)]
    (facts,) = records("RetractionRecord")
    assert facts.of(act(facts, "Retraction"), "retracts") == [content(model)]
    assert journals() == []
    verified()


def test_a_name_is_looked_up_when_the_ledger_can_be_opened_again(careful_home, caplog):
    careful_home.mkdir()
    (careful_home / "ledger.db").write_bytes(b"no ledger at all" * 100)
    for call in (
        lambda: provgraph.deploy("churn:3", stage="production", by="ada"),
        lambda: provgraph.retract("model/churn:3", reason="r", by="ada"),
    ):
        assert call() is None
    assert len(journals()) == 2
    (careful_home / "ledger.db").unlink()
    with provgraph.run("train", owner="ada") as run:
        handle = run.generate(MODEL, role="model", name="churn", version="3")
    found = recover(settings())
    assert [each.problem for each in found] == [None] * 2
    (facts,) = records("DeploymentRecord")
    assert facts.of(act(facts, "Deployment"), "model") == [content(handle)]
    (facts,) = records("RetractionRecord")
    assert facts.of(act(facts, "Retraction"), "retracts") == [content(handle)]


def test_a_retraction_of_what_nobody_knows_stays_and_is_reported(careful_home):
    careful_home.mkdir()
    (careful_home / "ledger.db").write_bytes(b"no ledger at all" * 100)
    assert provgraph.retract("unknown", reason="r", by="ada") is None
    (careful_home / "ledger.db").unlink()
    for _ in range(2):
        (left,) = recover(settings())
        assert str(left.problem).startswith("nothing here is called 'unknown'")
    assert len(journals()) == 1


def test_where_there_is_nowhere_to_keep_it_this_is_said(
    careful_home, tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    assert provgraph.deploy("churn:3", stage="production", by="ada") is None
    assert said(caplog)[-1].startswith("provgraph: could not record deploy: OSError: ")


@pytest.mark.usefixtures("model")
def test_threads_can_record_later_facts_at_once():
    receipts: list[Receipt | None] = []

    def observe(number: int) -> None:
        receipts.append(provgraph.observe("churn:3", metric="auc", value=number))

    threads = [threading.Thread(target=observe, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = {
        facts_of(receipt).one(act(facts_of(receipt), "Observation"), "value")
        for receipt in receipts
    }
    assert values == {str(number) for number in range(16)}
    verified()


@pytest.mark.usefixtures("home")
def test_a_later_fact_can_be_the_first_of_a_home():
    before = datetime.now(UTC)
    receipt = provgraph.deploy("churn:3", stage="production", by="ada")
    assert receipt is not None
    assert (receipt.position, receipt.ledger_size) == (0, 1)
    facts = facts_of(receipt)
    at = facts.one(act(facts, "Deployment"), "prov:startedAtTime")
    assert before <= datetime.fromisoformat(str(at)) <= datetime.now(UTC)
    assert {"log.pem", "producer.pem"} <= set(os.listdir(settings().keys_folder))
