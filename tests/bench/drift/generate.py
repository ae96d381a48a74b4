"""Measure cases and keep what was measured: `python -m tests.bench.drift.generate FROM TO STEP`.

One JSON file per case under `PROVGRAPH_DRIFT_CACHE` (default: the system's temporary folder), so
that a run that was stopped goes on where it stood.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.bench.drift.oracle import Truth, measure
from tests.bench.drift.scenarios import Scenario, draw_scenario

GENERATION: Final = 3
"""Raised when a number would draw another case: what was measured before does not hold for it."""


def cache() -> Path:
    """Return the folder of what was measured."""
    root = os.environ.get("PROVGRAPH_DRIFT_CACHE") or Path(tempfile.gettempdir()) / "drift-cache"
    folder = Path(root) / f"truth-{GENERATION}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def truth_of(number: int) -> tuple[Scenario, Truth] | None:
    """Return a case with its truth, measured now or before; None where nothing was drawn."""
    scenario = draw_scenario(number)
    if scenario is None:
        return None
    path = cache() / f"{number:06d}.json"
    if path.is_file():
        data = json.loads(path.read_text())
        data["alone"] = tuple(data["alone"])
        return scenario, Truth(**data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = measure(scenario)
    path.write_text(json.dumps(asdict(truth)))
    return scenario, truth


def main(arguments: list[str]) -> None:
    """Measure a range of cases."""
    first, last, step = (int(word) for word in arguments)
    for number in range(first, last, step):
        truth_of(number)


if __name__ == "__main__":
    main(sys.argv[1:])
