"""Questions of our own that take several queries, such as a walk: each query in a query worker.

The questions are written for a `select` function that waits, so they run in a thread of their own; the
queries run in the pool, on one snapshot of what the caller sees, all within one deadline.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from provgraph import terms, vocab
from provgraph.errors import DamagedIndexError
from provgraph.index.pool import QueryTimeoutError, Request
from provgraph.index.store import Row, Solutions
from provgraph.query.asking import Ask
from provgraph.query.lineage import Select
from provgraph.query.lineage_graph import LineageGraph, open_lineage
from provgraph.server.endpoints import Call
from provgraph.service.snapshots import Snapshot
from provgraph.terms import Term

Found = TypeVar("Found")


async def with_select(
    call: Call, ask: Callable[[Select], Found], *, min_ledger_size: int = 0
) -> tuple[Found, int]:
    """Run a question; return what it found, and the ledger size that it holds for.

    Raises:
        QueryError: over a limit.
        NotFoundError: the snapshot does not come to that size.
    """
    return await _on_snapshot(call, lambda select, _: ask(select), min_ledger_size)


async def with_lineage(
    call: Call,
    ask: Callable[[Select, LineageGraph], Found],
    *,
    as_of: int | None = None,
    min_ledger_size: int = 0,
) -> tuple[Found, int]:
    """Run a question that walks too, over the lineage index of what the caller sees.

    As of a size, wait for that size as well.

    Raises:
        QueryError: over a limit.
        NotFoundError: the snapshot does not come to that size.
    """

    def run(select: Select, snapshot: Snapshot) -> Found:
        size = snapshot.ledger_size
        until = size if as_of is None else as_of
        with open_lineage(snapshot.lineage, as_of=until, min_size=size) as graph:
            return ask(select, graph)

    return await _on_snapshot(call, run, min_ledger_size)


async def _on_snapshot(
    call: Call, ask: Callable[[Select, Snapshot], Found], min_ledger_size: int
) -> tuple[Found, int]:
    services = call.services
    async with services.snapshots.lend(call.view, min_size=min_ledger_size) as snapshot:
        loop = asyncio.get_running_loop()
        select = select_on(call, snapshot.folder, loop)
        try:
            found = await loop.run_in_executor(services.walkers, ask, select, snapshot)
        except DamagedIndexError:
            await services.snapshots.rebuild(snapshot)
            raise
        return found, snapshot.ledger_size


def select_on(call: Call, folder: Path, loop: asyncio.AbstractEventLoop) -> Ask:
    """Return a function that runs queries in workers, over the index in a folder, from a thread."""
    timeout_s = call.services.settings.query_timeout_s
    deadline_s = time.monotonic() + timeout_s

    def select(query: str, *, graphs: Sequence[str] | None = None) -> Solutions:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise QueryTimeoutError(f"stopped after {timeout_s:g} s; ask for a smaller depth")
        request = Request(
            query=query,
            folder=folder,
            formats=dict.fromkeys(("rows", "boolean"), "JSON"),
            timeout_s=left_s,
            is_ours=True,
            default_graphs=None if graphs is None else tuple(graphs),
            named_graphs=None if graphs is None else tuple(graphs),
        )
        running = call.services.pool.run(request, who=call.caller.name)
        answer = asyncio.run_coroutine_threadsafe(running, loop).result()
        body = answer.body
        if not isinstance(body, bytes):
            with body:
                body = body.read()
        return _solutions(body)

    return select


def _solutions(body: bytes) -> Solutions:
    """Read SPARQL 1.1 Query Results JSON."""
    value = json.loads(body)
    columns = tuple(value["head"]["vars"])
    rows: list[Row] = [
        tuple(None if name not in row else _term(row[name]) for name in columns)
        for row in value["results"]["bindings"]
    ]
    return Solutions(columns=columns, rows=tuple(rows))


def _term(cell: dict[str, str]) -> Term:
    value = cell["value"]
    if cell["type"] == "uri":
        return Term(f"<{value}>")
    quoted = terms.string(value)
    if "xml:lang" in cell:
        return Term(f"{quoted}@{cell['xml:lang']}")
    datatype = cell.get("datatype", f"{vocab.XSD}string")
    return quoted if datatype == f"{vocab.XSD}string" else Term(f"{quoted}^^<{datatype}>")
