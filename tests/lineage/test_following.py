"""The lineage index follows the ledger: healed after any crash, rebuilt from nothing, never ahead."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_history import DATA, MODEL, OLD, RAW, record_history

import provgraph
from provgraph import vocab
from provgraph.digests import Digest
from provgraph.errors import DamagedIndexError, NotFoundError
from provgraph.index.edge_arrays import require_sound
from provgraph.index.edges import open_edges
from provgraph.query import lineage
from provgraph.query.lineage_graph import Restriction
from provgraph.service import lineage_index
from provgraph.service.asking import open_reader
from provgraph.service.erasing import Order, carry_out, plan_erasure
from provgraph.service.home import readable_ledger
from provgraph.service.indexing import reindex
from provgraph.settings import load

FOLLOW = """
from provgraph.service.asking import open_reader
from provgraph.settings import load
with open_reader(load()) as reader:
    print(reader.ledger_size)
"""


def iri(digest: str) -> str:
    return vocab.content_iri(Digest("sha256", digest.removeprefix("sha256:")))


def rows(home: Path) -> dict[str, list[tuple[object, ...]]]:
    file = open_edges(home / "lineage")
    assert file is not None
    with file:
        return {
            table: sorted(file._all(f"SELECT * FROM {table}"), key=repr)
            for table in ("thing", "record", "edge", "fact")
        }


def assert_follows(home: Path) -> dict[str, list[tuple[object, ...]]]:
    """Bring it up to date by asking; it then is what one built from nothing is."""
    with open_reader(load()) as reader:
        size = reader.ledger_size
        found = rows(home)
        file = open_edges(home / "lineage")
        assert file is not None
        with file:
            mark = file.watermark()
        assert (mark.size, mark.root_hex) == (size, reader.ledger.root(size).hex())
        lineage_index.build(reader.ledger, home / "anew", size=size)
        shutil.move(home / "lineage", home / "followed")
        shutil.move(home / "anew", home / "lineage")
        assert rows(home) == found
        shutil.rmtree(home / "followed")
    return found


@pytest.fixture
def history(home: Path) -> Path:
    record_history()
    return home


def test_it_says_beside_each_thing_what_the_sparql_index_says(history):
    assert_follows(history)
    with open_reader(load()) as reader:
        select = reader.index.select
        of_classes = " ".join(
            f"pg:{each}"
            for each in (
                "Run",
                "Step",
                "Dataset",
                "Model",
                "Version",
                "Named",
                "Environment",
                "Evaluation",
                "Observation",
                "Approval",
                "Deployment",
                "SourceCode",
                "ParameterSet",
            )
        )
        found = select(
            f"PREFIX pg: <{vocab.PG}> SELECT DISTINCT ?it"
            f" WHERE {{ VALUES ?class {{ {of_classes} }} ?it a ?class }}"
        ).rows
        things = [row[0][1:-1] for row in found if row[0] is not None]
        assert len(things) > 15
        by_sparql = lineage.describe(select, things)
        assert reader.over_lineage(lambda graph: lineage.described(graph, things)) == by_sparql


def test_a_later_record_is_added(history):
    before = assert_follows(history)
    with provgraph.run("later", owner="a", project="other") as run:
        run.use("s3://bucket/2.bin", role="base-model", digest=MODEL)
        run.generate("s3://bucket/3.bin", name="tuned", version="1", digest="sha256:" + "33" * 32)
    after = assert_follows(history)
    assert len(after["edge"]) > len(before["edge"])
    assert set(before["edge"]) <= set(after["edge"])


def test_the_past_is_answered_as_it_was_for_ever(history):
    with open_reader(load()) as reader:
        size = reader.ledger_size
        then = reader.walk(RAW, up=False, max_depth=None, as_of=size)
        assert then == reader.walk(RAW, up=False, max_depth=None)
    with provgraph.run("later", owner="a") as run:
        run.use("s3://bucket/raw.csv", role="train", digest=RAW, name="renamed")
        run.generate("s3://bucket/3.bin", name="tuned", version="1", digest="sha256:" + "33" * 32)
    with open_reader(load()) as reader:
        assert reader.walk(RAW, up=False, max_depth=None, as_of=size) == then
        now = reader.walk(RAW, up=False, max_depth=None)
        assert set(now.nodes) - set(then.nodes) == {iri("sha256:" + "33" * 32)}
        with pytest.raises(NotFoundError, match="in the first 1 entries of the ledger"):
            reader.walk(MODEL, up=True, max_depth=None, as_of=1)
        with pytest.raises(NotFoundError, match=r"expected a ledger size of 1 to \d+, found 10000"):
            reader.walk(MODEL, up=True, max_depth=None, as_of=10_000)


def test_what_an_erased_record_said_stands_as_its_tombstone_kept_it(history):
    with open_reader(load()) as reader:
        size = reader.ledger_size
        before = reader.walk(MODEL, up=True, max_depth=None, as_of=size)
        record = next(
            each.iri
            for each in reader.ledger.records()
            if b"/2.bin" in (each.content or b"") and b"#Run>" in (each.content or b"")
        )
        found = plan_erasure(reader, record)
    carry_out(load(), found, Order(by="dpo", why="asked", ground=None))
    assert_follows(history)
    with open_reader(load()) as reader:
        after = reader.walk(MODEL, up=True, max_depth=None, as_of=size)
    ours = {iri(each) for each in (MODEL, DATA, RAW)}
    assert {(e.child, e.parent) for e in after.edges if {e.child, e.parent} <= ours} == {
        (e.child, e.parent) for e in before.edges if {e.child, e.parent} <= ours
    }
    assert after.nodes[iri(MODEL)].kind == "Model"
    everything = b"".join(each.read_bytes() for each in (history / "lineage").iterdir())
    assert b"chosen" not in everything
    assert b"2.bin" not in everything


def test_things_of_another_kind_project_or_time_are_walked_through_and_left_out(history):
    with provgraph.run("later", owner="a", project="other") as run:
        run.use("s3://bucket/2.bin", role="base-model", digest=MODEL)
        run.generate(
            "s3://bucket/3.bin",
            name="tuned",
            version="1",
            role="model",
            digest="sha256:" + "33" * 32,
        )
    tuned = iri("sha256:" + "33" * 32)

    def down(**given):
        with open_reader(load()) as reader:
            only = Restriction(**given)
            return reader.over_lineage(lambda graph: graph.downstream([iri(RAW)], only=only))

    assert set(down(kinds=frozenset({"model"})).things) == {iri(OLD), iri(MODEL), tuned}
    # What was used in another project is spoken of there.
    assert set(down(projects=frozenset({"other"})).things) >= {iri(MODEL), tuned}
    assert iri(OLD) not in down(projects=frozenset({"other"})).things
    kinds = frozenset({"deployment", "approval"})
    assert len(down(projects=frozenset({"churn"}), kinds=kinds).things) == 2
    assert down(projects=frozenset({"nobody's"})).things == {}
    day = provgraph.service.home.utc_now()
    assert down(since=day).things == {}
    assert tuned in down(until=day).things
    # Nobody recorded when the raw data was made.
    assert down(until=day).untimed == 1


def test_columns_are_those_that_answers_show(history):
    with open_reader(load()) as reader:
        found = reader.over_lineage(lambda graph: graph.columns([iri(RAW), iri(MODEL)]))
    raw, model = found[iri(RAW)], found[iri(MODEL)]
    assert (raw.kinds, raw.label) == (("Dataset",), ("raw",))
    assert raw.licence == ("https://spdx.org/licenses/CC-BY-4.0",)
    assert model.owners == ("ada@example.org",)
    assert model.projects == ("churn",)
    assert model.digest == (MODEL,)


@pytest.mark.parametrize("damage", ["no-database", "page", "pointer", "gone", "layout", "foreign"])
def test_a_damaged_file_is_built_anew(history, damage, caplog):
    before = assert_follows(history)
    folder = history / "lineage"
    (path,) = folder.glob("edges-*.db")
    if damage == "no-database":
        path.write_bytes(b"\x00damaged" * 700)
    elif damage == "page":
        data = bytearray(path.read_bytes())
        data[4096 : len(data) - 4096] = b"\xff" * (len(data) - 8192)
        path.write_bytes(data)
    elif damage == "pointer":
        (folder / "current").write_text("../ledger.db")
    elif damage == "gone":
        path.unlink()
    elif damage == "layout":
        with sqlite3.connect(path) as db:
            db.execute("UPDATE state SET layout = 1")
        db.close()
    else:
        with sqlite3.connect(path) as db:
            db.execute("UPDATE state SET root = 'ab'")
        db.close()
    with open_reader(load()) as reader:
        assert len(reader.walk(MODEL, up=True, max_depth=None).edges) == 2
    assert rows(history) == before
    assert ("built anew" in caplog.text) is (damage != "layout")


@pytest.mark.parametrize("damage", ["header", "short", "gone", "ends", "elsewhere"])
def test_damaged_arrays_are_built_anew_with_all_of_it(history, damage, monkeypatch, caplog):
    monkeypatch.setattr("provgraph.index.edge_arrays.MIN_EDGES", 1)
    reindex(load())
    folder = history / "lineage"
    (path,) = folder.glob("arrays-*.bin")
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[20] ^= 1
        path.write_bytes(data)
    elif damage == "short":
        path.write_bytes(data[:-4])
    elif damage == "gone":
        path.unlink()
    elif damage == "ends":
        path.write_bytes(data[:64] + b"\xff" * (len(data) - 64))
        with pytest.raises(DamagedIndexError, match="are not what was written"):
            require_sound(path)
    else:
        with sqlite3.connect(next(folder.glob("edges-*.db"))) as db:
            db.execute("UPDATE state SET arrays = '../index/CURRENT'")
        db.close()
    with open_reader(load()) as reader:
        assert len(reader.walk(MODEL, up=True, max_depth=None).edges) == 2
    assert "lineage index damaged, built anew" in caplog.text
    (new,) = folder.glob("arrays-*.bin")
    require_sound(new)


def test_arrays_follow_what_comes_in_and_are_written_anew_when_much_did(history, monkeypatch):
    monkeypatch.setattr("provgraph.index.edge_arrays.MIN_EDGES", 1)
    monkeypatch.setattr("provgraph.index.edge_arrays._MIN_RECENT", 2)
    reindex(load())
    (first,) = (history / "lineage").glob("arrays-*.bin")
    before = DATA
    for number in range(4):
        with provgraph.run("later", owner="a") as run:
            run.use("s3://bucket/x.bin", role="raw", digest=before)
            before = f"sha256:{number:064x}"
            run.generate("s3://bucket/y.bin", name="y", kind="dataset", digest=before)
        with open_reader(load()) as reader:
            found = reader.walk(RAW, up=False, max_depth=None)
            assert iri(before) in found.nodes
        (now,) = (history / "lineage").glob("arrays-*.bin")
        assert (now == first) is (number < 2)


def test_a_lost_file_is_built_from_nothing_and_reindex_builds_it(history):
    before = assert_follows(history)
    shutil.rmtree(history / "lineage")
    assert assert_follows(history) == before
    (old,) = (history / "lineage").glob("edges-*.db")
    reindex(load())
    assert rows(history) == before
    (new,) = (history / "lineage").glob("edges-*.db")
    assert new != old


def test_a_killed_replay_heals(history):
    for _ in range(20):
        with provgraph.run("many", owner="a") as run:
            run.log_params(x=1)
    for delay_s in (0.1, 0.15, 0.2, 0.25):
        shutil.rmtree(history / "index", ignore_errors=True)
        shutil.rmtree(history / "lineage", ignore_errors=True)
        process = subprocess.Popen([sys.executable, "-c", FOLLOW], stdout=subprocess.PIPE)
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert_follows(history)


def test_it_may_be_behind_and_is_never_ahead(history, monkeypatch):
    assert_follows(history)
    file = open_edges(history / "lineage", read_only=False)
    assert file is not None
    with file, readable_ledger(load()) as ledger:
        size = ledger.size()
        assert file.watermark().size == size
        with provgraph.run("later", owner="a") as run:
            run.log_params(x=1)
        assert file.watermark().size == size
        # Dying inside the transaction leaves neither rows nor watermark.
        batch, mark = next(iter(lineage_index._batches(ledger, size, ledger.size())))
        monkeypatch.setattr(file, "_set_mark", lambda _: 1 / 0)
        before = rows(history)
        with pytest.raises(ZeroDivisionError):
            file.append(batch, mark=mark)
    assert rows(history) == before
    assert_follows(history)
