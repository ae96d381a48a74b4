"""A seal counts by its place in the ledger. Each attack has a case, named after what it tries."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from key_samples import (
    PRODUCER,
    PRODUCER_2,
    STEWARD,
    STEWARD_2,
    STRANGER,
    listed,
    method,
    trust,
)

from provgraph.errors import UntrustedError
from provgraph.seal.keyevent import KeyAdded, KeyRevoked
from provgraph.seal.trust import KNOWN_BY_USE, KeyHistory, TrustedKey, require_in_time


def added(signer, role="producer", **fields) -> KeyAdded:
    return KeyAdded(method=method(signer), role=role, **fields)


def revoked(signer, reason="superseded", **fields) -> KeyRevoked:
    return KeyRevoked(method=method(signer), reason=reason, **fields)


def history(*events, trusted=None) -> KeyHistory:
    """Build a history from (index, event, who sealed it)."""
    found = KeyHistory(trust=trusted)
    for index, event, signer in events:
        found.take(event, index=index, sealed_by=method(signer))
    return found


def basis(found: KeyHistory, signer, index: int, role="producer") -> str:
    return found.judge(method(signer), index=index, role=role).basis


def refused(found: KeyHistory, signer, index: int, role="producer") -> str:
    with pytest.raises(UntrustedError) as caught:
        found.judge(method(signer), index=index, role=role)
    return str(caught.value)


ROTATED = (
    (10, added(STEWARD, "steward"), STEWARD),
    (11, added(PRODUCER_2, replaces=method(PRODUCER)), STEWARD),
    (12, revoked(PRODUCER), STEWARD),
)


def test_without_events_whoever_sealed_is_known_by_use() -> None:
    found = KeyHistory()
    assert found.is_empty is True
    assert found.judge(method(PRODUCER), index=0, role="producer") == TrustedKey(
        method=method(PRODUCER), role="producer", basis=KNOWN_BY_USE
    )
    assert basis(found, STEWARD, 3, "steward") == KNOWN_BY_USE


def test_a_revoked_key_counts_for_entries_before_its_revocation_only() -> None:
    found = history(*ROTATED)
    assert basis(found, PRODUCER, 11) == KNOWN_BY_USE
    assert "revoked (superseded) at entry 12, so its seal at entry 12" in refused(
        found, PRODUCER, 12
    )
    assert "its seal at entry 99" in refused(found, PRODUCER, 99)


def test_an_added_key_counts_from_its_entry_and_before_it_by_use() -> None:
    found = history(*ROTATED)
    assert basis(found, PRODUCER_2, 11) == "key-add at entry 11"
    assert basis(found, PRODUCER_2, 5) == KNOWN_BY_USE


def test_a_key_that_was_compromised_can_end_earlier() -> None:
    found = history(*ROTATED[:2], (20, revoked(PRODUCER, "compromised", counts_before=7), STEWARD))
    assert basis(found, PRODUCER, 6) == KNOWN_BY_USE
    assert "at entry 20 with effect from entry 7" in refused(found, PRODUCER, 7)
    # What was learned later can only take more away.
    found.take(revoked(PRODUCER, "retired"), index=30, sealed_by=method(STEWARD))
    assert "effect from entry 7" in refused(found, PRODUCER, 7)


def test_a_copy_goes_on_by_itself() -> None:
    found = history(*ROTATED[:2])
    copy = found.copy()
    copy.take(revoked(PRODUCER), index=12, sealed_by=method(STEWARD))
    assert basis(found, PRODUCER, 12) == KNOWN_BY_USE
    assert "revoked" in refused(copy, PRODUCER, 12)


@pytest.mark.parametrize(
    ("event", "signer", "message"),
    [
        (added(PRODUCER), PRODUCER, "first, so it must add the steward"),
        (added(STEWARD, "steward"), PRODUCER, "first, so it must add the steward"),
        (added(PRODUCER), STEWARD, "first, so it must add the steward"),
        (revoked(PRODUCER), STEWARD, "first, so it must add the steward"),
    ],
    ids=[
        "producer_registers_itself",
        "producer_names_the_steward",
        "steward_adds_before_it_is_named",
        "revocation_by_nobody",
    ],
)
def test_the_first_event_names_the_steward_that_seals_it(event, signer, message) -> None:
    with pytest.raises(UntrustedError, match=message):
        history((0, event, signer))


@pytest.mark.parametrize(
    ("event", "signer", "message"),
    [
        (added(STRANGER), PRODUCER_2, "as steward, and is producer"),
        (revoked(PRODUCER_2), PRODUCER, "revoked"),
        (revoked(STEWARD), STRANGER, "is none there"),
        (added(STRANGER, "steward"), STRANGER, "is none there"),
        (added(PRODUCER), STEWARD, "never comes back"),
        (added(PRODUCER_2), STEWARD, "did already"),
        (revoked(PRODUCER_2, "compromised", counts_before=21), STEWARD, "lies ahead"),
    ],
    ids=[
        "producer_registers_another",
        "revoked_key_revokes_its_successor",
        "stranger_revokes_the_steward",
        "stranger_names_itself_steward",
        "revocation_undone",
        "added_twice",
        "revocation_that_lies_ahead",
    ],
)
def test_events_that_do_not_count_are_refused(event, signer, message) -> None:
    with pytest.raises(UntrustedError, match=message):
        history(*ROTATED, (20, event, signer))


def test_events_in_another_order_are_refused() -> None:
    with pytest.raises(UntrustedError, match="in the order of the ledger"):
        history(ROTATED[0], (10, *ROTATED[1][1:]))


def test_a_key_counts_in_its_role_only() -> None:
    found = history(*ROTATED, (13, added(STRANGER, "witness"), STEWARD))
    assert "as steward, and is producer" in refused(found, PRODUCER_2, 20, "steward")
    assert "as producer, and is steward" in refused(found, STEWARD, 20)
    assert "as producer, and is witness" in refused(found, STRANGER, 20)


def test_once_a_steward_is_named_no_other_seals_what_decides_about_the_ledger() -> None:
    found = history(*ROTATED)
    assert basis(found, STRANGER, 9, "steward") == KNOWN_BY_USE
    assert "is none there" in refused(found, STRANGER, 10, "steward")
    assert basis(found, STEWARD, 10, "steward") == "key-add at entry 10"


def test_a_steward_hands_over_to_another() -> None:
    found = history(
        *ROTATED,
        (13, added(STEWARD_2, "steward"), STEWARD),
        (14, revoked(STEWARD), STEWARD_2),
        (15, added(STRANGER), STEWARD_2),
    )
    assert basis(found, STRANGER, 15) == "key-add at entry 15"
    assert basis(found, PRODUCER_2, 15) == "key-add at entry 11"
    assert "revoked (superseded) at entry 14" in refused(found, STEWARD, 14, "steward")
    with pytest.raises(UntrustedError, match=r"entry 16: .* was revoked"):
        found.take(added(PRODUCER), index=16, sealed_by=method(STEWARD))


def test_what_a_compromised_steward_added_since_then_does_not_count() -> None:
    """A thief adds himself as steward, and then, as that one, a producer."""
    thief, puppet = STRANGER, PRODUCER
    found = history(
        *ROTATED[:2],
        (12, added(STEWARD_2, "steward"), STEWARD),
        (20, added(thief, "steward"), STEWARD),
        (21, added(puppet), thief),
        (30, revoked(STEWARD, "compromised", counts_before=20), STEWARD_2),
    )
    assert basis(found, STEWARD_2, 40, "steward") == "key-add at entry 12"
    assert basis(found, PRODUCER_2, 40) == "key-add at entry 11"
    assert "compromised from entry 20 on" in refused(found, thief, 40, "steward")
    assert "compromised from entry 20 on" in refused(found, puppet, 21)


def test_a_trust_file_ends_what_is_known_by_use() -> None:
    found = history(trusted=trust(listed(PRODUCER, "producer"), listed(STEWARD, "steward")))
    assert found.is_empty is False
    assert basis(found, PRODUCER, 0) == "trust file version 1"
    assert "trust file version 1 lists it, or a steward has" in refused(found, PRODUCER_2, 0)
    assert "as steward, and is producer" in refused(found, PRODUCER, 0, "steward")
    assert "is none there" in refused(found, STEWARD_2, 0, "steward")


def test_a_steward_of_the_trust_file_adds_and_revokes() -> None:
    found = history(
        (5, added(PRODUCER_2, owner="fraud team"), STEWARD),
        (6, revoked(PRODUCER), STEWARD),
        trusted=trust(listed(PRODUCER, "producer"), listed(STEWARD, "steward")),
    )
    assert "is none there" in refused(found, PRODUCER_2, 4)
    assert found.judge(method(PRODUCER_2), index=5, role="producer").owner == "fraud team"
    assert basis(found, PRODUCER, 5) == "trust file version 1"
    assert "revoked (superseded) at entry 6" in refused(found, PRODUCER, 6)


def test_a_ledger_that_names_its_own_steward_is_refused_under_a_trust_file() -> None:
    with pytest.raises(UntrustedError, match=r"entry 10: .* is none there"):
        history(*ROTATED, trusted=trust(listed(STEWARD_2, "steward")))


def test_roots_end_a_key_by_position_above_any_steward() -> None:
    trusted = trust(
        listed(STEWARD, "steward", counts_before=8), listed(PRODUCER, "producer", counts_before=3)
    )
    found = history((5, added(PRODUCER_2), STEWARD), trusted=trusted)
    assert basis(found, PRODUCER, 2) == "trust file version 1"
    assert "counts before entry 3 only" in refused(found, PRODUCER, 3)
    assert basis(found, PRODUCER_2, 5) == "key-add at entry 5"
    with pytest.raises(UntrustedError, match="counts before entry 8 only"):
        found.take(added(STRANGER), index=9, sealed_by=method(STEWARD))


# ---- time ----------------------------------------------------------------------------------------
def day(number: int) -> datetime:
    return datetime(2026, 3, number, tzinfo=UTC)


KEY = TrustedKey(
    method=method(PRODUCER), role="producer", basis="", valid_from=day(5), valid_until=day(20)
)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"created": day(4)}, "valid from 2026-03-05T00:00:00Z, its seal says 2026-03-04"),
        ({"created": day(21)}, "valid until 2026-03-20T00:00:00Z, its seal says 2026-03-21"),
        ({"created": day(6), "there_at": day(4)}, "was there at 2026-03-04"),
        ({"created": day(6), "absent_at": day(21)}, "was not there yet at 2026-03-21"),
    ],
    ids=["dated_before", "dated_after", "there_before_it_was_valid", "backdated_after_its_end"],
)
def test_seals_outside_the_validity_are_refused(times, message) -> None:
    with pytest.raises(UntrustedError, match=message):
        require_in_time(KEY, **times)


def test_what_is_shown_of_an_end_and_what_is_not() -> None:
    endless = TrustedKey(method=KEY.method, role="producer", basis="", valid_from=day(5))
    assert require_in_time(endless, created=day(6)) is None
    assert require_in_time(KEY, created=day(6), there_at=day(20)) is None
    for open_end in ({}, {"there_at": day(21)}, {"absent_at": day(19)}):
        said = require_in_time(KEY, created=day(6), **open_end)
        assert "before its end on 2026-03-20T00:00:00Z is the signer's own claim" in str(said)
