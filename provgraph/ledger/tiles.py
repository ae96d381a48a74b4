"""Publishes a ledger as a folder of tiles, which any web server can serve and anyone can check.

Specifications: C2SP tlog-tiles, tlog-checkpoint. Beside `checkpoint` and `tile/` the folder holds the
ledger's `charter`, which names its keys. Entries are hashes; no record's content leaves the ledger.

Durability: what `checkpoint` promises is on the disk before it stands there, at any moment, also
after kill -9 and power cuts: every file is written under another name, synced and renamed, its
folders are synced, and the checkpoint comes last. Concurrency: publishers of one folder wait for each
other. Publishing again adds only what is new, and repairs what a publisher that died has left.

What it does not do: read back what it published earlier (`published.verify_published` does that), or
publish for a ledger that is older than its folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from provgraph import disk
from provgraph.errors import FormatError, StorageError, UntrustedError, UsageError
from provgraph.frozen import dataclass
from provgraph.ledger.reading import LedgerReader
from provgraph.seal.merkle import EMPTY_ROOT, Frontier, leaf_hash, tree_root
from provgraph.seal.note import Checkpoint, open_checkpoint
from provgraph.seal.tiles import Tile, edge_tiles, encode_bundle, new_tiles, tile_of

logger = logging.getLogger(__name__)

CHECKPOINT: Final = "checkpoint"
CHARTER: Final = "charter"
TILES: Final = "tile"

# How long a publisher waits for another one of the same folder.
BUSY_TIMEOUT_S: Final = 30.0

# Files are written here before they are renamed: one place to clean after a publisher that died.
_WORKSHOP: Final = ".publishing"
# To be served, so not private; the umask may take more away.
_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What a folder says now, and how much of it is new."""

    folder: Path
    checkpoint: Checkpoint
    new_entries: int
    new_files: int


def publish(
    ledger: LedgerReader, folder: Path, *, note: bytes, wait_s: float = BUSY_TIMEOUT_S
) -> Publication:
    """Bring a folder up to a signed checkpoint of the ledger.

    1. The checkpoint carries all signatures of the log, and is over a tree that this ledger has.
    2. Nobody else publishes into the folder meanwhile.
    3. The folder is new, or it belongs to this ledger and what it says is a prefix of this tree (a
       ledger restored from an old backup, or forked, must not overwrite what others have seen).
    4. Every tile is made from the entries and, before it is seen, checked against the checkpoint.
    5. The tiles are durable before the checkpoint is seen.
    6. Partial tiles that a full one has made superfluous are removed.

    Args:
        ledger: where the entries are.
        folder: made if it does not exist.
        note: the signed checkpoint, of `Ledger.cosigned_checkpoint`.
        wait_s: how long to wait for another publisher of the folder.

    Raises:
        UsageError: the folder holds other things.
        StorageError: the disk does not take it, or another publisher does not finish.
        UntrustedError: steps 1, 3 and 4.
        FormatError: the note or the folder's checkpoint is malformed.
    """
    # 1.
    checkpoint = open_checkpoint(note, *ledger.charter.log_keys)
    if checkpoint.size > ledger.size() or ledger.root(checkpoint.size) != checkpoint.root:
        raise UntrustedError(
            f"ledger {ledger.path}: the checkpoint over {checkpoint.size} entries is not of this"
            f" ledger's tree, which has {ledger.size()}"
        )
    with _storage_errors(folder):
        # 2.
        disk.make_folder(folder, mode=_FOLDER_MODE)
        with _alone(folder, wait_s=wait_s), _Workshop(folder) as workshop:
            # 3.
            old = _published(ledger, folder)
            _require_prefix(ledger, folder, old)
            if old.size > checkpoint.size:
                # Another publisher came first, with a later checkpoint.
                return Publication(folder=folder, checkpoint=old, new_entries=0, new_files=0)
            workshop.place(CHARTER, ledger.charter.note)
            # 4. From the root down: a tile is written when the hash above it has been checked.
            tiles = list(new_tiles(old.size, checkpoint.size))
            edge = _edge(ledger, checkpoint)
            for tile in reversed(tiles):
                if tile.level == 0:
                    entries = list(ledger.entries(tile.start, tile.start + tile.width))
                    hashes = [leaf_hash(entry) for entry in entries]
                    _require_hashes(ledger, tile, hashes, edge)
                    workshop.place(tile.bundle_path, encode_bundle(entries))
                else:
                    hashes = edge[tile] if tile in edge else _stored(ledger, tile)
                    _require_hashes(ledger, tile, hashes, edge)
                workshop.place(tile.path, b"".join(hashes))
            # 5. Until here a reader sees the old checkpoint, and more tiles than it needs.
            workshop.sync_folders()
            # If the process dies before the rename, the folder says what it said before; after it,
            # the whole of the new.
            if _content(folder / CHECKPOINT) != note:
                workshop.replace(CHECKPOINT, note)
            else:
                disk.sync(folder)  # by a publisher that may have died before its sync
            # 6. Whoever still reads under an older checkpoint finds the full tile.
            for tile in filter(lambda each: each.is_full, tiles):
                shutil.rmtree(folder / f"{tile.path}.p", ignore_errors=True)
                if tile.level == 0:
                    shutil.rmtree(folder / f"{tile.bundle_path}.p", ignore_errors=True)
    return Publication(
        folder=folder,
        checkpoint=checkpoint,
        new_entries=checkpoint.size - old.size,
        new_files=workshop.placed,
    )


def _published(ledger: LedgerReader, folder: Path) -> Checkpoint:
    """Return what the folder says already: the empty tree where it says nothing yet."""
    names = set(os.listdir(folder)) - {_WORKSHOP}
    if _content(folder / CHARTER) not in {None, ledger.charter.note}:
        raise UntrustedError(
            f"{folder} is the publication of another ledger than {ledger.origin};"
            " publish into a folder of its own"
        )
    if CHECKPOINT not in names:
        if names - {CHARTER, TILES}:
            raise UsageError(
                f"{folder} holds {', '.join(sorted(names)[:3])} and no checkpoint;"
                " publish into a new or empty folder"
            )
        return Checkpoint(origin=ledger.origin, size=0, root=EMPTY_ROOT)
    try:
        return open_checkpoint(_content(folder / CHECKPOINT) or b"", *ledger.charter.log_keys)
    except FormatError as error:
        raise UntrustedError(f"{folder / CHECKPOINT}: {error}") from None


def _require_prefix(ledger: LedgerReader, folder: Path, old: Checkpoint) -> None:
    size = ledger.size()
    if old.size > size:
        raise UntrustedError(
            f"{folder} has {old.size} entries of {old.origin}, the ledger {ledger.path} only"
            f" {size}: it was restored from an older backup. Nothing was published. Do not append"
            " to it: what others have seen would get a second history. Restore a backup that has at"
            f" least {old.size} entries, or start a new ledger"
        )
    if ledger.root(old.size) != old.root:
        raise UntrustedError(
            f"{folder} has other entries below {old.size} than the ledger {ledger.path}: two"
            f" histories of {old.origin} exist. Nothing was published. Keep both, find out which copy"
            " is the right one, and record into that one only"
        )


def _stored(ledger: LedgerReader, tile: Tile) -> list[bytes]:
    level = 8 * tile.level
    return [ledger.node_at(level, tile.start + place) for place in range(tile.width)]


def _edge(ledger: LedgerReader, checkpoint: Checkpoint) -> dict[Tile, list[bytes]]:
    """Return the partial tiles at the right edge, after checking that they make the signed root."""
    edge = {tile: _stored(ledger, tile) for tile in edge_tiles(checkpoint.size)}

    def node_at(level: int, index: int) -> bytes:
        tile, start, stop = tile_of(level, index, checkpoint.size)
        return tree_root(edge[tile][start:stop])

    if Frontier(size=checkpoint.size, node_at=node_at).root() != checkpoint.root:
        raise UntrustedError(
            f"ledger {ledger.path}: its stored hashes do not make the root of the checkpoint over"
            f" {checkpoint.size} entries; nothing was published. Restore a backup"
        )
    return edge


def _require_hashes(
    ledger: LedgerReader, tile: Tile, hashes: list[bytes], edge: dict[Tile, list[bytes]]
) -> None:
    """Check a tile's hashes against the hash above it, or as a part of the right edge."""
    if tile.is_full:
        is_right = tree_root(hashes) == ledger.node_at(8 * (tile.level + 1), tile.index)
    else:
        is_right = hashes == edge[tile]
    if not is_right:
        what = "entries" if tile.level == 0 else "stored hashes"
        raise UntrustedError(
            f"ledger {ledger.path}: the {what} of {tile.path} are not those that were signed;"
            " nothing was published. Run `provgraph fsck`, and restore a backup"
        )


class _Workshop:
    """Writes files whole: under another name, synced, then renamed."""

    def __init__(self, folder: Path) -> None:
        self.placed = 0
        self._folder = folder
        self._place = folder / _WORKSHOP
        self._touched: set[Path] = set()

    def __enter__(self) -> Self:
        # What a publisher that died has left is of no use.
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._place, ignore_errors=True)

    def place(self, name: str, data: bytes) -> None:
        """Put a file that never changes; one that is there already must be the same."""
        path = self._folder / name
        self._touch(path)
        known = _content(path)
        if known == data:
            # Renamed into place only after it was synced; its folder's entry is synced again.
            return
        if known is not None:
            raise UntrustedError(
                f"{path} holds other bytes than the ledger: it was changed, or written from another"
                " history of this ledger. Nothing was published. Publish into a new folder, and"
                " compare the two"
            )
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        self._rename(data, path)
        self.placed += 1

    def replace(self, name: str, data: bytes) -> None:
        """Put a file in the place of another, at once; it is durable on return."""
        self._rename(data, self._folder / name)
        disk.sync(self._folder)

    def _rename(self, data: bytes, path: Path) -> None:
        temporary = self._place / secrets.token_hex(8)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)

    def sync_folders(self) -> None:
        """Make the names of all files that were put durable."""
        for path in sorted(self._touched, reverse=True):
            disk.sync(path)

    def _touch(self, path: Path) -> None:
        while path != self._folder:
            path = path.parent
            self._touched.add(path)


@contextlib.contextmanager
def _alone(folder: Path, *, wait_s: float) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"another process has been publishing into {folder} for"
                        f" {wait_s:.0f} s; find out which (`fuser`), and repeat"
                    ) from None
                time.sleep(0.05)
            except OSError as error:
                logger.warning("published without a lock folder=%s error=%s", folder, error)
                break
        yield
    finally:
        os.close(descriptor)


def _content(path: Path) -> bytes | None:
    """Return a file's bytes, None where there is no file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise StorageError(
            f"cannot publish into {folder}: {error.strerror or error};"
            f" {'free space' if is_full else 'look at the disk and the permissions'}, and repeat:"
            " readers see the last checkpoint until then"
        ) from error
