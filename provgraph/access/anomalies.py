"""What in the access trail an operator should look at: simple rules, each with its numbers.

A flag is a reason to ask, not a verdict. The same rules run while the server writes the trail and
when somebody reads it later, and give the same flags for the same rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from provgraph.access.trail import Access

MANY_DENIALS: Final = 10
DENIALS_WITHIN: Final = timedelta(minutes=5)
BULK_BYTES: Final = 100 * 1024 * 1024
BULK_WITHIN: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Something to look at: which rule, about whom, and the numbers behind it."""

    position: int  # of the row at which the rule was met
    time: str
    rule: str  # many-denials | bulk-export | new-address
    who: str
    reason: str


@dataclass(slots=True)
class _Seen:
    addresses: set[str] = field(default_factory=set)
    denials: deque[datetime] = field(default_factory=deque)
    sizes: deque[tuple[datetime, int]] = field(default_factory=deque)
    total: int = 0
    is_bulk: bool = False


class Watch:
    """Sees rows in order and raises flags; it remembers callers and addresses, not rows."""

    def __init__(self) -> None:
        self._callers: dict[str, _Seen] = {}
        self._addresses: dict[str, deque[datetime]] = {}

    def see(self, position: int, row: Access) -> list[Flag]:
        """Return the flags that a row raises."""
        found = []
        at = datetime.fromisoformat(row.time)
        if row.outcome == "refused":
            # Whoever is refused has no verified name: the address counts.
            denials = self._addresses.setdefault(row.address, deque())
            denials.append(at)
            while denials[0] < at - DENIALS_WITHIN:
                denials.popleft()
            if len(denials) == MANY_DENIALS:
                reason = f"{MANY_DENIALS} refusals within {DENIALS_WITHIN} from {row.address}"
                found.append(_flag(position, row, "many-denials", reason))
            return found
        seen = self._callers.setdefault(row.who, _Seen())
        if row.address not in seen.addresses:
            if seen.addresses:
                reason = f"first request of {row.who} from {row.address}"
                found.append(_flag(position, row, "new-address", reason))
            seen.addresses.add(row.address)
        seen.sizes.append((at, row.size_bytes))
        seen.total += row.size_bytes
        while seen.sizes[0][0] < at - BULK_WITHIN:
            seen.total -= seen.sizes.popleft()[1]
        if seen.total > BULK_BYTES and not seen.is_bulk:
            reason = f"{seen.total >> 20} MiB within {BULK_WITHIN} to {row.who}"
            found.append(_flag(position, row, "bulk-export", reason))
        seen.is_bulk = seen.total > BULK_BYTES
        return found


def flags(rows: Iterable[tuple[int, Access]]) -> Iterator[Flag]:
    """Yield the flags of a trail from its beginning."""
    watch = Watch()
    for position, row in rows:
        yield from watch.see(position, row)


def _flag(position: int, row: Access, rule: str, reason: str) -> Flag:
    return Flag(position=position, time=row.time, rule=rule, who=row.who, reason=reason)
