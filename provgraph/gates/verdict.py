"""What comes of a gate: a finding for each requirement, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from provgraph.digests import Digest
from provgraph.query.promotion import Unanswered

MET: Final = "met"
WAIVED: Final = "waived"
FAILED: Final = "failed"
MISSING: Final = "missing"
UNKNOWN: Final = "unknown"

PASSED: Final = "passed"

MAX_REASONS: Final = 20
"""Reasons of one requirement beyond this many are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a check found; `reasons` say why it is not met, or by what it is."""

    state: str
    reasons: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One requirement, judged."""

    requirement: str
    title: str
    source: str
    severity: str
    state: str  # met | waived | failed | missing | unknown
    reasons: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    waiver: str | None = None

    @property
    def blocks(self) -> bool:
        """Whether it fails the gate."""
        return self.severity == "error" and self.state not in {MET, WAIVED}

    @property
    def reason(self) -> str:
        """Its reasons as one line."""
        more = len(self.reasons) - MAX_REASONS
        said = "; ".join(self.reasons[:MAX_REASONS])
        return f"{said}; and {more} more" if more > 0 else said


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverStanding:
    """A waiver of the model, and whether it counts here."""

    waiver: str
    requirement: str
    by: str
    reason: str
    at: str
    expires: str
    is_honoured: bool
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate says of a model, for a stage, as of a size of the ledger."""

    asked: str
    """What the asker called the model."""
    model: str | None
    profile: str
    profile_version: str
    profile_digest: Digest
    stage: str | None
    findings: tuple[Finding, ...]
    unanswered: tuple[Unanswered, ...]
    waivers: tuple[WaiverStanding, ...]
    ledger_size: int | None
    at: datetime

    @property
    def verdict(self) -> str:
        """Return passed, waived (it would fail without its waivers) or failed."""
        if any(each.blocks for each in self.findings) or not self.findings:
            return FAILED
        is_waived = any(each.state == WAIVED and each.severity == "error" for each in self.findings)
        return WAIVED if is_waived else PASSED

    @property
    def passes(self) -> bool:
        """Whether the model may go on."""
        return self.verdict != FAILED

    @property
    def failures(self) -> Sequence[Finding]:
        """The findings that fail it."""
        return [each for each in self.findings if each.blocks]
