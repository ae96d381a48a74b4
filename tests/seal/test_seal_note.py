from __future__ import annotations

import base64

import pytest

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.note import (
    Checkpoint,
    NoteKey,
    NoteSigner,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    sign_checkpoint,
    sign_note,
)

SIGNER = signer_from_seed(b"\x03" * 32)
NAME = "example.com/log"
KEY = NoteKey(name=NAME, public_key=SIGNER.public_key)
BODY = b"text\n\nmore text\n"
NOTE = sign_note(BODY, [NoteSigner(name=NAME, signer=SIGNER)])

ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(origin=NAME, size=20852163, root=ROOT)


def test_go_note_example() -> None:
    """The example of golang.org/x/mod/sumdb/note: PeterNeumann+c74f20a3."""
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert public[:1] == b"\x01"
    key = NoteKey(name="PeterNeumann", public_key=public[1:])
    assert key.key_id.hex() == "c74f20a3"
    text = (
        b"If you think cryptography is the answer to your problem,\n"
        b"then you don't know what your problem is.\n"
    )
    signature = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    opened = open_note(text + b"\n" + signature.encode(), [key])
    assert (opened.body, opened.signed_by) == (text, (key,))


def test_specification_example_has_the_form() -> None:
    note = (
        "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n"
        "\n— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
    )
    with pytest.raises(
        UntrustedError, match=r"signed by quasimodo\.example/salvatore\+367ba04b, known are"
    ):
        open_note(note.encode(), [KEY])


def test_round_trip_with_blank_line_in_the_text() -> None:
    assert open_note(NOTE, [KEY]).body == BODY
    assert open_note(NOTE, [KEY]).signed_by == (KEY,)


def test_unknown_signatures_are_ignored_and_two_known_ones_are_both_named() -> None:
    other = NoteSigner(name="example.com/witness", signer=signer_from_seed(b"\x04" * 32))
    note = sign_note(BODY, [other, NoteSigner(name=NAME, signer=SIGNER)])
    assert open_note(note, [KEY]).signed_by == (KEY,)
    assert open_note(note, [KEY, other.key]).signed_by == (other.key, KEY)
    with pytest.raises(UntrustedError, match="no signature by a known key"):
        open_note(note, [])


def test_same_name_with_another_key_is_unknown() -> None:
    other = NoteKey(name=NAME, public_key=signer_from_seed(b"\x04" * 32).public_key)
    with pytest.raises(UntrustedError, match="no signature by a known key"):
        open_note(NOTE, [other])


def test_bad_signature_of_a_known_key_is_refused_even_beside_a_good_one() -> None:
    witness = NoteSigner(name="example.com/witness", signer=signer_from_seed(b"\x04" * 32))
    good_line = sign_note(BODY, [witness]).removeprefix(BODY + b"\n")
    bad_line = sign_note(b"other\n", [NoteSigner(name=NAME, signer=SIGNER)]).split(b"\n\n")[1]
    with pytest.raises(UntrustedError, match="does not verify"):
        open_note(BODY + b"\n" + good_line + bad_line, [KEY, witness.key])


def test_doubled_signature_is_refused() -> None:
    line = NOTE.removeprefix(BODY + b"\n")
    with pytest.raises(UntrustedError, match="two signatures"):
        open_note(NOTE + line, [KEY])


def test_changed_text_is_refused() -> None:
    with pytest.raises(UntrustedError, match="does not verify"):
        open_note(NOTE.replace(b"more", b"less"), [KEY])


LINE = NOTE.removeprefix(BODY + b"\n")


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n",
        BODY,
        BODY + b"\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace("—".encode(), b"-"),
        NOTE.replace(b" example", b"  example"),
        NOTE.replace(b"example.com/log", b"example.com/\xc2\xa0log"),
        NOTE.replace(b"example.com/log", b"example.com+log"),
        NOTE.replace(b"text\n\n", b"te\txt\n\n"),
        NOTE.replace(b"text\n\n", b"text\r\n\n"),
        NOTE.replace(b"text\n\n", b"\xff\n\n"),
        NOTE[:-3] + b"\n",
        BODY + b"\n" + "— a AAAAAA==\n".encode(),
        BODY + b"\n" + "— a AAAA\n".encode(),
        BODY + b"\n" + LINE * 101,
        b"x" * (1024 * 1024 + 1),
    ],
)
def test_other_forms_are_refused(note: bytes) -> None:
    with pytest.raises(FormatError):
        open_note(note, [KEY])


def test_base64_with_stray_bits_is_refused() -> None:
    blob = LINE.decode().split(" ")[2].strip()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    assert (len(base64.b64decode(blob)), blob[-1]) == (68, "=")
    stray = blob[:-2] + alphabet[alphabet.index(blob[-2]) + 1] + "="
    assert base64.b64decode(stray) == base64.b64decode(blob)
    with pytest.raises(FormatError, match="stray bits"):
        open_note(NOTE.replace(blob.encode(), stray.encode()), [KEY])


@pytest.mark.parametrize("body", [b"", b"text", b"te\x00xt\n", b"\xff\n"])
def test_text_that_no_note_can_hold_is_not_signed(body: bytes) -> None:
    with pytest.raises(FormatError):
        sign_note(body, [NoteSigner(name=NAME, signer=SIGNER)])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x00"])
def test_bad_key_names_are_refused(name: str) -> None:
    with pytest.raises(FormatError, match="key name"):
        NoteKey(name=name, public_key=SIGNER.public_key)


# ---- checkpoints ---------------------------------------------------------------------------------
def test_checkpoint_text_and_round_trip() -> None:
    body = b"example.com/log\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    assert CHECKPOINT.encode() == body
    assert parse_checkpoint(body) == CHECKPOINT
    assert open_checkpoint(sign_checkpoint(CHECKPOINT, SIGNER), KEY) == CHECKPOINT


def test_checkpoint_of_another_origin_is_refused() -> None:
    body = Checkpoint(origin="example.com/other", size=1, root=ROOT).encode()
    note = sign_note(body, [NoteSigner(name=NAME, signer=SIGNER)])
    with pytest.raises(UntrustedError, match=r"expected the origin example\.com/log"):
        open_checkpoint(note, KEY)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"20852163", b"020852163"),
        (b"20852163", b"-1"),
        (b"20852163", b"+1"),
        (b"20852163", "٢".encode()),
        (b"20852163", b"9223372036854775808"),
        (b"20852163", b""),
        (b"example.com/log", b""),
        (b"Hh8=", b"Hh8"),
        (b"Hh8=", b"Hg=="),
        (b"Hh8=", b"Hh9="),
        (b"Hh8=\n", b"Hh8="),
        (b"Hh8=\n", b"Hh8=\nextension\n"),
    ],
)
def test_other_checkpoints_are_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(FormatError):
        parse_checkpoint(CHECKPOINT.encode().replace(old, new))


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint(origin="evil\n999", size=1, root=ROOT),
        Checkpoint(origin="", size=1, root=ROOT),
        Checkpoint(origin=NAME, size=-1, root=ROOT),
        Checkpoint(origin=NAME, size=2**63, root=ROOT),
        Checkpoint(origin=NAME, size=1, root=ROOT[:31]),
    ],
)
def test_checkpoints_that_would_read_back_as_another_are_not_written(
    checkpoint: Checkpoint,
) -> None:
    with pytest.raises(FormatError):
        checkpoint.encode()
