"""Reading a backup back: everything it holds is checked against its manifest, then put into a new folder.

The folder gets its name last, by one rename, when everything in it is whole, checked and durable.

What it does not do: say whose ledger it is. Compare the log key, or the charter, with one that you got from
elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provgraph import disk
from provgraph.access import trail
from provgraph.backup import homes
from provgraph.backup.manifest import Manifest, Part, Stored, home_name, segment_name
from provgraph.backup.places import Place
from provgraph.backup.segments import (
    LEDGER,
    TRAIL,
    LedgerRows,
    read_ledger_segment,
    read_trail_segment,
)
from provgraph.backup.writing import home_context, segment_context
from provgraph.errors import NotFoundError, StorageError, UntrustedError, UsageError
from provgraph.ledger import schema
from provgraph.seal.encrypting import Cipher
from provgraph.seal.publish import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE

LEDGER_FILE: Final = "ledger.db"
TRAIL_FILE: Final = "trail.db"

_PREFIX: Final = "provgraph-restoring-"
# Names are kept by name, so they come in at random places: a cache that holds the inner pages.
_CACHE_KIB: Final = 256 * 1024

Progress = Callable[[int, int], None]
"""Called with (entries put back, entries there are)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup at a place, its manifest checked."""

    place: Place
    name: str  # of its manifest
    manifest: Manifest
    cipher: Cipher | None

    def read(self, name: str, stored: Stored, *, context: str) -> bytes:
        """Return an object of the backup, checked and decrypted.

        Raises:
            UntrustedError: it is missing, or not what the manifest names.
        """
        what = f"{self.place.address}: {name}"
        try:
            data = self.place.read(name, max_bytes=stored.size_bytes)
        except NotFoundError:
            raise UntrustedError(
                f"{what} ({context}) is missing; the backup {self.name} is not whole. Restore from another"
                " place, or an earlier one with --at (`provgraph restore --list`); `provgraph backup"
                " --check` from the home puts it back"
            ) from None
        found = hashlib.sha256(data).hexdigest()
        if found != stored.sha256 or len(data) != stored.size_bytes:
            raise UntrustedError(
                f"{what} ({context}) is damaged: expected {stored.size_bytes} bytes of"
                f" sha256:{stored.sha256}, found {len(data)} of sha256:{found}. Restore from another place"
            )
        return data if self.cipher is None else self.cipher.decrypt(data, context=context)

    def segment(self, part: Part) -> bytes:
        """Return a segment; errors as `read`."""
        context = segment_context(
            part.kind, origin=self.manifest.tree.origin, start=part.start, stop=part.stop
        )
        return self.read(segment_name(part.stored), part.stored, context=context)

    def files(self) -> dict[str, bytes]:
        """Return the state of the home; errors as `read`."""
        origin = self.manifest.tree.origin
        data = self.read(
            home_name(self.manifest.home), self.manifest.home, context=home_context(origin)
        )
        return homes.decode(data, origin=origin)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Lend a folder beside one that is to be made; it takes its place at the end, or goes.

    Raises:
        UsageError: the folder is there and not empty, whatever is in it.
        StorageError: it cannot be made.
    """
    require_empty(folder)
    temporary = folder.with_name(f".{folder.name}.{_PREFIX}{secrets.token_hex(8)}")
    try:
        disk.make_folder(folder.parent, mode=PRIVATE_FOLDER_MODE)
        _clear(folder)
        temporary.mkdir(mode=PRIVATE_FOLDER_MODE)
        lock = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StorageError(
            f"cannot make {folder}: {error.strerror or error}; choose another folder"
        ) from error
    try:
        # Whoever restores here next takes away what nobody holds.
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield temporary
        require_empty(folder)
        with _storage_errors(folder):
            disk.sync_tree(temporary)
            # If the process dies before this, the folder is not there; after it, all of it is.
            temporary.rename(folder)
            disk.sync(folder.parent)
    finally:
        os.close(lock)
        shutil.rmtree(temporary, ignore_errors=True)


def require_empty(folder: Path) -> None:
    """Check that there is no folder yet, or an empty one.

    Raises:
        UsageError: there is something.
    """
    try:
        if not any(folder.iterdir()):
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot restore into {folder}: {error.strerror or error}") from None
    what = "a home, perhaps one that is in use" if (folder / LEDGER_FILE).exists() else "not empty"
    raise UsageError(
        f"{folder} is {what}: nothing is ever restored over something. Name a new folder; to put it in the"
        " place of a broken home, stop what uses that one, move it aside, and restore there"
    )


def restore_into(folder: Path, backup: Backup, *, progress: Progress) -> dict[str, bytes]:
    """Put a backup into an empty folder; return the state of the home as it was.

    1. The state of the home is what the manifest names.
    2. So is each segment.
    3. Each segment is of this ledger and range, and its rows go in as they are.

    Whether the rows are the ledger that was signed is for the ledger's check.

    Raises:
        UntrustedError, FormatError: steps 1 to 3.
        StorageError: the folder cannot be written.
    """
    # 1.
    files = backup.files()
    with _storage_errors(folder):
        for name, data in files.items():
            if not name.startswith("trail/"):
                _put(folder / name, data)
        # 2. and 3.
        _restore_ledger(folder / LEDGER_FILE, backup, progress=progress)
        if homes.TRAIL_CHARTER in files:
            _restore_trail(folder / TRAIL_FILE, backup, files)
    return files


def check_objects(backup: Backup, *, progress: Progress) -> None:
    """Read everything that a backup names, and check it, without putting it anywhere.

    Raises:
        UntrustedError, FormatError: the first thing that is missing, damaged or of another place.
    """
    backup.files()
    for part in backup.manifest.parts:
        data = backup.segment(part)
        origin = backup.manifest.tree.origin
        read = read_ledger_segment if part.kind == LEDGER else read_trail_segment
        read(data, origin=origin, start=part.start, stop=part.stop)
        progress(part.stop, backup.manifest.tree.size)


def _restore_ledger(path: Path, backup: Backup, *, progress: Progress) -> None:
    manifest = backup.manifest
    schema.create(path, charter=manifest.charter.note, checkpoint=manifest.checkpoint)
    with (
        schema.storage_errors(path),
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db,
    ):
        # Nobody sees this file before it is whole and synced: until then it needs no safety.
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        db.execute("BEGIN")
        for part in manifest.of(LEDGER):
            data = backup.segment(part)
            rows = read_ledger_segment(
                data, origin=manifest.tree.origin, start=part.start, stop=part.stop
            )
            _insert(db, rows)
            progress(part.stop, manifest.tree.size)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _insert(db: sqlite3.Connection, found: LedgerRows) -> None:
    db.executemany(
        "INSERT INTO record VALUES (?, ?, ?, ?, ?)",
        ((row.position, row.iri_key, row.nodes, row.sealed, row.graph) for row in found.rows),
    )
    db.executemany(
        "INSERT OR IGNORE INTO name (kind, name, position, version, iri) VALUES (?, ?, ?, ?, ?)",
        (
            (kind, name, row.position, version, iri)
            for row in found.rows
            for kind, name, version, iri in row.names
        ),
    )
    db.executemany(
        "INSERT OR IGNORE INTO attachment (digest, data) VALUES (?, ?)", found.attachments
    )
    db.executemany(
        "INSERT INTO attached SELECT ?, id FROM attachment WHERE digest = ?",
        ((row.position, digest) for row in found.rows for digest in row.attached),
    )


def _restore_trail(path: Path, backup: Backup, files: Mapping[str, bytes]) -> None:
    rows = (
        row
        for part in backup.manifest.of(TRAIL)
        for row in read_trail_segment(
            backup.segment(part),
            origin=backup.manifest.tree.origin,
            start=part.start,
            stop=part.stop,
        )
    )
    trail.write_trail(
        path,
        charter=files[homes.TRAIL_CHARTER],
        checkpoint=files[homes.TRAIL_CHECKPOINT],
        rows=rows,
    )
    trail.verify_trail(path)


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE)
    with open(descriptor, "wb") as file:
        file.write(data)


def _clear(folder: Path) -> None:
    """Take away what restores into this folder have left that died."""
    for path in folder.parent.glob(f".{folder.name}.{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot restore into {folder}: {error.strerror or error}; nothing was made. Free space, or"
            " choose another folder"
        ) from error
