"""The report of an import: what was mapped, what kept only as it came, what refused, and where.

Counts are exact. Places are kept for the first of each kind, so that a source with a million faults gives
a report that can be read, and memory stays flat.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

MAPPED: Final = "mapped"
KEPT: Final = "kept"
REFUSED: Final = "refused"
WAITING: Final = "waiting"
UNCHANGED: Final = "unchanged"
OUTCOMES: Final = (MAPPED, KEPT, REFUSED, WAITING, UNCHANGED)

# Lines with different reasons, and places of each.
MAX_LINES: Final = 1000
MAX_PLACES: Final = 5
_MAX_TEXT: Final = 500


@dataclass(slots=True)
class Line:
    """Things of one kind that had the same outcome for the same reason."""

    outcome: str
    what: str
    reason: str
    count: int = 0
    places: list[str] = field(default_factory=list)


class Report:
    """What became of the things of a source."""

    def __init__(self) -> None:
        """Begin an empty report."""
        self.counts: Counter[tuple[str, str]] = Counter()  # (outcome, what)
        self.notes: list[str] = []
        self._lines: dict[tuple[str, str, str], Line] = {}

    def mapped(self, what: str, count: int = 1) -> None:
        """Things that became facts of records."""
        if count:
            self.counts[MAPPED, what] += count

    def kept(self, what: str, *, where: str, reason: str) -> None:
        """A thing that is only in the source bytes."""
        self._line(KEPT, what, where, reason)

    def refused(self, what: str, *, where: str, reason: str) -> None:
        """A thing that could not be taken in at all."""
        self._line(REFUSED, what, where, reason)

    def waiting(self, what: str, *, where: str, reason: str) -> None:
        """A thing that is not finished; a later import takes it in."""
        self._line(WAITING, what, where, reason)

    def unchanged(self, what: str) -> None:
        """A unit that was recorded before."""
        self.counts[UNCHANGED, what] += 1

    def note(self, text: str) -> None:
        """Say something of the source as a whole, once."""
        if text not in self.notes and len(self.notes) < MAX_LINES:
            self.notes.append(text[:_MAX_TEXT])

    @property
    def lines(self) -> list[Line]:
        """What was kept, refused or waits, in the order in which it was found."""
        return list(self._lines.values())

    def total(self, outcome: str) -> int:
        """Return how many things had an outcome."""
        return sum(count for (each, _), count in self.counts.items() if each == outcome)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "notes": self.notes,
            "counts": {
                outcome: {
                    what: count
                    for (each, what), count in sorted(self.counts.items())
                    if each == outcome
                }
                for outcome in OUTCOMES
            },
            "lines": [
                {
                    "outcome": line.outcome,
                    "what": line.what,
                    "reason": line.reason,
                    "count": line.count,
                    "places": line.places,
                }
                for line in self.lines
            ],
        }

    def _line(self, outcome: str, what: str, where: str, reason: str) -> None:
        self.counts[outcome, what] += 1
        key = outcome, what, reason[:_MAX_TEXT]
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= MAX_LINES:
                key = outcome, what, "other reasons: too many to list them"
            line = self._lines.setdefault(key, Line(*key))
        line.count += 1
        if len(line.places) < MAX_PLACES:
            line.places.append(where[:_MAX_TEXT])
