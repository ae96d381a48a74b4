"""pymerkle builds the same trees from the entries, and believes our inclusion proofs."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from foreign_programs import run_pymerkle
from whole_log import SIZE, WholeLog

from provgraph.seal.merkle import EMPTY_ROOT, leaf_hash
from provgraph.seal.note import parse_checkpoint
from provgraph.seal.tlogproof import parse_tlog_proof

pytestmark = pytest.mark.usefixtures("pymerkle")


def test_roots_and_inclusion_paths_of_a_whole_log(log: WholeLog) -> None:
    request = {"entries": [base64.b64encode(entry).decode() for entry in log.entries], "proofs": []}
    found = run_pymerkle(request)
    roots = [parse_checkpoint(note.partition(b"\n\n")[0] + b"\n").root for note in log.checkpoints]
    assert found["roots"] == [EMPTY_ROOT.hex(), *(root.hex() for root in roots)]
    ours = [[[] for _ in range(size)] for size in range(1, SIZE + 1)]
    for proof in log.inclusion:
        ours[proof.size - 1][proof.index] = [value.hex() for value in proof.hashes]
    assert found["paths"] == ours


def bundle_proofs(bundle: Path) -> list[dict[str, Any]]:
    """The proofs of a bundle, from entry.json, record.tlog-proof and checkpoint."""
    note = (bundle / "checkpoint").read_bytes()
    checkpoint = parse_checkpoint(note.partition(b"\n\n")[0] + b"\n")
    proofs = []
    for folder in sorted((bundle / "records").iterdir()):
        proof = parse_tlog_proof((folder / "record.tlog-proof").read_bytes())
        proofs.append(
            {
                "index": proof.index,
                "size": checkpoint.size,
                "leaf": leaf_hash((folder / "entry.json").read_bytes()).hex(),
                "root": checkpoint.root.hex(),
                "hashes": [value.hex() for value in proof.hashes],
            }
        )
    return proofs


def valid(proofs: list[dict[str, Any]]) -> list[bool]:
    found: list[bool] = run_pymerkle({"entries": [], "proofs": proofs})["valid"]
    return found


def test_inclusion_proofs_of_a_bundle(bundle: Path) -> None:
    proofs = bundle_proofs(bundle)
    assert valid(proofs) == [True] * 6


def test_changed_proofs_are_refused(bundle: Path) -> None:
    proofs = bundle_proofs(bundle)
    last = proofs[-1]
    other = proofs[0]
    assert (
        valid(
            [
                {**last, "leaf": other["leaf"]},
                {**last, "index": last["index"] - 1},
                {**last, "hashes": other["hashes"]},
                {**last, "hashes": [*last["hashes"][:-1], other["leaf"]]},
                {**last, "hashes": last["hashes"][:-1]},
                {**last, "root": other["leaf"]},
            ]
        )
        == [False] * 6
    )
