from __future__ import annotations

import base64
import contextlib
import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal import cosignature
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.mldsa import mldsa_signer_from_seed, verify_mldsa44
from provgraph.seal.note import (
    Checkpoint,
    Cosigner,
    NoteKey,
    NoteSignature,
    NoteSigner,
    SignatureType,
    add_signature,
    open_checkpoint,
    open_note,
    parse_vkey,
    sign_checkpoint,
    sign_note,
)

ORIGIN = "example.com/log"
WITNESS = "witness.example.com/w1"
ROOT = bytes(range(32))
TIME_S = 1679315147
CHECKPOINT = Checkpoint(origin=ORIGIN, size=20852163, root=ROOT)
BODY = CHECKPOINT.encode()

LOG = signer_from_seed(b"\x0a" * 32)
LOG_MLDSA = mldsa_signer_from_seed(b"\x0b" * 32)


def clock() -> datetime:
    return datetime.fromtimestamp(TIME_S, UTC)


LOG_COSIGNER = Cosigner(name=ORIGIN, signer=LOG_MLDSA, clock=clock)
WITNESS_COSIGNER = Cosigner(name=WITNESS, signer=signer_from_seed(b"\x0c" * 32), clock=clock)
WITNESS_MLDSA = Cosigner(name=WITNESS, signer=mldsa_signer_from_seed(b"\x0d" * 32), clock=clock)
LOG_KEY = NoteKey(name=ORIGIN, public_key=LOG.public_key)
NOTE = sign_checkpoint(CHECKPOINT, LOG, LOG_COSIGNER)

# tlog-cosignature, "ML-DSA-44 signed message", field by field.
MLDSA_MESSAGE = (
    b"subtree/v1\n\0"
    b"\x0fexample.com/log"
    b"\0\0\0\0\x64\x18\x50\xcb"
    b"\x0fexample.com/log"
    b"\0\0\0\0\0\0\0\0"
    b"\0\0\0\0\x01\x3e\x2d\xc3" + ROOT
)


def signature_line(note: bytes, number: int) -> tuple[bytes, bytes]:
    """Return (key id, rest) of a note's signature."""
    blob = base64.b64decode(note.split(b"\n\n")[1].split(b"\n")[number].split(b" ")[2])
    return blob[:4], blob[4:]


# ---- messages ------------------------------------------------------------------------------------
def test_ed25519_message_is_that_of_the_specification() -> None:
    body = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert cosignature.ed25519_message(body, time_s=TIME_S) == (
        b"cosignature/v1\ntime 1679315147\n" + body
    )


def test_mldsa_message_is_that_of_the_specification() -> None:
    assert TIME_S == 0x641850CB
    assert CHECKPOINT.size == 0x13E2DC3
    message = cosignature.mldsa44_message(
        cosigner=ORIGIN, time_s=TIME_S, origin=ORIGIN, size=CHECKPOINT.size, root=ROOT
    )
    assert message == MLDSA_MESSAGE


def test_names_are_counted_in_bytes() -> None:
    message = cosignature.mldsa44_message(
        cosigner="é" * 127, time_s=0, origin="a", size=0, root=ROOT
    )
    assert message[12:15] == b"\xfe" + "é".encode()


@pytest.mark.parametrize(("cosigner", "origin"), [("", "a"), ("a", ""), ("é" * 128, "a")])
def test_names_that_do_not_fit_are_refused(cosigner: str, origin: str) -> None:
    with pytest.raises(FormatError, match="of 1 to 255 bytes"):
        cosignature.mldsa44_message(cosigner=cosigner, time_s=0, origin=origin, size=0, root=ROOT)


# ---- checkpoints of a log with two keys ----------------------------------------------------------
def test_checkpoint_carries_both_signatures_the_plain_one_last() -> None:
    key_id, timed = signature_line(NOTE, 0)
    assert key_id == LOG_COSIGNER.key.key_id
    assert timed[:8] == TIME_S.to_bytes(8, "big")
    verify_mldsa44(LOG_MLDSA.public_key, timed[8:], MLDSA_MESSAGE, what="test")
    assert signature_line(NOTE, 1) == (LOG_KEY.key_id, LOG.sign(BODY))
    assert len(NOTE.split(b"\n\n")[1].split(b"\n")) == 3


def test_checkpoint_opens_under_both_keys() -> None:
    assert open_checkpoint(NOTE, LOG_KEY, LOG_COSIGNER.key) == CHECKPOINT
    assert open_checkpoint(NOTE, LOG_KEY) == CHECKPOINT
    assert open_checkpoint(NOTE, LOG_COSIGNER.key) == CHECKPOINT


def test_checkpoint_without_the_second_signature_is_refused() -> None:
    with pytest.raises(UntrustedError, match=r"expected a signature of type 0x06 by example\.com"):
        open_checkpoint(sign_checkpoint(CHECKPOINT, LOG), LOG_KEY, LOG_COSIGNER.key)


def test_checkpoint_without_the_first_signature_is_refused() -> None:
    note = sign_note(BODY, [LOG_COSIGNER])
    with pytest.raises(UntrustedError, match=r"expected a signature of type 0x01 by example\.com"):
        open_checkpoint(note, LOG_KEY, LOG_COSIGNER.key)


def test_second_signature_over_another_tree_is_refused() -> None:
    other = Checkpoint(origin=ORIGIN, size=CHECKPOINT.size + 1, root=ROOT)
    line = sign_note(other.encode(), [LOG_COSIGNER]).split(b"\n\n")[1]
    forged = sign_checkpoint(CHECKPOINT, LOG) + line
    with pytest.raises(UntrustedError, match="does not verify under the ML-DSA-44 key"):
        open_checkpoint(forged, LOG_KEY, LOG_COSIGNER.key)
    # Also where it was not asked for, but known.
    with pytest.raises(UntrustedError, match="does not verify under the ML-DSA-44 key"):
        open_checkpoint(forged, LOG_KEY, known=[LOG_COSIGNER.key])


def test_second_signature_under_another_name_is_refused() -> None:
    """The name is a part of what ML-DSA-44 signs, and of the key id."""
    other = Cosigner(name="example.com/other", signer=LOG_MLDSA, clock=clock)
    line = sign_note(BODY, [other]).split(b"\n\n")[1].replace(b"other", b"log")
    with pytest.raises(UntrustedError, match="expected a signature of type 0x06"):
        open_checkpoint(sign_checkpoint(CHECKPOINT, LOG) + line, LOG_KEY, LOG_COSIGNER.key)


def test_required_keys_of_two_names_are_no_log() -> None:
    note = add_signature(NOTE, WITNESS_COSIGNER)
    with pytest.raises(UntrustedError, match=f"expected the origin {WITNESS}"):
        open_checkpoint(note, LOG_KEY, WITNESS_COSIGNER.key)


# ---- witnesses -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cosigner", "type_", "length"),
    [
        (WITNESS_COSIGNER, SignatureType.ED25519_COSIGNATURE, 8 + 64),
        (WITNESS_MLDSA, SignatureType.MLDSA44_COSIGNATURE, 8 + 2420),
    ],
)
def test_a_witness_adds_its_line(cosigner: Cosigner, type_: SignatureType, length: int) -> None:
    note = add_signature(NOTE, cosigner)
    assert note.startswith(NOTE) is True
    assert len(signature_line(note, 2)[1]) == length
    assert cosigner.key.type == type_
    opened = open_note(note, [LOG_KEY, cosigner.key])
    assert opened.signatures == (
        NoteSignature(key=LOG_KEY, time_s=None),
        NoteSignature(key=cosigner.key, time_s=TIME_S),
    )
    assert open_checkpoint(note, LOG_KEY, known=[cosigner.key]) == CHECKPOINT


@pytest.mark.parametrize("cosigner", [WITNESS_COSIGNER, WITNESS_MLDSA])
def test_a_changed_time_is_refused(cosigner: Cosigner) -> None:
    line = sign_note(BODY, [cosigner]).split(b"\n\n")[1].split(b" ")[2]
    blob = bytearray(base64.b64decode(line))
    blob[11] ^= 1
    changed = NOTE + f"— {WITNESS} {base64.b64encode(blob).decode()}\n".encode()
    with pytest.raises(UntrustedError, match="does not verify"):
        open_note(changed, [LOG_KEY, cosigner.key])


@pytest.mark.parametrize(
    "rest", [b"\x80" + bytes(7) + bytes(64), bytes(8), b"\0", bytes(8) + bytes(63)]
)
def test_malformed_timestamped_signatures_are_refused(rest: bytes) -> None:
    blob = base64.b64encode(WITNESS_COSIGNER.key.key_id + rest).decode()
    with pytest.raises(UntrustedError, match="expected a"):
        open_note(NOTE + f"— {WITNESS} {blob}\n".encode(), [LOG_KEY, WITNESS_COSIGNER.key])


def test_what_is_no_checkpoint_is_not_cosigned_and_no_cosignature_of_it_is_believed() -> None:
    plain = sign_note(b"text\n", [NoteSigner(name=ORIGIN, signer=LOG)])
    for cosigner in (WITNESS_COSIGNER, WITNESS_MLDSA):
        with pytest.raises(FormatError, match="expected a checkpoint of three lines"):
            add_signature(plain, cosigner)
        line = add_signature(NOTE, cosigner).removeprefix(NOTE)
        with pytest.raises(FormatError, match="expected a checkpoint of three lines"):
            open_note(plain + line, [LOG_KEY, cosigner.key])


@pytest.mark.parametrize("cosigner", [WITNESS_COSIGNER, WITNESS_MLDSA])
def test_a_clock_before_1970_is_refused(cosigner: Cosigner) -> None:
    early = dataclasses.replace(cosigner, clock=lambda: datetime(1969, 1, 1, tzinfo=UTC))
    with pytest.raises(FormatError, match="expected a time of 0 to"):
        add_signature(NOTE, early)


# ---- verifier keys -------------------------------------------------------------------------------
def test_verifier_key_of_the_specification() -> None:
    vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    key = parse_vkey(vkey)
    assert (key.name, key.type, key.vkey) == ("example.com/foo", SignatureType.ED25519, vkey)
    note = (
        "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2O"
        "NncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    )
    assert open_note(note.encode(), [key]).body == b"This is an example message.\n"


@pytest.mark.parametrize("key", [LOG_KEY, LOG_COSIGNER.key, WITNESS_COSIGNER.key])
def test_verifier_keys_round_trip(key: NoteKey) -> None:
    assert parse_vkey(key.vkey) == key


def test_one_public_key_has_a_key_id_of_its_own_for_each_type() -> None:
    keys = [
        NoteKey(name=ORIGIN, public_key=LOG.public_key, type=type_)
        for type_ in (SignatureType.ED25519, SignatureType.ED25519_COSIGNATURE)
    ]
    assert len({key.key_id for key in keys}) == 2


VKEY = LOG_KEY.vkey


@pytest.mark.parametrize(
    "text",
    [
        "",
        VKEY + "\n",
        " " + VKEY,
        VKEY.replace("+", "-", 1),
        VKEY.replace("example.com/log", ""),
        VKEY.replace("example.com/log", "example.com/other"),
        VKEY.replace(LOG_KEY.key_id.hex(), "00000000"),
        VKEY.replace(LOG_KEY.key_id.hex(), LOG_KEY.key_id.hex().upper()),
        VKEY[:-1],
        VKEY + "A===",
        f"a+00000000+{base64.b64encode(bytes([2]) + bytes(32)).decode()}",
        f"a+00000000+{base64.b64encode(bytes([1]) + bytes(31)).decode()}",
        f"a+00000000+{base64.b64encode(bytes([6]) + bytes(32)).decode()}",
        "a b" + VKEY,
    ],
)
def test_other_verifier_keys_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_vkey(text)


def test_public_keys_of_another_length_are_refused() -> None:
    with pytest.raises(FormatError, match="expected 1312 bytes of public key"):
        NoteKey(name="a", public_key=bytes(32), type=SignatureType.MLDSA44_COSIGNATURE)


# ---- fuzz ----------------------------------------------------------------------------------------
@given(st.text(max_size=200) | st.builds("{}+{}+{}".format, st.text(), st.text(), st.text()))
def test_any_text_is_a_verifier_key_or_a_format_error(text: str) -> None:
    with contextlib.suppress(FormatError):
        assert parse_vkey(text).vkey == text


@given(st.binary(max_size=300), st.integers(0, len(NOTE)), st.integers(0, len(NOTE)))
def test_any_change_of_a_note_is_refused_or_harmless(data: bytes, start: int, stop: int) -> None:
    changed = NOTE[:start] + data + NOTE[stop:]
    try:
        opened = open_checkpoint(changed, LOG_KEY, LOG_COSIGNER.key)
    except (FormatError, UntrustedError):
        return
    assert opened == CHECKPOINT
