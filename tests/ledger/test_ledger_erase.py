"""Erasing an entry's content: what goes, what stays, and every way in which it can be a lie."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from key_entries import SUCCESSOR, key_add, key_revoke
from ledger_samples import START, pending_run
from tombstones import STEWARD, tombstone

from provgraph.digests import sha256_bytes
from provgraph.errors import (
    ErasedError,
    KeyRefusedError,
    LedgerError,
    NotFoundError,
    StorageError,
    UntrustedError,
    UsageError,
)
from provgraph.ledger.codec import ERASED, prepare
from provgraph.ledger.erasing import (
    Mark,
    erase,
    finish,
    is_unfinished,
    own_attachments,
    scrub,
    settle,
)
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.inbox import Inbox
from provgraph.ledger.rows import Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.entry import parse_entry
from provgraph.seal.keys import Signer
from provgraph.seal.merkle import leaf_hash, verify_consistency, verify_inclusion
from provgraph.seal.note import open_checkpoint
from provgraph.seal.proof import seal
from provgraph.seal.tombstone import judge, read_claim

OWN = b"seen by one record only " * 9
SHARED = b"seen by two records " * 9


def attached(number: int, producer: Signer, *data: bytes) -> Pending:
    """A record whose graph names bytes, which go with it."""
    iri = f"https://w3id.org/provgraph/id/record/attached-{number}"
    lines = sorted(f'<urn:s> <urn:p> "{sha256_bytes(each)}" <{iri}> .\n' for each in data)
    graph = "".join(lines).encode()
    return Pending(
        iri=iri,
        graph_nq=graph,
        seal=seal(graph, signer=producer, created=START),
        attachments={sha256_bytes(each): each for each in data},
    )


@pytest.fixture
def filled(ledger: Ledger, producer: Signer) -> Ledger:
    """Runs at 0 to 2, and two records with attachments at 3 and 4."""
    ledger.append([pending_run(number, signer=producer) for number in range(3)])
    ledger.append([attached(3, producer, OWN, SHARED), attached(4, producer, SHARED)])
    return ledger


def erased(ledger: Ledger, *indices: int) -> list[int]:
    """Erase entries; return where their tombstones stand."""
    positions = erase(ledger, {index: tombstone(ledger.read(index)) for index in indices})
    return [position.index for position in positions]


def test_the_content_goes_and_every_proof_stays(filled: Ledger) -> None:
    entries = list(filled.entries(0, 5))
    old_root = filled.root()
    iri = filled.read(1).iri
    assert erased(filled, 1) == [5]

    record = filled.read(1)
    assert (record.is_erased, record.iri, record.entry) == (True, iri, entries[1])
    assert [each.is_erased for each in filled.records()] == [False, True, *[False] * 4]
    with pytest.raises(ErasedError, match=r"entry 1\) was erased; `provgraph show"):
        assert record.graph_nq
    with pytest.raises(ErasedError, match=r"\(entry 1\) was erased: tombstone .* \(entry 5\)"):
        filled.graph(1)
    assert filled.find(iri) == 1
    assert [row.index for row in filled.names("run", "train-churn")] == [0, 2]
    assert filled.names("model", "churn", version="1") == []

    assert list(filled.entries(0, 5)) == entries
    checkpoint = open_checkpoint(filled.checkpoint(), filled.charter.note_key)
    assert (checkpoint.size, checkpoint.root) == (6, filled.root())
    for index, entry in enumerate(filled.entries(0, 6)):
        proof = filled.inclusion_proof(index, 6)
        verify_inclusion(
            leaf=leaf_hash(entry), index=index, size=6, proof=proof, root=checkpoint.root
        )
    verify_consistency(
        old_size=5,
        new_size=6,
        proof=filled.consistency_proof(5, 6),
        old_root=old_root,
        new_root=checkpoint.root,
    )
    report = verify_ledger(filled)
    assert (report.size, report.erased) == (6, 1)


def test_only_its_own_attachments_go(filled: Ledger) -> None:
    own, shared = sha256_bytes(OWN), sha256_bytes(SHARED)
    assert own_attachments(filled, 3, among={3}) == [own]
    assert own_attachments(filled, 4, among={4}) == []
    assert own_attachments(filled, 3, among={3, 4}) == sorted([own, shared], key=str)
    erased(filled, 3)
    with pytest.raises(NotFoundError, match="no attachment"):
        filled.attachment(sha256_bytes(OWN))
    assert filled.attachment(sha256_bytes(SHARED)) == SHARED
    assert filled.attachments(filled.read(3).iri) == ()
    verify_ledger(filled)
    erased(filled, 4)
    with pytest.raises(NotFoundError, match="no attachment"):
        filled.attachment(sha256_bytes(SHARED))
    assert verify_ledger(filled).attachments == 0


def test_erasing_again_is_harmless(filled: Ledger) -> None:
    request = {1: tombstone(filled.read(1))}
    (first,) = erase(filled, request)
    (again,) = erase(filled, request)
    assert (first.is_new, again.is_new) == (True, False)
    assert (again.index, again.iri, filled.size()) == (first.index, first.iri, 6)


def test_appending_an_erased_record_again_does_not_bring_it_back(
    filled: Ledger, producer: Signer
) -> None:
    erased(filled, 1)
    (position,) = filled.append([pending_run(1, signer=producer)])
    assert (position.index, position.is_new, filled.read(1).is_erased) == (1, False, True)


def test_several_go_together_or_not_at_all(filled: Ledger) -> None:
    requests = {0: tombstone(filled.read(0)), 2: tombstone(filled.read(1))}
    with pytest.raises(UntrustedError, match="names the record"):
        erase(filled, requests)
    assert filled.size() == 5
    assert [each.is_erased for each in filled.records()] == [False] * 5
    assert erased(filled, 0, 2) == [5, 6]
    assert verify_ledger(filled).erased == 2


def test_what_decides_about_the_ledger_is_never_erased(filled: Ledger) -> None:
    erased(filled, 1)
    with pytest.raises(UsageError, match="entry 5 is of kind tombstone and is never erased"):
        erase(filled, {5: tombstone(filled.read(5))})
    filled.append([key_add(STEWARD, "steward", by=STEWARD)])
    with pytest.raises(UsageError, match="entry 6 is of kind key-add and is never erased"):
        erase(filled, {6: tombstone(filled.read(6))})
    assert filled.size() == 7


def test_a_steward_that_was_revoked_erases_nothing(filled: Ledger) -> None:
    filled.append(
        [key_add(SUCCESSOR, "steward", by=SUCCESSOR), key_add(STEWARD, "steward", by=SUCCESSOR)]
    )
    filled.append([key_revoke(STEWARD, "compromised", by=SUCCESSOR)])
    with pytest.raises(KeyRefusedError, match=r"revoked \(compromised\) at entry 7"):
        erased(filled, 1)
    assert [each.is_erased for each in filled.records()] == [False] * 8


def test_a_reader_erases_nothing(filled: Ledger, tmp_path: Path) -> None:
    with (
        Ledger.open(filled.path, log_signer=None, clock=lambda: START, read_only=True) as reader,
        pytest.raises(LedgerError, match="open for reading"),
    ):
        erase(reader, {1: tombstone(filled.read(1))})
    assert filled.size() == 5


# ---- lies ----------------------------------------------------------------------------------------
def change(ledger: Ledger, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(ledger.path)) as db:
        assert db.execute(statement, values).rowcount == 1
        db.commit()


def emptied_without_tombstone(ledger: Ledger, _: Signer) -> None:
    change(ledger, "UPDATE record SET graph = ? WHERE position = 1", ERASED)


def emptied_with_the_tombstone_of_another_entry(ledger: Ledger, _: Signer) -> None:
    said = {"record": ledger.read(1).iri}
    ledger.append([tombstone(ledger.read(2), **said)])
    change(ledger, "UPDATE record SET graph = ? WHERE position = 1", ERASED)


def tombstone_with_another_leaf_hash(ledger: Ledger, _: Signer) -> None:
    ledger.append([tombstone(ledger.read(1), leaf_hash=f"sha256:{'0' * 64}")])
    change(ledger, "UPDATE record SET graph = ? WHERE position = 1", ERASED)


def tombstone_with_another_graph_digest(ledger: Ledger, _: Signer) -> None:
    ledger.append([tombstone(ledger.read(1), graph_digest=f"sha256:{'0' * 64}")])
    change(ledger, "UPDATE record SET graph = ? WHERE position = 1", ERASED)


def tombstone_before_its_entry(ledger: Ledger, producer: Signer) -> None:
    late = pending_run(9, signer=producer)
    iri = late.iri
    ledger.append([tombstone(ledger.read(1), record=iri, entry_index=6), late])
    change(ledger, "UPDATE record SET graph = ? WHERE position = 6", ERASED)


def tombstone_that_is_a_record(ledger: Ledger, _: Signer) -> None:
    ledger.append([tombstone(ledger.read(1), kind="record")])
    change(ledger, "UPDATE record SET graph = ? WHERE position = 1", ERASED)


def emptied_tombstone(ledger: Ledger, _: Signer) -> None:
    erased(ledger, 1)
    change(ledger, "UPDATE record SET graph = ? WHERE position = 5", ERASED)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (emptied_without_tombstone, "no tombstone fits it: somebody emptied it"),
        (emptied_with_the_tombstone_of_another_entry, "names the entry 2, found 1"),
        (tombstone_with_another_leaf_hash, "names the leaf hash sha256:000"),
        (tombstone_with_another_graph_digest, "names the graph digest sha256:000"),
        (tombstone_before_its_entry, "does not stand after entry 6"),
        (tombstone_that_is_a_record, "expected an entry of kind tombstone, found record"),
        (emptied_tombstone, "has no graph, and no tombstone fits it"),
    ],
)
def test_an_emptied_graph_is_not_taken_for_an_erased_one(
    filled: Ledger,
    producer: Signer,
    attack: Callable[[Ledger, Signer], None],
    said: str,
) -> None:
    attack(filled, producer)
    for look in (lambda: list(filled.records()), lambda: verify_ledger(filled)):
        with pytest.raises(UntrustedError, match=said):
            look()


def test_a_tombstone_sealed_by_a_producer_is_refused(filled: Ledger, producer: Signer) -> None:
    erase(filled, {1: tombstone(filled.read(1), signer=producer)})
    with pytest.raises(UntrustedError, match="which is no steward's key"):
        verify_ledger(filled)
    with pytest.raises(UntrustedError, match="which is no steward's key"):
        finish(filled)


def test_a_tombstone_whose_graph_is_there_is_found_and_finished(filled: Ledger) -> None:
    (before,) = filled._db.execute("SELECT graph FROM record WHERE position = 1").fetchone()
    erased(filled, 1)
    change(filled, "UPDATE record SET graph = ? WHERE position = 1", before)
    with pytest.raises(
        UntrustedError, match=r"entry 1 was erased, and its graph is there.*--resume"
    ):
        verify_ledger(filled)
    assert finish(filled) == [1]
    assert finish(filled) == []
    assert verify_ledger(filled).erased == 1


def test_a_name_that_is_still_there_is_found_and_finished(filled: Ledger) -> None:
    erased(filled, 1)
    change(filled, "INSERT INTO name VALUES ('run', 'ada', 1, '', 'urn:x')")
    with pytest.raises(UntrustedError, match="a name or attachment of it is still there"):
        verify_ledger(filled)
    assert finish(filled) == [1]
    verify_ledger(filled)


def test_the_steward_can_be_told_by_a_list(filled: Ledger) -> None:
    erased(filled, 1)
    sealed = filled.read(5)
    claim = read_claim(sealed.graph_nq, position=5, entry=parse_entry(sealed.entry))
    entries = {1: filled.entry(1)}
    steward = lambda method, at: (method, at) == (STEWARD.verification_method, 5)  # noqa: E731
    found = judge(erased=entries, claims=[claim], producers=(), is_steward=steward)
    assert found == {1: claim}
    with pytest.raises(UntrustedError, match="no steward's key"):
        judge(erased=entries, claims=[claim], producers=(), is_steward=lambda *_: False)


# ---- bytes -----------------------------------------------------------------------------------------
SECRET = "Zacharias-Quendelmayr"


@pytest.fixture
def secretive(ledger: Ledger, producer: Signer) -> Ledger:
    """Many names around a secret one, so that pages split; one secret in a graph, one attached."""
    data = f"{SECRET} was here".encode() * 5
    ledger.append([pending_run(number, signer=producer) for number in range(20)])
    run = pending_run(99, signer=producer)
    lines = run.graph_nq.replace(b"train-churn", SECRET.encode()).splitlines(keepends=True)
    graph = b"".join(sorted(lines))
    names = [replace(row, name=SECRET) if row.kind == "run" else row for row in run.names]
    proof = seal(graph, signer=producer, created=START)
    ledger.append([replace(run, graph_nq=graph, names=names, seal=proof)])
    ledger.append([attached(1, producer, data)])
    for number in range(20, 40):
        ledger.append([pending_run(number, signer=producer)])
    return ledger


def test_no_byte_of_it_is_left_in_the_files(secretive: Ledger) -> None:
    (graph,) = secretive._db.execute("SELECT graph FROM record WHERE position = 20").fetchone()
    (data,) = secretive._db.execute("SELECT data FROM attachment").fetchone()
    # What is stored is deflated: look for pieces of it, and for the name, which is not.
    pieces = [SECRET.encode(), data[8:40], *(graph[at : at + 24] for at in range(100, 2000, 400))]

    def left() -> list[str]:
        files = sorted(secretive.path.parent.glob("ledger.db*"))
        return [
            f"{file.name} {piece!r}"
            for file in files
            if file.is_file()
            for piece in pieces
            if piece in file.read_bytes()
        ]

    assert len(left()) >= len(pieces)
    erased(secretive, 20, 21)
    scrub(secretive)
    assert left() == []
    assert secretive.path.with_name("ledger.db-wal").stat().st_size == 0
    assert [secretive.read(index).is_erased for index in (20, 21)] == [True, True]
    assert verify_ledger(secretive).erased == 2


def test_scrubbing_beside_a_reader_says_that_it_is_not_done(
    filled: Ledger,
) -> None:
    erased(filled, 1)
    with contextlib.closing(sqlite3.connect(filled.path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM record").fetchone()
        filled._db.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(StorageError, match="another process reads the ledger"):
            scrub(filled)
        other.execute("ROLLBACK")
    scrub(filled)
    assert filled.path.with_name("ledger.db-wal").stat().st_size == 0


def test_an_unfinished_erasure_is_marked_beside_the_ledger(filled: Ledger) -> None:
    path = filled.path
    assert (is_unfinished(path), Mark.left_behind(path)) == (False, None)
    mark = Mark.begin(path)
    assert is_unfinished(path) is True
    # It is held: nobody takes it over, and a second one waits.
    assert Mark.left_behind(path) is None
    with pytest.raises(StorageError, match="another process has been erasing"):
        Mark.begin(path, wait_s=0.1)
    mark.close()
    taken = Mark.left_behind(path)
    assert taken is not None
    taken.finish()
    taken.close()
    assert (is_unfinished(path), Mark.left_behind(path)) == (False, None)


def test_copies_that_dead_processes_left_in_the_inbox_go(filled: Ledger, producer: Signer) -> None:
    inbox = Inbox(filled.path)
    ticket = inbox.put([prepare(pending_run(1, signer=producer))])
    assert ticket is not None
    half = inbox.folder / ".00000000000000000001-1-abcd.new"
    half.write_bytes(b"half of a record")
    erased(filled, 1)
    settle(filled)
    assert (ticket.is_taken, half.exists()) == (True, False)
    ticket.close()
    assert (filled.read(1).is_erased, filled.size()) == (True, 6)
