from __future__ import annotations

import dataclasses

import pytest

from provgraph.errors import FormatError
from provgraph.seal import jcs
from provgraph.seal.entry import Entry, new_salt, parse_entry

ENTRY = Entry(
    kind="record",
    graph="https://w3id.org/provgraph/id/record/1",
    graph_sha256="aa" * 32,
    proof_sha256="bb" * 32,
    proof_value="z3FXQ",
    verification_method="did:key:z6Mk#z6Mk",
    salt="00112233445566778899aabbccddeeff",
)
DATA = (
    b'{"graph":"https://w3id.org/provgraph/id/record/1","graphSha256":"' + b"aa" * 32 + b'",'
    b'"kind":"record","proofSha256":"' + b"bb" * 32 + b'","proofValue":"z3FXQ",'
    b'"salt":"00112233445566778899aabbccddeeff","verificationMethod":"did:key:z6Mk#z6Mk",'
    b'"version":1}'
)


def test_bytes_are_fixed() -> None:
    assert ENTRY.encode() == DATA
    assert parse_entry(DATA) == ENTRY


def test_salt_is_16_random_bytes() -> None:
    salts = {new_salt() for _ in range(100)}
    assert len(salts) == 100
    assert {len(bytes.fromhex(salt)) for salt in salts} == {16}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"version":1', b'"version":2', "version 1, found 2"),
        (b'"version":1', b'"version":true', "version 1, found True"),
        (b'"version":1', b'"version":1,"x":1', "members"),
        (b'"kind":"record",', b"", "members"),
        (b'"kind":"record"', b'"kind":1', "expected a string as kind"),
        (b'"record"', b'"Record"', "expected kind"),
        (b"aa" * 32, b"aa" * 31, "expected graph_sha256"),
        (b"bb" * 32, b"BB" * 32, "expected proof_sha256"),
        (b"z3FXQ", b"z0", "expected proof_value"),
        (b"ddeeff", b"ddee", "expected salt"),
        (b"https://w3id.org", b"w3id", "absolute IRI"),
        (b'{"graph"', b' {"graph"', "another spelling"),
    ],
)
def test_other_entries_are_refused(old: bytes, new: bytes, message: str) -> None:
    assert DATA.count(old) == 1
    with pytest.raises(FormatError, match=message):
        parse_entry(DATA.replace(old, new))


def test_list_is_no_entry() -> None:
    with pytest.raises(FormatError, match="members"):
        parse_entry(b"[]")


def test_entries_over_65535_bytes_are_refused() -> None:
    room = 65_535 - len(DATA)
    longest = dataclasses.replace(ENTRY, graph=ENTRY.graph + "a" * room)
    assert len(longest.encode()) == 65_535
    assert parse_entry(longest.encode()) == longest
    with pytest.raises(FormatError, match="at most 65535 bytes, found 65536"):
        dataclasses.replace(ENTRY, graph=ENTRY.graph + "a" * (room + 1)).encode()
    with pytest.raises(FormatError, match="at most 65535 bytes, found 65536"):
        parse_entry(b"x" * 65_536)


def test_an_entry_is_what_rfc_8785_makes_of_its_members() -> None:
    entry = Entry(
        kind="key-add",
        graph="https://example.org/a~b?c='%22'&d=(e)#f",
        graph_sha256="0" * 64,
        proof_sha256="f" * 64,
        proof_value="z123",
        verification_method="did:key:z6Mk#z6Mk",
        salt=new_salt(),
    )
    members = {
        "version": 1,
        "kind": entry.kind,
        "graph": entry.graph,
        "graphSha256": entry.graph_sha256,
        "proofSha256": entry.proof_sha256,
        "proofValue": entry.proof_value,
        "verificationMethod": entry.verification_method,
        "salt": entry.salt,
    }
    assert entry.encode() == jcs.encode(members)
    assert parse_entry(entry.encode()) == entry
