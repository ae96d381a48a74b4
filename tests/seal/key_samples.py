"""Keys, key events and trust files that tests of trust build on. Seeds are fixed, so names are too."""

from __future__ import annotations

from datetime import UTC, datetime

from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.records import Agent, KeyAddition, KeyRevocation
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.multikey import P256
from provgraph.seal.note import NoteKey
from provgraph.seal.trustfile import ListedKey, TrustFile, TrustList, open_trust, sign_trust

AT = datetime(2026, 3, 1, tzinfo=UTC)
CONTEXT = Context(namespace="example.org", software_version="0.1.0", recorded_at=AT, previous={})
ORIGIN = "provgraph.local/0011223344556677"

STEWARD, STEWARD_2, PRODUCER, PRODUCER_2, STRANGER = (
    signer_from_seed(bytes([number]) * 32) for number in range(1, 6)
)
HARDWARE = signer_from_seed(b"\x06" * 32, algorithm=P256)
ROOTS = tuple(signer_from_seed(bytes([number]) * 32) for number in range(11, 16))


def method(signer: Signer) -> str:
    return signer.verification_method


def key_add_graph(signer: Signer | str, role: str, **fields) -> bytes:
    key = signer if isinstance(signer, str) else method(signer)
    record = KeyAddition(id="1", key=key, role=role, at=AT, by=Agent(name="ada"), **fields)
    return convert(record, record_id="event-1", context=CONTEXT).canonical


def key_revoke_graph(signer: Signer, why: str, **fields) -> bytes:
    record = KeyRevocation(id="2", key=method(signer), revocation_reason=why, at=AT, **fields)
    return convert(record, record_id="event-2", context=CONTEXT).canonical


def root_key(number: int) -> NoteKey:
    return NoteKey(name=f"root-{number}.example.org", public_key=ROOTS[number].public_key)


def listed(signer: Signer, role: str, **fields) -> ListedKey:
    return ListedKey(method=method(signer), role=role, owner="pricing team", **fields)


def trust_list(*keys: ListedKey, roots=(0, 1, 2), threshold=2, version=1) -> TrustList:
    return TrustList(
        origin=ORIGIN,
        version=version,
        threshold=threshold,
        roots=tuple(root_key(number) for number in roots),
        keys=keys,
    )


def signed_by(text: bytes, *roots: int) -> bytes:
    for number in roots:
        text = sign_trust(text, ROOTS[number])
    return text


def trust(*keys: ListedKey, signers=(0, 1), **fields) -> TrustFile:
    return open_trust(signed_by(trust_list(*keys, **fields).encode(), *signers))
