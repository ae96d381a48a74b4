"""Journals: the facts of a run that is going, one JSON line each, in `<home>/journal/<run>.jsonl`.

A line reaches the kernel before the call that made it returns, so a killed process loses nothing
that it had said (a power cut may lose the last seconds; only the ledger is durable against that).
The writer holds an flock on its journal for as long as it lives, whatever its process id; a
journal that nobody holds belongs to a process that died, and whoever looks may seal it.

Where the home's disk refuses a line, the journal goes on under the same name in a folder of this
user and this home below the temporary folder; the two parts make one journal.

Not here: what the lines mean (`provgraph.capture.state`) and sealing (`provgraph.service`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from provgraph.capture.facts import Fact
from provgraph.errors import CaptureError
from provgraph.loading import import_lock

SUFFIX: Final = ".jsonl"

# A line is bounded so that one giant fact cannot fill the disk; capture shortens values first.
MAX_LINE_BYTES: Final = 8 * 1024 * 1024

_NEW: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL

# Ends a line that the disk took only a part of; what it said follows in whole, or is in memory.
_TAKEN_BACK: Final = b"\x18\n"

# One encoder, made once: json.dumps with these options would make one for every fact.
_encode: Final[Callable[[Fact], str]] = json.JSONEncoder(
    ensure_ascii=True, check_circular=False, separators=(",", ":")
).encode

_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def line_of(fact: Fact) -> bytes:
    """Write a fact as a journal's line.

    Raises:
        CaptureError: JSON cannot hold it, or it is over MAX_LINE_BYTES.
    """
    try:
        line = _encode(fact).encode("ascii") + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise CaptureError(f"a fact that JSON cannot hold: {error}") from error
    if len(line) > MAX_LINE_BYTES:
        raise CaptureError(f"a fact of {len(line)} bytes; the limit is {MAX_LINE_BYTES}")
    return line


class Journal:
    """The journal of one run, open for appending and locked by this process.

    Not durable against a power cut; durable against a killed process. Writing never raises: lines
    that no disk took are kept in `unwritten` and tried again, and `fault` says why.
    """

    def __init__(
        self, run_id: str, folder: Path, *, otherwise: Callable[[Path], Path] | None = None
    ) -> None:
        """Prepare the journal of a run in a folder; `otherwise` names the one for when that fails."""
        self.unwritten: list[bytes] = []
        self.fault: str | None = None
        self._places = [folder / f"{run_id}{SUFFIX}"]
        self._otherwise = otherwise
        self._descriptors: dict[Path, int] = {}
        self._own_bytes: dict[Path, int] = {}
        self._at = 0  # index of the place in use
        self._is_forked = False
        _open_journals.add(self)

    @property
    def path(self) -> Path:
        """The file that takes the lines now."""
        return self._places[self._at]

    def write(self, line: bytes) -> None:
        """Append a line of `line_of`; the kernel has it when this returns, or it is unwritten."""
        if self.unwritten:
            self.unwritten.append(line)
            while self.unwritten and self._put(self.unwritten[0]):
                del self.unwritten[0]
        elif not self._put(line):
            self.unwritten.append(line)

    def has_foreign_lines(self) -> bool:
        """Whether a forked child wrote facts that this process has not seen."""
        for path, own_bytes in self._own_bytes.items():
            try:
                if os.stat(path).st_size != own_bytes:
                    return True
            except OSError:
                continue
        return False

    def read(self) -> Iterator[Fact]:
        """Read all that was written, by forked children too, and then what no disk took."""
        for path in self._own_bytes:
            yield from read(path)
        yield from map(json.loads, self.unwritten)

    def sync(self) -> None:
        """Make what was written durable against a power cut, too."""
        for descriptor in self._descriptors.values():
            with contextlib.suppress(OSError):
                os.fsync(descriptor)

    def close(self, *, remove: bool) -> None:
        """Give the journal up; remove it only when the ledger holds what it said."""
        if remove:
            for path in self._own_bytes:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
        _open_journals.discard(self)

    def _put(self, line: bytes) -> bool:
        # Once a line stands in the second place the first is left alone, so that the order stays.
        for place in range(self._at, 2):
            if place == len(self._places):
                if self._otherwise is None:
                    break
                first = self._places[0]
                self._places.append(self._otherwise(first.parent) / first.name)
            path = self._places[place]
            try:
                if self._append(path, line):
                    self._at = place
                    return True
                fault = "the disk took only a part of a line"
            except OSError as error:
                fault = error.strerror or str(error)
            self.fault = f"{path.parent}: {fault}"
        return False

    def _append(self, path: Path, line: bytes) -> bool:
        descriptor = self._descriptors.get(path)
        if descriptor is None:
            descriptor = self._descriptors[path] = self._open(path)
            self._own_bytes.setdefault(path, 0)
        if self._is_forked and not os.fstat(descriptor).st_nlink:
            raise OSError("the run that this process belongs to has ended")
        written = os.write(descriptor, line)
        self._own_bytes[path] += written
        if written == len(line):
            return True
        self._own_bytes[path] += os.write(descriptor, _TAKEN_BACK)
        return False

    def _open(self, path: Path) -> int:
        if self._is_forked:
            # The lock stays with the parent, the lines go to the same file.
            try:
                return os.open(path, os.O_WRONLY | os.O_APPEND)
            except FileNotFoundError:
                raise OSError("the run that this process belongs to has ended") from None
        # Locked before it has its name, so that nobody ever finds it without its writer.
        unnamed = f"{path.parent}/.{path.name}.new"
        if path != self._places[0]:
            make_private(path.parent)
        try:
            descriptor = os.open(unnamed, _NEW, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(unnamed, _NEW, 0o600)
        try:
            with contextlib.suppress(OSError):  # a file system without locks still keeps the facts
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # If the process dies before this, an empty file lies in the folder that nothing reads.
            os.rename(unnamed, path)
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(unnamed)
            raise
        return descriptor

    def _after_fork(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)  # without unlocking: the parent still holds the lock
        self._descriptors.clear()
        self.unwritten.clear()  # the parent will try these again
        self._is_forked = True


def fallback_folder(folder: Path) -> Path:
    """Where journals go that `folder` cannot take: of this user, for this home, and temporary."""
    with import_lock:  # hardly ever needed
        import hashlib
        import tempfile

    home = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"provgraph-{os.getuid()}-{home}"


def paths(folder: Path) -> list[Path]:
    """List the journals left in a folder's care, by name, hence by age (ids begin with their time).

    One that has its first part in the folder and its second in the fallback folder is listed once,
    by its first.
    """
    found: dict[str, Path] = {}
    for place in (folder, fallback_folder(folder)):
        with contextlib.suppress(OSError):
            if place != folder:
                _require_private(place)
            for path in place.iterdir():
                if path.suffix == SUFFIX:
                    found.setdefault(path.name, path)
    return [found[name] for name in sorted(found)]


def parts(path: Path) -> list[Path]:
    """Return the files that make up the journal which `paths` lists, in their order."""
    second = fallback_folder(path.parent) / path.name
    try:
        _require_private(second.parent)
    except OSError:
        return [path]
    return [path, second] if second.exists() else [path]


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Try to take a journal over; yields whether its writer is gone and we hold it now."""
    try:
        # For writing where that is allowed: some network file systems lock no other way.
        flags = os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY
        descriptor = os.open(path, flags)
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
    """Read the facts of a journal's file.

    A torn last line is left out: the call that wrote it never returned. Any other line that cannot
    be read becomes a missing fact.

    Raises:
        OSError: the file is gone or unreadable.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(_TAKEN_BACK) or not line.endswith(b"\n"):
                continue
            try:
                fact = json.loads(line)
            except (ValueError, RecursionError):
                fact = None
            if isinstance(fact, dict):
                yield fact
            else:
                reason = f"line {number} is damaged; what it said is lost"
                yield {"f": "missing", "value": {"field": "journal", "reason": reason}}


def make_private(folder: Path) -> None:
    """Make a folder in a place that all may write, for this user alone.

    Raises:
        OSError: it cannot be made, or is somebody else's.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    _require_private(folder)


def _require_private(folder: Path) -> None:
    """Refuse a folder in a place that all may write, unless it is ours alone.

    Somebody else could have made it first, to read our facts or to have theirs sealed as ours.
    """
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone")


def _after_fork_in_child() -> None:
    for journal in list(_open_journals):
        journal._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
