from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_samples import (
    AT,
    HARDWARE,
    PRODUCER,
    PRODUCER_2,
    STEWARD,
    key_add_graph,
    key_revoke_graph,
    method,
)

from provgraph.errors import FormatError, UntrustedError
from provgraph.records import Agent
from provgraph.seal.entry import KEY_EVENTS
from provgraph.seal.keyevent import KeyAdded, KeyRevoked, parse_key_event
from provgraph.seal.multikey import ED25519, PublicKey, verification_method
from provgraph.vocab import PG

FULL = {
    "owner": Agent(name="pricing team", kind="organization"),
    "valid_from": AT,
    "valid_until": datetime(2027, 3, 1, tzinfo=UTC),
    "replaces": method(PRODUCER),
    "reason": "the old laptop is gone",
}
ADD = key_add_graph(PRODUCER_2, "producer", **FULL)
REVOKE = key_revoke_graph(PRODUCER, "compromised", counts_before=41, reason="stolen")


def test_what_was_recorded_is_read_back() -> None:
    assert parse_key_event("key-add", ADD) == KeyAdded(
        method=method(PRODUCER_2),
        role="producer",
        owner="pricing team",
        valid_from=FULL["valid_from"],
        valid_until=FULL["valid_until"],
        replaces=method(PRODUCER),
    )
    assert parse_key_event("key-revoke", REVOKE) == KeyRevoked(
        method=method(PRODUCER), reason="compromised", counts_before=41
    )


def test_a_bare_addition_says_role_and_key_only() -> None:
    found = parse_key_event("key-add", key_add_graph(HARDWARE, "steward"))
    assert found == KeyAdded(method=method(HARDWARE), role="steward")


def lines_with(graph: bytes, *added: bytes) -> bytes:
    return b"".join(sorted({*graph.splitlines(keepends=True), *added}))


def lines_without(graph: bytes, part: bytes) -> bytes:
    left = [line for line in graph.splitlines(keepends=True) if part not in line]
    assert len(left) < len(graph.splitlines())
    return b"".join(left)


def resorted(graph: bytes) -> bytes:
    return b"".join(sorted(graph.splitlines(keepends=True)))


GRAPH = ADD.splitlines()[0].rpartition(b"<")[2].partition(b">")[0]
KEY = method(PRODUCER_2).encode()


def statement(subject: bytes, predicate: str, value: bytes) -> bytes:
    return b"<%s> <%s> %s <%s> .\n" % (subject, predicate.encode(), value, GRAPH)


TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
FLAWS = {
    "a_record_that_is_no_key_event": ("record", ADD, "kind key-add or key-revoke"),
    "an_addition_read_as_a_revocation": ("key-revoke", ADD, "tell of one KeyRevocation"),
    "a_revocation_read_as_an_addition": ("key-add", REVOKE, "tell of one KeyAddition"),
    "addition_and_revocation_at_once": (
        "key-add",
        lines_with(ADD, statement(b"https://x.test/1", TYPE, b"<%sKeyRevocation>" % PG.encode())),
        "tell of one KeyAddition",
    ),
    "two_keys": (
        "key-add",
        lines_with(ADD, statement(method(STEWARD).encode(), TYPE, b"<%sKey>" % PG.encode())),
        "one key, found 2",
    ),
    "no_key": ("key-add", lines_without(ADD, b"ns#Key>"), "one key, found 0"),
    "key_of_another_act": (
        "key-add",
        lines_without(ADD, b"wasGeneratedBy"),
        "tie it to its act",
    ),
    "label_of_another_key": (
        "key-add",
        resorted(ADD.replace(b'label> "' + KEY.partition(b"#")[2], b'label> "z6MkOther')),
        "label the key",
    ),
    "two_roles": (
        "key-add",
        lines_with(ADD, statement(KEY, f"{PG}keyRole", b'"steward"')),
        "keyRole of a key at most once",
    ),
    "unknown_role": (
        "key-add",
        resorted(ADD.replace(b'"producer"', b'"emperor"')),
        "expected the role",
    ),
    "no_role": ("key-add", lines_without(ADD, b"keyRole"), "expected the role"),
    "role_as_an_iri": (
        "key-add",
        resorted(ADD.replace(b'"producer"', b"<https://x.test/producer>")),
        "expected a literal",
    ),
    "validity_in_another_spelling": (
        "key-add",
        resorted(ADD.replace(b"2027-03-01T00:00:00Z", b"2027-03-01T00:00:00+00:00")),
        "expected a time",
    ),
    "valid_until_before_valid_from": (
        "key-add",
        resorted(ADD.replace(b"2027-03-01T00:00:00Z", b"2020-03-01T00:00:00Z")),
        "valid from before",
    ),
    "an_end_that_is_no_time": (
        "key-add",
        lines_with(
            lines_without(ADD, b"validUntil"), statement(KEY, f"{PG}validUntil", b'"tomorrow"')
        ),
        "expected validUntil as",
    ),
    "replaces_what_is_no_key": (
        "key-add",
        lines_with(
            lines_without(ADD, b"wasRevisionOf"),
            statement(KEY, "http://www.w3.org/ns/prov#wasRevisionOf", b"<https://x.test/k>"),
        ),
        "did:key",
    ),
    "revoked_for_no_reason": ("key-revoke", lines_without(REVOKE, b"revocationReason"), "None"),
    "revoked_for_an_unknown_reason": (
        "key-revoke",
        resorted(REVOKE.replace(b'"compromised"', b'"boredom"')),
        "boredom",
    ),
    "an_earlier_end_for_a_key_that_is_only_retired": (
        "key-revoke",
        resorted(REVOKE.replace(b'"compromised"', b'"retired"')),
        "only for a key that was compromised",
    ),
    "an_end_before_the_ledger": (
        "key-revoke",
        resorted(REVOKE.replace(b'"41"', b'"-1"')),
        "ledger index",
    ),
    "an_end_in_another_spelling": (
        "key-revoke",
        resorted(REVOKE.replace(b'"41"', b'"041"')),
        "ledger index",
    ),
    "an_end_of_a_million_digits": (
        "key-revoke",
        resorted(REVOKE.replace(b'"41"', b'"%s"' % (b"1" * 1_000_000))),
        "ledger index",
    ),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_flaws_are_refused(flaw: str) -> None:
    kind, graph, message = FLAWS[flaw]
    with pytest.raises(FormatError, match=message):
        parse_key_event(kind, graph)


def test_a_key_of_low_order_is_refused_when_it_is_registered() -> None:
    weak = verification_method(PublicKey(algorithm=ED25519, raw=bytes(32)))
    with pytest.raises(UntrustedError, match="low order"):
        parse_key_event("key-add", key_add_graph(weak, "producer"))


def test_a_point_off_its_curve_is_refused_when_it_is_registered() -> None:
    off = verification_method(PublicKey(algorithm="P-256", raw=b"\x02" + b"\xff" * 32))
    with pytest.raises(UntrustedError, match="no point of the curve"):
        parse_key_event("key-add", key_add_graph(off, "producer"))


# One edit of a true event, or any lines at all: one of our two errors, or a value, and nothing else.
_EDITS = st.tuples(st.integers(0, len(ADD)), st.integers(0, 40), st.binary(max_size=40))


@given(kind=st.sampled_from([*sorted(KEY_EVENTS), "record"]), edit=_EDITS)
def test_an_edited_event_gives_one_of_two_errors(kind: str, edit: tuple[int, int, bytes]) -> None:
    at, dropped, added = edit
    _either(kind, ADD[:at] + added + ADD[at + dropped :])


_TERMS = st.sampled_from(
    [f"<{PG}{name}>".encode() for name in ("Key", "KeyAddition", "KeyRevocation", "keyRole")]
    + [b"<%s>" % KEY, b'"producer"', b'"1"', b"<%s>" % TYPE.encode(), b"<https://x.test/a>"]
    + [b'"x"^^<http://www.w3.org/2001/XMLSchema#dateTime>', b'"x"@en', b'"' + b"9" * 5000 + b'"']
)


@given(
    kind=st.sampled_from(sorted(KEY_EVENTS)),
    statements=st.sets(st.tuples(_TERMS, _TERMS, _TERMS), max_size=8),
    on_true=st.booleans(),
)
def test_any_statements_give_one_of_two_errors(kind, statements, on_true) -> None:
    lines = {b"%s %s %s <%s> .\n" % (*each, GRAPH) for each in statements}
    _either(kind, lines_with(ADD if on_true else b"", *lines))


def _either(kind: str, graph: bytes) -> None:
    try:
        event = parse_key_event(kind, graph)
    except (FormatError, UntrustedError):
        return
    assert type(event) is {"key-add": KeyAdded, "key-revoke": KeyRevoked}[kind]
