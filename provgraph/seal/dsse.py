"""DSSE envelopes with one Ed25519 signature, plain and as a Sigstore bundle.

Specifications: DSSE v1.0.2 (the signature is over PAE, `DSSEv1 <len> <type> <len> <payload>`);
Sigstore bundle v0.3, the kind that is signed with a key (`verificationMaterial.publicKey`), without
entries of a transparency log and without timestamps. Both are written as RFC 8785 JSON and read in
that spelling only, so a payload and a key have exactly one envelope.

What is signed can be nothing else that the same key signs: notes end in a line feed, and what PAE
encodes here never does (`sign_envelope` refuses such a payload).

What it does not do: read the payload, or judge whose key it is. A `keyid` and a `hint` are names, and
only compared; which key verifies is the caller's choice.
"""

from __future__ import annotations

import base64
from typing import Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal import jcs
from provgraph.seal.keys import SIGNATURE_BYTES, Signer, verify_ed25519
from provgraph.seal.multikey import ED25519, PublicKey, did_key
from provgraph.seal.note import decode_base64

SIGSTORE_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"

# The most that a bundle's member may have, seen before it is parsed: 200 bytes for each of a
# hundred thousand graphs, and a third more for base64.
MAX_ENVELOPE_BYTES: Final = 64 * 1024 * 1024


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a DSSE signature is over; lengths count bytes, in decimal."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, *, payload_type: str, signer: Signer) -> bytes:
    """Return the envelope over a payload, signed by an Ed25519 key under its did:key.

    Raises:
        FormatError: a payload that ends in a line feed, so that its signature could be a note's, or
            a key of another kind.
    """
    if signer.algorithm != ED25519:
        raise FormatError(f"expected an Ed25519 key to sign an envelope, found {signer.algorithm}")
    if payload.endswith(b"\n"):
        raise FormatError("expected a payload without a line feed at its end: notes have one")
    key = PublicKey(algorithm=ED25519, raw=signer.public_key)
    signature = signer.sign(pae(payload_type, payload))
    return jcs.encode(_envelope(payload, payload_type, key, signature))


def open_envelope(data: bytes, *, payload_type: str, key: PublicKey) -> bytes:
    """Check an envelope, and return the payload that the key signed.

    1. It is canonical JSON with exactly the members of an envelope, and one signature (who checks
       the first of several and who checks all would disagree about the others).
    2. The type is the one asked for: it says how the payload is read.
    3. The signature is over PAE of both, by the key, whose name stands beside it.

    Raises:
        FormatError: step 1.
        UntrustedError: steps 2 and 3.
    """
    # 1.
    value = _parse(data, "a DSSE envelope")
    payload, signature = _fields(value)
    # 2.
    if value["payloadType"] != payload_type:
        raise UntrustedError(
            f"envelope: expected a payload of type {payload_type},"
            f" found {value['payloadType']!r:.200}"
        )
    # 3.
    verify_ed25519(key.raw, signature, pae(payload_type, payload), what="envelope")
    if value != _envelope(payload, payload_type, key, signature):
        raise UntrustedError(f"envelope: expected the keyid {did_key(key)} and no other member")
    return payload


def wrap_for_sigstore(envelope: bytes, *, key: PublicKey) -> bytes:
    """Return a Sigstore bundle v0.3 around an envelope; `hint` is the key's did:key.

    Raises:
        FormatError: no envelope.
    """
    return jcs.encode(
        {
            "dsseEnvelope": _parse(envelope, "a DSSE envelope"),
            "mediaType": SIGSTORE_MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": did_key(key)}},
        }
    )


def open_sigstore_bundle(data: bytes, *, key: PublicKey) -> bytes:
    """Return the envelope in a Sigstore bundle; its signature is not looked at.

    Raises:
        FormatError: not a bundle v0.3 around an envelope, signed with a key, without anything else.
        UntrustedError: its hint names another key.
    """
    value = _parse(data, "a Sigstore bundle")
    envelope = jcs.encode(value.get("dsseEnvelope", ""))
    if value.get("verificationMaterial") != {"publicKey": {"hint": did_key(key)}}:
        raise UntrustedError(
            f"Sigstore bundle: expected the key {did_key(key)} as its only material, found"
            f" {value.get('verificationMaterial')!r:.200}"
        )
    if data != wrap_for_sigstore(envelope, key=key):
        raise FormatError(f"expected a Sigstore bundle {SIGSTORE_MEDIA_TYPE} of a DSSE envelope")
    return envelope


def _envelope(
    payload: bytes, payload_type: str, key: PublicKey, signature: bytes
) -> dict[str, jcs.Json]:
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": did_key(key), "sig": base64.b64encode(signature).decode()}],
    }


def _parse(data: bytes, what: str) -> dict[str, jcs.Json]:
    if len(data) > MAX_ENVELOPE_BYTES:
        raise FormatError(
            f"expected {what} of at most {MAX_ENVELOPE_BYTES} bytes, found {len(data)}"
        )
    value = jcs.parse_canonical(data)
    if not isinstance(value, dict):
        raise FormatError(f"expected {what}, found {data[:80]!r}")
    return value


def _fields(value: dict[str, jcs.Json]) -> tuple[bytes, bytes]:
    """Return the payload and the one signature of an envelope."""
    signatures = value.get("signatures")
    payload = value.get("payload")
    if set(value) != {"payload", "payloadType", "signatures"} or not isinstance(payload, str):
        raise FormatError(
            "expected a DSSE envelope of payload, payloadType and signatures, found the members"
            f" {', '.join(sorted(value))[:200]}"
        )
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise FormatError("expected exactly one signature in a DSSE envelope")
    (row,) = signatures
    signature = row.get("sig") if isinstance(row, dict) else None
    if not isinstance(signature, str):
        raise FormatError(f"expected keyid and sig in a DSSE signature, found {row!r:.200}")
    raw = decode_base64(signature)
    if len(raw) != SIGNATURE_BYTES:
        raise FormatError(
            f"expected {SIGNATURE_BYTES} bytes of signature in a DSSE envelope, found {len(raw)}"
        )
    return decode_base64(payload), raw
