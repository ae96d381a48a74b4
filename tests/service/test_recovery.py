"""Recovery as a service: who seals what, keys and ledgers that stay open, and forks in between."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest
from readback import all_bytes, journals, output_of, python, runs, settings, verified

import provgraph
from provgraph.errors import NotFoundError
from provgraph.service import home as service_home
from provgraph.service.asking import open_reader, problems
from provgraph.service.recovery import recover

BEGUN = """
import sys, provgraph
run = provgraph.run("train", project="churn", owner="ada").__enter__()
run.log_params(number=int(sys.stdin.readline()))
print(run.id, flush=True)
sys.stdin.readline()
"""


def killed(number: int) -> str:
    process = python(BEGUN)
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    run_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    return run_id


@pytest.mark.usefixtures("home")
def test_nothing_left_is_nothing_found():
    assert recover(settings()) == []
    with pytest.raises(NotFoundError), open_reader(settings()):
        pass
    assert not settings().home.exists()


@pytest.mark.usefixtures("home")
def test_whoever_asks_seals_what_is_left_in_the_order_of_its_beginning():
    ids = [killed(number) for number in range(3)]
    with open_reader(settings()) as reader:
        assert [each.run_id for each in reader.recovered] == ids
        assert problems(reader.recovered) == []
    assert [facts.parameters() for facts in runs()] == [{"number": str(n)} for n in range(3)]
    with open_reader(settings()) as reader:
        assert reader.recovered == []


@pytest.mark.usefixtures("home")
def test_a_journal_that_cannot_be_sealed_is_a_problem_that_is_said_and_not_in_the_way():
    killed(1)
    (path,) = journals()
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":99'))
    killed(2)
    with open_reader(settings()) as reader:
        (problem,) = problems(reader.recovered)
        assert problem.startswith(f"{path}: journal version 99 is newer than")
    assert [facts.parameters() for facts in runs()] == [{"number": "2"}]
    assert journals() == [path]


@pytest.mark.usefixtures("home")
def test_a_run_in_this_very_process_is_not_taken_for_a_dead_one():
    with provgraph.run("train", owner="ada") as run:
        assert recover(settings()) == []
        with provgraph.run("other", owner="ada"):
            pass
        with open_reader(settings()) as reader:
            assert reader.recovered == []
        run.log_params(still=1)
    assert [facts.parameters() for facts in runs()] == [{}, {"still": "1"}]


# ---- what stays open ------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("home")
def test_the_ledger_is_opened_once_and_lent_to_one_thread_at_a_time():
    seen = []

    def look() -> None:
        with service_home.writable_ledger(settings()) as opened:
            seen.append(opened)

    with service_home.writable_ledger(settings()) as first:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(0.05)
        assert seen == []
    thread.join(30)
    look()
    assert seen == [first, first]
    service_home.close_ledger()
    look()
    assert seen[-1] is not first


def test_two_homes_in_one_process_do_not_mix(home, tmp_path, monkeypatch):
    for name in ("one", "two", "one"):
        monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / name))
        with provgraph.run(name, owner="ada"):
            pass
    assert [facts.one(facts.run, "rdfs:label") for facts in runs()] == ["one", "one"]
    verified()
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "two"))
    assert [facts.one(facts.run, "rdfs:label") for facts in runs()] == ["two"]
    verified()


def open_files(folder: Path) -> list[str]:
    """Files below a folder that this process has open."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one of this very list
            found.append(os.readlink(each))
    return [path for path in found if path.startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc says what is open")
def test_the_ledger_is_closed_before_a_fork_and_no_child_inherits_it(home):
    with provgraph.run("before", owner="ada"):
        pass
    assert f"{home}/ledger.db" in open_files(home)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(len(open_files(home))).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"0"
    os.close(reading)
    os.close(writing)
    with provgraph.run("after", owner="ada"):
        pass
    assert len(runs()) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.usefixtures("home")
def test_forks_while_threads_seal_all_succeed():
    stop = threading.Event()
    sealed = []

    def seal() -> None:
        while not stop.is_set():
            with provgraph.run("thread", owner="ada") as run:
                pass
            sealed.append(run.receipt)

    def child() -> None:
        with provgraph.run("child", owner="ada") as run:
            pass
        os._exit(0 if run.receipt is not None else 1)

    thread = threading.Thread(target=seal)
    thread.start()
    try:
        workers = []
        for _ in range(10):
            worker = multiprocessing.get_context("fork").Process(target=child)
            worker.start()
            workers.append(worker)
        for worker in workers:
            worker.join(60)
    finally:
        stop.set()
        thread.join()
    assert [worker.exitcode for worker in workers] == [0] * 10
    assert None not in sealed
    assert len(runs()) == 10 + len(sealed)
    verified()


@pytest.mark.usefixtures("home")
def test_a_second_process_finds_the_keys_of_the_first():
    code = 'import provgraph\nwith provgraph.run("r", owner="ada"): pass'
    output_of(code)
    output_of(code)
    report = verified()
    assert len(report.sealed_by) == 1


@pytest.mark.usefixtures("home")
def test_keys_that_vanished_are_not_made_up_in_memory(careful_home, caplog):
    with provgraph.run("first", owner="ada"):
        pass
    service_home.close_ledger()
    for path in settings().keys_folder.iterdir():
        path.unlink()
    with provgraph.run("second", owner="ada") as run:
        run.log_params(depth=6)
    # The ledger belongs to the key that it was made with; nothing is written under another one.
    assert run.receipt is None
    assert "was made with the log key" in caplog.text
    assert len(journals()) == 1
    assert b"depth" in all_bytes(settings().journal_folder)
