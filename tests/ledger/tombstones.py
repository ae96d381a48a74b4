"""Tombstones for tests of the ledger: one that fits an entry, and ones that do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ledger_samples import NAMESPACE, START

from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.convert.tombstone import lineage_shape
from provgraph.ledger.rows import NameRow, Pending, StoredRecord
from provgraph.records import Agent, Tombstone
from provgraph.seal.entry import TOMBSTONE, parse_entry
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.proof import seal
from provgraph.seal.tombstone import leaf_digest

STEWARD = signer_from_seed(b"\x07" * 32)


def tombstone(
    record: StoredRecord, /, *, signer: Signer = STEWARD, kind: str = TOMBSTONE, **changes: object
) -> Pending:
    """Return the sealed tombstone of a record; `changes` make it say something else."""
    entry = parse_entry(record.entry)
    shape = lineage_shape(record.graph_nq, keeps_names=False)
    said = Tombstone(
        id=f"00000000-0000-7000-8000-{record.index:012d}",
        record=record.iri,
        entry_index=record.index,
        leaf_hash=leaf_digest(record.entry),
        graph_digest=f"sha256:{entry.graph_sha256}",
        by=Agent(name="dpo@example.org"),
        reason="the subject asked for it",
        ground="GDPR Art. 17(1)(b)",
        at=START,
        edges=shape.edges,
        types=shape.types,
    )
    said = replace(said, **changes)  # type: ignore[arg-type]
    context = Context(
        namespace=NAMESPACE,
        software_version="0.1.0",
        recorded_at=START + timedelta(days=1),
        previous={},
    )
    converted = convert(said, record_id=said.id, context=context)
    return Pending(
        iri=converted.iri,
        kind=kind,
        graph_nq=converted.canonical,
        seal=seal(converted.canonical, signer=signer, created=START),
        names=[
            NameRow(kind=row.kind, name=row.name, version=row.version, iri=row.iri)
            for row in converted.names
        ],
    )
