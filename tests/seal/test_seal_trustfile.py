from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_samples import (
    HARDWARE,
    ORIGIN,
    PRODUCER,
    ROOTS,
    STEWARD,
    STRANGER,
    listed,
    method,
    root_key,
    signed_by,
    trust,
    trust_list,
)

from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.seal.multikey import ED25519, PublicKey, verification_method
from provgraph.seal.note import NoteKey, NoteSigner, SignatureType, sign_note
from provgraph.seal.trustfile import (
    ListedKey,
    open_trust,
    parse_trust_list,
    require_roots,
    require_successor,
    sign_trust,
    split_trust,
)

KEYS = (
    listed(PRODUCER, "producer", valid_until=datetime(2027, 1, 1, tzinfo=UTC)),
    listed(HARDWARE, "producer", counts_before=7),
    listed(STEWARD, "steward", valid_from=datetime(2026, 1, 1, tzinfo=UTC)),
    listed(STRANGER, "witness", name="witness.example.org"),
)
TEXT = trust_list(*KEYS).encode()
NOTE = signed_by(TEXT, 0, 1)


def test_bytes_are_fixed() -> None:
    header, line, end = TEXT.decode().split("\n")
    assert (header, end) == ("provgraph-trust/v1", "")
    assert line == json.dumps(json.loads(line), separators=(",", ":"), sort_keys=True)
    assert json.loads(line) == {
        "keys": [
            {
                "method": method(PRODUCER),
                "owner": "pricing team",
                "role": "producer",
                "validUntil": "2027-01-01T00:00:00Z",
            },
            {
                "countsBefore": 7,
                "method": method(HARDWARE),
                "owner": "pricing team",
                "role": "producer",
            },
            {
                "method": method(STEWARD),
                "owner": "pricing team",
                "role": "steward",
                "validFrom": "2026-01-01T00:00:00Z",
            },
            {
                "method": method(STRANGER),
                "name": "witness.example.org",
                "owner": "pricing team",
                "role": "witness",
            },
        ],
        "origin": ORIGIN,
        "roots": [root_key(number).vkey for number in (0, 1, 2)],
        "threshold": 2,
        "version": 1,
    }


def test_what_roots_signed_is_read_back() -> None:
    found = open_trust(NOTE)
    assert found.says == trust_list(*KEYS)
    assert found.signed_by == (root_key(0), root_key(1))
    assert found.note == NOTE
    assert split_trust(NOTE) == (TEXT, True)
    assert found.says.find(method(HARDWARE), "producer") == KEYS[1]
    assert found.says.find(method(HARDWARE), "steward") is None


def test_a_witness_is_listed_with_the_key_of_its_cosignatures() -> None:
    assert KEYS[3].witness_key == NoteKey(
        name="witness.example.org",
        public_key=STRANGER.public_key,
        type=SignatureType.ED25519_COSIGNATURE,
    )


def test_each_root_signs_by_itself_in_any_order() -> None:
    one, two = signed_by(TEXT, 0, 2), signed_by(TEXT, 2, 0)
    assert open_trust(one).signed_by == (root_key(0), root_key(2))
    assert open_trust(two).says == open_trust(one).says
    assert open_trust(two).fingerprint == open_trust(one).fingerprint


def test_too_few_signatures_are_refused() -> None:
    with pytest.raises(UntrustedError, match="signatures by 2 of its own roots, found 1"):
        open_trust(signed_by(TEXT, 0))


def test_a_signature_that_stands_twice_counts_once_and_is_refused() -> None:
    once = signed_by(TEXT, 0)
    line = once.split(b"\n\n")[1]
    with pytest.raises(UntrustedError, match="two signatures"):
        open_trust(once + line)
    with pytest.raises(UsageError, match="has signed this trust file already"):
        sign_trust(once, ROOTS[0])


def test_a_root_under_two_names_is_refused() -> None:
    again = NoteKey(name="other.example.org", public_key=ROOTS[0].public_key)
    says = trust_list(*KEYS)
    with pytest.raises(UntrustedError, match="one root key stands in it twice"):
        type(says)(
            origin=ORIGIN, version=1, threshold=2, roots=(root_key(0), again), keys=says.keys
        )


def test_a_signature_over_another_text_is_refused() -> None:
    forged = NOTE.replace(method(PRODUCER).encode(), method(STRANGER).encode())
    with pytest.raises(UntrustedError, match="does not verify"):
        open_trust(forged)


def test_only_roots_sign() -> None:
    with pytest.raises(UsageError, match="expected the key of one of the roots"):
        sign_trust(TEXT, STRANGER)
    with pytest.raises(UsageError, match="expected the key of one of the roots"):
        sign_trust(TEXT, ROOTS[0], name="root-1.example.org")


def test_no_other_note_passes_for_a_trust_file() -> None:
    note = sign_note(b"provgraph-ledger/v1\n{}\n", [NoteSigner(name="x", signer=ROOTS[0])])
    with pytest.raises(FormatError, match="provgraph-trust/v1"):
        open_trust(note)


# ---- successors ------------------------------------------------------------------------------------
def test_a_successor_is_signed_by_the_old_roots_and_the_new() -> None:
    old = trust(*KEYS)
    moved = trust(*KEYS, version=2, roots=(2, 3, 4), signers=(2, 3, 4))
    # Roots 2, 3, 4 are its own; of the old ones only root 2 has signed.
    with pytest.raises(UntrustedError, match="2 of the roots of version 1, found 1"):
        require_successor(moved, of=old)
    both = signed_by(trust_list(*KEYS, version=2, roots=(1, 2, 3)).encode(), 1, 2)
    assert require_successor(open_trust(both), of=old).version == 2


def test_new_roots_that_no_old_one_has_signed_are_refused() -> None:
    taken_over = trust(*KEYS, version=2, roots=(3, 4), signers=(3, 4))
    with pytest.raises(UntrustedError, match="no signature by a known key"):
        require_successor(taken_over, of=trust(*KEYS))


@pytest.mark.parametrize("version", [1, 2])
def test_an_old_version_put_back_is_refused(version) -> None:
    with pytest.raises(UntrustedError, match="expected a version above 2"):
        require_successor(trust(*KEYS, version=version), of=trust(*KEYS, version=2))


def test_a_trust_file_of_another_ledger_is_refused() -> None:
    text = TEXT.replace(ORIGIN.encode(), b"provgraph.local/8899aabbccddeeff").replace(
        b'"version":1', b'"version":2'
    )
    with pytest.raises(UntrustedError, match=r"expected one of provgraph\.local/0011"):
        require_successor(open_trust(signed_by(text, 0, 1)), of=trust(*KEYS))


def test_roots_that_a_reader_brings_must_all_have_signed() -> None:
    found = trust(*KEYS)
    assert require_roots(found, [root_key(0), root_key(1)]) is found
    with pytest.raises(UntrustedError, match=r"signature by the root root-2\.example\.org"):
        require_roots(found, [root_key(0), root_key(2)])


def test_a_lower_threshold_in_the_file_does_not_help_whoever_stole_one_root() -> None:
    stolen = trust(listed(STRANGER, "producer"), threshold=1, signers=(0,))
    with pytest.raises(UntrustedError, match="signature by the root"):
        require_roots(stolen, [root_key(0), root_key(1)])


# ---- bad input -----------------------------------------------------------------------------------
WEAK = verification_method(PublicKey(algorithm=ED25519, raw=bytes(32)))
FLAWS = {
    "another_header": (b"provgraph-trust/v1", b"provgraph-trust/v2"),
    "spaces_in_the_json": (b'"version":1', b'"version": 1'),
    "duplicate_member": (b'"version":1', b'"version":1,"version":1'),
    "unknown_member": (b'"version":1', b'"version":1,"weight":3'),
    "missing_member": (b'"threshold":2,', b""),
    "version_zero": (b'"version":1', b'"version":0'),
    "version_as_text": (b'"version":1', b'"version":"1"'),
    "version_true": (b'"version":1', b'"version":true'),
    "threshold_zero": (b'"threshold":2', b'"threshold":0'),
    "threshold_above_the_roots": (b'"threshold":2', b'"threshold":4'),
    "unknown_member_of_a_key": (b'"countsBefore":7', b'"countsAfter":7'),
    "negative_position": (b'"countsBefore":7', b'"countsBefore":-7'),
    "position_as_a_fraction": (b'"countsBefore":7', b'"countsBefore":7.0'),
    "unknown_role": (b'"role":"steward"', b'"role":"emperor"'),
    "time_in_another_spelling": (b"2027-01-01T00:00:00Z", b"2027-01-01T00:00:00+00:00"),
    "time_that_is_none": (b"2027-01-01T00:00:00Z", b"2027-13-01T00:00:00Z"),
    "owner_with_a_line_feed": (b'"pricing team"', rb'"pricing\nteam"'),
    "no_owner": (b'"pricing team"', b'""'),
    "witness_without_a_name": (b'"name":"witness.example.org",', b""),
    "root_with_a_wrong_key_id": (root_key(0).key_id.hex().encode(), b"00000000"),
    "key_twice_in_a_role": (method(HARDWARE).encode(), method(PRODUCER).encode()),
    "key_with_another_fragment": (b"#z6Mk", b"#z6Mx"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_malformed_lists_are_refused(flaw: str) -> None:
    old, new = FLAWS[flaw]
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    with pytest.raises(FormatError):
        parse_trust_list(text)


def test_weak_keys_are_refused() -> None:
    with pytest.raises(UntrustedError, match="low order"):
        ListedKey(method=WEAK, role="producer", owner="thief")
    weak_root = NoteKey(name="root", public_key=bytes(32))
    with pytest.raises(UntrustedError, match="low order"):
        type(says := trust_list(*KEYS))(
            origin=ORIGIN, version=1, threshold=1, roots=(weak_root,), keys=says.keys
        )


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"\n\n", TEXT[:-1], TEXT + b"\n", NOTE[:-1], TEXT + b"\nx\n", b"\xff" * 300],
    ids=range(8),
)
def test_what_is_no_signed_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        open_trust(data)


def test_an_endless_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(FormatError, match="at most"):
        open_trust(b"provgraph-trust/v1\n" + b"[" * 2_000_000 + b"\n")


@given(
    at=st.integers(0, len(NOTE)),
    dropped=st.integers(0, 60),
    added=st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"[" * 100_000, b'"' * 9, b"9" * 5000, b"-1", b"1e999", b"null", b"{}"]),
    ),
)
def test_an_edited_file_gives_one_of_two_errors(at: int, dropped: int, added: bytes) -> None:
    """Whatever is done to it, it is refused with our errors, or says what it said."""
    data = NOTE[:at] + added + NOTE[at + dropped :]
    with contextlib.suppress(FormatError, UntrustedError):
        assert open_trust(data).says == trust_list(*KEYS)
    with contextlib.suppress(FormatError, UntrustedError):
        parse_trust_list(split_trust(data)[0])
    with contextlib.suppress(FormatError, UntrustedError, UsageError):
        sign_trust(data, ROOTS[2])
