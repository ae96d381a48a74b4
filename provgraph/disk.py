"""Names and folders that outlive a power cut: which fsync POSIX asks for, and in which order.

The bytes of a file are safe after its own fsync, its name after an fsync of its folder, and the folder's
own name after one of the folder above. File systems in use promise more than that; nothing here
relies on it.

What it does not do: replace files. Errors are OSError; whoever calls says what they mean.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, safe.

    Raises:
        OSError: it cannot be opened, or the disk did not take it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders_above(folder: Path) -> None:
    """Make the name of a folder safe, and those of the folders that it lies in.

    Whoever made them may have died before they were. Folders that this user may not read were made
    by somebody else, and stand for themselves; so do those above the mount point. Each is done once
    per process.

    Raises:
        OSError: the disk did not take it.
    """
    status = os.stat(folder)
    device = status.st_dev
    path = Path(os.path.abspath(folder))
    for above in path.parents:
        key = (path, status.st_dev, status.st_ino)
        path, status = above, os.stat(above)
        if status.st_dev != device:
            return
        if key not in _safe_names:
            with contextlib.suppress(PermissionError):
                sync(above)
            _safe_names.add(key)


# Folders by path, device and number whose names are safe.
_safe_names: Final[set[tuple[Path, int, int]]] = set()


def make_folder(folder: Path, *, mode: int) -> None:
    """Make a folder, and those above it where they are missing; all their names are safe then.

    Raises:
        OSError: it cannot be made, or the disk did not take it.
    """
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    sync_folders_above(folder)


def sync_tree(folder: Path) -> None:
    """Make everything below a folder safe; not its own name.

    Raises:
        OSError: the disk did not take it.
    """
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(place, name))
        sync(Path(place))
