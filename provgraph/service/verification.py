"""What a verification came to: numbered steps, what is wrong, and figures; as text and as JSON.

The JSON is for programs and archives: `format` names its version, members are added and never renamed.
It is described in docs/verify.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from provgraph import __version__
from provgraph.ledger.fsck_range import Finding
from provgraph.terms import format_time

FORMAT: Final = "provgraph-verification/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that passed."""

    number: int
    text: str


Passed = Callable[[int, str], None]
"""Called with (step number, what was checked) as each step passes."""


@dataclass(slots=True, kw_only=True)
class Verification:
    """What was verified, and what came of it."""

    what: str  # ledger | bundle
    subject: str  # path
    started: datetime
    ended: datetime | None = None
    origin: str | None = None
    size: int | None = None  # entries of the ledger that it holds for
    root: bytes | None = None
    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    open_questions: list[str] = field(default_factory=list)  # what this check cannot show
    parts: dict[str, Any] = field(
        default_factory=dict
    )  # figures by part: keys, index, artifacts, …
    is_cut_short: bool = False  # it stopped at the first wrong thing

    @property
    def is_right(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.findings

    def passed(self, number: int, text: str) -> None:
        """Note a step that passed."""
        self.steps.append(Step(number=number, text=text))

    def to_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "format": FORMAT,
            "provgraph": __version__,
            "what": self.what,
            "subject": self.subject,
            "verdict": "verified" if self.is_right else "wrong",
            "stoppedAtFirst": self.is_cut_short,
            "started": format_time(self.started),
            "ended": None if self.ended is None else format_time(self.ended),
            "origin": self.origin,
            "size": self.size,
            "root": None if self.root is None else self.root.hex(),
            "steps": [{"step": each.number, "text": each.text} for each in self.steps],
            "findings": [
                {
                    "step": each.step,
                    "message": each.message,
                    "position": each.position,
                    "record": each.record,
                }
                for each in self.findings
            ],
            "open": self.open_questions,
            **self.parts,
        }
