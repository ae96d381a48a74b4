"""What comes before the first run: importing, installing, and what the first run of a process pays."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

from provgraph import resources
from tests.bench import import_cost
from tests.bench.measure import Spread, digits, spread
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores

WANTED_CPU_MS = 50
WANTED_INSTALL_BYTES = 100_000_000
HEAVY = ("fastapi", "mlflow", "numpy", "pandas", "pydantic", "pyld", "rdflib")

_FIRST_RUN = """
import json, sys, time
start_s = time.process_time()
import provgraph
with provgraph.run("first", project="churn", owner="ada@example.org") as run:
    run.log_params(depth=6)
assert run.receipt is not None
first_s = time.process_time() - start_s
print(json.dumps([first_s, sorted(set(sys.argv[1:]) & set(sys.modules))]))
"""


def run(stores: Stores, scale: Scale) -> Section:
    """Measure fresh interpreters, and weigh what the base install puts on the disk."""
    costs = import_cost.main()
    firsts, heavy = _first_runs(stores, scale)
    sizes = install_bytes()
    total = sum(sizes.values())
    cost_ms = costs["import_run_cpu_ms"]
    return Section(
        title="Start and install",
        method=_METHOD.format(pairs=import_cost.PAIRS, repeats=scale.repeats),
        tables=(
            Table(
                title="CPU time of a fresh interpreter, beyond a bare one",
                head=("", "CPU ms"),
                rows=(
                    ("`import provgraph`", digits(costs["import_cpu_ms"])),
                    ("`import provgraph; provgraph.run`", digits(cost_ms)),
                    (
                        "of which standard library that most scripts load anyway",
                        digits(costs["standard_library_cpu_ms"]),
                    ),
                    (
                        "import, and a whole first run, sealed; keys and ledger made by the first",
                        firsts.text(scale=1000),
                    ),
                ),
            ),
            Table(
                title="Base install",
                head=("distribution", "MB"),
                rows=(
                    *(
                        (name, digits(size / 1e6))
                        for name, size in sorted(sizes.items(), key=lambda each: -each[1])
                    ),
                    ("all", digits(total / 1e6)),
                ),
            ),
        ),
        targets=(
            Target(
                what="`import provgraph` and reaching `provgraph.run`",
                wanted=f"at most {WANTED_CPU_MS} ms of CPU",
                found=f"{digits(cost_ms)} ms",
                is_met=cost_ms <= WANTED_CPU_MS,
            ),
            Target(
                what="Heavy modules loaded after a whole run",
                wanted=f"none of {', '.join(HEAVY)}",
                found=", ".join(heavy) or "none",
                is_met=not heavy,
            ),
            Target(
                what="Base install",
                wanted="under 100 MB",
                found=f"{digits(total / 1e6)} MB",
                is_met=total < WANTED_INSTALL_BYTES,
            ),
        ),
    )


def install_bytes() -> dict[str, int]:
    """Return what each distribution of the base install, without extras, takes on the disk."""
    package = Path(resources.__file__).parent
    folders = [package, *(resources.folder(name) for name in resources.FOLDERS)]
    sizes = {
        "provgraph": sum(
            path.stat().st_size
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )
    }
    wanted = _requirements("provgraph")
    while wanted:
        name = wanted.pop()
        if name not in sizes:
            files = importlib.metadata.files(name) or []
            sizes[name] = sum(
                path.stat().st_size for f in files if (path := Path(f.locate())).exists()
            )
            wanted += _requirements(name)
    return sizes


def _requirements(distribution: str) -> list[str]:
    """Return the names that a distribution needs here, without extras."""
    parsed = map(Requirement, importlib.metadata.requires(distribution) or [])
    return [
        each.name.lower()
        for each in parsed
        if each.marker is None or each.marker.evaluate({"extra": ""})
    ]


def _first_runs(stores: Stores, scale: Scale) -> tuple[Spread, list[str]]:
    """Return the CPU seconds of whole first runs in fresh interpreters, and heavy modules found."""
    seconds, heavy = [], set()
    environ = {**os.environ, "PROVGRAPH_HOME": str(stores.folder / "first")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for _ in range(scale.repeats):
        done = subprocess.run(
            [sys.executable, "-c", _FIRST_RUN, *HEAVY],
            env=environ,
            cwd=stores.folder,
            check=True,
            capture_output=True,
        )
        took_s, loaded = json.loads(done.stdout)
        seconds.append(took_s)
        heavy.update(loaded)
    return spread(seconds), sorted(heavy)


_METHOD = """\
Each cost is the median over {pairs} pairs of fresh interpreters, one bare and one that imports. The
first run is repeated {repeats} times. The install is the closure of the base requirements as
installed here, by the file lists of the distributions, byte code that pip made included."""
