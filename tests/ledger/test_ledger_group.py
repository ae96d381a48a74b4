"""Many threads of one process append through one committer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace

import pytest
from ledger_samples import pending_run, small

from provgraph.errors import ConflictError, LedgerError, StorageError
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.group import Committer
from provgraph.ledger.rows import Position
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer


@pytest.fixture
def committer(ledger: Ledger) -> Iterator[Committer]:
    with Committer(ledger) as opened:
        yield opened


class Gate:
    """Holds the committer up before its first transaction, so that what follows is one group."""

    def __init__(self, ledger: Ledger) -> None:
        self.groups: list[int] = []
        self._open, self._entered = threading.Event(), threading.Event()
        self._append_each = ledger.append_each
        ledger.append_each = self._held  # type: ignore[method-assign, assignment]

    def _held(self, batches: list[object]) -> object:
        self._entered.set()
        self._open.wait(timeout=30)
        self.groups.append(len(batches))
        return self._append_each(batches)  # type: ignore[arg-type]

    def wait(self) -> None:
        self._entered.wait(timeout=30)

    def open(self) -> None:
        self._open.set()


def test_records_of_many_threads_are_all_there_once(
    ledger: Ledger, committer: Committer, producer: Signer
) -> None:
    found: dict[str, int] = {}

    def produce(start: int) -> None:
        for number in range(start, start + 10):
            (position,) = committer.append([small(number, signer=producer)])
            assert position.is_new is True
            found[position.iri] = position.index

    threads = [threading.Thread(target=produce, args=(100 * number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    committer.close()
    assert sorted(found.values()) == list(range(160))
    assert {record.iri: record.index for record in ledger.records()} == found
    assert verify_ledger(ledger).size == 160


def test_appends_that_wait_share_one_transaction(ledger: Ledger, producer: Signer) -> None:
    gate = Gate(ledger)
    with Committer(ledger) as committer:
        first = committer.submit([small(0, signer=producer)])
        gate.wait()
        others = [committer.submit([small(n, signer=producer)]) for n in range(1, 30)]
        assert [future.done() for future in (first, *others)] == [False] * 30
        gate.open()
        assert [future.result(30)[0].index for future in (first, *others)] == list(range(30))
    assert gate.groups == [1, 29]


def test_a_conflict_fails_alone(ledger: Ledger, producer: Signer) -> None:
    ledger.append([small(0, signer=producer)])
    gate = Gate(ledger)
    with Committer(ledger) as committer:
        before = committer.submit([small(1, signer=producer)])
        gate.wait()
        good = committer.submit([small(2, signer=producer)])
        bad = committer.submit([small(3, signer=producer), small(0, signer=producer, text="b")])
        again = committer.submit([small(0, signer=producer)])
        after = committer.submit([small(4, signer=producer)])
        gate.open()
        with pytest.raises(ConflictError, match="is entry 0 of the ledger with the graph"):
            bad.result(30)
        assert [each.result(30)[0].index for each in (before, good, again, after)] == [1, 2, 0, 3]
    assert gate.groups == [1, 4]
    assert ledger.find(small(3, signer=producer).iri) is None
    assert verify_ledger(ledger).size == 4


def test_two_graphs_for_one_record_in_one_group(ledger: Ledger, producer: Signer) -> None:
    gate = Gate(ledger)
    with Committer(ledger) as committer:
        committer.submit([small(9, signer=producer)])
        gate.wait()
        first = committer.submit([small(0, signer=producer)])
        second = committer.submit([small(0, signer=producer, text="b")])
        third = committer.submit([small(0, signer=producer)])
        gate.open()
        iri = small(0, signer=producer).iri
        assert first.result(30) == [Position(iri=iri, index=1, is_new=True)]
        assert third.result(30) == [Position(iri=iri, index=1, is_new=False)]
        with pytest.raises(ConflictError, match="is entry 1 of the ledger"):
            second.result(30)


def test_two_graphs_for_one_record_in_one_append(ledger: Ledger, producer: Signer) -> None:
    both = [small(0, signer=producer), small(0, signer=producer, text="b")]
    with pytest.raises(ConflictError, match="is on its way to the ledger with the graph"):
        ledger.append(both)
    assert ledger.size() == 0


def test_a_bad_record_fails_before_it_is_handed_over(
    committer: Committer, producer: Signer
) -> None:
    item = small(0, signer=producer)
    with pytest.raises(LedgerError, match="seal is over another graph"):
        committer.submit([replace(item, graph_nq=item.graph_nq.replace(b'"a"', b'"b"'))])


def test_a_full_disk_fails_only_what_does_not_fit(ledger: Ledger, producer: Signer) -> None:
    """The group fails as a whole, and is then tried one by one."""
    ledger.append([small(0, signer=producer)])
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    gate = Gate(ledger)
    with Committer(ledger) as committer:
        committer.submit([small(1, signer=producer)])
        gate.wait()
        large = committer.submit([pending_run(number, signer=producer) for number in range(9)])
        fits = committer.submit([small(2, signer=producer)])
        gate.open()
        with pytest.raises(StorageError, match="full; free space and repeat"):
            large.result(30)
        assert fits.result(30)[0].index == 2
    assert verify_ledger(ledger).size == 3


def test_a_ledger_that_fails_tells_every_caller_and_goes_on(
    ledger: Ledger, producer: Signer
) -> None:
    signer, ledger._log_signer = ledger._log_signer, None
    with Committer(ledger) as committer:
        futures = [committer.submit([small(n, signer=producer)]) for n in range(3)]
        for future in futures:
            with pytest.raises(LedgerError, match="open for reading"):
                future.result(30)
        ledger._log_signer = signer
        assert committer.append([small(5, signer=producer)])[0].index == 0


def test_close_commits_what_was_handed_over(ledger: Ledger, producer: Signer) -> None:
    committer = Committer(ledger)
    futures = [committer.submit([small(n, signer=producer)]) for n in range(50)]
    committer.close()
    assert [future.done() for future in futures] == [True] * 50
    assert ledger.size() == 50
    with pytest.raises(LedgerError, match="is closed; nothing was appended"):
        committer.submit([small(50, signer=producer)])
    committer.close()


def test_a_cancelled_append_is_left_out(ledger: Ledger, producer: Signer) -> None:
    gate = Gate(ledger)
    with Committer(ledger) as committer:
        committer.submit([small(0, signer=producer)])
        gate.wait()
        cancelled = committer.submit([small(1, signer=producer)])
        assert cancelled.cancel() is True
        gate.open()
        assert committer.append([small(2, signer=producer)])[0].index == 1
    assert ledger.find(small(1, signer=producer).iri) is None


def test_who_appends_while_much_waits_is_made_to_wait(ledger: Ledger, producer: Signer) -> None:
    gate = Gate(ledger)
    handed: list[Future[list[Position]]] = []
    with Committer(ledger, max_queued_bytes=2000) as committer:
        handed.append(committer.submit([small(0, signer=producer)]))
        gate.wait()

        def produce() -> None:
            handed.extend(committer.submit([small(n, signer=producer)]) for n in range(1, 20))

        thread = threading.Thread(target=produce)
        thread.start()
        thread.join(timeout=0.3)
        assert (thread.is_alive(), len(handed) < 5) == (True, True)
        gate.open()
        thread.join(timeout=30)
        assert [future.result(30)[0].index for future in handed] == list(range(20))


def test_groups_have_a_limit(ledger: Ledger, producer: Signer) -> None:
    gate = Gate(ledger)
    with Committer(ledger, max_group_appends=4) as committer:
        committer.submit([small(0, signer=producer)])
        gate.wait()
        futures = [committer.submit([small(n, signer=producer)]) for n in range(1, 11)]
        gate.open()
        assert [future.result(30)[0].index for future in futures] == list(range(1, 11))
    assert gate.groups == [1, 4, 4, 2]


def test_two_committers_of_one_ledger(open_ledger: Callable[[], Ledger], producer: Signer) -> None:
    with open_ledger() as one, open_ledger() as two:
        with Committer(one) as first, Committer(two) as second:
            futures = [
                (first, second)[number % 2].submit([small(number, signer=producer)])
                for number in range(60)
            ]
            assert sorted(each.result(30)[0].index for each in futures) == list(range(60))
        assert verify_ledger(one).size == 60
