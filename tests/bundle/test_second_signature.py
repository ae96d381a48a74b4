"""A bundle's checkpoint is signed by both log keys, and refused when the second signature is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from provgraph.cli.main import main
from provgraph.errors import UntrustedError
from provgraph.seal.bundle import verify_bundle
from provgraph.seal.charter import open_charter
from provgraph.seal.members import write_zip
from provgraph.seal.mldsa import generate_mldsa_signer
from provgraph.seal.note import (
    Cosigner,
    NoteSigner,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    sign_note,
)
from provgraph.service.home import log_signer


def without_the_second_key(forge: Any) -> bytes:
    """A charter that asks for Ed25519 only, signed by the true log key or by who can forge that."""
    lines = forge.members["charter"].partition(b"\n\n")[0].split(b"\n")
    signer = NoteSigner(name=forge.origin, signer=log_signer(forge.settings))
    return sign_note(b"\n".join([*lines[:5], b""]), [signer])


def test_a_kept_charter_stops_one_without_its_second_key(forge: Any, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    false = without_the_second_key(forge)
    write_zip(path, forge.signed({**forge.members, "charter": false}))
    log_key = next(
        row["id"] for row in json.loads(forge.members["trust.json"])["keys"] if row["role"] == "log"
    )
    # The Ed25519 key alone says nothing about the other: this is what the charter is kept for.
    bundle = verify_bundle(path, report=lambda step, text: None, log_key=log_key)
    assert bundle.charter.mldsa_key is None
    with pytest.raises(UntrustedError, match=r"^step 2: .*\(another mldsa_key: none\)"):
        verify_bundle(path, report=lambda step, text: None, charter=forge.members["charter"])


def test_the_true_bundle_has_the_charter_that_was_kept(forge: Any, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    write_zip(path, forge.members)
    kept = tmp_path / "charter"
    kept.write_bytes(forge.members["charter"])
    assert main(["verify", str(path), "--charter", str(kept), "--quiet"]) == 0
    kept.write_bytes(without_the_second_key(forge))
    assert main(["verify", str(path), "--charter", str(kept), "--quiet"]) == 1
    assert main(["verify", str(path), "--charter", str(tmp_path / "absent"), "--quiet"]) == 2
    assert main(["verify", str(forge.settings.home), "--charter", str(kept)]) == 2


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
