"""A record in the form of its row: written before any lock is taken, checked when it is read.

The row's form is described at `schema.TABLES`. What is read is checked against the hashes of its
entry, and the entry against the tree by whoever needs that (`fsck`, proofs).

No I/O here.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Final

from provgraph.errors import FormatError, LedgerError, UntrustedError
from provgraph.frozen import dataclass
from provgraph.ledger import compression
from provgraph.ledger.rows import NameRow, Pending, StoredRecord, require_covered
from provgraph.seal.entry import MAX_ENTRY_BYTES, Entry, new_salt, parse_entry
from provgraph.terms import MAX_GRAPH_BYTES, sha256_of

_LENGTH_BYTES: Final = 2  # of the entry inside record.sealed; an entry has at most 65,535 bytes
_MAX_SEALED_BYTES: Final = _LENGTH_BYTES + 2 * MAX_ENTRY_BYTES

# What stands in record.graph where the graph was erased. No blob is empty: each begins with its
# format byte, that of a graph without statements too.
ERASED: Final = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedAttachment:
    """An attachment as it is stored: the SHA-256 of its bytes, and their compression blob."""

    sha256: bytes
    blob: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A pending record in the form of its row."""

    iri: str
    graph_sha256: str
    entry: bytes
    sealed: bytes
    graph: bytes
    names: tuple[NameRow, ...]
    attachments: tuple[PreparedAttachment, ...]

    @property
    def size_bytes(self) -> int:
        """About how much memory and file it takes."""
        blobs = sum(len(attachment.blob) for attachment in self.attachments)
        return len(self.entry) + len(self.sealed) + len(self.graph) + blobs


_SMALL_BYTES: Final = 64 * 1024


def prepare(item: Pending) -> Prepared:
    """Check an item and write its row's blobs.

    Raises:
        LedgerError: the seal is over another graph, or a name or attachment is not covered by it.
        FormatError: the entry cannot be written.
    """
    seal = item.seal
    if sha256_of(item.graph_nq) != seal.graph_sha256:
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
    return Prepared(
        iri=item.iri,
        graph_sha256=graph_sha256,
        entry=entry,
        sealed=compression.encode(sealed),
        graph=compression.encode(item.graph_nq),
        names=tuple(item.names),
        attachments=tuple(
            (_deflated_once if len(data) <= _SMALL_BYTES else _deflated)(digest.value, data)
            for digest, data in item.attachments.items()
        ),
    )


def _deflated(sha256_hex: str, data: bytes) -> PreparedAttachment:
    return PreparedAttachment(sha256=bytes.fromhex(sha256_hex), blob=compression.encode(data))


# The runs of one process bring the same listing of its code, each time anew.
_deflated_once = functools.lru_cache(maxsize=4)(_deflated)


def iri_key(iri: str) -> int:
    """Return the number that a record's IRI is looked up by: 8 bytes of its SHA-256, signed."""
    return int.from_bytes(hashlib.sha256(iri.encode()).digest()[:8], "big", signed=True)


def split_sealed(value: object, index: object) -> tuple[bytes, bytes]:
    """Return (entry, proof.nq) of a record.sealed.

    Raises:
        LedgerError: damaged.
        UntrustedError: not bytes.
    """
    blob = require_blob(value, what=f"entry {index}")
    data = compression.decode(blob, max_bytes=_MAX_SEALED_BYTES)
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
    return data[_LENGTH_BYTES:end], data[end:]


def stored_record(position: object, sealed: object, graph: object) -> StoredRecord:
    """Read a row; graph and proof are checked against the entry's hashes.

    Whether an erased graph was erased rightly is for the caller, who can look for its tombstone.

    Raises:
        LedgerError: damaged.
        UntrustedError: stored graph or proof is not what was sealed.
    """
    entry_bytes, proof_nq = split_sealed(sealed, position)
    try:
        entry = parse_entry(entry_bytes)
    except FormatError as error:
        raise UntrustedError(f"entry {position} of the ledger is damaged: {error}") from None
    blob = require_blob(graph, what=f"the graph of entry {position}")
    graph_nq = None
    if blob != ERASED:
        graph_nq = compression.decode(blob, max_bytes=MAX_GRAPH_BYTES)
        require_sha256(graph_nq, entry.graph_sha256, what=f"the graph of record {entry.graph}")
    require_sha256(proof_nq, entry.proof_sha256, what=f"the proof of record {entry.graph}")
    if not isinstance(position, int):
        raise UntrustedError(f"expected a number as a record's position, found {position!r}")
    return StoredRecord(
        index=position,
        iri=entry.graph,
        kind=entry.kind,
        entry=entry_bytes,
        content=graph_nq,
        proof_nq=proof_nq,
        proof_value=entry.proof_value,
        verification_method=entry.verification_method,
    )


def require_sha256(data: bytes, expected: str, *, what: str) -> None:
    """Check bytes against the hash that the ledger states.

    Raises:
        UntrustedError: another hash.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise UntrustedError(
            f"{what}: expected sha256:{expected}, found sha256:{found};"
            " the ledger's file was changed or is damaged. Restore a backup"
        )


def require_blob(value: object, *, what: str) -> bytes:
    """Return a column's value that must be bytes.

    Raises:
        UntrustedError: anything else.
    """
    if not isinstance(value, bytes):
        raise UntrustedError(f"expected {what} as bytes in the ledger, found {value!r:.80}")
    return value
