from __future__ import annotations

import contextlib
import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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


# ---- the pattern against the JSON parser -------------------------------------------------------------
MEMBERS = {
    "graph": "graph",
    "graphSha256": "graph_sha256",
    "kind": "kind",
    "proofSha256": "proof_sha256",
    "proofValue": "proof_value",
    "salt": "salt",
    "verificationMethod": "verification_method",
}


def read_as_json(data: bytes) -> Entry | None:
    """Read an entry by RFC 8785 and the rules of each member, without the pattern for the whole."""
    with contextlib.suppress(FormatError):
        value = jcs.parse_canonical(data)
        if not isinstance(value, dict) or set(value) != {*MEMBERS, "version"}:
            return None
        version = value.pop("version")
        if version != 1 or isinstance(version, bool):
            return None
        if not all(isinstance(each, str) for each in value.values()):
            return None
        return Entry(**{MEMBERS[key]: each for key, each in value.items()})
    return None


def read(data: bytes) -> Entry | None:
    with contextlib.suppress(FormatError):
        return parse_entry(data)
    return None


IRIS = st.text("ab:/%2Fz0#?", max_size=12).map("x:{}".format)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
ENTRIES = st.builds(
    '{{"graph":"{}","graphSha256":"{}","kind":"{}","proofSha256":"{}","proofValue":"{}",'
    '"salt":"{}","verificationMethod":"{}","version":1}}'.format,
    IRIS,
    HEX,
    st.from_regex("[a-z][a-z0-9-]{0,33}", fullmatch=True),
    HEX,
    st.text("123zZIO0", max_size=8).map("z{}".format),
    st.text("0123456789abcdef", min_size=32, max_size=32),
    IRIS,
)


@given(ENTRIES)
@example(DATA.decode())
@example(DATA.decode().replace("/1", "/%2F"))
@example(DATA.decode().replace("/1", "/%2"))
def test_the_pattern_takes_what_json_and_the_rules_of_each_member_take(text: str) -> None:
    assert read(text.encode()) == read_as_json(text.encode())


@given(
    st.integers(0, len(DATA) - 1),
    st.integers(0, len(DATA)),
    st.sampled_from([*(bytes([each]) for each in range(256)), b"", b"\\u0061", b"%2", b'","x":"']),
)
def test_a_changed_entry_is_read_by_both_or_by_none(start: int, length: int, new: bytes) -> None:
    changed = DATA[:start] + new + DATA[start + length % 3 :]
    assert read(changed) == read_as_json(changed)


def test_both_read_the_entry() -> None:
    assert (read(DATA), read_as_json(DATA)) == (ENTRY, ENTRY)
