"""What a ledger says of keys, and whose seals it takes in: its own key events, and a trust file.

An append is refused when its seal would not count: a key that was revoked, that is past its
validity by the ledger's clock, or that has no business sealing entries of that kind. Whoever reads
the ledger later judges by the same rules (`provgraph.seal.trust`), so what is taken in stays good.

Key events are found through the name table (kind `key`) and verified when they are read. A process
that appends looks for new ones inside its transaction, so no other process can slip one in between.

Where no key event and no trust file is, every producer is known by use: what judges is then not even
loaded, so that a run in a plain home pays nothing for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from provgraph.errors import FormatError, KeyRefusedError, UntrustedError
from provgraph.ledger import compression, schema
from provgraph.ledger.codec import Prepared, split_sealed
from provgraph.ledger.reading import LedgerReader
from provgraph.seal.entry import KEY_EVENTS, RECORD
from provgraph.seal.proof import parse_proof_config, verify_seal
from provgraph.terms import MAX_GRAPH_BYTES, format_time

if TYPE_CHECKING:
    from provgraph.seal.trust import KeyHistory, TrustedKey
    from provgraph.seal.trustfile import TrustFile

TrustSource = Callable[[], "TrustFile | None"]
"""Says which trust file holds now. Asked in every transaction: it must cost next to nothing."""

# How an entry of the usual kind spells it. No other member can hold a quotation mark, so these bytes
# stand there and nowhere else.
_IS_RECORD: Final = f'"kind":"{RECORD}"'.encode()

_EVENTS_AFTER: Final = (
    "SELECT DISTINCT position FROM name WHERE kind = 'key' AND position > ? ORDER BY position"
)


class KnownKeys:
    """The key history of one open ledger, kept up with what other processes append."""

    def __init__(self, reader: LedgerReader, *, trust: TrustSource | None = None) -> None:
        self._reader = reader
        self._trust = trust or _no_trust
        self._history: KeyHistory | None = None
        self._read_to = -1  # the last position whose key event is in the history

    def history(self) -> KeyHistory | None:
        """Return what the ledger says now, None for nothing; the caller copies before it adds.

        Raises:
            UntrustedError: a key event that does not count, or a trust file of another ledger.
        """
        trust = self._trust()
        rows = self._events_after(self._read_to)
        if trust is None and not rows and self._read_to < 0:
            return None
        from provgraph.seal.trust import KeyHistory

        if self._history is None or self._history.trust is not trust:
            if trust is not None and trust.says.origin != self._reader.origin:
                raise UntrustedError(
                    f"the trust file in force is one of {trust.says.origin}, this ledger is"
                    f" {self._reader.origin}; install the one that belongs to it"
                )
            self._history, self._read_to = KeyHistory(trust=trust), -1
            rows = self._events_after(-1)
        for position in rows:
            self._take(self._history, position)
            self._read_to = position
        return self._history

    def _events_after(self, position: int) -> list[int]:
        with schema.storage_errors(self._reader.path):
            rows = self._reader._db.execute(_EVENTS_AFTER, (position,)).fetchall()
        return [each for (each,) in rows]

    def _take(self, history: KeyHistory, position: int) -> None:
        from provgraph.seal.trust import admit

        record = self._reader.read(position)
        if record.kind not in KEY_EVENTS:
            return
        try:
            verified = verify_seal(record.graph_nq, record.proof_nq, record.proof_value)
            admit(
                history,
                kind=record.kind,
                index=position,
                method=verified.verification_method,
                graph_nq=record.graph_nq,
            )
        except (FormatError, UntrustedError) as error:
            raise UntrustedError(
                f"ledger {self._reader.path}: entry {position}: {error}"
            ) from error


def require_admissible(
    batch: Sequence[Prepared], keys: KeyHistory | None, *, start: int, now: datetime
) -> KeyHistory | None:
    """Check that the seals of records that are to stand from `start` on count there.

    Returns:
        The history with the batch's own key events.

    Raises:
        KeyRefusedError: the first one that does not.
    """
    if keys is None and all(_IS_RECORD in record.entry for record in batch):
        return None
    from provgraph.seal.trust import KeyHistory, admit

    keys, is_copy = keys or KeyHistory(), keys is None
    for index, record in enumerate(batch, start):
        # Canonical JSON that `prepare` wrote: a whole parse would cost as much as the signature.
        said = json.loads(record.entry)
        kind, method = said["kind"], said["verificationMethod"]
        graph_nq = b""
        if kind in KEY_EVENTS:
            keys, is_copy = keys if is_copy else keys.copy(), True
            graph_nq = compression.decode(record.graph, max_bytes=MAX_GRAPH_BYTES)
        try:
            key = admit(keys, kind=kind, index=index, method=method, graph_nq=graph_nq)
            if key.valid_from is not None or key.valid_until is not None:
                _require_valid_now(key, record, now=now)
        except (FormatError, UntrustedError) as error:
            raise KeyRefusedError(
                f"record {record.iri} was not taken in: {error}. `provgraph keys list` shows which"
                " keys count; let the steward add one (`provgraph keys add`), or put the right one"
                " in place"
            ) from error
    return keys


def _require_valid_now(key: TrustedKey, record: Prepared, *, now: datetime) -> None:
    who = key.method.partition("#")[0]
    if key.valid_from is not None and now < key.valid_from:
        raise UntrustedError(
            f"{who} is valid from {format_time(key.valid_from)}, and it is {format_time(now)}"
        )
    if key.valid_until is not None and now > key.valid_until:
        raise UntrustedError(
            f"{who} was valid until {format_time(key.valid_until)}, and it is {format_time(now)}"
        )
    from provgraph.seal.trust import require_in_time

    proof = parse_proof_config(split_sealed(record.sealed, record.iri)[1])
    require_in_time(key, created=proof.created)


def _no_trust() -> None:
    return None
