from __future__ import annotations

import hashlib
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.multikey import (
    PublicKey,
    base58_decode,
    base58_encode,
    encode_multikey,
    verification_method,
)
from provgraph.seal.proof import (
    Seal,
    parse_proof_config,
    proof_config,
    require_sorted_lines,
    seal,
    verify_seal,
)

VECTORS = Path(__file__).resolve().parents[3] / "shared/suites/vc-di-eddsa/TestVectors"
CREATED = datetime(2023, 2, 24, 23, 36, 38, tzinfo=UTC)
GRAPH = b'<urn:a> <urn:p> "1" <urn:g> .\n<urn:b> <urn:p> "2" <urn:g> .\n'


@pytest.fixture
def signer() -> Signer:
    return signer_from_seed(b"\x07" * 32)


@pytest.fixture
def sealed(signer: Signer) -> Seal:
    return seal(GRAPH, signer=signer, created=CREATED)


@pytest.fixture
def vectors() -> Path:
    if not VECTORS.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the W3C vectors are not at {VECTORS}")
        pytest.skip(f"needs the W3C vectors at {VECTORS}")
    return VECTORS


@pytest.mark.parametrize("folder", ["eddsa-rdfc-2022", "eddsa-rdfc-2022/employ"])
def test_w3c_vectors_byte_for_byte(vectors: Path, folder: str) -> None:
    pair = json.loads((vectors / "keyPair.json").read_text())
    secret = base58_decode(pair["privateKeyMultibase"][1:])
    assert secret[:2] == b"\x80\x26"
    signer = signer_from_seed(secret[2:])
    key = PublicKey(algorithm="Ed25519", raw=signer.public_key)
    assert encode_multikey(key) == pair["publicKeyMultibase"]

    def text(name: str) -> str:
        return (vectors / folder / f"{name}DataInt.txt").read_text("utf-8")

    graph_nq = text("canonDoc").rstrip("\n").encode() + b"\n"
    config = proof_config(CREATED, verification_method(key))
    assert config.decode().rstrip("\n") == text("proofCanon").rstrip("\n")
    assert hashlib.sha256(config).hexdigest() == text("proofHash")
    made = seal(graph_nq, signer=signer, created=CREATED)
    assert made.graph_sha256.hex() == text("docHash")
    assert (hashlib.sha256(made.proof_nq).digest() + made.graph_sha256).hex() == text(
        "combinedHash"
    )
    assert made.proof_value == text("sigBTC58")
    assert base58_decode(made.proof_value[1:]).hex() == text("sigHex")
    document = json.loads((vectors / folder / "signedDataInt.json").read_text())
    assert document["proof"]["proofValue"] == made.proof_value
    verified = verify_seal(graph_nq, config, document["proof"]["proofValue"])
    assert verified.verification_method == document["proof"]["verificationMethod"]
    assert verified.created == CREATED


def test_openssl_verifies_with_no_rdf_software(
    tmp_path: Path, signer: Signer, sealed: Seal
) -> None:
    """formats.md, Seal, 6: coreutils and openssl are enough."""
    spki = bytes.fromhex("302a300506032b6570032100") + signer.public_key
    (tmp_path / "graph.nq").write_bytes(GRAPH)
    (tmp_path / "proof.nq").write_bytes(sealed.proof_nq)
    (tmp_path / "pub.der").write_bytes(spki)
    (tmp_path / "sig.bin").write_bytes(base58_decode(sealed.proof_value[1:]))
    hashes = subprocess.run(
        ["sha256sum", "proof.nq", "graph.nq"], cwd=tmp_path, check=True, capture_output=True
    ).stdout.decode()
    (tmp_path / "hd").write_bytes(bytes.fromhex("".join(line[:64] for line in hashes.splitlines())))
    result = subprocess.run(
        [
            "openssl",
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            "pub.der",
            "-keyform",
            "DER",
            "-rawin",
            "-in",
            "hd",
            "-sigfile",
            "sig.bin",
        ],
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    assert (result.returncode, result.stdout) == (0, b"Signature Verified Successfully\n")


def test_round_trip(signer: Signer, sealed: Seal) -> None:
    verified = verify_seal(GRAPH, sealed.proof_nq, sealed.proof_value)
    assert verified.public_key == signer.public_key
    assert verified.verification_method == signer.verification_method
    assert verified.graph_sha256 == hashlib.sha256(GRAPH).digest() == sealed.graph_sha256
    assert verified.proof_sha256 == hashlib.sha256(sealed.proof_nq).digest()
    assert verified.created == CREATED


def test_fraction_of_a_second_is_kept(signer: Signer) -> None:
    created = CREATED.replace(microsecond=120000)
    config = proof_config(created, signer.verification_method)
    assert b'"2023-02-24T23:36:38.12Z"' in config
    assert parse_proof_config(config).created == created


def test_any_flipped_bit_of_the_graph_is_refused(sealed: Seal) -> None:
    for position in range(len(GRAPH)):
        changed = bytearray(GRAPH)
        changed[position] ^= 1
        with pytest.raises((UntrustedError, FormatError)):
            verify_seal(bytes(changed), sealed.proof_nq, sealed.proof_value)


def test_any_flipped_bit_of_the_proof_is_refused(sealed: Seal) -> None:
    for position in range(len(sealed.proof_nq)):
        changed = bytearray(sealed.proof_nq)
        changed[position] ^= 1
        with pytest.raises((UntrustedError, FormatError)):
            verify_seal(GRAPH, bytes(changed), sealed.proof_value)


def test_seal_of_another_graph_is_refused(sealed: Seal) -> None:
    with pytest.raises(UntrustedError, match="does not verify"):
        verify_seal(GRAPH.replace(b'"2"', b'"3"'), sealed.proof_nq, sealed.proof_value)


def test_time_moved_after_signing_is_refused(sealed: Seal) -> None:
    with pytest.raises(UntrustedError, match="does not verify"):
        verify_seal(GRAPH, sealed.proof_nq.replace(b"2023", b"2022"), sealed.proof_value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"eddsa-rdfc-2022", b"eddsa-jcs-2022"),
        (b"eddsa-rdfc-2022", b"ecdsa-rdfc-2022"),
        (b"assertionMethod", b"authentication"),
        (b"DataIntegrityProof", b"Ed25519Signature2020"),
        (b"23:36:38Z", b"23:36:38+00:00"),
        (b"23:36:38Z", b"23:36:38.0Z"),
        (b"23:36:38Z", b"25:36:38Z"),
        (b"2023-02-24", b"2023-02-30"),
        (b"_:c14n0", b"_:b0"),
        (b" .\n", b" .\r\n"),
    ],
)
def test_other_proof_configurations_are_refused(sealed: Seal, old: bytes, new: bytes) -> None:
    with pytest.raises(FormatError, match="five lines"):
        verify_seal(GRAPH, sealed.proof_nq.replace(old, new), sealed.proof_value)


def test_proof_with_lines_missing_doubled_or_added_is_refused(sealed: Seal) -> None:
    lines = sealed.proof_nq.splitlines(keepends=True)
    for other in (lines[:4], [*lines, lines[0]], [*lines, b"\n"], lines[::-1], []):
        with pytest.raises(FormatError):
            verify_seal(GRAPH, b"".join(other), sealed.proof_value)


def test_overlong_proof_is_refused_before_work() -> None:
    with pytest.raises(FormatError, match="at most 1024 bytes"):
        parse_proof_config(b"x" * 1025)


@pytest.mark.parametrize("value", ["", "z", "zz", "u" + "A" * 86, "z" + "1" * 64 + "2"])
def test_malformed_proof_values_are_refused(sealed: Seal, value: str) -> None:
    with pytest.raises((FormatError, UntrustedError)):
        verify_seal(GRAPH, sealed.proof_nq, value)


def test_all_zero_signature_is_refused(sealed: Seal) -> None:
    with pytest.raises(UntrustedError, match="does not verify"):
        verify_seal(GRAPH, sealed.proof_nq, "z" + base58_encode(bytes(64)))


def test_p256_key_under_the_ed25519_suite_is_refused(sealed: Seal) -> None:
    method = verification_method(PublicKey(algorithm="P-256", raw=b"\x02" + b"k" * 32))
    with pytest.raises(UntrustedError, match="found P-256"):
        verify_seal(GRAPH, proof_config(CREATED, method), sealed.proof_value)


def test_low_order_key_is_refused(sealed: Seal) -> None:
    neutral = b"\x01" + bytes(31)
    method = verification_method(PublicKey(algorithm="Ed25519", raw=neutral))
    with pytest.raises(UntrustedError, match="low order"):
        verify_seal(GRAPH, proof_config(CREATED, method), "z" + base58_encode(neutral + bytes(32)))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"", "end in"),
        (b"<urn:a> <urn:p> <urn:o> .", "end in"),
        (b"<urn:a> <urn:p> <urn:o> .\r\n", "end in"),
        (b'<urn:a> <urn:p> "\r" .\n', "without CR"),
        (b'<urn:b> <urn:p> "1" .\n<urn:a> <urn:p> "1" .\n', "line 2"),
        (b'<urn:a> <urn:p> "1" .\n<urn:a> <urn:p> "1" .\n', "line 2"),
        (b'\n<urn:a> <urn:p> "1" .\n', "line 1"),
        (b'<urn:a> <urn:p> "\xff" .\n', "UTF-8"),
    ],
)
def test_lines_that_are_not_canonical_are_neither_sealed_nor_verified(
    signer: Signer, sealed: Seal, graph: bytes, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        seal(graph, signer=signer, created=CREATED)
    with pytest.raises(FormatError, match=message):
        verify_seal(graph, sealed.proof_nq, sealed.proof_value)


def test_graph_over_the_limit_is_refused() -> None:
    with pytest.raises(FormatError, match="at most 16777216 bytes"):
        require_sorted_lines(b"x" * (16 * 1024 * 1024 + 1))
