"""What profiling may cost and show: the settings, as the code that profiles takes them."""

from __future__ import annotations

from provgraph.frozen import dataclass
from provgraph.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The budget of one profile."""

    rows: int = 1_000_000
    """A table with more is looked at in every second, third, n-th row."""
    seconds: float = 10.0
    """After which the columns that are left are left out."""
    lists_values: bool = True
    """Whether frequent values are listed at all."""
    joint_rows: int = 50_000
    """On how many rows, chosen by their content, labels and associations are looked at."""


def limits_of(settings: Settings) -> Limits | None:
    """Return the budget that settings give, None where they say that nothing is profiled."""
    if not settings.profile:
        return None
    return Limits(
        rows=settings.profile_rows,
        seconds=settings.profile_s,
        lists_values=settings.profile_values,
    )
