"""Which runs are open in this process: for `current_run`, for child processes, and across forks.

A child process learns of the run around it from `PROVGRAPH_PARENT_RUN`, which holds the innermost
open run for as long as one is open, and then again what it held before. Within a process the run
around another is the one open in the same context (thread, task), never one of a sibling thread.
"""

from __future__ import annotations

import contextvars
import os
import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from provgraph.capture.run import Run

PARENT_VARIABLE: Final = "PROVGRAPH_PARENT_RUN"

current: Final[contextvars.ContextVar[Run | None]] = contextvars.ContextVar(
    "provgraph_run", default=None
)


class _Process:
    """What this process has open. One of it exists."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ids: list[str] = []  # in the order in which they were entered
        self.inherited: str | None = None  # what the variable held before the first of them
        self.runs: weakref.WeakSet[Run] = weakref.WeakSet()


_process: Final = _Process()


def current_run() -> Run | None:
    """Return the innermost run that is open in this context, None outside of any."""
    run = current.get()
    # Runs may end in any order, and in another context than they began in (generators, tasks).
    while run is not None and run.is_over:
        run = run.around
    return run


def inherited_parent(environ: Mapping[str, str]) -> str | None:
    """Return the id of the run that the process which started this one was in."""
    with _process.lock:
        if _process.ids and environ is os.environ:
            return _process.inherited
        return environ.get(PARENT_VARIABLE) or None


def announce(run: Run) -> None:
    """Let child processes know that a run is open."""
    with _process.lock:
        if not _process.ids:
            _process.inherited = os.environ.get(PARENT_VARIABLE) or None
        _process.ids.append(run.id)
        _process.runs.add(run)
        os.environ[PARENT_VARIABLE] = run.id


def withdraw(run: Run) -> None:
    """Take an announcement back; runs of several threads may end in any order."""
    with _process.lock:
        _process.runs.discard(run)
        if run.id not in _process.ids:
            return
        _process.ids.remove(run.id)
        around = _process.ids[-1] if _process.ids else _process.inherited
        if around is None:
            os.environ.pop(PARENT_VARIABLE, None)
        else:
            os.environ[PARENT_VARIABLE] = around


def _after_fork_in_child() -> None:
    # Another thread of the parent may have held this lock; here nobody would ever let go of it.
    _process.lock = threading.Lock()
    for run in list(_process.runs):
        run._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
