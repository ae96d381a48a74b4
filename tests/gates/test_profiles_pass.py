"""A model of which everything is known passes every profile; one without anything passes none."""

from __future__ import annotations

import pytest
from whole_model import MODEL, Bank, at, bank_at, failures, uuid_of, whole_bank

from provgraph.query.requirements import load_profile, profile_names
from provgraph.records import Generation, Run

NAMES = (
    "eu-ai-act-high-risk",
    "fda-gmlp",
    "iso-42001",
    "minimal",
    "nist-ai-rmf",
    "owasp-aisvs-1.0",
    "sr-26-2",
)


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> Bank:
    return whole_bank(tmp_path_factory.mktemp("whole") / "home")


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Bank:
    bank = bank_at(tmp_path_factory.mktemp("bare") / "home")
    made = (Generation(entity=MODEL, role="model"),)
    bank.record(Run(id=uuid_of(1), name="x", status="completed", started_at=at(0), generated=made))
    return bank


def test_these_profiles_come_with_it():
    assert profile_names() == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_which_everything_is_known_passes(bank, name):
    verdict = bank.gate(name)
    assert (failures(verdict), verdict.verdict) == ({}, "passed")
    assert len(verdict.findings) >= len(load_profile(name).requirements)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_which_nothing_is_known_fails(bare, name):
    assert bare.gate(name).verdict == "failed"


def test_what_is_not_recorded_is_missing_one_by_one(bare):
    assert failures(bare.gate("minimal")) == dict.fromkeys(
        (
            "owner",
            "source-code",
            "environment",
            "parameters",
            "data",
            "data-digest",
            "licence",
            "origin",
            "evaluation",
            "evaluation-data",
            "evaluation-size",
            "validation",
            "licence-conflict",
            "consent",
            "train-test",
            "thresholds",
        ),
        "missing",
    )
