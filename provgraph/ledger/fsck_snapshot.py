"""The ledger at one instant: what a check starts from, whatever others append meanwhile.

Ranges of entries are checked in the order of the ledger, and the table of names is kept by name, so a
large one is copied by position to a scratch file first. SQLite does that within itself; it takes no
memory to speak of, and can go on beside another step.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from provgraph.ledger import schema
from provgraph.ledger.codec import require_blob
from provgraph.ledger.fsck_range import RANGE_ENTRIES
from provgraph.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The ledger at one instant: what is checked."""

    size: int
    note: bytes
    names: Path | None = None  # a copy of the table of names by position, where one was made


def take_snapshot(ledger: LedgerReader, *, names: Path) -> Snapshot:
    """Read size and checkpoint at one instant, so that what others append meanwhile is no matter.

    Where a range would read too much of the table of names, as that is kept by name, they are copied
    to a file in the order of the ledger, as of the same instant.
    """
    with (
        schema.storage_errors(ledger.path),
        contextlib.closing(schema.connect(ledger.path, read_only=True)) as db,
    ):
        db.execute("ATTACH ? AS copy", (f"file:{quote(str(names))}?mode=rwc",))
        db.execute("PRAGMA copy.journal_mode = OFF")
        db.execute("PRAGMA copy.synchronous = OFF")
        db.execute("BEGIN")
        (size,) = db.execute("SELECT ifnull(max(position) + 1, 0) FROM main.record").fetchone()
        row = db.execute("SELECT checkpoint FROM main.ledger WHERE id = 1").fetchone()
        note = require_blob(row[0] if row else None, what="the checkpoint")
        if size <= RANGE_ENTRIES:
            return Snapshot(size=size, note=note)
        try:
            _copy_names(db, size)
        except sqlite3.DatabaseError as error:
            if schema.is_about_storage(error):
                raise
            # A damaged page: the ranges meet it where it is.
            return Snapshot(size=size, note=note)
    return Snapshot(size=size, note=note, names=names)


def _copy_names(db: sqlite3.Connection, size: int) -> None:
    # SQLite sorts in files of its own where memory does not do.
    db.execute(
        "CREATE TABLE copy.name (position, kind, name, version, iri,"
        " PRIMARY KEY (position, kind, name, version, iri)) WITHOUT ROWID"
    )
    db.execute(
        "INSERT INTO copy.name SELECT position, kind, name, version, iri FROM main.name"
        " WHERE position >= 0 AND position < ? ORDER BY position, kind, name, version, iri",
        (size,),
    )
    db.execute("COMMIT")
