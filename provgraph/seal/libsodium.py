"""Ed25519 in half the time: libsodium, through PyNaCl, where that is installed (the extra `fast`).

Specification: RFC 8032. Whole ledgers are checked with it (100,000 signatures take 6 s instead of 10),
and a process that signs much signs with it. Signatures are the same: the algorithm leaves no choice.

When it verifies, only its yes counts. Both libraries compute R' = sB - H(R, A, M)A and compare bytes;
libsodium refuses beyond that small-order R and non-canonical A, so what it accepts OpenSSL accepts as
well. A no is asked again of OpenSSL, and thus no verdict depends on what is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_SIGNATURE_BYTES: Final = 64

_open: Callable[[bytes, bytes], bytes] | None = None


def load() -> bool:
    """Use libsodium in this process from now on; return whether it is there."""
    global _open  # noqa: PLW0603 - one library per process, chosen once
    if _open is None:
        try:
            from nacl.bindings import crypto_sign_open
        except ImportError:
            return False
        _open = crypto_sign_open
    return True


def accepts(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether libsodium is loaded and accepts a signature of 64 bytes by a key of 32."""
    if _open is None:
        return False
    try:
        _open(signature + data, public_key)
    except Exception:
        # Any kind of no.
        return False
    return True


def signing(seed: bytes) -> Callable[[bytes], bytes] | None:
    """Return what signs with the key of a 32-byte seed; None where libsodium is not there."""
    try:
        from nacl.bindings import crypto_sign, crypto_sign_seed_keypair
    except ImportError:
        return None
    secret: bytes = crypto_sign_seed_keypair(seed)[1]

    def sign(data: bytes) -> bytes:
        signed: bytes = crypto_sign(data, secret)
        return signed[:_SIGNATURE_BYTES]

    return sign
