"""The SQLite ledger: append sealed records, read them back, prove that they are there.

Durability: `append` returns after COMMIT with synchronous=FULL; what it returned survives kill -9
and a power cut. Order: indices are dense from 0, in the order of commits. Concurrency: several
processes may append and read at once; appends wait for each other (schema.BUSY_TIMEOUT_S). A
`Ledger` is used by one thread at a time, and not by a forked child. Formats: entries, leaf
hashes and checkpoints as in C2SP tlog-tiles and tlog-checkpoint, proofs as in RFC 9162.

What it does not do: judge trust, index, or understand graphs. The ledger never signs a checkpoint
that is inconsistent with the last one it signed.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from provgraph.digests import Digest
from provgraph.errors import (
    ConflictError,
    FormatError,
    LedgerError,
    NotFoundError,
    UntrustedError,
)
from provgraph.ledger import compression, schema
from provgraph.ledger.rows import (
    MAX_ATTACHMENT_BYTES,
    Pending,
    Position,
    StoredName,
    StoredRecord,
    require_covered,
)
from provgraph.seal import merkle
from provgraph.seal.charter import Charter, new_charter, open_charter
from provgraph.seal.entry import MAX_ENTRY_BYTES, Entry, new_salt, parse_entry
from provgraph.seal.keys import Signer
from provgraph.seal.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, leaf_hash
from provgraph.seal.note import Checkpoint, open_checkpoint, sign_checkpoint
from provgraph.terms import MAX_GRAPH_BYTES

# Rows read at once while streaming, so that no reader keeps the write-ahead log from being folded.
_CHUNK_ROWS: Final = 200

_LENGTH_BYTES: Final = 2  # of the entry inside record.sealed; an entry has at most 65,535 bytes
_MAX_SEALED_BYTES: Final = _LENGTH_BYTES + 2 * MAX_ENTRY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A pending record in the form of its row, made before the lock is taken."""

    item: Pending
    graph_sha256: str
    entry: bytes
    sealed: bytes
    graph: bytes
    attachments: tuple[tuple[bytes, bytes], ...]  # (SHA-256, blob)


class Ledger:
    """An open ledger. Use it as a context manager, or call `close`."""

    def __init__(
        self, *, path: Path, db: sqlite3.Connection, charter: Charter, log_signer: Signer | None
    ) -> None:
        """Take over an open connection; use `Ledger.open`."""
        self.path = path
        self.charter = charter
        self._db = db
        self._log_signer = log_signer
        # The last checkpoint whose signature was checked, so that a row of appends checks it once.
        self._last: tuple[bytes, Checkpoint] | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        log_signer: Signer | None,
        clock: Callable[[], datetime],
        read_only: bool = False,
        namespace: str | None = None,
    ) -> Self:
        """Open the ledger at path; make it first where there is none and it is to be written.

        `namespace` counts only when the ledger is made. A reader may come without a signer, and
        then has no way to notice that ledger and log key were replaced together.

        Raises:
            NotFoundError: read_only, and there is no ledger.
            StorageError: the file cannot be made, opened or read.
            LedgerError: not a ledger, or of a newer schema.
            UntrustedError: the ledger was made with another log key, or its charter was changed.
        """
        if not read_only and not path.exists():
            _create(path, log_signer=log_signer, created=clock(), namespace=namespace)
        db = schema.connect(path, read_only=read_only)
        try:
            with schema.storage_errors(path):
                row = db.execute("SELECT charter FROM ledger WHERE id = 1").fetchone()
            charter = open_charter(_blob(row[0] if row else None, what="the charter"))
            _require_log_key(charter, log_signer, path=path)
        except BaseException:
            db.close()
            raise
        return cls(path=path, db=db, charter=charter, log_signer=None if read_only else log_signer)

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

    # ---- writing -------------------------------------------------------------------------------

    def append(self, items: Sequence[Pending]) -> list[Position]:
        """Take in sealed records, all or none, and sign the checkpoint over them.

        A record that is there already, with the same graph, keeps its place: `is_new` is False.

        Raises:
            ConflictError: a record of that IRI is there with another graph.
            StorageError: the bytes could not be made durable; nothing was taken in.
            LedgerError: opened for reading, a name or attachment that the graph does not cover, or
                the tree does not fit the last checkpoint.
            UntrustedError: the last checkpoint is not signed by the log key.
        """
        if self._log_signer is None:
            raise LedgerError(f"ledger {self.path} is open for reading; open it with its log key")
        prepared = [_prepare(item) for item in items]
        with self._transaction():
            frontier = self._frontier_of_last_checkpoint()
            start = frontier.size
            positions = [self._insert(record, frontier) for record in prepared]
            if frontier.size > start:
                checkpoint = Checkpoint(
                    origin=self.origin, size=frontier.size, root=frontier.root()
                )
                note = sign_checkpoint(checkpoint, self._log_signer)
                self._db.execute("UPDATE ledger SET checkpoint = ? WHERE id = 1", (note,))
                self._last = note, checkpoint
        return positions

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with schema.storage_errors(self.path):
            # IMMEDIATE takes the write lock before anything is read, so what is read here is what
            # is extended; two processes that append at once go one after the other.
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                # If the process dies before COMMIT returns, the records are in with their
                # checkpoint, or not at all: the write-ahead log is replayed up to its last whole
                # commit. The caller, not told, appends again, which is harmless.
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors, a full disk among them.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _frontier_of_last_checkpoint(self) -> Frontier:
        """Rebuild the tree's right edge from the rows, and hold it against what was signed last."""
        note = self.checkpoint()
        if self._last is None or note != self._last[0]:
            self._last = note, open_checkpoint(note, self.charter.note_key)
        last = self._last[1]
        size = self.size()
        frontier = Frontier(size=size, node_at=self._node_at)
        if size != last.size or frontier.root() != last.root:
            raise LedgerError(
                f"ledger {self.path}: its last checkpoint says {last.size} entries under root"
                f" {last.root.hex()}, its rows make {size} under {frontier.root().hex()};"
                " nothing was appended. Keep a copy, then restore a backup"
            )
        return frontier

    def _insert(self, record: _Prepared, frontier: Frontier) -> Position:
        item = record.item
        known = self._find_entry(item.iri)
        if known is not None:
            index, entry = known
            if entry.graph_sha256 != record.graph_sha256:
                raise ConflictError(
                    f"record {item.iri} is entry {index} of the ledger with the graph"
                    f" sha256:{entry.graph_sha256}, found sha256:{record.graph_sha256};"
                    " entries are never changed: record the new facts under a new id"
                )
            return Position(iri=item.iri, index=index, is_new=False)
        index = frontier.size
        nodes = b"".join(frontier.append(leaf_hash(record.entry)))
        self._db.execute(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?)",
            (index, iri_key(item.iri), nodes, record.sealed, record.graph),
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO name (kind, name, position, version, iri)"
            " VALUES (?, ?, ?, ?, ?)",
            [(row.kind, row.name, index, row.version, row.iri) for row in item.names],
        )
        for digest, blob in record.attachments:
            self._db.execute(
                "INSERT OR IGNORE INTO attachment (digest, data) VALUES (?, ?)", (digest, blob)
            )
            self._db.execute(
                "INSERT INTO attached SELECT ?, id FROM attachment WHERE digest = ?",
                (index, digest),
            )
        return Position(iri=item.iri, index=index, is_new=True)

    # ---- reading -------------------------------------------------------------------------------

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
        return Frontier(size=size, node_at=self._node_at).root()

    def checkpoint(self) -> bytes:
        """Return the signed note over the latest tree."""
        row = self._one("SELECT checkpoint FROM ledger WHERE id = 1")
        return _blob(row[0], what="the checkpoint")

    def entry(self, index: int) -> bytes:
        """Return the entry's bytes, the leaf of the tree.

        Raises:
            NotFoundError: no such entry.
        """
        row = self._one("SELECT sealed FROM record WHERE position = ?", index)
        return _split_sealed(row[0], index)[0]

    def graph(self, index: int) -> bytes:
        """Return the canonical N-Quads of a record, checked against its entry.

        Raises:
            NotFoundError: no such entry.
            UntrustedError: the stored graph is not the one that was sealed.
        """
        return self.read(index).graph_nq

    def read(self, index: int) -> StoredRecord:
        """Return a record; graph and proof are checked against the entry's hashes.

        Raises:
            NotFoundError: no such entry.
            UntrustedError: stored graph or proof is not what was sealed.
        """
        row = self._one("SELECT position, sealed, graph FROM record WHERE position = ?", index)
        return _stored_record(*row)

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
                yield _stored_record(*row)
            position += len(rows)

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
        blob = _blob(row[0], what=f"attachment {digest}")
        data = compression.decode(blob, max_bytes=MAX_ATTACHMENT_BYTES)
        _require_sha256(data, digest.value, what=f"attachment {digest}")
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
        return tuple(Digest("sha256", _blob(row[0], what="a digest").hex()) for row in rows)

    def names(
        self, kind: str, name: str, *, version: str | None = None, last_but: str | None = None
    ) -> list[StoredName]:
        """Return what records called by that name, in the order of the ledger.

        `version` gives that version's rows only; `last_but` only the latest row of another version.
        """
        end, values = " ORDER BY position, version, iri", [kind, name]
        if version is not None:
            end, values = f" AND version = ?{end}", [kind, name, version]
        elif last_but is not None:
            # Backwards along the primary key: its cost does not grow with the versions.
            end = (
                " AND version NOT IN (?, '') ORDER BY position DESC, version DESC, iri DESC LIMIT 1"
            )
            values = [kind, name, last_but]
        with schema.storage_errors(self.path):
            rows = self._db.execute(
                f"SELECT position, version, iri FROM name WHERE kind = ? AND name = ?{end}",
                values,
            ).fetchall()
        return [
            StoredName(index=position, kind=kind, name=name, version=version, iri=iri)
            for position, version, iri in rows
        ]

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Return the hashes from the entry's sibling up to below the root of the tree of that size.

        Raises:
            NotFoundError: the entry is not in that tree, or the ledger is smaller.
        """
        self._require_size(size)
        if not 0 <= index < size:
            raise NotFoundError(f"expected an entry below tree size {size}, found {index}")
        return merkle.inclusion_proof(index, size, self._node_at)

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
        return merkle.consistency_proof(old_size, new_size, self._node_at)

    def _require_size(self, size: int) -> None:
        if size > (current := self.size()):
            raise NotFoundError(f"expected a tree size of at most {current}, found {size}")

    def _node_at(self, level: int, index: int) -> bytes:
        position = ((index + 1) << level) - 1
        row = self._one(
            "SELECT substr(nodes, ?, ?) FROM record WHERE position = ?",
            1 + HASH_BYTES * level,
            HASH_BYTES,
            position,
        )
        node = _blob(row[0], what=f"the hashes of entry {position}")
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
            entry = parse_entry(_split_sealed(sealed, position)[0])
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


def iri_key(iri: str) -> int:
    """Return the number that a record's IRI is looked up by: 8 bytes of its SHA-256, signed."""
    return int.from_bytes(hashlib.sha256(iri.encode()).digest()[:8], "big", signed=True)


def _require_log_key(charter: Charter, log_signer: Signer | None, *, path: Path) -> None:
    if log_signer is not None and log_signer.public_key != charter.log_key:
        raise UntrustedError(
            f"ledger {path} was made with the log key {charter.log_key.hex()}, found the key"
            f" {log_signer.public_key.hex()}; put back the log key that belongs to it"
        )


def _create(
    path: Path, *, log_signer: Signer | None, created: datetime, namespace: str | None
) -> None:
    if log_signer is None:
        raise LedgerError(f"no ledger at {path}, and no log key to make one with")
    charter = new_charter(log_signer=log_signer, created=created, namespace=namespace)
    empty = Checkpoint(origin=open_charter(charter).origin, size=0, root=EMPTY_ROOT)
    schema.create(path, charter=charter, checkpoint=sign_checkpoint(empty, log_signer))


def _prepare(item: Pending) -> _Prepared:
    """Check an item and write its row's blobs; nothing here needs the lock."""
    seal = item.seal
    if hashlib.sha256(item.graph_nq).digest() != seal.graph_sha256:
        raise LedgerError(f"record {item.iri}: its seal is over another graph; seal it again")
    require_covered(
        iri=item.iri, graph_nq=item.graph_nq, names=item.names, attachments=item.attachments
    )
    graph_sha256 = seal.graph_sha256.hex()
    entry = Entry(
        kind=item.kind,
        graph=item.iri,
        graph_sha256=graph_sha256,
        proof_sha256=hashlib.sha256(seal.proof_nq).hexdigest(),
        proof_value=seal.proof_value,
        verification_method=seal.verification_method,
        salt=new_salt(),
    ).encode()
    sealed = len(entry).to_bytes(_LENGTH_BYTES, "big") + entry + seal.proof_nq
    return _Prepared(
        item=item,
        graph_sha256=graph_sha256,
        entry=entry,
        sealed=compression.encode(sealed),
        graph=compression.encode(item.graph_nq),
        attachments=tuple(
            (bytes.fromhex(digest.value), compression.encode(data))
            for digest, data in item.attachments.items()
        ),
    )


def _split_sealed(value: object, index: object) -> tuple[bytes, bytes]:
    """Return (entry, proof.nq) of a record.sealed."""
    blob = _blob(value, what=f"entry {index}")
    data = compression.decode(blob, max_bytes=_MAX_SEALED_BYTES)
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
    return data[_LENGTH_BYTES:end], data[end:]


def _stored_record(position: object, sealed: object, graph: object) -> StoredRecord:
    entry_bytes, proof_nq = _split_sealed(sealed, position)
    try:
        entry = parse_entry(entry_bytes)
    except FormatError as error:
        raise UntrustedError(f"entry {position} of the ledger is damaged: {error}") from None
    blob = _blob(graph, what=f"the graph of entry {position}")
    graph_nq = compression.decode(blob, max_bytes=MAX_GRAPH_BYTES)
    _require_sha256(graph_nq, entry.graph_sha256, what=f"the graph of record {entry.graph}")
    _require_sha256(proof_nq, entry.proof_sha256, what=f"the proof of record {entry.graph}")
    if not isinstance(position, int):
        raise UntrustedError(f"expected a number as a record's position, found {position!r}")
    return StoredRecord(
        index=position,
        iri=entry.graph,
        kind=entry.kind,
        entry=entry_bytes,
        graph_nq=graph_nq,
        proof_nq=proof_nq,
        proof_value=entry.proof_value,
        verification_method=entry.verification_method,
    )


def _require_sha256(data: bytes, expected: str, *, what: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise UntrustedError(
            f"{what}: expected sha256:{expected}, found sha256:{found};"
            " the ledger's file was changed or is damaged. Restore a backup"
        )


def _blob(value: object, *, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise UntrustedError(f"expected {what} as bytes in the ledger, found {value!r:.80}")
    return value
