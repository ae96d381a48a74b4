"""Files that come into being whole: once for ever (keys, a new ledger), or each time anew (state).

A file is written under a temporary name in its folder, made durable, and linked to its final name.
`link` fails where the name exists, so of two processes that make the same file at once one wins and
the other reads what the winner made. `replace_durably` renames instead, over what was there. POSIX; no
specification.

What it does not do: lock. Who replaces a file sees to it that nobody else does so meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from provgraph import disk
from provgraph.errors import StorageError

PRIVATE_FOLDER_MODE: Final = 0o700
PRIVATE_FILE_MODE: Final = 0o600


def publish_once(path: Path, fill: Callable[[Path], None]) -> None:
    """Make the file `path` unless it exists; `fill` writes it under a temporary name.

    The file is readable by its owner only. After the return the file exists, whole and durable,
    made by this process or by another one. `fill` gets the path of an empty file.

    Raises:
        StorageError: the folder cannot be made or written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        # Whoever finds the name finds its folders safe as well, even if this process dies here.
        disk.make_folder(path.parent, mode=PRIVATE_FOLDER_MODE)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE))
        try:
            fill(temporary)
            # If the process dies before the link, the name does not exist and a file `.….new` lies
            # in the folder that nothing reads.
            disk.sync(temporary)
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink()
        # If the power fails before this, the name may be gone, and the next call makes the file
        # again; nothing was acknowledged that rests on it.
        disk.sync(path.parent)
    except OSError as error:
        raise StorageError(
            f"cannot make {path}: {error.strerror or error};"
            " free space, or choose a writable folder with PROVGRAPH_HOME"
        ) from error


def replace_durably(path: Path, data: bytes) -> None:
    """Put a file, in the place of the one that is there; on return it is durable.

    A reader sees the old file or the new one, whole. The file is readable by its owner only.

    Raises:
        StorageError: the folder cannot be made or written; the old file, or the new one, is there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        disk.make_folder(path.parent, mode=PRIVATE_FOLDER_MODE)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with open(os.open(temporary, flags, PRIVATE_FILE_MODE), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # If the process dies before the rename, the old file stands, and a `.….new` that nothing
            # reads; after it, the new one, which the next line makes last.
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        disk.sync(path.parent)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; free space, or mend the permissions"
        ) from error
