"""What may be recorded of drift: a verdict with its candidates, and the event that opens by itself.

A verdict is an entity: what an engine of a version said of two ends at one size of the ledger. All of
it, evidence included, is an attachment; the graph holds what is asked for. Nothing here does I/O.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from provgraph.digests import Digest
from provgraph.frozen import dataclass
from provgraph.records import Agent, Missing

VERDICT_OUTCOMES: Final = ("NO_DRIFT", "ORIGIN", "INSUFFICIENT_EVIDENCE", "UNRECORDED_FACTOR")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCandidate:
    """One category that may be the origin, with its scores."""

    rank: int  # from 1
    category: str
    status: str  # hypothesis | verified
    confidence: float
    ranker_share: float
    rule_share: float
    recovered: float | None = None  # share of the drop that came back in a replay
    subjects: tuple[str, ...] = ()  # IRIs of entities
    factor: str | None = None  # path of the slot


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftVerdict:
    """Where a drop began, or that there is none, or that it cannot be told."""

    id: str
    outcome: str  # of VERDICT_OUTCOMES
    summary: str
    before: str  # IRI of the run or observation
    after: str
    metric: str | None = None
    usual: float | None = None
    value: float | None = None
    z: float | None = None
    candidates: tuple[DriftCandidate, ...] = ()
    replays: tuple[str, ...] = ()  # IRIs of runs
    details: Digest  # of an attachment: evidence, what was cleared, what to do next
    ledger_size: int
    root_hash: str  # sha256:<hex>
    engine: str
    by: Agent
    at: datetime
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftEvent:
    """An observation crossed its threshold: a drift is open until somebody responds."""

    id: str
    observation: str  # IRI
    metric: str
    value: float
    threshold: str
    at: datetime
    missing: tuple[Missing, ...] = ()
