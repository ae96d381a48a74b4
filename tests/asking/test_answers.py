"""What an answer says of itself: evidence, seals, completeness, erasures, and the ledger as it was."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from story import THIRD as THIRD_RUN
from story import Home, at, home_at, tell, uuid_of

import provgraph
from provgraph import vocab
from provgraph.errors import NotFoundError, ProvgraphError, UsageError
from provgraph.query import evidence
from provgraph.query.answer_json import answer_json
from provgraph.query.answers import Answer
from provgraph.query.catalogue import find
from provgraph.seal.proof import parse_proof_config
from provgraph.service.asking import Reader, open_reader
from provgraph.service.erasing import Order, carry_out, plan_erasure
from provgraph.service.recording import write_record

PREPARE, SECOND, THIRD, APPROVED, DEPLOYED, OBSERVED, WITHDRAWN = (
    vocab.record_iri(uuid_of(number)) for number in (1, 3, 4, 6, 7, 8, 9)
)


@pytest.fixture(scope="module")
def home(story_folder) -> Home:
    return home_at(story_folder)


@pytest.fixture
def own_home(tmp_path: Path) -> Home:
    home = home_at(tmp_path / "home")
    tell(home)
    return home


def ask(reader: Reader, question: str, **values: str) -> Answer:
    return reader.ask(question, values, with_proofs=True)


def test_an_answer_names_the_records_that_alone_give_its_rows(home):
    with open_reader(home.settings) as reader:
        answer = ask(reader, "Q19", dataset="calls.csv")
        found = answer.proofs.evidence
        again = reader.asked(find("Q19"), {"dataset": "calls.csv"})
        alone = reader.index.select(again.text, graphs=found.records)
        without = reader.index.select(again.text, graphs=[*found.records[:1], *found.records[2:]])
    assert found.kind == "sufficient"
    assert set(found.records) == {PREPARE, SECOND, THIRD, APPROVED, DEPLOYED, OBSERVED}
    assert sorted(alone.rows, key=str) == sorted(answer.rows, key=str)
    # One record less gives another answer: the set says something.
    assert without.rows != alone.rows


def test_a_withdrawal_is_among_the_records_of_an_answer_that_shows_it(home):
    with open_reader(home.settings) as reader:
        answer = ask(reader, "Q02", model="churn:2")
    assert WITHDRAWN in answer.proofs.evidence.records
    assert answer.proofs.evidence.kind == "sufficient"


def test_an_answer_that_is_too_large_for_the_trial_does_not_claim_to_have_passed_it(
    home, monkeypatch
):
    monkeypatch.setattr(evidence, "_MAX_TRIED_ROWS", 3)
    with open_reader(home.settings) as reader:
        found = ask(reader, "Q19", dataset="calls.csv").proofs.evidence
    assert found.kind == "related"
    assert {PREPARE, SECOND, THIRD} < set(found.records)


def test_the_seals_of_the_records_are_checked(home):
    with open_reader(home.settings) as reader:
        seals = ask(reader, "Q19", dataset="calls.csv").proofs.seals
        key = reader.ledger.read(2).verification_method.partition("#")[0]
    assert {each.state for each in seals} == {"verified"}
    assert [each.position for each in seals] == sorted(each.position for each in seals)
    assert {each.key for each in seals} == {key}


def test_a_record_that_somebody_changed_in_the_file_is_told_by_its_seal(own_home):
    with open_reader(own_home.settings) as reader:
        wanted = reader.ledger.find(THIRD)
        other = reader.ledger.find(SECOND)
        reader.ask("Q15", {"model": "churn:2"})  # the index is up to date before the ledger is not
    db = sqlite3.connect(own_home.settings.ledger_path)
    db.execute(
        "UPDATE record SET graph = (SELECT graph FROM record WHERE position = ?) WHERE position = ?",
        (other, wanted),
    )
    db.commit()
    db.close()
    with open_reader(own_home.settings) as reader:
        seals = {each.record: each for each in ask(reader, "Q15", model="churn:2").proofs.seals}
    assert seals[THIRD].state == "wrong"
    assert "sha256" in seals[THIRD].reason.lower()
    assert seals[OBSERVED].state == "verified"


def test_required_facts_are_present_absent_with_reason_or_missing(home):
    with open_reader(home.settings) as reader:
        found = ask(reader, "Q02", model="churn:2").proofs.completeness
    facts = {
        name: (each.present, each.absent, each.missing) for name, each in found.required.items()
    }
    # holidays.csv is named by its address only: its digest is absent for a reason, its rows are not.
    assert facts == {"role": (9, 0, 0), "rows": (8, 0, 1), "digest": (8, 1, 0)}
    assert ("digest", "named by URI only; the bytes were not fetched") in {
        (each.field, each.reason) for each in found.absent
    }
    assert found.is_complete is False


def test_an_answer_without_rows_says_what_that_means(home):
    with open_reader(home.settings) as reader:
        answer = ask(reader, "Q01", model="sentences:3.1")
    assert answer.rows == ()
    assert answer_json(answer)["no_rows_mean"].endswith("what it rests on is unknown")


# ---- the ledger as it was ----------------------------------------------------------------------------
def test_the_same_question_at_the_same_position_gives_the_same_rows_for_ever(own_home):
    settings = own_home.settings
    with open_reader(settings) as reader:
        size = reader.ledger_size
        before = ask(reader, "Q19", dataset="calls.csv")
    # The model that was approved is trained once more, from the same data, and deployed again.
    later = replace(THIRD_RUN, id=uuid_of(40), started_at=at(90), ended_at=at(95), evaluations=())
    write_record(settings, later, record_id=uuid_of(40))
    with open_reader(settings) as reader:
        now = ask(reader, "Q13", experiment="spring")
        with reader.as_of(size) as then:
            again = ask(then, "Q19", dataset="calls.csv")
            attempts = ask(then, "Q13", experiment="spring")
        with reader.as_of(size) as then:
            third_time = ask(then, "Q19", dataset="calls.csv")
    assert (again.rows, again.columns, again.ledger_size) == (before.rows, before.columns, size)
    assert (third_time.rows, third_time.proofs.evidence) == (again.rows, again.proofs.evidence)
    assert (len(attempts.rows), len(now.rows)) == (3, 4)


def test_a_name_means_what_it_meant_then(home):
    with open_reader(home.settings) as reader:
        first = reader.ledger.find(SECOND) + 1
        with reader.as_of(first) as then:
            assert then.resolve_one("churn") != reader.resolve_one("churn")
            with pytest.raises(
                NotFoundError, match=rf"^as of ledger size {first}: nothing here is"
            ):
                then.resolve_one("churn:2")


def test_a_time_means_the_size_whose_entries_were_all_sealed_by_then(home):
    with open_reader(home.settings) as reader:
        times = [
            parse_proof_config(each).created for each in reader.ledger.proofs(0, reader.ledger_size)
        ]
        for moment in (times[5], times[5] + timedelta(microseconds=1), times[-1]):
            expected = next((i for i, time in enumerate(times) if time > moment), len(times))
            with reader.as_of(moment) as then:
                assert then.ledger_size == expected
            with reader.as_of(moment.isoformat()) as then:
                assert then.ledger_size == expected
        with pytest.raises(NotFoundError, match="nothing was recorded: the first entry is of 20"):
            with reader.as_of("2020-01-01"):
                pass


@pytest.mark.parametrize(
    ("as_of", "error", "message"),
    [
        ("soon", UsageError, "as of: expected a ledger size or a time such as"),
        (0, NotFoundError, "as of: expected a ledger size of 1 to"),
        ("99999", NotFoundError, "as of: expected a ledger size of 1 to"),
        (datetime.min, NotFoundError, "nothing was recorded"),
    ],
)
def test_what_is_no_position_is_refused(home, as_of, error, message):
    with open_reader(home.settings) as reader:
        with pytest.raises(error, match=message):
            with reader.as_of(as_of):
                pass


def test_after_an_erasure_what_the_record_said_is_gone_from_earlier_answers_too(own_home):
    settings = own_home.settings
    with open_reader(settings) as reader:
        size = reader.ledger_size
        with reader.as_of(size - 1) as then:
            before = ask(then, "Q19", dataset="calls.csv")
        folders = set((settings.index_folder.with_name("index.asof")).iterdir())
    assert folders != set()
    with open_reader(settings) as reader:
        plan = plan_erasure(reader, THIRD)
    order = Order(by="dpo@acme.example", why="it named a person", ground=None)
    assert carry_out(settings, plan, order)[1] == []
    assert settings.index_folder.with_name("index.asof").exists() is False
    with open_reader(settings) as reader, reader.as_of(size - 1) as then:
        after = ask(then, "Q19", dataset="calls.csv")
        states = {each.record: each.state for each in after.proofs.seals}
        gone = then.erased([THIRD])
    said = len(before.columns)
    assert {row[:said] for row in after.rows} < set(before.rows)
    # A column more says of the rest what was erased of the things in it.
    assert after.columns[said:] == ("erased",)
    assert (after.erased_records, before.erased_records) == (1, 0)
    assert gone[THIRD][0].reason == "it named a person"
    assert "wrong" not in states.values()


# ---- from Python -------------------------------------------------------------------------------------
def test_python_gets_rows_as_dictionaries(home):
    answer = provgraph.ask("impact", dataset="calls.csv", settings=home.settings)
    assert len(answer) == 12
    assert [row["label"] for row in answer if row["kind"] == "Model"] == ["churn", "churn"]
    assert answer[0]["kind"] == "Approval"
    assert [row["kind"] for row in answer[1:3]] == ["Dataset", "Dataset"]
    assert answer.evidence.kind == "sufficient"
    assert answer.contradictions == ()
    assert json.loads(json.dumps(answer.to_json()))["rows"][0]["kind"] == "Approval"
    then = provgraph.ask(
        "impact", dataset="calls.csv", as_of=answer.ledger_size, settings=home.settings
    )
    assert list(then) == list(answer)


def test_asking_for_nothing_that_is_known_says_what_is_near(home):
    with pytest.raises(ProvgraphError, match=r"did you mean calls\.csv"):
        provgraph.ask("Q19", dataset="call.csv", settings=home.settings)
    iri = vocab.run_iri(uuid_of(3))
    with pytest.raises(ProvgraphError, match=f"did you mean {vocab.ID}run/"):
        provgraph.ask("Q10", run=f"{iri[:-1]}9", settings=home.settings)


def test_reaching_ask_costs_nothing_until_it_is_called():
    code = "import sys, provgraph; provgraph.run; print('pyoxigraph' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
