"""The access trail: who asked what, when, with which outcome, in a tamper-evident log of its own.

One SQLite file, `trail.db`: rows of RFC 8785 JSON under a Merkle tree (RFC 9162) whose checkpoint is
signed with a key of its own at every commit, so that whoever holds the ledger's keys, or only the
file, cannot take a row out. A row is durable within `COMMIT_EVERY_S` of its request; what a crash
takes are the rows of that moment. Where the trail cannot be written the server answers nobody.

It never holds an answer, a token or a body: what was asked, cut to a few thousand characters, with the
SHA-256 of the whole. Times are UTC, durations milliseconds, sizes bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from provgraph.errors import FormatError, NotFoundError, StorageError, UntrustedError
from provgraph.seal import jcs
from provgraph.seal.charter import Charter, new_charter, open_charter
from provgraph.seal.keys import Signer
from provgraph.seal.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, leaf_hash
from provgraph.seal.note import Checkpoint, open_checkpoint, sign_checkpoint
from provgraph.seal.publish import publish_once
from provgraph.terms import format_time

logger: Final = logging.getLogger(__name__)

APPLICATION_ID: Final = 0x50475452  # "PGTR"
COMMIT_EVERY_S: Final = 0.05
MAX_ASKED_CHARACTERS: Final = 4000
# Requests that wait for the disk; beyond it the server says that it is busy.
MAX_WAITING: Final = 20_000

_SCHEMA: Final = (
    """CREATE TABLE trail (id INTEGER PRIMARY KEY CHECK (id = 1), charter BLOB NOT NULL,
    checkpoint BLOB NOT NULL) STRICT""",
    """CREATE TABLE access (position INTEGER PRIMARY KEY, row BLOB NOT NULL, nodes BLOB NOT NULL)
    STRICT""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One request, as the trail keeps it."""

    time: str  # 2026-01-02T03:04:05Z
    who: str
    by: str  # how that was verified
    address: str
    action: str  # the right that it took
    asked: str  # method and path, and the query where there was one
    asked_sha256: str
    status: int
    outcome: str  # answered | refused | failed
    duration_ms: int
    size_bytes: int
    ledger_size: int  # that the answer was computed at; -1 where there was none
    request: str  # its id

    def encode(self) -> bytes:
        """Return the row's bytes, the leaf of the tree: what `jcs.encode` writes, in a third of the time."""
        values = ((name, getattr(self, name)) for name in _SORTED)
        members = [
            f'"{name}":{value if isinstance(value, int) else _quoted(value)}'
            for name, value in values
        ]
        return f"{{{','.join(members)}}}".encode()


_SORTED: Final = sorted(field.name for field in fields(Access))
_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode


def access_of(
    *,
    at: datetime,
    who: str,
    by: str,
    address: str,
    action: str,
    asked: str,
    status: int,
    duration_s: float,
    size_bytes: int,
    ledger_size: int | None,
    request: str,
) -> Access:
    """Make a row; a long text is cut, and named whole by its digest."""
    clean = asked.encode("utf-8", "replace").decode()
    outcome = "refused" if status in {401, 403, 421} else "failed" if status >= 400 else "answered"
    return Access(
        time=format_time(at),
        who=_line(who),
        by=_line(by),
        address=_line(address),
        action=action,
        asked=clean[:MAX_ASKED_CHARACTERS],
        asked_sha256=hashlib.sha256(clean.encode()).hexdigest(),
        status=status,
        outcome=outcome,
        duration_ms=max(0, round(duration_s * 1000)),
        size_bytes=size_bytes,
        ledger_size=-1 if ledger_size is None else ledger_size,
        request=request,
    )


class TrailWriter:
    """The thread that commits rows. `add` hands one over and does not wait."""

    def __init__(
        self,
        path: Path,
        *,
        signer: Signer,
        clock: Callable[[], datetime],
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """Open the trail, made first where there is none, and start the thread.

        Raises:
            StorageError: it cannot be made or opened.
            UntrustedError: it was made with another key, or its rows are not those that were signed.
        """
        self.problem: str | None = None
        """Why rows cannot be written now, None when they can."""
        self._signer = signer
        self._max_waiting = max_waiting
        self._rows: deque[Access] = deque()
        # Set with the first row after a pause: the thread then collects for a while, so that nobody
        # wakes it for each request.
        self._is_wanted = threading.Event()
        self._is_closing = threading.Event()
        if not path.exists():
            _create(path, signer, clock)
        self._db = _connect(path, read_only=False)
        try:
            charter, _ = _head(self._db, path)
            if charter.log_key != signer.public_key:
                raise UntrustedError(
                    f"{path} was made with another trail key; put back keys/trail.pem"
                )
            self._origin = charter.origin
            self._path = path
            self._edge: tuple[bytes, Frontier] | None = None
            """The checkpoint that this process signed last, and the tree's right edge under it."""
            self._frontier()
        except BaseException:
            self._db.close()
            raise
        self._thread = threading.Thread(target=self._run, name="provgraph-trail", daemon=True)
        self._thread.start()

    def add(self, row: Access) -> None:
        """Hand a row over.

        Raises:
            StorageError: the trail cannot be written, or too much waits for the disk.
        """
        if len(self._rows) >= self._max_waiting:
            raise StorageError("the access trail is behind; ask again in a moment")
        self._rows.append(row)
        if not self._is_wanted.is_set():
            self._is_wanted.set()

    def close(self) -> None:
        """Commit what was handed over, as far as the disk takes it, and end the thread."""
        self._is_closing.set()
        self._is_wanted.set()
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        kept: list[Access] = []
        while kept or self._rows or not self._is_closing.is_set():
            self._take(kept)
            if not kept:
                continue
            try:
                self._commit(kept)
                kept.clear()
                self.problem = None
            except Exception as error:
                # A row that cannot be written must not end the thread: nobody is answered until
                # it is.
                self.problem = f"the access trail cannot be written: {error}"
                logger.warning("trail not written rows=%d error=%s", len(kept), error)
                if self._is_closing.wait(1.0):
                    logger.warning("rows lost with the server's end rows=%d", len(kept))
                    return

    def _take(self, kept: list[Access]) -> None:
        """Wait for rows, and collect what else comes within a moment."""
        if not kept:
            self._is_wanted.wait()
        self._is_closing.wait(COMMIT_EVERY_S)
        if not self._is_closing.is_set():
            # Before they are taken: a row that comes in between wakes the thread once for nothing.
            self._is_wanted.clear()
        while self._rows and len(kept) < self._max_waiting:
            kept.append(self._rows.popleft())

    def _commit(self, rows: Sequence[Access]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            frontier = self._frontier()
            values = []
            for each in rows:
                data = each.encode()
                position = frontier.size
                values.append((position, data, b"".join(frontier.append(leaf_hash(data)))))
            self._db.executemany("INSERT INTO access VALUES (?, ?, ?)", values)
            head = Checkpoint(origin=self._origin, size=frontier.size, root=frontier.root())
            note = sign_checkpoint(head, self._signer)
            self._db.execute("UPDATE trail SET checkpoint = ? WHERE id = 1", (note,))
            # If the process dies before COMMIT, these rows are lost and the trail is as it was.
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._edge = note, frontier

    def _frontier(self) -> Frontier:
        """Return the tree's right edge as it was signed last; another server may write here too."""
        if self._edge is not None:
            (note,) = self._db.execute("SELECT checkpoint FROM trail WHERE id = 1").fetchone()
            if note == self._edge[0]:
                return self._edge[1].copy()
        _, checkpoint = _head(self._db, self._path)
        frontier = Frontier(size=checkpoint.size, node_at=_node_at(self._db))
        if frontier.root() != checkpoint.root:
            raise UntrustedError(
                f"{self._path}: its rows are not those that were signed; keep a copy, and restore a"
                " backup"
            )
        return frontier


def read_trail(path: Path, *, start: int = 0) -> Iterator[tuple[int, Access]]:
    """Yield (position, row) from a position on.

    Raises:
        NotFoundError: there is no trail.
        UntrustedError: a row is not in its form.
    """
    with contextlib.closing(_connect(path, read_only=True)) as db:
        for position, data in db.execute(
            "SELECT position, row FROM access WHERE position >= ? ORDER BY position", (start,)
        ):
            yield position, parse_access(data)


def select(
    rows: Iterable[tuple[int, Access]],
    *,
    since: str | None = None,
    until: str | None = None,
    who: str | None = None,
    about: str | None = None,
    outcome: str | None = None,
) -> Iterator[tuple[int, Access]]:
    """Yield the rows from a time (or its beginning: 2026-03) on and before another, and so on."""
    for position, row in rows:
        if (
            (since is None or row.time >= since)
            and (until is None or row.time < until)
            and who in {None, row.who}
            and (about is None or about in row.asked)
            and outcome in {None, row.outcome}
        ):
            yield position, row


def verify_trail(path: Path, *, key: bytes | None = None) -> Checkpoint:
    """Check a whole trail; return the checkpoint that all of it adds up to.

    1. The charter is signed by the trail's key; with `key`, by that very key.
    2. The checkpoint is signed by it.
    3. Rows are dense from 0, each in its form, with the hashes of the tree beside it.
    4. They make the root that was signed.

    Raises:
        NotFoundError: there is no trail.
        UntrustedError: the first thing that is wrong.
    """
    with contextlib.closing(_connect(path, read_only=True)) as db, _read_errors(path):
        db.execute("BEGIN")
        # 1. and 2.
        charter, checkpoint = _head(db, path)
        if key is not None and charter.log_key != key:
            raise UntrustedError(f"{path}: it was made with another key than the one expected")
        # 3.
        frontier = Frontier(size=0)
        for position, data, nodes in db.execute(
            "SELECT position, row, nodes FROM access ORDER BY position"
        ):
            if position != frontier.size:
                raise UntrustedError(
                    f"{path}: expected row {frontier.size}, found {position}; rows are missing"
                )
            parse_access(data)
            if b"".join(frontier.append(leaf_hash(data))) != nodes:
                raise UntrustedError(f"{path}: row {position} is not the one that was written")
        # 4.
        if (frontier.size, frontier.root()) != (checkpoint.size, checkpoint.root):
            raise UntrustedError(
                f"{path}: its checkpoint says {checkpoint.size} rows under {checkpoint.root.hex()},"
                f" its rows make {frontier.size} under {frontier.root().hex()}"
            )
        return checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a trail is known by, as of one instant."""

    charter: bytes
    checkpoint: bytes
    size: int


def read_head(path: Path) -> Head:
    """Return a trail's charter, and its checkpoint with the size that it is over; both are checked.

    Raises:
        NotFoundError: there is no trail.
        UntrustedError: it is damaged.
    """
    with contextlib.closing(_connect(path, read_only=True)) as db, _read_errors(path):
        row = db.execute("SELECT charter, checkpoint FROM trail WHERE id = 1").fetchone()
        checkpoint = open_checkpoint(row[1], open_charter(row[0]).note_key)
        return Head(charter=row[0], checkpoint=row[1], size=checkpoint.size)


def write_trail(
    path: Path, *, charter: bytes, checkpoint: bytes, rows: Iterable[tuple[int, bytes, bytes]]
) -> None:
    """Make a trail of rows from a backup: (position, row, tree hashes). `verify_trail` says if it is right.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("BEGIN")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute("INSERT INTO trail VALUES (1, ?, ?)", (charter, checkpoint))
            db.executemany("INSERT INTO access VALUES (?, ?, ?)", rows)
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise StorageError(f"cannot make {path}: {error}; look at the disk") from error


def parse_access(data: object) -> Access:
    """Read a row's bytes.

    Raises:
        UntrustedError: another form.
    """
    try:
        value: Any = jcs.parse_canonical(data if isinstance(data, bytes) else b"")
        row = Access(**value)
        for name, kind in Access.__annotations__.items():
            if type(getattr(row, name)) is not {"str": str, "int": int}[kind]:
                raise TypeError(name)
    except (FormatError, TypeError) as error:
        raise UntrustedError(f"expected a row of the access trail: {error}") from None
    return row


def _create(path: Path, signer: Signer, clock: Callable[[], datetime]) -> None:
    charter = new_charter(log_signer=signer, created=clock(), namespace="access-trail")
    empty = Checkpoint(origin=open_charter(charter).origin, size=0, root=EMPTY_ROOT)

    def fill(temporary: Path) -> None:
        with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as db:
            db.execute("BEGIN")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute(
                "INSERT INTO trail VALUES (1, ?, ?)", (charter, sign_checkpoint(empty, signer))
            )
            db.execute("COMMIT")

    publish_once(path, fill)


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if not path.exists():
        raise NotFoundError(f"no access trail at {path}; a server writes one")
    try:
        mode = "ro" if read_only else "rw"
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )
        db.execute("PRAGMA trusted_schema = OFF")
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            db.close()
            raise UntrustedError(f"{path} is no access trail of provgraph")
        if not read_only:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        raise StorageError(f"cannot use {path}: {error}; look at the disk") from error
    return db


def _head(db: sqlite3.Connection, path: Path) -> tuple[Charter, Checkpoint]:
    with _read_errors(path):
        row = db.execute("SELECT charter, checkpoint FROM trail WHERE id = 1").fetchone()
        charter = open_charter(row[0])
        return charter, open_checkpoint(row[1], charter.note_key)


def _node_at(db: sqlite3.Connection) -> Callable[[int, int], bytes]:
    def node_at(level: int, index: int) -> bytes:
        row = db.execute(
            "SELECT substr(nodes, ?, ?) FROM access WHERE position = ?",
            (1 + HASH_BYTES * level, HASH_BYTES, ((index + 1) << level) - 1),
        ).fetchone()
        if row is None or len(row[0]) != HASH_BYTES:
            raise UntrustedError("rows of the access trail are missing")
        node: bytes = row[0]
        return node

    return node_at


@contextlib.contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (FormatError, TypeError, sqlite3.Error) as error:
        raise UntrustedError(f"{path}: {error}") from error


def _line(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode().split())[:500]
