"""Builds and checks Merkle trees with pymerkle, and nothing of provgraph.

`python -I merkle.py <folder with pymerkle>` reads a JSON request from standard input:
`{"entries": [base64], "proofs": [{"index", "size", "leaf", "root", "hashes": [hex]}]}`, all counted
from 0 as in RFC 9162. It answers `{"roots": [hex, of size 0 and up], "paths": [[[hex]]], "valid":
[true]}`: its own roots and inclusion paths over the entries, and its opinion of the proofs.

pymerkle counts leaves from 1, and its consistency proofs are not those of RFC 9162.
"""

from __future__ import annotations

import base64
import json
import sys

sys.path.insert(0, sys.argv[1])

from pymerkle import InclusionProof, InmemoryTree, InvalidProof


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    tree = InmemoryTree(algorithm="sha256")
    for entry in request["entries"]:
        tree.append_entry(base64.b64decode(entry))
    count = tree.get_size()
    answer = {
        "roots": [tree.get_root(size).hex() for size in range(count + 1)],
        "paths": [
            [path(tree, index, size) for index in range(size)] for size in range(1, count + 1)
        ],
        "valid": [is_valid(proof) for proof in request["proofs"]],
    }
    json.dump(answer, sys.stdout)


def path(tree: InmemoryTree, index: int, size: int) -> list[str]:
    """The inclusion path without the leaf that pymerkle puts first."""
    return [value.hex() for value in tree.prove_inclusion(index + 1, size).path[1:]]


def is_valid(proof: dict) -> bool:
    """Check somebody else's proof; how a path folds depends on index and size only."""
    like = InmemoryTree(algorithm="sha256")
    like.append_entries([b""] * proof["size"])
    rule = like.prove_inclusion(proof["index"] + 1).rule
    given = InclusionProof.deserialize(
        {
            "type": "inclusion",
            "metadata": {
                "algorithm": "sha256",
                "security": True,
                "size": proof["size"],
                "index": proof["index"] + 1,
            },
            "rule": rule,
            "path": [proof["leaf"], *proof["hashes"]],
        }
    )
    try:
        given.verify(bytes.fromhex(proof["leaf"]), bytes.fromhex(proof["root"]))
    except InvalidProof:
        return False
    return True


if __name__ == "__main__":
    main()
