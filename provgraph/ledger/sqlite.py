"""The SQLite ledger: append sealed records, sign the tree over them.

Durability: `append` returns after COMMIT with synchronous=FULL; what it returned survives kill -9
and a power cut. Order: indices are dense from 0, in the order of commits. Concurrency: several
processes may append and read at once. Appends wait for each other, and those that wait share one
transaction (provgraph.ledger.inbox); many threads of one process do so better through
`provgraph.ledger.group`. A `Ledger` is used by one thread at a time, and not by a forked child.

Signatures: every append signs its checkpoint with the log's Ed25519 key. The ML-DSA-44 signature,
which costs as much as all the rest of an append, is added when a checkpoint leaves the ledger
(`cosigned_checkpoint`), and kept until the next append. Between the two nothing is lost: the
checkpoint in the file guards against damage and against those who have no key, and whoever could
forge Ed25519 there would still have no checkpoint that a reader elsewhere accepts.

What it does not do: know whose keys they are, index, or understand graphs. The ledger never signs a checkpoint
that is inconsistent with the last one it signed, or with one that a witness has seen
(`provgraph.ledger.witnessed`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from provgraph.errors import (
    ConflictError,
    KeyRefusedError,
    LedgerError,
    ProvgraphError,
    UntrustedError,
    UsageError,
)
from provgraph.ledger import schema
from provgraph.ledger.codec import Prepared, iri_key, prepare, require_blob
from provgraph.ledger.inbox import Inbox, Outcome, append_in_turn
from provgraph.ledger.keys import KnownKeys, TrustSource, require_admissible
from provgraph.ledger.reading import LedgerReader
from provgraph.ledger.rows import Pending, Position
from provgraph.ledger.witnessed import Memory
from provgraph.seal.charter import Charter, new_charter, open_charter
from provgraph.seal.keys import Signer
from provgraph.seal.merkle import EMPTY_ROOT, Frontier, leaf_hash
from provgraph.seal.mldsa import MldsaSigner
from provgraph.seal.note import Checkpoint, Cosigner, open_checkpoint, open_note, sign_checkpoint

if TYPE_CHECKING:
    from provgraph.seal.trust import KeyHistory


class Ledger(LedgerReader):
    """An open ledger. Use it as a context manager, or call `close`."""

    def __init__(
        self, *, path: Path, db: sqlite3.Connection, charter: Charter, memory: Memory
    ) -> None:
        """Take over an open connection; use `Ledger.open`."""
        super().__init__(path=path, db=db, charter=charter)
        self.memory = memory
        self._log_signer: Signer | None = None
        self._inbox = Inbox(path)
        self._keys = KnownKeys(self)
        self._clock: Callable[[], datetime] | None = None
        # The last checkpoint whose signature was checked, so that a row of appends checks it once.
        self._last: tuple[bytes, Checkpoint] | None = None
        # The right edge of the tree under the checkpoint that this process signed last.
        self._edge: tuple[Checkpoint, Frontier] | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        log_signer: Signer | None,
        mldsa_signer: MldsaSigner | None = None,
        clock: Callable[[], datetime],
        read_only: bool = False,
        namespace: str | None = None,
        trust: TrustSource | None = None,
        checkpoint_copies: Sequence[Path] = (),
    ) -> Self:
        """Open the ledger at path; make it first where there is none and it is to be written.

        `mldsa_signer` (the log's second key) and `namespace` count only when the ledger is made; one
        that is made without a second key does without it for ever. `clock` says whether a key is
        valid now, and `trust` which trust file holds. A reader may come
        without a signer, and then has no way to notice that ledger and log key were replaced
        together. `checkpoint_copies` are folders that hold copies of the last witnessed checkpoint.

        Raises:
            RolledBackError: there is no ledger, and witnesses have seen one here.
            NotFoundError: read_only, and there is no ledger.
            StorageError: the file cannot be made, opened or read.
            LedgerError: not a ledger, or of a newer schema.
            UntrustedError: the ledger was made with another log key, or its charter was changed.
        """
        memory = Memory(path, copies=checkpoint_copies)
        if not read_only and not path.exists():
            memory.require_none()
            if log_signer is None:
                raise LedgerError(f"no ledger at {path}, and no log key to make one with")
            _create(path, log_signer, mldsa_signer, clock=clock, namespace=namespace)
        db = schema.connect(path, read_only=read_only)
        try:
            with schema.storage_errors(path):
                row = db.execute("SELECT charter FROM ledger WHERE id = 1").fetchone()
            charter = open_charter(require_blob(row[0] if row else None, what="the charter"))
            if log_signer is not None:
                _require_key(log_signer.public_key, charter.log_key, what="log key", path=path)
        except BaseException:
            db.close()
            raise
        ledger = cls(path=path, db=db, charter=charter, memory=memory)
        ledger._log_signer = None if read_only else log_signer
        ledger._keys = KnownKeys(ledger, trust=trust)
        ledger._clock = clock
        return ledger

    def keys(self) -> KeyHistory:
        """Return what the ledger's key events, and the trust file in force, say of keys.

        Raises:
            UntrustedError: a key event that does not count.
        """
        from provgraph.seal.trust import KeyHistory

        known = self._keys.history()
        return KeyHistory() if known is None else known.copy()

    def append(self, items: Sequence[Pending]) -> list[Position]:
        """Take in sealed records, all or none, and sign the checkpoint over them.

        A record that is there already, with the same graph, keeps its place: `is_new` is False.

        Raises:
            ConflictError: a record of that IRI is there with another graph.
            KeyRefusedError: a seal by a key that may not seal here, or not any more.
            StorageError: the bytes could not be made durable in time; appending again is harmless.
            LedgerError: opened for reading, a name or attachment that the graph does not cover, or
                the tree does not fit the last checkpoint.
            RolledBackError: the ledger is not the one that a witness has seen.
            UntrustedError: the last checkpoint is not signed by the log key.
        """
        (outcome,) = self.append_each([[prepare(item) for item in items]])
        if isinstance(outcome, ProvgraphError):
            raise outcome
        return outcome

    def append_each(self, batches: Sequence[Sequence[Prepared]]) -> list[Outcome]:
        """Take in several appends in one transaction, each of them all or none.

        One that is refused (a conflict) does not hold up the others: its outcome is its error.

        Raises:
            StorageError: nothing could be made durable in time; appending again is harmless.
            LedgerError: opened for reading, or the tree does not fit the last checkpoint.
            UntrustedError: the last checkpoint is not signed by the log key.
        """
        if self._log_signer is None:
            raise LedgerError(f"ledger {self.path} is open for reading; open it with its log key")
        return append_in_turn(self._inbox, batches, commit=self._commit, find=self._find_own)

    def cosigned_checkpoint(
        self, *, mldsa_signer: MldsaSigner | None, clock: Callable[[], datetime]
    ) -> bytes:
        """Return the latest checkpoint signed by all keys of the log, as it may leave the ledger.

        It is kept, so that the next call gives the same bytes until something is appended. A ledger
        whose charter names no ML-DSA-44 key needs no signer.

        Raises:
            LedgerError: it must be signed, and the ledger is open for reading; or the tree does not
                fit.
            RolledBackError: the ledger is not the one that a witness has seen.
            UsageError: it must be signed, and no signer was given.
            UntrustedError: a signature on it does not verify, or the signer is another log's.
            StorageError: it could not be kept.
        """
        note = self.checkpoint()
        if self._is_cosigned(note):
            self.memory.require_current(self, self._last_checkpoint().size)
            return note
        if self._log_signer is None:
            raise LedgerError(f"ledger {self.path} is open for reading; open it with its log key")
        if mldsa_signer is None or self.charter.mldsa_key is None:
            raise UsageError(
                f"ledger {self.path} needs its ML-DSA-44 log key to sign a checkpoint that leaves it"
            )
        found = mldsa_signer.public_key
        _require_key(found, self.charter.mldsa_key, what="ML-DSA-44 log key", path=self.path)
        cosigner = Cosigner(name=self.origin, signer=mldsa_signer, clock=clock)
        with self._transaction():
            checkpoint = self._last_checkpoint()
            self._frontier_of(checkpoint)
            note = self.checkpoint()
            if not self._is_cosigned(note):
                note = sign_checkpoint(checkpoint, self._log_signer, cosigner)
                # If the process dies before COMMIT, the checkpoint stays as it was, and the
                # signature was seen by nobody.
                self._keep_checkpoint(note, checkpoint)
        return note

    def _commit(self, batches: Sequence[Sequence[Prepared]]) -> list[Outcome]:
        """Commit batches together; where that fails as a whole, one by one."""
        try:
            return self._commit_together(batches)
        except ProvgraphError as error:
            if len(batches) == 1 or schema.is_busy(error):
                raise
        outcomes: list[Outcome] = []
        for batch in batches:
            try:
                outcomes += self._commit_together([batch])
            except ProvgraphError as error:
                outcomes.append(error)
        return outcomes

    def _commit_together(self, batches: Sequence[Sequence[Prepared]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with self._transaction():
            frontier = self._frontier_of(self._last_checkpoint())
            start = frontier.size
            keys = self._keys.history()
            for batch in batches:
                try:
                    known = self._known(batch)
                    new = {record.iri: record for record in batch if record.iri not in known}
                    keys = self._require_admissible([*new.values()], keys, start=frontier.size)
                except (ConflictError, KeyRefusedError) as error:
                    outcomes.append(error)
                else:
                    outcomes.append(self._insert(batch, known, frontier))
            if frontier.size > start:
                self._sign_tree(frontier)
        return outcomes

    def _require_admissible(
        self, batch: Sequence[Prepared], keys: KeyHistory | None, *, start: int
    ) -> KeyHistory | None:
        assert self._clock is not None, "whoever opened it gave one"
        return require_admissible(batch, keys, start=start, now=self._clock())

    def _sign_tree(self, frontier: Frontier) -> None:
        """Sign the checkpoint over what the transaction has taken in."""
        assert self._log_signer is not None, "whoever appends has asked"
        checkpoint = Checkpoint(origin=self.origin, size=frontier.size, root=frontier.root())
        self._keep_checkpoint(sign_checkpoint(checkpoint, self._log_signer), checkpoint)
        self._edge = checkpoint, frontier

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

    def _keep_checkpoint(self, note: bytes, checkpoint: Checkpoint) -> None:
        self._db.execute("UPDATE ledger SET checkpoint = ? WHERE id = 1", (note,))
        self._last = note, checkpoint

    def _last_checkpoint(self) -> Checkpoint:
        """Return what was signed last, its signature checked."""
        note = self.checkpoint()
        if self._last is None or note != self._last[0]:
            charter = self.charter
            self._last = note, open_checkpoint(note, charter.note_key, known=charter.log_keys[1:])
        return self._last[1]

    def _is_cosigned(self, note: bytes) -> bool:
        keys = self.charter.log_keys
        return set(keys) <= set(open_note(note, keys).signed_by)

    def _frontier_of(self, last: Checkpoint) -> Frontier:
        """Rebuild the tree's right edge, and hold it against what was signed last, and was seen."""
        size = self.size()
        self.memory.require_current(self, size)
        if self._edge is not None and self._edge[0] is last and last.size == size:
            # Nobody else has appended, so the tree is still the one that was signed here.
            return self._edge[1].copy()
        frontier = Frontier(size=size, node_at=self.node_at)
        if size != last.size or frontier.root() != last.root:
            raise LedgerError(
                f"ledger {self.path}: its last checkpoint says {last.size} entries under root"
                f" {last.root.hex()}, its rows make {size} under {frontier.root().hex()};"
                " nothing was appended. Keep a copy, then restore a backup"
            )
        return frontier

    def _known(self, batch: Sequence[Prepared]) -> dict[str, int]:
        """Return the indices of those records that are there already.

        Raises:
            ConflictError: one is there with another graph, or twice in the batch with two graphs.
        """
        known: dict[str, int] = {}
        graphs: dict[str, str] = {}
        for record in batch:
            found = self._find_entry(record.iri)
            if found is not None:
                known[record.iri] = found[0]
                graphs[record.iri] = found[1].graph_sha256
            if graphs.setdefault(record.iri, record.graph_sha256) != record.graph_sha256:
                where = f"entry {known[record.iri]} of" if record.iri in known else "on its way to"
                raise ConflictError(
                    f"record {record.iri} is {where} the ledger with the graph"
                    f" sha256:{graphs[record.iri]}, found sha256:{record.graph_sha256};"
                    " entries are never changed: record the new facts under a new id"
                )
        return known

    def _insert(
        self, batch: Sequence[Prepared], known: dict[str, int], frontier: Frontier
    ) -> list[Position]:
        positions = []
        for record in batch:
            is_new = record.iri not in known
            if is_new:
                known[record.iri] = frontier.size
                self._insert_one(record, frontier)
            positions.append(Position(iri=record.iri, index=known[record.iri], is_new=is_new))
        return positions

    def _insert_one(self, record: Prepared, frontier: Frontier) -> None:
        index = frontier.size
        nodes = b"".join(frontier.append(leaf_hash(record.entry)))
        self._db.execute(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?)",
            (index, iri_key(record.iri), nodes, record.sealed, record.graph),
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO name (kind, name, position, version, iri)"
            " VALUES (?, ?, ?, ?, ?)",
            [(row.kind, row.name, index, row.version, row.iri) for row in record.names],
        )
        for each in record.attachments:
            self._db.execute(
                "INSERT OR IGNORE INTO attachment (digest, data) VALUES (?, ?)",
                (each.sha256, each.blob),
            )
            self._db.execute(
                "INSERT INTO attached SELECT ?, id FROM attachment WHERE digest = ?",
                (index, each.sha256),
            )

    def _find_own(self, batch: Sequence[Prepared]) -> list[Position] | None:
        """Return where records stand that somebody else has taken in for us; None if one is not."""
        positions = []
        for record in batch:
            found = self._find_entry(record.iri)
            if found is None or found[1].graph_sha256 != record.graph_sha256:
                return None
            # The salt makes the entry ours, even where another process recorded the same graph.
            is_new = found[1].encode() == record.entry
            positions.append(Position(iri=record.iri, index=found[0], is_new=is_new))
        return positions


def _require_key(found: bytes, expected: bytes, *, what: str, path: Path) -> None:
    if found != expected:
        raise UntrustedError(
            f"ledger {path} was made with the {what} {expected[:32].hex()}, found the key"
            f" {found[:32].hex()}; put back the {what} that belongs to it"
        )


def _create(
    path: Path,
    log_signer: Signer,
    mldsa_signer: MldsaSigner | None,
    *,
    clock: Callable[[], datetime],
    namespace: str | None,
) -> None:
    charter = new_charter(
        log_signer=log_signer,
        mldsa_key=None if mldsa_signer is None else mldsa_signer.public_key,
        created=clock(),
        namespace=namespace,
    )
    origin = open_charter(charter).origin
    empty = Checkpoint(origin=origin, size=0, root=EMPTY_ROOT)
    # Both keys sign the empty tree: whoever made the charter has them both.
    cosigners = []
    if mldsa_signer is not None:
        cosigners.append(Cosigner(name=origin, signer=mldsa_signer, clock=clock))
    checkpoint = sign_checkpoint(empty, log_signer, *cosigners)
    schema.create(path, charter=charter, checkpoint=checkpoint)
