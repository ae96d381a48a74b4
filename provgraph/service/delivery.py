"""Recording over the network: what a run said is on this disk first, and a thread brings it to a server.

The `with` block hands over and goes on: it waits at most `HAND_OVER_S` for a receipt. What the server
has not acknowledged stays in the journal folder, the spool, and is tried again: by this process with
growing pauses, when it ends for up to `LAST_TRY_S`, by the next process, or by `provgraph spool
--flush`. A record's id makes a second delivery harmless, and their order does not matter. What the
server refuses for good stays too, with the reason.

The server's address is the setting `server`; its token is in `PROVGRAPH_TOKEN` and nowhere on disk.
Times are seconds.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import random
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from provgraph.capture.facts import encode
from provgraph.capture.recorder import say
from provgraph.capture.sinks import Receipt
from provgraph.capture.state import RunState
from provgraph.digests import Digest
from provgraph.errors import LedgerError, ProvgraphError, StorageError, UnreachableError
from provgraph.outgoing import send
from provgraph.recordable import LaterFact
from provgraph.settings import Settings

TOKEN_VARIABLE: Final = "PROVGRAPH_TOKEN"  # noqa: S105 - the variable's name, not a secret
HAND_OVER_S: Final = 0.01
LAST_TRY_S: Final = 5.0
_REQUEST_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.5
_LAST_PAUSE_S: Final = 60.0
_MAX_REPLY_BYTES: Final = 1024 * 1024
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class RefusedError(LedgerError):
    """The server will not take a record, however often it is sent."""


class RemoteLedger:
    """A server that records are posted to."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        """Take the address from the settings, and the token from the environment."""
        self._address = f"{settings.server.rstrip('/')}/records"
        self._token = environ.get(TOKEN_VARIABLE, "")

    def seal(self, state: RunState) -> Receipt:
        """Deliver a run.

        Raises:
            StorageError: not now; again later.
            RefusedError: not ever as it is.
        """
        run, attachments = state.run()
        return self._post("run", state.record_id, run, attachments=attachments)

    def write(
        self,
        kind: str,
        record: LaterFact,
        *,
        record_id: str,
        called: str | None,
        attachments: Mapping[Digest, bytes] | None = None,
    ) -> Receipt:
        """Deliver a later fact; `called` is what its model goes by, looked up there.

        Raises:
            StorageError, RefusedError: as for `seal`.
        """
        return self._post(kind, record_id, record, called=called, attachments=attachments)

    def _post(
        self,
        kind: str,
        record_id: str,
        record: object,
        *,
        called: str | None = None,
        attachments: Mapping[Digest, bytes] | None = None,
    ) -> Receipt:
        item: dict[str, Any] = {"kind": kind, "id": record_id, "facts": encode(record)}
        if called is not None:
            item["called"] = called
        if attachments:
            item["attachments"] = {
                str(digest): base64.b64encode(data).decode() for digest, data in attachments.items()
            }
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            reply = send(
                "POST",
                self._address,
                body=json.dumps({"records": [item]}).encode(),
                headers=headers,
                timeout_s=_REQUEST_S,
                max_bytes=_MAX_REPLY_BYTES,
            )
        except UnreachableError as error:
            raise StorageError(f"the server is away: {error}") from error
        if reply.status in {200, 201}:
            return _receipt(reply.body)
        reason = f"{self._address} answered {reply.status}: {_detail(reply.body)}"
        if reply.status in _AGAIN:
            raise StorageError(reason)
        raise RefusedError(reason)


def _receipt(body: bytes) -> Receipt:
    try:
        value = json.loads(body)
        row = value["receipts"][0]
        return Receipt(
            record=str(row["record"]),
            position=int(row["position"]),
            ledger_size=int(value["ledgerSize"]),
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise StorageError(f"the server's answer is no receipt: {error!r}") from None


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


class _Deliverer:
    """The thread of this process that empties the spool. One exists; a forked child has its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._tried = threading.Condition()
        self._thread: threading.Thread | None = None
        self._settings: Settings | None = None
        self._receipts: dict[str, Receipt] = {}  # run or record id, delivered here
        self._said: set[str] = set()
        self._asked = 0  # how often somebody had something to deliver
        self._done = 0  # up to which of these nothing is left
        self._is_away = False  # the server did not answer the last time

    def deliver(self, settings: Settings, name: str, *, wait_s: float) -> Receipt | None:
        """Ask for a round, and wait for the receipt of one run or record."""
        with self._lock:
            self._settings = settings
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="provgraph-delivery", daemon=True
                )
                self._thread.start()
                atexit.register(self._end)
        with self._tried:
            self._asked += 1
            self._wanted.set()
            self._tried.wait_for(lambda: name in self._receipts, timeout=wait_s)
            return self._receipts.pop(name, None)

    def _run(self) -> None:
        pause_s = 0.0
        while True:
            if pause_s:
                # Jitter keeps a thousand jobs from coming back in one moment.
                self._wanted.wait(pause_s * random.uniform(0.5, 1.5))  # noqa: S311
            else:
                self._wanted.wait()
            self._wanted.clear()
            is_done = self._round()
            if is_done or not pause_s:
                pause_s = 0.0 if is_done else _FIRST_PAUSE_S
            else:
                pause_s = min(_LAST_PAUSE_S, pause_s * 2)

    def _round(self) -> bool:
        """Try to deliver all that is there; whether nothing is left."""
        assert self._settings is not None, "deliver has set it"
        asked = self._asked  # what comes while this goes on is for the next round
        problems: list[str] = []
        try:
            from provgraph.service.recovery import recover

            for each in recover(self._settings):
                if each.problem is not None:
                    problems.append(each.problem)
                elif each.receipt is not None:
                    with self._tried:
                        self._receipts[each.name] = each.receipt
                        self._tried.notify_all()
        except (ProvgraphError, OSError) as error:
            problems.append(str(error))
        for problem in problems:
            if problem not in self._said:
                self._said.add(problem)
                say(f"not delivered yet: {problem}; it is kept, and tried again")
        with self._tried:
            if not problems:
                self._done = asked
            self._is_away = any("is away" in problem for problem in problems)
            self._tried.notify_all()
        return not problems

    def _end(self) -> None:
        """Give the last records a little time when the process ends."""
        if self._thread is None or not self._thread.is_alive():
            return
        deadline_s = time.monotonic() + LAST_TRY_S
        with self._tried:
            self._wanted.set()
            while self._done < self._asked and not self._is_away:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._tried.wait(left_s):
                    return


_deliverer = _Deliverer()


def deliver(settings: Settings, name: str, *, wait_s: float = HAND_OVER_S) -> Receipt | None:
    """Bring what is in the spool to the server; return the receipt of `name` if it comes in time.

    `name` is the id of a run, or of the record of a later fact. Never raises for a server that is
    away.
    """
    return _deliverer.deliver(settings, name, wait_s=wait_s)


def _forget() -> None:
    # The child has no copy of the thread, and its locks may be held by nobody.
    global _deliverer  # noqa: PLW0603 - one per process
    _deliverer = _Deliverer()


os.register_at_fork(after_in_child=_forget)
