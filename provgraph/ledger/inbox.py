"""The inbox: how processes that append at the same time share one transaction and one fsync.

Who finds the ledger's turn taken leaves its prepared records as a file in `<ledger>-inbox/`. Who
has the turn takes them in together with its own, in one transaction, and removes the file after the
COMMIT; the other sees its file gone and finds its records in the ledger. A file there promises
nothing and is not made durable: one left by a process that died is taken in by the next append (its
record is sealed and whole), one that is damaged is thrown away. The turn is an flock on the folder.
It only saves waiting: SQLite's own lock is what keeps two transactions apart, so a turn that is held
by a process that sleeps is passed over.

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
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provgraph.errors import FormatError
from provgraph.ledger.codec import Prepared, PreparedAttachment
from provgraph.ledger.rows import NameRow
from provgraph.seal.publish import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE

logger = logging.getLogger(__name__)

# Larger appends wait for their turn: copying them would cost more than the fsync they save.
MAX_FILE_BYTES: Final = 1024 * 1024
# What one transaction takes from others, so that whoever has the turn gets its answer soon.
MAX_TAKEN_FILES: Final = 128

_HEADER: Final = b"provgraph-inbox/1\n"
_DIGEST_BYTES: Final = 32
_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What another process waits for: its file, and the records of one append."""

    path: Path
    records: tuple[Prepared, ...]


class Inbox:
    """The folder of one ledger. It belongs to the process that made it."""

    def __init__(self, ledger_path: Path) -> None:
        self.folder = ledger_path.with_name(ledger_path.name + "-inbox")
        self._turn: int | None = None

    def take_turn(self) -> bool:
        """Try to get the turn, without waiting; True also where the file system has no locks.

        Raises:
            OSError: the folder cannot be made.
        """
        self.folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            logger.debug("inbox without a turn folder=%s error=%s", self.folder, error)
        self._turn = descriptor
        return True

    def end_turn(self) -> None:
        """Give the turn to whoever asks next."""
        if self._turn is not None:
            # Explicitly: a forked child may hold the same descriptor open.
            with contextlib.suppress(OSError):
                fcntl.flock(self._turn, fcntl.LOCK_UN)
            os.close(self._turn)
            self._turn = None

    def put(self, records: Sequence[Prepared]) -> Path | None:
        """Leave records for whoever has the turn; None where they are too large or cannot be left."""
        data = _encode(records)
        if len(data) > MAX_FILE_BYTES:
            return None
        name = f"{time.time_ns():020}-{os.getpid()}-{secrets.token_hex(4)}"
        path, temporary = self.folder / name, self.folder / f".{name}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE)
            with open(descriptor, "wb", buffering=0) as file:
                file.write(data)
            # No fsync: nothing rests on this file.
            os.rename(temporary, path)
        except OSError as error:
            logger.debug("inbox not used folder=%s error=%s", self.folder, error)
            with contextlib.suppress(OSError):
                temporary.unlink()
            return None
        return path

    def waiting(self) -> list[Waiting]:
        """Return what others wait for, the longest waiting first; throw away what is damaged."""
        try:
            names = sorted(os.listdir(self.folder))
        except OSError:
            return []
        found: list[Waiting] = []
        for name in names:
            path = self.folder / name
            if name.startswith("."):
                _remove_if_old(path)
                continue
            try:
                found.append(Waiting(path=path, records=_decode(_read(path))))
            except FileNotFoundError:
                continue  # its owner gave up waiting
            except (OSError, FormatError) as error:
                logger.warning("inbox file thrown away path=%s error=%s", path, error)
                with contextlib.suppress(OSError):
                    path.unlink()
            if len(found) == MAX_TAKEN_FILES:
                break
        return found

    def remove(self, paths: Iterable[Path]) -> None:
        """Take files away, after what they hold was committed or refused."""
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()


# A process that dies between writing and renaming leaves a file that nobody reads.
_ABANDONED_AFTER_S: Final = 3600.0


def _remove_if_old(path: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
            path.unlink()


def _read(path: Path) -> bytes:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _encode(records: Sequence[Prepared]) -> bytes:
    body = b"".join(_fields(_counted(map(_encode_record, records))))
    return _HEADER + hashlib.sha256(body).digest() + body


def _encode_record(record: Prepared) -> bytes:
    names = [
        field.encode("utf-8", "surrogatepass")
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
    names = [field.decode("utf-8", "surrogatepass") for field in _take_counted(fields)]
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
