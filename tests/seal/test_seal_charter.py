from __future__ import annotations

from datetime import UTC, datetime

import pytest

from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.seal.charter import mldsa_note_key, new_charter, open_charter
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.mldsa import mldsa_signer_from_seed
from provgraph.seal.multikey import ED25519, PublicKey, encode_multikey
from provgraph.seal.note import (
    NoteKey,
    NoteSigner,
    SignatureType,
    parse_checkpoint,
    sign_note,
)

SIGNER = signer_from_seed(b"\x06" * 32)
CREATED = datetime(2026, 1, 2, tzinfo=UTC)
NOTE = new_charter(log_signer=SIGNER, created=CREATED, namespace="example.org")
MLDSA = mldsa_signer_from_seed(b"\x08" * 32)
NOTE_WITH_MLDSA = new_charter(
    log_signer=SIGNER, mldsa_key=MLDSA.public_key, created=CREATED, namespace="example.org"
)


def test_round_trip() -> None:
    charter = open_charter(NOTE)
    assert (charter.namespace, charter.created) == ("example.org", "2026-01-02T00:00:00Z")
    assert charter.log_key == charter.note_key.public_key == SIGNER.public_key
    assert charter.note_key.name == charter.origin
    assert charter.note == NOTE
    assert (charter.mldsa_key, charter.log_keys) == (None, (charter.note_key,))


def test_second_key_stands_in_the_sixth_line_as_verifier_key() -> None:
    charter = open_charter(NOTE_WITH_MLDSA)
    assert charter.mldsa_key == MLDSA.public_key
    second = NoteKey(
        name=charter.origin,
        public_key=MLDSA.public_key,
        type=SignatureType.MLDSA44_COSIGNATURE,
    )
    assert charter.log_keys == (charter.note_key, second)
    lines = NOTE_WITH_MLDSA.decode().split("\n")
    assert lines[:6] == [
        "provgraph-ledger/v1",
        charter.origin,
        "example.org",
        "2026-01-02T00:00:00Z",
        encode_multikey(PublicKey(algorithm=ED25519, raw=SIGNER.public_key)),
        second.vkey,
    ]
    assert (lines[6], len(lines)) == ("", 9)


def test_second_key_taken_out_is_refused() -> None:
    """A downgrade: without the line, checkpoints without the second signature would do."""
    lines = NOTE_WITH_MLDSA.split(b"\n")
    with pytest.raises(UntrustedError, match="does not verify"):
        open_charter(b"\n".join([*lines[:5], *lines[6:]]))


@pytest.mark.parametrize("kind", ["other name", "other type", "no key"])
def test_second_key_of_another_log_or_kind_is_refused(kind: str) -> None:
    origin = open_charter(NOTE).origin
    key = {
        "other name": mldsa_note_key("example.com/other", MLDSA.public_key).vkey,
        "other type": NoteKey(name=origin, public_key=SIGNER.public_key).vkey,
        "no key": "x",
    }[kind]
    body = NOTE.partition(b"\n\n")[0] + f"\n{key}\n".encode()
    with pytest.raises((UntrustedError, FormatError), match="verifier key"):
        open_charter(sign_note(body, [NoteSigner(name=origin, signer=SIGNER)]))


def test_two_ledgers_of_one_key_have_two_origins() -> None:
    other = new_charter(log_signer=SIGNER, created=CREATED, namespace="example.org")
    assert len({open_charter(NOTE).origin, open_charter(other).origin}) == 2


def test_charter_is_no_checkpoint() -> None:
    with pytest.raises(FormatError, match="three lines"):
        parse_checkpoint(NOTE.partition(b"\n\n")[0] + b"\n")


@pytest.mark.parametrize("note", [NOTE, NOTE_WITH_MLDSA])
def test_any_flipped_bit_is_refused(note: bytes) -> None:
    for place in range(len(note)):
        changed = bytearray(note)
        changed[place] ^= 1
        with pytest.raises((FormatError, UntrustedError)):
            open_charter(bytes(changed))


def test_charter_that_names_another_key_is_refused() -> None:
    """Signed by one key, it claims the log of another."""
    other = signer_from_seed(b"\x07" * 32)
    origin = open_charter(NOTE).origin
    body = NOTE.partition(b"\n\n")[0] + b"\n"
    forged = sign_note(body, [NoteSigner(name=origin, signer=other)])
    with pytest.raises(UntrustedError, match="no signature by a known key"):
        open_charter(forged)


def test_text_before_a_blank_line_is_all_the_text() -> None:
    """The reader stops at the first blank line, a note's text may go on: both must agree."""
    origin = open_charter(NOTE).origin
    body = NOTE.partition(b"\n\n")[0] + b"\n\nmore\n"
    with pytest.raises(UntrustedError, match="not the text that was read"):
        open_charter(sign_note(body, [NoteSigner(name=origin, signer=SIGNER)]))


@pytest.mark.parametrize("lines", [[], ["x"], ["a", "b", "c"], ["a b", "n", "t", "k"]])
def test_other_lines_are_refused(lines: list[str]) -> None:
    body = "\n".join(["provgraph-ledger/v1", *lines, ""]).encode()
    with pytest.raises(FormatError, match="expected the charter"):
        open_charter(sign_note(body, [NoteSigner(name="a", signer=SIGNER)]))


def test_p256_key_is_refused() -> None:
    ours = encode_multikey(PublicKey(algorithm=ED25519, raw=SIGNER.public_key)).encode()
    p256 = encode_multikey(PublicKey(algorithm="P-256", raw=b"\x02" + b"k" * 32)).encode()
    with pytest.raises(UntrustedError, match="expected an Ed25519 log key"):
        open_charter(NOTE.replace(ours, p256))


@pytest.mark.parametrize("namespace", ["a\nb", "x" * 254, "\x7f"])
def test_bad_namespace_is_refused(namespace: str) -> None:
    with pytest.raises(UsageError, match="namespace of 1 to 253"):
        new_charter(log_signer=SIGNER, created=CREATED, namespace=namespace)
