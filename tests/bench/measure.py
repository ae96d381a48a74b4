"""Measuring: wall and CPU time of blocks of work, interleaved, with median and spread.

Machines drift and are shared, so nothing is compared across runs of the benchmark: whatever is
compared runs in turns (A B A B) within one process, and what is reported is a median with the
smallest and largest block, and a ratio of medians.

Units: seconds; CPU time is user and system time of this process with all its threads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one block of work took."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median, smallest and largest of several measurements of one thing."""

    median: float
    low: float
    high: float

    def text(self, *, scale: float = 1.0) -> str:
        """Write `median [low..high]`, each times `scale`, with three significant digits."""
        return (
            f"{digits(self.median * scale)}"
            f" [{digits(self.low * scale)}..{digits(self.high * scale)}]"
        )


def measured(work: Callable[[], object]) -> Sample:
    """Run a block of work and return what it took."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    work()
    wall_s = time.perf_counter() - wall_s
    return Sample(wall_s=wall_s, cpu_s=time.process_time() - cpu_s)


def interleaved(
    blocks: int, works: Mapping[str, Callable[[int], object]]
) -> dict[str, list[Sample]]:
    """Run every work in turn, `blocks` times over, each called with the number of the block."""
    samples: dict[str, list[Sample]] = {name: [] for name in works}
    for block in range(blocks):
        for name, work in works.items():
            samples[name].append(measured(lambda work=work, block=block: work(block)))
    return samples


def spread(values: Sequence[float]) -> Spread:
    """Summarise several measurements."""
    return Spread(median=statistics.median(values), low=min(values), high=max(values))


def wall(samples: Sequence[Sample], *, per: int = 1) -> Spread:
    """Summarise wall time, divided by the number of things that a block did."""
    return spread([sample.wall_s / per for sample in samples])


def cpu(samples: Sequence[Sample], *, per: int = 1) -> Spread:
    """Summarise CPU time, divided by the number of things that a block did."""
    return spread([sample.cpu_s / per for sample in samples])


def digits(value: float) -> str:
    """Write a number with three significant digits and without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
