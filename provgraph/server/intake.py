"""The thread that takes records in: it reads, converts and seals what requests bring, in their order.

Conversion holds the interpreter, so several threads would only contend for it. What waits is taken
together, and what a commit answers goes back to the event loop together: under load a request wakes
nobody for itself alone. The ledger's committer answers in its own thread; only what it refused goes
through this one again.

One event loop hands over; `close` lets what was handed over come to its end.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from provgraph.errors import StorageError
from provgraph.ledger.rows import Position
from provgraph.service.ingesting import HandedOver, Ingest, Taken

logger: Final = logging.getLogger(__name__)

_Outcome = Sequence[Taken] | BaseException


@dataclass(slots=True, eq=False)
class _Job:
    """A request's records on their way."""

    begin: Callable[[], HandedOver]
    answer: asyncio.Future[Sequence[Taken]]


class Intake:
    """The thread, and what waits for it."""

    def __init__(self, ingest: Ingest, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; answers are given in that loop."""
        self._ingest = ingest
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_closed = False
        self._changed = threading.Condition()
        self._outcomes: deque[tuple[_Job, _Outcome]] = deque()
        self._under_way = 0  # jobs without an outcome
        self._thread = threading.Thread(target=self._run, name="provgraph-ingest", daemon=True)
        self._thread.start()

    async def take(self, begin: Callable[[], HandedOver]) -> Sequence[Taken]:
        """Run `begin` in the thread, and return what became of its records once that is durable.

        Whatever becomes of the request that waits, the commit goes on.

        Raises:
            StorageError: the server is stopping.
            Exception: what `begin` raises, and as `Ingest.take`.
        """
        job = _Job(begin, self._loop.create_future())
        with self._changed:
            if self._is_closed:
                raise StorageError("the server is stopping; send the records again when it is back")
            self._under_way += 1
            self._push(functools.partial(self._begin, job))
        return await job.answer

    def close(self) -> None:
        """Wait for what was handed over, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    # ---- in the thread ---------------------------------------------------------------------------
    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._is_closed and not self._under_way:
                        return
                    self._changed.wait()
                steps = list(self._waiting)
                self._waiting.clear()
            for step in steps:
                step()

    def _begin(self, job: _Job) -> None:
        try:
            handed = job.begin()
        except BaseException as error:
            self._end(job, error)
            return
        # Called at once where it is done already, else by the committer.
        handed.committed.add_done_callback(functools.partial(self._committed, job, handed))

    def _settle(self, job: _Job, handed: HandedOver) -> None:
        try:
            self._end(job, self._ingest.finish(handed))
        except BaseException as error:
            self._end(job, error)

    # ---- in the committer's thread, or this one --------------------------------------------------
    def _committed(self, job: _Job, handed: HandedOver, future: Future[list[Position]]) -> None:
        if future.exception() is None:
            self._end(job, self._ingest.finish(handed))
            return
        # Finding out what to do about it takes reading, and perhaps another commit.
        with self._changed:
            self._push(functools.partial(self._settle, job, handed))

    def _end(self, job: _Job, outcome: _Outcome) -> None:
        with self._changed:
            self._under_way -= 1
            if self._is_closed:
                self._changed.notify()
            self._outcomes.append((job, outcome))
            is_first = len(self._outcomes) == 1
        if is_first:
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:
                logger.warning("records committed after the end of their request")

    def _push(self, step: Callable[[], None]) -> None:
        self._waiting.append(step)
        if len(self._waiting) == 1:
            self._changed.notify()

    # ---- in the event loop -----------------------------------------------------------------------
    def _answer(self) -> None:
        with self._changed:
            outcomes = list(self._outcomes)
            self._outcomes.clear()
        for job, outcome in outcomes:
            if job.answer.done():
                continue  # nobody waits any more
            if isinstance(outcome, BaseException):
                job.answer.set_exception(outcome)
            else:
                job.answer.set_result(outcome)
