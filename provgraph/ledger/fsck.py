"""Check a whole ledger: every byte that somebody could rely on, against what was signed.

Specifications: RFC 9162 (tree), C2SP tlog-checkpoint, Data Integrity (seals). It reads every record
once, in order, and keeps one frontier in memory.

Keys are judged by the key events of the ledger itself, and by a trust file where the caller has one.

What it does not do: know whose keys they are without a trust file, or repair. It cannot see that a name
or an attachment was taken away; it sees every one that is false, and every erased graph.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from provgraph.digests import Digest
from provgraph.errors import FormatError, LedgerError, UntrustedError
from provgraph.ledger import schema
from provgraph.ledger.codec import iri_key
from provgraph.ledger.rows import NameRow, StoredRecord, require_covered
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.charter import open_charter
from provgraph.seal.entry import RECORD, STEWARD, TOMBSTONE, parse_entry
from provgraph.seal.merkle import Frontier, leaf_hash
from provgraph.seal.note import open_checkpoint
from provgraph.seal.proof import ProofConfig, VerifiedSeal, parse_proof_config, verify_seal
from provgraph.seal.tombstone import Claim, judge, read_claim
from provgraph.seal.trust import KNOWN_BY_USE, KeyHistory, admit, require_in_time
from provgraph.seal.trustfile import TrustFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """What was found to be whole: the tree, and how many records each key sealed."""

    origin: str
    size: int
    root: bytes
    sealed_by: Mapping[str, int]  # verification method -> records
    attachments: int
    names: int
    # The key events, and what they mean for every entry.
    keys: KeyHistory = field(default_factory=KeyHistory, compare=False)
    erased: int = 0


def verify_ledger(ledger: Ledger, *, trust: TrustFile | None = None) -> LedgerReport:
    """Check everything in a ledger.

    1. SQLite's own structure is whole, and the schema is exactly ours (a trigger could change what
       is written).
    2. The charter is signed by the log key, the one the ledger was opened with.
    3. Records are dense from 0, and each is found by its IRI, once.
    4. Each entry is canonical; its graph and proof have the hashes that it states.
    5. Each seal verifies, and is by the key that the entry states.
    6. Names and attachments say only what the sealed graph says.
    7. The stored hashes of the tree are those of the entries.
    8. The checkpoint is signed by the log key, over this size and root.
    9. Nothing is left over: no name or attachment without its record.
    10. Each seal is by a key that could seal there: not revoked before, in its role, within its
        validity as far as its own date says. An end that was set afterwards, because a key was
        compromised, is no fault of the ledger: `LedgerReport.keys` judges by it.
    11. Each entry without a graph was erased by a tombstone of the steward, which names exactly that
        entry; nothing of it is left, and each tombstone's entry has no graph.

    Raises:
        UntrustedError: the first wrong thing, with the record it belongs to.
        StorageError: the file cannot be read.
    """
    db = ledger._db
    with schema.storage_errors(ledger.path):
        try:
            return _verify(ledger, db, KeyHistory(trust=trust))
        except (FormatError, LedgerError, sqlite3.DatabaseError, ValueError, TypeError) as error:
            # Whatever a reader stumbles over in a file that we wrote means that it was changed.
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise UntrustedError(f"ledger {ledger.path}: {error}") from error


def _verify(ledger: Ledger, db: sqlite3.Connection, keys: KeyHistory) -> LedgerReport:
    # 1.
    _require_structure(db)
    # 2.
    (charter,) = db.execute("SELECT charter FROM ledger").fetchone()
    if open_charter(charter) != ledger.charter:
        raise UntrustedError(f"ledger {ledger.path}: its charter is not the one it was opened with")
    frontier = Frontier(size=0)
    sealed_by: Counter[str] = Counter()
    names = attachments = 0
    erased: dict[int, bytes] = {}
    claims: list[Claim] = []
    producers: set[str] = set()
    size = ledger.size()
    for record in ledger.records(0, size):
        where = f"entry {record.index} of the ledger, record {record.iri}"
        # 3.
        if record.index != frontier.size:
            raise UntrustedError(
                f"ledger {ledger.path}: expected entry {frontier.size}, found {record.index};"
                " entries are missing"
            )
        if ledger.find(record.iri) != record.index:
            raise UntrustedError(f"{where}: its IRI leads to entry {ledger.find(record.iri)}")
        # 4. and 5. (`records` checked form and hashes)
        created = _require_seal(record, where=where)
        # 10.
        _require_trusted(record, created, keys, where=where)
        # 6.
        if record.is_erased:
            erased[record.index] = record.entry
            _require_no_additions(ledger, db, record, where=where)
        else:
            count = _require_additions(ledger, db, record)
            names, attachments = names + count[0], attachments + count[1]
            if record.kind == RECORD:
                producers.add(record.verification_method)
            elif record.kind == TOMBSTONE:
                entry = parse_entry(record.entry)
                claims.append(read_claim(record.graph_nq, position=record.index, entry=entry))
        # 7.
        completed = b"".join(frontier.append(leaf_hash(record.entry)))
        row = db.execute(
            "SELECT nodes, iri_key FROM record WHERE position = ?", (record.index,)
        ).fetchone()
        if row != (completed, iri_key(record.iri)):
            raise UntrustedError(f"{where}: its stored tree hashes are not those of its entry")
        sealed_by[record.verification_method] += 1
    # 8.
    checkpoint = open_checkpoint(
        ledger.checkpoint(), ledger.charter.note_key, known=ledger.charter.log_keys[1:]
    )
    if (checkpoint.size, checkpoint.root) != (frontier.size, frontier.root()):
        raise UntrustedError(
            f"ledger {ledger.path}: its checkpoint says {checkpoint.size} entries under root"
            f" {checkpoint.root.hex()}, its entries make {frontier.size} under"
            f" {frontier.root().hex()}"
        )
    # 9.
    _require_no_orphans(ledger, db, size)

    # 11. (10. has shown that each tombstone's key could be a steward's there)
    def is_steward(method: str, index: int) -> bool:
        key = keys.judge(method, index=index, role=STEWARD)
        return key.basis != KNOWN_BY_USE or method not in producers

    judge(erased=erased, claims=claims, producers=producers, is_steward=is_steward)
    return LedgerReport(
        origin=ledger.origin,
        size=frontier.size,
        root=frontier.root(),
        sealed_by=dict(sealed_by),
        attachments=attachments,
        names=names,
        keys=keys,
        erased=len(erased),
    )


def _require_structure(db: sqlite3.Connection) -> None:
    (finding,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if finding != "ok":
        raise UntrustedError(f"the ledger's SQLite file is damaged: {finding}")
    found: dict[str, Any] = dict(
        db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    )
    for name in sorted({*found, *schema.TABLES}):
        if found.get(name) != schema.TABLES.get(name):
            raise UntrustedError(
                f"the ledger's schema was changed at {name}: expected"
                f" {schema.TABLES.get(name)}, found {found.get(name)}"
            )


def _require_seal(record: StoredRecord, *, where: str) -> datetime:
    """Check a record's seal, and return its date; of an erased record only the date is left."""
    try:
        if record.is_erased:
            seal: ProofConfig | VerifiedSeal = parse_proof_config(record.proof_nq)
        else:
            seal = verify_seal(record.graph_nq, record.proof_nq, record.proof_value)
    except (FormatError, UntrustedError) as error:
        raise UntrustedError(f"{where}: {error}") from error
    if seal.verification_method != record.verification_method:
        raise UntrustedError(
            f"{where}: sealed by {seal.verification_method},"
            f" its entry says {record.verification_method}"
        )
    return seal.created


def _require_trusted(
    record: StoredRecord, created: datetime, keys: KeyHistory, *, where: str
) -> None:
    try:
        key = admit(
            keys,
            kind=record.kind,
            index=record.index,
            method=record.verification_method,
            graph_nq=b"" if record.is_erased else record.graph_nq,
        )
        require_in_time(key, created=created)
    except (FormatError, UntrustedError) as error:
        raise UntrustedError(f"{where}: {error}") from error


def _require_additions(
    ledger: Ledger, db: sqlite3.Connection, record: StoredRecord
) -> tuple[int, int]:
    """Check a record's names and attachments; return how many there are."""
    rows = db.execute(
        "SELECT kind, name, version, iri FROM name WHERE position = ?", (record.index,)
    ).fetchall()
    names = [NameRow(kind=k, name=n, version=v, iri=i) for k, n, v, i in rows]
    attachments: dict[Digest, bytes] = {
        digest: ledger.attachment(digest) for digest in ledger.attachments(record.iri)
    }
    require_covered(iri=record.iri, graph_nq=record.graph_nq, names=names, attachments=attachments)
    return len(names), len(attachments)


def _require_no_additions(
    ledger: Ledger, db: sqlite3.Connection, record: StoredRecord, *, where: str
) -> None:
    """Check that an erasure took the names and attachments with it."""
    row = db.execute("SELECT name FROM name WHERE position = ?", (record.index,)).fetchone()
    if row is not None or ledger.attachments(record.iri):
        raise UntrustedError(
            f"{where} was erased, and a name or attachment of it is still there; run"
            " `provgraph erase --resume`"
        )


def _require_no_orphans(ledger: Ledger, db: sqlite3.Connection, size: int) -> None:
    # Positions are dense by now, so a record exists exactly below the size.
    for what, statement, values in (
        ("the name", "SELECT name FROM name WHERE position NOT BETWEEN 0 AND ?", (size - 1,)),
        (
            "the attachment",
            (
                "SELECT attachment FROM attached WHERE position NOT BETWEEN 0 AND ?"
                " OR attachment NOT IN (SELECT id FROM attachment)"
            ),
            (size - 1,),
        ),
        (
            "the attachment",
            "SELECT id FROM attachment WHERE id NOT IN (SELECT attachment FROM attached)",
            (),
        ),
    ):
        row = db.execute(f"{statement} LIMIT 1", values).fetchone()
        if row is not None:
            raise UntrustedError(
                f"ledger {ledger.path}: {what} {row[0]!r} belongs to no record of it"
            )
