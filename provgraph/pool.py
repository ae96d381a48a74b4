"""Work on several cores: one function in processes of its own, tasks in, answers out in order.

A worker is a fresh interpreter, not a fork: it inherits no open SQLite file, no lock and no thread.
Tasks and answers are JSON, one to a line. Nothing outlives who asked: workers end when their input
does, and are killed when the answers are no longer wanted.

What it does not do: retry. A worker that dies (out of memory, killed) is an error.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from provgraph import errors
from provgraph.errors import ProvgraphError

Task = dict[str, Any]
Answer = dict[str, Any]
Work = Callable[[Task], Answer]
Begin = Callable[[Task], AbstractContextManager[Work]]

# Tasks handed out beyond those that are being worked on, so that no worker waits for the next one.
_AHEAD: Final = 2


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def answers(
    begin: str, setup: Task, tasks: Iterable[Task], *, processes: int
) -> Iterator[tuple[Task, Answer]]:
    """Yield each task with its answer, in the order of the tasks; few are in memory at a time.

    Args:
        begin: `module:function` that takes the setup and gives, as a context, what does a task.
        setup: given to each worker once; JSON.
        tasks: JSON each; taken as they are needed.
        processes: how many workers; with none the work is done in this process.

    Raises:
        ProvgraphError: what a task raised.
        BrokenWorkerError: a worker died.
    """
    if processes == 0:
        with load(begin)(setup) as work:
            for task in tasks:
                yield task, work(task)
        return
    workers = [_Worker(begin, setup) for _ in range(processes)]
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def ask(task: Task) -> Answer:
        worker = idle.get()
        try:
            return worker.ask(task)
        finally:
            idle.put(worker)

    executor = ThreadPoolExecutor(max_workers=processes)
    try:
        remaining = iter(tasks)
        waiting: deque[tuple[Task, Future[Answer]]] = deque(
            (task, executor.submit(ask, task)) for task in islice(remaining, processes + _AHEAD)
        )
        while waiting:
            task, future = waiting.popleft()
            answer = future.result()
            waiting.extend((each, executor.submit(ask, each)) for each in islice(remaining, 1))
            yield task, answer
    finally:
        for worker in workers:
            worker.kill()
        executor.shutdown(cancel_futures=True)


def load(begin: str) -> Begin:
    """Return the function that `module:function` names."""
    module, _, name = begin.partition(":")
    found: Begin = getattr(importlib.import_module(module), name)
    return found


class BrokenWorkerError(ProvgraphError):
    """A worker ended by itself: nothing is known about what it was asked."""


class _Worker:
    def __init__(self, begin: str, setup: Task) -> None:
        # By path and isolated, as the package may be importable here in a way of its own.
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("pool_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        path = [os.path.abspath(each) for each in sys.path]
        self._write({"path": path, "begin": begin, "setup": setup})

    def ask(self, task: Task) -> Answer:
        self._write(task)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            status = self._process.wait()
            raise BrokenWorkerError(
                f"a process that was checking ended by itself (status {status}): it was killed, or"
                " memory ran out; nothing is known about the rest. Repeat it"
            )
        answer: Answer = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["error"], ProvgraphError)
            raise kind(answer["message"])
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was buffered for a worker that is gone
                    stream.close()

    def _write(self, value: Task) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it died; `ask` says so when it reads
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            self._process.stdin.flush()
