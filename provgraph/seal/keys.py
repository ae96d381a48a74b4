"""Ed25519 keys: made once, kept as PKCS#8 files, used to sign and to verify.

Specifications: RFC 8032 (Ed25519), RFC 5958 (PKCS#8), RFC 7468 (PEM). This is the only module that
loads `cryptography`, and it does so when a key is first used (about 24 ms).

What it does not do: it reads no environment, and judges no trust; a valid signature says that the
key signed, not that the key is anybody's.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provgraph.errors import StorageError, UntrustedError
from provgraph.seal.multikey import (
    ED25519,
    PublicKey,
    require_strong_ed25519,
    verification_method,
)
from provgraph.seal.publish import publish_once

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE_BYTES: Final = 64

# A PKCS#8 Ed25519 key is 119 bytes of PEM, encrypted about 300.
_MAX_KEY_FILE_BYTES: Final = 4096


class Signer:
    """An Ed25519 private key that signs bytes and never shows itself."""

    __slots__ = ("_key", "_public_key", "_verification_method")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public_key = key.public_key().public_bytes_raw()
        self._verification_method = verification_method(
            PublicKey(algorithm=ED25519, raw=self._public_key)
        )

    @property
    def public_key(self) -> bytes:
        """The raw 32-byte public key."""
        return self._public_key

    @property
    def verification_method(self) -> str:
        """The key's name in a proof: `did:key:<multikey>#<multikey>`."""
        return self._verification_method

    def __repr__(self) -> str:
        return f"Signer({self.verification_method.partition('#')[0]})"

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature over data."""
        return self._key.sign(data)


def generate_signer() -> Signer:
    """Make a new key that lives in memory only."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Signer(Ed25519PrivateKey.generate())


def signer_from_seed(seed: bytes) -> Signer:
    """Return the signer of a raw 32-byte private key (RFC 8032 section 5.1.5)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Signer(Ed25519PrivateKey.from_private_bytes(seed))


def load_or_create_signer(path: Path, *, passphrase: bytes | None = None) -> Signer:
    """Read the key at path, or make it there (mode 0600, in a folder of mode 0700).

    With a passphrase the file is encrypted PKCS#8. Two processes that create at once end up with
    the same key.

    Raises:
        StorageError: the key cannot be written or read.
        UntrustedError: others may read the file, it holds no Ed25519 key, or the passphrase is
            wrong, missing, or given for a key that is not encrypted.
    """
    if not path.exists():
        publish_once(path, lambda temporary: _write_new_key(temporary, passphrase))
    return load_signer(path, passphrase=passphrase)


def load_signer(path: Path, *, passphrase: bytes | None = None) -> Signer:
    """Read the key at path.

    Raises:
        StorageError: the file cannot be read.
        UntrustedError: as for `load_or_create_signer`.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(
            f"cannot read the key {path}: {error.strerror or error}; mend its permissions"
        ) from error
    if mode & 0o077:
        raise UntrustedError(
            f"the key {path} has mode {mode:04o}, so others on this machine may have read it;"
            f" run `chmod 600 {path}`, and make a new key if somebody could have"
        )
    if len(data) > _MAX_KEY_FILE_BYTES:
        raise UntrustedError(f"expected a PKCS#8 key in {path}, found a file that is far too long")
    try:
        key = load_pem_private_key(data, password=passphrase)
    except TypeError:
        raise UntrustedError(
            f"the key {path} is encrypted; set PROVGRAPH_KEY_PASSPHRASE"
            if passphrase is None
            else f"the key {path} is not encrypted, but PROVGRAPH_KEY_PASSPHRASE is set;"
            " unset it, or encrypt the key with `openssl pkcs8 -topk8`"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UntrustedError(
            f"the key {path} cannot be opened: wrong passphrase, or no PKCS#8 key in it"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UntrustedError(f"expected an Ed25519 key in {path}, found {type(key).__name__}")
    return Signer(key)


def verify_ed25519(public_key: bytes, signature: bytes, data: bytes, *, what: str) -> None:
    """Check an Ed25519 signature; `what` names the signed thing in the error.

    Raises:
        FormatError: the key has not 32 bytes.
        UntrustedError: a weak key, a wrong length, or the signature is not by this key over data.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    require_strong_ed25519(public_key)
    if len(signature) != SIGNATURE_BYTES:
        raise UntrustedError(
            f"{what}: expected a signature of {SIGNATURE_BYTES} bytes, found {len(signature)}"
        )
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise UntrustedError(
            f"{what}: the signature does not verify under the key {public_key.hex()};"
            " the content was changed after signing, or another key signed it"
        ) from None


def _write_new_key(temporary: Path, passphrase: bytes | None) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
    )

    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        encryption = BestAvailableEncryption(passphrase)
    key = Ed25519PrivateKey.generate()
    temporary.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
