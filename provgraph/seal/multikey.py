"""Public keys as text: base58btc, Multikey, did:key and verification methods.

Specifications: Controlled Identifiers 1.0 section 2.2.2 (Multikey), the did:key method, multibase
(prefix `z` is base58btc with the Bitcoin alphabet). Keys are raw bytes here: 32 for Ed25519, 33
(compressed) for P-256. Decoding is strict: every key has exactly one text.

What it does not do: it holds no private key, computes on no curve and loads no library.
"""

from __future__ import annotations

import base64
import functools
from typing import Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.frozen import dataclass

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TWO_DIGITS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]
_58_TO_10: Final = 58**10
_NO_DIGIT: Final = 0xFF
_DIGITS: Final = bytes(
    _ALPHABET.index(chr(code)) if chr(code) in _ALPHABET else _NO_DIGIT for code in range(256)
)

# The longest value in use is a 64-byte signature, 88 digits. Decoding costs the square of the
# length, so longer text is refused before any work.
MAX_BASE58_LENGTH: Final = 128

# Decoding takes all digits as one number with a byte for each, and joins neighbours in seven rounds:
# bytes to pairs, pairs to fours, … until one of 128 digits is left. Each round has the width of a
# lane in bits, the mask of every other lane, and what the upper of two lanes is worth. No lane
# overflows: one of w bits holds w / 8 digits, and 58 ** (w / 8) is below 2 ** w.
_ROUNDS: Final = tuple(
    (
        width,
        sum(((1 << width) - 1) << at for at in range(0, 8 * MAX_BASE58_LENGTH, 2 * width)),
        58 ** (width // 8),
    )
    for width in (8, 16, 32, 64, 128, 256, 512)
)

ED25519: Final = "Ed25519"
P256: Final = "P-256"

# Multicodec prefix (unsigned varint) and length of the raw key, by algorithm.
_CODECS: Final = {ED25519: (b"\xed\x01", 32), P256: (b"\x80\x24", 33)}

_FIELD: Final = 2**255 - 19
# The DER of SubjectPublicKeyInfo up to the raw key (RFC 8410 section 4; RFC 5480 section 2, with
# the point compressed).
_SPKI: Final = {
    ED25519: bytes.fromhex("302a300506032b6570032100"),
    P256: bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200"),
}
_SIGN_BIT: Final = 1 << 255
_ORDER_8_Y: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826

# The y coordinates of the eight points whose order divides 8, in every encoding that a decoder may
# take (the sign of x is masked off before the look-up, so each stands for two encodings). Under
# such a key a signature can be made that verifies for any message.
_LOW_ORDER_Y: Final = frozenset(
    {
        1,  # order 1: the neutral element
        _FIELD - 1,  # order 2
        0,  # order 4, both signs of x
        _ORDER_8_Y,  # order 8
        _FIELD - _ORDER_8_Y,  # order 8
        _FIELD,  # 0 again, not reduced
        _FIELD + 1,  # 1 again, not reduced
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A raw public key with its algorithm, `Ed25519` or `P-256`."""

    algorithm: str
    raw: bytes


def base58_encode(data: bytes) -> str:
    """Write bytes in base58btc, without a multibase prefix."""
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        # Ten digits at a time: what is left of one division is small, and quickly divided further.
        number, ten = divmod(number, _58_TO_10)
        for _ in range(5):
            ten, two = divmod(ten, 58 * 58)
            digits.append(_TWO_DIGITS[two])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits)).lstrip("1")


def base58_decode(text: str) -> bytes:
    """Read base58btc; the inverse of `base58_encode`, and of nothing else.

    Raises:
        FormatError: longer than MAX_BASE58_LENGTH, or a character outside the alphabet.
    """
    if len(text) > MAX_BASE58_LENGTH:
        raise FormatError(
            f"expected at most {MAX_BASE58_LENGTH} base58 characters, found {len(text)}"
        )
    # What has no byte in Latin-1 becomes a question mark, which is no digit either.
    digits = text.encode("latin-1", "replace").translate(_DIGITS)
    if (at := digits.find(_NO_DIGIT)) >= 0:
        raise FormatError(f"expected a base58btc character, found {text[at]!r} in {text!r}")
    number = int.from_bytes(digits, "big")
    for width, mask, worth in _ROUNDS:
        number = (number & mask) + (number >> width & mask) * worth
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def multibase_decode(text: str, *, length: int, what: str) -> bytes:
    """Read `z` and base58btc that must hold exactly `length` bytes.

    Raises:
        FormatError: another multibase, bad characters, or another length.
    """
    if not text.startswith("z"):
        raise FormatError(f"expected {what} in multibase base58btc ('z…'), found {text[:20]!r}")
    data = base58_decode(text[1:])
    if len(data) != length:
        raise FormatError(f"expected {what} of {length} bytes, found {len(data)} in {text!r}")
    return data


def encode_multikey(key: PublicKey) -> str:
    """Write a public key as Multikey (`z6Mk…` for Ed25519, `zDn…` for P-256)."""
    prefix, _ = _CODECS[key.algorithm]
    return "z" + base58_encode(prefix + key.raw)


def decode_multikey(text: str) -> PublicKey:
    """Read a Multikey.

    Raises:
        FormatError: not base58btc, an unknown key type, or the wrong length.
    """
    if not text.startswith("z"):
        raise FormatError(f"expected a Multikey ('z…'), found {text[:20]!r}")
    data = base58_decode(text[1:])
    for algorithm, (prefix, length) in _CODECS.items():
        if data.startswith(prefix):
            if len(data) != len(prefix) + length:
                raise FormatError(
                    f"expected {length} bytes of {algorithm} key,"
                    f" found {len(data) - len(prefix)} in {text!r}"
                )
            return PublicKey(algorithm=algorithm, raw=data[len(prefix) :])
    raise FormatError(f"expected an Ed25519 or P-256 Multikey, found {text!r}")


def did_key(key: PublicKey) -> str:
    """Return `did:key:<multikey>`."""
    return f"did:key:{encode_multikey(key)}"


def public_pem(key: PublicKey) -> bytes:
    """Return a public key as PEM (SubjectPublicKeyInfo), for openssl."""
    text = base64.b64encode(_SPKI[key.algorithm] + key.raw).decode()
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n".encode()


def verification_method(key: PublicKey) -> str:
    """Return `did:key:<multikey>#<multikey>`, the name of a key in a proof."""
    multikey = encode_multikey(key)
    return f"did:key:{multikey}#{multikey}"


@functools.lru_cache(256)
def parse_verification_method(text: str) -> PublicKey:
    """Read `did:key:<multikey>#<multikey>`.

    Raises:
        FormatError: another DID method, or a fragment that differs from the key.
    """
    did, _, fragment = text.partition("#")
    if did != f"did:key:{fragment}":
        raise FormatError(f"expected did:key:<multikey>#<multikey>, found {text[:200]!r}")
    return decode_multikey(fragment)


def require_strong_ed25519(raw: bytes) -> None:
    """Refuse a public key that no honest generator makes: low order, or y not reduced.

    `cryptography` accepts both.

    Raises:
        FormatError: not 32 bytes.
        UntrustedError: a low-order or non-canonical point.
    """
    if len(raw) != 32:
        raise FormatError(f"expected 32 bytes of Ed25519 public key, found {len(raw)}")
    y = int.from_bytes(raw, "little") & (_SIGN_BIT - 1)
    if y in _LOW_ORDER_Y:
        raise UntrustedError(
            f"the Ed25519 public key {raw.hex()} is a point of low order: anyone can sign under it."
            " Make a new key"
        )
    if y >= _FIELD:
        raise UntrustedError(
            f"the Ed25519 public key {raw.hex()} is not canonical (RFC 8032 section 5.1.3)."
            " Make a new key"
        )
