"""Tiles: how a log's tree and entries are cut into files that any web server can serve.

Specification: C2SP tlog-tiles. A tile holds up to 256 consecutive hashes of one level of the tree;
each hash at level L + 1 is the root over a full tile of level L. An entry bundle holds the entries
under a tile of level 0, each after its length as big-endian uint16. A partial tile at the right edge
carries its width in its name. Tiles of a width never change.

Here are names and contents, without I/O: `ledger.tiles` writes them, `ledger.published` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from provgraph.errors import FormatError
from provgraph.frozen import dataclass
from provgraph.seal.entry import MAX_ENTRY_BYTES
from provgraph.seal.merkle import HASH_BYTES

TILE_WIDTH: Final = 256
_LEVELS: Final = 8  # of tiles, for sizes below 2^64; each spans 8 levels of the binary tree
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
MAX_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """The name of a tile of hashes; below level 0 lies the bundle of its entries."""

    level: int
    index: int
    width: int

    def __post_init__(self) -> None:
        if not 0 < self.width <= TILE_WIDTH or self.index < 0 or not 0 <= self.level <= 63:
            raise FormatError(f"expected a tile of level 0 to 63 and width 1 to 256, found {self}")

    @property
    def start(self) -> int:
        """The index of its first hash within its level."""
        return self.index * TILE_WIDTH

    @property
    def is_full(self) -> bool:
        """Whether it holds 256 hashes, and so has a hash at the level above."""
        return self.width == TILE_WIDTH

    @property
    def path(self) -> str:
        """The tile's path below the log's prefix: `tile/<L>/<N>[.p/<W>]`."""
        return self._path(str(self.level))

    @property
    def bundle_path(self) -> str:
        """The path of the entries below a tile of level 0: `tile/entries/<N>[.p/<W>]`."""
        return self._path("entries")

    def _path(self, level: str) -> str:
        suffix = "" if self.is_full else f".p/{self.width}"
        return f"tile/{level}/{_index_path(self.index)}{suffix}"


def new_tiles(old_size: int, size: int) -> Iterator[Tile]:
    """Yield the tiles that a tree of `size` needs and one of `old_size` did not have, level 0 first."""
    for level in range(_LEVELS):
        old_hashes, hashes = old_size >> (8 * level), size >> (8 * level)
        if hashes > old_hashes:
            for index in range(old_hashes // TILE_WIDTH, -(-hashes // TILE_WIDTH)):
                width = min(TILE_WIDTH, hashes - index * TILE_WIDTH)
                yield Tile(level=level, index=index, width=width)


def edge_tiles(size: int) -> Iterator[Tile]:
    """Yield the partial tiles at the right edge of a tree; their hashes make its root."""
    for level in range(_LEVELS):
        index, width = divmod(size >> (8 * level), TILE_WIDTH)
        if width:
            yield Tile(level=level, index=index, width=width)


def tile_of(level: int, index: int, size: int) -> tuple[Tile, int, int]:
    """Find the tile from which the hash of the complete subtree (level, index) is computed.

    Returns the tile in a tree of that size, and which of its hashes [start, stop) lie below.
    """
    tile_level, within = divmod(level, 8)
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
