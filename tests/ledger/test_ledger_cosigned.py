"""Checkpoints that leave the ledger carry the signatures of both log keys."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ledger_samples import START, pending_run

from provgraph.errors import LedgerError, UntrustedError, UsageError
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer
from provgraph.seal.mldsa import MldsaSigner, generate_mldsa_signer
from provgraph.seal.note import Checkpoint, open_checkpoint, open_note, sign_checkpoint

LATER = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def cosigned(ledger: Ledger, signer: MldsaSigner | None) -> bytes:
    return ledger.cosigned_checkpoint(mldsa_signer=signer, clock=lambda: LATER)


def signed_by(ledger: Ledger) -> list[int]:
    """Types of the log's signatures on the checkpoint in the file."""
    return [key.type for key in open_note(ledger.checkpoint(), ledger.charter.log_keys).signed_by]


def put(path: Path, note: bytes) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE ledger SET checkpoint = ?", (note,))
        db.commit()


def test_charter_names_both_keys_and_the_empty_tree_is_signed_by_both(
    ledger: Ledger, mldsa_signer: MldsaSigner
) -> None:
    assert ledger.charter.mldsa_key == mldsa_signer.public_key
    assert signed_by(ledger) == [6, 1]
    empty = open_checkpoint(ledger.checkpoint(), *ledger.charter.log_keys)
    assert (empty.origin, empty.size) == (ledger.origin, 0)


def test_an_append_signs_once_and_leaving_signs_twice(
    ledger: Ledger, producer: Signer, mldsa_signer: MldsaSigner
) -> None:
    ledger.append([pending_run(0, signer=producer)])
    assert signed_by(ledger) == [1]
    note = cosigned(ledger, mldsa_signer)
    assert ledger.checkpoint() == note
    assert signed_by(ledger) == [6, 1]
    opened = open_note(note, ledger.charter.log_keys)
    assert [signature.time_s for signature in opened.signatures] == [int(LATER.timestamp()), None]
    assert open_checkpoint(note, *ledger.charter.log_keys) == Checkpoint(
        origin=ledger.origin, size=1, root=ledger.root()
    )
    ledger.append([pending_run(1, signer=producer)])
    assert signed_by(ledger) == [1]
    assert verify_ledger(ledger).size == 2


def test_the_bytes_stay_the_same_until_something_is_appended(
    open_ledger: Callable[[], Ledger], producer: Signer, mldsa_signer: MldsaSigner
) -> None:
    with open_ledger() as ledger:
        ledger.append([pending_run(0, signer=producer)])
        note = cosigned(ledger, mldsa_signer)
        assert cosigned(ledger, mldsa_signer) == note
        path = ledger.path
    with Ledger.open(path, log_signer=None, clock=lambda: START, read_only=True) as reader:
        # Nothing is left to sign, so no key is needed.
        assert cosigned(reader, None) == note


def test_a_reader_cannot_sign(ledger: Ledger, producer: Signer, mldsa_signer: MldsaSigner) -> None:
    ledger.append([pending_run(0, signer=producer)])
    with (
        Ledger.open(ledger.path, log_signer=None, clock=lambda: START, read_only=True) as reader,
        pytest.raises(LedgerError, match="open for reading; open it with its log key"),
    ):
        cosigned(reader, mldsa_signer)


def test_without_the_second_key_nothing_leaves(ledger: Ledger, producer: Signer) -> None:
    ledger.append([pending_run(0, signer=producer)])
    before = ledger.checkpoint()
    with pytest.raises(UsageError, match="needs its ML-DSA-44 log key"):
        cosigned(ledger, None)
    with pytest.raises(UntrustedError, match="was made with the ML-DSA-44 log key"):
        cosigned(ledger, generate_mldsa_signer())
    assert ledger.checkpoint() == before


def test_a_ledger_made_without_the_second_key_does_without(
    tmp_path: Path, log_signer: Signer, producer: Signer, mldsa_signer: MldsaSigner
) -> None:
    path = tmp_path / "l.db"
    with Ledger.open(path, log_signer=log_signer, clock=lambda: START) as ledger:
        ledger.append([pending_run(0, signer=producer)])
        assert ledger.charter.mldsa_key is None
        note = cosigned(ledger, None)
        assert note == ledger.checkpoint()
        assert open_checkpoint(note, *ledger.charter.log_keys).size == 1
    with Ledger.open(
        path, log_signer=log_signer, mldsa_signer=mldsa_signer, clock=lambda: START
    ) as ledger:
        assert cosigned(ledger, mldsa_signer) == note


def test_nothing_is_cosigned_that_the_rows_do_not_make(
    ledger: Ledger, log_signer: Signer, producer: Signer, mldsa_signer: MldsaSigner
) -> None:
    ledger.append([pending_run(0, signer=producer)])
    forged = Checkpoint(origin=ledger.origin, size=2, root=ledger.root())
    put(ledger.path, sign_checkpoint(forged, log_signer))
    with pytest.raises(LedgerError, match=r"says 2 entries .* its rows make 1"):
        cosigned(ledger, mldsa_signer)


@pytest.mark.parametrize("place", [60, 1000, 3000])
def test_a_damaged_second_signature_is_found(
    ledger: Ledger, producer: Signer, mldsa_signer: MldsaSigner, place: int
) -> None:
    ledger.append([pending_run(0, signer=producer)])
    note = bytearray(cosigned(ledger, mldsa_signer))
    start = note.index(b"\n\n") + 2 + len("— ".encode()) + len(ledger.origin) + 1
    note[start + place] = ord("A") if note[start + place] != ord("A") else ord("B")
    put(ledger.path, bytes(note))
    for question in (
        lambda: verify_ledger(ledger),
        lambda: cosigned(ledger, mldsa_signer),
        lambda: ledger.append([pending_run(1, signer=producer)]),
    ):
        with pytest.raises(UntrustedError, match="does not verify under the ML-DSA-44 key"):
            question()


def test_two_that_cosign_at_once_get_the_same_bytes(
    open_ledger: Callable[[], Ledger], producer: Signer, mldsa_signer: MldsaSigner
) -> None:
    with open_ledger() as one, open_ledger() as two:
        one.append([pending_run(0, signer=producer)])
        assert cosigned(one, mldsa_signer) == cosigned(two, mldsa_signer)
