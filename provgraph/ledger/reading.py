"""Reading the SQLite ledger: records, names, attachments, and proofs that they are there.

Formats: entries, leaf hashes and checkpoints as in C2SP tlog-tiles and tlog-checkpoint, proofs as in
RFC 9162. What is read is checked against the hashes of its entry; whether the entry is in the tree
that was signed is for `fsck`, and for whoever verifies a proof.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from provgraph.digests import Digest
from provgraph.errors import ErasedError, FormatError, LedgerError, NotFoundError, UntrustedError
from provgraph.ledger import compression, schema
from provgraph.ledger.codec import (
    iri_key,
    require_blob,
    require_sha256,
    split_sealed,
    stored_record,
)
from provgraph.ledger.rows import MAX_ATTACHMENT_BYTES, StoredName, StoredRecord
from provgraph.seal import merkle
from provgraph.seal.charter import Charter
from provgraph.seal.entry import Entry, parse_entry
from provgraph.seal.merkle import HASH_BYTES, Frontier
from provgraph.seal.proof import verify_seal
from provgraph.seal.tombstone import Claim, read_claim, require_fits

# Rows read at once while streaming, so that no reader keeps the write-ahead log from being folded.
_CHUNK_ROWS: Final = 200

_NAMES: Final = (
    "SELECT position, version, iri FROM name WHERE kind = ? AND name = ?"
    " ORDER BY position, version, iri"
)
_NAMES_OF_VERSION: Final = (
    "SELECT position, version, iri FROM name WHERE kind = ? AND name = ? AND version = ?"
    " AND version <> '' ORDER BY position, version, iri"
)
_NAMES_OF_KIND: Final = (
    "SELECT position, name, version, iri FROM name WHERE kind = ? AND position >= ?"
    " ORDER BY position, name, version, iri"
)
_NAMES_WITHOUT_VERSION: Final = _NAMES_OF_VERSION.replace("<> ''", "= ''")
# The version that came in last, however often an older one was named again since. Backwards along
# the primary key: the first row that no earlier row of its version precedes.
_LAST_NAME_BUT: Final = (
    "SELECT position, version, iri FROM name AS late WHERE kind = ? AND name = ?"
    " AND version NOT IN (?, '') AND NOT EXISTS (SELECT 1 FROM name AS early"
    " WHERE early.kind = late.kind AND early.name = late.name AND early.version = late.version"
    " AND early.version <> '' AND early.position < late.position)"
    " ORDER BY position DESC, version DESC, iri DESC LIMIT 1"
)


class LedgerReader:
    """What can be read of an open ledger; `provgraph.ledger.sqlite.Ledger` opens one."""

    def __init__(self, *, path: Path, db: sqlite3.Connection, charter: Charter) -> None:
        """Take over an open connection."""
        self.path = path
        self.charter = charter
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
        """Close the file. Nothing is lost without it; the next opening takes a moment longer."""
        self._db.close()

    @property
    def origin(self) -> str:
        """The log's identity in checkpoints: `provgraph.local/<16 hex>`."""
        return self.charter.origin

    @property
    def namespace(self) -> str:
        """Whose names its records give."""
        return self.charter.namespace

    @property
    def log_key(self) -> bytes:
        """The raw Ed25519 public key under which checkpoints are signed."""
        return self.charter.log_key

    def size(self) -> int:
        """Return the number of entries."""
        size: int = self._one("SELECT ifnull(max(position) + 1, 0) FROM record")[0]
        return size

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the tree, or of the tree as it was at an earlier size."""
        current = self.size()
        if size is None:
            size = current
        if not 0 <= size <= current:
            raise NotFoundError(f"expected a tree size of 0 to {current}, found {size}")
        return Frontier(size=size, node_at=self.node_at).root()

    def checkpoint(self) -> bytes:
        """Return the signed note over the latest tree."""
        row = self._one("SELECT checkpoint FROM ledger WHERE id = 1")
        return require_blob(row[0], what="the checkpoint")

    def entry(self, index: int) -> bytes:
        """Return the entry's bytes, the leaf of the tree.

        Raises:
            NotFoundError: no such entry.
        """
        row = self._one("SELECT sealed FROM record WHERE position = ?", index)
        return split_sealed(row[0], index)[0]

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes of the entries [start, stop) in order.

        Raises:
            NotFoundError: the ledger has not got so many.
        """
        self._require_size(stop)
        for position in range(start, stop, _CHUNK_ROWS):
            with schema.storage_errors(self.path):
                rows = self._db.execute(
                    "SELECT position, sealed FROM record"
                    " WHERE position >= ? AND position < ? ORDER BY position",
                    (position, min(stop, position + _CHUNK_ROWS)),
                ).fetchall()
            for index, sealed in rows:
                yield split_sealed(sealed, index)[0]

    def proofs(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the proof configurations of the entries [start, stop) in order, unchecked.

        Raises:
            NotFoundError: the ledger has not got so many.
        """
        self._require_size(stop)
        for position in range(start, stop, _CHUNK_ROWS):
            with schema.storage_errors(self.path):
                rows = self._db.execute(
                    "SELECT position, sealed FROM record"
                    " WHERE position >= ? AND position < ? ORDER BY position",
                    (position, min(stop, position + _CHUNK_ROWS)),
                ).fetchall()
            for index, sealed in rows:
                yield split_sealed(sealed, index)[1]

    def graph(self, index: int) -> bytes:
        """Return the canonical N-Quads of a record, checked against its entry.

        Raises:
            NotFoundError: no such entry.
            ErasedError: it was erased.
            UntrustedError: the stored graph is not the one that was sealed.
        """
        record = self.read(index)
        if record.is_erased:
            tombstone = self.tombstone_of(record)
            raise ErasedError(
                f"the content of record {record.iri} (entry {index}) was erased: tombstone"
                f" {tombstone.iri} (entry {tombstone.position}) says by whom and why"
            )
        return record.graph_nq

    def read(self, index: int) -> StoredRecord:
        """Return a record; graph and proof are checked against the entry's hashes.

        Raises:
            NotFoundError: no such entry.
            UntrustedError: stored graph or proof is not what was sealed, or the graph is gone and
                no tombstone fits.
        """
        row = self._one("SELECT position, sealed, graph FROM record WHERE position = ?", index)
        return self._stored(row)

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[StoredRecord]:
        """Yield the records [start, stop) in order, a few at a time; stop None means the end."""
        position = start
        while stop is None or position < stop:
            limit = _CHUNK_ROWS if stop is None else min(_CHUNK_ROWS, stop - position)
            with schema.storage_errors(self.path):
                rows = self._db.execute(
                    "SELECT position, sealed, graph FROM record"
                    " WHERE position >= ? ORDER BY position LIMIT ?",
                    (position, limit),
                ).fetchall()
            if not rows:
                return
            for row in rows:
                yield self._stored(row)
            position += len(rows)

    def tombstone_of(self, record: StoredRecord) -> Claim:
        """Return what the tombstone of an erased record says; its seal is checked, not whose it is.

        Raises:
            UntrustedError: no tombstone fits: somebody emptied the graph.
        """
        reason = "somebody emptied it"
        for row in self.names("tombstone", record.iri):
            try:
                values = self._one(
                    "SELECT position, sealed, graph FROM record WHERE position = ?", row.index
                )
                sealed = stored_record(*values)
                verify_seal(sealed.graph_nq, sealed.proof_nq, sealed.proof_value)
                entry = parse_entry(sealed.entry)
                claim = read_claim(sealed.graph_nq, position=sealed.index, entry=entry)
                require_fits(claim, index=record.index, entry=record.entry)
            except (UntrustedError, FormatError, LedgerError) as error:
                reason = str(error)
            else:
                return claim
        raise UntrustedError(
            f"ledger {self.path}: record {record.iri} (entry {record.index}) has no graph, and no"
            f" tombstone fits it: {reason}. Restore a backup"
        )

    def _stored(self, row: tuple[Any, ...]) -> StoredRecord:
        record = stored_record(*row)
        if record.is_erased:
            self.tombstone_of(record)
        return record

    def find(self, iri: str) -> int | None:
        """Return the index of the record with that IRI, or None."""
        known = self._find_entry(iri)
        return None if known is None else known[0]

    def attachment(self, digest: Digest) -> bytes:
        """Return an attachment's bytes, checked against its digest.

        Raises:
            NotFoundError: no attachment of that digest.
            UntrustedError: the stored bytes have another digest.
        """
        raw = bytes.fromhex(digest.value) if digest.algorithm == "sha256" else b""
        with schema.storage_errors(self.path):
            row = self._db.execute(
                "SELECT data FROM attachment WHERE digest = ?", (raw,)
            ).fetchone()
        if row is None:
            raise NotFoundError(f"no attachment {digest} in ledger {self.path}")
        blob = require_blob(row[0], what=f"attachment {digest}")
        data = compression.decode(blob, max_bytes=MAX_ATTACHMENT_BYTES)
        require_sha256(data, digest.value, what=f"attachment {digest}")
        return data

    def attachments(self, iri: str) -> tuple[Digest, ...]:
        """Return the digests of what is attached to a record."""
        index = self.find(iri)
        with schema.storage_errors(self.path):
            rows = self._db.execute(
                "SELECT a.digest FROM attached JOIN attachment a ON a.id = attached.attachment"
                " WHERE attached.position = ? ORDER BY a.id",
                (index,),
            ).fetchall()
        return tuple(Digest("sha256", require_blob(row[0], what="a digest").hex()) for row in rows)

    def names(
        self, kind: str, name: str, *, version: str | None = None, last_but: str | None = None
    ) -> list[StoredName]:
        """Return what records called by that name, in the order of the ledger.

        `version` gives that version's rows only; `last_but` only the first row of the newest other version.
        """
        statement, values = _NAMES, [kind, name]
        if version is not None:
            # SQLite uses the index of versions where it reads that there is one.
            statement = _NAMES_OF_VERSION if version else _NAMES_WITHOUT_VERSION
            values = [kind, name, version]
        elif last_but is not None:
            statement, values = _LAST_NAME_BUT, [kind, name, last_but]
        with schema.storage_errors(self.path):
            rows = self._db.execute(statement, values).fetchall()
        return [
            StoredName(index=position, kind=kind, name=name, version=version, iri=iri)
            for position, version, iri in rows
        ]

    def names_of_kind(self, kind: str, *, since: int = 0) -> list[StoredName]:
        """Return all names of a kind (`key`, `tombstone`, …) from a position on, in their order."""
        with schema.storage_errors(self.path):
            rows = self._db.execute(_NAMES_OF_KIND, (kind, since)).fetchall()
        return [
            StoredName(index=position, kind=kind, name=name, version=version, iri=iri)
            for position, name, version, iri in rows
        ]

    def names_given_by(self, index: int) -> list[StoredName]:
        """Return all names that the record at an index gives."""
        with schema.storage_errors(self.path):
            rows = self._db.execute(
                "SELECT kind, name, version, iri FROM name WHERE position = ?"
                " ORDER BY kind, name, version, iri",
                (index,),
            ).fetchall()
        return [
            StoredName(index=index, kind=kind, name=name, version=version, iri=iri)
            for kind, name, version, iri in rows
        ]

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Return the hashes from the entry's sibling up to below the root of the tree of that size.

        Raises:
            NotFoundError: the entry is not in that tree, or the ledger is smaller.
        """
        self._require_size(size)
        if not 0 <= index < size:
            raise NotFoundError(f"expected an entry below tree size {size}, found {index}")
        return merkle.inclusion_proof(index, size, self.node_at)

    def consistency_proof(self, old_size: int, new_size: int) -> list[bytes]:
        """Return the hashes that show the tree of the old size to be a prefix of the new one.

        Raises:
            NotFoundError: not 0 < old <= new <= the ledger's size.
        """
        self._require_size(new_size)
        if not 0 < old_size <= new_size:
            raise NotFoundError(
                f"expected 0 < old size <= new size, found {old_size} and {new_size}"
            )
        return merkle.consistency_proof(old_size, new_size, self.node_at)

    def _require_size(self, size: int) -> None:
        if size > (current := self.size()):
            raise NotFoundError(f"expected a tree size of at most {current}, found {size}")

    def node_at(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree over the entries [index << level, +1 << level).

        Raises:
            NotFoundError: the ledger has not got so many entries.
            LedgerError: the hash is missing from its row.
        """
        position = ((index + 1) << level) - 1
        row = self._one(
            "SELECT substr(nodes, ?, ?) FROM record WHERE position = ?",
            1 + HASH_BYTES * level,
            HASH_BYTES,
            position,
        )
        node = require_blob(row[0], what=f"the hashes of entry {position}")
        if len(node) != HASH_BYTES:
            raise LedgerError(
                f"ledger {self.path}: the tree's hash ({level}, {index}) is missing from entry"
                f" {position}; keep a copy, then restore a backup"
            )
        return node

    def _find_entry(self, iri: str) -> tuple[int, Entry] | None:
        with schema.storage_errors(self.path):
            rows = self._db.execute(
                "SELECT position, sealed FROM record WHERE iri_key = ? ORDER BY position",
                (iri_key(iri),),
            ).fetchall()
        for position, sealed in rows:
            entry = parse_entry(split_sealed(sealed, position)[0])
            if entry.graph == iri:
                return position, entry
        return None

    def _one(self, statement: str, *values: int) -> tuple[Any, ...]:
        """Return the row that a statement by index must find."""
        try:
            with schema.storage_errors(self.path):
                row: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
        except OverflowError:
            row = None
        if row is None:
            raise NotFoundError(
                f"no entry {values[-1] if values else ''} in ledger {self.path},"
                f" which has {self.size()}"
            )
        return row
