"""Runs that go on from an earlier one: by id, or from the latest that did not complete."""

from __future__ import annotations

import signal

import pytest
from readback import facts_of, journals, python, runs

import provgraph
from provgraph import vocab

KILLED = """
import sys, provgraph
with provgraph.run("train", project="churn", owner="ada") as run:
    run.log_metrics(loss=0.5, step=3)
    print(run.id, flush=True)
    sys.stdin.readline()
"""


def resumed(name: str, *, resume: object = True, project: str | None = None) -> str | None:
    """Record a run that resumes, and return the id of the run that it goes on from."""
    with provgraph.run(name, project=project, resume=resume, owner="ada") as run:
        pass
    facts = facts_of(run.receipt)
    iri = facts.one(facts.run, "resumes")
    around = [facts.one(facts.run, "parentRun"), iri]
    assert set(facts.of(facts.run, "prov:wasInformedBy")) == {each for each in around if each}
    return None if iri is None else iri.removeprefix(f"{vocab.ID}run/")


def failed(name: str, *, project: str | None = None) -> str:
    with (
        pytest.raises(RuntimeError),
        provgraph.run(name, project=project, owner="ada") as run,
    ):
        raise RuntimeError("out of memory")
    return run.id


@pytest.mark.usefixtures("home")
def test_by_id_or_iri_of_any_run():
    earlier = failed("train")
    assert resumed("train", resume=earlier) == earlier
    assert resumed("other", resume=f"{vocab.ID}run/{earlier}") == earlier
    assert resumed("train", resume=False) is None


@pytest.mark.usefixtures("home")
def test_true_finds_nothing_in_an_empty_home():
    assert resumed("train") is None


@pytest.mark.usefixtures("home")
def test_true_is_the_latest_of_that_name_if_it_did_not_complete():
    failed("train")
    second = failed("train")
    failed("score")
    assert resumed("train") == second
    # That one completed, so there is nothing to go on from.
    assert resumed("train") is None


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("project", ["churn", "café ü", 'quo"te', "🚀"])
def test_true_looks_in_its_own_project_only(project):
    ours = failed("train", project=project)
    failed("train", project="another")
    nowhere = failed("train")
    assert resumed("train", project=project) == ours
    assert resumed("train") == nowhere
    assert resumed("train", project="third") is None


@pytest.mark.usefixtures("home")
def test_true_goes_on_from_a_run_that_was_killed_and_that_nobody_has_looked_at():
    process = python(KILLED)
    run_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert len(journals()) == 1
    assert resumed("train", project="churn") == run_id
    assert [facts.one(facts.run, "status") for facts in runs()] == ["abandoned", "completed"]


@pytest.mark.usefixtures("home")
def test_true_does_not_go_on_from_a_run_that_is_still_going():
    with provgraph.run("train", owner="ada"):
        assert resumed("train") is None


@pytest.mark.usefixtures("home")
def test_a_name_that_was_redacted_or_is_odd_is_found_again():
    name = "train password=hunter2 \ud800"
    assert resumed(name, resume=False) is None
    earlier = failed(name)
    assert resumed(name) == earlier


def test_a_ledger_that_cannot_be_read_costs_only_the_link(careful_home, caplog):
    careful_home.mkdir()
    (careful_home / "ledger.db").write_bytes(b"this is no ledger" * 1000)
    with provgraph.run("train", owner="ada", resume=True) as run:
        run.log_params(depth=6)
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("provgraph: not recorded: resumes: LedgerError: ledger ")
    assert said[1].startswith(f"provgraph: run {run.id} is not in the ledger yet: LedgerError: ")
    assert said[1].endswith(f"{journals()[0]}; `provgraph recover` seals them")
    (careful_home / "ledger.db").unlink()
    with provgraph.run("next", owner="ada", resume=True):
        pass
    first, second = runs()
    assert (first.one(first.run, "rdfs:label"), first.parameters()) == ("train", {"depth": "6"})
    assert first.missing()["resumes"].startswith("LedgerError: ledger ")
    assert second.one(second.run, "resumes") is None
