"""Tiles: how a log's tree and entries are cut into files that any web server can serve.

Specification: C2SP tlog-tiles. A tile holds up to 256 consecutive hashes of one level of the tree;
each hash at level L + 1 is the root over a full tile of level L. An entry bundle holds the entries
under a tile of level 0, each after its length as big-endian uint16. A partial tile at the right edge
carries its width in its name. Tiles of a width never change.

Here are names and contents, checked, without I/O: `ledger.tiles` writes them, `seal.published` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from provgraph.errors import FormatError
from provgraph.seal.entry import MAX_ENTRY_BYTES
from provgraph.seal.merkle import HASH_BYTES

TILE_WIDTH: Final = 256
_TILE_LEVELS: Final = 8  # levels of the binary tree in one tile
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
MAX_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES

ENTRIES: Final = "entries"
"""Stands for the level in the name of an entry bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A tile of hashes, or the bundle of entries below a tile of level 0 (`level` is None)."""

    level: int | None
    index: int
    width: int

    def __post_init__(self) -> None:
        if not 0 < self.width <= TILE_WIDTH or self.index < 0 or not 0 <= (self.level or 0) <= 63:
            raise FormatError(f"expected a tile of level 0 to 63 and width 1 to 256, found {self}")

    @property
    def path(self) -> str:
        """The tile's path below the log's prefix: `tile/<L>/<N>[.p/<W>]`."""
        level = ENTRIES if self.level is None else str(self.level)
        suffix = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{_index_path(self.index)}{suffix}"

    @property
    def full(self) -> Tile:
        """The full tile at the same place, which makes partial ones superfluous."""
        return Tile(level=self.level, index=self.index, width=TILE_WIDTH)

    @property
    def start(self) -> int:
        """The index of its first hash within its level."""
        return self.index * TILE_WIDTH


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield all tiles and bundles of a tree, as `new_tiles(0, size)`."""
    return new_tiles(0, size)


def new_tiles(old_size: int, size: int) -> Iterator[Tile]:
    """Yield the tiles that a tree of `size` needs and one of `old_size` did not have.

    Level 0 comes first, each tile after the bundle of its entries.
    """
    for level in range(8):
        old_hashes, hashes = old_size >> (8 * level), size >> (8 * level)
        if hashes == 0:
            return
        if hashes == old_hashes:
            continue
        for index in range(old_hashes // TILE_WIDTH, -(-hashes // TILE_WIDTH)):
            width = min(TILE_WIDTH, hashes - index * TILE_WIDTH)
            if level == 0:
                yield Tile(level=None, index=index, width=width)
            yield Tile(level=level, index=index, width=width)


def tile_of(level: int, index: int, size: int) -> tuple[Tile, int, int]:
    """Find the tile from which the hash of the complete subtree (level, index) is computed.

    Returns the tile in a tree of that size, and which of its hashes [start, stop) lie below.
    """
    tile_level, within = divmod(level, _TILE_LEVELS)
    start = index << within
    number = start // TILE_WIDTH
    width = min(TILE_WIDTH, (size >> (8 * tile_level)) - number * TILE_WIDTH)
    tile = Tile(level=tile_level, index=number, width=width)
    return tile, start - tile.start, start - tile.start + (1 << within)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of an entry bundle."""
    return b"".join(part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry))


def decode_bundle(data: bytes, *, width: int) -> list[bytes]:
    """Read an entry bundle that must hold exactly `width` entries.

    Raises:
        FormatError: another number of entries, or bytes that are left over.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < width:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            break
        entries.append(data[at + 2 : end])
        at = end
    if len(entries) != width or at != len(data):
        raise FormatError(
            f"expected a bundle of {width} entries, found {len(entries)} whole ones and"
            f" {len(data) - at} bytes left over"
        )
    return entries


def decode_tile(data: bytes, *, width: int) -> list[bytes]:
    """Read a tile that must hold exactly `width` hashes.

    Raises:
        FormatError: another length.
    """
    if len(data) != width * HASH_BYTES:
        raise FormatError(
            f"expected a tile of {width} hashes, {width * HASH_BYTES} bytes, found {len(data)}"
        )
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def _index_path(index: int) -> str:
    """Write an index in path elements of three digits, all but the last with an x before them."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
