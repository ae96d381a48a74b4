"""One written-down question, asked over and over: `python -m tests.bench.one_question HOME NAME REPEATS`.

A process of its own with a memory limit, so that a query that never ends costs one row and not the
machine. Writes CPU seconds and the number of rows as JSON.
"""

from __future__ import annotations

import json
import resource
import sys

from provgraph.query.answers import found_rows
from provgraph.query.catalogue import find
from provgraph.service.asking import open_reader
from provgraph.settings import load
from tests.bench.measure import measured
from tests.bench.questions import ASKED

MEMORY_BYTES = 6 << 30
CPU_S = 60


def main() -> int:
    """Ask once to warm up, then as often as was asked for."""
    folder, (question, values), repeats = sys.argv[1], ASKED[sys.argv[2]], int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    settings = load({"PROVGRAPH_HOME": folder, "PROVGRAPH_NAMESPACE": "acme"})
    with open_reader(settings) as reader:
        asked = reader.asked(find(question), values)
        rows = len(found_rows(asked)[1].rows)
        cpu_s = [measured(lambda: found_rows(asked)).cpu_s for _ in range(repeats)]
    print(json.dumps({"cpu_s": cpu_s, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
