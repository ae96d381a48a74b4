"""One question, asked over and over: `python -m tests.bench.asking QUESTION REPEATS`.

A process of its own, with a memory limit and a deadline, so that a query that never ends costs the
benchmark one row and not the machine. Reads PROVGRAPH_HOME; writes wall seconds and rows as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping

from provgraph.service.asking import Reader, open_reader
from provgraph.settings import load
from tests.bench.measure import measured
from tests.bench.workload import EXPERIMENT, MODEL

MEMORY_BYTES = 4 << 30
TIMEOUT_S = 60

_MODEL, _OTHER, _DATA = f"{MODEL}:0", f"{MODEL}:1", "dataset/train"


def _canned(name: str, values: Mapping[str, str]) -> Callable[[Reader], int]:
    return lambda reader: len(reader.ask(name, values).rows)


QUESTIONS: Mapping[str, Callable[[Reader], int]] = {
    "lineage of a model, upwards": lambda reader: len(
        reader.walk(_MODEL, up=True, max_depth=None).nodes
    ),
    "lineage of a dataset that every run used, downwards": lambda reader: len(
        reader.walk(_DATA, up=False, max_depth=None).nodes
    ),
    "Q01, everything behind a model": _canned("Q01", {"model": _MODEL}),
    "Q02, its data": _canned("Q02", {"model": _MODEL}),
    "Q10, its parameters and seeds": _canned("Q10", {"run": _MODEL}),
    "Q11, its environment": _canned("Q11", {"run": _MODEL}),
    "Q12, its command": _canned("Q12", {"run": _MODEL}),
    "Q13, all attempts of an experiment": _canned("Q13", {"experiment": EXPERIMENT}),
    "Q15, its measured qualities": _canned("Q15", {"model": _MODEL}),
    "Q19, what a dataset touched": _canned("Q19", {"dataset": _DATA}),
    "Q22, two models compared": _canned("Q22", {"before": _MODEL, "after": _OTHER}),
}


def main() -> int:
    """Ask once to warm up, then as often as was asked for."""
    question, repeats = QUESTIONS[sys.argv[1]], int(sys.argv[2])
    with open_reader(load()) as reader:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        rows = question(reader)
        wall_s = [measured(lambda: question(reader)).wall_s for _ in range(repeats)]
    print(json.dumps({"wall_s": wall_s, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
