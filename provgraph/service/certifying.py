"""Answer certificates: an answer becomes a record, and later shows whether it still holds.

The canonical form of an answer: a line with the names of its columns, then a line for each row, terms in
N-Triples syntax, nothing for an unbound one, separated by tabs; the rows' lines sorted by code point,
repeated ones kept; each ends with a line feed; UTF-8. Its SHA-256 is the result digest. An answer's
column `erased` is said as of now, and is no part of it.

A certificate holds no rows, so that it keeps nothing that is erased later. For each row it has a digest,
keyed with the certificate's id: which rows are new is then shown, and how many are gone.

Checking: 1. the certificate's record is verified like any other (`provgraph.query.seals`); 2. the
question's text has the digest that it names; 3. the ledger had that root at that size; 4. the question is
asked again as of that size, with the same terms; 5. the digests are compared.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from provgraph import __version__, terms, vocab
from provgraph.capture.identifiers import new_id
from provgraph.capture.sinks import Receipt
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import FormatError, NotFoundError, UntrustedError, UsageError
from provgraph.index.store import ENGINE, Row
from provgraph.query import catalogue
from provgraph.query.answers import Asked, found_rows
from provgraph.query.catalogue import CannedQuery
from provgraph.query.evidence import RELATED, find_evidence
from provgraph.query.lineage import plain
from provgraph.query.reporting import Table
from provgraph.query.seals import VERIFIED, seal_states
from provgraph.records import Agent, Certificate
from provgraph.service.asking import Reader
from provgraph.service.indexing import Progress
from provgraph.service.recording import write_record
from provgraph.settings import Settings
from provgraph.terms import Term
from provgraph.vocab import PROV_T, P

EQUAL: Final = "equal"
DIFFERS: Final = "differs"
ERASED: Final = "erased"

# More than these would make a certificate's graph larger than what it is about.
MAX_RECORDS: Final = 1_000
# A digest of 16 bytes a row; what an attachment may hold.
MAX_ROWS: Final = 2_000_000
_ROW_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a certificate says, read from its graph."""

    record: str
    position: int
    certificate: str
    question: str
    question_digest: Digest
    values: Mapping[str, tuple[Term, ...]]
    ledger_size: int
    root_hash: str
    columns: tuple[str, ...]
    rows: int
    result: str
    row_digests: Digest
    engine: str
    by: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of asking again."""

    said: Said
    verdict: str  # equal | differs | erased
    columns: tuple[str, ...] = ()
    new: tuple[Row, ...] = ()
    """Rows that the certificate does not have."""
    gone: int = 0
    """How many rows of the certificate are not there any more."""
    erased_since: int = 0
    """How many records that it was computed over are erased since."""
    notes: tuple[str, ...] = field(default=())


def certify(settings: Settings, asked: Asked, *, by: Agent, now: datetime) -> Receipt:
    """Answer a question and seal a certificate of the answer into the ledger.

    Raises:
        UsageError: the answer has too many rows.
        StorageError: the ledger could not take it.
    """
    certificate, attachments = prepare(asked, by=by, now=now)
    return write_record(settings, certificate, record_id=certificate.id, attachments=attachments)


def prepare(asked: Asked, *, by: Agent, now: datetime) -> tuple[Certificate, dict[Digest, bytes]]:
    """Answer a question; return the certificate of its answer, and what is to be attached to it."""
    query = asked.query
    found, table = found_rows(asked)
    if len(table.rows) > MAX_ROWS:
        raise UsageError(
            f"{query.id} has {len(table.rows)} rows here; a certificate is for {MAX_ROWS}"
        )
    evidence = find_evidence(
        asked.ask,
        text=query.text,
        query=asked.text,
        given=asked.things,
        rows=tuple(table.rows),
        is_whole=query.report is None and tuple(found.rows) == tuple(table.rows),
    )
    records = tuple(sorted({*evidence.records, *table.records}))
    made = new_id()
    text = query.text.encode()
    digests = b"".join(_row_digests(made, table.rows))
    certificate = Certificate(
        id=made,
        question=query.id,
        title=query.title,
        question_digest=sha256_bytes(text),
        asked_with={name: tuple(values) for name, values in asked.values.items()},
        ledger_size=asked.entries.size,
        root_hash=f"sha256:{asked.entries.ledger.root(asked.entries.size).hex()}",
        columns=table.columns,
        rows=len(table.rows),
        result=sha256_bytes(canonical(table)),
        row_digests=sha256_bytes(digests),
        rests_on=records[:MAX_RECORDS],
        rests_on_meaning=evidence.kind if len(records) <= MAX_RECORDS else RELATED,
        engine=f"provgraph {__version__}, {ENGINE}",
        by=by,
        at=now,
    )
    return certificate, {certificate.question_digest: text, certificate.row_digests: digests}


def compare(reader: Reader, thing: str, *, progress: Progress | None = None) -> Compared:
    """Ask again what a certificate answers, and compare.

    Raises:
        NotFoundError: there is no such certificate.
        ErasedError: it was erased.
        UntrustedError: it is not what was sealed, or of another ledger.
    """
    # 1.
    said = read_certificate(reader, thing)
    # 2. (attachments are checked against their digests when they are read)
    text = reader.ledger.attachment(said.question_digest).decode()
    query = catalogue.parse(text, where=f"the question of {said.record}")
    # 3.
    found_root = f"sha256:{reader.ledger.root(said.ledger_size).hex()}"
    if found_root != said.root_hash:
        raise UntrustedError(
            f"the certificate {said.record} is of a ledger whose first {said.ledger_size} entries have"
            f" the root {said.root_hash}; here they have {found_root}"
        )
    # 4. (a question that does not read so today is somebody's, and is run as such)
    with reader.as_of(said.ledger_size, progress=progress) as then:
        table = found_rows(then.asked_with(query, said.values))[1]
    # 5.
    notes = _notes(said, query)
    if sha256_bytes(canonical(table)) == Digest.parse(said.result):
        return Compared(said=said, verdict=EQUAL, columns=table.columns, notes=notes)
    erased = reader.erased_after(said.position, below=said.ledger_size)
    new, gone = _differing(reader, said, table)
    return Compared(
        said=said,
        verdict=ERASED if erased else DIFFERS,
        columns=table.columns,
        new=new,
        gone=gone,
        erased_since=erased,
        notes=notes,
    )


def read_certificate(reader: Reader, thing: str) -> Said:
    """Read a certificate by its id, its IRI or its record's, and verify its seal.

    Raises:
        NotFoundError: there is none.
        ErasedError: it was erased.
        UntrustedError: it is not what was sealed.
    """
    record = _record_of(thing)
    position = reader.ledger.find(record)
    if position is None:
        raise NotFoundError(f"there is no certificate {thing[:200]!r} in this ledger")
    graph = reader.ledger.graph(position)
    (state,) = seal_states(reader.entries, reader.ledger.keys(), [record])
    if state.state != VERIFIED:
        raise UntrustedError(f"the certificate {record} does not verify: {state.reason}")
    subject = terms.iri(vocab.activity_iri("certificate", record.rsplit("/", 1)[-1]))
    facts: dict[Term, list[Term]] = {}
    for s, p, o, _ in terms.parse_lines(graph):
        if s == subject:
            facts.setdefault(p, []).append(o)
    if P["question"] not in facts:
        raise UsageError(f"{thing[:200]} is a record, and no certificate of an answer")

    def one(predicate: Term) -> str:
        return plain(facts[predicate][0])

    try:
        return Said(
            record=record,
            position=position,
            certificate=subject[1:-1],
            question=one(P["question"]),
            question_digest=Digest.parse(one(P["questionDigest"])),
            values=dict(_given(plain(each)) for each in facts.get(P["askedWith"], ())),
            ledger_size=int(one(P["ledgerSize"])),
            root_hash=one(P["rootHash"]),
            columns=tuple(json.loads(one(P["resultColumns"]))),
            rows=int(one(P["resultRows"])),
            result=one(P["resultDigest"]),
            row_digests=Digest.parse(one(P["rowDigests"])),
            engine=one(P["engine"]),
            by=one(PROV_T["wasAttributedTo"]),
            at=one(PROV_T["generatedAtTime"]),
        )
    except (KeyError, ValueError, FormatError) as error:
        raise UntrustedError(f"the certificate {record} lacks what one has: {error!r}") from None


def canonical(table: Table) -> bytes:
    """Return the canonical form of an answer."""
    lines = sorted(_line(row) for row in table.rows)
    return "".join(f"{line}\n" for line in ("\t".join(table.columns), *lines)).encode()


def _line(row: Row) -> str:
    return "\t".join(term or "" for term in row)


def _row_digests(key: str, rows: Sequence[Row]) -> list[bytes]:
    """Digests of rows, sorted: their order would say what rows of one answer have in common."""
    return sorted(_row_digest(key, row) for row in rows)


def _row_digest(key: str, row: Row) -> bytes:
    made = hashlib.blake2b(_line(row).encode(), digest_size=_ROW_DIGEST_BYTES, key=key.encode())
    return made.digest()


def _differing(reader: Reader, said: Said, table: Table) -> tuple[tuple[Row, ...], int]:
    data = reader.ledger.attachment(said.row_digests)
    known = Counter(
        data[start : start + _ROW_DIGEST_BYTES] for start in range(0, len(data), _ROW_DIGEST_BYTES)
    )
    key = said.record.rsplit("/", 1)[-1]
    new = []
    for row in table.rows:
        digest = _row_digest(key, row)
        if known[digest]:
            known[digest] -= 1
        else:
            new.append(row)
    return tuple(new), known.total()


def _notes(said: Said, query: CannedQuery) -> tuple[str, ...]:
    notes = []
    engine = f"provgraph {__version__}, {ENGINE}"
    if said.engine != engine:
        notes.append(f"it was computed by {said.engine}, and is asked again of {engine}")
    today = next((each for each in catalogue.catalogue() if each.id == said.question), None)
    if today is None or today.text != query.text:
        notes.append(f"{said.question} reads otherwise today; it was asked again as it read then")
    return tuple(notes)


def _given(text: str) -> tuple[str, tuple[Term, ...]]:
    """Read a parameter and the terms that it was given; anybody may have sealed what it says."""
    name, *values = json.loads(text)
    return str(name), tuple(terms.read_term(each) for each in values)


def _record_of(thing: str) -> str:
    text = thing.strip()
    if text.startswith(f"{vocab.ID}certificate/"):
        text = text.rsplit("/", 1)[-1]
    return text if text.startswith(vocab.ID) else vocab.record_iri(text)
