"""Facts as JSON and what they add up to: nothing is lost on the way, and damage stays where it is."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest
import record_strategies  # noqa: F401 - registers how records are made
from hypothesis import given, settings
from hypothesis import strategies as st

from provgraph.capture.facts import decode, encode
from provgraph.capture.state import ABANDONED_REASON, Ending, RunState, Start, replay
from provgraph.errors import FormatError
from provgraph.records import (
    Agent,
    Approval,
    Deployment,
    Entity,
    Environment,
    Evaluation,
    Missing,
    Note,
    Observation,
    Package,
    Retraction,
    Run,
    Usage,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
START = {
    "f": "start",
    "version": 1,
    "run": "r1",
    "record": "c1",
    "name": "train",
    "at": "2026-01-02T03:04:05.678901Z",
}


def state(*facts: dict) -> RunState:
    return replay([START, *facts])


def only_run(*facts: dict) -> Run:
    return state(*facts).run()[0]


# ---- facts ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [Run, Deployment, Observation, Approval, Retraction])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_record_of_any_content_travels_through_json_without_loss(kind, data):
    record = data.draw(st.from_type(kind))
    text = json.dumps(encode(record))
    again = decode(kind, json.loads(text))
    assert repr(again) == repr(record)  # repr: NaN is not equal to itself


def test_defaults_are_left_out():
    assert encode(Entity(name="x")) == {"name": "x"}
    assert encode(Usage(entity=Entity(), at=AT)) == {
        "entity": {},
        "at": "2026-01-02T03:04:05.678901Z",
    }
    assert encode(Evaluation(model=None, data=None, metric="auc", value=0.5)) == {
        "model": None,
        "data": None,
        "metric": "auc",
        "value": 0.5,
    }


def test_only_parts_of_records_are_encoded():
    with pytest.raises(FormatError, match="expected a part of a record, found a object"):
        encode(Note(text=object()))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Note, {"text": 5}),
        (Note, {"text": None}),
        (Note, {}),
        (Note, {"text": "x", "surprise": 1}),
        (Note, {"text": "x", "at": "yesterday"}),
        (Note, {"text": "x", "at": "2026-01-02T03:04:05"}),
        (Note, "text"),
        (Note, None),
        (Entity, {"digest": "md5"}),
        (Entity, {"digest": 5}),
        (Entity, {"rows": "5"}),
        (Entity, {"rows": True}),
        (Entity, {"missing": {"field": "x"}}),
        (Evaluation, {"model": None, "data": None, "metric": "auc", "value": "0.5"}),
        (Evaluation, {"model": None, "data": None, "metric": "auc", "value": 1, "interval": [1]}),
        (dict[str, int], {"a": 1.5}),
        (dict[str, int], [1]),
        (float, 10**400),
    ],
)
def test_json_of_another_form_is_refused(kind, value):
    with pytest.raises(FormatError, match="in a journal, found"):
        decode(kind, value)


# ---- the state ------------------------------------------------------------------------------------------------
def test_a_start_alone_is_an_abandoned_run():
    assert only_run() == Run(
        id="r1",
        name="train",
        status="abandoned",
        reason=ABANDONED_REASON,
        started_at=AT,
        ended_at=AT,
    )
    assert (state().run_id, state().record_id) == ("r1", "c1")


def test_every_kind_of_fact_has_its_place():
    environment = Environment(
        python="3.11",
        implementation="CPython",
        operating_system="Debian 12",
        kernel="Linux 6",
        architecture="x86_64",
        packages=(Package(name="numpy", version="2.0"),),
    )
    full_start = encode(
        Start(
            version=1,
            run="r1",
            record="c1",
            name="train",
            at=AT,
            project="churn",
            experiment="e",
            owner=Agent(name="ada"),
            plan="the plan",
            parent="p1",
            resumes="r0",
            rank=1,
            world_size=2,
        )
    )
    later = "2026-01-02T03:05:00Z"
    run, attachments = replay(
        [
            {"f": "start", **full_start},
            {"f": "environment", "text": json.dumps(encode(environment))},
            {"f": "invocation", "value": {"host": "h", "rank": 7, "world_size": 8}},
            {"f": "source", "value": {"commit": "abc"}},
            {"f": "parameters", "value": {"depth": 6}},
            {"f": "tags", "value": {"team": "risk"}},
            {"f": "use", "value": {"entity": {"name": "x"}}, "at": later},
            {"f": "generate", "value": {"entity": {"name": "y"}, "derived_from": []}},
            {"f": "evaluation", "value": {"model": None, "data": None, "metric": "m", "value": 1}},
            {"f": "note", "value": {"text": "n"}},
            {"f": "missing", "value": {"field": "f", "reason": "r"}},
            {"f": "missing", "value": {"field": "f", "reason": "r"}},
            {"f": "metrics", "v": {"loss": 0.5}, "t": 1000},
            {"f": "step", "n": "a", "name": "clean", "at": later, "parameters": {"p": True}},
            {"f": "step", "n": "b", "s": "a", "name": "inner", "at": later},
            {"f": "rows", "s": "a", "in": 5},
            {"f": "filter", "s": "a", "value": {"condition": "c"}},
            {"f": "metrics", "s": "b", "v": {"loss": 0.25}, "t": 1000, "n": 3},
            {"f": "end", "s": "a", "ended_at": later, "duration_s": 1.5, "status": "completed"},
            {
                "f": "end",
                "ended_at": later,
                "duration_s": 54.3,
                "status": "failed",
                "reason": "x",
                "exit_code": 3,
            },
        ]
    ).run()
    assert attachments == {}
    assert (run.project, run.experiment, run.owner, run.plan) == (
        *("churn", "e"),
        Agent(name="ada"),
        "the plan",
    )
    assert (run.parent, run.resumes, run.rank, run.world_size) == ("p1", "r0", 1, 2)
    assert (run.environment, run.invocation.host, run.source_code.commit) == (
        environment,
        "h",
        "abc",
    )
    assert (run.parameters, run.tags, run.metrics) == (
        {"depth": 6},
        {"team": "risk"},
        {"loss": 0.5},
    )
    assert run.used == (Usage(entity=Entity(name="x")),)
    assert run.generated[0].derived_from == ()
    assert run.evaluations[0].value == 1.0
    assert run.notes == (Note(text="n"),)
    assert run.missing == (Missing(field="f", reason="r"),)
    assert (run.status, run.reason, run.exit_code, run.duration_s) == ("failed", "x", 3, 54.3)
    outer, inner = run.steps
    assert (outer.number, outer.parent, outer.name, outer.parameters) == (
        1,
        None,
        "clean",
        {"p": True},
    )
    assert (outer.rows_in, outer.filters[0].condition, outer.status) == (5, "c", "completed")
    assert (inner.number, inner.parent, inner.metrics) == (2, 1, {"loss": 0.25})
    assert (inner.status, inner.reason) == ("abandoned", "the run ended inside this step")


def test_rank_comes_from_the_surroundings_where_it_was_not_given():
    run = only_run({"f": "invocation", "value": {"rank": 7, "world_size": 8}})
    assert (run.rank, run.world_size) == (7, 8)


def test_an_abandoned_run_ends_with_the_last_time_it_mentioned():
    last_ms = int(AT.timestamp() * 1000) + 90_000
    run = only_run(
        {"f": "note", "value": {"text": "n"}, "at": "2026-01-02T03:04:30Z"},
        {"f": "metrics", "v": {"loss": math.nan}, "t": last_ms},
        {"f": "note", "value": {"text": "n"}, "at": "2026-01-02T03:04:10Z"},
    )
    assert run.ended_at == datetime.fromtimestamp(last_ms / 1000, UTC)
    run = only_run({"f": "note", "value": {"text": "n"}, "at": "2025-01-01T00:00:00Z"})
    assert run.ended_at == AT


DAMAGED = [
    {"f": "use"},
    {"f": "use", "value": {"entity": 5}},
    {"f": "use", "value": {"entity": {}}, "s": 99},
    {"f": "metrics", "v": {"loss": "high"}, "t": 0},
    {"f": "metrics", "v": {"loss": 1.0}, "t": "now"},
    {"f": "metrics", "v": {"loss": 1.0}, "t": 0, "n": 2**80},
    {"f": "metrics", "v": [1], "t": 0},
    {"f": "parameters", "value": {"a": None}},
    {"f": "parameters", "value": {"a": [1]}},
    {"f": "tags", "value": {"a": 1}},
    {"f": "rows", "in": "5"},
    {"f": "step", "n": 1, "name": 5, "at": "2026-01-02T03:05:00Z"},
    {"f": "step", "n": 0, "name": "x", "at": "2026-01-02T03:05:00Z"},
    {"f": "step", "n": [1], "name": "x", "at": "2026-01-02T03:05:00Z"},
    {"f": "step", "n": 1, "s": 9, "name": "x", "at": "2026-01-02T03:05:00Z"},
    {"f": "end", "ended_at": "then", "duration_s": 1, "status": "completed"},
    {"f": "end", "ended_at": "2026-01-02T03:05:00Z", "duration_s": None, "status": "completed"},
    {"f": "environment", "text": "{}"},
    {"f": "environment", "text": "not json"},
    {"f": "environment"},
    {"f": "start", **{key: value for key, value in START.items() if key != "f"}},
    {"f": "from the future"},
    {"f": ["use"]},
    {},
]


@pytest.mark.parametrize("fact", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_fact_is_refused_and_changes_nothing(fact):
    damaged = state()
    with pytest.raises(FormatError):
        damaged.apply(fact)
    assert damaged.run() == state().run()


def test_replay_makes_damaged_facts_missing_ones():
    run = only_run(
        {"f": "note", "value": {"text": "before"}},
        {"f": "note", "value": {"text": 5}},
        {"f": "sorcery"},
        {"f": "note", "value": {"text": "after"}},
    )
    assert [note.text for note in run.notes] == ["before", "after"]
    assert [each.field for each in run.missing] == ["journal", "journal"]
    assert run.missing[0].reason.startswith("expected Note in a journal, found {'text': 5}")
    assert run.missing[1].reason == (
        "unknown kind of fact 'sorcery': the journal is from a later version"
    )


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([], "expected a start fact at the head of a journal, found none"),
        ([{"f": "note", "value": {"text": "x"}}], "damaged fact"),
        ([{**START, "version": 2}], "journal version 2 is newer than this provgraph understands"),
        ([{**START, "version": 2, "novelty": True}], "upgrade provgraph to seal it"),
        ([{**START, "at": "then"}], "Invalid isoformat string: 'then'"),
        ([{**START, "name": None}], "expected Start in a journal"),
        ([{**START, "surprise": 1}], "expected Start in a journal"),
    ],
)
def test_without_a_start_nothing_can_be_said(facts, message):
    with pytest.raises(FormatError, match=message):
        replay(facts)
    with pytest.raises(FormatError, match="expected a start fact"):
        RunState().run()


def test_an_ending_of_a_step_and_of_the_run_are_told_apart():
    ending = encode(Ending(ended_at=AT, duration_s=1.0, status="completed"))
    run = only_run(
        {"f": "step", "n": 1, "name": "x", "at": "2026-01-02T03:05:00Z"},
        {"f": "end", "s": 1, **ending},
    )
    assert (run.status, run.steps[0].status) == ("abandoned", "completed")
