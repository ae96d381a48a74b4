"""DSSE envelopes and the attestation in them: what verifies, and every change that must not."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal import jcs
from provgraph.seal.attestation import (
    DSSE,
    PAYLOAD_TYPE,
    SIGSTORE,
    Attested,
    attest,
    check_attestation,
    statement,
)
from provgraph.seal.dsse import (
    open_envelope,
    open_sigstore_bundle,
    pae,
    sign_envelope,
    wrap_for_sigstore,
)
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.multikey import ED25519, P256, PublicKey
from provgraph.seal.note import Checkpoint

SIGNER = signer_from_seed(b"\x01" * 32)
OTHER = signer_from_seed(b"\x02" * 32)
KEY = PublicKey(algorithm=ED25519, raw=SIGNER.public_key)
OTHER_KEY = PublicKey(algorithm=ED25519, raw=OTHER.public_key)
CHECKPOINT = Checkpoint(origin="example.org/log", size=9, root=bytes(range(32)))
GRAPHS = [
    Attested(
        position=number, graph=f"urn:x:{number}", sha256=hashlib.sha256(b"%d" % number).hexdigest()
    )
    for number in (7, 2)
]
MEMBERS = attest(CHECKPOINT, GRAPHS, log_signer=SIGNER)


def check(members: dict[str, bytes], graphs: list[Attested] = GRAPHS) -> bool:
    return check_attestation(members, CHECKPOINT, graphs, log_key=SIGNER.public_key)


def both(envelope: bytes) -> dict[str, bytes]:
    """The two members around one envelope, so that they differ in nothing."""
    told = json.loads(MEMBERS[SIGSTORE])
    return {DSSE: envelope, SIGSTORE: jcs.encode({**told, "dsseEnvelope": json.loads(envelope)})}


# ---- what verifies -------------------------------------------------------------------------------
def test_pae_is_that_of_the_specification() -> None:
    """The example of DSSE v1.0.2, protocol.md, 'Test vectors'."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_pae_counts_bytes() -> None:
    assert pae("ü", "é€".encode()) == b"DSSEv1 2 \xc3\xbc 5 \xc3\xa9\xe2\x82\xac"


def test_the_attestation_verifies_and_is_the_same_every_time() -> None:
    assert check(MEMBERS) is True
    assert attest(CHECKPOINT, GRAPHS[::-1], log_signer=SIGNER) == MEMBERS


def test_a_bundle_without_attestation_has_none() -> None:
    assert check({"checkpoint": b""}) is False


def test_the_statement_names_files_digests_and_places() -> None:
    told = json.loads(statement(CHECKPOINT, GRAPHS))
    assert told == {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://w3id.org/provgraph/attestation/v1",
        "predicate": {
            "origin": "example.org/log",
            "ledgerSize": 9,
            "ledgerRoot": bytes(range(32)).hex(),
            "graphs": [
                {"position": 2, "sha256": GRAPHS[1].sha256},
                {"position": 7, "sha256": GRAPHS[0].sha256},
            ],
        },
        "subject": [
            {
                "name": "records/000002/graph.nq",
                "uri": "urn:x:2",
                "digest": {"sha256": GRAPHS[1].sha256},
            },
            {
                "name": "records/000007/graph.nq",
                "uri": "urn:x:7",
                "digest": {"sha256": GRAPHS[0].sha256},
            },
        ],
    }


def test_a_payload_that_could_be_a_note_is_not_signed() -> None:
    with pytest.raises(FormatError, match="without a line feed at its end"):
        sign_envelope(b"origin\n7\nroot\n", payload_type=PAYLOAD_TYPE, signer=SIGNER)


def test_a_p256_key_signs_no_envelope() -> None:
    signer = signer_from_seed(b"\x01" * 32, algorithm=P256)
    with pytest.raises(FormatError, match="expected an Ed25519 key"):
        sign_envelope(b"{}", payload_type=PAYLOAD_TYPE, signer=signer)


# ---- envelopes -----------------------------------------------------------------------------------
ENVELOPE = json.loads(MEMBERS[DSSE])
PAYLOAD = base64.b64decode(ENVELOPE["payload"])
ROW = ENVELOPE["signatures"][0]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def signed_as(message: bytes) -> dict[str, Any]:
    return {"signatures": [{**ROW, "sig": b64(SIGNER.sign(message))}]}


TAMPERED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "payload_swapped": (
        {"payload": b64(statement(CHECKPOINT, GRAPHS[:1]))},
        UntrustedError,
        "the signature does not verify",
    ),
    "payload_type_changed": (
        {"payloadType": "application/json"},
        UntrustedError,
        "expected a payload of type application/vnd.in-toto",
    ),
    "signature_over_the_bare_payload": (
        signed_as(PAYLOAD),
        UntrustedError,
        "does not verify",
    ),
    "signature_over_a_payload_with_a_line_feed": (
        signed_as(pae(PAYLOAD_TYPE, PAYLOAD + b"\n")),
        UntrustedError,
        "does not verify",
    ),
    "signature_over_pae_without_lengths": (
        signed_as(b"DSSEv1 %b %b" % (PAYLOAD_TYPE.encode(), PAYLOAD)),
        UntrustedError,
        "does not verify",
    ),
    "signature_over_another_type_of_payload": (
        signed_as(pae("application/json", PAYLOAD)),
        UntrustedError,
        "does not verify",
    ),
    "signature_cut": (
        {"signatures": [{**ROW, "sig": b64(base64.b64decode(ROW["sig"])[:63])}]},
        FormatError,
        "expected 64 bytes of signature",
    ),
    "signature_in_another_spelling": (
        {"signatures": [{**ROW, "sig": ROW["sig"].rstrip("=")}]},
        FormatError,
        "expected base64",
    ),
    "payload_in_url_safe_base64": ({"payload": "_-8="}, FormatError, "expected base64"),
    "extra_signature": ({"signatures": [ROW, ROW]}, FormatError, "exactly one signature"),
    "no_signature": ({"signatures": []}, FormatError, "exactly one signature"),
    "signatures_no_list": ({"signatures": ROW}, FormatError, "exactly one signature"),
    "signature_no_object": ({"signatures": [ROW["sig"]]}, FormatError, "expected keyid and sig"),
    "keyid_of_another_key": (
        {"signatures": [{**ROW, "keyid": "did:key:z6Mk"}]},
        UntrustedError,
        "expected the keyid did:key:z6Mk",
    ),
    "keyid_missing": (
        {"signatures": [{"sig": ROW["sig"]}]},
        UntrustedError,
        "expected the keyid did:key:z6Mk",
    ),
    "unsigned_word_beside_the_signature": (
        {"signatures": [{**ROW, "cert": "…"}]},
        UntrustedError,
        "and no other member",
    ),
    "unsigned_word_in_the_envelope": ({"note": "approved"}, FormatError, "found the members note"),
    "payload_is_a_number": ({"payload": 7}, FormatError, "expected a DSSE envelope of payload"),
    "type_is_a_list": ({"payloadType": [PAYLOAD_TYPE]}, UntrustedError, "of type application"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_envelope_is_refused(name: str) -> None:
    changes, kind, says = TAMPERED[name]
    data = jcs.encode({**ENVELOPE, **changes})
    with pytest.raises(kind, match=says):
        open_envelope(data, payload_type=PAYLOAD_TYPE, key=KEY)
    with pytest.raises(kind, match=says):
        check(both(data))


def test_an_envelope_under_another_key_is_refused() -> None:
    with pytest.raises(UntrustedError, match="does not verify"):
        open_envelope(MEMBERS[DSSE], payload_type=PAYLOAD_TYPE, key=OTHER_KEY)
    theirs = attest(CHECKPOINT, GRAPHS, log_signer=OTHER)
    with pytest.raises(UntrustedError, match=r"expected the key did:key:z6Mk\w+ as its only"):
        check(theirs)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'"x"',
        b"{}",
        MEMBERS[DSSE] + b"\n",
        json.dumps(ENVELOPE, indent=1).encode(),
        b"[" * 100_000,
        b"\xff",
    ],
    ids=["empty", "list", "text", "no_members", "line_feed", "indented", "deep", "no_utf8"],
)
def test_other_spellings_of_an_envelope_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        open_envelope(data, payload_type=PAYLOAD_TYPE, key=KEY)
    with pytest.raises((FormatError, UntrustedError)):
        open_sigstore_bundle(data, key=KEY)
    with pytest.raises((FormatError, UntrustedError)):
        check({DSSE: data, SIGSTORE: MEMBERS[SIGSTORE]})


# ---- the Sigstore bundle around it ---------------------------------------------------------------
WRAPPED = json.loads(MEMBERS[SIGSTORE])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1"}, "bundle.v0.3"),
        ({"messageSignature": {"signature": ""}}, "bundle.v0.3"),
        ({"verificationMaterial": {"publicKey": {"hint": "x"}}}, "as its only material"),
        (
            {
                "verificationMaterial": {
                    **WRAPPED["verificationMaterial"],
                    "certificate": {"rawBytes": ""},
                }
            },
            "as its only material",
        ),
        (
            {"verificationMaterial": {**WRAPPED["verificationMaterial"], "tlogEntries": [{}]}},
            "as its only material",
        ),
        ({"dsseEnvelope": "x"}, "expected a DSSE envelope"),
        ({"dsseEnvelope": {**ENVELOPE, "payload": "e30="}}, "holds another envelope"),
    ],
    ids=[
        "older_media_type",
        "second_content",
        "hint_of_another_key",
        "certificate_beside_the_key",
        "entry_of_another_log",
        "no_envelope",
        "another_envelope",
    ],
)
def test_a_tampered_sigstore_bundle_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises((FormatError, UntrustedError), match=says):
        check({**MEMBERS, SIGSTORE: jcs.encode({**WRAPPED, **changes})})


def test_the_envelope_comes_back_out() -> None:
    assert open_sigstore_bundle(MEMBERS[SIGSTORE], key=KEY) == MEMBERS[DSSE]
    assert wrap_for_sigstore(MEMBERS[DSSE], key=KEY) == MEMBERS[SIGSTORE]


# ---- what it says --------------------------------------------------------------------------------
def changed(**fields: Any) -> list[Attested]:
    values = {"position": 2, "graph": "urn:x:2", "sha256": GRAPHS[1].sha256}
    return [GRAPHS[0], Attested(**{**values, **fields})]


@pytest.mark.parametrize(
    "shown",
    [
        GRAPHS[:1],
        [*GRAPHS, Attested(position=3, graph="urn:x:3", sha256="0" * 64)],
        changed(position=3),
        changed(graph="urn:x:other"),
        changed(sha256="0" * 64),
        [],
    ],
    ids=[
        "subject_added",
        "subject_missing",
        "another_place",
        "another_name",
        "another_digest",
        "empty",
    ],
)
def test_an_attestation_of_other_graphs_is_refused(shown: list[Attested]) -> None:
    with pytest.raises(UntrustedError, match="attests other graphs, places or another checkpoint"):
        check(MEMBERS, shown)


@pytest.mark.parametrize(
    "other",
    [
        Checkpoint(origin="example.org/other", size=9, root=CHECKPOINT.root),
        Checkpoint(origin=CHECKPOINT.origin, size=8, root=CHECKPOINT.root),
        Checkpoint(origin=CHECKPOINT.origin, size=9, root=bytes(32)),
    ],
    ids=["another_ledger", "rolled_back", "forked"],
)
def test_an_attestation_of_another_checkpoint_is_refused(other: Checkpoint) -> None:
    with pytest.raises(UntrustedError, match="another checkpoint than the bundle shows"):
        check(attest(other, GRAPHS, log_signer=SIGNER))


@pytest.mark.parametrize("name", [DSSE, SIGSTORE])
def test_one_of_the_two_alone_is_refused(name: str) -> None:
    with pytest.raises(UntrustedError, match=f"found only {name}"):
        check({name: MEMBERS[name]})


CHANGED: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
    lambda told: {**told, "predicateType": "https://slsa.dev/provenance/v1"},
    lambda told: {**told, "_type": "https://in-toto.io/Statement/v0.1"},
    lambda told: {**told, "subject": [{**told["subject"][0], "digest": {"sha1": "0"}}]},
    lambda told: {**told, "predicate": {**told["predicate"], "verdict": "compliant"}},
]


@pytest.mark.parametrize("change", CHANGED)
def test_another_statement_by_the_log_key_is_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    payload = jcs.encode(change(json.loads(PAYLOAD)))
    with pytest.raises(UntrustedError, match="attests other graphs"):
        check(both(sign_envelope(payload, payload_type=PAYLOAD_TYPE, signer=SIGNER)))
