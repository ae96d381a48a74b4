"""Snapshots for query workers: at a ledger size, kept while read, made anew when the ledger grows."""

import asyncio

import pyoxigraph as ox
import pytest

import provgraph
from provgraph.access.views import View
from provgraph.errors import IndexUnavailableError, NotFoundError
from provgraph.service.asking import open_reader
from provgraph.service.snapshots import SnapshotKeeper
from provgraph.settings import load


def record(name, project=None):
    with provgraph.run(name, project=project) as run:
        run.log_params(a=1)
    return run.receipt.ledger_size


def with_keeper(use, **options):
    async def main():
        keeper = SnapshotKeeper(load(), **options)
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


def without(*projects):
    return View(hidden=frozenset(projects))


def test_a_view_has_snapshots_of_its_own_that_follow_the_ledger(home):
    record("one", "secret")
    record("two", "other")

    async def use(keeper):
        async with keeper.lend(without("secret")) as a, keeper.lend(without("other")) as b:
            first = labels(a), labels(b)
        await asyncio.to_thread(record, "three", "secret")
        size = await asyncio.to_thread(record, "four", "other")
        async with keeper.lend(without("secret"), min_size=size) as a, keeper.lend() as full:
            return *first, labels(a), labels(full), a.ledger_size == size

    found = with_keeper(use)
    assert found == (["two"], ["one"], ["four", "two"], ["four", "one", "three", "two"], True)
    assert list((home / "snapshots").iterdir()) == []


def test_as_many_views_are_kept_as_may_and_the_one_used_longest_ago_goes(home):
    record("one", "secret")

    async def use(keeper):
        async with keeper.lend(without("a")) as first:
            async with keeper.lend(without("b")):
                with pytest.raises(IndexUnavailableError, match="ask again"):
                    async with keeper.lend(without("c")):
                        pass
            async with keeper.lend(without("c")) as third:
                kept = first.folder.exists(), labels(third)
        sizes = [keeper.size_of(without(each)) is None for each in "abc"]
        folders = sorted(each.name for each in (home / "snapshots").glob("*/view-*"))
        return kept, sizes, folders

    found = with_keeper(use, max_views=2)
    assert found == ((True, ["one"]), [False, True, False], ["view-1", "view-3"])


def test_a_view_whose_files_are_damaged_is_built_anew(home):
    record("one", "secret")
    record("two", "other")

    async def use(keeper):
        async with keeper.lend(without("secret")) as old:
            index = next(old.folder.parent.glob("index"))
            for path in index.glob("*.sst"):
                path.write_bytes(b"damaged")
            await keeper.rebuild(old)
            async with keeper.lend(without("secret")) as new:
                return old.folder != new.folder, labels(new)

    assert with_keeper(use) == (True, ["two"])


def test_views_of_a_home_without_a_ledger_say_so(home):
    async def use(keeper):
        with pytest.raises(NotFoundError, match="nothing has been recorded"):
            async with keeper.lend(without("secret")):
                pass
        size = await asyncio.to_thread(record, "one")
        async with keeper.lend(without("secret"), min_size=size) as snapshot:
            return labels(snapshot)

    assert with_keeper(use) == ["one"]
