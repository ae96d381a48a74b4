"""Submissions and answers are parsed strictly: anything else is a FormatError, and nothing but that."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from witness_samples import ORIGIN, Log, body

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.note import sign_note, unverified_checkpoint
from provgraph.seal.witnessed import parse_witness_keys
from provgraph.witness.protocol import (
    MAX_SUBMISSION_BYTES,
    checkpoint_path,
    new_submission,
    parse_size,
    parse_submission,
)

LOG = Log(7)
HASH = b"\x05" * 32


def test_a_submission_reads_back_as_what_was_written() -> None:
    written = new_submission(old_size=3, proof=LOG.proof(3, 7), note=LOG.note(7))
    assert written.encode() == body(3, LOG.proof(3, 7), written.note)
    assert parse_submission(written.encode()) == written
    assert (written.claimed.size, written.claimed.origin) == (7, ORIGIN)


def test_the_example_of_the_specification_is_read() -> None:
    data = b"""old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\xe2\x80\x94 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""
    found = parse_submission(data)
    assert (found.old_size, len(found.proof), found.claimed.size) == (20852014, 4, 20852163)
    assert found.encode() == data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "begin with 'old <size>'"),
        (b"old 3", "begin with 'old <size>'"),
        (b"old 3\n", "begin with 'old <size>'"),
        (body("03", [], LOG.note(7)), "begin with 'old <size>'"),
        (body("-1", [], LOG.note(7)), "begin with 'old <size>'"),
        (body("+1", [], LOG.note(7)), "begin with 'old <size>'"),
        (body(" 3", [], LOG.note(7)), "begin with 'old <size>'"),
        (body(2**63, [], LOG.note(7)), "begin with 'old <size>'"),
        (body("٣", [], LOG.note(7)), "expected ASCII"),
        (body(3, [], LOG.note(7)).replace(b"\n", b"\r\n"), "begin with 'old <size>'"),
        (b"size 3\n\n" + LOG.note(7), "begin with 'old <size>'"),
        (body(3, [b"\x05" * 31], LOG.note(7)), "hashes of 32 bytes, found 31"),
        (body(3, [b""], LOG.note(7)), "a checkpoint of three lines"),
        (b"old 3\nAAAA*\n\n" + LOG.note(7), "expected base64"),
        (b"old 3\n" + b"A" * 42 + b"B=\n\n" + LOG.note(7), "without stray bits"),
        (body(3, [HASH] * 64, LOG.note(7)), "at most 63 proof lines, found 64"),
        (body(3, [], b""), "expected a signed note"),
        (body(3, [], LOG.checkpoint(7).encode()), "expected a signed note"),
        (body(3, [], b"only\ntwo\n\n" + LOG.note(7)[-90:]), "expected"),
        (body(3, [], LOG.note(7)) + b"x" * MAX_SUBMISSION_BYTES, "at most 262144 bytes"),
    ],
)
def test_what_is_malformed_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=re.escape(said)):
        parse_submission(data)


@given(st.binary(max_size=400))
@example(b"old 3\n\n\xff\n1\n\n")
def test_no_bytes_raise_another_error(data: bytes) -> None:
    for parse in (parse_submission, parse_size, unverified_checkpoint):
        try:
            parse(data)
        except FormatError:
            continue


@given(st.data())
def test_no_change_of_a_submission_raises_another_error(data: st.DataObject) -> None:
    whole = bytearray(body(3, LOG.proof(3, 7), LOG.note(7)[:200] + LOG.note(7)[-110:]))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if kind == "set":
            whole[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del whole[place : place + data.draw(st.integers(1, 20))]
        else:
            whole[place:place] = data.draw(st.binary(max_size=8))
        if not whole:
            return
    try:
        found = parse_submission(bytes(whole))
    except FormatError:
        return
    assert found.encode() == bytes(whole)


@given(st.lists(st.text(max_size=80), max_size=3))
@example(["w+00000000+BA==", ""])
def test_no_text_as_verifier_key_raises_another_error(texts: list[str]) -> None:
    with pytest.raises((FormatError, UntrustedError)):
        parse_witness_keys(texts)


@pytest.mark.parametrize(
    "data", [b"", b"7", b"07\n", b"7\n\n", b"7 \n", b"-1\n", b"9" * 20 + b"\n"]
)
def test_a_size_is_a_number_and_a_newline(data: bytes) -> None:
    assert parse_size(b"20852014\n") == 20852014
    with pytest.raises(FormatError, match="expected a tree size"):
        parse_size(data)


def test_the_path_for_monitors_names_the_hash_of_the_origin() -> None:
    # printf 'example.com/log' | sha256sum
    hashed = "4d3203c8f35cdf600e475f55fede6081a703d3d322f208865fca2ec4f0e030f8"
    assert checkpoint_path("example.com/log") == f"/{hashed}/checkpoint"


def test_a_note_of_other_lines_is_no_checkpoint() -> None:
    note = sign_note(b"a\nb\n", [])
    with pytest.raises(FormatError):
        unverified_checkpoint(note)
