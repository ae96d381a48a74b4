"""What goes into the ledger and what comes out of it.

A `Pending` record becomes an entry at a `Position`, and is read back as a `StoredRecord`. Beside
its graph it can bring names (`churn:3` is this content) and attachments (bytes that the graph names
by digest). Both are kept outside the entry, so `require_covered` ties them to the sealed graph: what
the graph does not say is neither taken in nor believed later.

No I/O here.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, takewhile
from operator import methodcaller
from typing import AnyStr, Final

from provgraph import terms, vocab
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import ErasedError, LedgerError
from provgraph.frozen import dataclass, field
from provgraph.seal.entry import RECORD
from provgraph.seal.proof import Seal

# SQLite's own limit is 1 GB; above this a thing belongs in a file that the graph names by digest.
MAX_ATTACHMENT_BYTES: Final = 64 * 1024 * 1024
_KNOWN_CLAIMS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRow:
    """A name that a record gives to content. An empty version means that it has none."""

    kind: str  # dataset | model | file | feature-set
    name: str
    version: str
    iri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A sealed record on its way into the ledger."""

    iri: str
    kind: str = RECORD  # of the entry (provgraph.seal.entry)
    graph_nq: bytes
    seal: Seal
    attachments: Mapping[Digest, bytes] = field(default_factory=dict)
    names: Sequence[NameRow] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a record stands; `is_new` is False when it stood there before the call."""

    iri: str
    index: int
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record as the ledger holds it; graph and proof were checked against the entry's hashes.

    An erased record has no graph, which is not an empty one: reading `graph_nq` raises.
    """

    index: int
    iri: str
    kind: str
    entry: bytes
    content: bytes | None  # canonical N-Quads, None where they were erased
    proof_nq: bytes
    proof_value: str
    verification_method: str

    @property
    def is_erased(self) -> bool:
        """Whether the graph was erased."""
        return self.content is None

    @property
    def graph_nq(self) -> bytes:
        """The canonical N-Quads of the record's graph.

        Raises:
            ErasedError: they were erased.
        """
        if self.content is None:
            raise ErasedError(
                f"the content of record {self.iri} (entry {self.index}) was erased;"
                f" `provgraph show {self.iri}` says by whom and why"
            )
        return self.content


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredName:
    """A name with the index of the record that gave it."""

    index: int
    kind: str
    name: str
    version: str
    iri: str


def require_covered(
    *,
    iri: str,
    graph_nq: bytes,
    names: Sequence[NameRow],
    attachments: Mapping[Digest, bytes],
    lines: Sequence[bytes] | None = None,
) -> None:
    """Check that the sealed graph itself says what its names and attachments claim.

    `lines` are those of the graph in their order, where the caller has split it already.

    1. An attachment's bytes have its SHA-256, and the graph mentions that digest.
    2. A named thing has that label and the class of its kind in the graph.
    3. With a version, the graph puts it below `…/id/<kind>/<namespace>/<name>/<version>`.

    Raises:
        LedgerError: what the graph does not say.
    """
    # 1.
    for digest, data in attachments.items():
        if len(data) > MAX_ATTACHMENT_BYTES:
            raise LedgerError(
                f"record {iri}: expected attachments of at most {MAX_ATTACHMENT_BYTES} bytes,"
                f" found {len(data)}; keep {digest} as a file and record its digest"
            )
        if sha256_bytes(data) != digest:
            raise LedgerError(
                f"record {iri}: expected an attachment with digest {digest},"
                f" found {sha256_bytes(data)}"
            )
        if digest.value.encode() not in graph_nq:
            raise LedgerError(
                f"record {iri}: its graph does not mention the attachment {digest},"
                " so no seal covers it; name it in the graph"
            )
    statements = graph_nq.statements if type(graph_nq) is terms.Canonical else None
    if lines is None:
        lines = graph_nq.split(b"\n") if names and statements is None else ()
    for row in names:
        # 2. and 3.
        said = (
            is_said(lines, row.kind, row.name, row.version, row.iri)
            if statements is None
            else _is_stated(statements, row)
        )
        if not said:
            expected = " and ".join(_claims(row.kind, row.name, row.iri))
            raise LedgerError(
                f"record {iri}: its graph does not say that {row.iri} is the {row.kind}"
                f" {row.name!r} version {row.version!r}, so no seal covers that name;"
                f" expected {expected}, and for a version"
                " prov:specializationOf it"
            )


def _is_stated(statements: Sequence[str], row: NameRow) -> bool:
    """Whether a graph gives that name; its sorted statements are without its own name."""
    for claim in _claims(row.kind, row.name, row.iri):
        at = bisect_left(statements, claim)
        if at == len(statements) or statements[at] != claim:
            return False
    if not row.version:
        return True
    begin, end = _version_claim(row.kind, row.name, row.version, row.iri)
    return any(
        statement[len(begin) :].partition(">")[0].endswith(end)
        for statement in _starting(statements, begin)
    )


def is_said(lines: Sequence[bytes], kind: str, name: str, version: str, iri: str) -> bool:
    """Whether a graph gives that name, by its sorted lines; in any other order less would be found.

    A statement is looked for as the start of a line: a literal can hold no line feed, so no literal can
    pass for a statement.
    """
    for start in _claimed_lines(kind, name, iri):
        at = bisect_left(lines, start)
        if at == len(lines) or not lines[at].startswith(start):
            return False
    if not version:
        return True
    begin, end = (each.encode() for each in _version_claim(kind, name, version, iri))
    return any(
        line[len(begin) :].partition(b">")[0].endswith(end) for line in _starting(lines, begin)
    )


# Runs name the same data over and over.
@functools.lru_cache(_KNOWN_CLAIMS)
def _claims(kind: str, name: str, iri: str) -> tuple[str, str]:
    """Return what a graph that gives a name must say: the kind of the thing, and its label."""
    thing = terms.iri(iri)
    # feature-set -> pg:FeatureSet
    kind_class = terms.iri(vocab.PG + "".join(map(str.capitalize, kind.split("-"))))
    return (
        f"{thing} {vocab.A} {kind_class}",
        f"{thing} {vocab.LABEL} {terms.string(name)}",
    )


@functools.lru_cache(_KNOWN_CLAIMS)
def _claimed_lines(kind: str, name: str, iri: str) -> tuple[bytes, bytes]:
    """Return how the lines begin that say it."""
    kind_claim, label_claim = _claims(kind, name, iri)
    return f"{kind_claim} ".encode(), f"{label_claim} ".encode()


@functools.lru_cache(_KNOWN_CLAIMS)
def _version_claim(kind: str, name: str, version: str, iri: str) -> tuple[str, str]:
    """Return how a statement that puts a thing below its version's IRI begins, and how that ends.

    Any namespace: another ledger may have made the record.
    """
    begin = f"{terms.iri(iri)} {vocab.PROV_T['specializationOf']} <{vocab.ID}{kind}/"
    return begin, f"/{terms.segment(name)}/{terms.segment(version)}"


def _starting(sorted_texts: Sequence[AnyStr], start: AnyStr) -> Iterator[AnyStr]:
    """Yield those of sorted texts that begin so."""
    return takewhile(
        methodcaller("startswith", start),
        islice(sorted_texts, bisect_left(sorted_texts, start), None),
    )
