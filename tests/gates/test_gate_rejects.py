"""Every check, with what it must reject: one thing is wrong with a model that passes otherwise."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from whole_model import (
    ADA,
    APPROVAL,
    FIT,
    GRACE,
    MODEL,
    MODEL_IRI,
    NOW,
    PREPARE,
    RAW,
    RAW_IRI,
    REGISTRATION,
    RITA,
    SAID,
    TEST,
    TRAIN,
    VALIDATION,
    VERA,
    WHOLE,
    Bank,
    act,
    at,
    bank_at,
    changed,
    content,
    failures,
    finding,
    uuid_of,
    whole_bank,
)

from provgraph import vocab
from provgraph.governance import Remediation, Withdrawal
from provgraph.records import Agent, Entity, Generation, Retraction, Usage
from provgraph.service.asking import open_reader
from provgraph.service.rotating import Why, revoke_key, rotate_key

EU = "eu-ai-act-high-risk"
WITHDRAWN = Withdrawal(
    id=uuid_of(20), target=RAW_IRI, what="consent", reason="they asked", by=RITA, at=at(100)
)
JUSTIFIED = Remediation(
    id=uuid_of(21),
    target=MODEL_IRI,
    withdrawal=act("withdrawal", 20),
    state="justified",
    reason="not one of them is in the data",
    by=GRACE,
    at=at(110),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Bank:
    return whole_bank(tmp_path_factory.mktemp("whole") / "home")


@pytest.fixture
def bank(whole: Bank, tmp_path: Path) -> Bank:
    """A copy of the whole home, its index with it."""
    shutil.copytree(whole.settings.home, tmp_path / "home")
    return Bank(bank_at(tmp_path / "home").settings, whole.keys)


def altered(tmp_path: Path, **runs: object) -> Bank:
    """A home whose training run is another."""
    bank = bank_at(tmp_path / "home")
    bank.enter_keys()
    bank.record(PREPARE, changed(FIT, **runs), *WHOLE[2:])
    return bank


# ---- facts -------------------------------------------------------------------------------------------
def test_a_fact_that_nobody_recorded(tmp_path):
    verdict = altered(tmp_path, source_code=None).gate()
    assert failures(verdict) == {"source-code": "missing"}
    assert finding(verdict, "source-code").reasons == ("of train: not recorded",)


def test_a_fact_that_is_absent_with_its_reason(tmp_path):
    from provgraph.records import Missing

    why = Missing(field="source code", reason="git is not installed")
    verdict = altered(tmp_path, source_code=None, missing=(why,)).gate()
    assert finding(verdict, "source-code").reasons == (
        "of train: absent, with reason: git is not installed",
    )


# ---- thresholds --------------------------------------------------------------------------------------
def test_a_threshold_that_was_not_reached(tmp_path):
    short = changed(FIT.evaluations[0], value=0.8, threshold_met=False)
    verdict = altered(tmp_path, evaluations=(short,)).gate()
    assert failures(verdict) == {"thresholds": "failed"}
    assert finding(verdict, "thresholds").reasons == ("roc_auc is 0.8, expected >= 0.85",)


def test_no_threshold_at_all_is_not_a_threshold_reached(tmp_path):
    vague = changed(FIT.evaluations[0], threshold=None, threshold_met=None)
    assert failures(altered(tmp_path, evaluations=(vague,)).gate()) == {"thresholds": "missing"}


# ---- data --------------------------------------------------------------------------------------------
def test_a_test_set_that_the_model_was_trained_on(tmp_path):
    used = (Usage(entity=TRAIN, role="train"), Usage(entity=TEST, role="train"))
    verdict = altered(tmp_path, used=used).gate()
    assert failures(verdict) == {"contradictions": "failed", "train-test": "failed"}
    assert finding(verdict, "contradictions").reasons[0].startswith("train-and-test: ")


def test_a_licence_that_forbids_what_the_model_is_for(tmp_path):
    bank = bank_at(tmp_path / "home")
    bank.enter_keys()
    forbidden = changed(RAW, licence="CC-BY-NC-4.0")
    bank.record(
        changed(
            PREPARE,
            used=(Usage(entity=forbidden, role="raw"), *PREPARE.used[1:]),
            labellings=(),
            steps=(
                changed(PREPARE.steps[0], used=(Usage(entity=forbidden, role="raw"),)),
                PREPARE.steps[1],
            ),
        ),
        *WHOLE[1:],
    )
    verdict = bank.gate()
    assert failures(verdict) == {"licence-conflict": "failed"}
    assert "applications.csv" in finding(verdict, "licence-conflict").reason


# ---- withdrawals -------------------------------------------------------------------------------------
def test_data_that_was_withdrawn_and_nobody_decided(bank):
    bank.record(WITHDRAWN)
    verdict = bank.gate()
    assert failures(verdict) == {"withdrawn": "failed", "consent": "failed"}
    assert finding(verdict, "withdrawn").reasons == (
        "applications.csv was withdrawn (they asked): open",
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"state": "retrain"}, "retrain"),
        ({"state": "retire"}, "retire"),
        ({"state": "none"}, "none"),
        ({"by": ADA}, "justified, which does not count: ada@acme.example made the model"),
        ({"withdrawal": act("withdrawal", 99)}, "open"),
    ],
)
def test_a_remediation_that_does_not_settle_it(bank, change, says):
    bank.record(WITHDRAWN, changed(JUSTIFIED, **change))
    assert says in finding(bank.gate(), "withdrawn").reason


def test_a_justification_settles_it_and_one_that_is_taken_back_does_not(bank):
    bank.record(WITHDRAWN, JUSTIFIED)
    assert finding(bank.gate(), "withdrawn").state == "met"
    bank.record(changed(JUSTIFIED, id=uuid_of(22), state="none", reason="not so sure", at=at(120)))
    assert finding(bank.gate(), "withdrawn").state == "failed"


@pytest.mark.parametrize(
    "target", [RAW_IRI, MODEL_IRI, vocab.run_iri(uuid_of(2)), vocab.run_iri(uuid_of(1))]
)
def test_what_was_retracted_behind_it(bank, target):
    bank.record(Retraction(id=uuid_of(23), target=target, reason="wrong", by=RITA, at=at(100)))
    assert finding(bank.gate(), "withdrawn").state == "failed"


# ---- seals, lineage ----------------------------------------------------------------------------------
def test_a_record_that_was_changed_in_the_ledger(bank):
    bank.gate()  # the index holds what was there before
    with sqlite3.connect(bank.settings.ledger_path) as db:
        table, column = graph_column(db)
        longest = f"SELECT rowid FROM {table} ORDER BY length({column}) DESC LIMIT 1"
        (place,) = db.execute(longest).fetchone()
        (data,) = db.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (place,)).fetchone()
        broken = data[:-20] + bytes(each ^ 1 for each in data[-20:])
        db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (broken, place))
    verdict = bank.gate()
    assert failures(verdict)["seals"] == "failed"


def graph_column(db: sqlite3.Connection) -> tuple[str, str]:
    """Find the table and column that hold the graphs: the blobs that are largest together."""
    found = []
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, column, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
            kind = f"CASE WHEN typeof({column}) = 'blob' THEN length({column}) ELSE 0 END"
            (size,) = db.execute(f"SELECT coalesce(sum({kind}), 0) FROM {table}").fetchone()
            found.append((size, table, column))
    return max(found)[1:]


def test_a_source_that_no_record_describes(tmp_path):
    # Its name stands in the derivation, and nothing else: as where a private project made it.
    bank = whole_bank(tmp_path / "home")
    with open_reader(bank.settings) as reader:
        from whole_model import load_profile

        from provgraph.gates.checks import Case, lineage
        from provgraph.gates.decisions import Decisions
        from provgraph.gates.sight import Sight

        def dark(query, *, graphs=None):
            found = reader.index.select(query)
            if "?it a ?type" in query:
                rows = [row for row in found.rows if row[0] != f"<{RAW_IRI}>"]
                return type(found)(columns=found.columns, rows=tuple(rows))
            return found

        profile = load_profile("minimal")
        sight = Sight(
            model=MODEL_IRI,
            ask=dark,
            asked=reader.asked,
            entries=reader.entries,
            keys=reader.ledger.keys(),
            now=NOW,
        )
        decisions = Decisions(sight=sight, profile=profile)
        case = Case(
            sight=sight, decisions=decisions, requirement=profile.requirements[0], stage=None
        )
        found = lineage(case)
    assert (found.state, found.evidence) == ("unknown", (RAW_IRI,))


def test_something_that_is_no_model(bank):
    verdict = bank.gate(model="applications.csv")
    assert finding(verdict, "gate.lineage").reasons == ("expected a model, found Dataset, Entity",)


def test_a_model_that_no_run_made(bank):
    from provgraph.records import Deployment

    bought = Entity(kind="model", digest=content("bought"))
    bank.record(Deployment(id=uuid_of(30), model=bought, stage="production", at=at(200)))
    verdict = bank.gate(model=str(content("bought")))
    assert finding(verdict, "gate.lineage").reasons == ("no run is recorded that made it",)


def test_two_statements_that_exclude_each_other(bank):
    from provgraph.records import Run

    other = changed(MODEL, digest=content("other bytes"))
    bank.record(
        Run(
            id=uuid_of(31),
            name="train",
            status="completed",
            started_at=at(300),
            generated=(Generation(entity=other, role="model"),),
        )
    )
    verdict = bank.gate(model=str(content("credit")))
    assert failures(verdict) == {"contradictions": "failed"}
    assert finding(verdict, "contradictions").reasons[0].startswith("two-digests: ")


# ---- approvals and validations -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"by": ADA}, "ada@acme.example made the model, and cannot decide on it"),
        ({"by": Agent(name=" ADA@acme.example")}, "made the model"),
        ({"stage": "staging"}, "it is for the stage staging"),
        ({"at": NOW + timedelta(days=1)}, "it is dated ahead of this clock"),
    ],
)
def test_an_approval_that_does_not_count(tmp_path, change, says):
    bank = whole_bank(tmp_path / "home", APPROVAL)
    bank.record(changed(APPROVAL, **change), key=GRACE)
    found = finding(bank.gate(EU), "art-19-responsible")
    assert (found.state, says in found.reason) == ("failed", True)


def test_an_approval_by_a_developer_who_is_assigned(bank):
    from provgraph.governance import Assignment

    bank.record(
        Assignment(
            id=uuid_of(33), target=MODEL_IRI, agent=GRACE, role="developer", by=ADA, at=at(95)
        )
    )
    found = finding(bank.gate(EU), "art-19-responsible")
    assert "grace@acme.example made the model" in found.reason


def test_an_approval_that_was_retracted(bank):
    target = act("approval", 5)
    bank.record(Retraction(id=uuid_of(24), target=target, reason="no", by=GRACE, at=at(100)))
    assert "it was retracted" in finding(bank.gate(EU), "art-19-responsible").reason


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (VERA, "it is by grace@acme.example, and sealed with the key of vera@acme.example"),
        (ADA, "nobody says whose the key is that sealed it"),
    ],
)
def test_an_approval_with_a_key_that_is_not_theirs(tmp_path, key, says):
    bank = whole_bank(tmp_path / "home", APPROVAL)
    bank.record(APPROVAL, key=key)
    found = finding(bank.gate(EU), "art-19-responsible")
    assert (found.state, says in found.reason) == ("failed", True)
    # Where a profile takes every key that counts, it is one.
    assert failures(bank.gate("minimal")) == {}


def test_an_approval_with_a_key_that_was_compromised_by_then(bank):
    revoke_key(
        bank.settings,
        bank.keys[GRACE.name].verification_method,
        reason="compromised",
        counts_before=0,
        why=Why(by=RITA),
    )
    verdict = bank.gate(EU)
    assert failures(verdict) == {"art-12-records": "failed", "art-19-responsible": "failed"}
    assert "was revoked (compromised)" in finding(verdict, "art-19-responsible").reason


def test_a_key_that_a_compromised_steward_entered(bank):
    rotate_key(
        bank.settings,
        "steward",
        reason="compromised",
        counts_before=1,
        owner=None,
        valid_until=None,
        why=Why(by=RITA),
    )
    found = finding(bank.gate(EU), "art-19-responsible")
    assert (found.state, "compromised from entry 1 on" in found.reason) == ("failed", True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verdict": "failed"}, "its verdict is failed"),
        ({"is_independent": False}, "declares not to be independent"),
        ({"valid_until": at(5000)}, "it is out of date since"),
        ({"by": ADA}, "made the model"),
    ],
)
def test_a_validation_that_does_not_count(tmp_path, change, says):
    bank = whole_bank(tmp_path / "home", VALIDATION)
    bank.record(changed(VALIDATION, **change), key=VERA)
    found = finding(bank.gate(EU), "annex-iv-2-g-validation")
    assert (found.state, says in found.reason) == ("failed", True)


def test_a_validation_that_a_later_one_outweighs(bank):
    bank.record(changed(VALIDATION, id=uuid_of(25), verdict="failed", by=RITA, at=at(95)))
    found = finding(bank.gate(EU), "annex-iv-2-g-validation")
    assert found.reasons == ("rita@acme.example found it failed since",)


def test_a_model_whose_maker_nobody_knows(tmp_path):
    verdict = altered(tmp_path, owner=None).gate(EU)
    assert "nobody is known to have made the model" in finding(verdict, "art-19-responsible").reason


def test_who_is_registered_as_owner_did_not_make_it(bank):
    assert (REGISTRATION.owner, failures(bank.gate(EU))) == (RITA, {})


# ---- errors ------------------------------------------------------------------------------------------
def test_an_error_inside_a_check_fails_it(bank, monkeypatch):
    from provgraph.gates import checks

    def broken(case):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setitem(checks.CHECKS, "thresholds", broken)
    verdict = bank.gate()
    assert failures(verdict) == {"thresholds": "unknown"}
    assert finding(verdict, "thresholds").reasons == (
        "it could not be judged: RuntimeError: the disk is on fire",
    )


def test_waivers_that_cannot_be_read_fail_the_gate(bank, monkeypatch):
    from provgraph.gates import judging

    def broken(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr(judging, "standings", broken)
    assert failures(bank.gate()) == {"gate.waivers": "unknown"}
    assert SAID.digest == MODEL.digest
