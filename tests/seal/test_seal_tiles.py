from __future__ import annotations

import contextlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provgraph.errors import FormatError
from provgraph.seal.merkle import Frontier, leaf_hash, tree_root
from provgraph.seal.tiles import (
    Tile,
    decode_bundle,
    decode_tile,
    edge_tiles,
    encode_bundle,
    new_tiles,
    tile_of,
)


@pytest.mark.parametrize(
    ("tile", "path", "bundle"),
    [
        (Tile(level=0, index=1234067, width=256), "tile/0/x001/x234/067", "x001/x234/067"),
        (Tile(level=0, index=0, width=256), "tile/0/000", "000"),
        (Tile(level=0, index=999, width=1), "tile/0/999.p/1", "999.p/1"),
        (Tile(level=1, index=1000, width=255), "tile/1/x001/000.p/255", "x001/000.p/255"),
        (Tile(level=63, index=12, width=256), "tile/63/012", "012"),
    ],
)
def test_paths(tile: Tile, path: str, bundle: str) -> None:
    assert (tile.path, tile.bundle_path) == (path, f"tile/entries/{bundle}")


@pytest.mark.parametrize(("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])  # fmt: skip
def test_tiles_that_cannot_be_are_refused(level: int, index: int, width: int) -> None:
    with pytest.raises(FormatError, match="level 0 to 63 and width 1 to 256"):
        Tile(level=level, index=index, width=width)


def shape(size: int) -> dict[tuple[int, int], int]:
    """How many tiles of each (level, width) a tree has."""
    return dict(Counter((tile.level, tile.width) for tile in new_tiles(0, size)))


def test_the_example_of_the_specification() -> None:
    """A tree of size 70,000 (tlog-tiles, Partial Tiles), and one of 256."""
    assert shape(70_000) == {(0, 256): 273, (0, 112): 1, (1, 256): 1, (1, 17): 1, (2, 1): 1}
    assert shape(256) == {(0, 256): 1, (1, 1): 1}
    assert shape(0) == {}
    assert shape(65_536) == {(0, 256): 256, (1, 256): 1, (2, 1): 1}


def test_new_tiles_are_those_that_the_old_tree_had_not() -> None:
    for old in (0, 1, 255, 256, 257, 511, 65_535, 65_536, 70_000):
        for size in (old, old + 1, old + 256, old + 300, old + 66_000):
            before, after = set(new_tiles(0, old)), set(new_tiles(0, size))
            assert set(new_tiles(old, size)) == after - before


def test_edge_tiles_are_the_partial_ones() -> None:
    for size in (0, 1, 255, 256, 257, 65_535, 65_536, 70_000, 2**24 + 1):
        partial = [tile for tile in new_tiles(max(0, size - 1), size) if not tile.is_full]
        assert set(partial) <= set(edge_tiles(size))
        assert all(not tile.is_full for tile in edge_tiles(size))
    assert [*edge_tiles(70_000)] == [
        Tile(level=0, index=273, width=112),
        Tile(level=1, index=1, width=17),
        Tile(level=2, index=0, width=1),
    ]


def test_every_subtree_is_found_in_its_tile() -> None:
    size = 1000
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    hashes: dict[Tile, list[bytes]] = {}
    for tile in new_tiles(0, size):
        width = 256**tile.level
        starts = [(tile.start + place) * width for place in range(tile.width)]
        hashes[tile] = [tree_root(leaves[start : start + width]) for start in starts]

    def node_at(level: int, index: int) -> bytes:
        tile, start, stop = tile_of(level, index, size)
        return tree_root(hashes[tile][start:stop])

    for level in range(10):
        for index in range(size >> level):
            expected = tree_root(leaves[index << level : (index + 1) << level])
            assert node_at(level, index) == expected
    assert Frontier(size=size, node_at=node_at).root() == tree_root(leaves)


# ---- contents ------------------------------------------------------------------------------------
def test_bundle_is_length_and_entry_after_each_other() -> None:
    entries = [b"one", b"", b"x" * 300]
    data = b"\0\3one\0\0\1\x2c" + b"x" * 300
    assert encode_bundle(entries) == data
    assert decode_bundle(data, width=3) == entries


@pytest.mark.parametrize(
    ("data", "width"),
    [(b"", 1), (b"\0\1a", 2), (b"\0\1a\0\1b", 1), (b"\0\2a", 1), (b"\0", 1), (b"\0\1a\0", 1)],
)
def test_other_bundles_are_refused(data: bytes, width: int) -> None:
    with pytest.raises(FormatError, match=f"expected a bundle of {width} entries"):
        decode_bundle(data, width=width)


def test_tile_is_hashes_after_each_other() -> None:
    assert decode_tile(b"a" * 32 + b"b" * 32, width=2) == [b"a" * 32, b"b" * 32]


@pytest.mark.parametrize("data", [b"", b"a" * 31, b"a" * 33, b"a" * 64])
def test_tiles_of_another_length_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="expected a tile of 1 hashes, 32 bytes"):
        decode_tile(data, width=1)


@given(st.binary(max_size=2000), st.integers(1, 256))
def test_any_bytes_are_a_bundle_or_a_format_error(data: bytes, width: int) -> None:
    with contextlib.suppress(FormatError):
        assert encode_bundle(decode_bundle(data, width=width)) == data


@given(st.lists(st.binary(max_size=70), min_size=1, max_size=256))
def test_bundles_round_trip(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries), width=len(entries)) == entries
