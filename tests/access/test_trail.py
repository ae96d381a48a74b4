"""The access trail: rows under a signed tree; what is changed, taken out or cut off is seen."""

import sqlite3
import threading
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from provgraph.access.anomalies import flags
from provgraph.access.trail import (
    MAX_ASKED_CHARACTERS,
    TrailWriter,
    access_of,
    parse_access,
    read_trail,
    select,
    verify_trail,
)
from provgraph.errors import NotFoundError, StorageError, UntrustedError
from provgraph.seal import jcs
from provgraph.seal.keys import generate_signer

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def access(number=0, **changes):
    return access_of(
        **{
            "at": START + timedelta(seconds=number),
            "who": "ada",
            "by": "token 1",
            "address": "10.0.0.1",
            "action": "read",
            "asked": f"GET /graphs?graph=urn:{number}",
            "status": 200,
            "duration_s": 0.25,
            "size_bytes": 10,
            "ledger_size": 7,
            "request": f"{number:016x}",
            **changes,
        }
    )


@pytest.fixture
def signer():
    return generate_signer()


def write(path, signer, rows):
    writer = TrailWriter(path, signer=signer, clock=lambda: START)
    for row in rows:
        writer.add(row)
    writer.close()


@pytest.fixture
def trail(tmp_path, signer):
    path = tmp_path / "trail.db"
    write(path, signer, [access(number) for number in range(20)])
    return path


def change(path, statement, *values):
    with sqlite3.connect(path) as db:
        db.execute(statement, values)
    db.close()


def test_rows_are_kept_in_order_over_several_openings(trail, signer):
    write(trail, signer, [access(20, who="grace")])
    rows = list(read_trail(trail))
    assert [position for position, _ in rows] == list(range(21))
    assert rows[20][1] == access(20, who="grace")
    assert verify_trail(trail, key=signer.public_key).size == 21


@pytest.mark.parametrize("asked", ["GET /", 'a "b" \\ \x00\x1f\x7f\n\u2028é𐀀', "\ud800"])
def test_a_row_is_written_as_canonical_json(asked):
    row = access(asked=asked, ledger_size=None, status=404)
    assert row.encode() == jcs.encode(asdict(row))
    assert parse_access(row.encode()) == row


def test_two_writers_share_one_trail(trail, signer):
    one = TrailWriter(trail, signer=signer, clock=lambda: START)
    two = TrailWriter(trail, signer=signer, clock=lambda: START)
    for number in range(50):
        (one if number % 2 else two).add(access(number))
    one.close()
    two.close()
    assert (one.problem, two.problem, verify_trail(trail).size) == (None, None, 70)


TAMPERINGS = {
    "changed_row": (
        "UPDATE access SET row = CAST(replace(row, 'ada', 'eve') AS BLOB) WHERE position = 3",
        "row 3 is not the one that was written",
    ),
    "row_taken_out": ("DELETE FROM access WHERE position = 3", "expected row 3, found 4"),
    "last_rows_cut_off": ("DELETE FROM access WHERE position > 9", "its checkpoint says 20 rows"),
    "first_row_taken_out": ("DELETE FROM access WHERE position = 0", "expected row 0, found 1"),
    "changed_hash": (
        "UPDATE access SET nodes = zeroblob(32) WHERE position = 4",
        "row 4 is not the one that was written",
    ),
    "changed_checkpoint": (
        """UPDATE trail SET checkpoint = CAST(replace(CAST(checkpoint AS TEXT),
        char(10) || '20' || char(10), char(10) || '10' || char(10)) AS BLOB)""",
        "signature does not verify",
    ),
    "no_head": ("DELETE FROM trail", "trail.db"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_seen(trail, name):
    statement, reason = TAMPERINGS[name]
    change(trail, statement)
    with pytest.raises(UntrustedError, match=reason):
        verify_trail(trail)


def test_a_trail_under_another_key_is_seen(trail, tmp_path, signer):
    with pytest.raises(UntrustedError, match="another trail key"):
        TrailWriter(trail, signer=generate_signer(), clock=lambda: START)
    other = tmp_path / "other.db"
    write(other, generate_signer(), [access()])
    with pytest.raises(UntrustedError, match="another key than the one expected"):
        verify_trail(other, key=signer.public_key)


def test_a_writer_does_not_go_on_from_rows_that_were_changed(trail, signer):
    change(trail, "UPDATE access SET nodes = zeroblob(length(nodes)) WHERE position = 19")
    with pytest.raises(UntrustedError, match="not those that were signed"):
        TrailWriter(trail, signer=signer, clock=lambda: START)


def test_a_writer_whose_disk_takes_nothing_can_be_closed(trail, signer):
    writer = TrailWriter(trail, signer=signer, clock=lambda: START, max_waiting=3)
    change(trail, "DROP TABLE access")
    with pytest.raises(StorageError, match="is behind"):
        for number in range(100):
            writer.add(access(number))
    closing = threading.Thread(target=writer.close, daemon=True)
    closing.start()
    closing.join(20)
    assert (closing.is_alive(), "cannot be written" in writer.problem) == (False, True)


def test_no_trail_is_told(tmp_path):
    with pytest.raises(NotFoundError, match="no access trail"):
        verify_trail(tmp_path / "none.db")


def test_a_long_question_is_cut_and_named_whole(tmp_path, signer):
    text = "x" * 50_000 + "\ud800"
    row = access(asked=text)
    assert (len(row.asked), len(row.asked_sha256)) == (MAX_ASKED_CHARACTERS, 64)
    assert row.asked_sha256 == access(asked="x" * 50_000 + "?").asked_sha256
    path = tmp_path / "trail.db"
    write(path, signer, [row])
    assert list(read_trail(path)) == [(0, row)]


def test_rows_are_found_by_time_person_text_and_outcome():
    rows = list(enumerate([access(0), access(1, who="eve", status=403), access(2, asked="churn")]))
    found = [
        [position for position, _ in select(rows, **wish)]
        for wish in (
            {"since": "2026-03-01T12:00:01"},
            {"until": "2026-03-01T12:00:01"},
            {"who": "eve"},
            {"about": "churn"},
            {"outcome": "refused"},
            {},
        )
    ]
    assert found == [[1, 2], [0], [1], [2], [1], [0, 1, 2]]


def test_flags_name_the_rule_and_the_numbers():
    many = [access(n, status=401, who="unknown", address="10.9.9.9") for n in range(12)]
    bulk = [access(20 + n, size_bytes=30 << 20) for n in range(4)]
    moved = [access(30, address="10.0.0.2"), access(31, address="10.0.0.1")]
    found = list(flags(enumerate([*many, *bulk, *moved])))
    assert [(flag.position, flag.rule, flag.reason) for flag in found] == [
        (9, "many-denials", "10 refusals within 0:05:00 from 10.9.9.9"),
        (15, "bulk-export", "120 MiB within 1:00:00 to ada"),
        (16, "new-address", "first request of ada from 10.0.0.2"),
    ]


def test_slow_denials_and_spread_reading_raise_no_flag():
    slow = [access(n * 60, status=401, address="10.9.9.9") for n in range(30)]
    spread = [access(n * 3601, size_bytes=60 << 20) for n in range(5)]
    assert list(flags(enumerate([*slow, *spread]))) == []
