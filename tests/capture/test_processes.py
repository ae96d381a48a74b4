"""Runs of many processes and threads: children that inherit, forks that log, kills in the middle."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from readback import facts_of, journals, output_of, python, runs, settings, verified

import provgraph
from provgraph import vocab
from provgraph.capture.series import decode
from provgraph.service.asking import open_reader
from provgraph.service.recovery import going_runs, recover

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

KILLED = "the process ended without closing the run (killed, or the machine stopped)"

# Records until it is killed: says its run's id, then waits.
GOING = """
import sys, provgraph
with provgraph.run("train", project="churn", owner="ada") as run:
    run.log_params(depth=6)
    run.log_metrics(loss=0.5, step=0)
    run.log_metrics(loss=0.25, step=1)
    with run.step("clean"):
        print(run.id, flush=True)
        sys.stdin.readline()
"""


def in_a_fork(work) -> int:
    """Run work in a forked child that then ends without any of the test's clean-up."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


# ---- threads -----------------------------------------------------------------------------------------
@pytest.mark.usefixtures("home")
def test_eight_threads_log_at_once_and_nothing_is_lost():
    ready = threading.Barrier(8)

    def log(number: int) -> None:
        ready.wait(30)
        for step in range(500):
            run.log_metrics(
                {f"loss_{number}": number + step / 1000, "shared": float(step)}, step=step
            )

    with provgraph.run("train", owner="ada") as run:
        threads = [threading.Thread(target=log, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    facts = facts_of(run.receipt)
    assert {
        name: (count, last)
        for name, count, last in facts.parts(facts.run, "series", "metricName", "count", "last")
    } == {
        **{f"loss_{number}": ("500", f"{number + 0.499}") for number in range(8)},
        "shared": ("4000", facts.metrics()["shared"]),
    }


# ---- children that are programs of their own ------------------------------------------------------------
@pytest.mark.usefixtures("home")
def test_a_child_process_is_part_of_the_run_around_it():
    child = 'import provgraph\nwith provgraph.run("score", owner="ada") as run: print(run.id)'
    with provgraph.run("pipeline", owner="ada") as outer:
        inside = output_of(child).strip()
    outside = output_of(child).strip()
    parents = {facts.run: facts.one(facts.run, "parentRun") for facts in runs()}
    assert parents == {
        f"{vocab.ID}run/{inside}": f"{vocab.ID}run/{outer.id}",
        f"{vocab.ID}run/{outer.id}": None,
        f"{vocab.ID}run/{outside}": None,
    }


def _spawned(name: str) -> None:
    with provgraph.run(name, owner="ada") as run:
        run.log_metrics(value=1.0)


@pytest.mark.usefixtures("home")
def test_a_spawned_worker_makes_a_run_of_its_own_below_the_parent():
    with provgraph.run("pipeline", owner="ada") as outer:
        worker = multiprocessing.get_context("spawn").Process(target=_spawned, args=("worker",))
        worker.start()
        worker.join(60)
    assert worker.exitcode == 0
    inner, _ = runs()
    assert inner.one(inner.run, "rdfs:label") == "worker"
    assert inner.one(inner.run, "parentRun") == f"{vocab.ID}run/{outer.id}"
    assert inner.metrics() == {"value": "1"}


# ---- forks --------------------------------------------------------------------------------------------------
@needs_fork
@pytest.mark.usefixtures("home")
def test_forked_workers_log_into_their_parents_run():
    def work(number: int) -> None:
        run = provgraph.current_run()
        run.log_metrics({f"worker_{number}": 1.5}, step=number)
        run.log_params({f"seed_{number}": number})

    with provgraph.run("train", owner="ada") as run:
        run.log_metrics(loss=0.5)
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=work, args=(number,)) for number in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        run.log_metrics(late=2.5)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    (facts,) = runs()
    assert facts.metrics() == {
        "loss": "0.5",
        "late": "2.5",
        "worker_0": "1.5",
        "worker_1": "1.5",
        "worker_2": "1.5",
    }
    assert facts.parameters() == {"seed_0": "0", "seed_1": "1", "seed_2": "2"}
    assert journals() == []


@needs_fork
@pytest.mark.usefixtures("home")
def test_steps_of_forked_workers_keep_apart():
    def work(number: int) -> None:
        with provgraph.current_run().step(f"worker {number}") as step:
            step.log_metrics(value=number)

    with provgraph.run("train", owner="ada") as run:
        with run.step("before"):
            pass
        assert [in_a_fork(lambda number=number: work(number)) for number in range(2)] == [0, 0]
        with run.step("after"):
            pass
    (facts,) = runs()
    assert [
        (facts.one(step, "position"), facts.one(step, "rdfs:label"), facts.metrics(step))
        for step in sorted(facts.all("Step"))
    ] == [
        ("1", "before", {}),
        ("2", "worker 0", {"value": "0"}),
        ("3", "worker 1", {"value": "1"}),
        ("4", "after", {}),
    ]


@needs_fork
@pytest.mark.usefixtures("home")
def test_a_fork_that_leaves_the_block_ends_nothing():
    with provgraph.run("train", owner="ada") as run:
        child = os.fork()
        if child == 0:
            try:
                run.log_metrics(child=1.0)
                run.__exit__(None, None, None)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert os.environ["PROVGRAPH_PARENT_RUN"] == run.id
        run.log_metrics(parent=2.0)
    (facts,) = runs()
    assert facts.one(facts.run, "status") == "completed"
    assert facts.metrics() == {"child": "1", "parent": "2"}


@needs_fork
@pytest.mark.usefixtures("home")
def test_a_fork_while_another_thread_logs_does_not_hang():
    stop = threading.Event()

    def log() -> None:
        step = 0
        while not stop.is_set():
            run.log_metrics(noise=1.0, step=step)
            step += 1

    with provgraph.run("train", owner="ada") as run:
        thread = threading.Thread(target=log)
        thread.start()
        try:
            for number in range(20):
                assert in_a_fork(lambda number=number: run.log_params({f"p{number}": number})) == 0
        finally:
            stop.set()
            thread.join()
    (facts,) = runs()
    assert facts.parameters() == {f"p{number}": str(number) for number in range(20)}


@needs_fork
@pytest.mark.usefixtures("home")
def test_forked_workers_seal_runs_of_their_own_though_the_parent_had_sealed_one():
    with provgraph.run("before", owner="ada"):
        pass

    def work() -> None:
        for _ in range(3):
            with provgraph.run("trial", owner="ada") as run:
                run.log_metrics(value=1.0)
            assert run.receipt is not None

    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    with provgraph.run("after", owner="ada"):
        pass
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert len(runs()) == 14
    assert sum(verified().sealed_by.values()) == verified().size


@needs_fork
def test_a_fork_that_outlives_its_run_says_that_nothing_is_recorded(careful_home, caplog):
    reading, writing = os.pipe()
    hearing, saying = os.pipe()
    with provgraph.run("train", owner="ada") as run:
        child = os.fork()
        if child == 0:
            try:
                run.log_metrics(early=1.0)
                os.read(reading, 1)
                run.log_metrics(late=2.0)
                os.write(saying, caplog.text.encode())
            finally:
                os._exit(0)
        while not any(b"early" in path.read_bytes() for path in journals()):
            time.sleep(0.01)
    os.write(writing, b"x")
    assert os.waitpid(child, 0)[1] == 0
    (facts,) = runs()
    assert facts.metrics() == {"early": "1"}
    assert "the run that this process belongs to has ended" in os.read(hearing, 10_000).decode()
    for descriptor in (reading, writing, hearing, saying):
        os.close(descriptor)


# ---- kills --------------------------------------------------------------------------------------------------
def killed_run() -> str:
    """Kill a process in the middle of a run; return the run's id."""
    process = python(GOING)
    run_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    return run_id


@pytest.mark.usefixtures("home")
def test_a_going_run_is_seen_and_once_killed_it_is_sealed_as_abandoned_exactly_once():
    with provgraph.run("first", owner="ada"):
        pass
    process = python(GOING)
    run_id = process.stdout.readline().strip()
    (state,) = going_runs(settings())
    run, _ = state.run()
    assert (run.id, run.name, run.parameters, run.metrics) == (
        run_id,
        "train",
        {"depth": 6},
        {"loss": 0.25},
    )
    assert recover(settings()) == []
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert list(going_runs(settings())) == []
    with open_reader(settings()) as reader:
        (recovered,) = reader.recovered
        assert recovered.run_id == run_id
        assert recovered.problem is None
        description = reader.describe(run_id)
    said = dict(description.statements)
    assert said[f"{vocab.PG}status"] == '"abandoned"'
    facts = facts_of(recovered.receipt)
    assert facts.run == f"{vocab.ID}run/{run_id}"
    assert facts.one(facts.run, "reason") == KILLED
    assert facts.one(facts.run, "durationSeconds") is None
    step = facts.step("clean")
    assert facts.one(step, "status") == "abandoned"
    assert facts.one(step, "reason") == "the run ended inside this step"
    (series,) = facts.of(facts.run, "series")
    assert facts.one(series, "count") == "2"
    assert journals() == []
    assert recover(settings()) == []
    assert len(runs()) == 2


@pytest.mark.usefixtures("home")
def test_the_end_of_a_killed_run_is_the_last_thing_it_said():
    before = time.time()
    killed_run()
    time.sleep(0.05)
    (recovered,) = recover(settings())
    facts = facts_of(recovered.receipt)
    with open_reader(settings()) as reader:
        (attachment,) = facts.of(facts.of(facts.run, "series")[0], "attachment")
        digest = attachment.rsplit("/", 1)[-1]
        from provgraph.digests import Digest

        points = decode(reader.ledger.attachment(Digest("sha256", digest)))
    ended = facts.one(facts.run, "prov:endedAtTime")
    from datetime import datetime

    assert datetime.fromisoformat(str(ended)) >= points[-1].at
    assert before <= points[-1].at.timestamp() <= time.time()


LOOK = """
import sys, json, os
from provgraph.service.recovery import recover
from provgraph.settings import load
sys.stdin.readline()
print(json.dumps([each.run_id for each in recover(load(os.environ)) if each.receipt]))
"""


@pytest.mark.usefixtures("home")
def test_of_two_that_look_at_once_one_seals_and_there_is_one_record():
    killed = sorted(killed_run() for _ in range(3))
    lookers = [python(LOOK) for _ in range(4)]
    for looker in lookers:
        looker.stdin.write("\n")
        looker.stdin.flush()
    found = []
    for looker in lookers:
        out, err = looker.communicate(timeout=60)
        assert (looker.returncode, err) == (0, "")
        found += json.loads(out)
    # One that was busy elsewhere may have passed a journal by; the next look finds it.
    found += [each.run_id for each in recover(settings())]
    assert sorted(found) == killed
    assert sorted(facts.run.rsplit("/", 1)[-1] for facts in runs()) == killed
    assert journals() == []
    verified()


@pytest.mark.usefixtures("home")
def test_a_process_that_ends_without_closing_its_run_leaves_an_abandoned_one():
    output_of(
        "import os, provgraph\n"
        'run = provgraph.run("train", owner="ada").__enter__()\n'
        "run.log_params(depth=6)\n"
        "os._exit(0)"
    )
    (recovered,) = recover(settings())
    facts = facts_of(recovered.receipt)
    assert facts.one(facts.run, "status") == "abandoned"
    assert facts.parameters() == {"depth": "6"}


MANY = """
import sys, provgraph
sys.stdin.readline()
for number in range(20):
    with provgraph.run("trial", project="search", owner="ada") as run:
        run.log_params(number=number)
    assert run.receipt is not None
print("done")
"""


@pytest.mark.usefixtures("home")
def test_eight_processes_record_at_the_same_time_into_one_new_home():
    workers = [python(MANY) for _ in range(8)]
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    ends = [worker.communicate(timeout=120) for worker in workers]
    assert ends == [("done\n", "")] * 8
    assert len(runs()) == 160
    report = verified()
    assert sum(report.sealed_by.values()) == report.size
    assert journals() == []


@pytest.mark.usefixtures("home")
def test_the_command_line_sees_a_going_run_and_then_the_abandoned_one(tmp_path: Path):
    process = python(GOING, cwd=tmp_path)
    run_id = process.stdout.readline().strip()
    show = "from provgraph.cli.main import main; import sys; sys.exit(main({}))"
    listed = json.loads(output_of(show.format(["list", "runs", "--format", "json"])))
    assert listed["rows"] == [
        {"thing": f"{vocab.ID}run/{run_id}", "label": "train", "status": "going"}
    ]
    shown = json.loads(output_of(show.format(["show", run_id, "--format", "json"])))
    assert (shown["id"], shown["status"], shown["parameters"], shown["steps"]) == (
        run_id,
        "going",
        {"depth": 6},
        ["clean"],
    )
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    looker = python(show.format(["list", "runs", "--format", "json"]))
    out, err = looker.communicate(timeout=60)
    (row,) = json.loads(out)["rows"]
    assert (row["thing"], row["status"]) == (f"{vocab.ID}run/{run_id}", "abandoned")
    assert err == (f"provgraph: sealed what a process left behind as {vocab.ID}record/{run_id}\n")
