"""The figures of every case, as the ranker is trained on and judged by them."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

from provgraph.drift.evidence import gather
from provgraph.drift.facts import Case
from tests.bench.drift.generate import cache
from tests.bench.drift.oracle import Truth
from tests.bench.drift.scenarios import Scenario
from tests.bench.drift.store import folder, load_case


@dataclass(frozen=True, slots=True)
class Row:
    """One case: what is true, and the figures of its candidates."""

    number: int
    kind: str
    table: str
    types: tuple[str, ...]
    causes: frozenset[str]
    effect: float  # in units of noise
    p: float | None
    figures: dict[str, dict[str, float]]
    evidence: Any


def row_of(scenario: Scenario, truth: Truth, case: Case) -> Row:
    """Return the figures of a case."""
    evidence = gather(case)
    return Row(
        number=scenario.number,
        kind=scenario.kind,
        table=scenario.task.table,
        types=tuple(fault.type for fault in scenario.faults),
        causes=frozenset(fault.category for fault in scenario.faults),
        effect=truth.drop / truth.noise,
        p=evidence.drop.p,
        figures={name: dict(row) for name, row in evidence.rows.items()},
        evidence=evidence,
    )


def load_rows() -> list[Row]:
    """Return the rows of all cases that were made, kept until the engine changes."""
    made = sorted(int(path.stem) for path in folder().glob("*.pickle"))
    path = cache().parent / "rows.pickle"
    known: dict[int, Row] = {}
    if path.is_file():
        known = pickle.loads(path.read_bytes())
    for number in made:
        if number not in known:
            found = load_case(number, make=False)
            if found is not None:
                known[number] = row_of(*found)
    path.write_bytes(pickle.dumps(known))
    return [known[number] for number in sorted(known)]
