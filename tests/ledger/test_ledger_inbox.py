"""Processes that wait for each other share transactions, and lose nothing by it."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_samples import START, pending_run

from provgraph.digests import sha256_bytes
from provgraph.errors import ConflictError, FormatError, StorageError
from provgraph.ledger import inbox as inbox_module
from provgraph.ledger.codec import Prepared, prepare
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.inbox import MAX_FILE_BYTES, Inbox, Outcome, append_in_turn
from provgraph.ledger.rows import Pending, Position
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.proof import seal

PRODUCER = signer_from_seed(b"\x02" * 32)


def with_attachment(data: bytes) -> Pending:
    iri = "https://w3id.org/provgraph/id/record/attached"
    graph = f'<urn:s> <urn:p> "{sha256_bytes(data)}" <{iri}> .\n'.encode()
    return Pending(
        iri=iri,
        graph_nq=graph,
        seal=seal(graph, signer=PRODUCER, created=START),
        attachments={sha256_bytes(data): data},
    )


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "ledger.db", patience_s=0.2)


def names(inbox: Inbox) -> list[str]:
    return sorted(os.listdir(inbox.folder))


def leave(inbox: Inbox, *items: Pending) -> inbox_module.Ticket:
    """Leave records as another process would, which then waits."""
    ticket = Inbox(inbox.folder.with_name("ledger.db")).put([prepare(item) for item in items])
    assert ticket is not None
    return ticket


# ---- files ---------------------------------------------------------------------------------------
def test_records_round_trip(inbox: Inbox) -> None:
    items = [pending_run(0, signer=PRODUCER), with_attachment(b"points " * 40)]
    records = tuple(prepare(item) for item in items)
    assert inbox.take_turn() is True
    ticket = inbox.put(records)
    assert ticket is not None
    (waiting,) = inbox.waiting()
    assert (waiting.path, waiting.records) == (ticket.path, records)
    assert ticket.is_taken is False
    inbox.remove([waiting])
    assert ticket.is_taken is True
    ticket.close()
    inbox.end_turn()
    assert names(inbox) == []


@pytest.mark.parametrize("data", [b"", b"x", b"provgraph-inbox/1\n", b"provgraph-inbox/2\n" * 9])
def test_damaged_files_are_thrown_away(
    inbox: Inbox, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A power cut can leave a file that was never written to the end."""
    inbox.take_turn()
    (inbox.folder / "0001").write_bytes(data)
    assert inbox.waiting() == []
    assert names(inbox) == []
    assert caplog.text.count("inbox file thrown away") == 1


def test_a_flipped_bit_anywhere_is_noticed(inbox: Inbox) -> None:
    data = inbox_module._encode([prepare(with_attachment(b"x"))])
    assert inbox_module._decode(data)[0].iri.endswith("attached") is True
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(FormatError):
            inbox_module._decode(bytes(changed))


@given(st.binary(max_size=400))
def test_any_bytes_with_a_good_checksum_are_records_or_a_format_error(body: bytes) -> None:
    import hashlib

    data = b"provgraph-inbox/1\n" + hashlib.sha256(body).digest() + body
    try:
        inbox_module._decode(data)
    except FormatError:
        return
    assert inbox_module._decode(data) == ()


def test_links_are_not_followed(inbox: Inbox, tmp_path: Path) -> None:
    inbox.take_turn()
    secret = tmp_path / "elsewhere"
    secret.write_bytes(inbox_module._encode([prepare(with_attachment(b"x"))]))
    (inbox.folder / "0001").symlink_to(secret)
    assert inbox.waiting() == []
    assert secret.exists() is True


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def make_endless(path: Path) -> None:
    """A file of a terabyte that takes no room."""
    with path.open("wb") as file:
        file.truncate(1 << 40)


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def make_unreadable(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0)


@pytest.mark.parametrize(
    "make",
    [make_fifo, make_folder, make_socket, make_endless, make_link_to_itself, make_unreadable],
)
def test_foreign_things_in_the_inbox_hold_nobody_up(
    make: Callable[[Path], None], ledger: Ledger, producer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append([])
    # The path of a socket is at most 107 bytes long.
    monkeypatch.chdir(ledger._inbox.folder)
    make(Path("0001"))
    ticket = leave(ledger._inbox, pending_run(1, signer=producer))
    done: list[Position] = []
    thread = threading.Thread(
        target=lambda: done.extend(ledger.append([pending_run(0, signer=producer)])), daemon=True
    )
    thread.start()
    thread.join(timeout=20)
    assert [position.index for position in done] == [0]
    assert (ledger.size(), ticket.is_taken) == (2, True)
    ticket.close()
    assert names(ledger._inbox) == (["0001"] if make is make_folder else [])


def test_an_inbox_full_of_rubbish_is_cleared_bit_by_bit(inbox: Inbox) -> None:
    inbox.take_turn()
    for number in range(300):
        (inbox.folder / f"{number:04}").write_bytes(b"rubbish")
    assert [(inbox.waiting(), len(names(inbox))) for _ in range(3)] == [
        ([], 172),
        ([], 44),
        ([], 0),
    ]


def test_large_records_are_not_left(inbox: Inbox) -> None:
    inbox.take_turn()
    assert inbox.put([prepare(with_attachment(os.urandom(MAX_FILE_BYTES)))]) is None
    assert names(inbox) == []


def test_old_leftovers_are_removed(inbox: Inbox) -> None:
    inbox.take_turn()
    for name in (".0001.new", ".0001.wake", ".0002.new"):
        (inbox.folder / name).touch()
        age_s = 0 if name == ".0002.new" else 4000
        os.utime(inbox.folder / name, (time.time() - age_s,) * 2)
    assert inbox.waiting() == []
    assert names(inbox) == [".0002.new"]


def test_without_the_turn_nothing_is_taken(inbox: Inbox) -> None:
    inbox.take_turn()
    inbox.end_turn()
    ticket = leave(inbox, with_attachment(b"x"))
    assert inbox.waiting() == []
    ticket.close()
    assert names(inbox) == []


def settle(inbox: Inbox) -> None:
    """Let the folder look as if nothing had changed in it for a second."""
    a_second_ago = time.time_ns() - 1_000_000_000
    os.utime(inbox.folder, ns=(a_second_ago, a_second_ago))


def test_a_folder_seen_empty_is_looked_into_again_once_a_file_is_put_there(inbox: Inbox) -> None:
    assert inbox.take_turn() is True
    settle(inbox)
    assert inbox.waiting() == []
    assert inbox._is_seen_empty() is True
    ticket = leave(inbox, pending_run(1, signer=PRODUCER))
    assert inbox._is_seen_empty() is False
    assert [each.path for each in inbox.waiting()] == [ticket.path]
    settle(inbox)
    assert [each.path for each in inbox.waiting()] == [ticket.path]
    inbox.end_turn()
    ticket.close()


def test_a_folder_that_has_just_changed_is_not_taken_to_stay_empty(inbox: Inbox) -> None:
    """Two changes within a tick of the file system's clock leave one time of change."""
    assert inbox.take_turn() is True
    leave(inbox, pending_run(1, signer=PRODUCER)).close()
    assert inbox.waiting() == []
    assert inbox._is_seen_empty() is False
    in_an_hour = time.time_ns() + 3_600_000_000_000
    os.utime(inbox.folder, ns=(in_an_hour, in_an_hour))
    assert inbox.waiting() == []
    assert inbox._is_seen_empty() is False
    inbox.end_turn()


def test_the_turn_is_one_at_a_time(inbox: Inbox) -> None:
    other = Inbox(inbox.folder.with_name("ledger.db"))
    assert [inbox.take_turn(), other.take_turn()] == [True, False]
    inbox.end_turn()
    assert other.take_turn() is True
    other.end_turn()


def test_a_folder_that_cannot_be_made_is_no_obstacle(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "missing" / "ledger.db")
    assert inbox.take_turn() is True
    assert inbox.waiting() == []
    inbox.end_turn()


# ---- taking part ---------------------------------------------------------------------------------
def test_whoever_has_the_turn_takes_the_others_in(ledger: Ledger, producer: Signer) -> None:
    ledger.append([])
    first, second = (leave(ledger._inbox, pending_run(n, signer=producer)) for n in (1, 2))
    assert ledger.append([pending_run(0, signer=producer)]) == [
        Position(iri=pending_run(0, signer=producer).iri, index=0, is_new=True)
    ]
    assert (first.is_taken, second.is_taken) == (True, True)
    assert ledger.size() == 3
    assert ledger.find(pending_run(1, signer=producer).iri) == 1
    assert ledger.find(pending_run(2, signer=producer).iri) == 2
    assert verify_ledger(ledger).size == 3


def test_a_conflict_left_by_another_process_does_not_hold_us_up(
    ledger: Ledger, producer: Signer
) -> None:
    item = with_attachment(b"x")
    ledger.append([item])
    other = with_attachment(b"y")
    ticket = leave(ledger._inbox, other)
    assert ledger.append([pending_run(0, signer=producer)])[0].index == 1
    assert (ticket.is_taken, ledger.size()) == (True, 2)
    # Its owner, who finds it gone and not there, tries by itself and meets the conflict.
    with pytest.raises(ConflictError, match="is entry 0 of the ledger"):
        ledger.append([other])


def test_a_record_of_a_process_that_died_is_taken_in_once(ledger: Ledger, producer: Signer) -> None:
    ledger.append([])
    item = pending_run(1, signer=producer)
    ticket = leave(ledger._inbox, item)
    assert ledger.append([item])[0].index == 0
    assert ledger.append([item]) == [Position(iri=item.iri, index=0, is_new=False)]
    assert (ledger.size(), ticket.is_taken) == (1, True)


def test_a_turn_held_by_a_process_that_sleeps_is_passed_over(
    ledger: Ledger, producer: Signer
) -> None:
    ledger.append([])
    ledger._inbox = Inbox(ledger.path, patience_s=0.2)
    ledger._inbox.take_turn()
    ledger._inbox.end_turn()
    descriptor = os.open(ledger._inbox.folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        started = time.monotonic()
        assert ledger.append([pending_run(0, signer=producer)])[0].index == 0
        assert 0.2 <= time.monotonic() - started < 5
    finally:
        os.close(descriptor)
    assert os.listdir(ledger._inbox.folder) == []


# ---- the order of things, with a ledger that says what is asked of it -----------------------------
class Script:
    """Plays the ledger: holds what was committed, and can act in the middle of a commit."""

    def __init__(self) -> None:
        self.committed: list[str] = []
        self.groups: list[int] = []
        self.fails: Exception | None = None
        self.during: Callable[[], None] = lambda: None

    def commit(self, batches: Sequence[Sequence[Prepared]]) -> list[Outcome]:
        self.during()
        if self.fails is not None:
            raise self.fails
        self.groups.append(len(batches))
        outcomes: list[Outcome] = []
        for batch in batches:
            outcomes.append([])
            for record in batch:
                self.committed.append(record.iri)
        return outcomes

    def find(self, batch: Sequence[Prepared]) -> list[Position] | None:
        if all(record.iri in self.committed for record in batch):
            return [Position(iri=record.iri, index=0, is_new=True) for record in batch]
        return None


def run(inbox: Inbox, script: Script, *items: Pending) -> list[Outcome]:
    batches = [[prepare(item) for item in items]]
    return append_in_turn(inbox, batches, commit=script.commit, find=script.find)


def test_one_that_waits_is_woken_when_its_records_are_in(inbox: Inbox) -> None:
    holder, script, done = Inbox(inbox.folder.with_name("ledger.db")), Script(), []
    inbox.patience_s = 60
    assert holder.take_turn() is True
    thread = threading.Thread(target=lambda: done.extend(run(inbox, script, with_attachment(b"x"))))
    thread.start()
    while not (waiting := holder.waiting()):
        time.sleep(0.001)
    script.commit([each.records for each in waiting])
    holder.remove(waiting)
    thread.join(timeout=30)
    holder.end_turn()
    iri = with_attachment(b"x").iri
    assert done == [[Position(iri=iri, index=0, is_new=True)]]
    assert (script.committed, script.groups, names(inbox)) == ([iri], [1], [])


def test_one_whose_holder_dies_takes_over(inbox: Inbox) -> None:
    holder, script, done = Inbox(inbox.folder.with_name("ledger.db")), Script(), []
    inbox.patience_s = 60
    holder.take_turn()
    thread = threading.Thread(target=lambda: done.extend(run(inbox, script, with_attachment(b"x"))))
    thread.start()
    while not holder.waiting():
        time.sleep(0.001)
    # Dies: its lock goes, and it wakes nobody.
    assert holder._turn is not None
    os.close(holder._turn)
    thread.join(timeout=30)
    assert (done, script.groups, names(inbox)) == ([[]], [1], [])


def test_a_commit_that_fails_leaves_the_others_waiting(inbox: Inbox) -> None:
    script = Script()
    script.fails = StorageError("full")
    inbox.take_turn()
    inbox.end_turn()
    ticket = leave(inbox, pending_run(1, signer=PRODUCER))
    with pytest.raises(StorageError, match="full"):
        run(inbox, script, with_attachment(b"x"))
    assert (ticket.is_taken, inbox.take_turn()) == (False, True)
    inbox.end_turn()
    ticket.close()


def test_several_batches_wait_for_their_own_turn(inbox: Inbox) -> None:
    holder, script, done = Inbox(inbox.folder.with_name("ledger.db")), Script(), []
    inbox.patience_s = 60
    holder.take_turn()
    batches = [[prepare(with_attachment(b"x"))], [prepare(pending_run(0, signer=PRODUCER))]]
    thread = threading.Thread(
        target=lambda: done.extend(
            append_in_turn(inbox, batches, commit=script.commit, find=script.find)
        )
    )
    thread.start()
    time.sleep(0.05)
    assert (holder.waiting(), done) == ([], [])
    holder.end_turn()
    thread.join(timeout=30)
    assert (done, script.groups) == ([[], []], [2])
