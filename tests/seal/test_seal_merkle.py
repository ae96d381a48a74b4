from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

VECTORS = Path(__file__).resolve().parents[3] / "shared/suites/merkle/testdata"

# RFC 6962 reference data, as certificate-transparency's own tests have it.
INPUTS = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
]
ROOT_OF_8 = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"

# The one vector whose roots are no SHA-256 values ("don't care 2", 12 bytes) and that is expected
# to pass. Lengths are checked first here, so it is refused.
SHORT_ROOTS = "sizes are equal (one) and proof is empty"


def _vectors(kind: str) -> list[dict[str, Any]]:
    if not VECTORS.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the Merkle vectors are not at {VECTORS}")
        pytest.skip(f"needs the Merkle vectors at {VECTORS}")
    return [json.loads(path.read_text()) for path in sorted((VECTORS / kind).rglob("*.json"))]


def _hashes(vector: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(value) for value in vector["proof"] or []]


def test_transparency_dev_inclusion_vectors() -> None:
    outcomes = {True: 0, False: 0}
    for vector in _vectors("inclusion"):
        try:
            verify_inclusion(
                leaf=base64.b64decode(vector["leafHash"]),
                index=vector["leafIdx"],
                size=vector["treeSize"],
                proof=_hashes(vector),
                root=base64.b64decode(vector["root"]),
            )
            refused = False
        except UntrustedError:
            refused = True
        assert (vector["desc"], refused) == (vector["desc"], vector["wantErr"])
        outcomes[refused] += 1
    assert outcomes == {True: 92, False: 6}


def test_transparency_dev_consistency_vectors() -> None:
    outcomes = {True: 0, False: 0}
    for vector in _vectors("consistency"):
        try:
            verify_consistency(
                old_size=vector["size1"],
                new_size=vector["size2"],
                old_root=base64.b64decode(vector["root1"]),
                new_root=base64.b64decode(vector["root2"]),
                proof=_hashes(vector),
            )
            refused = False
        except UntrustedError:
            refused = True
        expected = vector["wantErr"] or vector["desc"] == SHORT_ROOTS
        assert (vector["desc"], refused) == (vector["desc"], expected)
        outcomes[refused] += 1
    assert outcomes == {True: 93, False: 5}


def _naive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + _naive_root(leaves[:k]) + _naive_root(leaves[k:])).digest()


def _tree(size: int) -> tuple[list[bytes], dict[tuple[int, int], bytes]]:
    """Return leaves and all stored hashes by (level, index)."""
    leaves = [leaf_hash(str(i).encode()) for i in range(size)]
    frontier = Frontier(size=0)
    nodes: dict[tuple[int, int], bytes] = {}
    for position, leaf in enumerate(leaves):
        for level, value in enumerate(frontier.append(leaf)):
            nodes[level, position >> level] = value
    return leaves, nodes


def test_reference_root() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert (
        leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert tree_root([leaf_hash(value) for value in INPUTS]).hex() == ROOT_OF_8
    assert tree_root([]) == EMPTY_ROOT


def test_frontier_equals_the_definition_at_every_size() -> None:
    frontier = Frontier(size=0)
    leaves: list[bytes] = []
    for number in range(70):
        assert frontier.root() == _naive_root(leaves)
        leaf = leaf_hash(str(number).encode())
        leaves.append(leaf)
        assert frontier.append(leaf)[0] == leaf
        assert frontier.size == len(leaves)


def test_frontier_from_stored_hashes_goes_on_as_if_never_stopped() -> None:
    leaves, nodes = _tree(70)
    for size in range(70):
        resumed = Frontier(size=size, node_at=lambda level, index: nodes[level, index])
        assert resumed.root() == _naive_root(leaves[:size])
        resumed.append(leaves[size])
        assert resumed.root() == _naive_root(leaves[: size + 1])


def test_frontier_of_a_size_needs_hashes() -> None:
    with pytest.raises(ValueError, match="needs node_at"):
        Frontier(size=3)


def test_every_inclusion_proof_up_to_33_verifies_and_no_neighbour_does() -> None:
    leaves, nodes = _tree(33)
    for size in range(1, 34):
        root = _naive_root(leaves[:size])
        for index in range(size):
            proof = inclusion_proof(index, size, lambda level, i: nodes[level, i])
            verify_inclusion(leaf=leaves[index], index=index, size=size, proof=proof, root=root)
            for other in {index - 1, index + 1, size} - {-1}:
                with pytest.raises(UntrustedError):
                    verify_inclusion(
                        leaf=leaves[index], index=other, size=size, proof=proof, root=root
                    )


def test_every_consistency_proof_up_to_33_verifies_and_a_changed_one_does_not() -> None:
    leaves, nodes = _tree(33)
    for new in range(1, 34):
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, lambda level, i: nodes[level, i])
            roots = {
                "old_root": _naive_root(leaves[:old]),
                "new_root": _naive_root(leaves[:new]),
            }
            verify_consistency(old_size=old, new_size=new, proof=proof, **roots)
            for place in range(len(proof)):
                changed = [*proof[:place], node_hash(proof[place], b""), *proof[place + 1 :]]
                with pytest.raises(UntrustedError):
                    verify_consistency(old_size=old, new_size=new, proof=changed, **roots)
            with pytest.raises(UntrustedError):
                verify_consistency(old_size=old, new_size=new, proof=[*proof, EMPTY_ROOT], **roots)


def test_empty_leaf_under_empty_root_is_refused() -> None:
    with pytest.raises(UntrustedError, match="hashes of 32 bytes, found 0"):
        verify_inclusion(leaf=b"", index=0, size=1, proof=[], root=b"")


def test_consistency_from_the_empty_tree_is_refused() -> None:
    root = leaf_hash(b"a")
    with pytest.raises(UntrustedError, match="0 < old size"):
        verify_consistency(old_size=0, new_size=1, old_root=EMPTY_ROOT, new_root=root, proof=[])


def test_equal_sizes_with_equal_roots_pass_and_with_different_roots_do_not() -> None:
    root, other = leaf_hash(b"a"), leaf_hash(b"b")
    verify_consistency(old_size=1, new_size=1, old_root=root, new_root=root, proof=[])
    with pytest.raises(UntrustedError, match="two different trees"):
        verify_consistency(old_size=1, new_size=1, old_root=root, new_root=other, proof=[])
    with pytest.raises(UntrustedError, match="two different trees"):
        verify_consistency(old_size=1, new_size=1, old_root=root, new_root=root, proof=[root])


def test_overlong_proof_is_refused_before_work() -> None:
    with pytest.raises(UntrustedError, match="at most 64 hashes"):
        verify_inclusion(leaf=EMPTY_ROOT, index=0, size=2, proof=[EMPTY_ROOT] * 65, root=EMPTY_ROOT)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, 2**63)])
def test_proofs_outside_the_tree_are_refused(index: int, size: int) -> None:
    with pytest.raises(FormatError, match="below the tree size"):
        inclusion_proof(index, size, lambda level, i: EMPTY_ROOT)


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3), (-1, 3)])
def test_consistency_outside_the_tree_is_refused(old: int, new: int) -> None:
    with pytest.raises(FormatError, match="0 < old size"):
        consistency_proof(old, new, lambda level, i: EMPTY_ROOT)


def test_a_copied_frontier_grows_apart() -> None:
    frontier = Frontier(size=0)
    for number in range(5):
        frontier.append(leaf_hash(bytes([number])))
    root, other = frontier.root(), frontier.copy()
    other.append(leaf_hash(b"other"))
    assert (frontier.size, frontier.root()) == (5, root)
    assert other.size == 6
    frontier.append(leaf_hash(b"other"))
    assert frontier.root() == other.root()
