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
from typing import Final

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
    # Each statement is looked for as the start of a line: a literal can hold no line feed, so no
    # literal can pass for a statement. Lines are sorted; in any other order less would be found.
    if lines is None:
        lines = graph_nq.split(b"\n") if names else ()
    for row in names:
        claims = _claims(row.kind, row.name, row.iri)
        # 2.
        said = _has(lines, claims[0]) and _has(lines, claims[1])
        # 3. Any namespace: another ledger may have made the record.
        if said and row.version:
            above, version = _version_claim(row.kind, row.name, row.version, row.iri)
            said = any(
                line[len(above) :].partition(b">")[0].endswith(version)
                for line in _starting(lines, above)
            )
        if not said:
            expected = " and ".join(claim.decode().strip() for claim in claims)
            raise LedgerError(
                f"record {iri}: its graph does not say that {row.iri} is the {row.kind}"
                f" {row.name!r} version {row.version!r}, so no seal covers that name;"
                f" expected {expected}, and for a version"
                " prov:specializationOf it"
            )


# Runs name the same data over and over.
@functools.lru_cache(_KNOWN_CLAIMS)
def _claims(kind: str, name: str, iri: str) -> tuple[bytes, bytes]:
    thing = terms.iri(iri)
    # feature-set -> pg:FeatureSet
    kind_class = terms.iri(vocab.PG + "".join(map(str.capitalize, kind.split("-"))))
    return (
        f"{thing} {vocab.A} {kind_class} ".encode(),
        f"{thing} {vocab.LABEL} {terms.string(name)} ".encode(),
    )


@functools.lru_cache(_KNOWN_CLAIMS)
def _version_claim(kind: str, name: str, version: str, iri: str) -> tuple[bytes, bytes]:
    """Return how a statement that puts a thing below its version's IRI begins, and how that ends."""
    begin = f"{terms.iri(iri)} {vocab.PROV_T['specializationOf']} <{vocab.ID}{kind}/"
    return begin.encode(), f"/{terms.segment(name)}/{terms.segment(version)}".encode()


def _has(lines: Sequence[bytes], start: bytes) -> bool:
    """Whether one of the sorted lines begins so."""
    first = bisect_left(lines, start)
    return first < len(lines) and lines[first].startswith(start)


def _starting(lines: Sequence[bytes], start: bytes) -> Iterator[bytes]:
    """Yield the sorted lines that begin so."""
    return takewhile(
        methodcaller("startswith", start), islice(lines, bisect_left(lines, start), None)
    )
