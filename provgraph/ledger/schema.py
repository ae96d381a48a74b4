"""The SQLite file of a ledger: its tables, how it is made and opened, and what its errors mean.

One file in WAL mode with synchronous=FULL: a COMMIT that returned survives a power cut
(https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous).

Sizes are bytes, times seconds.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import quote

from provgraph import disk
from provgraph.errors import LedgerError, NotFoundError, StorageError
from provgraph.seal.publish import publish_once

APPLICATION_ID: Final = 0x50474C31  # "PGL1"
SCHEMA_VERSION: Final = 1

# How long an append waits for another process that is appending.
BUSY_TIMEOUT_S: Final = 30.0

# A record's row takes 2 to 5 kB. SQLite keeps a row whole on a page where it fits, so on pages of
# 4 kB a run of 160 quads took 4.8 kB of file, on 8 kB as little as on 16 kB. A commit writes about ten
# pages, most of them for names, which stand apart from each other: larger ones cost it more.
_PAGE_BYTES: Final = 8192
# The write-ahead log is folded back when it has about so many bytes, SQLite's default. Ledgers of
# before have pages of 16 kB.
_WAL_BYTES: Final = 4 * 1024 * 1024

# record.nodes holds the hashes of all subtrees that the record's leaf completes, leaf hash first,
# so that the hash of the complete subtree (level, i) stands in row ((i + 1) << level) - 1 at byte
# 32 * level: proofs are O(log n) reads by primary key, and an append touches no other row.
# record.iri_key is the first 8 bytes of the IRI's SHA-256, signed; the IRI itself is in the entry.
# record.sealed holds entry and proof, record.graph the canonical N-Quads, both as compression blobs.
TABLES: Final = {
    "ledger": (
        "CREATE TABLE ledger (id INTEGER PRIMARY KEY CHECK (id = 1),"
        " charter BLOB NOT NULL, checkpoint BLOB NOT NULL)"
    ),
    "record": (
        "CREATE TABLE record (position INTEGER PRIMARY KEY, iri_key INTEGER NOT NULL,"
        " nodes BLOB NOT NULL, sealed BLOB NOT NULL, graph BLOB NOT NULL)"
    ),
    "record_iri": "CREATE INDEX record_iri ON record (iri_key)",
    "name": (
        "CREATE TABLE name (kind TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL,"
        " version TEXT NOT NULL, iri TEXT NOT NULL,"
        " PRIMARY KEY (kind, name, position, version, iri)) WITHOUT ROWID"
    ),
    # A model gets a version with every run, and each asks which one came before.
    "name_version": (
        "CREATE INDEX name_version ON name (kind, name, version, position) WHERE version <> ''"
    ),
    "attachment": (
        "CREATE TABLE attachment (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE,"
        " data BLOB NOT NULL)"
    ),
    "attached": (
        "CREATE TABLE attached (position INTEGER NOT NULL, attachment INTEGER NOT NULL,"
        " PRIMARY KEY (position, attachment)) WITHOUT ROWID"
    ),
}

# What ledgers of earlier versions lack until somebody opens them for writing; only speed depends on it.
ADDED: Final = frozenset({"name_version"})

# SQLite's primary result codes (https://www.sqlite.org/rescode.html) and what to do about each.
_STORAGE_CODES: Final = {
    sqlite3.SQLITE_FULL: "the disk or the file's quota is full; free space and repeat",
    sqlite3.SQLITE_READONLY: "it is read-only; make file and folder writable, or choose another"
    " folder with PROVGRAPH_HOME",
    sqlite3.SQLITE_BUSY: f"another process held it for {BUSY_TIMEOUT_S:.0f} s; find out which"
    " (`fuser`), and repeat",
    sqlite3.SQLITE_LOCKED: "this process holds it elsewhere; close that use, and repeat",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; make its folder readable and writable",
    sqlite3.SQLITE_PERM: "access was refused; mend the permissions of file and folder",
    sqlite3.SQLITE_IOERR: "reading or writing failed; look at the disk (space, quota, health)",
    sqlite3.SQLITE_NOMEM: "memory ran out; free memory and repeat",
    sqlite3.SQLITE_PROTOCOL: "locks on the file did not work; keep the ledger on a local disk, and"
    " repeat",
}


class storage_errors:  # noqa: N801 - called as a function is; a generator would cost more
    """Turn SQLite's errors about the file into StorageError and LedgerError with a next step."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        if is_about_storage(error):
            advice = _STORAGE_CODES[_code(error)]
            raise StorageError(f"ledger {self._path}: {error}: {advice}") from error
        raise LedgerError(
            f"ledger {self._path}: {error}; keep a copy of the file, then check it with"
            " `provgraph fsck` or restore a backup"
        ) from error


def is_about_storage(error: sqlite3.Error) -> bool:
    """Whether the disk or another process is at fault, and not what the file says."""
    return _code(error) in _STORAGE_CODES


def _code(error: sqlite3.Error) -> int:
    # Errors that Python's binding itself raises carry no code.
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def is_busy(error: BaseException) -> bool:
    """Whether an error came from waiting for another process that holds the file."""
    code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def create(path: Path, *, charter: bytes, checkpoint: bytes) -> None:
    """Make the ledger's file with its tables unless it exists.

    The file appears under its name only when whole: a process that dies here leaves no half-made
    ledger, and of two that create at once one wins.

    Raises:
        StorageError: the folder cannot be written.
    """

    def fill(temporary: Path) -> None:
        try:
            with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as db:
                db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("BEGIN")
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                for statement in TABLES.values():
                    db.execute(statement)
                db.execute("INSERT INTO ledger VALUES (1, ?, ?)", (charter, checkpoint))
                db.execute("COMMIT")
                # Closing would fold the write-ahead log into the file as well, and say nothing
                # where that fails; the file would then get its name without its content.
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            for suffix in ("-wal", "-shm"):
                temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)

    with storage_errors(path):
        publish_once(path, fill)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open an existing ledger's file and check that it is one that this version understands.

    Raises:
        NotFoundError: there is no file.
        StorageError: it cannot be opened or read.
        LedgerError: it is no ledger, or of a newer schema.
    """
    if not path.exists():
        raise NotFoundError(f"no ledger at {path}; record something first, or set PROVGRAPH_HOME")
    with storage_errors(path):
        db = _open(path, read_only=read_only)
        try:
            _require_known(db, path)
            if not read_only:
                # FULL: COMMIT returns after the write-ahead log is on the disk (fsync).
                db.execute("PRAGMA synchronous = FULL")
                (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
                db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // page_bytes}")
                _make_safe(path)
                _add_missing(db)
        except BaseException:
            db.close()
            raise
    return db


def _add_missing(db: sqlite3.Connection) -> None:
    """Make what a ledger of an earlier version lacks; each is a statement that commits by itself."""
    for name in ADDED:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone():
            # Another process may have made it meanwhile.
            db.execute(TABLES[name].replace("INDEX", "INDEX IF NOT EXISTS", 1))


def _make_safe(path: Path) -> None:
    """Make safe what a process that died may have left unsynced, before anything rests on it.

    One that is killed between the write of its commit and the sync leaves a whole commit, which
    SQLite takes for one when the next process opens the file. Whoever then found the record there and
    said so would promise what a power cut can still take away. The names of the file and of its
    write-ahead log are of the same kind.
    """
    file = Path(os.path.realpath(path))
    try:
        with contextlib.suppress(FileNotFoundError):
            disk.sync(file.with_name(f"{file.name}-wal"))
        disk.sync(file.parent)
    except OSError as error:
        raise StorageError(
            f"ledger {path}: {error.strerror or error}: its files could not be made durable; look at"
            " the disk (space, quota, health), and repeat"
        ) from error


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}"
    if not read_only:
        return _connection(f"{uri}?mode=rw")
    db = _connection(f"{uri}?mode=ro")
    try:
        db.execute("SELECT 1 FROM ledger").fetchone()
    except sqlite3.OperationalError as error:
        db.close()
        # A reader in WAL mode needs the files -wal and -shm. Where the folder cannot be written
        # and no -wal is left, nobody can be writing: the file alone is the whole ledger.
        code = error.sqlite_errorcode & 0xFF
        if code not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY} or _has_wal(path):
            raise
        return _connection(f"{uri}?mode=ro&immutable=1")
    return db


def _has_wal(path: Path) -> bool:
    wal = path.with_name(path.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0


def _connection(uri: str) -> sqlite3.Connection:
    # Whoever opened it sees to it that one thread uses it at a time; the last one may be another.
    db = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    # The file may come from elsewhere: its schema must not call functions, and damaged cells must
    # not be followed.
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    return db


def _require_known(db: sqlite3.Connection, path: Path) -> None:
    application_id: int = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if application_id != APPLICATION_ID:
        raise LedgerError(
            f"{path} is not a provgraph ledger: expected the SQLite application id"
            f" {APPLICATION_ID:#x}, found {application_id:#x}; choose another folder"
        )
    if version != SCHEMA_VERSION:
        raise LedgerError(
            f"ledger {path} has schema {version}, this provgraph knows schema {SCHEMA_VERSION};"
            " use the provgraph that wrote it, or a newer one"
        )
