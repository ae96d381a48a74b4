"""Snapshots for query workers: at a ledger size, kept while read, made anew when the ledger grows."""

import asyncio

import pyoxigraph as ox
import pytest

import provgraph
from provgraph.errors import NotFoundError
from provgraph.service.asking import open_reader
from provgraph.service.snapshots import SnapshotKeeper
from provgraph.settings import load


def record(name):
    with provgraph.run(name) as run:
        run.log_params(a=1)
    return run.receipt.ledger_size


def with_keeper(use):
    async def main():
        keeper = SnapshotKeeper(load())
        await keeper.start()
        try:
            return await use(keeper)
        finally:
            await keeper.close()

    return asyncio.run(main())


def labels(snapshot):
    store = ox.Store.read_only(str(snapshot.folder))
    query = "SELECT ?l { ?r a <https://w3id.org/provgraph/ns#Run> ; <http://www.w3.org/2000/01/rdf-schema#label> ?l } ORDER BY ?l"
    return [row["l"].value for row in store.query(query)]


def test_a_reader_of_its_own_writes_waits_for_them(home):
    first = record("one")

    async def use(keeper):
        async with keeper.lend() as old:
            size = await asyncio.to_thread(record, "two")
            async with keeper.lend(min_size=size) as new:
                return labels(old), labels(new), old.ledger_size, new.ledger_size == size

    assert with_keeper(use) == (["one"], ["one", "two"], first, True)


def test_a_snapshot_is_removed_when_nobody_reads_it(home):
    record("one")

    async def use(keeper):
        async with keeper.lend() as old:
            size = await asyncio.to_thread(record, "two")
            async with keeper.lend(min_size=size) as new:
                both = old.folder.exists(), new.folder.exists()
        return both, old.folder.exists(), new.folder.exists()

    assert with_keeper(use) == ((True, True), False, True)
    assert list((home / "snapshots").iterdir()) == []


def test_a_size_that_does_not_come_is_an_error(home):
    size = record("one")

    async def use(keeper):
        with pytest.raises(NotFoundError, match=f"at least {size + 1} ledger entries"):
            async with keeper.lend(min_size=size + 1, timeout_s=0.1):
                pass
        return True

    assert with_keeper(use) is True


def test_before_anything_is_recorded_there_is_none(home):
    async def use(keeper):
        with pytest.raises(NotFoundError, match="nothing has been recorded"):
            async with keeper.lend():
                pass
        size = await asyncio.to_thread(record, "one")
        async with keeper.lend(min_size=size) as snapshot:
            return labels(snapshot)

    assert with_keeper(use) == ["one"]


def test_two_keepers_of_one_home_and_a_dead_ones_leavings(home):
    record("one")
    left = home / "snapshots" / "left-behind"
    left.mkdir(parents=True)

    async def use(keeper):
        async def second(other):
            async with keeper.lend() as a, other.lend() as b:
                return a.folder.exists(), b.folder.exists(), left.exists()

        other = SnapshotKeeper(load())
        await other.start()
        try:
            return await second(other)
        finally:
            await other.close()

    assert with_keeper(use) == (True, True, False)


def test_the_home_can_be_asked_while_a_keeper_lives(home):
    record("one")

    async def use(keeper):
        def ask():
            with open_reader(load()) as reader:
                return reader.ledger_size

        return await asyncio.to_thread(ask) == keeper.ledger_size

    assert with_keeper(use) is True
