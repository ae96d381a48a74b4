"""Private keys in files: PKCS#8 in PEM, one key each, readable by its owner only.

Specifications: RFC 5958 (PKCS#8), RFC 7468 (PEM), RFC 9881 (ML-DSA in PKCS#8, here as its seed).
`openssl pkey -in <file>` reads them all (ML-DSA since OpenSSL 3.5).

What it does not do: it reads no environment, and does not say what a key may be used for.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provgraph.errors import StorageError, UntrustedError
from provgraph.seal.publish import publish_once

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# A PKCS#8 Ed25519 or ML-DSA key (its seed) is about 125 bytes of PEM, encrypted about 300.
_MAX_KEY_FILE_BYTES: Final = 4096


def make_private_key(
    path: Path, generate: Callable[[], PrivateKeyTypes], *, passphrase: bytes | None
) -> None:
    """Make a new key at path (mode 0600, in a folder of mode 0700) unless there is one.

    With a passphrase the file is encrypted. Of two processes that make it at once one wins.

    Raises:
        StorageError: the key cannot be written.
    """

    def fill(temporary: Path) -> None:
        temporary.write_bytes(_pem(generate(), passphrase))

    if not path.exists():
        publish_once(path, fill)


def rewrite_private_key(path: Path, *, passphrase: bytes | None, new: bytes | None) -> None:
    """Encrypt the key at path under another passphrase; None writes it unencrypted.

    Raises:
        StorageError, UntrustedError: as for `read_private_key`.
    """
    key = read_private_key(path, passphrase=passphrase)

    def fill(temporary: Path) -> None:
        temporary.write_bytes(_pem(key, new))

    replacement = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    publish_once(replacement, fill)
    # If the process dies before this, the key is as it was, and a file `.….new` holds it too.
    os.replace(replacement, path)


def how_kept(path: Path) -> str:
    """Say how the key at path is kept: `encrypted file`, `file` or `absent`."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return "absent"
    return "encrypted file" if head.startswith(b"-----BEGIN ENCRYPTED") else "file"


def _pem(key: PrivateKeyTypes, passphrase: bytes | None) -> bytes:
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
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def read_private_key(path: Path, *, passphrase: bytes | None) -> PrivateKeyTypes:
    """Read the key at path.

    Raises:
        StorageError: the file cannot be read.
        UntrustedError: others may read the file, it holds no key, or the passphrase is wrong,
            missing, or given for a key that is not encrypted.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
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
        return load_pem_private_key(data, password=passphrase)
    except TypeError:
        raise UntrustedError(
            f"the key {path} is encrypted; set PROVGRAPH_KEY_PASSPHRASE"
            if passphrase is None
            else f"the key {path} is not encrypted, but PROVGRAPH_KEY_PASSPHRASE is set;"
            " unset it, or encrypt the key with `provgraph keys passphrase`"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UntrustedError(
            f"the key {path} cannot be opened: wrong passphrase, or no PKCS#8 key in it"
        ) from error
