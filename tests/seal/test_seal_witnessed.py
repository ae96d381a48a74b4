"""Cosignatures on a checkpoint: put there, checked, and refused when anything about them is changed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.mldsa import mldsa_signer_from_seed
from provgraph.seal.note import (
    Checkpoint,
    Cosigner,
    NoteKey,
    add_signature,
    open_checkpoint,
    sign_checkpoint,
)
from provgraph.seal.witnessed import (
    Cosigned,
    add_cosignatures,
    cosigner_names,
    parse_witness_keys,
    require_cosigned,
    require_witnesses,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LOG: Signer = signer_from_seed(b"\x01" * 32)
ORIGIN = "provgraph.local/0123456789abcdef"
CHECKPOINT = Checkpoint(origin=ORIGIN, size=7, root=b"\x07" * 32)
LOG_KEY = NoteKey(name=ORIGIN, public_key=LOG.public_key)


def cosigners(name: str, seed: int, *, at: datetime = AT) -> list[Cosigner]:
    return [
        Cosigner(name=name, signer=signer, clock=lambda: at)
        for signer in (
            signer_from_seed(bytes([seed]) * 32),
            mldsa_signer_from_seed(bytes([seed]) * 32),
        )
    ]


WITNESS = cosigners("witness.example.org", 5)
KEYS = tuple(cosigner.key for cosigner in WITNESS)
OTHER = cosigners("other.example.org", 6)
NOTE = sign_checkpoint(CHECKPOINT, LOG)


def lines_of(note: bytes) -> list[bytes]:
    return note.partition(b"\n\n")[2].splitlines(keepends=True)


def answer(signers: list[Cosigner], note: bytes = NOTE) -> bytes:
    signed = note
    for signer in signers:
        signed = add_signature(signed, signer)
    return signed[len(note) :]


def test_lines_are_put_before_the_logs_and_verify() -> None:
    note = add_cosignatures(NOTE, answer(WITNESS), KEYS)
    assert lines_of(note)[2:] == lines_of(NOTE)
    assert require_cosigned(note, KEYS) == Cosigned(name="witness.example.org", at=AT)
    assert open_checkpoint(note, LOG_KEY, known=KEYS) == CHECKPOINT
    assert cosigner_names(note, but=[LOG_KEY]) == ("witness.example.org",)


def test_the_same_witness_again_takes_the_place_of_its_lines() -> None:
    later = AT + timedelta(hours=1)
    once = add_cosignatures(NOTE, answer(WITNESS), KEYS)
    twice = add_cosignatures(once, answer(cosigners("witness.example.org", 5, at=later)), KEYS)
    assert len(lines_of(twice)) == 3
    assert require_cosigned(twice, KEYS).at == later


def test_two_witnesses_stand_side_by_side() -> None:
    other_keys = tuple(cosigner.key for cosigner in OTHER)
    note = add_cosignatures(NOTE, answer(WITNESS), KEYS)
    note = add_cosignatures(note, answer(OTHER), other_keys)
    found = require_witnesses(note, [*KEYS, *other_keys], now=AT)
    assert [each.name for each in found] == ["witness.example.org", "other.example.org"]


def test_lines_of_unknown_keys_in_an_answer_are_left_out() -> None:
    note = add_cosignatures(NOTE, answer(OTHER) + answer(WITNESS), KEYS)
    assert cosigner_names(note, but=[LOG_KEY]) == ("witness.example.org",)


def test_unknown_cosignatures_are_passed_over_and_not_believed() -> None:
    garbage = f"— stranger.example.org {base64.b64encode(b'x' * 80).decode()}\n".encode()
    assert open_checkpoint(NOTE + garbage, LOG_KEY) == CHECKPOINT
    with pytest.raises(UntrustedError, match="no signature by a known key"):
        require_cosigned(NOTE + garbage, KEYS)


def flip(place: int) -> bytes:
    """Cosignatures with one bit changed at a place of the first line's blob: id, time, signature."""
    first, second = answer(WITNESS).splitlines(keepends=True)
    head, _, text = first.decode().strip().rpartition(" ")
    blob = bytearray(base64.b64decode(text))
    blob[place] ^= 1
    return f"{head} {base64.b64encode(blob).decode()}\n".encode() + second


@pytest.mark.parametrize("place", [*range(12), 12, 40, 75])
def test_no_bit_of_a_cosignature_can_be_changed(place: int) -> None:
    with pytest.raises(UntrustedError):
        add_cosignatures(NOTE, flip(place), KEYS)
    with pytest.raises(UntrustedError):
        require_cosigned(NOTE + flip(place), KEYS)


def test_one_kind_of_signature_alone_is_not_enough() -> None:
    for signer in WITNESS:
        with pytest.raises(
            UntrustedError, match="expected a cosignature with a time by the witness"
        ):
            add_cosignatures(NOTE, answer([signer]), KEYS)
        assert require_cosigned(NOTE + answer([signer]), [signer.key]).at == AT


def test_a_cosignature_without_a_time_is_none() -> None:
    timeless = cosigners("witness.example.org", 5, at=datetime(1970, 1, 1, tzinfo=UTC))
    with pytest.raises(UntrustedError, match="found one without"):
        require_cosigned(NOTE + answer(timeless), KEYS)


def test_a_cosignature_of_another_checkpoint_is_none() -> None:
    longer = Checkpoint(origin=ORIGIN, size=8, root=CHECKPOINT.root)
    with pytest.raises(UntrustedError, match="does not verify"):
        add_cosignatures(sign_checkpoint(longer, LOG), answer(WITNESS), KEYS)


def test_the_same_line_twice_is_refused() -> None:
    with pytest.raises(UntrustedError, match="two signatures of the key"):
        add_cosignatures(NOTE, answer(WITNESS) * 2, KEYS)


def test_a_time_that_is_still_to_come_is_refused() -> None:
    note = add_cosignatures(NOTE, answer(WITNESS), KEYS)
    require_witnesses(note, KEYS, now=AT - timedelta(minutes=4))
    with pytest.raises(UntrustedError, match="which is after now by this machine's clock"):
        require_witnesses(note, KEYS, now=AT - timedelta(minutes=6))


def test_a_time_that_no_calendar_has_is_refused() -> None:
    class Far(datetime):
        def timestamp(self) -> float:
            return float(2**62)

    far = cosigners("witness.example.org", 5, at=Far(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(UntrustedError, match="which no calendar has"):
        require_cosigned(NOTE + answer(far), KEYS)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "found none"),
        ([LOG_KEY.vkey], "type 0x01"),
        ([KEYS[0].vkey, OTHER[1].key.vkey], "keys of one witness"),
        ([KEYS[0].vkey, KEYS[0].vkey], "one of each type"),
        ([KEYS[0].vkey[:-4]], "expected 32 bytes of public key"),
    ],
)
def test_keys_that_are_not_one_witness_are_refused(keys: list[str], said: str) -> None:
    assert parse_witness_keys([key.vkey for key in reversed(KEYS)]) == KEYS
    with pytest.raises(FormatError, match=said):
        parse_witness_keys(keys)
