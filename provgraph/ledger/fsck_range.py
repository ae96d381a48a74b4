"""Check a range of a ledger's entries: the part of `fsck` that is done on all cores.

A range begins at a multiple of RANGE_ENTRIES, so a whole one is a complete subtree, whose root is all
that the tree needs of it. Rows are read one by one: memory is that of the largest record.

What it does not do: anything that takes more than one range (`provgraph.ledger.fsck`).
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from provgraph.digests import Digest
from provgraph.errors import FormatError, ProvgraphError, UntrustedError
from provgraph.ledger import compression, schema
from provgraph.ledger.codec import ERASED, iri_key, require_blob, require_sha256, split_sealed
from provgraph.ledger.rows import MAX_ATTACHMENT_BYTES, NameRow, is_said, require_covered
from provgraph.pool import Answer, Task, Work
from provgraph.seal import libsodium
from provgraph.seal.entry import RECORD, SEALED_BY, Entry, parse_entry
from provgraph.seal.merkle import HASH_BYTES, Frontier, leaf_hash
from provgraph.seal.proof import check_sealed_hashes, require_sorted_lines
from provgraph.terms import MAX_GRAPH_BYTES

RANGE_LEVEL: Final = 10
RANGE_ENTRIES: Final = 1 << RANGE_LEVEL

# The steps of `fsck` that need the entries.
STEP_ENTRIES: Final = 4
STEP_SEALS: Final = 5
STEP_TREE: Final = 6
STEP_ADDITIONS: Final = 7
STEP_KEYS: Final = 8
STEP_ERASED: Final = 9

# What a reader stumbles over in a file that we wrote: it was changed.
_FAULTS: Final = (ProvgraphError, ValueError, TypeError)

# A damaged file must not fill memory and screen with the same complaint.
MAX_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong: at which step, in which entry (None: in no single one)."""

    step: int
    message: str
    position: int | None = None
    record: str | None = None


@dataclass(slots=True, kw_only=True)
class RangeReport:
    """What a range of entries came to. `sealed` counts by (kind, verification method)."""

    start: int
    frontier: Frontier
    upper: bytes = (
        b""  # stored hashes of the subtrees above the range that its last entry completes
    )
    sealed: dict[tuple[str, str], SealedBy] = field(default_factory=dict)
    names: int = 0
    attachments: int = 0
    graph_bytes: int = 0
    deciding: list[int] = field(default_factory=list)  # entries that decide about the ledger itself
    erased: list[int] = field(default_factory=list)
    leftovers: list[int] = field(default_factory=list)  # erased, with a name or attachment
    rows_sha256: str = ""
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class SealedBy:
    """How many entries a key sealed, the first and last of them, and between which times it says."""

    count: int
    first: int
    last: int
    earliest: datetime
    latest: datetime

    def add(self, other: SealedBy) -> None:
        """Count what was sealed further on."""
        self.count += other.count
        self.last = other.last
        self.earliest = min(self.earliest, other.earliest)
        self.latest = max(self.latest, other.latest)

    def encode(self) -> list[int | str]:
        """Return it as JSON."""
        times = [self.earliest.isoformat(), self.latest.isoformat()]
        return [self.count, self.first, self.last, *times]

    @classmethod
    def decode(cls, value: Sequence[Any]) -> SealedBy:
        """Read what `encode` wrote."""
        count, first, last, earliest, latest = value
        return cls(
            count=int(count),
            first=int(first),
            last=int(last),
            earliest=datetime.fromisoformat(earliest),
            latest=datetime.fromisoformat(latest),
        )


@contextlib.contextmanager
def begin(setup: Task) -> Iterator[Work]:
    """Open the ledger for a process that checks; the setup says which, and how.

    `ledger`: path. `names`: path of a copy of the name table by position, or None. `all`: go on after
    the first wrong thing. A task has `start` and `stop`; with `rows_only` the rows are only hashed.
    """
    libsodium.load()
    path = Path(setup["ledger"])
    names = "main.name" if setup["names"] is None else "by_position.name"
    with contextlib.closing(schema.connect(path, read_only=True)) as db:
        db.text_factory = _any_text
        if setup["names"] is not None:
            db.execute("ATTACH ? AS by_position", (f"file:{setup['names']}?mode=ro&immutable=1",))

        def work(task: Task) -> Answer:
            with schema.storage_errors(path):
                checked = _Range(db, task["start"], task["stop"], names=names, go_on=setup["all"])
                checked.check(rows_only=task.get("rows_only", False))
            return _encode(checked.report)

        yield work


def decode_report(answer: Answer) -> RangeReport:
    """Read what a worker answered."""
    return RangeReport(
        start=answer["start"],
        frontier=Frontier.of_peaks(answer["size"], [bytes.fromhex(p) for p in answer["peaks"]]),
        upper=bytes.fromhex(answer["upper"]),
        sealed={(kind, method): SealedBy.decode(by) for kind, method, *by in answer["sealed"]},
        names=answer["names"],
        attachments=answer["attachments"],
        graph_bytes=answer["graph_bytes"],
        deciding=answer["deciding"],
        erased=answer["erased"],
        leftovers=answer["leftovers"],
        rows_sha256=answer["rows_sha256"],
        findings=[Finding(**each) for each in answer["findings"]],
    )


def _encode(report: RangeReport) -> Answer:
    return {
        "start": report.start,
        "size": report.frontier.size,
        "peaks": [peak.hex() for peak in report.frontier.peaks],
        "upper": report.upper.hex(),
        "sealed": [[kind, method, *by.encode()] for (kind, method), by in report.sealed.items()],
        "names": report.names,
        "attachments": report.attachments,
        "graph_bytes": report.graph_bytes,
        "deciding": report.deciding,
        "erased": report.erased,
        "leftovers": report.leftovers,
        "rows_sha256": report.rows_sha256,
        "findings": [
            {"step": f.step, "message": f.message, "position": f.position, "record": f.record}
            for f in report.findings
        ],
    }


class _StopError(Exception):
    """The first wrong thing was found, and nobody asked for more."""


class _Range:
    """One range while it is checked."""

    def __init__(
        self, db: sqlite3.Connection, start: int, stop: int, *, names: str, go_on: bool
    ) -> None:
        self.report = RangeReport(start=start, frontier=Frontier(size=0))
        self._db, self._start, self._stop = db, start, stop
        self._go_on = go_on
        self._rows = hashlib.sha256()
        self._names: defaultdict[int, list[tuple[str, str, str, str]]] = defaultdict(list)
        # Named in full, so that neither database can stand in for the other.
        statement = (
            f"SELECT position, kind, name, version, iri FROM {names}"  # noqa: S608 - one of two
            " WHERE position >= ? AND position < ? ORDER BY position, kind, name, version, iri"
        )
        rows = _read_texts(db, statement, (start, stop))
        self._note_row(*rows)
        for position, *name in rows:
            self._names[position].append(tuple(name))
        self._attached: defaultdict[int, list[int]] = defaultdict(list)
        for position, attachment in db.execute(
            "SELECT position, attachment FROM attached WHERE position >= ? AND position < ?"
            " ORDER BY position, attachment",
            (start, stop),
        ):
            self._attached[position].append(attachment)

    def check(self, *, rows_only: bool) -> None:
        expected = self._start
        try:
            for row in self._db.execute(
                "SELECT position, iri_key, nodes, sealed, graph FROM record"
                " WHERE position >= ? AND position < ? ORDER BY position",
                (self._start, self._stop),
            ):
                self._note_row(*row)
                if not rows_only:
                    self._check_place(row[0], expected)
                    expected = row[0] + 1
                    self._check_row(*row)
                self._note_attachments(row[0])
            if not rows_only:
                self._check_place(self._stop, expected)
        except _StopError:
            pass
        self.report.rows_sha256 = self._rows.hexdigest()

    def _note_row(self, *values: Any) -> None:
        """Take a row into the digest that tells whether it changed since."""
        # Version 0 of the format says nothing but the values, and tells types and lengths apart.
        self._rows.update(marshal.dumps(values, 0))

    def _note_attachments(self, position: int) -> None:
        for attachment in self._attached.get(position, ()):
            row = self._db.execute(
                "SELECT id, digest, data FROM attachment WHERE id = ?", (attachment,)
            ).fetchone()
            self._note_row(*(row or ()))

    def _wrong(self, step: int, message: str, position: int | None, record: str | None) -> None:
        found = self.report.findings
        found.append(Finding(step=step, message=message, position=position, record=record))
        if not self._go_on or len(found) >= MAX_FINDINGS:
            raise _StopError

    # ---- one entry -------------------------------------------------------------------------------
    def _check_place(self, found: int, expected: int) -> None:
        # 4. Records are dense.
        if found != expected:
            message = f"expected entry {expected}, found {found}; entries are missing"
            if found == self._stop:
                message = f"expected entry {expected}, found none; entries are missing"
            self._wrong(STEP_ENTRIES, message, expected, None)

    def _check_row(
        self, position: int, key: object, nodes: object, sealed: object, graph: object
    ) -> None:
        step, record = STEP_ENTRIES, None
        entry_bytes = graph_nq = None
        lines: list[bytes] = []
        is_erased = False
        try:
            # 4. The entry is canonical, and found by its IRI.
            entry_bytes, proof_nq = split_sealed(sealed, position)
            entry = parse_entry(entry_bytes)
            record = entry.graph
            if key != iri_key(record):
                raise UntrustedError(f"its IRI leads to {key}, expected {iri_key(record)}")
            if entry.kind not in SEALED_BY:
                raise UntrustedError(f"it is one of kind {entry.kind}, which means nothing here")
            # 5.
            step = STEP_SEALS
            blob = require_blob(graph, what="its graph")
            if blob != ERASED:
                graph_nq = compression.decode(blob, max_bytes=MAX_GRAPH_BYTES)
            created, lines = _check_seal(entry, graph_nq, proof_nq)
            self._count(entry, position, created, len(graph_nq or b""))
            is_erased = graph_nq is None
        except _FAULTS as error:
            self._wrong_in(step, error, position, record)
            graph_nq = None
        # 6.
        self._check_nodes(position, nodes, entry_bytes, record)
        # 7.
        if is_erased:
            self.report.erased.append(position)
            if self._names.get(position) or self._attached.get(position):
                self.report.leftovers.append(position)
        elif record is not None and graph_nq is not None:
            try:
                self._check_additions(record, graph_nq, lines, position)
            except _FAULTS as error:
                self._wrong_in(STEP_ADDITIONS, error, position, record)

    def _wrong_in(self, step: int, error: Exception, position: int, record: str | None) -> None:
        where = f"entry {position} of the ledger"
        if record is not None:
            where = f"{where}, record {record}"
        self._wrong(step, f"{where}: {error}", position, record)

    def _check_nodes(
        self, position: int, nodes: object, entry_bytes: bytes | None, record: str | None
    ) -> None:
        frontier = self.report.frontier
        if entry_bytes is None:
            # Of an entry that cannot be read only the stored hash is left, to go on with.
            leaf = nodes[:HASH_BYTES] if isinstance(nodes, bytes) else b""
            frontier.append(leaf.ljust(HASH_BYTES, b"\0"))
            return
        completed = b"".join(frontier.append(leaf_hash(entry_bytes)))
        stored = nodes if isinstance(nodes, bytes) else b""
        self.report.upper = b""
        if frontier.size == RANGE_ENTRIES:
            self.report.upper = stored[len(completed) :]
            stored = stored[: len(completed)]
        if stored != completed:
            self._wrong(
                STEP_TREE,
                f"entry {position} of the ledger, record {record}: its stored tree hashes are not"
                " those of its entry",
                position,
                record,
            )

    def _check_additions(
        self, iri: str, graph_nq: bytes, lines: list[bytes], position: int
    ) -> None:
        names = self._names.get(position, ())
        attachments: dict[Digest, bytes] = {}
        for attachment in self._attached.get(position, ()):
            row = self._db.execute(
                "SELECT digest, data FROM attachment WHERE id = ?", (attachment,)
            ).fetchone()
            if row is None:
                raise UntrustedError(f"its attachment {attachment} is gone")
            digest = Digest("sha256", require_blob(row[0], what="a digest").hex())
            blob = require_blob(row[1], what=f"attachment {digest}")
            data = compression.decode(blob, max_bytes=MAX_ATTACHMENT_BYTES)
            require_sha256(data, digest.value, what=f"attachment {digest}")
            attachments = {digest: data}
            require_covered(iri=iri, graph_nq=graph_nq, names=(), attachments=attachments)
            self.report.attachments += 1
        for name in names:
            if not is_said(lines, *name):
                kind, text, version, thing = name
                row = NameRow(kind=kind, name=text, version=version, iri=thing)
                # It says what is wrong.
                require_covered(
                    iri=iri, graph_nq=graph_nq, lines=lines, names=[row], attachments={}
                )
        self.report.names += len(names)

    def _count(self, entry: Entry, position: int, created: datetime, graph_bytes: int) -> None:
        self.report.graph_bytes += graph_bytes
        if entry.kind != RECORD:
            self.report.deciding.append(position)
        key = entry.kind, entry.verification_method
        known = self.report.sealed.get(key)
        if known is None:
            self.report.sealed[key] = SealedBy(
                count=1, first=position, last=position, earliest=created, latest=created
            )
            return
        known.count += 1
        known.last = position
        if created < known.earliest:
            known.earliest = created
        elif created > known.latest:
            known.latest = created


def _any_text(data: bytes) -> str:
    """Read a text that was put in place of bytes, or is none, so that it is found to be wrong."""
    return data.decode("utf-8", "surrogateescape")


def _read_texts(
    db: sqlite3.Connection, statement: str, values: tuple[int, int]
) -> list[tuple[Any, ...]]:
    """Read rows of texts, in half the time where they are right."""
    try:
        db.text_factory = str
        return db.execute(statement, values).fetchall()
    except sqlite3.OperationalError:
        db.text_factory = _any_text
        return db.execute(statement, values).fetchall()
    finally:
        db.text_factory = _any_text


def _check_seal(
    entry: Entry, graph_nq: bytes | None, proof_nq: bytes
) -> tuple[datetime, list[bytes]]:
    """Check graph and proof against the hashes in the entry, and the seal over both.

    Return when the signer says that it was made, and the graph's lines.
    Of an erased graph (None) the hash in the entry is left, and the seal is over that.
    """
    # One pass over the graph: what the seal was verified over has the hash that the entry states.
    lines: list[bytes] = []
    proof_sha256 = hashlib.sha256(proof_nq).digest()
    try:
        if graph_nq is None:
            graph_sha256 = bytes.fromhex(entry.graph_sha256)
        else:
            # The steps of `verify_seal`, whose lines are wanted for step 7.
            lines = require_sorted_lines(graph_nq, graph=entry.graph)
            graph_sha256 = hashlib.sha256(graph_nq).digest()
        config = check_sealed_hashes(
            proof_sha256 + graph_sha256, proof_nq=proof_nq, proof_value=entry.proof_value
        )
    except (FormatError, UntrustedError):
        _require_hashes(entry, graph_nq, proof_nq)
        raise
    if (graph_sha256.hex(), proof_sha256.hex()) != (entry.graph_sha256, entry.proof_sha256):
        _require_hashes(entry, graph_nq, proof_nq)
    if config.verification_method != entry.verification_method:
        raise UntrustedError(
            f"sealed by {config.verification_method}, its entry says {entry.verification_method}"
        )
    return config.created, lines


def _require_hashes(entry: Entry, graph_nq: bytes | None, proof_nq: bytes) -> None:
    if graph_nq is not None:
        require_sha256(graph_nq, entry.graph_sha256, what="its graph")
    require_sha256(proof_nq, entry.proof_sha256, what="its proof")
