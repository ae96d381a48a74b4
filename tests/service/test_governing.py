"""What is decided about models and data after the run: each fact as its graph says it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from readback import Facts, facts_of, records

import provgraph
from provgraph import vocab
from provgraph.capture.sinks import Receipt
from provgraph.capture.things import Handle
from provgraph.errors import CaptureError, FormatError, NotFoundError
from provgraph.governance import Validation
from provgraph.records import Agent, Entity
from provgraph.service.recording import write_record
from provgraph.settings import load

LATER = datetime(2099, 6, 30, tzinfo=UTC)
CALLS = b"caller,length\nann,3\n"


@pytest.fixture
def model(home: Path) -> Handle:
    """`churn:3`, made from calls.csv; churn:2 before it."""
    with provgraph.run("prepare", project="churn", owner="ada") as run:
        run.generate(CALLS, role="calls", kind="dataset", name="calls.csv")
        run.generate(b"older weights", role="model", name="churn", version="2")
    with provgraph.run("train", project="churn", owner="ada") as run:
        calls = run.use(CALLS, role="train", kind="dataset", name="calls.csv")
        return run.generate(
            b"weights", role="model", name="churn", version="3", derived_from=[calls]
        )


def content(handle: Handle) -> str:
    assert handle.digest is not None
    return vocab.content_iri(handle.digest)


def only(receipt: Receipt | None, kind: str) -> tuple[Facts, str]:
    assert receipt is not None
    facts = facts_of(receipt)
    (found,) = facts.all(kind)
    return facts, found


def named(name: str) -> str:
    return vocab.named_iri("model", _namespace(), name)


def _namespace() -> str:
    from provgraph.service.home import readable_ledger

    with readable_ledger(load()) as ledger:
        return ledger.namespace


def person(name: str) -> str:
    return vocab.named_iri("person", _namespace(), name)


def test_a_validation_says_who_signed_what_and_on_which_report(model, tmp_path):
    report = tmp_path / "report.md"
    report.write_text("sound", "utf-8")
    facts, act = only(
        provgraph.validate(
            "churn:3",
            by="grace",
            verdict="conditional",
            meaning="tested on unseen data",
            independent=True,
            conditions="customers of six months and more",
            report=report,
            valid_until="2027-01-01",
        ),
        "Validation",
    )
    assert facts.of(act, "model") == [content(model)]
    assert facts.of(act, "prov:wasAssociatedWith") == [person("grace")]
    assert [facts.of(act, name) for name in ("verdict", "meaning", "isIndependent")] == [
        ["conditional"],
        ["tested on unseen data"],
        ["true"],
    ]
    assert facts.of(act, "conditions") == ["customers of six months and more"]
    assert facts.of(act, "validUntil") == ["2027-01-01T00:00:00Z"]
    (found,) = facts.of(act, "report")
    assert found.startswith(f"{vocab.ID}content/sha256/")


def test_a_gate_decision_holds_each_requirement_and_its_waiver(model):
    waiver = provgraph.waive(
        "churn:3", "drift-monitor", by="grace", reason="comes in May", expires=LATER
    )
    assert waiver is not None
    facts, act = only(
        provgraph.gate_decision(
            "churn:3",
            profile="minimal",
            profile_version="1",
            stage="production",
            verdict="waived",
            by="ci",
            ledger_size=3,
            judgements=[
                {"requirement": "owner", "state": "met", "evidence": [vocab.run_iri("x")]},
                {
                    "requirement": "drift-monitor",
                    "state": "waived",
                    "reason": "no observation",
                    "waiver": waiver,
                },
            ],
        ),
        "GateDecision",
    )
    waived = vocab.activity_iri("waiver", waiver.record.rsplit("/", 1)[-1])
    assert facts.parts(act, "judgement", "requirement", "state", "reason", "waiver") == [
        ("owner", "met", None, None),
        ("drift-monitor", "waived", "no observation", waived),
    ]
    assert facts.of(act, "prov:wasInformedBy") == [waived]
    assert facts.of(act, "ledgerSize") == ["3"]


def test_a_waiver_ends(model):
    facts, act = only(
        provgraph.waive("churn:3", "licence", by="grace", reason="asked", expires=LATER),
        "Waiver",
    )
    assert facts.of(act, "expiresAt") == ["2099-06-30T00:00:00Z"]
    assert facts.of(act, "requirement") == ["licence"]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"expires": datetime.now(UTC) - timedelta(days=1)}, "a time to come"),
        ({"expires": "soon"}, "ISO 8601"),
        ({"reason": "  "}, "a waiver without a reason is none"),
        ({"by": ""}, "expected who waives"),
    ],
)
def test_a_waiver_that_is_none_is_refused(model, given, fault):
    before = len(records())
    facts: dict[str, Any] = {"by": "grace", "reason": "asked", "expires": LATER} | given
    with pytest.raises(CaptureError, match=fault):
        provgraph.waive("churn:3", "licence", **facts)
    assert len(records()) == before


def test_a_withdrawal_lists_what_was_made_from_it(model):
    facts, act = only(
        provgraph.withdraw("calls.csv", reason="no consent", by="dpo", ground="GDPR Art. 7(3)"),
        "Withdrawal",
    )
    (source,) = facts.of(act, "withdraws")
    assert facts.of(act, "affects") == [content(model)]
    assert facts.of(source, "prov:wasInvalidatedBy") == [act]
    assert facts.of(act, "withdrawn") == ["dataset"]


def test_a_consent_withdrawn_in_part_does_not_invalidate_the_data(model):
    receipt = provgraph.withdraw(
        "calls.csv", reason="asked", by="dpo", consent=True, scope="callers in Austria"
    )
    facts, act = only(receipt, "Withdrawal")
    (source,) = facts.of(act, "withdraws")
    assert facts.of(source, "prov:wasInvalidatedBy") == []
    assert (facts.of(act, "withdrawn"), facts.of(act, "scope")) == (
        ["consent"],
        ["callers in Austria"],
    )


def test_a_withdrawal_of_an_unknown_dataset_is_refused(model):
    before = len(records())
    with pytest.raises(NotFoundError, match=r"calls-2\.csv"):
        provgraph.withdraw("calls-2.csv", reason="no consent", by="dpo")
    assert len(records()) == before


def test_a_remediation_names_its_withdrawal(model):
    withdrawal = provgraph.withdraw("calls.csv", reason="no consent", by="dpo")
    assert withdrawal is not None
    iri = vocab.activity_iri("withdrawal", withdrawal.record.rsplit("/", 1)[-1])
    for spelling in (withdrawal, iri, iri.removeprefix(vocab.ID)):
        facts, act = only(
            provgraph.remediate(
                "churn:3",
                withdrawal=spelling,
                state="retrain",
                by="ada",
                reason="two weeks of work",
                due="2026-05-01",
            ),
            "Remediation",
        )
        assert facts.of(act, "underWithdrawal") == [iri]
        assert facts.of(act, "remedies") == [content(model)]
        assert facts.of(act, "dueAt") == ["2026-05-01T00:00:00Z"]


def test_a_registration_of_a_name_is_for_all_versions(model):
    facts, act = only(
        provgraph.register(
            "churn", owner="ada", tier="1", risk="high-risk", review_by="2026-09-01"
        ),
        "Registration",
    )
    assert facts.of(act, "registers") == [named("churn")]
    assert facts.parts(named("churn"), "responsibility", "responsible", "agentRole") == [
        (person("ada"), "owner")
    ]
    assert (facts.of(act, "tier"), facts.of(act, "riskClass")) == (["1"], ["high-risk"])
    facts, act = only(provgraph.register("churn:3", tier="2", by="ada"), "Registration")
    assert facts.of(act, "registers") == [content(model)]


def test_a_model_may_be_registered_before_it_exists(model):
    facts, act = only(provgraph.register("forecast", tier="2", by="ada"), "Registration")
    assert facts.of(act, "registers") == [named("forecast")]
    assert list(facts.missing(act)) == ["model"]


def test_an_assignment_says_in_whose_place(model):
    receipt = provgraph.assign(
        "calls.csv", to="ada", role="steward", delegated_by="head", since="2026-03-01", by="head"
    )
    facts, act = only(receipt, "Assignment")
    (node,) = facts.of(act, "establishes")
    assert facts.of(node, "delegatedBy") == [person("head")]
    assert facts.of(person("ada"), "prov:actedOnBehalfOf") == [person("head")]
    assert facts.of(node, "validFrom") == ["2026-03-01T00:00:00Z"]


def test_a_change_that_nobody_judged_is_said_to_be_unknown(model):
    facts, act = only(
        provgraph.assess_change("churn:3", substantial=True, reason="a new source", by="grace"),
        "Modification",
    )
    assert facts.of(act, "isSubstantial") == ["true"]
    assert facts.of(act, "isPredetermined") == []
    assert facts.missing(act) == {"predetermined": "not said; pass True or False"}


def test_a_response_and_the_end_of_a_deployment(model):
    deployment = provgraph.deploy("churn:3", stage="production", by="ada", at="2026-03-01")
    observed = provgraph.observe("churn:3", metric="auc", value=0.5, threshold=0.9)
    assert deployment is not None
    assert observed is not None
    facts, act = only(provgraph.respond(observed, by="ada", action="rolled back"), "Response")
    target = vocab.activity_iri("observation", observed.record.rsplit("/", 1)[-1])
    assert facts.of(act, "respondsTo") == [target]
    assert facts.of(act, "status") == ["acknowledged"]
    facts, act = only(
        provgraph.undeploy(deployment, by="ada", until="2026-04-01", reason="rolled back"),
        "DeploymentEnd",
    )
    (ended,) = facts.of(act, "ends")
    assert facts.of(ended, "prov:endedAtTime") == ["2026-04-01T00:00:00Z"]
    assert facts_of(deployment).of(ended, "prov:startedAtTime") == ["2026-03-01T00:00:00Z"]


@pytest.mark.parametrize("verdict", ["ok", "", "PASSED"])
def test_a_verdict_is_one_of_the_words(model, verdict):
    with pytest.raises(CaptureError, match="expected passed or conditional or failed"):
        provgraph.validate("churn:3", by="grace", verdict=verdict, meaning="sound")


def test_a_verdict_from_elsewhere_is_one_of_the_words_too(home):
    now = datetime.now(UTC)
    record = Validation(
        id="v1",
        model=Entity(kind="model", uri="urn:x:m"),
        by=Agent(name="grace"),
        verdict="probably",
        meaning="m",
        at=now,
    )
    with pytest.raises(FormatError, match="verdict: expected passed"):
        write_record(load(), record, record_id="v1")
