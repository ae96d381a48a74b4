"""What goes into the ledger and what comes out of it.

A `Pending` record becomes an entry at a `Position`, and is read back as a `StoredRecord`. Beside
its graph it can bring names (`churn:3` is this content) and attachments (bytes that the graph names
by digest). Both are kept outside the entry, so `require_covered` ties them to the sealed graph: what
the graph does not say is neither taken in nor believed later.

No I/O here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from provgraph import terms, vocab
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import ErasedError, LedgerError
from provgraph.frozen import dataclass, field
from provgraph.seal.entry import RECORD
from provgraph.seal.proof import Seal

# SQLite's own limit is 1 GB; above this a thing belongs in a file that the graph names by digest.
MAX_ATTACHMENT_BYTES: Final = 64 * 1024 * 1024


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
    *, iri: str, graph_nq: bytes, names: Sequence[NameRow], attachments: Mapping[Digest, bytes]
) -> None:
    """Check that the sealed graph itself says what its names and attachments claim.

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
    # literal can pass for a statement.
    lines = b"\n" + graph_nq
    for row in names:
        thing = terms.iri(row.iri)
        # 2. feature-set -> pg:FeatureSet
        kind_class = terms.iri(vocab.PG + "".join(map(str.capitalize, row.kind.split("-"))))
        claims = [
            f"\n{thing} {vocab.A} {kind_class} ",
            f"\n{thing} {vocab.LABEL} {terms.string(row.name)} ",
        ]
        # What is said of one thing stands together, so from the first claim on the others are near.
        start = lines.find(claims[0].encode())
        said = start >= 0 and lines.find(claims[1].encode(), start) >= 0
        # 3. Any namespace: another ledger may have made the record.
        if said and row.version:
            above = f"\n{thing} {vocab.PROV_T['specializationOf']} <{vocab.ID}{row.kind}/"
            version = f"/{terms.segment(row.name)}/{terms.segment(row.version)}"
            said = _has_object(lines, start, prefix=above.encode(), suffix=version.encode())
        if not said:
            raise LedgerError(
                f"record {iri}: its graph does not say that {row.iri} is the {row.kind}"
                f" {row.name!r} version {row.version!r}, so no seal covers that name;"
                f" expected {claims[0].strip()} and {claims[1].strip()}, and for a version"
                " prov:specializationOf it"
            )


def _has_object(lines: bytes, start: int, *, prefix: bytes, suffix: bytes) -> bool:
    """Whether some line starts with the prefix and its IRI, which the prefix opens, so ends."""
    start = lines.find(prefix, start)
    while start >= 0:
        start += len(prefix)
        if lines[start : lines.index(b">", start)].endswith(suffix):
            return True
        start = lines.find(prefix, start)
    return False
