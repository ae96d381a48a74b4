"""Places that backups are kept at: a folder here, and object storage (provgraph.backup.objects).

Contract of a `Place`: what `write` was given is there, whole and durable, when it returns, and under no name
before; readers see the old bytes or the new ones. `alone` keeps a second writer out. All that goes wrong
is a StorageError that names the place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from provgraph import disk
from provgraph.errors import NotFoundError, StorageError, UntrustedError
from provgraph.seal.publish import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE

FOLDERS: Final = ("manifests", "homes", "segments")

_LOCK: Final = ".lock"
_TEMPORARY: Final = ".new"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Place(Protocol):
    """Where backups of one ledger are kept."""

    @property
    def address(self) -> str:
        """What the user calls it."""
        ...

    def make(self) -> None:
        """Make what a new place lacks.

        Raises:
            StorageError: it is not there and is not to be made here: a disk that is not mounted, say.
        """
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the objects in one of FOLDERS by name, with how many bytes each has; empty if none."""
        ...

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes.

        Raises:
            NotFoundError: there is none.
            UntrustedError: it has more than `max_bytes`.
        """
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put an object there, in the place of one of that name."""
        ...

    def remove(self, name: str) -> None:
        """Take an object away, where it is there."""
        ...

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from writing to the place.

        Raises:
            StorageError: another one writes there now.
        """
        ...

    def caveats(self) -> tuple[str, ...]:
        """Say what is known to survive there of what was removed."""
        ...


def open_place(target: str) -> Place:
    """Return the place that a user names: a folder, or `s3://…`, `gs://…`, `az://…`.

    Raises:
        UsageError: an address of another kind, or the extra is not installed.
    """
    if "://" in target and not target.startswith("file://"):
        from provgraph.backup.objects import open_objects

        return open_objects(target)
    return FolderPlace(Path(target.removeprefix("file://")).expanduser().absolute())


class FolderPlace:
    """A folder on a disk of this machine, or one that is mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def address(self) -> str:
        """The folder's path."""
        return str(self._folder)

    def make(self) -> None:
        """Make the folder and those in it; the folder above must be there."""
        if not self._folder.parent.is_dir():
            raise StorageError(
                f"{self.address}: there is no folder {self._folder.parent}; mount the disk, or make it"
            )
        with self._errors():
            for each in FOLDERS:
                disk.make_folder(self._folder / each, mode=PRIVATE_FOLDER_MODE)

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the files in a folder; not those of a write that was cut off."""
        with self._errors():
            try:
                with os.scandir(self._folder / folder) as found:
                    return {
                        each.name: each.stat().st_size
                        for each in found
                        if not each.name.startswith(".") and each.is_file(follow_symlinks=False)
                    }
            except FileNotFoundError:
                return {}

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return a file's bytes."""
        with self._errors():
            try:
                with (self._folder / name).open("rb") as file:
                    data = file.read(max_bytes + 1)
            except FileNotFoundError:
                raise NotFoundError(f"{self.address}: {name} is missing") from None
        if len(data) > max_bytes:
            raise UntrustedError(f"{self.address}: {name} has more than {max_bytes} bytes")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Put a file there; durable on return."""
        path = self._folder / name
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_TEMPORARY}")
        with self._errors():
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with open(os.open(temporary, flags, PRIVATE_FILE_MODE), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                # If the process dies before this, a file that nothing reads lies there; the next
                # backup takes it away.
                temporary.replace(path)
                disk.sync(path.parent)
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Take a file away."""
        with self._errors():
            (self._folder / name).unlink(missing_ok=True)
            disk.sync((self._folder / name).parent)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold a lock on a file in the folder; it ends with the process."""
        with self._errors():
            descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, PRIVATE_FILE_MODE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StorageError(
                    f"{self.address}: another backup is being written there now; repeat when it is done"
                ) from None
            self._clear()
            yield
        finally:
            os.close(descriptor)

    def caveats(self) -> tuple[str, ...]:
        """Nothing that a program could see; snapshots of the file system are for its keeper to know."""
        return ()

    def _clear(self) -> None:
        """Take away what writes that were cut off have left; nobody else writes now."""
        for folder in FOLDERS:
            for path in (self._folder / folder).glob(f".*{_TEMPORARY}"):
                with contextlib.suppress(OSError):
                    path.unlink()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            advice = "look at the disk and the permissions"
            if error.errno in _FULL:
                advice = "free space there, or lower --keep"
            elif error.errno == errno.ENOENT:
                advice = "it is gone: mount the disk"
            raise StorageError(
                f"{self.address}: {error.strerror or error}; {advice}, and repeat"
            ) from error
