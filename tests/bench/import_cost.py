"""CPU time of `import provgraph`, and of reaching `provgraph.run`, beyond a bare interpreter.

Run as `python -m tests.bench.import_cost`. Each pair of subprocesses is measured back to back, so
that a drift of the machine's speed touches both; the median of the differences is reported.
`standard_library` is what the standard modules alone cost that reaching `provgraph.run` needs: most
training scripts have loaded them already, through numpy or torch. Unit: CPU milliseconds.
"""

import json
import os
import statistics
import sys
from typing import Final

PAIRS: Final = 20

CASES: Final = {
    "import_cpu_ms": "import provgraph",
    "import_run_cpu_ms": "from provgraph import run",
    "standard_library_cpu_ms": (
        "import contextlib, contextvars, dataclasses, datetime, decimal, fcntl, functools, hashlib,"
        " importlib, json, logging, pathlib, re, struct, threading, typing, urllib.parse, weakref"
    ),
}


def main() -> dict[str, float]:
    """Measure each case and return its median cost beyond the bare interpreter."""
    for code in CASES.values():
        _cpu_ms(code)  # writes the byte code, which the first import alone would pay for
    return {
        name: round(statistics.median(_cpu_ms(code) - _cpu_ms("pass") for _ in range(PAIRS)), 1)
        for name, code in CASES.items()
    }


def _cpu_ms(code: str) -> float:
    """Return the CPU time, user and system, of one fresh interpreter."""
    # Byte code must be allowed, or every interpreter would compile what it imports.
    environ = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], environ)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise RuntimeError(f"`{code}` ended with status {status}")
    return 1000 * (usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    print(json.dumps(main()))
