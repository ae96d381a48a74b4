"""How much memory a lineage index takes: `python -m tests.bench.resident FOLDER`.

A process of its own. It opens the index, asks for the planted impact, and touches every page of the
arrays; then it writes as JSON by how many bytes its resident memory grew, and how many edges there are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from provgraph.query.lineage_graph import open_lineage
from tests.bench.organisation import SOURCE


def main() -> int:
    """Open, ask, touch, and say what it took."""
    before = _resident_bytes()
    with open_lineage(Path(sys.argv[1])) as graph:
        graph.downstream([SOURCE], show=("label", "owner", "licence"))
        arrays = next(Path(sys.argv[1]).glob("arrays-*.bin"))
        for view in graph.steps._views:  # type: ignore[attr-defined]
            sum(view[::1024])
        grown = _resident_bytes() - before
        print(
            json.dumps(
                {
                    "bytes": grown,
                    "edges": graph.file.walked_count(),
                    "file_bytes": arrays.stat().st_size,
                }
            )
        )
    return 0


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS in /proc/self/status")


if __name__ == "__main__":
    sys.exit(main())
