"""What of a home goes into a backup beside the ledger's rows, and comes back from it.

Charter and checkpoint of the access trail, trust files, what witnesses have seen, settings, and
access.db, which holds the SHA-256 of tokens and no token. Private keys only under encryption. Never: the index
and what else is made from the ledger, and journals of runs that are going.

The form: one line `provgraph-home/1 <origin>`, and fields: a name, its bytes, and so on, by name.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from provgraph.backup.fields import field, read_fields, split_header
from provgraph.errors import FormatError, StorageError

TRAIL_CHARTER: Final = "trail/charter"
TRAIL_CHECKPOINT: Final = "trail/checkpoint"
ACCESS: Final = "access.db"
WITNESSED: Final = "witnessed/"
KEYS: Final = "keys/"

_FOLDERS: Final = ("trust", "witnessed")
_FILES: Final = ("config.toml",)
_MAGIC: Final = "provgraph-home/1"
# Single folders, and no name that leads out of them or hides.
_NAME = re.compile(r"(?:(?:trust|witnessed|trail|keys)/)?[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def gather(home: Path, *, with_keys: bool, trail: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the state of a home by name.

    Raises:
        StorageError: something there cannot be read.
    """
    found = dict(trail)
    try:
        for folder in (*_FOLDERS, *(["keys"] if with_keys else [])):
            for path in sorted((home / folder).glob("*")):
                if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                    found[f"{folder}/{path.name}"] = path.read_bytes()
        for name in _FILES:
            if (home / name).is_file():
                found[name] = (home / name).read_bytes()
        if (home / ACCESS).is_file():
            found[ACCESS] = _copied(home / ACCESS)
    except OSError as error:
        raise StorageError(
            f"cannot back up {home}: {error.strerror or error} ({error.filename}); mend its"
            " permissions"
        ) from error
    odd = [name for name in found if not _NAME.fullmatch(name)]
    if odd:
        raise StorageError(
            f"cannot back up {home / odd[0]}: expected a name of letters, digits, '.', '_' and '-'"
        )
    return found


def encode(files: Mapping[str, bytes], *, origin: str) -> bytes:
    """Write the state of a home down."""
    parts = [f"{_MAGIC} {origin}\n".encode()]
    for name in sorted(files):
        parts += [field(name.encode()), field(files[name])]
    return b"".join(parts)


def decode(data: bytes, *, origin: str) -> dict[str, bytes]:
    """Read the state of a home.

    Raises:
        FormatError: of another ledger, cut short, or names that a home does not have.
    """
    what = "the home's state"
    header, begin = split_header(data, what=what)
    if header != f"{_MAGIC} {origin}":
        raise FormatError(f"expected '{_MAGIC} {origin}', found {header[:200]!r}")
    fields = list(read_fields(data, begin, what=what))
    names = [each.decode("utf-8", "replace") for each in fields[::2]]
    if len(fields) % 2 or names != sorted(set(names)):
        raise FormatError(f"{what} is cut short, or holds a name twice")
    for name in names:
        if not _NAME.fullmatch(name):
            raise FormatError(f"{what}: expected the name of a file of a home, found {name!r:.200}")
    return dict(zip(names, fields[1::2], strict=True))


def _copied(path: Path) -> bytes:
    """Return a database's file as of one instant, its log folded in."""
    with tempfile.TemporaryDirectory(prefix="provgraph-backup-") as folder:
        copy = Path(folder, path.name)
        try:
            with contextlib.closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
            ) as db:
                db.execute("VACUUM INTO ?", (str(copy),))
        except sqlite3.Error as error:
            raise StorageError(f"cannot read {path}: {error}; look at the disk") from error
        return copy.read_bytes()
