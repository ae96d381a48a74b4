"""The lineage index: edges between numbered things, and facts about them, in one SQLite file.

It is written with the replay, from the ledger's bytes, and can be deleted: it is built again. Its
watermark (ledger size and root) moves in the transaction that puts the rows in, so it may be behind the
ledger and is never ahead. Synchronous is NORMAL: a power cut can lose the last commits and tears
nothing (https://www.sqlite.org/pragma.html#pragma_synchronous).

<folder>/current          the name of the file that counts
<folder>/edges-<hex>.db   one built from nothing has a new name, so whoever reads the old one goes on
<folder>/arrays-<hex>.bin the same edges as arrays (provgraph.index.edge_arrays), where there are many

Each edge and each fact has the ledger position that it holds since, so one file answers as of every
earlier size. An edge's `record` is the position of the entry whose bytes state it. The two differ for an
erased record: what is left of it is in its tombstone, and holds since the record did.

One process writes at a time (whoever holds the lock of the index beside it); any number read. Numbers of
things are given in the order of the ledger, so two files built from one ledger are equal.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from provgraph import disk, vocab
from provgraph.errors import DamagedIndexError, IndexUnavailableError
from provgraph.index.edge_facts import FACTS, KINDS, LAST_WALKED, NAMES, read_graph
from provgraph.index.edge_walks import EVER, Steps
from provgraph.index.store import Watermark

logger: Final = logging.getLogger(__name__)

_APPLICATION_ID: Final = 0x5047454C  # "PGEL"
_TABLES: Final = (
    (
        "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), layout INTEGER NOT NULL,"
        " size INTEGER NOT NULL, root TEXT NOT NULL, walked INTEGER NOT NULL, arrays TEXT)"
    ),
    # key is the first 8 bytes of the IRI's BLAKE2b: an index of numbers takes a tenth of one of IRIs.
    "CREATE TABLE thing (id INTEGER PRIMARY KEY, key INTEGER NOT NULL, iri TEXT NOT NULL)",
    "CREATE TABLE record (position INTEGER PRIMARY KEY, thing INTEGER NOT NULL)",
    (
        "CREATE TABLE edge (child INTEGER NOT NULL, kind INTEGER NOT NULL, parent INTEGER NOT NULL,"
        " record INTEGER NOT NULL, position INTEGER NOT NULL,"
        " PRIMARY KEY (child, kind, parent, record)) WITHOUT ROWID"
    ),
    # value is the number of a thing, or text.
    (
        "CREATE TABLE fact (thing INTEGER NOT NULL, code INTEGER NOT NULL, value NOT NULL,"
        " position INTEGER NOT NULL, PRIMARY KEY (thing, code, value)) WITHOUT ROWID"
    ),
    # What the arrays do not hold yet of the edges that a walk follows.
    "CREATE TABLE recent (child INTEGER NOT NULL, parent INTEGER NOT NULL, position INTEGER NOT NULL)",
)
_INDEXES: Final = (
    "CREATE INDEX thing_key ON thing (key)",
    "CREATE INDEX edge_down ON edge (parent, kind, child, position)",
)
# A file of other tables, kinds or facts is of another layout, and built anew.
LAYOUT: Final = zlib.crc32(repr((1, _TABLES, _INDEXES, KINDS, FACTS, NAMES)).encode())

_TOMBSTONES: Final = f"{vocab.ID}tombstone/"
_BUSY_TIMEOUT_S: Final = 30.0
_CACHE_KIB: Final = {"ro": 8 * 1024, "rw": 64 * 1024}
# Entries per transaction.
BATCH: Final = 500
_CURRENT: Final = "current"
# What the file may be at fault for; everything else is the disk's or another process's.
_DAMAGE: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the ledger on its way in."""

    position: int
    iri: str
    graph_nq: bytes | None  # None where it is not there any more
    stands_for: int | None = None  # the position of the erased record, for its tombstone


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEdge:
    """An edge as the file holds it: numbers of things, ledger positions."""

    child: int
    kind: int
    parent: int
    record: int
    position: int


class EdgeFile(Steps):
    """An open file. Use `open_edges`; one thread at a time."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        """Take over an open connection."""
        self.path = path
        self._db = db

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ---- state -----------------------------------------------------------------------------------
    def watermark(self) -> Watermark:
        """Return how much of which ledger is in."""
        size, root = self._one("SELECT size, root FROM state WHERE id = 1")
        return Watermark(size=int(size), root_hex=str(root))

    def edge_count(self) -> int:
        """Return how many edges there are, of all kinds."""
        return int(self._one("SELECT count(*) FROM edge")[0])

    def walked_count(self) -> int:
        """Return how many edges there are of the kinds that a walk follows."""
        return int(self._one("SELECT walked FROM state")[0])

    def thing_count(self) -> int:
        """Return how many things there are; their numbers are those below."""
        return int(self._one("SELECT ifnull(max(id), -1) + 1 FROM thing")[0])

    # ---- the arrays over it --------------------------------------------------------------------------
    def arrays(self) -> tuple[str | None, list[tuple[int, int, int]]]:
        """Return the name of the arrays in force, and (child, parent, position) that they lack."""
        with self._errors():
            # Both as of one moment: they change together.
            self._db.execute("BEGIN")
            try:
                (name,) = self._one("SELECT arrays FROM state")
                recent = [] if name is None else self._all("SELECT * FROM recent")
            finally:
                self._db.execute("COMMIT")
        return name, recent

    def counts(self) -> tuple[int, int, bool]:
        """Return how many edges a walk follows, how many of them the arrays lack, and if there are any."""
        walked, name = self._one("SELECT walked, arrays FROM state")
        return int(walked), int(self._one("SELECT count(*) FROM recent")[0]), name is not None

    def walked_columns(
        self, *, up: bool, rows: int
    ) -> Iterator[tuple[Sequence[int], Sequence[int], Sequence[int]]]:
        """Yield all edges that a walk follows, by child (up) or by parent: from, to, position."""
        here, there = ("child", "parent") if up else ("parent", "child")
        with self._errors():
            cursor = self._db.execute(
                f"SELECT {here}, {there}, position FROM edge WHERE kind <= ?"  # noqa: S608 - names of our own
                f" ORDER BY {here}, kind, {there}",
                (LAST_WALKED,),
            )
            while found := cursor.fetchmany(rows):
                heres, theres, positions = zip(*found, strict=True)
                yield heres, theres, positions

    def put_arrays_in_force(self, name: str) -> None:
        """Name the arrays that hold all edges up to now."""
        with self._errors(), self._transaction():
            self._db.execute("UPDATE state SET arrays = ?", (name,))
            self._db.execute("DELETE FROM recent")

    # ---- the dictionary --------------------------------------------------------------------------
    def ids(self, iris: Collection[str]) -> dict[str, int]:
        """Return the numbers of things; those that are in no edge and have no fact are left out."""
        keys = {_key(iri) for iri in iris}
        wanted = set(iris)
        return {
            iri: number
            for number, iri in self._all(
                "SELECT id, iri FROM thing WHERE key IN (SELECT value FROM json_each(?))",
                _json(keys),
            )
            if iri in wanted
        }

    def iris(self, ids: Collection[int]) -> dict[int, str]:
        """Return the IRIs of numbers."""
        return dict(
            self._all(
                "SELECT t.id, t.iri FROM json_each(?) AS l CROSS JOIN thing AS t ON t.id = l.value",
                _json(ids),
            )
        )

    def records(self, positions: Collection[int]) -> dict[int, str]:
        """Return the IRIs of the records at ledger positions."""
        return dict(
            self._all(
                "SELECT position, iri FROM record JOIN thing ON thing.id = record.thing"
                " WHERE position IN (SELECT value FROM json_each(?))",
                json.dumps(list(positions)),
            )
        )

    # ---- edges and facts -------------------------------------------------------------------------
    def step(
        self, level: Collection[int], *, up: bool, as_of: int = EVER, limit: int = EVER
    ) -> set[int]:
        """Return what is one step away."""
        here, there = ("child", "parent") if up else ("parent", "child")
        return {
            row[0]
            for row in self._all(
                f"SELECT DISTINCT e.{there} FROM json_each(?) AS l CROSS JOIN edge AS e"  # noqa: S608 - names of our own
                f" ON e.{here} = l.value WHERE e.kind <= ? AND e.position < ? LIMIT ?",
                _json(level),
                LAST_WALKED,
                as_of,
                limit,
            )
        }

    def edges_at(
        self,
        things: Collection[int],
        *,
        up: bool,
        kinds: Sequence[int],
        as_of: int = EVER,
        limit: int = EVER,
    ) -> Iterator[StoredEdge]:
        """Yield the edges of some kinds that lead up from things, or down from them; so many at most."""
        here = "child" if up else "parent"
        for child, kind, parent, record, position in self._all(
            "SELECT e.child, e.kind, e.parent, e.record, e.position FROM json_each(?) AS l"  # noqa: S608 - names of our own
            f" CROSS JOIN edge AS e ON e.{here} = l.value"
            " WHERE e.kind IN (SELECT value FROM json_each(?)) AND e.position < ? LIMIT ?",
            _json(things),
            json.dumps(list(kinds)),
            as_of,
            limit,
        ):
            yield StoredEdge(
                child=child, kind=kind, parent=parent, record=record, position=position
            )

    def facts(
        self, things: Collection[int], *, codes: Collection[int] | None = None, as_of: int = EVER
    ) -> list[tuple[int, int, int | str]]:
        """Return (thing, fact, number of a thing or text) of things, of some facts or all."""
        wanted = range(len(NAMES)) if codes is None else codes
        return self._all(
            "SELECT f.thing, f.code, f.value FROM json_each(?) AS l CROSS JOIN fact AS f"  # noqa: S608 - numbers
            f" ON f.thing = l.value WHERE f.code IN ({', '.join(f'{each:d}' for each in wanted)})"
            " AND f.position < ?",
            _json(things),
            as_of,
        )

    def known(self, things: Collection[int], *, as_of: int = EVER) -> set[int]:
        """Return those things that an edge or a fact is about."""
        given = _json(things)
        return {
            row[0]
            for row in self._all(
                "SELECT l.value FROM json_each(?) AS l WHERE"
                " EXISTS (SELECT 1 FROM fact WHERE thing = l.value AND position < ?)"
                " OR EXISTS (SELECT 1 FROM edge WHERE child = l.value AND position < ?)"
                " OR EXISTS (SELECT 1 FROM edge WHERE parent = l.value AND position < ?)",
                given,
                as_of,
                as_of,
                as_of,
            )
        }

    def difference(self, other: Path, table: str) -> tuple[tuple[int, str], tuple[int, str]]:
        """Return how many rows this file has and the other has not, with one of them; and the reverse."""
        with self._errors():
            self._db.execute("ATTACH ? AS other", (f"file:{quote(str(other))}?mode=ro",))
            try:
                found = []
                for one, two in (("main", "other"), ("other", "main")):
                    query = f"SELECT * FROM {one}.{table} EXCEPT SELECT * FROM {two}.{table}"  # noqa: S608 - names of our own
                    (count,) = self._one(f"SELECT count(*) FROM ({query})")  # noqa: S608
                    example = self._all(f"{query} LIMIT 1")
                    found.append((int(count), str(example[0]) if example else ""))
            finally:
                self._db.execute("DETACH other")
        return found[0], found[1]

    # ---- writing -----------------------------------------------------------------------------------
    def append(self, entries: Sequence[Entry], *, mark: Watermark) -> None:
        """Put entries in, and move the watermark, in one transaction."""
        with self._errors(), self._transaction():
            self._put(entries)
            self._set_mark(mark)
            # If the process dies before COMMIT, neither rows nor watermark are in.

    def _put(self, entries: Sequence[Entry]) -> None:
        read = [
            (each, None if each.graph_nq is None else read_graph(each.graph_nq)) for each in entries
        ]
        iris: dict[str, None] = {}
        for each, stated in read:
            iris[each.iri] = None
            if stated is not None:
                iris.update(dict.fromkeys(stated.iris()))
        number = self._numbered(iris)
        edges: list[tuple[int, int, int, int, int]] = []
        facts: list[tuple[int, int, int | str, int]] = []
        for each, stated in read:
            if stated is None:
                continue
            record = each.position
            since = record if each.stands_for is None else each.stands_for
            edges.extend((number[c], k, number[p], record, since) for c, k, p in stated.edges)
            held: list[tuple[str, int, int | str]] = [
                *((t, code, number[v]) for t, code, v in stated.things),
                *stated.texts,
            ]
            # What a tombstone says of itself holds since it came in.
            facts.extend(
                (number[t], code, v, record if t.startswith(_TOMBSTONES) else since)
                for t, code, v in held
            )
        db = self._db
        db.executemany(
            "INSERT OR IGNORE INTO record VALUES (?, ?)",
            [(each.position, number[each.iri]) for each in entries],
        )
        walked = [each for each in edges if each[1] <= LAST_WALKED]
        others = [each for each in edges if each[1] > LAST_WALKED]
        insert = "INSERT OR IGNORE INTO edge VALUES (?, ?, ?, ?, ?)"
        new = db.executemany(insert, walked).rowcount
        db.executemany(insert, others)
        # The first that says it counts. A view can come to show a record after later ones.
        db.executemany(
            "INSERT INTO fact VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET position = excluded.position WHERE excluded.position < position",
            facts,
        )
        db.execute("UPDATE state SET walked = walked + ?", (max(0, new),))
        if db.execute("SELECT arrays FROM state").fetchone()[0] is not None:
            db.executemany(
                "INSERT INTO recent VALUES (?, ?, ?)",
                [(child, parent, since) for child, _, parent, _, since in walked],
            )

    def _numbered(self, iris: Iterable[str]) -> dict[str, int]:
        """Return the numbers of IRIs, given in their order to those that have none."""
        wanted = list(iris)
        number = self.ids(wanted)
        (last,) = self._one("SELECT ifnull(max(id), -1) FROM thing")
        new = [iri for iri in wanted if iri not in number]
        number.update({iri: last + 1 + place for place, iri in enumerate(new)})
        self._db.executemany(
            "INSERT INTO thing VALUES (?, ?, ?)", [(number[iri], _key(iri), iri) for iri in new]
        )
        return number

    def _set_mark(self, mark: Watermark) -> None:
        self._db.execute("UPDATE state SET size = ?, root = ?", (mark.size, mark.root_hex))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _all(self, statement: str, *values: object) -> list[Any]:
        with self._errors():
            return self._db.execute(statement, values).fetchall()

    def _one(self, statement: str, *values: object) -> tuple[Any, ...]:
        with self._errors():
            row: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
        if row is None:
            raise DamagedIndexError(f"the lineage index {self.path} has no state")
        return row

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return _engine_errors(self.path)


# ---- the folder ------------------------------------------------------------------------------------
def lineage_folder(index: Path) -> Path:
    """Return where the lineage index is that belongs to an index: beside it."""
    return index.with_name("lineage" if index.name == "index" else f"{index.name}-lineage")


def open_edges(folder: Path, *, read_only: bool = True) -> EdgeFile | None:
    """Open the file that counts; None where there is none, or it is of another layout.

    Raises:
        DamagedIndexError: it is not what was written.
        IndexUnavailableError: it cannot be read.
    """
    for _ in range(2):
        try:
            name = (folder / _CURRENT).read_text("ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise DamagedIndexError(
                f"the lineage index {folder} cannot be read: {error}"
            ) from error
        path = folder / name
        if path.parent == folder and path.is_file():
            break
        # A new one took its place in between.
    else:
        raise DamagedIndexError(f"the lineage index {folder} names a file that is not there")
    with _engine_errors(path):
        db = _connected(path, mode="ro" if read_only else "rw")
        try:
            (application_id,) = db.execute("PRAGMA application_id").fetchone()
            if application_id != _APPLICATION_ID:
                raise DamagedIndexError(f"{path} is no lineage index")
            row = db.execute("SELECT layout FROM state WHERE id = 1").fetchone()
            if row is None or row[0] != LAYOUT:
                db.close()
                return None
        except BaseException:
            db.close()
            raise
    return EdgeFile(path, db)


def build_edges(folder: Path, batches: Iterable[tuple[Sequence[Entry], Watermark]]) -> None:
    """Build the file anew from batches of entries from 0, each with its watermark, and put it in force.

    Raises:
        IndexUnavailableError: it cannot be written.
    """
    fresh = folder / f"edges-{secrets.token_hex(8)}.db"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with _engine_errors(fresh):
            _fill(fresh, batches)
        disk.sync(fresh)
        # If the process dies before the rename, the old file counts, and this one is removed later.
        put_in_force(folder, fresh.name)
    except OSError as error:
        raise _unwritable(folder, error) from error
    except sqlite3.Error as error:
        raise IndexUnavailableError(
            f"the lineage index {folder} cannot be built: {error}"
        ) from error
    for path in folder.iterdir():
        if path.name != _CURRENT and not path.name.startswith(fresh.name):
            path.unlink(missing_ok=True)


def put_in_force(folder: Path, name: str) -> None:
    """Name the file that counts from now on."""
    temporary = folder / f".{_CURRENT}-{secrets.token_hex(8)}"
    temporary.write_text(name, "ascii")
    disk.sync(temporary)
    temporary.replace(folder / _CURRENT)
    disk.sync(folder)


def discard_edges(folder: Path) -> None:
    """Delete the lineage index, such as after an erasure.

    Raises:
        IndexUnavailableError: the folder cannot be written.
    """
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _fill(path: Path, batches: Iterable[tuple[Sequence[Entry], Watermark]]) -> None:
    db = _connected(path, mode="rw")
    try:
        # Nobody reads it before it is whole.
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        begin(db)
        file = EdgeFile(path, db)
        db.execute("BEGIN")
        for entries, mark in batches:
            file._put(entries)
            file._set_mark(mark)
        db.execute(_INDEXES[1])
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()


def begin(db: sqlite3.Connection) -> None:
    """Make the tables of a new file; the second index comes when the rows are in."""
    db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    for statement in (*_TABLES, _INDEXES[0]):
        db.execute(statement)
    db.execute(
        "INSERT INTO state VALUES (1, ?, 0, ?, 0, NULL)", (LAYOUT, hashlib.sha256(b"").hexdigest())
    )


def _connected(path: Path, *, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB[mode]}")
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def _json(numbers: Collection[int]) -> str:
    """Write numbers as SQLite takes them: in order, so that each page is read once."""
    return json.dumps(sorted(numbers))


def _key(iri: str) -> int:
    digest = hashlib.blake2b(iri.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _unwritable(folder: Path, error: OSError) -> IndexUnavailableError:
    return IndexUnavailableError(
        f"the lineage index {folder} cannot be written: {error.strerror or error}; the ledger is"
        " unharmed, make room or mend the permissions"
    )


@contextlib.contextmanager
def _engine_errors(path: Path) -> Iterator[None]:
    """Tell damage (to be built anew) from a disk that is full or may not be written."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _DAMAGE:
            raise DamagedIndexError(f"the lineage index {path} is damaged: {error}") from error
        raise IndexUnavailableError(
            f"the lineage index {path} cannot be used: {error}; the ledger is unharmed, make room or"
            " mend the permissions"
        ) from error
