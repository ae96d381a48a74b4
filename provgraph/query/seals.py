"""Whether the records behind an answer are what was sealed, by a key that counted where they stand.

For each record, in this order:
1. The ledger has it, below the size that the answer is for.
2. Its graph and proof have the hashes that its entry names (RFC 9162 leaves are hashes of entries).
3. The entry is in the tree that the ledger's latest signed checkpoint names: an inclusion proof up to
   its root (RFC 9162 section 2.1.3).
4. The proof verifies over the graph (`provgraph.seal.proof`), by the key that the entry names.
5. The key counted at this position by the key events before it, and at the time that the proof says
   (`provgraph.seal.trust`).

Of an erased record steps 1 to 3 hold, and its tombstone fits. What was verified once is remembered by
record and ledger size: bytes that somebody changes afterwards, below the same size, are found by
`provgraph verify`, not here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from provgraph.errors import ProvgraphError
from provgraph.query.reporting import Entries
from provgraph.seal import merkle
from provgraph.seal.entry import KEY_EVENTS, SEALED_BY
from provgraph.seal.note import Checkpoint, open_checkpoint
from provgraph.seal.proof import verify_seal
from provgraph.seal.trust import KeyHistory, require_in_time

VERIFIED: Final = "verified"
ERASED: Final = "erased"
WRONG: Final = "wrong"
UNKNOWN: Final = "unknown"

_MAX_REMEMBERED: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SealState:
    """What came of checking one record."""

    record: str
    state: str  # verified | erased | wrong | unknown
    position: int | None = None
    kind: str = ""
    key: str = ""  # did:key of who sealed it
    at: datetime | None = None  # as the seal says
    reason: str = ""


_remembered: OrderedDict[tuple[str, bytes, int, str], SealState] = OrderedDict()


def seal_states(
    entries: Entries, keys: KeyHistory, records: Iterable[str], *, is_fresh: bool = False
) -> list[SealState]:
    """Check records; return what came of it, in the order of the ledger.

    `is_fresh` takes nothing from memory: what somebody has changed since is found.

    Raises:
        UntrustedError: the ledger's checkpoint does not verify.
    """
    charter = entries.ledger.charter
    checkpoint = open_checkpoint(
        entries.ledger.checkpoint(), charter.note_key, known=charter.log_keys[1:]
    )
    where = str(entries.ledger.path)
    found = []
    for record in records:
        known = (where, checkpoint.root, checkpoint.size, record)
        state = None if is_fresh else _remembered.get(known)
        if state is None:
            state = _checked(entries, keys, record, checkpoint)
            if state.state == VERIFIED:
                _remembered[known] = state
                if len(_remembered) > _MAX_REMEMBERED:
                    _remembered.popitem(last=False)
        elif not entries.shows(state.position or 0):
            state = SealState(record=record, state=UNKNOWN, reason="there is no such record here")
        found.append(state)
    return sorted(found, key=lambda each: (each.position is None, each.position, each.record))


def _checked(entries: Entries, keys: KeyHistory, iri: str, checkpoint: Checkpoint) -> SealState:
    # 1.
    position = entries.find(iri)
    if position is None:
        return SealState(record=iri, state=UNKNOWN, reason="there is no such record here")
    try:
        # 2.
        record = entries.read(position)
        # 3.
        merkle.verify_inclusion(
            leaf=merkle.leaf_hash(record.entry),
            index=position,
            size=checkpoint.size,
            proof=entries.ledger.inclusion_proof(position, checkpoint.size),
            root=checkpoint.root,
        )
        method = record.verification_method
        if record.is_erased:
            return SealState(
                record=iri,
                state=ERASED,
                position=position,
                kind=record.kind,
                key=method.partition("#")[0],
                reason="its content was erased",
            )
        # 4.
        verified = verify_seal(record.graph_nq, record.proof_nq, record.proof_value, graph=iri)
        if verified.verification_method != method:
            raise ProvgraphError(
                f"its proof is by {verified.verification_method}, its entry says {method}"
            )
        # 5. (a history holds no key event that did not count where it stands)
        if record.kind not in KEY_EVENTS:
            key = keys.judge(method, index=position, role=SEALED_BY[record.kind])
            require_in_time(key, created=verified.created)
    except ProvgraphError as error:
        return SealState(record=iri, state=WRONG, position=position, reason=str(error))
    return SealState(
        record=iri,
        state=VERIFIED,
        position=position,
        kind=record.kind,
        key=method.partition("#")[0],
        at=verified.created,
    )
