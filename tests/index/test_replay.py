"""The index follows the ledger: replayed, healed after any crash, rebuilt from nothing, never ahead."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from small_history import record_history

import provgraph
from provgraph.errors import IndexUnavailableError
from provgraph.index.store import open_index
from provgraph.service.asking import open_reader, reindex
from provgraph.settings import load

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
