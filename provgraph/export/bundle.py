"""Makes an export bundle: everything needed to check a lineage offline, with public tools.

Members are those of `provgraph.seal.members`; byte-exact files (graph, proof, entry, signature,
inclusion proof) come from the ledger as they are, readable views (JSON-LD, Turtle, TriG) are
written from them. Equal ledger state and equal root give an equal bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provgraph import resources
from provgraph.export import crate, jsonld, rdf
from provgraph.export.howto import howto_verify
from provgraph.ledger.rows import StoredRecord
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.attestation import Attested, attest
from provgraph.seal.bundle import BUNDLE_VERSION, listing, write_manifest
from provgraph.seal.entry import SEALED_BY, parse_entry
from provgraph.seal.keys import SIGNATURE_BYTES, Signer
from provgraph.seal.members import MANIFEST
from provgraph.seal.multikey import (
    ED25519,
    PublicKey,
    did_key,
    encode_multikey,
    multibase_decode,
    parse_verification_method,
    public_pem,
)
from provgraph.seal.note import NoteSigner, open_checkpoint
from provgraph.seal.tlogproof import TlogProof

_INDENT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a bundle explains."""

    root: str  # IRI
    title: str


def make_bundle(
    ledger: Ledger, *, subject: Subject, records: Sequence[str], note: bytes, log_signer: Signer
) -> dict[str, bytes]:
    """Return the members of a bundle.

    Args:
        ledger: where the records are.
        subject: the thing that the bundle explains.
        records: IRIs of the records to pack.
        note: the checkpoint to prove them against, signed by all log keys.
        log_signer: the ledger's log key, which signs the list of members.

    Raises:
        NotFoundError: a record is not in the ledger.
        UntrustedError: the ledger's bytes do not match their own hashes.
    """
    stored = sorted((_read(ledger, iri) for iri in records), key=lambda record: record.index)
    checkpoint = open_checkpoint(note, *ledger.charter.log_keys)
    members: dict[str, bytes] = {
        "charter": ledger.charter.note,
        "checkpoint": note,
        "context.jsonld": resources.read_text("ontology", "context.jsonld").encode(),
    }
    for record in stored:
        members |= _record_members(record, ledger, note, checkpoint.size)
        for digest in ledger.attachments(record.iri):
            members[f"attachments/{digest.algorithm}-{digest.value}"] = ledger.attachment(digest)
    graphs = [record.graph_nq for record in stored]
    members["lineage.jsonld"] = jsonld.to_bytes(jsonld.lineage_document(graphs, subject.root))
    members["lineage.trig"] = rdf.as_trig(graphs)
    keys = _keys(stored, ledger)
    members["trust.json"] = _json({"version": 1, "keys": [row for row, _ in keys]})
    members |= {
        name: pem for row, pem in keys for name in [f"keys/{row['role']}-{row['multikey']}.pem"]
    }
    members["bundle.json"] = _json(
        {
            "version": BUNDLE_VERSION,
            "root": subject.root,
            "title": subject.title,
            "origin": ledger.origin,
            "ledgerSize": checkpoint.size,
            "records": [listing(each.index, each.iri, each.kind) for each in stored],
        }
    )
    members |= attest(
        checkpoint,
        [
            Attested(
                position=each.index,
                graph=each.iri,
                sha256=hashlib.sha256(each.graph_nq).hexdigest(),
            )
            for each in stored
        ],
        log_signer=log_signer,
    )
    members["HOWTO-VERIFY.txt"] = howto_verify(stored, ledger, subject.title).encode()
    members["ro-crate-metadata.json"] = _json(
        crate.metadata(sorted(members), title=subject.title, root=subject.root, graphs=graphs)
    )
    signer = NoteSigner(name=ledger.origin, signer=log_signer)
    members[MANIFEST] = write_manifest(members, origin=ledger.origin, signer=signer)
    return members


def _read(ledger: Ledger, iri: str) -> StoredRecord:
    from provgraph.errors import NotFoundError

    index = ledger.find(iri)
    if index is None:
        raise NotFoundError(f"the ledger has no record {iri}")
    return ledger.read(index)


def _record_members(
    record: StoredRecord, ledger: Ledger, note: bytes, size: int
) -> dict[str, bytes]:
    folder = f"records/{record.index:06d}"
    proof = TlogProof(
        index=record.index,
        hashes=tuple(ledger.inclusion_proof(record.index, size)),
        checkpoint=note,
    )
    document = jsonld.secured_document(
        record.graph_nq, proof_nq=record.proof_nq, proof_value=record.proof_value
    )
    return {
        f"{folder}/graph.nq": record.graph_nq,
        f"{folder}/proof.nq": record.proof_nq,
        f"{folder}/entry.json": record.entry,
        f"{folder}/signature.bin": multibase_decode(
            record.proof_value, length=SIGNATURE_BYTES, what="a proofValue"
        ),
        f"{folder}/record.tlog-proof": proof.encode(),
        f"{folder}/record.jsonld": jsonld.to_bytes(document),
        f"{folder}/record.ttl": rdf.as_turtle([record.graph_nq]),
    }


def _keys(stored: Sequence[StoredRecord], ledger: Ledger) -> list[tuple[dict[str, str], bytes]]:
    rows = []
    sealed = {
        (SEALED_BY[entry.kind], entry.verification_method)
        for entry in (parse_entry(record.entry) for record in stored)
    }
    for role, key in [
        ("log", PublicKey(algorithm=ED25519, raw=ledger.log_key)),
        *((role, parse_verification_method(method)) for role, method in sorted(sealed)),
    ]:
        row = {"id": did_key(key), "multikey": encode_multikey(key), "role": role}
        rows.append((row, public_pem(key)))
    return rows


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=_INDENT, sort_keys=True) + "\n").encode()
