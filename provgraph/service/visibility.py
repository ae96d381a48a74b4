"""Which records a view leaves out: what records say of projects and things, kept in one SQLite file.

`visibility.db` in the home follows the ledger. It holds projects by name, and things by a keyed hash
of their IRIs: who began a thing, and who mentions it. It can be deleted, and is built again from the
ledger; but which project an *erased* record belonged to is then known no more, and that record's
tombstone is for those who read all.

A record is left out of a view
1. if the view does not show a project that it says it belongs to; a view of some projects also
   leaves out runs without any. So is a record of which nobody can tell (`UNKNOWN`).
2. if it mentions an act or record that began in a record that is left out, whenever that came in.
3. if it mentions content or a name that first was made in a run that is left out. A run is not, if
   it made the same itself, or if a run that is not left out knew of it before.
4. if it is about a thing of which no run in the view had spoken when it came in: nobody opens a later
   fact by speaking of its thing afterwards. The description of what runs share is left out unless a run
   in the view refers to it that the same key sealed: its IRI alone is in the log, for everybody to write.
5. if it stands for an erased record that is left out.

Leaving one out can leave out more, so the rules are applied until nothing changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from provgraph import terms
from provgraph.access.belonging import CONTENT, LATER, RUN, UNKNOWN, Said, read_said
from provgraph.access.views import View
from provgraph.errors import StorageError
from provgraph.ledger.reading import LedgerReader
from provgraph.service.folding import visible
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)

# Raised when the rules or the tables change: a file of another layout is built anew.
_LAYOUT: Final = 2
_APPLICATION_ID: Final = 0x50475649  # "PGVI"
_SCHEMA: Final = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), layout INTEGER NOT NULL,
  key BLOB NOT NULL, size INTEGER NOT NULL, root TEXT NOT NULL) STRICT;
CREATE TABLE project (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE record (position INTEGER PRIMARY KEY, standing INTEGER NOT NULL, follows INTEGER,
  sealer BLOB NOT NULL) STRICT;
CREATE INDEX record_follows ON record (follows) WHERE follows IS NOT NULL;
CREATE INDEX record_unknown ON record (position) WHERE standing = 6;
CREATE TABLE belongs (project INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (project, position)) STRICT, WITHOUT ROWID;
CREATE INDEX belongs_position ON belongs (position);
CREATE TABLE thing (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, maker INTEGER,
  is_act INTEGER NOT NULL) STRICT;
CREATE INDEX thing_maker ON thing (maker) WHERE maker IS NOT NULL;
CREATE TABLE mention (thing INTEGER NOT NULL, position INTEGER NOT NULL, how INTEGER NOT NULL,
  PRIMARY KEY (thing, position)) STRICT, WITHOUT ROWID;
CREATE INDEX mention_position ON mention (position);
CREATE INDEX mention_needs ON mention (thing) WHERE how >= 2;
"""
_OWN: Final = 1
_NEEDS: Final = 2
_BATCH: Final = 500


class Visibility:
    """The file, open. One thread at a time."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._key = b""

    def follow(self, ledger: LedgerReader) -> int:
        """Take in what the ledger holds and this does not; return the size that it holds then."""
        size = ledger.size()
        state = self._db.execute("SELECT size, root FROM state").fetchone()
        known, root = state if state is not None else (0, "")
        if state is None or known > size or ledger.root(known).hex() != root:
            known = 0
            self._start(root=ledger.root(0).hex())
        while known < size:
            stop = min(size, known + _BATCH)
            with self._transaction():
                # Another process of the home may have been here in between.
                now, self._key = self._db.execute("SELECT size, key FROM state").fetchone()
                if now == known:
                    for record in ledger.records(known, stop):
                        if record.content is None:
                            said = Said(standing=UNKNOWN, acts=frozenset({record.iri}))
                        else:
                            said = read_said(record.content, iri=record.iri, kind=record.kind)
                        self._take(record.index, said, sealer=record.verification_method)
                    self._db.execute(
                        "UPDATE state SET size = ?, root = ?", (stop, ledger.root(stop).hex())
                    )
                    now = stop
            known = now
        return size

    def hidden(self, view: View, *, size: int) -> set[int]:
        """Return which of the first `size` entries a view leaves out."""
        only = None if view.only is None else _spellings(view.only)
        spelled = View(hidden=_spellings(view.hidden), only=only)
        return _Judgement(self._db, spelled, size=size).hidden

    def _take(self, position: int, said: Said, *, sealer: str) -> None:
        follows = None
        if said.erases is not None:
            follows = self._maker(said.erases)
        self._db.execute(
            "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)",
            (position, said.standing, follows, self._hash(sealer)),
        )
        for name in said.projects:
            self._db.execute("INSERT OR IGNORE INTO project (name) VALUES (?)", (name,))
            self._db.execute(
                "INSERT OR IGNORE INTO belongs SELECT id, ? FROM project WHERE name = ?",
                (position, name),
            )
        for iri in sorted(said.mentions | said.acts | said.needs):
            begins, is_act = iri in said.own or iri in said.acts, iri in said.acts
            thing = self._thing(iri, maker=position if begins else None, is_act=is_act)
            how = _OWN * (iri in said.own) + _NEEDS * (iri in said.needs)
            self._db.execute(
                "INSERT OR IGNORE INTO mention VALUES (?, ?, ?)", (thing, position, how)
            )
        if follows is not None:
            self._forget(follows)

    def _thing(self, iri: str, *, maker: int | None, is_act: bool) -> int:
        key = self._hash(iri)
        row = self._db.execute("SELECT id, maker FROM thing WHERE hash = ?", (key,)).fetchone()
        if row is None:
            made = self._db.execute(
                "INSERT INTO thing (hash, maker, is_act) VALUES (?, ?, ?)", (key, maker, is_act)
            )
            assert made.lastrowid is not None, "a row was put in"
            return made.lastrowid
        if row[1] is None and maker is not None:
            self._db.execute(
                "UPDATE thing SET maker = ?, is_act = ? WHERE id = ?", (maker, is_act, row[0])
            )
        thing: int = row[0]
        return thing

    def _maker(self, iri: str) -> int | None:
        row = self._db.execute(
            "SELECT maker FROM thing WHERE hash = ?", (self._hash(iri),)
        ).fetchone()
        return None if row is None else row[0]

    def _forget(self, position: int) -> None:
        """Drop what an erased record mentioned; that it began things, and its projects, stay."""
        self._db.execute("DELETE FROM mention WHERE position = ?", (position,))

    def _hash(self, iri: str) -> bytes:
        return hashlib.blake2b(iri.encode(), digest_size=16, key=self._key).digest()

    def _start(self, *, root: str) -> None:
        with self._transaction():
            for table in ("state", "project", "record", "belongs", "thing", "mention"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
            self._db.execute(
                "INSERT INTO state VALUES (1, ?, ?, 0, ?)", (_LAYOUT, secrets.token_bytes(32), root)
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            # If the process dies before COMMIT, the entries are taken in again.
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


class _Judgement:
    """The rules, applied to one view until nothing changes."""

    def __init__(self, db: sqlite3.Connection, view: View, *, size: int) -> None:
        self._db = db
        self._size = size
        self.hidden: set[int] = set()
        if view.is_full:
            return
        level = self._first(view)
        while level:
            self.hidden |= level
            things: set[int] = set()
            following: set[int] = set()
            for position in level:
                things |= self._column(
                    "SELECT id FROM thing WHERE maker = ?"
                    " UNION SELECT thing FROM mention WHERE position = ?",
                    position,
                    position,
                )
                following |= self._column("SELECT position FROM record WHERE follows = ?", position)
            for thing in things:
                following |= self._left_out_with(thing)
            level = {each for each in following if each < size} - self.hidden

    def _first(self, view: View) -> set[int]:
        """Apply the rules that look at one record, and rule 4 to what no run at all mentions."""
        found = self._column("SELECT position FROM record WHERE standing = 6")
        for project, name in self._db.execute("SELECT id, name FROM project").fetchall():
            if not view.shows(name):
                found |= self._column("SELECT position FROM belongs WHERE project = ?", project)
        if view.only is not None:
            found |= self._column(
                "SELECT position FROM record WHERE standing = ?"
                " AND position NOT IN (SELECT position FROM belongs)",
                RUN,
            )
        found |= self._column(
            "SELECT m.position FROM mention AS m JOIN thing AS t ON t.id = m.thing"
            " JOIN record AS l ON l.position = m.position"
            " WHERE m.how >= 2 AND l.standing = ? AND (t.maker IS NULL OR t.maker > m.position)"
            " AND NOT EXISTS (SELECT 1 FROM mention AS r JOIN record ON record.position = r.position"
            " WHERE r.thing = m.thing AND record.standing = ? AND r.position < m.position)",
            LATER,
            RUN,
        )
        found |= self._column(
            "SELECT m.position FROM mention AS m JOIN record AS c ON c.position = m.position"
            " WHERE m.how >= 2 AND c.standing = ?"
            " AND NOT EXISTS (SELECT 1 FROM mention AS r JOIN record ON record.position = r.position"
            " WHERE r.thing = m.thing AND record.standing = ? AND record.sealer = c.sealer"
            " AND r.position < ?)",
            CONTENT,
            RUN,
            self._size,
        )
        return {each for each in found if each < self._size}

    def _left_out_with(self, thing: int) -> set[int]:
        maker, is_act = self._db.execute(
            "SELECT maker, is_act FROM thing WHERE id = ?", (thing,)
        ).fetchone()
        if maker is not None and maker >= self._size:
            maker = None
        begins_hidden = maker is not None and maker in self.hidden
        rows = self._db.execute(
            "SELECT m.position, m.how, standing, sealer FROM mention AS m JOIN record"
            " ON record.position = m.position WHERE m.thing = ? AND m.position < ?"
            " ORDER BY m.position",
            (thing, self._size),
        )
        found: set[int] = set()
        shared: dict[int, bytes] = {}
        sealers: set[bytes] = set()  # of runs that are not left out
        is_known = False  # from such a run, or from where it began
        for position, how, standing, sealer in rows:
            if position in self.hidden:
                continue
            if not begins_hidden:
                if standing == RUN or position == maker:
                    is_known = True
                    sealers.add(sealer)
                elif how >= _NEEDS and standing == CONTENT:
                    shared[position] = sealer
                elif how >= _NEEDS and not is_known:
                    found.add(position)
            elif is_act or standing != RUN:
                found.add(position)
            elif maker is not None and position < maker:
                is_known = True
            elif not is_known and not how & _OWN:
                found.add(position)
        return found | {each for each, sealer in shared.items() if sealer not in sealers}

    def _column(self, statement: str, *values: object) -> set[int]:
        return {row[0] for row in self._db.execute(statement, values)}


def _spellings(projects: frozenset[str]) -> frozenset[str]:
    """Return projects as records may spell them: see `provgraph.terms.clean` and folding."""
    cleaned = {terms.clean(each) for each in projects}
    return frozenset({*projects, *cleaned, *map(visible, cleaned)})


@contextlib.contextmanager
def open_visibility(settings: Settings) -> Iterator[Visibility]:
    """Open the file, made where there is none, and anew where it is of another layout.

    Raises:
        StorageError: it cannot be made, read or written.
    """
    path = settings.home / "visibility.db"
    try:
        db = _opened(path)
        try:
            yield Visibility(db)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StorageError(
            f"cannot use {path}: {error}; delete it, it is built again from the ledger"
        ) from error


def _opened(path: Path) -> sqlite3.Connection:
    try:
        # Only a new file: closing one that this process has open elsewhere drops SQLite's locks on
        # it (https://www.sqlite.org/howtocorrupt.html section 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StorageError(f"cannot use {path}: {error.strerror or error}") from error
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA busy_timeout = 10000")
    db.execute("PRAGMA secure_delete = ON")  # what is erased leaves no page behind
    db.execute("BEGIN IMMEDIATE")
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (layout,) = db.execute("PRAGMA user_version").fetchone()
    if application_id == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        for statement in filter(str.strip, _SCHEMA.split(";")):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {_LAYOUT}")
    elif application_id != _APPLICATION_ID:
        db.close()
        raise StorageError(f"{path} is no visibility file of provgraph; move it away")
    elif layout != _LAYOUT:
        db.close()
        logger.warning("visibility file of another version, built anew path=%s", path)
        path.unlink(missing_ok=True)
        return _opened(path)
    db.execute("COMMIT")
    return db
