"""The ledger takes in nothing that would not count, and says so of what got in around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from key_entries import STEWARD, SUCCESSOR, key_add, key_revoke
from ledger_samples import START, clock, small

from provgraph.errors import KeyRefusedError, UntrustedError
from provgraph.ledger import sqlite
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer
from provgraph.seal.multikey import ED25519, PublicKey, verification_method
from provgraph.seal.note import NoteKey
from provgraph.seal.trustfile import ListedKey, TrustFile, TrustList, open_trust, sign_trust


@pytest.fixture
def rotated(ledger: Ledger, producer: Signer) -> Ledger:
    """0: a record; 1 to 3: steward named, producer replaced; 4: a record by the new producer."""
    ledger.append([small(0, signer=producer)])
    ledger.append(
        [
            key_add(STEWARD, "steward"),
            key_add(SUCCESSOR, replaces=producer.verification_method),
            key_revoke(producer, "superseded"),
        ]
    )
    ledger.append([small(4, signer=SUCCESSOR)])
    return ledger


def test_a_rotation_is_one_append_and_the_ledger_is_whole(rotated: Ledger, producer) -> None:
    report = verify_ledger(rotated)
    assert report.size == 5
    judge = report.keys.judge
    assert (
        judge(SUCCESSOR.verification_method, index=4, role="producer").basis == "key-add at entry 2"
    )
    assert judge(producer.verification_method, index=0, role="producer").basis == "known by use"
    revocation = report.keys.revocation(producer.verification_method)
    assert (revocation.index, revocation.reason) == (3, "superseded")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (lambda old: small(9, signer=old), r"revoked \(superseded\) at entry 3"),
        (lambda old: key_add(old, "witness"), "a revoked key never comes back"),
        (lambda old: key_revoke(SUCCESSOR, "retired", by=old), "revoked"),
        (lambda _: key_add(SUCCESSOR, "steward", by=SUCCESSOR), "as steward, and is producer"),
        (lambda _: small(9, signer=STEWARD), "as producer, and is steward"),
        (
            lambda _: dataclasses.replace(small(9, signer=STEWARD), kind="blessing"),
            "means nothing here",
        ),
        (
            lambda _: dataclasses.replace(small(9, signer=STEWARD), kind="key-add"),
            "tell of one KeyAddition",
        ),
    ],
    ids=[
        "record_sealed_by_a_revoked_key",
        "revoked_key_added_again",
        "revoked_key_revokes_its_successor",
        "producer_makes_itself_steward",
        "steward_seals_a_record",
        "entry_of_an_unknown_kind",
        "key_event_that_says_nothing",
    ],
)
def test_what_would_not_count_is_not_taken_in(rotated: Ledger, producer, item, message) -> None:
    before = rotated.checkpoint()
    with pytest.raises(KeyRefusedError, match=message):
        rotated.append([item(producer)])
    assert rotated.checkpoint() == before


def test_an_append_is_refused_whole_and_alone(rotated: Ledger, producer) -> None:
    """One bad record takes its own append with it, and no other's."""
    good, bad = small(10, signer=SUCCESSOR), small(11, signer=producer)
    outcomes = rotated.append_each(
        [
            [sqlite.prepare(each) for each in batch]
            for batch in ([good, bad], [small(12, signer=SUCCESSOR)])
        ]
    )
    assert isinstance(outcomes[0], KeyRefusedError)
    assert [position.index for position in outcomes[1]] == [5]


def test_events_of_one_append_count_for_what_follows_them(ledger: Ledger, producer) -> None:
    with pytest.raises(KeyRefusedError, match="revoked"):
        ledger.append(
            [
                key_add(STEWARD, "steward"),
                key_revoke(producer, "retired"),
                small(2, signer=producer),
            ]
        )
    assert ledger.size() == 0
    ledger.append(
        [key_add(STEWARD, "steward"), small(1, signer=producer), key_revoke(producer, "retired")]
    )
    assert ledger.size() == 3


def test_another_process_notices_at_once(open_ledger: Callable[[], Ledger], producer) -> None:
    with open_ledger() as one, open_ledger() as other:
        other.append([small(0, signer=producer)])
        one.append([key_add(STEWARD, "steward"), key_revoke(producer, "compromised")])
        with pytest.raises(KeyRefusedError, match=r"revoked \(compromised\) at entry 2"):
            other.append([small(3, signer=producer)])
        # What was in before stays where it was.
        assert [each.is_new for each in other.append([small(0, signer=producer)])] == [False]


def test_a_key_of_low_order_is_not_added(ledger: Ledger) -> None:
    weak = verification_method(PublicKey(algorithm=ED25519, raw=bytes(32)))
    fake = dataclasses.make_dataclass("Weak", ["verification_method"])(weak)
    ledger.append([key_add(STEWARD, "steward")])
    with pytest.raises(KeyRefusedError, match="low order"):
        ledger.append([key_add(fake)])


@pytest.mark.parametrize(
    ("validity", "now", "message"),
    [
        ({"valid_until": START + timedelta(days=1)}, START + timedelta(days=2), "was valid until"),
        ({"valid_from": START + timedelta(days=1)}, START, "is valid from"),
        ({"valid_until": START - timedelta(days=1)}, START - timedelta(days=2), "its seal says"),
    ],
    ids=["past_its_end", "not_valid_yet", "dated_after_its_end"],
)
def test_a_key_outside_its_validity_seals_nothing(
    tmp_path: Path, log_signer, validity, now, message
) -> None:
    def open_at(time: datetime) -> Ledger:
        return Ledger.open(tmp_path / "ledger.db", log_signer=log_signer, clock=lambda: time)

    with open_at(START) as ledger:
        ledger.append([key_add(STEWARD, "steward"), key_add(SUCCESSOR, **validity)])
    with open_at(now) as ledger, pytest.raises(KeyRefusedError, match=message):
        ledger.append([small(3, signer=SUCCESSOR)])


def test_a_key_within_its_validity_seals(ledger: Ledger) -> None:
    validity = {"valid_from": START - timedelta(days=9), "valid_until": START + timedelta(days=9)}
    ledger.append([key_add(STEWARD, "steward"), key_add(SUCCESSOR, **validity)])
    assert ledger.append([small(2, signer=SUCCESSOR)])[0].index == 2
    assert verify_ledger(ledger).size == 3


# ---- trust files -----------------------------------------------------------------------------------
def trust_for(origin: str, *keys: tuple[Signer, str]) -> TrustFile:
    root = STEWARD
    says = TrustList(
        origin=origin,
        version=1,
        threshold=1,
        roots=(NoteKey(name="root", public_key=root.public_key),),
        keys=tuple(
            ListedKey(method=signer.verification_method, role=role, owner="x")
            for signer, role in keys
        ),
    )
    return open_trust(sign_trust(says.encode(), root))


def test_under_a_trust_file_only_listed_and_added_keys_seal(
    tmp_path: Path, log_signer, producer
) -> None:
    installed: list[TrustFile | None] = [None]
    with Ledger.open(
        tmp_path / "ledger.db", log_signer=log_signer, clock=clock, trust=lambda: installed[0]
    ) as ledger:
        ledger.append([small(0, signer=producer)])
        installed[0] = trust_for(ledger.origin, (SUCCESSOR, "steward"))
        with pytest.raises(KeyRefusedError, match="trust file version 1 lists it"):
            ledger.append([small(1, signer=producer)])
        ledger.append([key_add(producer, by=SUCCESSOR), small(2, signer=producer)])
        # Under the trust file the first record does not count: nobody had listed its key by then.
        with pytest.raises(UntrustedError, match=r"entry 0 of the ledger.*trust file version 1"):
            verify_ledger(ledger, trust=installed[0])
        installed[0] = trust_for("provgraph.local/0000000000000000", (producer, "producer"))
        with pytest.raises(UntrustedError, match="install the one that belongs to it"):
            ledger.append([small(3, signer=producer)])


# ---- what got in around it -------------------------------------------------------------------------
@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that has the log key and takes in what it likes."""
    monkeypatch.setattr(sqlite, "require_admissible", lambda _batch, keys, **_: keys)


@pytest.mark.usefixtures("unguarded")
@pytest.mark.parametrize(
    ("items", "message"),
    [
        (lambda old: [small(9, signer=old)], r"entry 5 .* revoked \(superseded\) at entry 3"),
        (lambda _: [key_add(SUCCESSOR, "steward", by=SUCCESSOR)], "as steward, and is producer"),
        (lambda old: [key_add(old)], "a revoked key never comes back"),
    ],
    ids=["sealed_by_a_revoked_key", "producer_made_itself_steward", "revocation_undone"],
)
def test_fsck_finds_what_a_forger_with_the_log_key_took_in(
    rotated: Ledger, producer, items, message
) -> None:
    rotated.append(items(producer))
    with pytest.raises(UntrustedError, match=message):
        verify_ledger(rotated)


@pytest.mark.usefixtures("unguarded")
def test_a_forged_event_stops_whoever_would_append_after_it(open_ledger, producer) -> None:
    with open_ledger() as ledger:
        ledger.append([key_add(producer, "steward", by=STEWARD)])
    with open_ledger() as ledger, pytest.raises(UntrustedError, match="first, so it must add"):
        ledger.append([small(2, signer=producer)])


def test_an_end_set_afterwards_is_no_fault_of_the_ledger(rotated: Ledger) -> None:
    rotated.append([key_revoke(SUCCESSOR, "compromised", counts_before=4)])
    keys = verify_ledger(rotated).keys
    with pytest.raises(UntrustedError, match="with effect from entry 4"):
        keys.judge(SUCCESSOR.verification_method, index=4, role="producer")
