from __future__ import annotations

import base64
import dataclasses

import pytest

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.merkle import leaf_hash, tree_root
from provgraph.seal.note import Checkpoint, NoteKey, sign_checkpoint
from provgraph.seal.tlogproof import TlogProof, parse_tlog_proof, verify_tlog_proof

SIGNER = signer_from_seed(b"\x05" * 32)
KEY = NoteKey(name="example.com/log", public_key=SIGNER.public_key)
LEAVES = [leaf_hash(b"a"), leaf_hash(b"b")]
CHECKPOINT = Checkpoint(origin=KEY.name, size=2, root=tree_root(LEAVES))
NOTE = sign_checkpoint(CHECKPOINT, SIGNER)
PROOF = TlogProof(index=1, hashes=(LEAVES[0],), checkpoint=NOTE)
HASH_LINE = base64.b64encode(LEAVES[0]) + b"\n"
DATA = b"c2sp.org/tlog-proof@v1\nindex 1\n" + HASH_LINE + b"\n" + NOTE


def test_bytes_are_those_of_the_specification() -> None:
    assert PROOF.encode() == DATA
    assert parse_tlog_proof(DATA) == PROOF


def test_extra_data_and_a_proof_without_hashes() -> None:
    proof = TlogProof(index=0, hashes=(), checkpoint=NOTE, extra=b"\x00\xff")
    assert proof.encode() == b"c2sp.org/tlog-proof@v1\nextra AP8=\nindex 0\n\n" + NOTE
    assert parse_tlog_proof(proof.encode()) == proof


def test_verification_returns_the_checkpoint() -> None:
    assert verify_tlog_proof(parse_tlog_proof(DATA), entry=b"b", keys=[KEY]) == CHECKPOINT


@pytest.mark.parametrize(
    "changes",
    [
        {"index": 0},
        {"index": 2},
        {"hashes": ()},
        {"hashes": (LEAVES[1],)},
        {"hashes": (LEAVES[0], LEAVES[0])},
        {"checkpoint": NOTE.replace(b"\n2\n", b"\n3\n")},
        {
            "checkpoint": sign_checkpoint(
                Checkpoint(origin="example.com/evil", size=2, root=CHECKPOINT.root), SIGNER
            )
        },
    ],
)
def test_false_proofs_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UntrustedError):
        verify_tlog_proof(dataclasses.replace(PROOF, **changes), entry=b"b", keys=[KEY])  # type: ignore[arg-type]


def test_another_entry_is_refused() -> None:
    with pytest.raises(UntrustedError, match="not in that tree"):
        verify_tlog_proof(PROOF, entry=b"c", keys=[KEY])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        DATA.replace(b"@v1", b"@v2"),
        b" " + DATA,
        DATA.replace(b"index 1", b"index 01"),
        DATA.replace(b"index 1", b"index -1"),
        DATA.replace(b"index 1", b"Index 1"),
        DATA.replace(b"index 1\n", b""),
        DATA.replace(b"index 1\n", b"index 1\nextra AA==\n"),
        DATA.replace(b"index 1\n", b"extra !\nindex 1\n"),
        DATA.replace(HASH_LINE, b"AAAA\n"),
        DATA.replace(HASH_LINE, HASH_LINE * 65),
        DATA.replace(HASH_LINE, HASH_LINE[:-1] + b"\r\n"),
        DATA.replace(HASH_LINE, "é\n".encode()),
        DATA.replace(HASH_LINE + b"\n", HASH_LINE),
        b"c2sp.org/tlog-proof@v1\n\n" + NOTE,
        DATA + b"x" * 2 * 1024 * 1024,
    ],
)
def test_other_forms_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_tlog_proof(data)
