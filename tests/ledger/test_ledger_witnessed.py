"""The guard against old copies costs a ledger one look at a folder, once the files were read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ledger_samples import clock, small

from provgraph.errors import RolledBackError, UntrustedError
from provgraph.ledger import witnessed
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer, generate_signer
from provgraph.seal.mldsa import MldsaSigner
from provgraph.seal.note import Checkpoint, sign_checkpoint


def note_of(ledger: Ledger, signer: Signer, *, size: int, root: bytes | None = None) -> bytes:
    root = ledger.root(size) if root is None else root
    return sign_checkpoint(Checkpoint(origin=ledger.origin, size=size, root=root), signer)


def grow(ledger: Ledger, producer: Signer, count: int, *, start: int = 0) -> None:
    for number in range(start, start + count):
        ledger.append([small(number, signer=producer)])


def test_a_row_of_appends_reads_the_memory_once(
    ledger: Ledger, log_signer: Signer, producer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(ledger, producer, 2)
    ledger.memory.remember(note_of(ledger, log_signer, size=2), origin=ledger.origin)
    folder = ledger.path.with_name("witnessed")
    os.utime(folder, (1, 1))  # as if it had been put there long ago
    opened: list[Path] = []
    real = witnessed._content

    def counted(path: Path, *, is_copy: bool = False) -> bytes | None:
        opened.append(path)
        return real(path, is_copy=is_copy)

    monkeypatch.setattr(witnessed, "_content", counted)
    grow(ledger, producer, 20, start=2)
    assert [path.name for path in opened] == ["checkpoint", "conflict"]


def test_what_is_remembered_while_the_ledger_is_open_counts_at_once(
    ledger: Ledger,
    log_signer: Signer,
    mldsa_signer: MldsaSigner,
    producer: Signer,
    open_ledger: Callable[[], Ledger],
) -> None:
    grow(ledger, producer, 3)
    with open_ledger() as other:
        other.memory.remember_conflict(note_of(ledger, log_signer, size=2, root=b"\x05" * 32))
    with pytest.raises(RolledBackError, match="two histories of"):
        grow(ledger, producer, 1, start=3)
    with pytest.raises(RolledBackError, match="two histories of"):
        ledger.cosigned_checkpoint(mldsa_signer=mldsa_signer, clock=clock)
    assert ledger.size() == 3
    other.memory.remember_conflict(note_of(ledger, log_signer, size=2))
    grow(ledger, producer, 1, start=3)


@pytest.mark.parametrize("size", [4, 1_000_000])
def test_a_checkpoint_beyond_the_ledger_stops_it(
    ledger: Ledger, log_signer: Signer, producer: Signer, size: int
) -> None:
    grow(ledger, producer, 3)
    note = note_of(ledger, log_signer, size=size, root=b"\x05" * 32)
    ledger.memory.remember(note, origin=ledger.origin)
    with pytest.raises(RolledBackError, match=f"a checkpoint over {size} of them has left it"):
        grow(ledger, producer, 1, start=3)


def test_a_checkpoint_that_another_key_signed_is_no_evidence(
    ledger: Ledger, producer: Signer
) -> None:
    grow(ledger, producer, 3)
    forged = note_of(ledger, generate_signer(), size=2)
    ledger.memory.remember_conflict(forged)
    with pytest.raises(UntrustedError, match="is not a checkpoint of the ledger beside it"):
        grow(ledger, producer, 1, start=3)


def test_an_earlier_checkpoint_never_takes_the_place_of_a_later_one(
    ledger: Ledger, log_signer: Signer, producer: Signer
) -> None:
    grow(ledger, producer, 3)
    later = note_of(ledger, log_signer, size=3)
    ledger.memory.remember(later, origin=ledger.origin)
    ledger.memory.remember(note_of(ledger, log_signer, size=2), origin=ledger.origin)
    assert ledger.memory.checkpoint() == later


def test_memory_is_private(ledger: Ledger, log_signer: Signer, producer: Signer) -> None:
    grow(ledger, producer, 1)
    ledger.memory.remember(note_of(ledger, log_signer, size=1), origin=ledger.origin)
    folder = ledger.path.with_name("witnessed")
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, folder / "checkpoint")] == [
        "0o700",
        "0o600",
    ]
    assert [name for name in os.listdir(folder) if name.endswith(".new")] == []
