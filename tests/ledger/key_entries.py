"""Key events as entries on their way into a ledger."""

from __future__ import annotations

from ledger_samples import NAMESPACE, START

from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.ledger.rows import NameRow, Pending
from provgraph.records import KeyAddition, KeyRevocation
from provgraph.seal.entry import KEY_ADD, KEY_REVOKE
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.proof import seal

STEWARD = signer_from_seed(b"\x21" * 32)
SUCCESSOR = signer_from_seed(b"\x22" * 32)
CONTEXT = Context(namespace=NAMESPACE, software_version="0.1.0", recorded_at=START, previous={})


def key_add(signer: Signer, role: str = "producer", *, by: Signer = STEWARD, **fields) -> Pending:
    key = signer.verification_method
    record = KeyAddition(id=f"add-{role}-{key[-12:]}", key=key, role=role, at=START, **fields)
    return _pending(record, KEY_ADD, by)


def key_revoke(signer: Signer, reason: str, *, by: Signer = STEWARD, **fields) -> Pending:
    key = signer.verification_method
    record = KeyRevocation(
        id=f"revoke-{key[-12:]}", key=key, revocation_reason=reason, at=START, **fields
    )
    return _pending(record, KEY_REVOKE, by)


def _pending(record: KeyAddition | KeyRevocation, kind: str, by: Signer) -> Pending:
    converted = convert(record, record_id=record.id, context=CONTEXT)
    return Pending(
        iri=converted.iri,
        kind=kind,
        graph_nq=converted.canonical,
        seal=seal(converted.canonical, signer=by, created=START),
        names=[
            NameRow(kind=row.kind, name=row.name, version=row.version, iri=row.iri)
            for row in converted.names
        ],
    )
