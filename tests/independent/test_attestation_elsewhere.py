"""sigstore-js and in-toto's Python packages read a bundle's attestation, under the log's key alone.

Nothing is fetched: neither a transparency log nor a timestamp of Sigstore's is asked for.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from foreign_programs import run_in_toto, run_node

from provgraph.seal.attestation import DSSE, SIGSTORE
from provgraph.seal.dsse import pae, sign_envelope
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.multikey import ED25519, PublicKey, public_pem

Envelope = dict[str, Any]
OTHER = signer_from_seed(b"\x06" * 32)
OTHER_PEM = public_pem(PublicKey(algorithm=ED25519, raw=OTHER.public_key)).decode()


def log_pem(bundle: Path) -> str:
    (path,) = bundle.glob("keys/log-z6Mk*.pem")
    return path.read_text()


def with_sigstore(cases: list[tuple[str, Envelope]], pem: str) -> dict[str, str]:
    """Ask sigstore-js; "" where the bundle verifies."""
    request = []
    for name, told in cases:
        hint = told["verificationMaterial"]["publicKey"]["hint"]
        request.append({"name": name, "bundle": told, "keys": {hint: pem}})
    found = run_node("sigstore.mjs", request)
    assert [each["verified"] for each in found] == [each["error"] == "" for each in found]
    return {each["name"]: each["error"] for each in found}


def with_in_toto(cases: list[tuple[str, Envelope]], pem: str) -> dict[str, str]:
    """Ask securesystemslib and in-toto-attestation; "" where the statement verifies."""
    request = [{"name": name, "envelope": json.dumps(told), "key": pem} for name, told in cases]
    return {each["name"]: each["error"] for each in run_in_toto(request)}


# ---- what verifies -------------------------------------------------------------------------------
def graphs(bundle: Path) -> dict[str, str]:
    return {
        path.relative_to(bundle).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bundle.glob("records/*/graph.nq")
    }


@pytest.mark.usefixtures("node")
def test_sigstore_verifies_it_and_hands_on_the_statement(bundle: Path) -> None:
    told = json.loads((bundle / SIGSTORE).read_text())
    hint = told["verificationMaterial"]["publicKey"]["hint"]
    request = [{"name": "true", "bundle": told, "keys": {hint: log_pem(bundle)}}]
    (found,) = run_node("sigstore.mjs", request)
    assert (found["error"], found["payloadType"]) == ("", "application/vnd.in-toto+json")
    statement = json.loads(base64.b64decode(found["payload"]))
    assert {each["name"]: each["digest"]["sha256"] for each in statement["subject"]} == graphs(
        bundle
    )


@pytest.mark.usefixtures("in_toto")
def test_in_toto_verifies_it_and_reads_the_statement(bundle: Path) -> None:
    request = [{"name": "true", "envelope": (bundle / DSSE).read_text(), "key": log_pem(bundle)}]
    (found,) = run_in_toto(request)
    assert (found["error"], found["subjects"]) == ("", graphs(bundle))
    origin, size, root = (bundle / "checkpoint").read_text().split("\n")[:3]
    predicate = found["predicate"]
    assert (predicate["origin"], predicate["ledgerSize"]) == (origin, int(size))
    assert predicate["ledgerRoot"] == base64.b64decode(root).hex()
    assert [
        f"records/{int(row['position']):06d}/graph.nq" for row in predicate["graphs"]
    ] == sorted(graphs(bundle))


# ---- what must not -------------------------------------------------------------------------------
def payload_changed(told: Envelope) -> Envelope:
    payload = base64.b64decode(told["payload"])
    changed = payload.replace(b'"position":1,', b'"position":2,', 1)
    assert changed != payload
    return {**told, "payload": base64.b64encode(changed).decode()}


def payload_type_changed(told: Envelope) -> Envelope:
    return {**told, "payloadType": "application/vnd.in-toto.other+json"}


def type_and_payload_run_together(told: Envelope) -> Envelope:
    """What a signature over the two without their lengths would let pass."""
    payload = base64.b64decode(told["payload"])
    kind = told["payloadType"] + " " + payload[:1].decode()
    return {**told, "payloadType": kind, "payload": base64.b64encode(payload[1:]).decode()}


def payload_signed_without_its_type(told: Envelope) -> Envelope:
    signature = OTHER.sign(base64.b64decode(told["payload"]))
    return {**told, "signatures": [{**told["signatures"][0], "sig": b64(signature)}]}


def signature_changed(told: Envelope) -> Envelope:
    raw = base64.b64decode(told["signatures"][0]["sig"])
    return {**told, "signatures": [{**told["signatures"][0], "sig": b64(b"\x00" + raw[1:])}]}


def no_signature(told: Envelope) -> Envelope:
    return {**told, "signatures": [{**told["signatures"][0], "sig": ""}]}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


CHANGES: list[Callable[[Envelope], Envelope]] = [
    payload_changed,
    payload_type_changed,
    type_and_payload_run_together,
    payload_signed_without_its_type,
    signature_changed,
    no_signature,
]
SIGSTORE_SAYS = "VerificationError: signature verification failed"
IN_TOTO_SAYS = "VerificationError: Accepted signatures do not match threshold, Found: 0, Expected 1"


@pytest.mark.usefixtures("node")
def test_sigstore_refuses_what_was_tampered_with(bundle: Path) -> None:
    told = json.loads((bundle / SIGSTORE).read_text())
    cases = [
        (change.__name__, {**told, "dsseEnvelope": change(told["dsseEnvelope"])})
        for change in CHANGES
    ]
    expected = dict.fromkeys((name for name, _ in cases), SIGSTORE_SAYS)
    expected["no_signature"] = "Error: invalid bundle"
    assert with_sigstore(cases, log_pem(bundle)) == expected
    # A second signature, and the true one under another key.
    twice = {**told["dsseEnvelope"], "signatures": told["dsseEnvelope"]["signatures"] * 2}
    extra = [("extra signature", {**told, "dsseEnvelope": twice})]
    assert with_sigstore(extra, log_pem(bundle)) == {"extra signature": "Error: invalid bundle"}
    assert with_sigstore([("wrong key", told)], OTHER_PEM) == {"wrong key": SIGSTORE_SAYS}


@pytest.mark.usefixtures("in_toto")
def test_in_toto_refuses_what_was_tampered_with(bundle: Path) -> None:
    told = json.loads((bundle / DSSE).read_text())
    cases = [(change.__name__, change(told)) for change in CHANGES]
    expected = dict.fromkeys((name for name, _ in cases), IN_TOTO_SAYS)
    assert with_in_toto(cases, log_pem(bundle)) == expected
    keyid = told["signatures"][0]["keyid"]
    twice = {**told, "signatures": told["signatures"] * 2}
    assert with_in_toto([("extra signature", twice)], log_pem(bundle)) == {
        "extra signature": f"ValueError: Multiple signatures found for keyid {keyid}"
    }
    assert with_in_toto([("wrong key", told)], OTHER_PEM) == {"wrong key": IN_TOTO_SAYS}


@pytest.mark.usefixtures("in_toto")
def test_in_toto_refuses_a_signed_statement_that_is_none(bundle: Path) -> None:
    """That their signature checks are not all that would object."""
    payload = base64.b64decode(json.loads((bundle / DSSE).read_text())["payload"])
    statement = json.loads(payload)
    cases = []
    for name, changed in (
        ("no subject", {**statement, "subject": []}),
        ("no digest", {**statement, "subject": [{"name": "graph.nq"}]}),
        ("another type", {**statement, "_type": "https://in-toto.io/Statement/v0.1"}),
    ):
        data = json.dumps(changed).encode()
        kind = "application/vnd.in-toto+json"
        envelope = json.loads(sign_envelope(data, payload_type=kind, signer=OTHER))
        assert base64.b64decode(envelope["signatures"][0]["sig"]) == OTHER.sign(pae(kind, data))
        cases.append((name, envelope))
    assert with_in_toto(cases, OTHER_PEM) == {
        "no subject": "ValueError: At least one subject required",
        "no digest": "ValueError: At least one digest required (subject 0)",
        "another type": "ValueError: Wrong statement type",
    }
