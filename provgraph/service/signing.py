"""Which key signs in which role: a file of the home, or one that stays in a token or a server.

A key is opened once per process and kept. A file that another process has put in its place (a
rotation) is another key, and is noticed at the next use by its inode. What is no file is opened anew
in a forked child: a session with a token belongs to the process that made it.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provgraph.errors import StorageError
from provgraph.seal.entry import LOG, PRODUCER, STEWARD
from provgraph.seal.keyfile import how_kept
from provgraph.seal.keys import Signer, load_or_create_signer, load_signer
from provgraph.settings import Settings

PASSPHRASE_VARIABLE: Final = "PROVGRAPH_KEY_PASSPHRASE"  # noqa: S105 - the variable's name

_PKCS11: Final = "pkcs11:"
_VAULT: Final = "vault:"
OWN_ROLES: Final = (PRODUCER, STEWARD, LOG)
"""The roles that a home has a key of its own for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a private key is: a file, or a name that a token or a server understands."""

    text: str
    path: Path | None

    @property
    def kept(self) -> str:
        """In words: `encrypted file`, `file`, `PKCS#11`, `Vault` or `absent`."""
        if self.path is not None:
            return how_kept(self.path)
        return "PKCS#11" if self.text.startswith(_PKCS11) else "Vault"


def place_of(settings: Settings, role: str) -> Place:
    """Return where this home has its key of a role."""
    text = {
        PRODUCER: settings.producer_key,
        STEWARD: settings.steward_key,
        LOG: settings.log_key,
    }[role]
    return place(text or str(settings.keys_folder / f"{role}.pem"))


def place(text: str) -> Place:
    """Read where a key is, as it stands in a setting or on the command line."""
    if text.startswith((_PKCS11, _VAULT)):
        return Place(text=text, path=None)
    return Place(text=text, path=Path(text).expanduser())


class _Signers:
    """What this process has opened."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.files: dict[Path, tuple[tuple[int, int, int], Signer]] = {}
        self.others: dict[str, Signer] = {}


_signers: Final = _Signers()


def signer_of(settings: Settings, role: str) -> Signer:
    """Return this home's key of a role; one in a file is made on first use.

    Raises:
        StorageError: it cannot be read, written or reached.
        UntrustedError: others may read the file, the passphrase is wrong, or it is no fit key.
        UsageError: the setting is not of its form, or an extra is not installed.
    """
    return open_signer(place_of(settings, role), create=True)


def open_signer(where: Place, *, create: bool = False) -> Signer:
    """Return the key at a place, opened once per process.

    Raises:
        StorageError, UntrustedError, UsageError: as `signer_of`.
    """
    with _signers.lock:
        if where.path is not None:
            return _from_file(where.path, create=create)
        if where.text not in _signers.others:
            _signers.others[where.text] = _from_elsewhere(where.text)
        return _signers.others[where.text]


def passphrase() -> bytes | None:
    """Return the passphrase of key files from the environment."""
    text = os.environ.get(PASSPHRASE_VARIABLE)
    return text.encode() if text else None


def _from_file(path: Path, *, create: bool) -> Signer:
    identity = _identity(path)
    known = _signers.files.get(path)
    if known is not None and identity == known[0]:
        return known[1]
    if identity is None and not create:
        raise StorageError(f"no key at {path}; make one with `provgraph keys create {path}`")
    load = load_or_create_signer if create else load_signer
    signer = load(path, passphrase=passphrase())
    # Taken again: the file may just have been made. Another one put there meanwhile is noticed by
    # the next call, since its inode is another.
    identity = _identity(path) if identity is None else identity
    if identity is not None:
        _signers.files[path] = identity, signer
    return signer


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _from_elsewhere(text: str) -> Signer:
    # Neither costs anything where keys are files.
    if text.startswith(_PKCS11):
        from provgraph.seal.pkcs11 import PIN_VARIABLE, open_pkcs11_signer

        return open_pkcs11_signer(text, pin=os.environ.get(PIN_VARIABLE))
    from provgraph.seal.vault import open_vault_signer

    return open_vault_signer(text, environ=os.environ)


def _after_fork() -> None:
    _signers.others.clear()
    module = sys.modules.get("provgraph.seal.pkcs11")
    if module is not None:
        module.forget_sessions()
    _signers.lock.release()


os.register_at_fork(
    before=_signers.lock.acquire,
    after_in_parent=_signers.lock.release,
    after_in_child=_after_fork,
)
