"""An MLflow store in an SQLite file, also while a server works on it: read-only, in short transactions.

A reader of a database in rollback mode keeps writers waiting, so each page is a transaction of its own; one
that meets a writer waits for it. Where the folder cannot be written and no write-ahead log is left, nobody
can be writing, and the file is read as it is (https://www.sqlite.org/uri.html#uriimmutable).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from provgraph.converters.sources import Source
from provgraph.errors import FormatError, StorageError

MAGIC: Final = b"SQLite format 3\0"
_WAIT_S: Final = 5.0
_TRIES: Final = 6
_FETCHED: Final = 2000  # rows at once
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class SqliteDatabase:
    """A database file (see `sql.Database`)."""

    row_order: str | None = "rowid"

    def __init__(self, path: Path) -> None:
        """Open it for reading.

        Raises:
            FormatError: no SQLite database, or a damaged one.
            StorageError: it cannot be read, or another process keeps it locked.
        """
        self._path = path
        self._db = self._opened()

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def columns(self, table: str) -> set[str]:
        """Return the names of a table's columns."""
        return {row[1] for row in self.rows(f'PRAGMA table_info("{table}")')}

    @contextlib.contextmanager
    def page(self) -> Iterator[None]:
        """Hold one state of the database; wait for a writer that is in the middle of something."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")  # of a page that was left before its end
        self._begin()
        try:
            yield
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Run a statement; text that is not UTF-8 keeps its bytes as lone surrogates."""
        with self._errors():
            cursor = self._db.execute(statement, values)
            count = 0
            while True:
                try:
                    some = cursor.fetchmany(_FETCHED)
                except sqlite3.OperationalError as error:
                    if self._db.text_factory is _text or "decode" not in str(error):
                        raise
                    # Reading text so costs a third more, so it is done only in a store that needs it.
                    # Within a page the statement gives the same rows in the same order again.
                    self._db.text_factory = _text
                    cursor = self._db.execute(statement, values)
                    if count:  # 0 would fetch all
                        cursor.fetchmany(count)
                    continue
                if not some:
                    return
                count += len(some)
                yield from some

    def _begin(self) -> None:
        for attempt in range(_TRIES):
            try:
                with self._errors():
                    self._db.execute("BEGIN")
                    # The lock of a reader is taken by the first read, not by BEGIN.
                    self._db.execute("SELECT 1 FROM sqlite_master").fetchone()
            except StorageError:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if attempt == _TRIES - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
            else:
                return

    def _opened(self) -> sqlite3.Connection:
        uri = f"file:{quote(str(self._path.absolute()))}"
        db = self._connection(f"{uri}?mode=ro")
        try:
            with self._errors():
                db.execute("SELECT 1 FROM sqlite_master").fetchone()
        except StorageError:
            db.close()
            wal = self._path.with_name(self._path.name + "-wal")
            if self._is_writable() or (wal.exists() and wal.stat().st_size > 0):
                raise
            return self._connection(f"{uri}?mode=ro&immutable=1")
        return db

    def _is_writable(self) -> bool:
        return os.access(self._path.parent, os.W_OK)

    def _connection(self, uri: str) -> sqlite3.Connection:
        with self._errors():
            return sqlite3.connect(
                uri, uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _BUSY:
                raise StorageError(
                    f"{self._path} is locked by another process; import again when it is done"
                ) from error
            if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
                raise FormatError(
                    f"{self._path}: {error}; `sqlite3 {self._path} .recover` can save what is left"
                ) from error
            raise StorageError(f"cannot read {self._path}: {error}") from error


def recognises(source: Source) -> str | None:
    """Say whether a file is an SQLite database with the tables of MLflow."""
    path = source.file
    if path is None or not source.head.startswith(MAGIC):
        return None
    try:
        database = SqliteDatabase(path)
    except (FormatError, StorageError):
        return None
    try:
        if {"run_uuid", "experiment_id"} <= database.columns("runs"):
            return "an MLflow store in SQLite"
    except (FormatError, StorageError):
        return None
    finally:
        database.close()
    return None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
