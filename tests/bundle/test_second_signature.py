"""A bundle's checkpoint is signed by both log keys, and refused when the second signature is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from provgraph.errors import UntrustedError
from provgraph.seal.bundle import verify_bundle
from provgraph.seal.charter import open_charter
from provgraph.seal.members import write_zip
from provgraph.seal.mldsa import generate_mldsa_signer
from provgraph.seal.note import Cosigner, open_checkpoint, parse_checkpoint, sign_checkpoint
from provgraph.service.home import log_signer

Change = Callable[[Any, bytes], bytes]


def without_it(forge: Any, note: bytes) -> bytes:
    """What somebody would make who can forge Ed25519 only."""
    checkpoint = parse_checkpoint(note.partition(b"\n\n")[0] + b"\n")
    return sign_checkpoint(checkpoint, log_signer(forge.settings))


def by_another_key(forge: Any, note: bytes) -> bytes:
    checkpoint = parse_checkpoint(note.partition(b"\n\n")[0] + b"\n")
    other = Cosigner(
        name=forge.origin, signer=generate_mldsa_signer(), clock=lambda: datetime.now(UTC)
    )
    return sign_checkpoint(checkpoint, log_signer(forge.settings), other)


def damaged(_: Any, note: bytes) -> bytes:
    place = note.index("— ".encode()) + 1000
    return note[:place] + (b"A" if note[place : place + 1] != b"A" else b"B") + note[place + 1 :]


def test_the_true_checkpoint_carries_both(forge: Any) -> None:
    charter = open_charter(forge.members["charter"])
    assert [key.type for key in charter.log_keys] == [1, 6]
    checkpoint = open_checkpoint(forge.members["checkpoint"], *charter.log_keys)
    assert checkpoint.origin == forge.origin


@pytest.mark.parametrize("change", [without_it, by_another_key, damaged])
@pytest.mark.parametrize(("suffix", "step"), [("checkpoint", 4), ("record.tlog-proof", 7)])
def test_a_checkpoint_without_it_is_refused(
    forge: Any, tmp_path: Path, change: Change, suffix: str, step: int
) -> None:
    """In the bundle's own checkpoint, and in the copies that its proofs end with."""
    true = forge.members["checkpoint"]
    members = {
        name: data.replace(true, change(forge, true)) if name.endswith(suffix) else data
        for name, data in forge.members.items()
    }
    assert members != forge.members
    write_zip(tmp_path / "bundle.zip", forge.signed(members))
    with pytest.raises(UntrustedError, match=rf"^step {step}: .*(type 0x06|ML-DSA-44)"):
        verify_bundle(tmp_path / "bundle.zip", report=lambda step, text: None)
