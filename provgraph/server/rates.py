"""How often one caller may ask: a token bucket for each. Times are seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# Callers that are remembered; beyond it those whose buckets are full are forgotten: they lose nothing.
_MAX_CALLERS: Final = 10_000


class Rates:
    """Buckets that hold `burst` requests and fill at `per_s`. One event loop."""

    def __init__(
        self, *, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # caller -> (requests left, when)
        self._crowded: tuple[float, float] = (burst, clock())

    def take(self, who: str) -> float:
        """Take one request out of a caller's bucket; return 0, or the seconds until there is one."""
        now_s = self._clock()
        if who not in self._buckets and len(self._buckets) >= _MAX_CALLERS:
            self._forget(now_s)
            if len(self._buckets) >= _MAX_CALLERS:
                # So many at once are no callers that one could tell apart: they share a bucket.
                self._crowded, wait_s = self._taken(self._crowded, now_s)
                return wait_s
        self._buckets[who], wait_s = self._taken(
            self._buckets.get(who, (self._burst, now_s)), now_s
        )
        return wait_s

    def _taken(
        self, bucket: tuple[float, float], now_s: float
    ) -> tuple[tuple[float, float], float]:
        left, at_s = bucket
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        if left >= 1:
            return (left - 1, now_s), 0.0
        return (left, now_s), (1 - left) / self._per_s

    def _forget(self, now_s: float) -> None:
        full_s = self._burst / self._per_s
        self._buckets = {
            who: (left, at_s)
            for who, (left, at_s) in self._buckets.items()
            if left + (now_s - at_s) * self._per_s < self._burst and now_s - at_s < full_s
        }
