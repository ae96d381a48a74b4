"""The folder of a witness: its name and keys, and for each log its keys and what was cosigned last.

<folder>/name                 the witness's name in its signature lines, chosen once
<folder>/keys/                ed25519.pem and mldsa44.pem (mode 0600, encrypted with a passphrase)
<folder>/logs/<origin hash>/  `keys`: the log's verifier keys, one a line; `checkpoint`: the signed
                              checkpoint that was cosigned last, or "never cosigned"; `lock`

Durability: a state that was put is on the disk. Concurrency: who reads a state to replace it holds the
log's lock (flock), which counts between threads and between processes. A state that is missing,
malformed or not signed by this witness is an error and never taken for a new log's: a witness that
began at zero again would cosign a second history.

What it does not do: notice that the whole folder was restored from an older copy. Nobody can from
inside; keep it on a disk that is not rolled back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from provgraph.errors import (
    ConflictError,
    FormatError,
    NotFoundError,
    StorageError,
    UntrustedError,
    UsageError,
)
from provgraph.seal.keys import load_or_create_signer
from provgraph.seal.merkle import EMPTY_ROOT
from provgraph.seal.mldsa import load_or_create_mldsa_signer
from provgraph.seal.note import (
    MAX_NOTE_BYTES,
    Checkpoint,
    Cosigner,
    NoteKey,
    SignatureType,
    open_checkpoint,
    parse_vkey,
)
from provgraph.seal.publish import publish_once, replace_durably
from provgraph.seal.witnessed import Cosigned, require_cosigned
from provgraph.witness.protocol import origin_hash

# How long a request waits for another one about the same log: that one is waiting for the disk.
BUSY_TIMEOUT_S: Final = 10.0

_NEVER: Final = b"never cosigned\n"
_NAME = re.compile(r"[^\s+\x00-\x1f]{1,255}")
_MAX_KEYS_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a witness knows of a log: the checkpoint it cosigned last, the empty tree before that."""

    checkpoint: Checkpoint
    note: bytes | None
    cosigned: Cosigned | None


class WitnessFolder:
    """An open folder; see `open_folder`."""

    def __init__(self, path: Path, cosigners: Sequence[Cosigner]) -> None:
        """Take over what was read; use `open_folder`."""
        self.path = path
        self.cosigners = tuple(cosigners)

    @property
    def name(self) -> str:
        """The witness's name."""
        return self.cosigners[0].name

    @property
    def keys(self) -> tuple[NoteKey, ...]:
        """The public keys under which its cosignatures verify."""
        return tuple(cosigner.key for cosigner in self.cosigners)

    def add_log(self, keys: Sequence[NoteKey]) -> str:
        """Begin to cosign for a log: all of these keys must sign its checkpoints. Return its origin.

        Adding it again with the same keys is harmless.

        Raises:
            UsageError: no keys, keys of several names, or none that a log signs with.
            ConflictError: the log is known with other keys.
            StorageError: the folder cannot be written.
        """
        origin = _one_origin(keys)
        folder = self._log(origin)
        text = "".join(f"{key.vkey}\n" for key in keys)
        # The keys come last: a log exists once they are there, and then it has a state.
        publish_once(folder / "checkpoint", lambda path: _fill(path, _NEVER))
        publish_once(folder / "keys", lambda path: _fill(path, text.encode()))
        if set(self.log_keys(origin)) != set(keys):
            raise ConflictError(
                f"the witness {self.path} knows {origin} with other keys; look at"
                f" {folder / 'keys'}, and find out which are the log's"
            )
        return origin

    def origins(self) -> list[str]:
        """Return the origins of all logs, sorted."""
        found = (_read_keys(path) for path in sorted(self.path.glob("logs/*/keys")))
        return sorted(keys[0].name for keys in found)

    def origin_of(self, hashed: str) -> str:
        """Return the origin of the log whose hash (`protocol.origin_hash`) that is.

        Raises:
            NotFoundError: the witness does not know the log.
        """
        return _read_keys(self.path / "logs" / hashed / "keys")[0].name

    def log_keys(self, origin: str) -> tuple[NoteKey, ...]:
        """Return the keys that must sign a log's checkpoints.

        Raises:
            NotFoundError: the witness does not know the log.
            UntrustedError: the file was changed.
        """
        keys = _read_keys(self._log(origin) / "keys")
        if keys[0].name != origin:
            raise UntrustedError(f"{self._log(origin)} holds the keys of {keys[0].name}")
        return keys

    def state(self, origin: str) -> State:
        """Return what was cosigned last, its signatures checked.

        Raises:
            NotFoundError: the witness does not know the log.
            StorageError: the file cannot be read.
            UntrustedError: the file is missing, damaged, or not signed by this witness and the log.
        """
        keys = self.log_keys(origin)
        path = self._log(origin) / "checkpoint"
        try:
            data = _read(path, max_bytes=MAX_NOTE_BYTES)
            if data == _NEVER:
                empty = Checkpoint(origin=origin, size=0, root=EMPTY_ROOT)
                return State(checkpoint=empty, note=None, cosigned=None)
            checkpoint = open_checkpoint(data, *keys)
            cosigned = require_cosigned(data, self.keys)
        except (NotFoundError, FormatError, UntrustedError) as error:
            raise UntrustedError(
                f"the state of {origin} in {path} is not what this witness wrote: {error}."
                " It cosigns nothing for this log, since it could cosign a second history."
                " Restore the file; if it is lost, retire this witness and make one with a new key"
            ) from None
        return State(checkpoint=checkpoint, note=data, cosigned=cosigned)

    def put_state(self, origin: str, note: bytes) -> None:
        """Put a cosigned checkpoint in the place of the last one; on return it is durable.

        Raises:
            StorageError: the disk did not take it; the old or the new one is there.
        """
        replace_durably(self._log(origin) / "checkpoint", note)

    @contextlib.contextmanager
    def alone(self, origin: str, *, wait_s: float = BUSY_TIMEOUT_S) -> Iterator[None]:
        """Hold a log's lock.

        Raises:
            StorageError: another request held it for too long, or locks do not work here.
        """
        path = self._log(origin) / "lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"cannot lock {path}: {error.strerror or error}") from error
        try:
            deadline = time.monotonic() + wait_s
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StorageError(f"{path} was held for {wait_s:.0f} s") from None
                    time.sleep(0.005)
                except OSError as error:
                    raise StorageError(f"cannot lock {path}: {error.strerror or error}") from error
            yield
        finally:
            os.close(descriptor)

    def _log(self, origin: str) -> Path:
        return self.path / "logs" / origin_hash(origin)


def open_folder(
    path: Path,
    *,
    clock: Callable[[], datetime],
    name: str | None = None,
    passphrase: bytes | None = None,
) -> WitnessFolder:
    """Open a witness's folder; make it first, with name and keys, where there is none.

    `name` counts only when the folder is made; without one a random name is chosen.

    Raises:
        UsageError: a name that a signature line cannot hold, or another one than the folder has.
        StorageError: the folder cannot be made or read.
        UntrustedError: others may read a key, it cannot be opened, or the passphrase is wrong.
    """
    chosen = name or f"provgraph.witness/{secrets.token_hex(8)}"
    if not _NAME.fullmatch(chosen) or len(chosen.encode()) > 255:
        raise UsageError(
            "expected a witness's name of 1 to 255 bytes without spaces and plus, such as"
            f" witness.example.org/w1, found {chosen!r:.300}"
        )
    publish_once(path / "name", lambda file: _fill(file, f"{chosen}\n".encode()))
    found = _read(path / "name", max_bytes=1024).decode("utf-8", "replace").removesuffix("\n")
    if not _NAME.fullmatch(found):
        raise UntrustedError(f"{path / 'name'}: expected a witness's name, found {found!r:.300}")
    if name is not None and found != name:
        raise UsageError(
            f"the witness {path} is called {found}, not {name}; a witness keeps its name: make"
            " another one in a folder of its own"
        )
    ed25519 = load_or_create_signer(path / "keys" / "ed25519.pem", passphrase=passphrase)
    mldsa = load_or_create_mldsa_signer(path / "keys" / "mldsa44.pem", passphrase=passphrase)
    return WitnessFolder(
        path, [Cosigner(name=found, signer=signer, clock=clock) for signer in (ed25519, mldsa)]
    )


def _one_origin(keys: Sequence[NoteKey]) -> str:
    names = {key.name for key in keys}
    if len(names) != 1:
        raise UsageError(f"expected keys of one log, found {', '.join(sorted(names)) or 'none'}")
    if not any(key.type == SignatureType.ED25519 for key in keys):
        raise UsageError(
            "expected the log's verifier key of type 0x01 (Ed25519), as `provgraph publish` prints it"
        )
    return names.pop()


def _read_keys(path: Path) -> tuple[NoteKey, ...]:
    lines = _read(path, max_bytes=_MAX_KEYS_BYTES).decode("utf-8", "replace").splitlines()
    try:
        keys = tuple(map(parse_vkey, lines))
    except FormatError as error:
        raise UntrustedError(f"{path}: {error}; add the log again") from None
    if not keys:
        raise UntrustedError(f"{path}: expected a log's verifier keys, found none")
    return keys


def _read(path: Path, *, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no {path}") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > max_bytes:
        raise UntrustedError(f"{path}: expected at most {max_bytes} bytes")
    return data


def _fill(path: Path, data: bytes) -> None:
    path.write_bytes(data)
