"""Group commit: many threads of one process append to a ledger, and share its fsyncs.

One thread, the committer, owns the ledger; the others hand it what they have prepared (checked,
deflated) themselves. What came in while a transaction ran goes into the next one, and for a moment it
waits for those whom the last one has answered: they often come back at once. `append` returns
after the COMMIT of its transaction, and never before; an append that is refused (a conflict, a seal
over another graph) fails alone. Order: what one thread appended after another one's append had
returned stands after it in the ledger.

What it does not do: reach other processes; those share transactions through `inbox`. What was handed
over and not acknowledged when the process dies may be in the ledger or not, as for a plain append.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from provgraph.errors import LedgerError, ProvgraphError
from provgraph.ledger.codec import Prepared, prepare
from provgraph.ledger.rows import Pending, Position
from provgraph.ledger.sqlite import Ledger

# What one transaction takes at most: enough to share an fsync well, little enough to answer soon.
MAX_GROUP_APPENDS: Final = 256
MAX_GROUP_BYTES: Final = 16 * 1024 * 1024
# Who appends while so much waits is made to wait as well, so that memory stays bounded.
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024
# How long a transaction is put off for as many appends as the last one had: so much of the time that
# one took, and never longer than this. Whoever appends alone is never kept waiting.
_GATHERING_SHARE: Final = 0.5
_MAX_GATHERING_S: Final = 0.01


@dataclass(slots=True, kw_only=True)
class _Queued:
    """One append on its way."""

    records: Sequence[Prepared]
    size_bytes: int
    future: Future[list[Position]] = field(default_factory=Future)


class Committer:
    """The thread that commits. Use it as a context manager, or call `close`.

    It takes the ledger over: until it is closed nobody else uses that object. It does not live on in
    a forked child.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        max_group_appends: int = MAX_GROUP_APPENDS,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        """Start the thread.

        Args:
            ledger: open for writing.
            max_group_appends: appends in one transaction.
            max_queued_bytes: from so much on, `submit` waits.
        """
        self._ledger = ledger
        self._max_group_appends = max_group_appends
        self._max_queued_bytes = max_queued_bytes
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0
        self._is_closed = False
        self._last_appends = 1
        self._gathering_s = 0.0
        # The committer sleeps until so many appends are queued.
        self._awaited = 1
        self._changed = threading.Condition()
        # A daemon: a process that ends without close has acknowledged nothing that is not durable.
        self._thread = threading.Thread(target=self._run, name="provgraph-committer", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, items: Sequence[Pending]) -> list[Position]:
        """Take in sealed records, all or none, as `Ledger.append` does; any thread may call it.

        Raises:
            ConflictError, StorageError, LedgerError, UntrustedError: as `Ledger.append`.
        """
        return self.submit(items).result()

    def submit(self, items: Sequence[Pending]) -> Future[list[Position]]:
        """Hand records over; the future is done after their COMMIT. It waits while much is queued.

        Raises:
            LedgerError: the committer is closed, or a record that cannot be taken in.
            FormatError: a record whose entry cannot be written.
        """
        records = [prepare(item) for item in items]
        queued = _Queued(records=records, size_bytes=sum(each.size_bytes for each in records))
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._queued_bytes < self._max_queued_bytes
            )
            if self._is_closed:
                raise LedgerError("this committer is closed; nothing was appended")
            self._queue.append(queued)
            self._queued_bytes += queued.size_bytes
            if len(self._queue) >= self._awaited or self._queued_bytes >= MAX_GROUP_BYTES:
                self._changed.notify_all()
        return queued.future

    def close(self) -> None:
        """Commit what was handed over, and end the thread. The ledger stays open."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while group := self._take():
            started_s = time.monotonic()
            try:
                outcomes = self._ledger.append_each([each.records for each in group])
            except Exception as error:
                # The whole transaction failed; every caller is told, and may append again.
                for each in group:
                    each.future.set_exception(error)
                continue
            finally:
                self._last_appends = len(group)
                taken_s = time.monotonic() - started_s
                self._gathering_s = min(_MAX_GATHERING_S, _GATHERING_SHARE * taken_s)
            for each, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, ProvgraphError):
                    each.future.set_exception(outcome)
                else:
                    each.future.set_result(outcome)

    def _await(self, appends: int, *, timeout_s: float | None = None) -> None:
        """Wait until so many appends are queued, or as many bytes as a group may have."""
        self._awaited = appends
        self._changed.wait_for(
            lambda: (
                len(self._queue) >= appends
                or self._queued_bytes >= MAX_GROUP_BYTES
                or self._is_closed
            ),
            timeout_s,
        )
        self._awaited = 1

    def _take(self) -> list[_Queued]:
        """Wait for appends and take the next group; an empty one means that all is done."""
        group: list[_Queued] = []
        size_bytes = 0
        with self._changed:
            while not group and (self._queue or not self._is_closed):
                self._await(1)
                self._await(self._last_appends, timeout_s=self._gathering_s)
                while (
                    self._queue
                    and len(group) < self._max_group_appends
                    and size_bytes < MAX_GROUP_BYTES
                ):
                    queued = self._queue.popleft()
                    self._queued_bytes -= queued.size_bytes
                    # A caller may have cancelled its future meanwhile.
                    if queued.future.set_running_or_notify_cancel():
                        group.append(queued)
                        size_bytes += queued.size_bytes
            self._changed.notify_all()
        return group
