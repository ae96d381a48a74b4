"""The second suite, `ecdsa-rdfc-2019` over P-256: W3C's vectors, key files, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.seal.keys import (
    Signer,
    generate_signer,
    load_or_create_signer,
    load_signer,
    signer_from_seed,
    verify_p256,
    verify_signature,
)
from provgraph.seal.multikey import (
    ED25519,
    P256,
    PublicKey,
    base58_decode,
    base58_encode,
    encode_multikey,
    public_pem,
    verification_method,
)
from provgraph.seal.note import NoteSigner
from provgraph.seal.proof import (
    ECDSA_RDFC_2019,
    EDDSA_RDFC_2022,
    Seal,
    parse_proof_config,
    proof_config,
    seal,
    verify_seal,
)

# w3c/vc-di-ecdsa 00781de, TestVectors/p256KeyPair.json and ecdsa-rdfc-2019-p256: the documents are
# those of vc-di-eddsa, so only keys and results stand here.
SECRET = "z42twTcNeSYcnqg1FLuSFs2bsGH3ZqbRHFmvS9XMsYhjxvHN"
PUBLIC = "zDnaepBuvsQ8cpsWrVKw8fbpGpvPeNSjVPTWoq6cRqaYzBKVP"
PROOF_SHA256 = "3a8a522f689025727fb9d1f0fa99a618da023e8494ac74f51015d009d35abc2e"
VECTORS = {
    "alumni": (
        "eddsa-rdfc-2022/canonDocDataInt.txt",
        "517744132ae165a5349155bef0bb0cf2258fff99dfe1dbd914b938d775a36017",
        "zaHXrr7AQdydBk3ahpCDpWbxfLokDqmCToYm2dyWvpcFVyWooC2he63w1f7UNQoAMKdhaRtcnaE2KTo5o5vTCcfw",
    ),
    "employ": (
        "eddsa-rdfc-2022/employ/canonDocDataInt.txt",
        "03f59e5b04ab575b1172cb684f22eede72f0e9033e0b5c67d0e2506768d6ce11",
        "z4y9rJ7JxwfZZUBAHgDHJh7FzMbsycPhEtcSHqrfyn7fx3S5MWdajNu1r6SsJmirzfcWHe7vp9XKHmRqW6qe7u3d3",
    ),
}
DOCUMENTS = Path(__file__).resolve().parents[3] / "shared/suites/vc-di-eddsa/TestVectors"

CREATED = datetime(2023, 2, 24, 23, 36, 38, tzinfo=UTC)
GRAPH = b'<urn:a> <urn:p> "1" <urn:g> .\n<urn:b> <urn:p> "2" <urn:g> .\n'

# SEC 2 version 2.0, section 2.4.2 (secp256r1).
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


@pytest.fixture
def signer() -> Signer:
    return signer_from_seed(b"\x07" * 32, algorithm=P256)


@pytest.fixture
def sealed(signer: Signer) -> Seal:
    return seal(GRAPH, signer=signer, created=CREATED)


def halves(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")


def joined(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def add(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    """Add two points of P-256, neither of them the other's negative."""
    (x1, y1), (x2, y2) = one, two
    if one == two:
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) % P
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def multiply(point: tuple[int, int], factor: int) -> tuple[int, int]:
    total = None
    for bit in reversed(range(factor.bit_length())):
        total = None if total is None else add(total, total)
        if factor >> bit & 1:
            total = point if total is None else add(total, point)
    assert total is not None
    return total


def proof_value(signature: bytes) -> str:
    return "z" + base58_encode(signature)


@pytest.mark.parametrize("name", VECTORS)
def test_w3c_vectors_byte_for_byte(name: str) -> None:
    if not DOCUMENTS.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the W3C vectors are not at {DOCUMENTS}")
        pytest.skip(f"needs the W3C vectors at {DOCUMENTS}")
    document, graph_sha256, expected = VECTORS[name]
    secret = base58_decode(SECRET[1:])
    assert secret[:2] == b"\x86\x26"
    signer = signer_from_seed(secret[2:], algorithm=P256)
    assert signer.verification_method == f"did:key:{PUBLIC}#{PUBLIC}"
    graph_nq = (DOCUMENTS / document).read_bytes().rstrip(b"\n") + b"\n"
    made = seal(graph_nq, signer=signer, created=CREATED)
    assert hashlib.sha256(made.proof_nq).hexdigest() == PROOF_SHA256
    assert made.graph_sha256.hex() == graph_sha256
    assert verify_seal(graph_nq, made.proof_nq, expected).verification_method == (
        signer.verification_method
    )
    # W3C made these with the nonce of RFC 6979, as we do.
    assert made.proof_value == expected


def test_seal_names_its_suite(signer: Signer, sealed: Seal) -> None:
    assert b'"ecdsa-rdfc-2019"^^' in sealed.proof_nq
    verified = verify_seal(GRAPH, sealed.proof_nq, sealed.proof_value)
    assert verified.cryptosuite == ECDSA_RDFC_2019
    assert verified.public_key == signer.public_key
    assert verified.verification_method == signer.verification_method
    assert verified.created == CREATED
    assert parse_proof_config(sealed.proof_nq).cryptosuite == ECDSA_RDFC_2019


def test_same_bytes_give_the_same_signature(signer: Signer, sealed: Seal) -> None:
    """RFC 6979: no random number is drawn, so none can be bad."""
    assert seal(GRAPH, signer=signer, created=CREATED) == sealed


def test_proofs_of_both_suites_stand_over_one_graph(sealed: Seal) -> None:
    """A proof set: each is checked for itself."""
    other = seal(GRAPH, signer=signer_from_seed(b"\x07" * 32), created=CREATED)
    suites = [
        verify_seal(GRAPH, each.proof_nq, each.proof_value).cryptosuite for each in (sealed, other)
    ]
    assert suites == [ECDSA_RDFC_2019, EDDSA_RDFC_2022]


def test_openssl_verifies_with_no_rdf_software(
    tmp_path: Path, signer: Signer, sealed: Seal
) -> None:
    r, s = halves(base58_decode(sealed.proof_value[1:]))
    (tmp_path / "key.pem").write_bytes(public_pem(PublicKey(algorithm=P256, raw=signer.public_key)))
    hashes = hashlib.sha256(sealed.proof_nq).digest() + hashlib.sha256(GRAPH).digest()
    (tmp_path / "hashes").write_bytes(hashes)
    script = (
        f"printf 'asn1=SEQUENCE:s\\n[s]\\nr=INTEGER:0x{r:064x}\\ns=INTEGER:0x{s:064x}\\n'"
        " | openssl asn1parse -genconf /dev/stdin -noout -out sig.der &&"
        " openssl pkeyutl -verify -pubin -inkey key.pem -rawin -digest sha256"
        " -in hashes -sigfile sig.der"
    )
    result = subprocess.run(["sh", "-c", script], cwd=tmp_path, check=False, capture_output=True)
    assert (result.returncode, result.stdout) == (0, b"Signature Verified Successfully\n")


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


def test_any_flipped_bit_of_the_signature_is_refused(sealed: Seal) -> None:
    signature = base58_decode(sealed.proof_value[1:])
    for position in range(64):
        changed = bytearray(signature)
        changed[position] ^= 1
        with pytest.raises(UntrustedError, match="does not verify"):
            verify_seal(GRAPH, sealed.proof_nq, proof_value(bytes(changed)))


def test_the_twin_of_a_signature_verifies_too(signer: Signer) -> None:
    """FIPS 186-5 has no rule against it, and W3C's alumni vector is the larger of its two."""
    r, s = halves(signer.sign(b"x"))
    verify_p256(signer.public_key, joined(r, N - s), b"x", what="test")
    alumni = halves(base58_decode(VECTORS["alumni"][2][1:]))
    assert (alumni[1] > N // 2) is True


@pytest.mark.parametrize(
    ("r", "s"),
    [(0, 0), (0, 1), (1, 0), (N, 1), (1, N), (N, N), (2**256 - 1, 2**256 - 1)],
)
def test_numbers_that_no_signature_holds_are_refused(signer: Signer, r: int, s: int) -> None:
    """r = s = 0 was taken for a signature by Java's ECDSA for two years (CVE-2022-21449)."""
    with pytest.raises(UntrustedError, match="test: the signature does not verify"):
        verify_p256(signer.public_key, joined(r, s), b"x", what="test")


def test_r_and_s_are_not_taken_modulo_n() -> None:
    """(r, s + n) would be a second spelling. An s that has room for it is one in 2^32, so the key
    is computed for a signature that was chosen: Q = (sR - zG) / r.
    """
    point = multiply(G, 12345)
    r, s = point[0], 5
    z = int.from_bytes(hashlib.sha256(b"x").digest(), "big")
    chosen = add(multiply(point, s), multiply(G, N - z % N))
    x, y = multiply(chosen, pow(r, -1, N))
    key = bytes([2 + y % 2]) + x.to_bytes(32, "big")
    verify_p256(key, joined(r, s), b"x", what="test")
    with pytest.raises(UntrustedError, match="does not verify"):
        verify_p256(key, joined(r, s + N), b"x", what="test")


@pytest.mark.parametrize("length", [0, 63, 65, 70, 72])
def test_signature_of_another_length_is_refused(signer: Signer, length: int) -> None:
    with pytest.raises(UntrustedError, match=f"of 64 bytes, found {length}"):
        verify_p256(signer.public_key, b"\x01" * length, b"x", what="test")


def test_a_der_signature_is_refused(tmp_path: Path, sealed: Seal) -> None:
    """What openssl and most hardware make first; a proof holds r || s."""
    with pytest.raises(FormatError, match="of 64 bytes, found 70"):
        verify_seal(GRAPH, sealed.proof_nq, proof_value(b"\x30\x44" + b"\x02\x20" * 34))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\x02" + (5).to_bytes(32, "big"), None),
        (b"\x02" + (2).to_bytes(32, "big"), "is no point of the curve"),
        (b"\x02" + (P + 5).to_bytes(32, "big"), "is no point of the curve"),
        (b"\x02" + b"\xff" * 32, "is no point of the curve"),
        (b"\x04" + (5).to_bytes(32, "big"), "is no point of the curve"),
        (b"\x00" * 33, "is no point of the curve"),
    ],
)
def test_keys_off_the_curve_are_refused(raw: bytes, message: str | None) -> None:
    """x = 5 is on it, x = 2 is not, and P + 5 is 5 in another spelling."""
    with pytest.raises(UntrustedError, match=message or "does not verify"):
        verify_p256(raw, b"\x01" * 64, b"x", what="test")


def test_key_of_another_length_is_refused() -> None:
    with pytest.raises(FormatError, match="expected 33 bytes of P-256 public key, found 65"):
        verify_p256(b"\x04" + b"k" * 64, b"\x01" * 64, b"x", what="test")


def test_signature_is_checked_by_the_algorithm_of_its_key(signer: Signer) -> None:
    key = PublicKey(algorithm=P256, raw=signer.public_key)
    verify_signature(key, signer.sign(b"x"), b"x", what="test")
    other = signer_from_seed(b"\x07" * 32)
    with pytest.raises(UntrustedError, match="does not verify"):
        verify_signature(key, other.sign(b"x"), b"x", what="test")


def test_ed25519_key_under_the_ecdsa_suite_is_refused(sealed: Seal) -> None:
    method = signer_from_seed(b"\x07" * 32).verification_method
    config = proof_config(CREATED, method, cryptosuite=ECDSA_RDFC_2019)
    with pytest.raises(UntrustedError, match=r"for ecdsa-rdfc-2019 \(P-256\), found Ed25519"):
        verify_seal(GRAPH, config, sealed.proof_value)


def test_suite_renamed_after_signing_is_refused(sealed: Seal) -> None:
    renamed = sealed.proof_nq.replace(b"ecdsa-rdfc-2019", b"eddsa-rdfc-2022")
    with pytest.raises(UntrustedError, match=r"for eddsa-rdfc-2022 \(Ed25519\), found P-256"):
        verify_seal(GRAPH, renamed, sealed.proof_value)


def test_p256_log_key_is_refused(signer: Signer) -> None:
    with pytest.raises(UsageError, match="expected an Ed25519 key to sign for log"):
        NoteSigner(name="log", signer=signer)


# ---- key files -----------------------------------------------------------------------------------
def test_key_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = load_or_create_signer(path, algorithm=P256)
    assert (made.algorithm, len(made.public_key)) == (P256, 33)
    again = load_or_create_signer(path)
    assert (again.algorithm, again.public_key) == (P256, made.public_key)
    verify_p256(made.public_key, again.sign(b"x"), b"x", what="test")


def test_encrypted_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = load_or_create_signer(path, passphrase=b"correct horse", algorithm=P256)
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n") is True
    assert load_signer(path, passphrase=b"correct horse").public_key == made.public_key


def test_openssl_makes_and_reads_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.touch(0o600)
    path.write_bytes(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
    signer = load_signer(path)
    printed = openssl(
        *("ec", "-in", str(path), "-pubout", "-conv_form", "compressed", "-outform", "DER")
    )
    assert printed[-33:] == signer.public_key
    pem = tmp_path / "public.pem"
    pem.write_bytes(public_pem(PublicKey(algorithm=P256, raw=signer.public_key)))
    assert openssl("pkey", "-pubin", "-in", str(pem), "-outform", "DER", "-pubout") == printed


@pytest.mark.parametrize("curve", ["P-384", "secp256k1", "P-224"])
def test_key_on_another_curve_is_refused(tmp_path: Path, curve: str) -> None:
    path = tmp_path / "key.pem"
    path.touch(0o600)
    path.write_bytes(
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}")
    )
    with pytest.raises(
        UntrustedError, match=r"expected an Ed25519 or P-256 key in .*, found ECPriv"
    ):
        load_signer(path)


def test_new_keys_differ_and_do_not_show_themselves() -> None:
    one, two = generate_signer(algorithm=P256), generate_signer(algorithm=P256)
    assert len({one.public_key, two.public_key}) == 2
    key = PublicKey(algorithm=P256, raw=one.public_key)
    assert repr(one) == f"Signer(did:key:{encode_multikey(key)})"
    assert one.verification_method == verification_method(key)
    assert generate_signer().algorithm == ED25519


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout
