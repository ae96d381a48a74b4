"""The trust files of a home: every version that was installed, checked as a chain.

<home>/trust/000001.note, 000002.note, …: the first is taken on the word of whoever installs it, each
later one must be its predecessor's successor. The last one holds. None is ever removed: a bundle carries
them all, so that whoever knows an old one can follow to the newest.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provgraph.errors import StorageError, UntrustedError, UsageError
from provgraph.seal.publish import publish_once
from provgraph.settings import Settings

if TYPE_CHECKING:
    from provgraph.seal.trustfile import TrustFile

_NAME: Final = re.compile(r"([0-9]{6,16})\.note")


@dataclass(slots=True)
class _Known:
    """The chain as this process read it last, and the folder as it was then."""

    folder: Path | None = None
    state: tuple[int, int] | None = None
    chain: tuple[TrustFile, ...] = ()


_known: Final = _Known()


def trust_chain(settings: Settings) -> tuple[TrustFile, ...]:
    """Return the trust files installed here, the one in force last; read again when they change.

    Raises:
        UntrustedError: one is not signed by its roots, or is not its predecessor's successor.
        StorageError: they cannot be read.
    """
    folder = settings.trust_folder
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageError(f"cannot read {folder}: {error.strerror or error}") from error
    from provgraph.seal.trustfile import open_trust, require_successor

    state = (status.st_ino, status.st_mtime_ns)
    if (_known.folder, _known.state) != (folder, state):
        chain: list[TrustFile] = []
        for name in sorted(os.listdir(folder), key=lambda each: (len(each), each)):
            if not _NAME.fullmatch(name):
                continue
            found = open_trust(read_trust(folder / name))
            if chain:
                require_successor(found, of=chain[-1])
            chain.append(found)
        _known.folder, _known.state, _known.chain = folder, state, tuple(chain)
    return _known.chain


def trust_in_force(settings: Settings) -> TrustFile | None:
    """Return the newest trust file installed here, or None.

    Raises:
        UntrustedError, StorageError: as `trust_chain`.
    """
    chain = trust_chain(settings)
    return chain[-1] if chain else None


def install_trust(settings: Settings, data: bytes, *, origin: str) -> TrustFile:
    """Check a trust file and let it hold from now on.

    Raises:
        FormatError: not a trust file.
        UntrustedError: too few signatures, or not the successor of the one in force.
        UsageError: it speaks of another ledger than this home's.
        StorageError: it could not be kept.
    """
    from provgraph.seal.trustfile import open_trust, require_successor

    found = open_trust(data)
    if found.says.origin != origin:
        raise UsageError(
            f"this trust file speaks of {found.says.origin}, the ledger of this home is {origin};"
            " make one for it with `provgraph keys trust draft`"
        )
    now = trust_in_force(settings)
    if now is not None:
        require_successor(found, of=now)

    def fill(temporary: Path) -> None:
        temporary.write_bytes(data)

    path = settings.trust_folder / f"{found.version:06d}.note"
    # If the process dies before the link, nothing has changed; after it, the file is whole.
    publish_once(path, fill)
    if read_trust(path) != data:
        raise UntrustedError(f"{path} holds another trust file of that version already")
    return found


def read_trust(path: Path) -> bytes:
    """Return the bytes of a file that should be a trust file, as long as one can be.

    Raises:
        StorageError: it cannot be read.
    """
    from provgraph.seal.trustfile import MAX_TRUST_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_TRUST_BYTES + 1)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
