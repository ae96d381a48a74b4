"""Reads a published folder of tiles as a stranger's bytes, and believes what its checkpoint proves.

Specifications: C2SP tlog-tiles, tlog-checkpoint; RFC 9162. Nothing is returned that was not hashed up
to the root in a checkpoint that the log has signed. Reading one entry or proof takes a few tiles;
`verify_published` reads them all. It needs the folder only: no ledger, no identity, no network.

What it does not do: know whose log it is (pass `keys`, got another way), that the folder is the
newest there is (pass `seen`, a checkpoint kept from before), or what the entries stand for.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from provgraph.errors import FormatError, NotFoundError, UntrustedError
from provgraph.frozen import dataclass
from provgraph.seal import merkle
from provgraph.seal.charter import Charter, open_charter
from provgraph.seal.entry import parse_entry
from provgraph.seal.merkle import Frontier, leaf_hash, tree_root
from provgraph.seal.note import MAX_NOTE_BYTES, Checkpoint, NoteKey, open_checkpoint
from provgraph.seal.tiles import (
    MAX_BUNDLE_BYTES,
    MAX_TILE_BYTES,
    TILE_WIDTH,
    Tile,
    decode_bundle,
    decode_tile,
    edge_tiles,
    new_tiles,
    tile_of,
)

# Verified tiles are kept for the next proof; 8 kB each.
_MAX_KEPT_TILES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedReport:
    """What was found to be whole."""

    origin: str
    size: int
    root: bytes
    tiles: int
    bundles: int


class PublishedLog:
    """A published folder whose checkpoint and right edge were verified; see `open_published`."""

    def __init__(
        self, folder: Path, *, charter: Charter, note: bytes, checkpoint: Checkpoint
    ) -> None:
        """Take over what was verified; use `open_published`."""
        self.folder = folder
        self.charter = charter
        self.note = note
        self.checkpoint = checkpoint
        self._kept: dict[Tile, list[bytes]] = {}

    def entry(self, index: int) -> bytes:
        """Return an entry, hashed up to the root.

        Raises:
            NotFoundError: the log has no such entry.
            UntrustedError: a tile or bundle is missing, or not what the checkpoint says.
        """
        self._require_index(index)
        tile, _, _ = tile_of(0, index, self.checkpoint.size)
        return self._bundle(tile)[index - tile.start]

    def entries(self) -> Iterator[bytes]:
        """Yield all entries in order, each hashed up to the root.

        Raises:
            UntrustedError: a tile or bundle is missing, or not what the checkpoint says.
        """
        for start in range(0, self.checkpoint.size, TILE_WIDTH):
            yield from self._bundle(tile_of(0, start, self.checkpoint.size)[0])

    def node_at(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree, hashed up to the root.

        Raises:
            UntrustedError: a tile is missing, or not what the checkpoint says.
        """
        tile, start, stop = tile_of(level, index, self.checkpoint.size)
        return tree_root(self._hashes(tile)[start:stop])

    def root(self, size: int) -> bytes:
        """Return the root of the tree as it was at an earlier size.

        Raises:
            NotFoundError: the log is smaller.
            UntrustedError: a tile is missing, or not what the checkpoint says.
        """
        if not 0 <= size <= self.checkpoint.size:
            raise NotFoundError(
                f"expected a tree size of 0 to {self.checkpoint.size}, found {size}"
            )
        return Frontier(size=size, node_at=self.node_at).root()

    def inclusion_proof(self, index: int) -> list[bytes]:
        """Return the path of an entry to the root of the checkpoint.

        Raises:
            NotFoundError: the log has no such entry.
            UntrustedError: a tile is missing, or not what the checkpoint says.
        """
        self._require_index(index)
        return merkle.inclusion_proof(index, self.checkpoint.size, self.node_at)

    def require_consistent(self, seen: Checkpoint) -> None:
        """Check that a checkpoint seen earlier is a prefix of this one.

        Raises:
            UntrustedError: another log, a smaller tree (rolled back), or another history.
        """
        ours = self.checkpoint
        if seen.origin != ours.origin:
            raise UntrustedError(
                f"{self.folder}: expected the log {seen.origin}, found {ours.origin}"
            )
        if seen.size > ours.size:
            raise UntrustedError(
                f"{self.folder}: {ours.origin} had {seen.size} entries before and has {ours.size} now:"
                " it was rolled back. Ask its operator for the entries that are missing"
            )
        if self.root(seen.size) != seen.root:
            raise UntrustedError(
                f"{self.folder}: the first {seen.size} entries of {ours.origin} are not those seen"
                " before: it has two histories. Keep both checkpoints, which prove it"
            )

    def _hashes(self, tile: Tile) -> list[bytes]:
        """Return the hashes of a tile, verified by the hash above it, up to the right edge."""
        known = self._kept.get(tile)
        if known is not None:
            return known
        hashes = _read_hashes(self.folder, tile)
        # A partial tile is a part of the right edge, which open_published has verified and kept.
        above, start, _ = tile_of(8 * (tile.level + 1), tile.index, self.checkpoint.size)
        if tree_root(hashes) != self._hashes(above)[start]:
            raise UntrustedError(
                f"{self.folder / tile.path}: its hashes are not those under the checkpoint over"
                f" {self.checkpoint.size} entries: it was changed after it was published"
            )
        if len(self._kept) >= _MAX_KEPT_TILES:
            # The oldest full tile; the edge came first and stays.
            del self._kept[next(each for each in self._kept if each.is_full)]
        self._kept[tile] = hashes
        return hashes

    def _bundle(self, tile: Tile) -> list[bytes]:
        entries = _read_bundle(self.folder, tile)
        if [leaf_hash(entry) for entry in entries] != self._hashes(tile):
            raise UntrustedError(
                f"{self.folder / tile.bundle_path}: its entries are not those under the checkpoint:"
                " it was changed after it was published"
            )
        return entries

    def _require_index(self, index: int) -> None:
        if not 0 <= index < self.checkpoint.size:
            raise NotFoundError(
                f"no entry {index} in {self.folder}, which has {self.checkpoint.size}"
            )


def open_published(
    folder: Path, *, keys: Sequence[NoteKey] | None = None, seen: Checkpoint | None = None
) -> PublishedLog:
    """Open a published folder.

    1. The charter is signed by the key that it names; with `keys`, it names exactly these.
    2. The checkpoint is signed by all keys of the charter, for its origin.
    3. The partial tiles at the right edge make the root of the checkpoint.
    4. With `seen`, that checkpoint is a prefix of this one (rolled back, forked).

    Args:
        folder: as `provgraph publish` makes it, or a copy of what a web server serves.
        keys: the log's keys from another source, such as its verifier keys.
        seen: a checkpoint of this log that the reader has verified earlier.

    Raises:
        NotFoundError: no such folder.
        UntrustedError: any step, or a file of the folder that is malformed.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no published ledger at {folder}: there is no such folder")
    with _malformed(folder):
        # 1.
        charter = open_charter(_needed(folder, "charter"))
        if keys is not None and set(keys) != set(charter.log_keys):
            raise UntrustedError(
                f"{folder}: its charter names other keys than"
                f" {', '.join(f'{key.name}+{key.key_id.hex()}' for key in keys)}"
            )
        # 2.
        note = _needed(folder, "checkpoint")
        checkpoint = open_checkpoint(note, *charter.log_keys)
    # 3.
    log = PublishedLog(folder, charter=charter, note=note, checkpoint=checkpoint)
    for tile in edge_tiles(checkpoint.size):
        log._kept[tile] = _read_hashes(folder, tile)
    if log.root(checkpoint.size) != checkpoint.root:
        raise UntrustedError(
            f"{folder}: its tiles do not make the root of the checkpoint over {checkpoint.size}"
            " entries: a tile at the right edge was changed, or belongs to another checkpoint"
        )
    # 4.
    if seen is not None:
        log.require_consistent(seen)
    return log


def verify_published(
    folder: Path, *, keys: Sequence[NoteKey] | None = None, seen: Checkpoint | None = None
) -> PublishedReport:
    """Read everything under a folder's checkpoint, and check it.

    1. The folder opens (`open_published`).
    2. Every tile of every level hashes up to the root.
    3. Every entry hashes to its leaf, and is an entry of this version.
    4. The root computed from the entries alone is the one that was signed.

    Memory is flat: a few tiles and one bundle.

    Raises:
        NotFoundError: no such folder.
        UntrustedError: any step; the first wrong file is named.
    """
    # 1.
    log = open_published(folder, keys=keys, seen=seen)
    size = log.checkpoint.size
    # 2.
    tiles = 0
    for tile in new_tiles(0, size):
        log._hashes(tile)
        tiles += 1
    # 3.
    frontier = Frontier(size=0)
    for entry in log.entries():
        try:
            parse_entry(entry)
        except FormatError as error:
            raise UntrustedError(f"{folder}: entry {frontier.size}: {error}") from None
        frontier.append(leaf_hash(entry))
    # 4.
    if frontier.root() != log.checkpoint.root:
        raise UntrustedError(f"{folder}: its entries do not make the root of its checkpoint")
    return PublishedReport(
        origin=log.checkpoint.origin,
        size=size,
        root=log.checkpoint.root,
        tiles=tiles,
        bundles=-(-size // TILE_WIDTH),
    )


def _read_hashes(folder: Path, tile: Tile) -> list[bytes]:
    for place in _places(tile):
        data = _read_file(folder / place.path, max_bytes=MAX_TILE_BYTES)
        if data is not None:
            with _malformed(folder / place.path):
                return decode_tile(data, width=place.width)[: tile.width]
    raise UntrustedError(f"{folder / tile.path} is missing, and the checkpoint needs it")


def _read_bundle(folder: Path, tile: Tile) -> list[bytes]:
    for place in _places(tile):
        data = _read_file(folder / place.bundle_path, max_bytes=MAX_BUNDLE_BYTES)
        if data is not None:
            with _malformed(folder / place.bundle_path):
                return decode_bundle(data, width=place.width)[: tile.width]
    raise UntrustedError(f"{folder / tile.bundle_path} is missing, and the checkpoint needs it")


def _places(tile: Tile) -> tuple[Tile, ...]:
    """Where a tile may stand: a partial one may have made way for the full one meanwhile."""
    full = Tile(level=tile.level, index=tile.index, width=TILE_WIDTH)
    return (tile,) if tile == full else (tile, full)


def _needed(folder: Path, name: str) -> bytes:
    data = _read_file(folder / name, max_bytes=MAX_NOTE_BYTES)
    if data is None:
        raise UntrustedError(
            f"{folder} has no file {name}: it is no published ledger, or cut short"
        )
    return data


def _read_file(path: Path, *, max_bytes: int) -> bytes | None:
    """Read a regular file up to a limit, None where there is none. Links and devices are refused."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UntrustedError(f"expected a regular file at {path}")
            data = file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UntrustedError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) > max_bytes:
        raise UntrustedError(f"expected at most {max_bytes} bytes in {path}")
    return data


@contextlib.contextmanager
def _malformed(path: Path) -> Iterator[None]:
    try:
        yield
    except FormatError as error:
        raise UntrustedError(f"{path}: {error}") from None
