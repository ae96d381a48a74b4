"""Bytes under a passphrase: the right one opens them, in their context, and nothing else does."""

import pytest

from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.seal import encrypting
from provgraph.seal.encrypting import Cipher

PASSPHRASE = b"correct horse battery"


@pytest.fixture(scope="module")
def cipher() -> Cipher:
    return Cipher.new(PASSPHRASE)


def test_what_was_encrypted_comes_back(cipher: Cipher) -> None:
    for data in (b"", b"x", bytes(range(256)) * 40):
        sealed = cipher.encrypt(data, context="a")
        assert len(sealed) == len(data) + encrypting.OVERHEAD_BYTES
        assert cipher.decrypt(sealed, context="a") == data
    again = Cipher.of(cipher.terms, PASSPHRASE)
    assert again.decrypt(cipher.encrypt(b"x", context="a"), context="a") == b"x"


def test_the_form_is_what_it_says(cipher: Cipher) -> None:
    """Decrypted by hand, with the primitives and nothing of ours."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    name, log_n, r, p, salt, _ = cipher.terms.split(" ")
    assert (name, log_n, r, p) == ("scrypt-aes256gcm", "17", "8", "1")
    key = Scrypt(salt=bytes.fromhex(salt), length=32, n=2**17, r=8, p=1).derive(PASSPHRASE)
    header, rest = cipher.encrypt(b"told", context="a").split(b"\n", 1)
    assert header == b"provgraph-encrypted/1"
    assert AESGCM(key).decrypt(rest[:12], rest[12:], b"a") == b"told"


def test_the_same_bytes_twice_look_different(cipher: Cipher) -> None:
    assert cipher.encrypt(b"x", context="a") != cipher.encrypt(b"x", context="a")
    assert cipher.fingerprint(b"x") == Cipher.of(cipher.terms, PASSPHRASE).fingerprint(b"x")
    assert cipher.fingerprint(b"x") != Cipher.new(PASSPHRASE).fingerprint(b"x")


def test_another_passphrase_is_said_to_be_one(cipher: Cipher) -> None:
    with pytest.raises(UntrustedError, match="not the passphrase"):
        Cipher.of(cipher.terms, b"another passphrase")


def test_another_context_is_refused(cipher: Cipher) -> None:
    sealed = cipher.encrypt(b"x", context="segment 0 to 10")
    with pytest.raises(UntrustedError, match="segment 10 to 20"):
        cipher.decrypt(sealed, context="segment 10 to 20")


def test_every_flipped_byte_is_refused(cipher: Cipher) -> None:
    sealed = cipher.encrypt(b"told", context="a")
    for at in range(len(sealed)):
        with pytest.raises((UntrustedError, FormatError)):
            cipher.decrypt(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], context="a")
    for length in range(len(sealed)):
        with pytest.raises((UntrustedError, FormatError)):
            cipher.decrypt(sealed[:length], context="a")


def test_terms_that_would_take_all_memory_are_refused(cipher: Cipher) -> None:
    for terms in (
        "none",
        cipher.terms.replace(" 17 ", " 30 "),
        cipher.terms.replace(" 17 ", " 1 "),
    ):
        with pytest.raises(FormatError):
            Cipher.of(terms, PASSPHRASE)


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(UsageError, match="several random words"):
        Cipher.new(b"secret")
