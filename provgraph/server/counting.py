"""What the server counts of its requests, for `/metrics`. One event loop; times are seconds."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


@dataclass(slots=True)
class Histogram:
    """Durations of one endpoint."""

    counts: list[int] = field(default_factory=lambda: [0] * len(BUCKETS_S))
    count: int = 0
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.count += 1
        self.sum_s += seconds
        for place, bound in enumerate(BUCKETS_S):
            if seconds <= bound:
                self.counts[place] += 1
                break


@dataclass(slots=True)
class Metrics:
    """What was counted since the start. One event loop."""

    started_s: float = field(default_factory=time.time)
    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    durations: dict[str, Histogram] = field(default_factory=dict)
    records: int = 0
    limited: int = 0
    in_flight: int = 0

    def note(self, *, path: str, method: str, status: int, seconds: float) -> None:
        """Count one request of an endpoint."""
        self.requests[path, method, status] += 1
        found = self.durations.get(path)
        if found is None:
            found = self.durations[path] = Histogram()
        found.add(seconds)
