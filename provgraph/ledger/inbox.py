"""The inbox: how processes that append at the same time share one transaction and one fsync.

Who finds the ledger's turn taken leaves its prepared records as a file in `<ledger>-inbox/`. Who
has the turn takes them in together with its own, in one transaction, removes the file after the
COMMIT and wakes the other, who sees the file gone and finds its records in the ledger. A file there
promises nothing and is not made durable: one left by a process that died is taken in by the next
append (its record is sealed and whole), one that is damaged is thrown away. The turn is an flock on
the folder. It only saves waiting: SQLite's own lock is what keeps two transactions apart, so a turn
that is held by a process that sleeps is passed over.

File: a version line, the SHA-256 of the rest, then records as length-prefixed fields, big-endian.
What it does not do: check seals; whoever can write there could write the ledger's file itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import select
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from provgraph.errors import FormatError, ProvgraphError, StorageError
from provgraph.frozen import dataclass
from provgraph.ledger.codec import Prepared, PreparedAttachment
from provgraph.ledger.rows import NameRow, Position
from provgraph.seal.publish import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE

logger = logging.getLogger(__name__)

# Larger appends wait for their turn: copying them would cost more than the fsync they save.
MAX_FILE_BYTES: Final = 1024 * 1024
# What one transaction takes from others, so that whoever has the turn gets its answer soon.
MAX_TAKEN_FILES: Final = 128
MAX_TAKEN_BYTES: Final = 16 * 1024 * 1024

# After so long somebody who has the turn is taken to be asleep, and SQLite's lock is asked for.
PATIENCE_S: Final = 5.0
# How long one waits to be woken, and how long one sleeps that cannot be.
_WAKE_S: Final = 0.05
_POLL_S: Final = 0.005

# A folder's time of change stands still for some milliseconds: one that is younger may change again
# unseen. (A clock that is set back makes it look younger or as it never was, and then it is listed.)
_SETTLED_NS: Final = 100_000_000

# Device, number and time of change (ns) of the folder.
_State = tuple[int, int, int]

_HEADER: Final = b"provgraph-inbox/1\n"
_DIGEST_BYTES: Final = 32
_LENGTH_BYTES: Final = 4

Outcome = list[Position] | ProvgraphError
"""What became of one append: where its records stand, or why none of them was taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What another process waits for: its file, and the records of one append."""

    path: Path
    records: tuple[Prepared, ...]


class Inbox:
    """The folder of one ledger. It belongs to the process that made it."""

    def __init__(self, ledger_path: Path, *, patience_s: float = PATIENCE_S) -> None:
        self.patience_s = patience_s
        self.folder = ledger_path.with_name(ledger_path.name + "-inbox")
        self._turn: int | None = None
        # The state in which the folder was seen to hold nothing, once that had settled.
        self._seen_empty: _State | None = None

    def take_turn(self) -> bool:
        """Try to get the turn, without waiting; True also where there is no such lock to be had."""
        try:
            descriptor = self._open_folder()
        except OSError as error:
            # SQLite will say what is wrong with the place, if it is the ledger's folder.
            logger.debug("no inbox folder=%s error=%s", self.folder, error)
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            logger.debug("no locks on folders folder=%s error=%s", self.folder, error)
        self._turn = descriptor
        return True

    def _open_folder(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        try:
            return os.open(self.folder, flags)
        except FileNotFoundError:
            self.folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
            return os.open(self.folder, flags)

    def end_turn(self) -> None:
        """Give the turn to whoever asks next."""
        if self._turn is not None:
            # Explicitly: a forked child may hold the same descriptor open.
            with contextlib.suppress(OSError):
                fcntl.flock(self._turn, fcntl.LOCK_UN)
            # After the lock is free: who comes later than this look gets it.
            may_wait = not self._is_seen_empty()
            os.close(self._turn)
            self._turn = None
            if may_wait:
                self.wake_next()

    def put(self, records: Sequence[Prepared]) -> Ticket | None:
        """Leave records for whoever has the turn; None where they are too large or cannot be left."""
        data = _encode(records)
        if len(data) > MAX_FILE_BYTES:
            return None
        name = f"{time.time_ns():020}-{os.getpid()}-{secrets.token_hex(4)}"
        path, temporary = self.folder / name, self.folder / f".{name}.new"
        try:
            ticket = Ticket(path)
        except OSError as error:
            logger.debug("inbox not used folder=%s error=%s", self.folder, error)
            return None
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE)
            with open(descriptor, "wb") as file:
                file.write(data)
            # No fsync: nothing rests on this file.
            os.rename(temporary, path)
        except OSError as error:
            logger.debug("inbox not used folder=%s error=%s", self.folder, error)
            with contextlib.suppress(OSError):
                temporary.unlink()
            ticket.close()
            return None
        return ticket

    def waiting(self) -> list[Waiting]:
        """Return what others wait for, the longest waiting first; throw away what is damaged.

        Without the turn there is nothing to take.
        """
        if self._turn is None or self._is_seen_empty():
            return []
        try:
            before = _state_of(self._turn)
            names = sorted(os.listdir(self.folder))
        except OSError as error:
            logger.debug("inbox not read folder=%s error=%s", self.folder, error)
            return []
        self._seen_empty = before if not names and _is_settled(before) else None
        found: list[Waiting] = []
        size_bytes = damaged = 0
        for name in names:
            path = self.folder / name
            if name.startswith("."):
                _remove_if_old(path)
                continue
            try:
                data = _read(path)
                found.append(Waiting(path=path, records=_decode(data)))
                size_bytes += len(data)
            except FileNotFoundError:
                continue  # its owner gave up waiting
            except (OSError, FormatError) as error:
                _throw_away(path, error)
                damaged += 1
            if len(found) + damaged >= MAX_TAKEN_FILES or size_bytes >= MAX_TAKEN_BYTES:
                break
        return found

    def _is_seen_empty(self) -> bool:
        """Whether the folder is as it was when nothing was in it: every file that is put there changes it."""
        if self._turn is None or self._seen_empty is None:
            return False
        try:
            return _state_of(self._turn) == self._seen_empty
        except OSError:
            return False

    def remove(self, done: Iterable[Waiting]) -> None:
        """Take files away, after what they hold was committed or refused, and tell their owners."""
        for each in done:
            with contextlib.suppress(OSError):
                each.path.unlink()
            _wake(each.path)

    def wake_next(self) -> None:
        """Tell the one that waits longest that the turn is free."""
        with contextlib.suppress(OSError):
            names = [name for name in os.listdir(self.folder) if not name.startswith(".")]
            if names:
                _wake(self.folder / min(names))


class Ticket:
    """What a process that waits holds: its file in the inbox, and the FIFO that wakes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fifo = _fifo_of(path)
        os.mkfifo(self._fifo, PRIVATE_FILE_MODE)
        # Open for both, so that the first writer who closes it does not end it.
        self._descriptor = os.open(self._fifo, os.O_RDWR | os.O_NONBLOCK)

    @property
    def is_taken(self) -> bool:
        """Whether the file is gone."""
        return not self.path.exists()

    def wait(self, timeout_s: float) -> None:
        """Sleep until woken, or until the time is over (whoever should wake us may have died)."""
        if select.select([self._descriptor], [], [], timeout_s)[0]:
            with contextlib.suppress(OSError):
                os.read(self._descriptor, 16)

    def close(self) -> None:
        """Take the file back, where it is still there."""
        os.close(self._descriptor)
        for path in (self.path, self._fifo):
            with contextlib.suppress(OSError):
                path.unlink()


def append_in_turn(
    inbox: Inbox,
    batches: Sequence[Sequence[Prepared]],
    *,
    commit: Callable[[Sequence[Sequence[Prepared]]], list[Outcome]],
    find: Callable[[Sequence[Prepared]], list[Position] | None],
) -> list[Outcome]:
    """Commit batches when it is this process's turn, or find them committed by another one.

    `commit` takes batches in, in one durable transaction, and says what became of each; `find`
    says where a batch stands that another process has taken in. Errors of `commit` are raised.
    """
    ticket: Ticket | None = None
    # A batch that goes with others, or was tried by another process and refused, is not left there.
    may_leave = len(batches) == 1
    impatient_at = time.monotonic() + inbox.patience_s
    try:
        while True:
            has_turn = inbox.take_turn()
            if ticket is not None and ticket.is_taken:
                found = find(batches[0])
                if found is not None:
                    return [found]
                ticket.close()
                ticket = None
            if has_turn or time.monotonic() > impatient_at:
                mine = None if ticket is None else ticket.path
                others = [each for each in inbox.waiting() if each.path != mine]
                outcomes = commit([*batches, *(each.records for each in others)])
                # If the process dies here, the next one finds these records in the ledger and
                # takes their files away.
                ends = zip(others, outcomes[len(batches) :], strict=True)
                inbox.remove([each for each, end in ends if not isinstance(end, StorageError)])
                return outcomes[: len(batches)]
            if may_leave:
                # Then the turn is asked for once more: it may have come free just before.
                ticket, may_leave = inbox.put(batches[0]), False
            elif ticket is not None:
                ticket.wait(_WAKE_S)
            else:
                time.sleep(_POLL_S)
    finally:
        if ticket is not None:
            ticket.close()
        inbox.end_turn()


# A process that dies between writing and renaming leaves a file that nobody reads.
_ABANDONED_AFTER_S: Final = 3600.0


def _state_of(folder: int) -> _State:
    status = os.fstat(folder)
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _is_settled(state: _State) -> bool:
    return time.time_ns() - state[2] > _SETTLED_NS


def _fifo_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.wake")


def _wake(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(_fifo_of(path), os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            os.write(descriptor, b"!")
        finally:
            os.close(descriptor)


def _remove_if_old(path: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
            path.unlink()


def _throw_away(path: Path, error: Exception) -> None:
    try:
        path.unlink()
    except OSError as reason:
        # A folder, say: it is in nobody's way.
        logger.debug("inbox file left alone path=%s error=%s reason=%s", path, error, reason)
    else:
        logger.warning("inbox file thrown away path=%s error=%s", path, error)


def _read(path: Path) -> bytes:
    # A FIFO that nobody writes to must not hold up whoever has the turn.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FormatError("expected a regular file")
    except BaseException:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _encode(records: Sequence[Prepared]) -> bytes:
    body = b"".join(_fields(_counted(map(_encode_record, records))))
    return _HEADER + hashlib.sha256(body).digest() + body


def _encode_record(record: Prepared) -> bytes:
    names = [
        field.encode()
        for row in record.names
        for field in (row.kind, row.name, row.version, row.iri)
    ]
    blobs = [data for each in record.attachments for data in (each.sha256, each.blob)]
    head = (record.iri.encode(), record.graph_sha256.encode(), record.entry, record.sealed)
    return b"".join(_fields([*head, record.graph, *_counted(names), *_counted(blobs)]))


def _counted(fields: Iterable[bytes]) -> list[bytes]:
    found = list(fields)
    return [len(found).to_bytes(_LENGTH_BYTES, "big"), *found]


def _fields(fields: Iterable[bytes]) -> Iterator[bytes]:
    for field in fields:
        yield len(field).to_bytes(_LENGTH_BYTES, "big")
        yield field


def _decode(data: bytes) -> tuple[Prepared, ...]:
    start = len(_HEADER) + _DIGEST_BYTES
    body = data[start:]
    if len(data) > MAX_FILE_BYTES or not data.startswith(_HEADER):
        raise FormatError(f"expected {_HEADER!r}, found {data[:20]!r}")
    if hashlib.sha256(body).digest() != data[len(_HEADER) : start]:
        raise FormatError("its checksum does not fit: it was not written whole")
    try:
        return tuple([_decode_record(field) for field in _take_counted(_split(body))])
    except (StopIteration, ValueError) as error:
        raise FormatError(f"expected records of this version: {error!r}") from None


def _decode_record(data: bytes) -> Prepared:
    fields = _split(data)
    iri, graph_sha256, entry, sealed, graph = [next(fields) for _ in range(5)]
    names = [field.decode() for field in _take_counted(fields)]
    blobs = _take_counted(fields)
    return Prepared(
        iri=iri.decode(),
        graph_sha256=graph_sha256.decode(),
        entry=entry,
        sealed=sealed,
        graph=graph,
        names=tuple(
            NameRow(kind=kind, name=name, version=version, iri=thing)
            for kind, name, version, thing in zip(*[iter(names)] * 4, strict=True)
        ),
        attachments=tuple(
            PreparedAttachment(sha256=digest, blob=blob)
            for digest, blob in zip(*[iter(blobs)] * 2, strict=True)
        ),
    )


def _split(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = at + _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        yield data[at + _LENGTH_BYTES : end]
        at = end


def _take_counted(fields: Iterator[bytes]) -> list[bytes]:
    count = int.from_bytes(next(fields), "big")
    return [next(fields) for _ in range(count)]
