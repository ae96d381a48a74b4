"""The pool of query workers: deadlines, limits, crashes and cancelling, one query at a time."""

import asyncio

import pyoxigraph as ox
import pytest

from provgraph.errors import ProvgraphError
from provgraph.index.diagnosis import QuerySyntaxError
from provgraph.index.pool import (
    PoolLimits,
    QueryPool,
    QueryStoppedError,
    QueryTimeoutError,
    QueryTooLargeError,
    Request,
    TooBusyError,
)

FORMATS = {"rows": "TSV", "boolean": "TSV", "triples": "N_TRIPLES"}
SLOW = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool") / "index"
    store = ox.Store(str(folder))
    p = ox.NamedNode("urn:p")
    store.bulk_extend(
        ox.Quad(ox.NamedNode(f"urn:{n}"), p, ox.Literal("x" * 100)) for n in range(500)
    )
    store.flush()
    return folder


def limits(**changes):
    return PoolLimits(
        **{
            "workers": 1,
            "queue": 2,
            "timeout_s": 20.0,
            "memory_bytes": 1 << 30,
            "answer_bytes": 1 << 26,
            **changes,
        }
    )


def with_pool(use, **changes):
    async def main():
        pool = QueryPool(limits(**changes))
        await pool.start()
        try:
            return await use(pool)
        finally:
            await pool.close()

    return asyncio.run(main())


def request(folder, query, **more):
    return Request(query=query, folder=folder, formats=FORMATS, **more)


def test_one_worker_answers_again_and_again(folder):
    async def use(pool):
        bodies = [
            (await pool.run(request(folder, f"SELECT ?n {{ BIND({n} AS ?n) }}"), who="t")).body
            for n in range(3)
        ]
        return bodies, len({one.process.pid for one in pool._all})

    assert with_pool(use) == ([b"?n\n0\n", b"?n\n1\n", b"?n\n2\n"], 2)


def test_an_error_leaves_the_worker_alive(folder):
    async def use(pool):
        with pytest.raises(QuerySyntaxError, match=r"line 1, column 10: this \{ is not closed"):
            await pool.run(request(folder, "SELECT * {"), who="t")
        pids = {one.process.pid for one in pool._all}
        answer = await pool.run(request(folder, "ASK {}"), who="t")
        return answer.body, pids == {one.process.pid for one in pool._all}

    assert with_pool(use) == (b"true", True)


def test_a_deadline_kills_the_worker_and_a_spare_takes_over(folder):
    async def use(pool):
        before = {one.process.pid for one in pool._all}
        with pytest.raises(QueryTimeoutError, match=r"stopped after 0.3 s"):
            await pool.run(request(folder, SLOW, timeout_s=0.3), who="t")
        answer = await pool.run(request(folder, "ASK {}"), who="t")
        return answer.body, len(before & {one.process.pid for one in pool._all})

    assert with_pool(use) == (b"true", 1)


def test_an_answer_over_its_size_is_an_error_and_never_cut(folder):
    async def use(pool):
        with pytest.raises(QueryTooLargeError, match="an answer of more than"):
            await pool.run(request(folder, "SELECT * { ?s ?p ?o }"), who="t")
        return (await pool.run(request(folder, "ASK {}"), who="t")).body

    assert with_pool(use, answer_bytes=20_000) == b"true"


def test_a_large_answer_comes_whole_through_a_file(folder):
    async def use(pool):
        query = "SELECT * { ?s ?p ?o . ?s2 ?p ?o } LIMIT 60000"
        answer = await pool.run(request(folder, query), who="t")
        with answer.body as body:
            return body.read().count(b"\n"), answer.size_bytes > 4 << 20

    assert with_pool(use) == (60_001, True)


def test_a_crash_of_the_engine_is_an_error_of_that_query(folder):
    async def use(pool):
        chain = " || ".join(["?s = ?o"] * 20_000)
        with pytest.raises(QueryTooLargeError, match="ended the engine's process"):
            await pool.run(request(folder, f"SELECT * {{ ?s ?p ?o FILTER({chain}) }}"), who="t")
        return (await pool.run(request(folder, "ASK {}"), who="t")).body

    assert with_pool(use) == b"true"


def test_an_empty_list_of_graphs_means_none_and_not_all(folder):
    async def use(pool):
        asked = request(folder, "ASK { ?s ?p ?o }", default_graphs=(), named_graphs=())
        return (await pool.run(asked, who="t")).body

    assert with_pool(use) == b"false"


def test_a_running_query_is_listed_and_can_be_stopped(folder):
    async def use(pool):
        task = asyncio.create_task(pool.run(request(folder, SLOW), who="ada"))
        await asyncio.sleep(0.3)
        (listed,) = pool.running.values()
        seen = (listed.who, listed.state, listed.query, pool.cancel(listed.number), pool.cancel(99))
        with pytest.raises(QueryStoppedError):
            await task
        return seen, dict(pool.running), (await pool.run(request(folder, "ASK {}"), who="t")).body

    assert with_pool(use) == (("ada", "running", SLOW, True, False), {}, b"true")


def test_more_than_may_wait_is_refused_at_once(folder):
    async def use(pool):
        tasks = [asyncio.create_task(pool.run(request(folder, SLOW), who="t")) for _ in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(TooBusyError, match="3 queries are running or waiting"):
            await pool.run(request(folder, "ASK {}"), who="t")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return (await pool.run(request(folder, "ASK {}"), who="t")).body

    assert with_pool(use) == b"true"


def test_a_pool_that_was_closed_starts_nothing_more(folder):
    async def use(pool):
        await pool.close()
        with pytest.raises(TooBusyError, match="stopping"):
            await pool.run(request(folder, "ASK {}"), who="me")
        return pool._all

    assert with_pool(use) == set()


def test_a_query_of_our_own_is_not_looked_through(folder):
    # A step of a walk over long IRIs is longer than a foreign query may be.
    long = " ".join(f"<urn:{'x' * 3000}{n}>" for n in range(500))
    query = f"SELECT ?x {{ VALUES ?x {{ {long} }} ?x ?p ?o }}"

    async def use(pool):
        with pytest.raises(ProvgraphError, match="KiB"):
            await pool.run(request(folder, query), who="me")
        return (await pool.run(request(folder, query, is_ours=True), who="me")).body

    assert with_pool(use) == b"?x\n"


def test_a_worker_has_no_sockets_and_starts_no_programs(folder):
    # The words are refused first; here the worker itself is asked, past that refusal.
    async def use(pool):
        one = await pool._take()
        asked = request(folder, "SELECT * { SERVICE <http://127.0.0.1:8000/> { ?s ?p ?o } }")
        with pytest.raises(ProvgraphError, match="Permission denied"):
            await one.answer(asked)
        return True

    assert with_pool(use) is True
