"""A pool of warm worker processes for foreign SPARQL: bounded time, memory, bytes and queue.

The server process never evaluates a foreign query. A worker (`provgraph.index.worker`, serve mode)
opens a snapshot of the index read-only, has no sockets and no programs, and may take so much memory;
its deadline is a SIGKILL from here. A query that crashes the engine kills one worker, and a spare,
started beforehand, stands in for it. An answer is complete or an error, never cut: it is collected
here, in memory up to a size and beyond that in a file without a name, before anybody sees a byte.

asyncio, one event loop. Times are seconds, sizes bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from provgraph.errors import DamagedIndexError, FormatError, ProvgraphError, QueryError
from provgraph.index import worker
from provgraph.index.diagnosis import QuerySyntaxError, diagnose
from provgraph.index.sandbox import check_query

logger: Final = logging.getLogger(__name__)

# An answer up to this size stays in memory.
_IN_MEMORY_BYTES: Final = 4 * 1024 * 1024
# After so many queries a worker is replaced while idle: what fragments its memory goes with it.
_QUERIES_PER_WORKER: Final = 20_000
_FRAME_HEAD: Final = 5
# Characters of a query that are looked through within the event loop; more would hold up others.
_CHECKED_AT_ONCE: Final = 8 * 1024

_LIBRARIES: Final = [str(Path(each).absolute()) for each in sys.path if each]

FORMATS: Final = {
    "rows": ("JSON", "XML", "CSV", "TSV"),
    "boolean": ("JSON", "XML", "CSV", "TSV"),
    "triples": ("TURTLE", "TRIG", "N_TRIPLES", "N_QUADS", "RDF_XML", "JSON_LD"),
}
"""Which serialisations the engine has for each kind of answer, by its own names for them."""


class TooBusyError(ProvgraphError):
    """As many queries are waiting as may wait; ask again later."""


class QueryStoppedError(QueryError):
    """Somebody stopped the query while it ran."""


class QueryTimeoutError(QueryError):
    """The query was stopped at its deadline."""


class QueryTooLargeError(QueryError):
    """The query needs more memory, or its answer more bytes, than it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """What queries may take."""

    workers: int
    spares: int = 1
    queue: int = 64
    timeout_s: float
    memory_bytes: int
    answer_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One query over one snapshot. Graph lists: None means all, an empty one means none."""

    query: str
    folder: Path
    formats: dict[str, str]  # kind of answer -> one of FORMATS
    base: str | None = None
    default_graphs: tuple[str, ...] | None = None
    named_graphs: tuple[str, ...] | None = None
    timeout_s: float | None = None  # less than the pool's own
    is_ours: bool = False  # no foreign text is in it but checked IRIs, so it is not looked through


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseRequest:
    """One foreign file to be parsed, and how its blank nodes are named: `<skolem>1`, `<skolem>2`."""

    data: bytes
    media_type: str
    base: str
    skolem: str
    statements: int
    timeout_s: float | None = None

    @property
    def query(self) -> str:
        """What the monitor shows."""
        return f"a file of {len(self.data)} bytes, {self.media_type}"


@dataclass(slots=True, kw_only=True)
class PoolAnswer:
    """A complete answer, serialised."""

    kind: str  # rows | boolean | triples
    body: bytes | IO[bytes]  # a file, at its start, where it is large
    size_bytes: int
    duration_s: float


@dataclass(slots=True, kw_only=True)
class Running:
    """A query that is running or waiting, for whoever watches."""

    number: int
    query: str
    who: str
    since_s: float  # time.time()
    task: asyncio.Task[Any] | None = None
    state: str = "waiting"
    is_stopped: bool = False


@dataclass(slots=True)
class _Collected:
    """What came back so far."""

    kind: str = ""
    size: int = 0
    pieces: list[bytes] = field(default_factory=list)
    spill: IO[bytes] | None = None

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.spill is None and self.size > _IN_MEMORY_BYTES:
            # The answer outlives this function; whoever sends it closes it.
            self.spill = cast("IO[bytes]", tempfile.TemporaryFile())  # noqa: SIM115
            self.spill.write(b"".join(self.pieces))
            self.pieces.clear()
        if self.spill is not None:
            self.spill.write(data)
        else:
            self.pieces.append(data)

    def body(self) -> bytes | IO[bytes]:
        if self.spill is None:
            return b"".join(self.pieces)
        self.spill.seek(0)
        return self.spill

    def close(self) -> None:
        if self.spill is not None:
            self.spill.close()


class _Worker(asyncio.Protocol):
    """One worker process, and the query that it is at."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.queries = 0
        self._is_at_rest = True
        self._request: Request | ParseRequest | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._collected = _Collected()
        self._done: asyncio.Future[_Collected] | None = None

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _FRAME_HEAD:
            end = _FRAME_HEAD + int.from_bytes(self._buffer[1:_FRAME_HEAD], "big")
            if len(self._buffer) < end:
                return
            kind, body = self._buffer[0], bytes(self._buffer[_FRAME_HEAD:end])
            del self._buffer[:end]
            self._take(kind, body)

    def connection_lost(self, error: Exception | None) -> None:
        del error  # the process ended, whatever the socket says of it
        self._fail(
            QueryTooLargeError(
                "the query ended the engine's process: it needs too much memory or nests too deeply;"
                " the store is unharmed"
            )
        )

    @property
    def is_at_rest(self) -> bool:
        """Whether it has answered, with an answer or an error, and waits for the next query."""
        return self._is_at_rest and self.is_alive

    @property
    def is_alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, kind: bytes, value: object) -> None:
        assert self._transport is not None
        data = json.dumps(value).encode()
        self._transport.write(kind + len(data).to_bytes(4, "big") + data)

    async def answer(self, request: Request | ParseRequest) -> _Collected:
        """Run one query, or parse one file; the caller sees to the deadline."""
        self.queries += 1
        self._is_at_rest = False
        self._collected = _Collected()
        self._request = request
        self._done = asyncio.get_running_loop().create_future()
        if isinstance(request, ParseRequest):
            self.send(
                b"Q",
                {
                    "parse": request.media_type,
                    "size": len(request.data),
                    "base": request.base,
                    "skolem": request.skolem,
                    "statements": request.statements,
                },
            )
            assert self._transport is not None, "it has just been sent to"
            self._transport.write(request.data)
        else:
            self.send(
                b"Q",
                {
                    "index": str(request.folder),
                    "query": request.query,
                    "base": request.base,
                    "default_graphs": request.default_graphs,
                    "named_graphs": request.named_graphs,
                    "formats": request.formats,
                },
            )
        try:
            return await self._done
        finally:
            self._done = None

    def end(self) -> None:
        """Kill the process; nothing of it is left."""
        if self._transport is not None:
            self._transport.abort()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._collected.close()

    def _take(self, kind: int, body: bytes) -> None:
        collected = self._collected
        if kind == ord("D"):
            collected.add(body)
        elif kind == ord("K"):
            collected.kind = body.decode()
        elif kind == ord("E"):
            self._is_at_rest = True
            if self._done is not None and not self._done.done():
                self._done.set_result(collected)
        else:
            self._is_at_rest = True
            collected.close()
            refusal = json.loads(body)
            if refusal["code"] == "syntax" and isinstance(self._request, Request):
                query = self._request.query
                self._fail(QuerySyntaxError(diagnose(query, refusal["message"])))
            elif refusal["code"] == "syntax":
                self._fail(FormatError(refusal["message"]))
            else:
                self._fail(_ERRORS[refusal["code"]](refusal["message"]))

    def _fail(self, error: ProvgraphError) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)


_ERRORS: Final[dict[str, Callable[[str], ProvgraphError]]] = {
    "limit": QueryTooLargeError,
    "memory": QueryTooLargeError,
    "engine": QueryError,
    "damage": DamagedIndexError,
}


class QueryPool:
    """Worker processes, and the queries that wait for one. Use `start` and `close`."""

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self.running: dict[int, Running] = {}
        self._idle: deque[_Worker] = deque()
        self._all: set[_Worker] = set()
        self._free = asyncio.Semaphore(limits.workers)
        self._number = 0
        self._starting: asyncio.Task[None] | None = None
        self._is_closed = False

    async def start(self) -> None:
        """Start the workers and their spares."""
        for _ in range(self.limits.workers + self.limits.spares):
            self._idle.append(await self._start_one())

    async def close(self) -> None:
        """End all workers; queries that run are ended with an error."""
        self._is_closed = True
        for each in list(self.running.values()):
            if each.task is not None:
                each.task.cancel()
        for one in list(self._all):
            one.end()
        self._all.clear()
        self._idle.clear()

    def cancel(self, number: int) -> bool:
        """Stop a query; whether there was one of that number."""
        found = self.running.get(number)
        if found is None or found.task is None:
            return False
        found.is_stopped = True
        found.task.cancel()
        return True

    async def run(self, request: Request, *, who: str) -> PoolAnswer:
        """Answer a foreign query, complete or not at all.

        Raises:
            QueryError: refused or malformed; its subclasses say too large, stopped at the deadline or
            by an operator.
            TooBusyError: too many are waiting.
            DamagedIndexError: the snapshot cannot be read.
        """
        if not request.is_ours and len(request.query) <= _CHECKED_AT_ONCE:
            check_query(request.query)
        elif not request.is_ours:
            await asyncio.to_thread(check_query, request.query)
        return await self._watched(request, who=who)

    async def parse(self, request: ParseRequest, *, who: str) -> list[bytes]:
        """Parse a foreign file; return its triples as N-Triples lines, sorted, without blank nodes.

        Raises:
            FormatError: it is malformed, or holds what no record can hold.
            QueryTooLargeError: more statements, bytes or memory than it may have.
            QueryTimeoutError, TooBusyError: as for `run`.
        """
        answer = await self._watched(request, who=who)
        body = answer.body
        if not isinstance(body, bytes):
            with body:
                body = body.read()
        return sorted(set(body.splitlines(keepends=True)))

    async def _watched(self, request: Request | ParseRequest, *, who: str) -> PoolAnswer:
        if self._is_closed:
            raise TooBusyError("the server is stopping; ask again when it is back")
        if len(self.running) >= self.limits.workers + self.limits.queue:
            raise TooBusyError(
                f"{len(self.running)} queries are running or waiting, which is all that may;"
                " ask again in a moment"
            )
        self._number += 1
        running = Running(
            number=self._number,
            query=request.query,
            who=who,
            since_s=time.time(),
            task=asyncio.current_task(),
        )
        self.running[running.number] = running
        began_s = time.monotonic()
        try:
            collected = await self._run(request, running)
        except asyncio.CancelledError:
            if not running.is_stopped or running.task is None:
                raise
            running.task.uncancel()
            raise QueryStoppedError("an operator stopped this query") from None
        finally:
            del self.running[running.number]
        return PoolAnswer(
            kind=collected.kind,
            body=collected.body(),
            size_bytes=collected.size,
            duration_s=time.monotonic() - began_s,
        )

    async def _run(self, request: Request | ParseRequest, running: Running) -> _Collected:
        timeout_s = min(self.limits.timeout_s, request.timeout_s or self.limits.timeout_s)
        try:
            # Waiting counts: whoever asked waits for all of it.
            async with asyncio.timeout(timeout_s):
                async with self._free:
                    one = await self._take()
                    running.state = "running"
                    try:
                        return await one.answer(request)
                    finally:
                        # One that was interrupted still computes: only its end stops it.
                        self._put_back(one, is_whole=one.is_at_rest)
        except TimeoutError:
            raise QueryTimeoutError(
                f"stopped after {timeout_s:g} s; make it narrower, or ask the operator for a longer"
                " query_timeout_s"
            ) from None

    async def _take(self) -> _Worker:
        while self._idle:
            one = self._idle.popleft()
            if one.is_alive and one.process.poll() is None:
                return one
            self._drop(one)
        return await self._start_one()

    def _put_back(self, one: _Worker, *, is_whole: bool) -> None:
        if is_whole and one.queries < _QUERIES_PER_WORKER and not self._is_closed:
            self._idle.append(one)
            return
        self._drop(one)
        if not self._is_closed and self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._refill())

    async def _refill(self) -> None:
        try:
            while len(self._all) < self.limits.workers + self.limits.spares and not self._is_closed:
                self._idle.append(await self._start_one())
        finally:
            self._starting = None

    def _drop(self, one: _Worker) -> None:
        self._all.discard(one)
        one.end()

    async def _start_one(self) -> _Worker:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            # By path, not by name: the package may be importable here in a way that the worker's
            # is not. Started in a thread, since it takes a moment.
            process = await loop.run_in_executor(
                None,
                lambda: subprocess.Popen(
                    [sys.executable, "-I", worker.__file__, "serve", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=worker.ENVIRONMENT,
                    cwd="/",
                ),
            )
        one = _Worker(process)
        self._all.add(one)
        ours.setblocking(False)
        await loop.create_unix_connection(lambda: one, sock=ours)
        one.send(
            b"O",
            {
                # The worker is isolated from the environment; it finds its library where we did.
                "path": _LIBRARIES,
                "bytes": self.limits.answer_bytes,
                "memory_bytes": self.limits.memory_bytes,
                "formats": sorted({each for kind in FORMATS.values() for each in kind}),
            },
        )
        return one
