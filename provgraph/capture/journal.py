"""Journals: the facts of a run that is going, one JSON line each, in `<home>/journal/<run>.jsonl`.

A line reaches the kernel before the call that made it returns, so a killed process loses nothing
that it had said (a power cut may lose the last seconds; only the ledger is durable against that).
The writer holds an flock on its journal for as long as it lives, whatever its process id; a
journal that nobody holds belongs to a process that died, and whoever looks may seal it.

Not here: what the lines mean (`provgraph.capture.state`) and sealing (`provgraph.service`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from provgraph.capture.facts import Fact

SUFFIX: Final = ".jsonl"

# A line is bounded so that one giant parameter cannot fill the disk; capture shortens values first.
MAX_LINE_BYTES: Final = 8 * 1024 * 1024

_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """The journal of one run, open for appending and locked by this process.

    Not durable against a power cut; durable against a killed process. Writing never raises: lines
    that the disk refused are kept in `unwritten`, and `fault` says why.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.owner_pid = os.getpid()
        self.unwritten: list[Fact] = []
        self.fault: str | None = None
        self._descriptor: int | None = descriptor
        self._own_bytes = 0
        _open_journals.add(self)

    @classmethod
    def create(cls, folder: Path, run_id: str) -> Journal:
        """Make and lock a new journal.

        Raises:
            OSError: the folder cannot be made or written.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{run_id}{SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.suppress(OSError):  # a file system without locks still keeps the facts
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(path, descriptor)

    def write(self, fact: Fact) -> None:
        """Append one fact; the kernel has it when this returns, or it is in `unwritten`."""
        line = json.dumps(fact, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            if self._descriptor is None:
                # A forked child: the lock stays with the parent, the lines go to the same file.
                flags = os.O_WRONLY | os.O_APPEND
                self._descriptor = os.open(self.path, flags)
            if len(line) > MAX_LINE_BYTES:
                self._refuse(fact, f"a fact of {len(line)} bytes is over {MAX_LINE_BYTES}")
                return
            written = os.write(self._descriptor, line)
            self._own_bytes += written
            if written < len(line):
                # A torn line is skipped by readers; the newline keeps the next one whole.
                self._own_bytes += os.write(self._descriptor, b"\n")
                self._refuse(fact, "the disk took only a part of a line")
        except OSError as error:
            self._refuse(fact, error.strerror or str(error))

    def has_foreign_lines(self) -> bool:
        """Whether a forked child wrote facts that this process has not seen."""
        try:
            return self.path.stat().st_size != self._own_bytes
        except OSError:
            return False

    def close(self, *, remove: bool) -> None:
        """Give the journal up; remove it only when the ledger holds what it said."""
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        _open_journals.discard(self)

    def _refuse(self, fact: Fact, reason: str) -> None:
        self.unwritten.append(fact)
        self.fault = reason

    def _after_fork(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)  # without unlocking: the parent still holds the lock
            self._descriptor = None


def fallback_folder() -> Path:
    """Where journals go when the home cannot be written: private to this user, in the temp folder."""
    return Path(tempfile.gettempdir()) / f"provgraph-journal-{os.getuid()}"


def paths(folder: Path) -> list[Path]:
    """List the journals of a folder by name, hence by age (run ids begin with their time)."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    except OSError:
        return []


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Try to take a journal over; yields whether its writer is gone and we hold it now."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        # Another process may have sealed and removed it between our open and our lock.
        yield os.fstat(descriptor).st_nlink > 0
    finally:
        os.close(descriptor)


def read(path: Path) -> Iterator[Fact]:
    """Read the facts of a journal; a torn line (the last one, after a power cut) is left out.

    Raises:
        OSError: the file is gone or unreadable.
    """
    with path.open("rb") as file:
        for line in file:
            try:
                fact = json.loads(line)
            except ValueError:
                continue
            if isinstance(fact, dict):
                yield fact


def _after_fork_in_child() -> None:
    for journal in list(_open_journals):
        journal._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
