"""The index follows the ledger: replayed, healed after any crash, rebuilt from nothing, never ahead."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime

import pyoxigraph as ox
import pytest
from small_history import record_history

import provgraph
from provgraph.errors import IndexUnavailableError
from provgraph.index import store
from provgraph.index.store import BULK_GRAPHS, Watermark, open_index
from provgraph.ledger.sqlite import Ledger
from provgraph.records import Run
from provgraph.service.asking import open_reader
from provgraph.service.home import close_ledger, utc_now
from provgraph.service.indexing import bring_up_to_date, reindex
from provgraph.service.ingesting import IncomingFacts, Ingest
from provgraph.settings import load

START = datetime(2026, 3, 1, 12, tzinfo=UTC)

ASK = """
import sys
from provgraph.service.asking import open_reader
from provgraph.settings import load
with open_reader(load()) as reader:
    print(reader.ledger_size)
"""
RECORD = """
import sys, provgraph
for number in range(int(sys.argv[2])):
    with provgraph.run(f"{sys.argv[1]}-{number}", owner="a") as run:
        run.log_params(number=number)
    assert run.receipt is not None
"""


def assert_index_equals_ledger(home):
    with open_reader(load()) as reader:
        size = reader.ledger.size()
        assert reader.ledger_size == size
        mark = reader.index.watermark()
        assert mark is not None
        assert (mark.size, mark.root_hex) == (size, reader.ledger.root(size).hex())
        for record in reader.ledger.records():
            assert reader.index.graph(record.iri) == record.graph_nq
        return size


@pytest.fixture
def history(home):
    record_history()
    return home


def test_every_graph_reads_back_as_it_was_sealed(history):
    assert assert_index_equals_ledger(history) >= 8


def test_a_later_record_is_replayed_and_an_earlier_one_is_not_written_again(history):
    first = assert_index_equals_ledger(history)
    with open_index(history / "index", wait_s=5) as index:
        before = index.quad_count()
    with provgraph.run("later", owner="a") as run:
        run.log_params(x=1)
    assert assert_index_equals_ledger(history) > first
    with open_index(history / "index", wait_s=5) as index:
        assert index.quad_count() > before


def test_diaries_of_earlier_openings_do_not_pile_up(history):
    assert_index_equals_ledger(history)
    for _ in range(5):
        with open_index(history / "index", wait_s=5) as index:
            assert index.watermark() is not None
    # The one before the last opening is left for whoever looks into damage.
    assert len(list((history / "index").glob("LOG.old.*"))) == 1
    assert (history / "index" / "LOG").exists()
    assert_index_equals_ledger(history)


def test_a_lost_index_is_built_from_nothing(history):
    size = assert_index_equals_ledger(history)
    shutil.rmtree(history / "index")
    assert assert_index_equals_ledger(history) == size
    assert reindex(load()) == size
    assert assert_index_equals_ledger(history) == size


@pytest.mark.parametrize("pattern", ["*.sst", "MANIFEST-*", "CURRENT", "*.log"])
def test_a_damaged_index_is_put_aside_and_built_anew(history, pattern):
    size = assert_index_equals_ledger(history)
    files = list((history / "index").glob(pattern))
    assert len(files) >= 1 or pattern == "*.sst"
    for path in files:
        path.write_bytes(b"\x00damaged" * 7)
    assert assert_index_equals_ledger(history) == size


def test_the_index_of_another_ledger_is_recognised(history, tmp_path, monkeypatch):
    assert_index_equals_ledger(history)
    other = tmp_path / "other"
    monkeypatch.setenv("PROVGRAPH_HOME", str(other))
    record_history()
    shutil.copytree(history / "index", other / "index")
    assert_index_equals_ledger(other)
    with open_reader(load()) as reader:
        names = {record.iri for record in reader.ledger.records()}
        assert set(reader.index.graph_names()) - {"urn:provgraph:index"} == names


def test_a_killed_replay_heals(history):
    for _ in range(30):
        with provgraph.run("many", owner="a") as run:
            run.log_params(x=1)
    for delay_s in (0.05, 0.1, 0.15, 0.2, 0.3):
        shutil.rmtree(history / "index", ignore_errors=True)
        process = subprocess.Popen([sys.executable, "-c", ASK], stdout=subprocess.PIPE)
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert_index_equals_ledger(history)


@pytest.fixture
def behind(history):
    """An index that lacks as many entries as go through the bulk loader, and not so many that it is rebuilt."""
    with contextlib.closing(ingest_runs("early", 60)):
        first = assert_index_equals_ledger(history)
    with contextlib.closing(ingest_runs("late", BULK_GRAPHS + 10)):
        return first


def ingest_runs(name, count):
    ingest = Ingest(load())
    ingest.take(
        [
            IncomingFacts(
                record_id=f"{name}-{number}",
                record=Run(id=f"{name}-{number}", name=name, status="completed", started_at=START),
            )
            for number in range(count)
        ]
    )
    return ingest


@pytest.mark.parametrize("fails_at", ["first extend", "bulk_load", "after bulk_load", None])
def test_a_load_that_is_cut_short_is_finished_by_the_next(history, behind, monkeypatch, fails_at):
    cut_short(monkeypatch, fails_at)
    with (
        open_index(history / "index", wait_s=5) as index,
        Ledger.open(
            history / "ledger.db", log_signer=None, clock=utc_now, read_only=True
        ) as ledger,
    ):
        if fails_at is not None:
            with pytest.raises(KeyboardInterrupt):
                bring_up_to_date(index, ledger)
            monkeypatch.undo()
            monkeypatch.setenv("PROVGRAPH_HOME", str(history))
            assert index.watermark().size == behind
            unfinished = index.unfinished()
            assert (None if unfinished is None else unfinished.size) == (
                None if fails_at == "first extend" else ledger.size()
            )
        bring_up_to_date(index, ledger)
        assert index.unfinished() is None
        count = index.quad_count()
    assert assert_index_equals_ledger(history) == behind + BULK_GRAPHS + 10
    reindex(load())
    with open_index(history / "index", wait_s=5) as index:
        assert index.quad_count() == count


def cut_short(monkeypatch, fails_at):
    """The process "dies" at a place of the load: what comes after it does not happen."""
    real = store.Index._load

    class Store:
        def __init__(self, opened):
            self._opened = opened

        def extend(self, quads):
            if fails_at == "first extend":
                raise KeyboardInterrupt
            self._opened.extend(quads)

        def bulk_load(self, *args, **options):
            if fails_at == "bulk_load":
                raise KeyboardInterrupt
            self._opened.bulk_load(*args, **options)
            if fails_at == "after bulk_load":
                raise KeyboardInterrupt

    def load_part(index, batch, mark):
        opened = index._store
        index._opened = Store(opened)
        try:
            real(index, batch, mark)
        finally:
            index._opened = opened

    monkeypatch.setattr(store.Index, "_load", load_part)


def test_what_an_unfinished_load_left_of_a_ledger_that_was_put_back_goes(history, behind):
    backup = history.with_name("backup.db")
    with contextlib.closing(sqlite3.connect(history / "ledger.db")) as db:
        db.execute("VACUUM INTO ?", (str(backup),))
    with contextlib.closing(ingest_runs("lost", BULK_GRAPHS)):
        pass
    with (
        open_index(history / "index", wait_s=5) as index,
        Ledger.open(
            history / "ledger.db", log_signer=None, clock=utc_now, read_only=True
        ) as ledger,
    ):
        mark = Watermark(size=ledger.size(), root_hex=ledger.root().hex())
        graphs = [each.graph_nq for each in ledger.records(behind, ledger.size())]
        index._store.extend([store._mark_quad(mark, store._UNFINISHED)])
        index._store.extend(ox.parse(b"".join(graphs), format=ox.RdfFormat.N_QUADS))
        lost = {name for name in index.graph_names() if "/lost-" in name}
    assert len(lost) == BULK_GRAPHS
    close_ledger()
    for suffix in ("", "-wal", "-shm"):
        (history / f"ledger.db{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, history / "ledger.db")
    assert assert_index_equals_ledger(history) == behind + BULK_GRAPHS + 10
    with open_index(history / "index", wait_s=5) as index:
        assert [name for name in index.graph_names() if "/lost-" in name] == []


def test_recording_from_two_processes_while_a_third_asks(home):
    writers = [
        subprocess.Popen([sys.executable, "-c", RECORD, name, "15"]) for name in ("one", "two")
    ]
    sizes = []
    while any(writer.poll() is None for writer in writers):
        if (home / "ledger.db").exists():
            done = subprocess.run(
                [sys.executable, "-c", ASK], capture_output=True, text=True, check=True
            )
            sizes.append(int(done.stdout))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sizes == sorted(sizes)
    assert assert_index_equals_ledger(home) >= 30


def test_an_index_in_use_is_waited_for_and_then_named(history):
    assert_index_equals_ledger(history)
    with (
        open_index(history / "index", wait_s=1),
        pytest.raises(IndexUnavailableError, match="another process has used the index"),
        open_index(history / "index", wait_s=0.1),
    ):
        pass
