"""Bytes under a passphrase: scrypt makes the key, AES-256-GCM encrypts, each with a context.

Specifications: RFC 7914 (scrypt), NIST SP 800-38D (GCM). Encrypted bytes are the line
`provgraph-encrypted/1`, a random nonce of 12 bytes, and the ciphertext with its tag of 16 bytes; the
context (what the bytes are, and of which ledger) is the additional data, so that one thing that was
encrypted is never taken for another. One key may encrypt 2^32 things.

What it does not do: hide how many bytes there are.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final, Self

from provgraph.errors import FormatError, UntrustedError, UsageError

MIN_PASSPHRASE_BYTES: Final = 8

_HEADER: Final = b"provgraph-encrypted/1\n"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = len(_HEADER) + _NONCE_BYTES + _TAG_BYTES
# 128 MiB and about half a second for each guess.
_LOG_N: Final = 17
_R: Final = 8
_P: Final = 1
_MAX_LOG_N: Final = 20
_SALT_BYTES: Final = 16
_TERMS = re.compile(r"scrypt-aes256gcm ([0-9]{1,2}) ([0-9]) ([0-9]) ([0-9a-f]{32}) ([0-9a-f]{64})")
_CHECK: Final = b"provgraph backup: is this the passphrase"
_FINGERPRINT: Final = b"provgraph backup: fingerprint\n"


class Cipher:
    """A key made of a passphrase, with the terms under which it was made."""

    __slots__ = ("_key", "_terms")

    def __init__(self, key: bytes, terms: str) -> None:
        self._key = key
        self._terms = terms

    @classmethod
    def new(cls, passphrase: bytes) -> Self:
        """Make a key with a salt of its own.

        Raises:
            UsageError: the passphrase is too short to be one.
        """
        if len(passphrase) < MIN_PASSPHRASE_BYTES:
            raise UsageError(
                f"expected a passphrase of at least {MIN_PASSPHRASE_BYTES} bytes, found"
                f" {len(passphrase)}; take several random words"
            )
        salt = secrets.token_bytes(_SALT_BYTES)
        key = _derive(passphrase, salt=salt, log_n=_LOG_N, r=_R, p=_P)
        terms = f"scrypt-aes256gcm {_LOG_N} {_R} {_P} {salt.hex()} {_mac(key, _CHECK).hex()}"
        return cls(key, terms)

    @classmethod
    def of(cls, terms: str, passphrase: bytes) -> Self:
        """Make the key that was made under these terms.

        Raises:
            FormatError: no such terms, or ones that would take too much memory.
            UntrustedError: another passphrase.
        """
        match = _TERMS.fullmatch(terms)
        if match is None:
            raise FormatError(f"expected the terms of an encryption, found {terms[:200]!r}")
        log_n, r, p = (int(match[each]) for each in (1, 2, 3))
        if not (10 <= log_n <= _MAX_LOG_N and 1 <= r <= _R and p == _P):
            raise FormatError(f"expected scrypt with N up to 2^{_MAX_LOG_N}, found {terms[:40]!r}")
        key = _derive(passphrase, salt=bytes.fromhex(match[4]), log_n=log_n, r=r, p=p)
        if not hmac.compare_digest(_mac(key, _CHECK).hex(), match[5]):
            raise UntrustedError("this is not the passphrase that it was encrypted with")
        return cls(key, terms)

    @property
    def terms(self) -> str:
        """How the key is made of its passphrase, and a value that tells whether it is the right one."""
        return self._terms

    def __repr__(self) -> str:
        return "Cipher(…)"

    def encrypt(self, data: bytes, *, context: str) -> bytes:
        """Return data encrypted in its context, under a nonce of its own."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _HEADER + nonce + AESGCM(self._key).encrypt(nonce, data, context.encode())

    def decrypt(self, data: bytes, *, context: str) -> bytes:
        """Return what was encrypted in that context.

        Raises:
            FormatError: not in the form of encrypted bytes.
            UntrustedError: changed, or of another context or key.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if not data.startswith(_HEADER) or len(data) < OVERHEAD_BYTES:
            raise FormatError(f"expected encrypted bytes as {context}, found {data[:40]!r}")
        cut = len(_HEADER) + _NONCE_BYTES
        try:
            return AESGCM(self._key).decrypt(data[len(_HEADER) : cut], data[cut:], context.encode())
        except InvalidTag:
            raise UntrustedError(
                f"{context}: what is encrypted was changed, or is something else"
            ) from None

    def fingerprint(self, data: bytes) -> str:
        """Return a name of content that tells nobody without the key what the content is."""
        return _mac(self._key, _FINGERPRINT + data).hex()


def _derive(passphrase: bytes, *, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=1 << log_n, r=r, p=p).derive(passphrase)


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()
