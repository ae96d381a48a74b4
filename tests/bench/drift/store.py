"""Cases kept on disk beside their truth, so that what reads them can be changed and run again fast."""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Final

from provgraph.drift.facts import Case
from tests.bench.drift.cases import case_of
from tests.bench.drift.generate import cache, truth_of
from tests.bench.drift.oracle import Truth
from tests.bench.drift.scenarios import Scenario

PROFILES: Final = 3
"""Raised when the same scenario would give other facts."""


def folder() -> Path:
    """Return the folder of the cases."""
    path = cache().parent / f"cases-{PROFILES}"
    path.mkdir(exist_ok=True)
    return path


def load_case(number: int, *, make: bool = True) -> tuple[Scenario, Truth, Case] | None:
    """Return a case that the oracle kept, made now or before."""
    known = cache() / f"{number:06d}.json"
    if not make and not known.is_file():
        return None
    found = truth_of(number)
    if found is None or not found[1].is_kept:
        return None
    path = folder() / f"{number:06d}.pickle"
    if path.is_file():
        return *found, pickle.loads(path.read_bytes())
    if not make:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = case_of(found[0])
    path.write_bytes(pickle.dumps(case, protocol=5))
    return *found, case


def main(arguments: list[str]) -> None:
    """Make the cases of what was measured, those of one group after another."""
    first, last, share, of = (int(word) for word in arguments)
    measured = [n for n in range(first, last) if (cache() / f"{n:06d}.json").is_file()]
    found = [(truth_of(n), n) for n in measured]
    groups: dict[tuple[str, str, bool, bool], list[int]] = {}
    for truth, number in found:
        if truth is not None and truth[1].is_kept:
            groups.setdefault(truth[0].group, []).append(number)
    for group in sorted(groups)[share::of]:
        for number in groups[group]:
            load_case(number)


if __name__ == "__main__":
    main(sys.argv[1:])
