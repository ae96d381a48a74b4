"""Ed25519 and P-256 keys: made once, kept in files, used to sign and to verify.

Specifications: RFC 8032 (Ed25519); FIPS 186-5 section 6 and RFC 6979 (ECDSA over P-256, SHA-256,
the nonce derived from key and message). Signatures are 64 bytes: Ed25519's, or r || s. Files are
those of `provgraph.seal.keyfile`. `cryptography` is loaded when a key is first used (about 24 ms).

Ed25519 is the default; P-256 is there for hardware that knows nothing else. An ECDSA signature
(r, s) has a twin (r, n - s) that verifies as well; W3C's own test vectors hold both kinds, so both
are accepted. A twin gains nobody anything: the ledger's leaf holds the one that was made.

What it does not do: it reads no environment, and judges no trust; a valid signature says that the
key signed, not that the key is anybody's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal import libsodium
from provgraph.seal.keyfile import make_private_key, read_private_key
from provgraph.seal.multikey import (
    ED25519,
    P256,
    PublicKey,
    require_strong_ed25519,
    verification_method,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey

SIGNATURE_BYTES: Final = 64

# Whoever has made so many signatures with a key is taken to make many more.
_SIGNATURES_BEFORE_LIBSODIUM: Final = 256

_P256_POINT_BYTES: Final = 33
_P256_SCALAR_BYTES: Final = 32


class Signer:
    """A private key that signs bytes and never shows itself."""

    __slots__ = ("_key", "_sign", "_verification_method")

    def __init__(self, key: PublicKey, sign: Callable[[bytes], bytes]) -> None:
        """Take the public side, and what makes a 64-byte signature over bytes."""
        self._key = key
        self._sign = sign
        self._verification_method = verification_method(key)

    @property
    def algorithm(self) -> str:
        """`Ed25519` or `P-256`."""
        return self._key.algorithm

    @property
    def public_key(self) -> bytes:
        """The raw public key: 32 bytes for Ed25519, 33 (a compressed point) for P-256."""
        return self._key.raw

    @property
    def verification_method(self) -> str:
        """The key's name in a proof: `did:key:<multikey>#<multikey>`."""
        return self._verification_method

    def __repr__(self) -> str:
        return f"Signer({self.verification_method.partition('#')[0]})"

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature over data."""
        return self._sign(data)


def generate_signer(*, algorithm: str = ED25519) -> Signer:
    """Make a new key that lives in memory only."""
    return _signer_of(_generate(algorithm))


def signer_from_seed(seed: bytes, *, algorithm: str = ED25519) -> Signer:
    """Return the signer of a raw 32-byte private key.

    For Ed25519 it is the seed of RFC 8032 section 5.1.5, for P-256 the secret scalar, big-endian.
    """
    if algorithm == ED25519:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return _signer_of(Ed25519PrivateKey.from_private_bytes(seed))
    from cryptography.hazmat.primitives.asymmetric import ec

    return _signer_of(ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1()))


def load_or_create_signer(
    path: Path, *, passphrase: bytes | None = None, algorithm: str = ED25519
) -> Signer:
    """Read the key at path, or make it there (mode 0600, in a folder of mode 0700).

    With a passphrase the file is encrypted PKCS#8. Two processes that create at once end up with
    the same key. The algorithm counts only when the key is made.

    Raises:
        StorageError: the key cannot be written or read.
        UntrustedError: others may read the file, it holds no Ed25519 or P-256 key, or the
            passphrase is wrong, missing, or given for a key that is not encrypted.
    """
    make_private_key(path, lambda: _generate(algorithm), passphrase=passphrase)
    return load_signer(path, passphrase=passphrase)


def load_signer(path: Path, *, passphrase: bytes | None = None) -> Signer:
    """Read the key at path.

    Raises:
        StorageError: the file cannot be read.
        UntrustedError: as for `load_or_create_signer`.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = read_private_key(path, passphrase=passphrase)
    if isinstance(key, Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return _signer_of(key)
    raise UntrustedError(f"expected an Ed25519 or P-256 key in {path}, found {_kind(key)}")


def require_usable_key(key: PublicKey) -> None:
    """Refuse a public key before anybody is told to believe it.

    Raises:
        FormatError: the key has another length than its algorithm asks.
        UntrustedError: an Ed25519 key of low order or not canonical, a P-256 key off its curve.
    """
    if key.algorithm == ED25519:
        require_strong_ed25519(key.raw)
    else:
        _p256_key(key.raw, what="key")


def verify_signature(key: PublicKey, signature: bytes, data: bytes, *, what: str) -> None:
    """Check a signature with the algorithm of the key; `what` names the signed thing in the error.

    Raises:
        FormatError: the key has another length than its algorithm asks.
        UntrustedError: a weak or impossible key, a wrong length, or the signature is not by this
            key over data.
    """
    _VERIFIERS[key.algorithm](key.raw, signature, data, what=what)


def verify_ed25519(public_key: bytes, signature: bytes, data: bytes, *, what: str) -> None:
    """Check an Ed25519 signature; `what` names the signed thing in the error.

    Raises:
        FormatError: the key has not 32 bytes.
        UntrustedError: a weak key, a wrong length, or the signature is not by this key over data.
    """
    require_strong_ed25519(public_key)
    _require_length(signature, what)
    if libsodium.accepts(public_key, signature, data):
        return
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise UntrustedError(_refusal(public_key, what)) from None


def verify_p256(public_key: bytes, signature: bytes, data: bytes, *, what: str) -> None:
    """Check an ECDSA signature r || s over P-256 with SHA-256 (FIPS 186-5 section 6.4.2).

    Raises:
        FormatError: the key has not 33 bytes.
        UntrustedError: the key is no point of the curve, a wrong length, or the signature is not by
            this key over data.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    key = _p256_key(public_key, what=what)
    _require_length(signature, what)
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise UntrustedError(_refusal(public_key, what)) from None


def _p256_key(public_key: bytes, *, what: str) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    if len(public_key) != _P256_POINT_BYTES:
        raise FormatError(
            f"expected {_P256_POINT_BYTES} bytes of P-256 public key, found {len(public_key)}"
        )
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    except ValueError:
        raise UntrustedError(
            f"{what}: the P-256 public key {public_key.hex()} is no point of the curve"
        ) from None


_VERIFIERS: Final = {ED25519: verify_ed25519, P256: verify_p256}


def _signer_of(key: PrivateKey) -> Signer:
    """Wrap a private key of one of the two algorithms."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes_raw()
        return Signer(PublicKey(algorithm=ED25519, raw=raw), _Ed25519(key).sign)
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    private, ecdsa = key, _deterministic_ecdsa()

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(data, ecdsa))
        return b"".join(number.to_bytes(_P256_SCALAR_BYTES, "big") for number in (r, s))

    return Signer(PublicKey(algorithm=P256, raw=point), sign)


class _Ed25519:
    """Signs with OpenSSL, and from some number on with libsodium, where that is.

    Loading it takes as long as it saves in a thousand signatures: not for a run or two.
    """

    __slots__ = ("_key", "_left", "_sign")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._left = _SIGNATURES_BEFORE_LIBSODIUM
        self._sign: Callable[[bytes], bytes] = key.sign

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature over data."""
        if self._left:
            self._left -= 1
            if not self._left:
                self._sign = libsodium.signing(self._key.private_bytes_raw()) or self._sign
        return self._sign(data)


def _deterministic_ecdsa() -> ECDSA:
    """Return ECDSA with SHA-256 and the nonce of RFC 6979, where OpenSSL (3.2 or later) has it.

    Its signatures do not rest on the random numbers of the moment; a nonce that repeats gives the
    key away. Verifiers see no difference.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        return ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return ec.ECDSA(hashes.SHA256())


def _generate(algorithm: str) -> PrivateKey:
    if algorithm == ED25519:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.generate()
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _kind(key: object) -> str:
    curve = getattr(getattr(key, "curve", None), "name", "")
    return f"{type(key).__name__} {curve}".strip()


def _require_length(signature: bytes, what: str) -> None:
    if len(signature) != SIGNATURE_BYTES:
        raise UntrustedError(
            f"{what}: expected a signature of {SIGNATURE_BYTES} bytes, found {len(signature)}"
        )


def _refusal(public_key: bytes, what: str) -> str:
    return (
        f"{what}: the signature does not verify under the key {public_key.hex()};"
        " the content was changed after signing, or another key signed it"
    )
