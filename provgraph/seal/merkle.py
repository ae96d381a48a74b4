"""The Merkle tree of a transparency log: hashes, proofs, and their verification.

Specification: RFC 9162 section 2.1 (the same tree as RFC 6962), SHA-256. Pure functions without
I/O: who needs stored hashes passes `node_at(level, index)`, which returns the hash of the complete
subtree over the leaves `[index << level, (index + 1) << level)`.

Sizes and indices count leaves from 0. What it does not do: prove anything about the empty tree; a
consistency proof from size 0 says nothing and is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from provgraph.errors import FormatError, UntrustedError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

# Sizes are uint64 in C2SP formats; a proof holds at most one hash per level and one more.
MAX_SIZE: Final = 2**63 - 1
MAX_PROOF_HASHES: Final = 64

NodeAt = Callable[[int, int], bytes]
"""Returns the hash of the complete subtree (level, index)."""


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: one hash per complete subtree, largest first.

    It holds at most 64 hashes; appending a leaf and the root cost O(log n).
    """

    __slots__ = ("_peaks", "size")

    def __init__(self, *, size: int, node_at: NodeAt | None = None) -> None:
        """Start empty (size 0), or from the stored hashes of a tree of that size."""
        self.size = size
        self._peaks: list[bytes] = []
        start = 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                if node_at is None:
                    raise ValueError("a frontier of size above 0 needs node_at")
                self._peaks.append(node_at(level, start >> level))
                start += 1 << level

    @classmethod
    def of_peaks(cls, size: int, peaks: Sequence[bytes]) -> Frontier:
        """Return the frontier of a tree of that size whose `peaks` were kept.

        Raises:
            FormatError: not one hash for each complete subtree.
        """
        if size < 0 or len(peaks) != size.bit_count() or {*map(len, peaks)} - {HASH_BYTES}:
            raise FormatError(
                f"expected {size.bit_count()} hashes of {HASH_BYTES} bytes for the right edge of a"
                f" tree of {size}, found {len(peaks)}"
            )
        frontier = cls(size=0)
        frontier.size, frontier._peaks = size, list(peaks)
        return frontier

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The hashes of the complete subtrees, largest first."""
        return tuple(self._peaks)

    def copy(self) -> Frontier:
        """Return one that grows apart from this one."""
        other = Frontier(size=0)
        other.size, other._peaks = self.size, self._peaks.copy()
        return other

    def append(self, leaf: bytes) -> list[bytes]:
        """Add a leaf hash; return the hashes of all subtrees that it completes, leaf first."""
        return self.append_subtree(leaf, level=0)

    def append_subtree(self, root: bytes, *, level: int) -> list[bytes]:
        """Add the complete subtree of the next 2^level leaves, at a place where one can stand.

        Return the hashes of all subtrees that it completes, itself first.
        """
        position, rest = divmod(self.size, 1 << level)
        if rest:
            raise ValueError(f"no complete subtree of level {level} begins at {self.size}")
        completed = [root]
        while position & 1:
            completed.append(node_hash(self._peaks.pop(), completed[-1]))
            position >>= 1
        self._peaks.append(completed[-1])
        self.size += 1 << level
        return completed

    def root(self) -> bytes:
        """Return the root of the tree."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    frontier = Frontier(size=0)
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(index: int, size: int, node_at: NodeAt) -> list[bytes]:
    """Return PATH(index, D[size]), from the leaf's sibling upwards (RFC 9162 2.1.3.1).

    Raises:
        FormatError: the index is not below the size.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise FormatError(f"expected an index below the tree size {size}, found {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _largest_power_below(end - start)
        if index < middle:
            path.append(_range_root(middle, end, node_at))
            end = middle
        else:
            path.append(_range_root(start, middle, node_at))
            start = middle
    path.reverse()
    return path


def consistency_proof(old_size: int, new_size: int, node_at: NodeAt) -> list[bytes]:
    """Return PROOF(old_size, D[new_size]) (RFC 9162 2.1.4.1); empty when the sizes are equal.

    Raises:
        FormatError: not 0 < old_size <= new_size.
    """
    if not 0 < old_size <= new_size <= MAX_SIZE:
        raise FormatError(f"expected 0 < old size <= new size, found {old_size} and {new_size}")
    path: list[bytes] = []
    start, end = 0, new_size
    while old_size != end:
        middle = start + _largest_power_below(end - start)
        if old_size <= middle:
            path.append(_range_root(middle, end, node_at))
            end = middle
        else:
            path.append(_range_root(start, middle, node_at))
            start = middle
    # The old tree's own root is known to the verifier where it is a complete left subtree.
    if start > 0:
        path.append(_range_root(start, end, node_at))
    path.reverse()
    return path


def verify_inclusion(
    *, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf hash is at the index of the tree (RFC 9162 2.1.3.2).

    1. All hashes have 32 bytes (an empty leaf under an empty root must not compare equal), and the
       index lies in the tree.
    2. Walking up uses every hash of the proof and ends at the root's level.
    3. The hash reached is the root.

    Raises:
        UntrustedError: any step.
    """
    # 1.
    _require_hashes([leaf, root, *proof])
    if not 0 <= index < size <= MAX_SIZE:
        raise UntrustedError(f"inclusion: index {index} is not in a tree of {size} leaves")
    # 2.
    position, last = index, size - 1
    found = leaf
    for sibling in proof:
        if last == 0:
            raise UntrustedError("inclusion: the proof has more hashes than the tree has levels")
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise UntrustedError("inclusion: the proof has fewer hashes than the tree has levels")
    # 3.
    if found != root:
        raise UntrustedError(
            f"inclusion: the path of entry {index} leads to {found.hex()}, not to the root"
            f" {root.hex()} of the tree of {size}; the entry is not in that tree"
        )


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the old tree is a prefix of the new one (RFC 9162 2.1.4.2).

    1. All hashes have 32 bytes, and 0 < old size <= new size.
    2. Equal sizes: equal roots and no proof.
    3. Walking up uses every hash of the proof, and reaches both roots.

    Raises:
        UntrustedError: any step.
    """
    # 1.
    _require_hashes([old_root, new_root, *proof])
    if not 0 < old_size <= new_size <= MAX_SIZE:
        raise UntrustedError(
            f"consistency: expected 0 < old size <= new size, found {old_size} and {new_size}"
        )
    # 2.
    if old_size == new_size:
        if proof or old_root != new_root:
            raise UntrustedError(f"consistency: two different trees of the same size {old_size}")
        return
    # 3.
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise UntrustedError("consistency: the proof is empty")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_found = new_found = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise UntrustedError("consistency: the proof has more hashes than the tree has levels")
        if position & 1 or position == last:
            old_found = node_hash(sibling, old_found)
            new_found = node_hash(sibling, new_found)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            new_found = node_hash(new_found, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or old_found != old_root or new_found != new_root:
        raise UntrustedError(
            f"consistency: the tree of {new_size} leaves does not contain the tree of {old_size};"
            " history was rewritten between the two checkpoints"
        )


def _range_root(start: int, end: int, node_at: NodeAt) -> bytes:
    """Hash the leaves [start, end), where start is aligned to the tree's split points."""
    width = end - start
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node_at(level, start >> level)
    middle = start + _largest_power_below(width)
    return node_hash(_range_root(start, middle, node_at), _range_root(middle, end, node_at))


def _largest_power_below(width: int) -> int:
    """Return the largest power of two that is smaller than the width (which is above 1)."""
    return 1 << ((width - 1).bit_length() - 1)


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if len(hashes) > MAX_PROOF_HASHES + 2:
        raise UntrustedError(f"expected at most {MAX_PROOF_HASHES} hashes, found {len(hashes) - 2}")
    for value in hashes:
        if len(value) != HASH_BYTES:
            raise UntrustedError(f"expected hashes of {HASH_BYTES} bytes, found {len(value)}")
