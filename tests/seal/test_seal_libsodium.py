"""Only libsodium's yes counts, and it says yes to nothing that OpenSSL refuses."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from provgraph.errors import UntrustedError
from provgraph.seal import libsodium
from provgraph.seal.keys import signer_from_seed, verify_ed25519

SIGNER = signer_from_seed(b"\x05" * 32)
# The order of the base point (RFC 8032 section 5.1).
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.fixture(autouse=True)
def loaded() -> None:
    assert libsodium.load() is True


def openssl_accepts(key: bytes, signature: bytes, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def test_a_signature_is_accepted() -> None:
    signature = SIGNER.sign(b"data")
    assert libsodium.accepts(SIGNER.public_key, signature, b"data") is True
    verify_ed25519(SIGNER.public_key, signature, b"data", what="test")


@pytest.mark.parametrize("place", range(64))
def test_a_flipped_bit_is_refused(place: int) -> None:
    signature = bytearray(SIGNER.sign(b"data"))
    signature[place] ^= 1
    assert libsodium.accepts(SIGNER.public_key, bytes(signature), b"data") is False
    with pytest.raises(UntrustedError, match="test: the signature does not verify"):
        verify_ed25519(SIGNER.public_key, bytes(signature), b"data", what="test")


def test_s_that_is_not_reduced_is_refused_by_both() -> None:
    signature = SIGNER.sign(b"data")
    s = int.from_bytes(signature[32:], "little") + ORDER
    malleable = signature[:32] + s.to_bytes(32, "little")
    assert libsodium.accepts(SIGNER.public_key, malleable, b"data") is False
    assert openssl_accepts(SIGNER.public_key, malleable, b"data") is False


# Cases 0 to 7 of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, SSR 2020), table 6c:
# small-order and mixed-order points, and S that is not reduced.
EDGE_CASES = [
    ("8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000"),
    ("9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04"),
    ("aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab", "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e"),
    ("9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79", "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d", "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009"),
    ("e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c", "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d", "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09"),
    ("e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c", "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d", "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405"),
    ("85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40", "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623", "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514"),
    ("85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40", "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623", "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(EDGE_CASES)))
def test_what_libsodium_accepts_openssl_accepts(case: int) -> None:
    data, key, signature = (bytes.fromhex(each) for each in EDGE_CASES[case])
    yes = libsodium.accepts(key, signature, data)
    assert (yes, openssl_accepts(key, signature, data)) != (True, False)


def test_random_bytes_are_refused_without_an_error() -> None:
    for _ in range(200):
        assert libsodium.accepts(os.urandom(32), os.urandom(64), b"data") is False


def test_whoever_signs_much_makes_the_same_signatures() -> None:
    """With libsodium after some hundreds, and never another signature for it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    expected = Ed25519PrivateKey.from_private_bytes(b"\x06" * 32)
    signer = signer_from_seed(b"\x06" * 32)
    for number in range(600):
        data = os.urandom(number)
        signature = signer.sign(data)
        assert signature == expected.sign(data)
        verify_ed25519(signer.public_key, signature, data, what="test")


def test_a_signer_changes_to_libsodium_when_it_has_signed_much() -> None:
    script = (
        "import sys; from provgraph.seal import keys;"
        " s = keys.signer_from_seed(bytes(32));"
        " [s.sign(b'x') for _ in range(255)];"
        " assert 'nacl' not in sys.modules;"
        " s.sign(b'x');"
        " assert 'nacl' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_libsodium_openssl_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl.bindings", None)
    assert libsodium.signing(bytes(32)) is None
    signer = signer_from_seed(b"\x07" * 32)
    assert len({signer.sign(b"data") for _ in range(300)}) == 1


def test_nothing_is_loaded_until_it_is_asked_for() -> None:
    script = (
        "import sys; from provgraph.seal import keys, libsodium;"
        " s = keys.signer_from_seed(bytes(32));"
        " keys.verify_ed25519(s.public_key, s.sign(b'x'), b'x', what='test');"
        " assert not any(name.startswith('nacl') for name in sys.modules);"
        " assert libsodium.accepts(s.public_key, s.sign(b'x'), b'x') is False"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
