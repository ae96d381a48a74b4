"""Makes an export bundle: everything needed to check a lineage offline, with public tools.

Members are those of `provgraph.seal.members`; byte-exact files (graph, proof, entry, signature,
inclusion proof) come from the ledger as they are, readable views (JSON-LD, Turtle, TriG) are
written from them. Equal ledger state and equal root give an equal bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from provgraph import resources
from provgraph.export import crate, jsonld, rdf
from provgraph.export.howto import howto_verify
from provgraph.export.outside import Outside
from provgraph.ledger.rows import StoredRecord
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.absent import ERASED, WITHHELD, Listed, version_of
from provgraph.seal.attestation import Attested, attest
from provgraph.seal.bundle import listing, write_manifest
from provgraph.seal.entry import KEY_EVENTS, SEALED_BY, TOMBSTONE, parse_entry
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
from provgraph.seal.timestamp import MEMBER as TIMESTAMP
from provgraph.seal.tlogproof import TlogProof
from provgraph.seal.tombstone import read_claim
from provgraph.seal.trustfile import TrustFile

_INDENT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a bundle explains."""

    root: str  # IRI
    title: str


def make_bundle(
    ledger: Ledger,
    *,
    subject: Subject,
    records: Sequence[str],
    note: bytes,
    log_signer: Signer,
    withhold: Mapping[str, str] = MappingProxyType({}),
    outside: Outside | None = None,
    trust: Sequence[TrustFile] = (),
) -> dict[str, bytes]:
    """Return the members of a bundle.

    Of erased and withheld records it holds what is left without their graphs, and says so; what an
    included tombstone erased is always among them.

    Args:
        ledger: where the records are.
        subject: the thing that the bundle explains.
        records: IRIs of the records to pack.
        note: the checkpoint to prove them against, signed by all log keys.
        log_signer: the ledger's log key, which signs the list of members.
        withhold: IRIs of those records whose graphs are kept back, each with the reason.
        outside: what others say of the checkpoint.
        trust: the trust files of the ledger, oldest first.

    Raises:
        NotFoundError: a record is not in the ledger.
        UntrustedError: the ledger's bytes do not match their own hashes.
    """
    outside = outside or Outside()
    checkpoint = open_checkpoint(note, *ledger.charter.log_keys)
    packed = [_read(ledger, iri) for iri in dict.fromkeys([*records, *_erased(ledger, records)])]
    everything = with_key_events(ledger, packed, size=checkpoint.size)
    absent = [each for record in everything if (each := _absent(ledger, record, withhold))]
    positions = {each.position for each in absent}
    stored = [record for record in everything if record.index not in positions]
    members: dict[str, bytes] = {
        "charter": ledger.charter.note,
        "checkpoint": note,
        "context.jsonld": resources.read_text("ontology", "context.jsonld").encode(),
    }
    if outside.timestamp is not None:
        members[TIMESTAMP] = outside.timestamp
    members |= {f"trust/{each.version:06d}.note": each.note for each in trust}
    for record in stored:
        members |= _record_members(record, ledger, note, checkpoint.size)
        for digest in ledger.attachments(record.iri):
            members[f"attachments/{digest.algorithm}-{digest.value}"] = ledger.attachment(digest)
    for record in everything:
        if record.index in positions:
            members |= _entry_members(record, ledger, note, checkpoint.size)
    graphs = [record.graph_nq for record in stored]
    members["lineage.jsonld"] = jsonld.to_bytes(jsonld.lineage_document(graphs, subject.root))
    members["lineage.trig"] = rdf.as_trig(graphs)
    keys = _keys(everything, ledger)
    members["trust.json"] = _json({"version": 1, "keys": [row for row, _ in keys]})
    members |= {
        name: pem for row, pem in keys for name in [f"keys/{row['role']}-{row['multikey']}.pem"]
    }
    about: dict[str, object] = {
        "root": subject.root,
        "title": subject.title,
        "origin": ledger.origin,
        "ledgerSize": checkpoint.size,
        "records": [listing(each.index, each.iri, each.kind) for each in stored],
    }
    rows = {
        WITHHELD: [each.row() for each in absent if each.reason is not None],
        ERASED: [each.row() for each in absent if each.reason is None],
    }
    about |= {name: listed for name, listed in rows.items() if listed}
    members["bundle.json"] = _json({**about, "version": version_of(about)})
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
    members["HOWTO-VERIFY.txt"] = howto_verify(
        everything, absent, ledger, subject.title, outside=outside
    ).encode()
    members["ro-crate-metadata.json"] = _json(
        crate.metadata(sorted(members), title=subject.title, root=subject.root, graphs=graphs)
    )
    signer = NoteSigner(name=ledger.origin, signer=log_signer)
    members[MANIFEST] = write_manifest(members, origin=ledger.origin, signer=signer)
    return members


def with_key_events(
    ledger: Ledger, records: Sequence[StoredRecord], *, size: int
) -> list[StoredRecord]:
    """Add what the ledger says of every key that sealed something here, in the ledger's order.

    That is every event of those keys, of the stewards who sealed these events, and so on, and the
    ledger's first key event, which names who may decide.
    """
    found = {record.index: record for record in records}
    first = [row for row in ledger.names_of_kind("key") if row.index < size][:1]
    waiting = {record.verification_method for record in records}
    seen: set[str] = set()
    rows = list(first)
    while waiting or rows:
        for row in rows:
            record = found.get(row.index) or ledger.read(row.index)
            if record.kind in KEY_EVENTS:
                found[row.index] = record
                waiting |= {record.verification_method} - seen
        rows = []
        if waiting:
            method = waiting.pop()
            seen.add(method)
            named = ledger.names("key", method.partition("#")[2])
            rows = [row for row in named if row.index < size]
    return sorted(found.values(), key=lambda record: record.index)


def _read(ledger: Ledger, iri: str) -> StoredRecord:
    from provgraph.errors import NotFoundError

    index = ledger.find(iri)
    if index is None:
        raise NotFoundError(f"the ledger has no record {iri}")
    return ledger.read(index)


def _erased(ledger: Ledger, records: Sequence[str]) -> list[str]:
    """Return the records that the tombstones among some records erased."""
    found = []
    for iri in records:
        record = _read(ledger, iri)
        if record.kind == TOMBSTONE:
            entry = parse_entry(record.entry)
            found.append(read_claim(record.graph_nq, position=record.index, entry=entry).erased_iri)
    return found


def _absent(ledger: Ledger, record: StoredRecord, withhold: Mapping[str, str]) -> Listed | None:
    """Return how a record is listed whose graph is not in the bundle, None where it is."""
    if record.is_erased:
        tombstone = ledger.tombstone_of(record).position
        return Listed(position=record.index, graph=record.iri, reason=None, tombstone=tombstone)
    if record.iri in withhold:
        reason = withhold[record.iri]
        return Listed(position=record.index, graph=record.iri, reason=reason, tombstone=None)
    return None


def _record_members(
    record: StoredRecord, ledger: Ledger, note: bytes, size: int
) -> dict[str, bytes]:
    folder = f"records/{record.index:06d}"
    document = jsonld.secured_document(
        record.graph_nq, proof_nq=record.proof_nq, proof_value=record.proof_value
    )
    return {
        **_entry_members(record, ledger, note, size),
        f"{folder}/graph.nq": record.graph_nq,
        f"{folder}/record.jsonld": jsonld.to_bytes(document),
        f"{folder}/record.ttl": rdf.as_turtle([record.graph_nq]),
    }


def _entry_members(
    record: StoredRecord, ledger: Ledger, note: bytes, size: int
) -> dict[str, bytes]:
    """Return what can be checked of a record without its graph."""
    folder = f"records/{record.index:06d}"
    proof = TlogProof(
        index=record.index,
        hashes=tuple(ledger.inclusion_proof(record.index, size)),
        checkpoint=note,
    )
    return {
        f"{folder}/proof.nq": record.proof_nq,
        f"{folder}/entry.json": record.entry,
        f"{folder}/signature.bin": multibase_decode(
            record.proof_value, length=SIGNATURE_BYTES, what="a proofValue"
        ),
        f"{folder}/record.tlog-proof": proof.encode(),
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
