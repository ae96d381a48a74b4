"""Column profiles: what one of a million rows costs, beside what `describe` of pandas does.

Each measurement is a process of its own, so that its peak memory is that of profiling alone.
`python -m tests.bench.profiles ROWS` is that process; it writes JSON.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.measure import Spread, digits, measured, spread
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores

FULL_ROWS = 1_000_000
QUICK_ROWS = 20_000
WANTED_S = 3.0
WANTED_BYTES = 500_000_000
WANTED_PROFILE_BYTES = 40_000


def run(_stores: Stores, scale: Scale) -> Section:
    """Profile a table of 20 columns of all kinds, several times."""
    is_full = scale.repeats > 2
    rows = FULL_ROWS if is_full else QUICK_ROWS
    found = [_child(rows) for _ in range(5 if is_full else 1)]
    cpu, wall, describe = (_spread(found, name) for name in ("cpu_s", "wall_s", "describe_cpu_s"))
    memory, size = _spread(found, "memory_bytes"), found[0]["profile_bytes"]
    wide = found[0]["wide_bytes"]
    return Section(
        title="Column profiles",
        method=(
            f"A pandas table of {rows:,} rows and 20 columns (8 of floats, one with gaps, 4 of integers,"
            " 5 of text, one of them with 100,000 values and one an identifier, times, booleans and a"
            f" label), profiled {len(found)} times, each in a process of its own. Memory is the peak"
            " beyond that of the process with the table in it."
        ),
        tables=(
            Table(
                title="One profile",
                head=("", "median [low..high]"),
                rows=(
                    ("CPU seconds", cpu.text()),
                    ("wall seconds", wall.text()),
                    ("CPU seconds of `describe(include='all')` of pandas", describe.text()),
                    ("memory, MB", memory.text(scale=1e-6)),
                    ("profile, bytes", f"{size:,}"),
                    ("profile of 10,000 columns, bytes", f"{wide:,}"),
                ),
            ),
        ),
        targets=(
            Target(
                what="CPU time of a profile of 1,000,000 rows by 20 columns",
                wanted=f"below {WANTED_S:g} s",
                found=f"{digits(cpu.median)} s",
                is_met=cpu.median < WANTED_S,
            ),
            Target(
                what="memory of a profile of 1,000,000 rows by 20 columns",
                wanted="below 500 MB",
                found=f"{digits(memory.median / 1e6)} MB",
                is_met=memory.high < WANTED_BYTES,
            ),
            Target(
                what="size of a profile, 20 and 10,000 columns",
                wanted="below 40 KB",
                found=f"{size:,} and {wide:,} bytes",
                is_met=max(size, wide) <= WANTED_PROFILE_BYTES,
            ),
        ),
    )


def _spread(found: list[dict[str, Any]], name: str) -> Spread:
    return spread([each[name] for each in found])


def _child(rows: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.profiles", str(rows)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def table(rows: int) -> Any:
    """Return the table that is profiled."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"float_{place}": rng.normal(size=rows) for place in range(8)}
    columns |= {f"integer_{place}": rng.integers(0, 1_000, rows) for place in range(4)}
    colours = np.array(["red", "green", "blue", "a longer one"])
    columns |= {f"class_{place}": colours[rng.integers(0, 4, rows)] for place in range(3)}
    columns["city"] = np.char.add("city ", rng.integers(0, 100_000, rows).astype(str))
    columns["serial"] = np.char.add("S-", rng.permutation(rows).astype(str))
    seconds = rng.integers(0, 10**7, rows).astype("m8[s]")
    columns["seen_at"] = np.datetime64("2024-01-01", "s") + seconds
    columns["active"] = rng.random(rows) < 0.3
    columns["target"] = rng.integers(0, 2, rows)
    frame = pd.DataFrame(columns)
    frame.loc[::7, "float_1"] = np.nan
    return frame


def _peak_bytes() -> int:
    """Return the largest resident size since it was reset (Linux)."""
    (line,) = [
        line
        for line in Path("/proc/self/status").read_text("ascii").splitlines()
        if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024


def main() -> int:
    """Profile once and say what it took."""
    import numpy as np

    from provgraph.capture.profiled import profile_bytes
    from provgraph.capture.profiling.limits import Limits

    limits = Limits(seconds=1e9)
    frame = table(int(sys.argv[1]))
    profile_bytes(frame.head(100), limits=limits)  # what is loaded once is not the profile's
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # forget the peak of making the table
    before = _peak_bytes()
    result: list[bytes | None] = []
    sample = measured(lambda: result.append(profile_bytes(frame, limits=limits)))
    after = _peak_bytes()
    describe = measured(lambda: frame.describe(include="all"))
    wide = profile_bytes(np.random.default_rng(0).normal(size=(100, 10_000)), limits=limits)
    profile = result[0]
    if profile is None or wide is None:
        raise SystemExit("a table has no profile")
    found = {
        "cpu_s": sample.cpu_s,
        "wall_s": sample.wall_s,
        "describe_cpu_s": describe.cpu_s,
        "memory_bytes": after - before,
        "profile_bytes": len(profile),
        "wide_bytes": len(wide),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
