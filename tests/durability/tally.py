"""Counts what was tried and what came of it, for one table at the end of a test run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Row:
    """One way of doing harm: how often, and what was acknowledged meanwhile."""

    cases: int = 0
    acknowledged: int = 0
    lost: int = 0


_rows: dict[str, Row] = {}


def count(what: str, *, cases: int, acknowledged: int, lost: int = 0) -> None:
    """Add to a row of the table."""
    row = _rows.setdefault(what, Row())
    row.cases += cases
    row.acknowledged += acknowledged
    row.lost += lost


def print_table(terminal: Any) -> None:
    """Write the table where pytest writes its summary."""
    if not _rows:
        return
    terminal.section("what was done to it, and what was lost")
    width = max(map(len, _rows))
    terminal.line(f"{'':{width}} {'cases':>9} {'acknowledged':>13} {'lost, partial or forked':>24}")
    total = Row()
    for what, row in _rows.items():
        terminal.line(f"{what:{width}} {row.cases:>9,} {row.acknowledged:>13,} {row.lost:>24,}")
        if not what.startswith("control"):
            total.cases += row.cases
            total.acknowledged += row.acknowledged
            total.lost += row.lost
    line = f"{total.cases:>9,} {total.acknowledged:>13,} {total.lost:>24,}"
    terminal.line(f"{'in all, without controls':{width}} {line}")
