"""Disks that are full, read-only or busy: the run goes on, its facts are kept, and it is said."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from disks import Disk, mounted
from readback import facts_of, journals, python, runs, settings, verified

import provgraph
from provgraph.capture.journal import fallback_folder
from provgraph.service import home as service_home
from provgraph.service.recovery import recover


@pytest.fixture
def disk(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The home is on a small disk; capture behaves as for users."""
    monkeypatch.setenv("PROVGRAPH_STRICT", "off")
    for each in mounted(tmp_path / "disk"):
        monkeypatch.setenv("PROVGRAPH_HOME", str(each.folder / "home"))
        yield each
        service_home.close_ledger()


@pytest.fixture
def no_second_place(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary folder is on the same disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("is_new", [True, False], ids=["new ledger", "ledger in use"])
def test_a_disk_that_fills_up_during_a_run(disk, caplog, is_new):
    if not is_new:
        with provgraph.run("before", owner="ada"):
            pass
    with provgraph.run("train", owner="ada") as run:
        run.log_params(early=1)
        disk.fill()
        run.log_params(late=2)
        for step in range(100):
            run.log_metrics(loss=step, step=step)
    assert run.receipt is None
    home = settings().journal_folder
    second = fallback_folder(home)
    assert f"could not be written: {home}: No space left on device; going on in {second}" in said(
        caplog
    )
    assert f"run {run.id} is not in the ledger yet: " in said(caplog)
    assert f"Its facts are kept in {second / run.id}.jsonl" in said(caplog)
    (problem,) = recover(settings())
    assert problem.receipt is None
    disk.free()
    (recovered,) = recover(settings())
    facts = facts_of(recovered.receipt)
    assert (facts.one(facts.run, "status"), facts.parameters(), facts.metrics()) == (
        "completed",
        {"early": "1", "late": "2"},
        {"loss": "99"},
    )
    assert (journals(), list(second.iterdir())) == ([], [])
    verified()


@pytest.mark.usefixtures("no_second_place")
def test_a_disk_that_fills_up_and_is_freed_before_the_end_loses_nothing(disk, caplog):
    with provgraph.run("train", owner="ada") as run:
        run.log_params(early=1)
        disk.fill()
        for number in range(50):
            run.log_params({f"late {number}": "x" * 1000})
        disk.free()
        run.log_params(last=3)
    assert "what follows is kept in memory until the run ends" in said(caplog)
    facts = facts_of(run.receipt)
    assert facts.parameters() == {
        "early": "1",
        **{f"late {number}": "x" * 1000 for number in range(50)},
        "last": "3",
    }


@pytest.mark.usefixtures("no_second_place")
def test_a_disk_that_stays_full_costs_what_no_disk_took_and_says_how_much(disk, caplog):
    with provgraph.run("train", owner="ada") as run:
        run.log_params(early=1)
        disk.fill()
        for number in range(50):
            run.log_params({f"late {number}": "x" * 1000})
    lost = sum("lost: no disk took them" in record.getMessage() for record in caplog.records)
    assert (run.receipt, lost) == (None, 1)
    disk.free()
    (recovered,) = recover(settings())
    facts = facts_of(recovered.receipt)
    assert facts.one(facts.run, "status") == "abandoned"
    kept = facts.parameters()
    assert kept.pop("early") == "1"
    # What was written before the last page was full is there; of the rest nothing is invented.
    assert list(kept) == sorted(kept, key=lambda name: int(name.split()[1]))
    assert len(kept) < 50


def test_a_disk_that_is_full_from_the_start(disk, caplog):
    disk.fill()
    with provgraph.run("train", owner="ada") as run:
        run.log_params(depth=6)
    assert run.receipt is None
    assert provgraph.deploy("churn:3", stage="production", by="ada") is None
    assert "deploy is not in the ledger yet" in said(caplog)
    disk.free()
    found = recover(settings())
    assert [each.problem for each in found] == [None, None]
    (facts,) = runs()
    assert facts.parameters() == {"depth": "6"}


def test_a_home_that_is_read_only(disk, caplog):
    with provgraph.run("before", owner="ada"):
        pass
    service_home.close_ledger()
    disk.remount("ro")
    with provgraph.run("train", owner="ada") as run:
        run.log_params(depth=6)
    receipt = provgraph.approve("churn:3", by="grace", meaning="fit")
    disk.remount("rw")
    assert (run.receipt, receipt) == (None, None)
    text = said(caplog)
    assert "Read-only file system; going on in" in text
    assert f"run {run.id} is not in the ledger yet: StorageError: " in text
    assert "approve is not in the ledger yet: " in text
    found = recover(settings())
    assert [each.problem for each in found] == [None, None]
    first, second = runs()
    assert (first.parameters(), second.parameters()) == ({}, {"depth": "6"})


def test_a_home_that_cannot_be_made(careful_home, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "file" / "home"))
    with provgraph.run("train", owner="ada") as run:
        run.log_params(depth=6)
    assert run.receipt is None
    assert "cannot make the folder" in said(caplog)
    (tmp_path / "file").unlink()
    (recovered,) = recover(settings())
    assert facts_of(recovered.receipt).parameters() == {"depth": "6"}


# Where a file may not grow beyond 20 kB, as with a quota; needs no rights.
LIMITED = """
import resource, provgraph
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
with provgraph.run("train", owner="ada") as run:
    for number in range(100):
        run.log_params({f"p{number}": "x" * 1000})
print(run.id, run.receipt)
"""


@pytest.mark.usefixtures("careful_home")
def test_a_file_that_may_not_grow():
    process = python(LIMITED)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    run_id, receipt = out.split()
    assert receipt == "None"
    assert f"run {run_id} is not in the ledger yet" in err
    assert "File too large" in err
    (recovered,) = recover(settings())
    facts = facts_of(recovered.receipt)
    kept = facts.parameters()
    # Both places took about 20 kB; the rest was in a process that is gone, and that was said.
    assert 30 <= len(kept) < 100
    assert set(kept) == {f"p{number}" for number in range(len(kept))}
    assert "of them are lost: no disk took them" in err


def test_a_ledger_that_another_process_holds(careful_home, caplog):
    with provgraph.run("before", owner="ada"):
        pass
    # The timeout of the ledger is 30 s; this connection's is set as SQLite offers it.
    service_home._open.ledger._db.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(careful_home / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with provgraph.run("train", owner="ada") as run:
            run.log_params(depth=6)
        assert provgraph.retract(run, reason="test", by="ada") is None
        assert run.receipt is None
        assert "another process held it" in said(caplog)
        service_home._open.ledger._db.execute("PRAGMA busy_timeout = 50")
        assert [each.receipt for each in recover(settings())] == [None, None]
        other.execute("ROLLBACK")
    found = recover(settings())
    assert [each.problem for each in found] == [None, None]
    assert [facts.parameters() for facts in runs()] == [{}, {"depth": "6"}]
    assert verified().size == found[-1].receipt.ledger_size


def test_a_ledger_file_that_was_put_in_its_place_is_another_ledger(careful_home):
    with provgraph.run("first", owner="ada") as first:
        pass
    for path in careful_home.iterdir():
        if path.name.startswith("ledger.db") and path.is_file():
            path.unlink()
    with provgraph.run("second", owner="ada") as second:
        pass
    assert second.receipt is not None
    assert [facts.run.rsplit("/", 1)[-1] for facts in runs()] == [second.id]
    assert first.id != second.id
