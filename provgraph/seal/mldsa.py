"""ML-DSA-44 keys: the second key of a log, for the day when Ed25519 can be forged.

Specifications: FIPS 204 (ML-DSA, pure, empty context), RFC 9881 (its PKCS#8 form). A public key has
1,312 bytes, a signature 2,420. Signing takes 0.5 to 1 ms, since it tries until a signature fits;
verifying 0.1 ms. Signatures are randomised: two over the same bytes differ.

What it does not do: seal records, whose proofs know Ed25519 and P-256 only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.seal.keyfile import make_private_key, read_private_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

PUBLIC_KEY_BYTES: Final = 1312
SIGNATURE_BYTES: Final = 2420


class MldsaSigner:
    """An ML-DSA-44 private key that signs bytes and never shows itself."""

    __slots__ = ("_key", "_public_key")

    def __init__(self, key: MLDSA44PrivateKey) -> None:
        self._key = key
        self._public_key = key.public_key().public_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """The raw 1,312-byte public key."""
        return self._public_key

    def __repr__(self) -> str:
        return f"MldsaSigner({self._public_key[:8].hex()}…)"

    def sign(self, data: bytes) -> bytes:
        """Return a 2,420-byte signature over data."""
        return self._key.sign(data)


def generate_mldsa_signer() -> MldsaSigner:
    """Make a new key that lives in memory only.

    Raises:
        UsageError: this machine's library knows no ML-DSA.
    """
    return MldsaSigner(_generate())


def mldsa_signer_from_seed(seed: bytes) -> MldsaSigner:
    """Return the signer of a raw 32-byte seed (FIPS 204 section 6.1)."""
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

    return MldsaSigner(MLDSA44PrivateKey.from_seed_bytes(seed))


def load_or_create_mldsa_signer(path: Path, *, passphrase: bytes | None = None) -> MldsaSigner:
    """Read the key at path, or make it there, as `keys.load_or_create_signer` does.

    Raises:
        UsageError: this machine's library knows no ML-DSA.
        StorageError: the key cannot be written or read.
        UntrustedError: others may read the file, it holds no ML-DSA-44 key, or the passphrase is
            wrong, missing, or given for a key that is not encrypted.
    """
    make_private_key(path, _generate, passphrase=passphrase)
    return load_mldsa_signer(path, passphrase=passphrase)


def load_mldsa_signer(path: Path, *, passphrase: bytes | None = None) -> MldsaSigner:
    """Read the key at path.

    Raises:
        StorageError: the file cannot be read.
        UntrustedError: as for `load_or_create_mldsa_signer`.
    """
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

    key = read_private_key(path, passphrase=passphrase)
    if not isinstance(key, MLDSA44PrivateKey):
        raise UntrustedError(f"expected an ML-DSA-44 key in {path}, found {type(key).__name__}")
    return MldsaSigner(key)


def verify_mldsa44(public_key: bytes, signature: bytes, data: bytes, *, what: str) -> None:
    """Check an ML-DSA-44 signature; `what` names the signed thing in the error.

    Raises:
        FormatError: the key has not 1,312 bytes.
        UntrustedError: a wrong length, or the signature is not by this key over data.
        UsageError: this machine's library knows no ML-DSA.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

    # Every string of that length is a public key (FIPS 204, algorithm 23): none is weak by form.
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise FormatError(
            f"expected {PUBLIC_KEY_BYTES} bytes of ML-DSA-44 public key, found {len(public_key)}"
        )
    if len(signature) != SIGNATURE_BYTES:
        raise UntrustedError(
            f"{what}: expected a signature of {SIGNATURE_BYTES} bytes, found {len(signature)}"
        )
    try:
        MLDSA44PublicKey.from_public_bytes(public_key).verify(signature, data)
    except InvalidSignature:
        raise UntrustedError(
            f"{what}: the signature does not verify under the ML-DSA-44 key"
            f" {public_key[:8].hex()}…; the content was changed after signing, or another key"
            " signed it"
        ) from None
    except UnsupportedAlgorithm:
        raise UsageError(_UNSUPPORTED) from None


_UNSUPPORTED: Final = (
    "this machine's cryptography library knows no ML-DSA-44, which the second signature of a"
    " checkpoint needs; install the wheels of cryptography 48 or later"
)


def _generate() -> MLDSA44PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

    try:
        return MLDSA44PrivateKey.generate()
    except UnsupportedAlgorithm:
        raise UsageError(_UNSUPPORTED) from None
