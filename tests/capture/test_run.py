"""A run as a block and as a decorator: what it is called, how it ends, what is around it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import platform
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from readback import facts_of, records, runs, verified

import provgraph
from provgraph import vocab
from provgraph.capture.run import Run

VERSION_7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.mark.usefixtures("home")
def test_a_block_is_a_completed_run_with_what_was_said_of_it():
    with provgraph.run(
        "train",
        project="churn",
        experiment="baseline",
        owner="ada@example.org",
        plan="https://example.org/plan",
        tags={"team": "risk", "try": 2},
    ) as run:
        assert run.receipt is None
    facts = facts_of(run.receipt)
    assert facts.run == f"{vocab.ID}run/{run.id}"
    said = {
        name: facts.one(facts.run, name)
        for name in ("rdfs:label", "project", "experiment", "status", "reason", "exitCode", "plan")
    }
    assert said == {
        "rdfs:label": "train",
        "project": "churn",
        "experiment": "baseline",
        "status": "completed",
        "reason": None,
        "exitCode": None,
        "plan": "https://example.org/plan",
    }
    assert facts.tags() == {"team": "risk", "try": "2"}
    (owner,) = facts.of(facts.run, "prov:wasAssociatedWith")
    assert facts.one(owner, "rdfs:label") == "ada@example.org"
    assert run.receipt is not None
    assert run.receipt.ledger_size == run.receipt.position + 1 == verified().size
    assert os.listdir(os.environ["PROVGRAPH_HOME"] + "/journal") == []


@pytest.mark.usefixtures("home")
def test_without_an_owner_this_is_said_and_with_the_setting_it_is_not(monkeypatch):
    with provgraph.run("train") as run:
        pass
    assert facts_of(run.receipt).missing()["owner"] == (
        "no owner was given; pass owner= or set PROVGRAPH_OWNER"
    )
    monkeypatch.setenv("PROVGRAPH_OWNER", "grace@example.org")
    with provgraph.run("train") as run:
        pass
    facts = facts_of(run.receipt)
    assert "owner" not in facts.missing()
    assert [
        facts.one(each, "rdfs:label") for each in facts.of(facts.run, "prov:wasAssociatedWith")
    ] == ["grace@example.org"]


@pytest.mark.usefixtures("home")
def test_a_decorator_records_every_call_and_returns_what_the_function_returns():
    @provgraph.run("fit", owner="ada")
    def fit(depth: int, *, rate: float = 0.1) -> float:
        """Fit."""
        run = provgraph.current_run()
        assert run is not None
        run.log_params(depth=depth, rate=rate)
        return depth * rate

    assert fit.__doc__ == "Fit."
    assert (fit(2), fit(3, rate=0.5)) == (0.2, 1.5)
    assert provgraph.current_run() is None
    assert [facts.parameters() for facts in runs()] == [
        {"depth": "2", "rate": "0.1"},
        {"depth": "3", "rate": "0.5"},
    ]


@pytest.mark.usefixtures("home")
def test_a_bare_decorator_takes_the_name_of_the_function():
    @provgraph.run
    def clean_up(value: int) -> int:
        return value + 1

    assert clean_up(1) == 2
    assert [facts.one(facts.run, "rdfs:label") for facts in runs()] == ["clean_up"]


def test_a_name_of_any_kind_raises_nothing(careful_home):
    # An array has no truth value, and a partial, though it can be called, no name.
    with provgraph.run(np.arange(2), owner="ada"):
        pass
    provgraph.run(functools.partial(int, 1), owner="ada")()
    names = [facts.one(facts.run, "rdfs:label") for facts in runs()]
    assert names == ["array([0, 1])", Path(sys.modules["__main__"].__file__).stem]


@pytest.mark.usefixtures("home")
def test_a_run_without_a_name_takes_that_of_the_script():
    with provgraph.run(owner="ada") as run:
        pass
    facts = facts_of(run.receipt)
    assert facts.one(facts.run, "rdfs:label") == Path(sys.modules["__main__"].__file__).stem


@pytest.mark.usefixtures("home")
def test_the_run_of_a_coroutine_lasts_until_it_returns():
    @provgraph.run("fit", owner="ada")
    async def fit(value: int) -> int:
        before = provgraph.current_run()
        await asyncio.sleep(0)
        assert provgraph.current_run() is before
        before.log_metrics(value=value)
        return value * 2

    async def both() -> list[int]:
        return await asyncio.gather(fit(1), fit(2))

    assert asyncio.run(both()) == [2, 4]
    assert sorted(facts.metrics()["value"] for facts in runs()) == ["1", "2"]
    assert [facts.one(facts.run, "parentRun") for facts in runs()] == [None, None]


@pytest.mark.usefixtures("home")
def test_the_run_of_a_generator_lasts_until_its_last_item():
    @provgraph.run("read", owner="ada")
    def read(count: int) -> Iterator[int]:
        yield from range(count)
        provgraph.current_run().log_metrics(count=count)

    @provgraph.run("stream", owner="ada")
    async def stream(count: int) -> AsyncIterator[int]:
        for item in range(count):
            yield item

    async def collect() -> list[int]:
        return [item async for item in stream(2)]

    assert list(read(3)) == [0, 1, 2]
    assert asyncio.run(collect()) == [0, 1]
    assert [(facts.one(facts.run, "rdfs:label"), facts.metrics()) for facts in runs()] == [
        ("read", {"count": "3"}),
        ("stream", {}),
    ]


@pytest.mark.usefixtures("home")
def test_a_generator_that_is_left_early_is_an_abandoned_run():
    @provgraph.run("read", owner="ada")
    def read() -> Iterator[int]:
        yield 1
        yield 2

    items = read()
    assert next(items) == 1
    items.close()
    (facts,) = runs()
    assert facts.one(facts.run, "status") == "abandoned"


@pytest.mark.usefixtures("home")
def test_a_run_inside_a_run_has_it_as_its_parent():
    with provgraph.run("search", owner="ada") as outer:
        assert provgraph.current_run() is outer
        with provgraph.run("trial", owner="ada") as inner:
            assert provgraph.current_run() is inner
        assert provgraph.current_run() is outer
    facts = facts_of(inner.receipt)
    assert facts.of(facts.run, "parentRun") == [f"{vocab.ID}run/{outer.id}"]
    assert facts.of(facts.run, "prov:wasInformedBy") == [f"{vocab.ID}run/{outer.id}"]
    facts = facts_of(outer.receipt)
    assert facts.of(facts.run, "parentRun") == []


@pytest.mark.usefixtures("home")
def test_a_parent_can_be_given_as_run_as_id_or_as_iri():
    with provgraph.run("search", owner="ada") as outer:
        pass
    found = []
    for parent in (outer, outer.id, f"{vocab.ID}run/{outer.id}"):
        with provgraph.run("trial", owner="ada", parent=parent) as run:
            pass
        facts = facts_of(run.receipt)
        found.append(facts.one(facts.run, "parentRun"))
    assert found == [f"{vocab.ID}run/{outer.id}"] * 3


@pytest.mark.usefixtures("home")
def test_runs_of_sibling_threads_are_not_each_others_children():
    inside, done = threading.Barrier(3), threading.Barrier(3)
    opened: list[Run] = []

    def trial() -> None:
        with provgraph.run("trial", owner="ada") as run:
            opened.append(run)
            inside.wait(30)
            done.wait(30)

    threads = [threading.Thread(target=trial) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(30)
    done.wait(30)
    for thread in threads:
        thread.join()
    assert [facts_of(run.receipt).of(f"{vocab.ID}run/{run.id}", "parentRun") for run in opened] == [
        [],
        [],
    ]
    assert "PROVGRAPH_PARENT_RUN" not in os.environ


@pytest.mark.usefixtures("home")
def test_threads_can_share_what_run_returned_and_each_ends_its_own():
    factory = provgraph.run("trial", owner="ada")
    first_in, second_out = threading.Event(), threading.Event()
    seen: list[tuple[str, str]] = []

    def first() -> None:
        with factory as run:
            first_in.set()
            second_out.wait(30)
            run.log_params(who="first")
        seen.append(("first", run.id))

    def second() -> None:
        first_in.wait(30)
        with contextlib.suppress(ValueError), factory as run:
            seen.append(("second", run.id))
            raise ValueError("only the second fails")
        second_out.set()

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = dict(seen)
    assert {facts.run.rsplit("/", 1)[-1]: facts.one(facts.run, "status") for facts in runs()} == {
        ids["first"]: "completed",
        ids["second"]: "failed",
    }


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("before", [None, "01890000-0000-7000-8000-000000000000"])
def test_the_variable_for_child_processes_is_set_and_restored(before, monkeypatch):
    if before is not None:
        monkeypatch.setenv("PROVGRAPH_PARENT_RUN", before)
    with provgraph.run("a", owner="ada") as outer:
        assert os.environ["PROVGRAPH_PARENT_RUN"] == outer.id
        with provgraph.run("b", owner="ada") as inner:
            assert os.environ["PROVGRAPH_PARENT_RUN"] == inner.id
        assert os.environ["PROVGRAPH_PARENT_RUN"] == outer.id
    assert os.environ.get("PROVGRAPH_PARENT_RUN") == before
    facts = facts_of(outer.receipt)
    assert facts.one(facts.run, "parentRun") == (before and f"{vocab.ID}run/{before}")


@pytest.mark.usefixtures("home")
def test_runs_that_end_in_another_order_leave_nothing_behind():
    first, second = provgraph.run("a", owner="ada"), provgraph.run("b", owner="ada")
    first.__enter__()
    run = second.__enter__()
    first.__exit__(None, None, None)
    assert os.environ["PROVGRAPH_PARENT_RUN"] == run.id
    assert provgraph.current_run() is run
    second.__exit__(None, None, None)
    assert "PROVGRAPH_PARENT_RUN" not in os.environ
    assert provgraph.current_run() is None


class StubbornError(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def _fail_in_here() -> None:
    raise ValueError("bad batch, password=hunter2-very-secret")


@pytest.mark.usefixtures("home")
def test_a_failed_run_keeps_the_reason_and_the_place_and_the_exception_goes_on():
    with (
        pytest.raises(ValueError, match="bad batch") as caught,
        provgraph.run("train", owner="ada") as run,
    ):
        _fail_in_here()
    assert caught.value.args == ("bad batch, password=hunter2-very-secret",)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    facts = facts_of(run.receipt)
    line = _fail_in_here.__code__.co_firstlineno + 1
    assert facts.one(facts.run, "status") == "failed"
    assert facts.one(facts.run, "reason") == (
        f"ValueError: bad batch, password=[redacted] (in _fail_in_here, test_run.py:{line})"
    )
    assert facts.one(facts.run, "exitCode") is None


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("error", "status", "reason", "exit_code"),
    [
        (SystemExit(), "completed", None, "0"),
        (SystemExit(0), "completed", None, "0"),
        (SystemExit(3), "failed", "SystemExit: 3", "3"),
        (SystemExit(True), "failed", "SystemExit: True", "1"),
        (SystemExit("no data"), "failed", "SystemExit: no data", "1"),
        (KeyboardInterrupt(), "abandoned", "interrupted by the user", None),
        (asyncio.CancelledError(), "abandoned", "CancelledError", None),
        (GeneratorExit(), "abandoned", "GeneratorExit", None),
        (StubbornError(), "failed", "StubbornError", None),
        (ValueError(), "failed", "ValueError", None),
    ],
    ids=repr,
)
def test_how_a_run_ended(error, status, reason, exit_code):
    with pytest.raises(type(error)) as caught, provgraph.run("train", owner="ada") as run:
        raise error
    assert caught.value is error
    facts = facts_of(run.receipt)
    found = facts.one(facts.run, "reason")
    found = None if found is None else found.partition(" (in ")[0]
    assert (facts.one(facts.run, "status"), found, facts.one(facts.run, "exitCode")) == (
        status,
        reason,
        exit_code,
    )


class Clock:
    """A clock that a test sets."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def _run_by(sink_home: Path, wall: Clock, steady: Clock) -> Run:
    from provgraph.service.api import _LazySink
    from provgraph.settings import load

    return Run(
        _LazySink(load({"PROVGRAPH_HOME": str(sink_home)})),
        name="train",
        owner="ada",
        strict=True,
        clock=wall,
        monotonic=steady,
    )


def test_a_clock_that_is_set_back_changes_neither_duration_nor_order(home):
    wall, steady = Clock(1_700_000_000.0), Clock(50.0)
    with _run_by(home, wall, steady) as run:
        wall.seconds -= 3600
        steady.seconds += 60
        run.note("set back")
        with run.step("clean"):
            steady.seconds += 2
            wall.seconds += 2
        wall.seconds += 10
        steady.seconds += 10
    facts = facts_of(run.receipt)
    assert {
        name: facts.one(facts.run, name)
        for name in ("prov:startedAtTime", "prov:endedAtTime", "durationSeconds")
    } == {
        "prov:startedAtTime": "2023-11-14T22:13:20Z",
        "prov:endedAtTime": "2023-11-14T22:14:32Z",
        "durationSeconds": "72",
    }
    assert facts.missing()["clock"] == (
        "the clock was set back by about 3660 s meanwhile; durations are right"
    )
    assert facts.parts(facts.run, "note", "prov:generatedAtTime") == [("2023-11-14T22:14:20Z",)]
    step = facts.step("clean")
    assert [facts.one(step, name) for name in ("prov:startedAtTime", "prov:endedAtTime")] == [
        "2023-11-14T22:14:20Z",
        "2023-11-14T22:14:22Z",
    ]


def test_a_clock_that_runs_on_is_said_nothing_about(home):
    wall, steady = Clock(1_700_000_000.25), Clock(50.0)
    with _run_by(home, wall, steady):
        wall.seconds += 90.5
        steady.seconds += 90.5
    (facts,) = runs()
    assert "clock" not in facts.missing()
    assert facts.one(facts.run, "prov:endedAtTime") == "2023-11-14T22:14:50.75Z"
    assert facts.one(facts.run, "durationSeconds") == "90.5"


@pytest.mark.usefixtures("home")
def test_rank_and_world_size_come_from_torchrun_unless_they_are_given(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-7")
    monkeypatch.setenv("MASTER_ADDR", "node1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    with provgraph.run("train", owner="ada") as run:
        pass
    facts = facts_of(run.receipt)
    assert (facts.one(facts.run, "rank"), facts.one(facts.run, "worldSize")) == ("3", "8")
    with provgraph.run("train", owner="ada", rank=0, world_size=2) as run:
        pass
    facts = facts_of(run.receipt)
    assert (facts.one(facts.run, "rank"), facts.one(facts.run, "worldSize")) == ("0", "2")


@pytest.mark.usefixtures("home")
def test_a_run_id_is_a_uuid_of_version_7_that_sorts_by_time():
    from provgraph.capture.identifiers import new_id

    ids = [
        new_id(Clock(seconds)) for seconds in (1_700_000_000.0, 1_700_000_000.002, 1_800_000_000)
    ]
    assert ids == sorted(ids)
    assert [bool(re.fullmatch(VERSION_7, each)) for each in ids] == [True] * 3
    assert [each[:13] for each in ids] == ["018bcfe5-6800", "018bcfe5-6802", "01a3185c-5000"]


@pytest.mark.usefixtures("home")
def test_what_is_told_after_the_end_is_refused():
    from provgraph.errors import CaptureError

    with provgraph.run("train", owner="ada") as run:
        pass
    with pytest.raises(CaptureError, match="the run has ended"):
        run.log_metrics(loss=1.0)
    (facts,) = runs()
    assert facts.metrics() == {}


def test_what_is_told_after_the_end_is_said_not_to_be_recorded(careful_home, caplog):
    with provgraph.run("train", owner="ada") as run:
        pass
    run.log_metrics(loss=1.0)
    run.log_metrics(loss=2.0)
    assert [record.getMessage() for record in caplog.records] == [
        "provgraph: not recorded: log metrics: the run has ended"
    ]


@pytest.mark.usefixtures("home")
def test_the_command_line_and_the_entry_script_are_recorded():
    with provgraph.run("train", owner="ada") as run:
        pass
    facts = facts_of(run.receipt)
    assert json.loads(str(facts.one(facts.run, "command"))) == list(sys.orig_argv)
    assert facts.one(facts.run, "process") == str(os.getpid())
    assert facts.one(facts.run, "workingFolder") == os.getcwd()
    (environment,) = facts.of(facts.run, "environment")
    assert environment.startswith(f"{vocab.ID}environment/")
    assert [each.run for each in runs()] == [facts.run]
    (described,) = records("EnvironmentRecord")
    assert described.one(environment, "python") == platform.python_version()


@pytest.mark.usefixtures("home")
def test_seeds_are_read_anew_for_every_run_of_a_process():
    import random

    seen = []
    for seed in (1, 2, 1):
        random.seed(seed)
        with provgraph.run("train", owner="ada") as run:
            pass
        facts = facts_of(run.receipt)
        (state,) = [
            each for each in facts.of(facts.run, "seed") if each.startswith("random.state=")
        ]
        seen.append(state)
    assert seen[0] == seen[2]
    assert seen[0] != seen[1]
