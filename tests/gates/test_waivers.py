"""Waivers: one that counts lets pass and is shown; each way in which one does not count."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from whole_model import (
    ADA,
    FIT,
    GRACE,
    MODEL_IRI,
    NAME_IRI,
    NOW,
    PREPARE,
    RITA,
    VERA,
    WAIVER,
    WHOLE,
    Bank,
    act,
    at,
    bank_at,
    changed,
    failures,
    finding,
    uuid_of,
)

from provgraph.governance import Assignment
from provgraph.query.promotion import Profile
from provgraph.query.requirements import parse_profile
from provgraph.records import Agent, Retraction

TEXT = """
id = "house"
version = "7"
title = "House rules"
[[requirement]]
id = "intended-use"
title = "It says what it is meant for"
fact = "intended-use"
source = "the house"
waivable_by = ["risk-officer"]
[[requirement]]
id = "source-code"
title = "The source code is recorded"
fact = "source-code"
source = "the house"
[roles]
risk-officer = ["grace@acme.example", "ada@acme.example"]
"""
HOUSE = parse_profile(TEXT.encode(), where="house.toml")
ASSIGNED = parse_profile(TEXT.partition("[roles]")[0].encode(), where="house.toml")


@pytest.fixture(scope="module")
def vague(tmp_path_factory) -> Bank:
    """A home whose model does not say what it is meant for."""
    bank = bank_at(tmp_path_factory.mktemp("vague") / "home")
    bank.enter_keys((GRACE, VERA, RITA, ADA))
    model = changed(FIT.generated[0].entity, intended_use=None)
    generated = (changed(FIT.generated[0], entity=model),)
    evaluations = tuple(changed(each, model=model) for each in FIT.evaluations)
    bank.record(PREPARE, changed(FIT, generated=generated, evaluations=evaluations), *WHOLE[2:])
    assert failures(bank.gate(HOUSE)) == {"intended-use": "missing"}
    return bank


@pytest.fixture
def bank(vague: Bank, tmp_path: Path) -> Bank:
    shutil.copytree(vague.settings.home, tmp_path / "home")
    return Bank(bank_at(tmp_path / "home").settings, vague.keys)


def test_a_waiver_that_counts_lets_pass_and_is_shown(bank):
    bank.record(WAIVER)
    verdict = bank.gate(HOUSE)
    assert (verdict.verdict, failures(verdict)) == ("waived", {})
    found = finding(verdict, "intended-use")
    assert (found.state, found.waiver) == ("waived", act("waiver", 6))
    assert found.reasons[0] == (
        "waived by grace@acme.example until 2026-04-10T08:00:00Z: the page on use comes next week"
    )
    (shown,) = verdict.waivers
    assert (shown.is_honoured, shown.by, shown.expires) == (
        True,
        "grace@acme.example",
        "2026-04-10T08:00:00Z",
    )


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ({"expires": NOW - timedelta(days=1)}, None, "it expired on 2026-03-10 08:00Z"),
        ({"expires": NOW}, None, "it expired on 2026-03-11 08:00Z"),
        ({"expires": NOW + timedelta(days=400)}, None, "it runs for more than 366 days"),
        ({"at": NOW + timedelta(hours=1)}, None, "it is dated ahead of this clock, or not at all"),
        ({"reason": "  "}, None, "it gives no reason"),
        ({"requirement": "intended-uses"}, None, "house has no requirement of that name"),
        ({"requirement": "source-code"}, None, "nobody may waive this requirement"),
        ({"requirement": "gate.seals"}, None, "nobody may waive this requirement"),
        ({"profile": "minimal"}, None, "it is for the profile minimal"),
        ({"stage": "staging"}, None, "it is for the stage staging"),
        ({"by": ADA}, None, "ada@acme.example made the model, and cannot decide on it"),
        ({"by": VERA}, None, "vera@acme.example does not hold the role risk-officer"),
        ({}, VERA, "it is by grace@acme.example, and sealed with the key of vera@acme.example"),
        ({}, Agent(name="nobody"), "nobody says whose the key is that sealed it"),
    ],
)
def test_a_waiver_that_does_not_count(bank, change, key, says):
    bank.record(changed(WAIVER, **change), key=key)
    verdict = bank.gate(HOUSE)
    assert failures(verdict) == {"intended-use": "missing"}
    (shown,) = verdict.waivers
    assert (shown.is_honoured, says in shown.because) == (False, True)


def test_a_waiver_that_was_retracted(bank):
    bank.record(
        WAIVER, Retraction(id=uuid_of(40), target=act("waiver", 6), reason="no", by=RITA, at=at(95))
    )
    assert [each.because for each in bank.gate(HOUSE).waivers] == ["it was retracted"]


def test_a_waiver_of_another_model_does_nothing(bank):
    from whole_model import content

    from provgraph.records import Entity

    other = Entity(kind="model", digest=content("another"))
    bank.record(changed(WAIVER, model=other))
    assert bank.gate(HOUSE).waivers == ()


@pytest.mark.parametrize(
    ("target", "by", "counts"),
    [
        (MODEL_IRI, RITA, True),
        (NAME_IRI, RITA, True),
        # Whoever gives a role to themselves has none.
        (MODEL_IRI, GRACE, False),
        (MODEL_IRI, None, False),
    ],
)
def test_a_role_is_held_by_whom_somebody_else_assigned(bank, target, by, counts):
    bank.record(
        Assignment(
            id=uuid_of(41), target=target, agent=GRACE, role="risk-officer", by=by, at=at(60)
        ),
        key=by,
    )
    bank.record(WAIVER)
    verdict = bank.gate(ASSIGNED)
    assert [each.is_honoured for each in verdict.waivers] == [counts]


def test_a_role_that_ended(bank):
    bank.record(
        Assignment(
            id=uuid_of(42),
            target=MODEL_IRI,
            agent=GRACE,
            role="risk-officer",
            valid_until=at(5000),
            by=RITA,
            at=at(60),
        ),
        key=RITA,
    )
    bank.record(WAIVER)
    assert [each.is_honoured for each in bank.gate(ASSIGNED).waivers] == [False]


def vouched(profile: str) -> Profile:
    return parse_profile(f"{TEXT}[decisions]\n{profile}\n".encode(), where="house.toml")


@pytest.mark.parametrize(
    ("rules", "counts"),
    [
        ('vouching = ["vera@acme.example"]', True),
        ('keys = "any"', True),
        ('vouching = ["rita@acme.example"]', False),
    ],
)
def test_a_key_that_vouches_for_others(bank, rules, counts):
    bank.record(WAIVER, key=VERA)
    assert [each.is_honoured for each in bank.gate(vouched(rules)).waivers] == [counts]


def test_words_that_another_record_puts_into_a_waiver_do_not_count(bank):
    """A second record claims that the expired waiver ends later."""
    expired = changed(WAIVER, expires=at(200))
    longer = changed(WAIVER, expires=NOW + timedelta(days=5))
    bank.record(expired)
    from provgraph.service.recording import write_record

    write_record(bank.settings, longer, record_id=uuid_of(43), signer=bank.keys[VERA.name])
    verdict = bank.gate(HOUSE)
    assert failures(verdict) == {"intended-use": "missing"}
    assert sorted(each.is_honoured for each in verdict.waivers) == [False, False]
