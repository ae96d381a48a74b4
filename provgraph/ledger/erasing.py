"""Erasing: a tombstone goes in and the content that it names goes out, in one transaction.

What stays of an erased record is its entry (hashes, salt and proof value), its proof configuration and
its place in the tree: every proof still verifies. Its graph becomes `codec.ERASED`; its names and the
attachments that no other record holds are deleted.

Deleting rows does not clear a file: SQLite keeps old pages in its write-ahead log and old cells in free
space. So `scrub` writes the file anew and cuts the log to nothing. A `Mark` beside the ledger, made
before the transaction and removed after everything, says that this is still to be done; a process
that dies in between leaves it to the next one.

What it does not do: reach copies, backups, the file system's free blocks or a drive's own remapping.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, Self

from provgraph import disk
from provgraph.digests import Digest
from provgraph.errors import LedgerError, StorageError, UsageError
from provgraph.ledger import schema
from provgraph.ledger.codec import ERASED, prepare
from provgraph.ledger.inbox import Inbox
from provgraph.ledger.rows import Pending, Position, StoredRecord
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.entry import RECORD, TOMBSTONE, parse_entry
from provgraph.seal.proof import verify_seal
from provgraph.seal.publish import PRIVATE_FILE_MODE
from provgraph.seal.tombstone import IsSteward, read_claim, require_fits, require_steward

_POLL_S: Final = 0.05
_MAX_ROUNDS: Final = 100


def require_erasable(record: StoredRecord) -> None:
    """Check that an entry is one that may be erased.

    Raises:
        UsageError: it decides about the ledger itself.
    """
    if record.kind == RECORD:
        return
    reason = {
        TOMBSTONE: "without it the erased entry could not be told from one that was emptied",
    }.get(record.kind, "seals and checkpoints are judged by it")
    raise UsageError(f"entry {record.index} is of kind {record.kind} and is never erased: {reason}")


def erase(ledger: Ledger, tombstones: Mapping[int, Pending]) -> list[Position]:
    """Append tombstones and empty the entries that they name, all or none.

    An entry that was erased before keeps its tombstone: its position is returned, `is_new` False.

    Args:
        ledger: open for writing.
        tombstones: index of each entry to erase, and its sealed tombstone.

    Raises:
        UsageError: an entry that may not be erased.
        KeyRefusedError: a tombstone is sealed by a key that is no steward's, or not any more.
        UntrustedError: a tombstone that does not fit its entry, or the last checkpoint is not right.
        LedgerError: opened for reading, or the tree does not fit the last checkpoint.
        StorageError: it could not be made durable; nothing was erased, or all: ask again.
    """
    if ledger._log_signer is None:
        raise LedgerError(f"ledger {ledger.path} is open for reading; open it with its log key")
    positions = []
    db = ledger._db
    with schema.storage_errors(ledger.path):
        db.execute("PRAGMA secure_delete = ON")
    with ledger._transaction():
        start = ledger.size()
        frontier = ledger._frontier_of(ledger._last_checkpoint())
        for index, pending in tombstones.items():
            record = ledger.read(index)
            if record.is_erased:
                claim = ledger.tombstone_of(record)
                positions.append(Position(iri=claim.iri, index=claim.position, is_new=False))
                continue
            require_erasable(record)
            prepared = prepare(pending)
            claim = read_claim(
                pending.graph_nq, position=frontier.size, entry=parse_entry(prepared.entry)
            )
            require_fits(claim, index=index, entry=record.entry)
            ledger._require_admissible([prepared], ledger._keys.history(), start=frontier.size)
            ledger._insert_one(prepared, frontier)
            _empty(ledger, index)
            positions.append(Position(iri=pending.iri, index=claim.position, is_new=True))
        if frontier.size > start:
            # If the process dies before COMMIT returns, tombstone and erasure are both in or both
            # not. After it the content is in no row, but may be in the file until `scrub`.
            ledger._sign_tree(frontier)
    return positions


def finish(ledger: Ledger, *, is_steward: IsSteward | None = None) -> list[int]:
    """Empty the entries that tombstones name and that are there, such as after a partial restore.

    Returns the indices of the entries that were emptied. `is_steward` is as in `tombstone.judge`.

    Raises:
        UntrustedError: a tombstone that is not the steward's, or does not fit the entry it names.
        StorageError: it could not be made durable.
    """
    emptied = []
    entries = (parse_entry(data) for data in ledger.entries(0, ledger.size()))
    producers = {entry.verification_method for entry in entries if entry.kind == RECORD}
    with schema.storage_errors(ledger.path):
        ledger._db.execute("PRAGMA secure_delete = ON")
    with ledger._transaction():
        for row in ledger.names_of_kind("tombstone"):
            sealed = ledger.read(row.index)
            verify_seal(sealed.graph_nq, sealed.proof_nq, sealed.proof_value)
            claim = read_claim(sealed.graph_nq, position=row.index, entry=parse_entry(sealed.entry))
            require_steward(claim, producers=producers, is_steward=is_steward)
            record = ledger.read(claim.erased_index)
            require_fits(claim, index=record.index, entry=record.entry)
            if _empty(ledger, record.index):
                emptied.append(record.index)
    return emptied


def own_attachments(ledger: Ledger, index: int, *, among: Collection[int]) -> list[Digest]:
    """Return what is attached to an entry and to no other, save those that are erased with it."""
    with schema.storage_errors(ledger.path):
        rows = ledger._db.execute(
            "SELECT a.digest, other.position FROM attached AS own"
            " JOIN attached AS other ON other.attachment = own.attachment"
            " JOIN attachment AS a ON a.id = own.attachment WHERE own.position = ?",
            (index,),
        ).fetchall()
    held = {digest for digest, position in rows if position not in among}
    return [Digest("sha256", each.hex()) for each in sorted({row[0] for row in rows} - held)]


def _empty(ledger: Ledger, index: int) -> bool:
    """Take away a record's graph, names and own attachments; return whether anything was there."""
    db = ledger._db
    changes = db.total_changes
    db.execute(
        "UPDATE record SET graph = ? WHERE position = ? AND graph != ?", (ERASED, index, ERASED)
    )
    db.execute("DELETE FROM name WHERE position = ?", (index,))
    own = db.execute(
        "SELECT attachment FROM attached WHERE position = ? AND attachment NOT IN"
        " (SELECT attachment FROM attached WHERE position != ?)",
        (index, index),
    ).fetchall()
    db.execute("DELETE FROM attached WHERE position = ?", (index,))
    db.executemany("DELETE FROM attachment WHERE id = ?", own)
    return db.total_changes > changes


def scrub(ledger: Ledger) -> None:
    """Write the ledger's file anew without anything deleted, and cut its write-ahead log to nothing.

    Time and temporary space are those of copying the file. Readers go on, writers wait.

    Raises:
        StorageError: no room, or another process kept reading: nothing is lost; scrub again later.
    """
    with schema.storage_errors(ledger.path):
        ledger._db.execute("VACUUM")
        busy, _, _ = ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StorageError(
            f"ledger {ledger.path}: the content is erased, and old bytes of it are still in"
            f" {ledger.path.name}-wal, since another process reads the ledger; end that one and run"
            " `provgraph erase --resume`"
        )


def settle(ledger: Ledger) -> None:
    """Take in what waits in the inbox, and clear it of copies that processes left when they died.

    Raises:
        StorageError: the ledger takes nothing, or the inbox fills faster than it can be emptied.
    """
    folder = Inbox(ledger.path).folder
    for _ in range(_MAX_ROUNDS):
        ledger.append([])
        names = os.listdir(folder) if folder.is_dir() else []
        for name in names:
            # Half written; a process that is still at it appends in another way.
            if name.endswith(".new"):
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).unlink()
        if all(name.startswith(".") for name in names):
            return
    raise StorageError(f"the inbox {folder} is not empty: others append without a pause")


class Mark:
    """A note beside a ledger that an erasure has begun, held by the process that carries it through."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def begin(cls, ledger_path: Path, *, wait_s: float = schema.BUSY_TIMEOUT_S) -> Self:
        """Make the note durable and hold it, waiting for another process that erases.

        Raises:
            StorageError: the folder cannot be written, or the other one does not finish.
        """
        path = _mark_path(ledger_path)
        deadline_s = time.monotonic() + wait_s
        try:
            while True:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE_MODE)
                if _is_locked(descriptor, path):
                    disk.sync(path.parent)
                    return cls(path, descriptor)
                os.close(descriptor)
                if time.monotonic() > deadline_s:
                    raise StorageError(
                        f"another process has been erasing in {ledger_path} for {wait_s:.0f} s;"
                        " try again when it is done"
                    )
                time.sleep(_POLL_S)
        except OSError as error:
            raise StorageError(
                f"cannot write {path}: {error.strerror or error}; nothing was erased"
            ) from error

    @classmethod
    def left_behind(cls, ledger_path: Path) -> Self | None:
        """Take over the note of a process that died; None where there is none, or it is held."""
        path = _mark_path(ledger_path)
        try:
            descriptor = os.open(path, os.O_WRONLY)
        except OSError:
            return None
        if _is_locked(descriptor, path):
            return cls(path, descriptor)
        os.close(descriptor)
        return None

    def finish(self) -> None:
        """Take the note away: nothing of what was erased is left."""
        self._path.unlink(missing_ok=True)
        disk.sync(self._path.parent)

    def close(self) -> None:
        """Let go of the note; where it was not finished, the next process takes it over."""
        os.close(self._descriptor)


def is_unfinished(ledger_path: Path) -> bool:
    """Whether an erasure was begun that is not carried through to the end."""
    return _mark_path(ledger_path).exists()


def _mark_path(ledger_path: Path) -> Path:
    return ledger_path.with_name(f"{ledger_path.name}-erasing")


def _is_locked(descriptor: int, path: Path) -> bool:
    """Lock an open file for this process; False where another holds it, or it has gone meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False
