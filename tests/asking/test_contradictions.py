"""Every rule for contradictions: a history that it must find, and one like it that it must not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from story import ADA, at, content, uuid_of

from provgraph import vocab
from provgraph.cli.main import main
from provgraph.digests import sha256_bytes
from provgraph.imported import Disagreement, Origin
from provgraph.query.contradictions import RULES
from provgraph.records import (
    Approval,
    Deployment,
    Entity,
    Evaluation,
    Generation,
    Invocation,
    Retraction,
    Run,
    Step,
    Usage,
)
from provgraph.service.asking import open_reader
from provgraph.service.recording import write_record
from provgraph.settings import load

MODEL = Entity(kind="model", digest=content("m"), name="m", version="1")
OTHER = Entity(kind="model", digest=content("o"), name="m", version="2")
DATA = Entity(kind="dataset", digest=content("d"), name="d.csv", rows=10, licence="MIT")
TEST = Entity(kind="dataset", digest=content("t"), name="t.csv")


def run(number: int, start: float, end: float, **facts: object) -> Run:
    return Run(
        id=uuid_of(number),
        name=f"run-{number}",
        project="p",
        owner=ADA,
        status="completed",
        started_at=at(start),
        ended_at=at(end),
        duration_s=1.0,
        invocation=Invocation(),
        **facts,
    )


def makes(*entities: Entity, **more: object) -> tuple[Generation, ...]:
    return tuple(Generation(entity=each, **more) for each in entities)


def uses(entity: Entity, role: str | None = None) -> Usage:
    return Usage(entity=entity, role=role)


def measured(value: float, minutes: float, **more: object) -> Evaluation:
    facts = {"model": MODEL, "data": TEST, "metric": "f1", "value": value, "at": at(minutes)}
    return Evaluation(**{**facts, **more})


def approval(minutes: float) -> Approval:
    return Approval(id=uuid_of(90), model=MODEL, by=ADA, meaning="fit", at=at(minutes))


def deployment(minutes: float, number: int = 91, **more: object) -> Deployment:
    facts = {"id": uuid_of(number), "model": MODEL, "stage": "production", "at": at(minutes)}
    return Deployment(**{**facts, **more})


def withdrawn(entity: Entity, minutes: float) -> Retraction:
    target = vocab.content_iri(entity.digest)
    return Retraction(id=uuid_of(92), target=target, reason="wrong", by=ADA, at=at(minutes))


def origin(state: str, **more: object) -> Origin:
    return Origin(
        converter="mlflow",
        converter_version="1",
        unit="mlflow/run/1",
        content=sha256_bytes(state.encode()),
        media_type="text/plain",
        **more,
    )


FIRST_RECORD = vocab.record_iri(uuid_of(500))
TWO_VALUES = Disagreement(
    about=vocab.run_iri(uuid_of(1)),
    fact="f1",
    first="0.5",
    first_place="the run",
    second="0.9",
    second_place="the model",
)
TRAINED = run(1, 0, 10, used=(uses(DATA, "train"),), generated=makes(MODEL))
REPLACING = vocab.activity_iri("deployment", uuid_of(91))
APPROVED = vocab.activity_iri("approval", uuid_of(90))

# Rule -> (records that contradict each other, records that do not).
CASES = {
    "two-digests": (
        [
            run(1, 0, 1, generated=makes(MODEL)),
            run(2, 2, 3, generated=makes(replace(OTHER, version="1"))),
        ],
        [run(1, 0, 1, generated=makes(MODEL)), run(2, 2, 3, generated=makes(OTHER))],
    ),
    "two-counts": (
        [run(1, 0, 1, used=(uses(DATA),)), run(2, 2, 3, used=(uses(replace(DATA, rows=11)),))],
        [run(1, 0, 1, used=(uses(DATA),)), run(2, 2, 3, used=(uses(DATA),))],
    ),
    "two-licences": (
        [
            run(1, 0, 1, used=(uses(DATA),)),
            run(2, 2, 3, used=(uses(replace(DATA, licence="internal use only")),)),
        ],
        [run(1, 0, 1, used=(uses(DATA),)), run(2, 2, 3, used=(uses(replace(DATA, licence=None)),))],
    ),
    "two-values": (
        [
            run(1, 0, 1, evaluations=(measured(0.9, 1),)),
            run(2, 2, 3, evaluations=(measured(0.8, 3),)),
        ],
        [
            run(
                1,
                0,
                1,
                evaluations=(
                    measured(0.9, 1),
                    measured(0.8, 1, slice="old"),
                    measured(0.7, 1, data=DATA),
                    measured(0.6, 1, metric="auc"),
                ),
            ),
            run(2, 2, 3, evaluations=(measured(0.9, 3), measured(0.5, 3, model=OTHER))),
        ],
    ),
    "end-before-start": ([run(1, 5, 1)], [run(1, 5, 5)]),
    "used-before-made": (
        [run(1, 0, 1, used=(uses(DATA),)), run(2, 5, 6, generated=makes(DATA))],
        [
            run(1, 0, 1, generated=makes(DATA)),
            run(2, 2, 3, used=(uses(DATA),)),
            run(3, 5, 6, generated=makes(DATA)),
        ],
    ),
    "made-before-run": (
        [run(1, 5, 9, generated=makes(MODEL, at=at(4)))],
        [
            run(1, 5, 9, generated=makes(MODEL, at=at(6))),
            run(2, 20, 21, generated=makes(MODEL, at=at(20))),
        ],
    ),
    "approved-before-evaluated": (
        [TRAINED, approval(20), run(2, 30, 31, evaluations=(measured(0.9, 31),))],
        [
            TRAINED,
            run(2, 15, 16, evaluations=(measured(0.9, 16),)),
            approval(20),
            run(3, 30, 31, evaluations=(measured(0.9, 31),)),
        ],
    ),
    "deployed-before-approved": (
        [TRAINED, approval(20), deployment(19, on_approval=APPROVED)],
        [TRAINED, approval(20), deployment(20, on_approval=APPROVED), deployment(1, 93)],
    ),
    "train-and-test": (
        [run(1, 0, 10, used=(uses(DATA, "train"), uses(DATA, "test")), generated=makes(MODEL))],
        [run(1, 0, 10, used=(uses(DATA, "train"), uses(TEST, "test")), generated=makes(MODEL))],
    ),
    "withdrawn-and-deployed": (
        [TRAINED, deployment(11), withdrawn(MODEL, 12)],
        [
            TRAINED,
            deployment(11),
            withdrawn(MODEL, 12),
            deployment(13, 93, model=OTHER, replaces=REPLACING),
        ],
    ),
    "used-after-withdrawal": (
        [TRAINED, withdrawn(DATA, 12), run(2, 20, 21, used=(uses(DATA),))],
        [TRAINED, withdrawn(DATA, 12)],
    ),
    "source-disagrees": (
        [(run(1, 0, 10), origin("a", disagreements=(TWO_VALUES,)))],
        [(run(1, 0, 10), origin("a"))],
    ),
    "source-changed": (
        [
            (run(1, 0, 10, metrics={"f1": 0.5}), origin("a")),
            (run(1, 0, 10, metrics={"f1": 0.9}), origin("b", supersedes=FIRST_RECORD)),
        ],
        [
            (run(1, 0, 10, metrics={"f1": 0.5}), origin("a")),
            (
                run(1, 0, 10, metrics={"f1": 0.5}, tags={"new": "tag"}),
                origin("b", supersedes=FIRST_RECORD),
            ),
        ],
    ),
}


@pytest.fixture
def tell(tmp_path: Path) -> Callable[..., list[str]]:
    def told(records: list[object], thing: str | None = None) -> list[str]:
        settings = load({"PROVGRAPH_HOME": str(tmp_path / f"home-{len(list(tmp_path.iterdir()))}")})
        for number, item in enumerate(records):
            record, came_from = item if isinstance(item, tuple) else (item, None)
            write_record(settings, record, record_id=uuid_of(500 + number), origin=came_from)
        with open_reader(settings) as reader:
            rows = reader.ask("Q32", {} if thing is None else {"thing": thing}).rows
        return [row[0].strip('"') for row in rows]

    return told


def test_every_rule_has_its_cases():
    assert CASES.keys() == RULES.keys()


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_what_cannot_both_be_right(tell, rule):
    assert tell(CASES[rule][0]).count(rule) == 1


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_leaves_alone_what_is_no_contradiction(tell, rule):
    assert tell(CASES[rule][1]).count(rule) == 0


def test_a_metric_of_the_training_data_itself_is_no_test(tell):
    evaluated = run(2, 11, 12, evaluations=(measured(0.9, 12, data=DATA, role="train"),))
    assert tell([TRAINED, evaluated]) == []


def test_data_that_a_model_was_trained_and_evaluated_on_is_found(tell):
    evaluated = run(2, 11, 12, evaluations=(measured(0.9, 12, data=DATA),))
    assert tell([TRAINED, evaluated]) == ["train-and-test"]


def test_a_step_that_ended_before_it_began_is_found(tell):
    step = Step(number=1, parent=None, name="s", started_at=at(3), ended_at=at(2))
    assert tell([run(1, 0, 5, steps=(step,))]) == ["end-before-start"]


def test_contradictions_about_one_thing_are_those_around_it(tell):
    around = [*CASES["two-digests"][0], run(7, 9, 3), *CASES["two-counts"][0][:0]]
    assert tell(around) == ["end-before-start", "two-digests"]
    assert tell(around, f"sha256:{content('m').value}") == ["two-digests"]


def test_an_answer_shows_the_contradictions_that_touch_it(tmp_path):
    settings = load({"PROVGRAPH_HOME": str(tmp_path / "home")})
    for number, record in enumerate(CASES["train-and-test"][0]):
        write_record(settings, record, record_id=uuid_of(500 + number))
    with open_reader(settings) as reader:
        answer = reader.ask("Q02", {"model": "m:1"}, with_proofs=True)
    (found,) = answer.proofs.contradictions
    data = vocab.content_iri(DATA.digest)
    assert (found.rule, found.thing, found.first, found.second) == (
        "train-and-test",
        data,
        "train",
        "test",
    )
    assert found.records == (vocab.record_iri(uuid_of(500)),)


def test_show_names_the_rule_the_statements_and_the_records(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path))
    receipts = [
        write_record(load(), record, record_id=record.id) for record in CASES["two-counts"][0]
    ]
    assert main(["show", "d.csv"]) == 0
    said = capsys.readouterr().out
    assert (
        "contradiction two-counts: d.csv: one content is said to have two different numbers of"
        " rows, columns or bytes (rowCount: 10 and 11)" in said
    )
    for receipt in receipts:
        assert f"  said by {receipt.record.removeprefix(vocab.ID)}\n" in said
    assert main(["show", "d.csv", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["contradictions"]
    assert (found["rule"], found["meaning"]) == ("two-counts", RULES["two-counts"])
    assert (found["fact"], found["first"], found["second"]) == ("rowCount", "10", "11")
    assert found["records"] == sorted(receipt.record for receipt in receipts)


def test_show_says_of_no_contradiction_where_there_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path))
    for record in CASES["two-counts"][1]:
        write_record(load(), record, record_id=record.id)
    assert main(["show", "d.csv"]) == 0
    assert "contradiction" not in capsys.readouterr().out
    assert main(["show", "d.csv", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["contradictions"] == []
