"""Importing an MLflow store: runs per CPU second, and memory, beside reading it with MLflow's own client.

Each side is a process of its own. `python -m tests.bench.importing import|client STORE HOME` is that
process; it writes JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.measure import digits
from tests.bench.mlflow_store import METRICS, PARAMS, STEPS, TAGS, make_store
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores

WANTED_RUNS_PER_S = 500
FULL_RUNS = (2_000, 100_000)
QUICK_RUNS = (50, 100)
CLIENT_RUNS = 500
# The largest import may take so much more memory than the smallest one.
WANTED_GROWTH = 1.5


def run(stores: Stores, scale: Scale) -> Section:
    """Import stores of several sizes, each twice."""
    sizes = FULL_RUNS if scale.repeats > 2 else QUICK_RUNS
    rows = []
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for runs in sizes:
            store = make_store(Path(folder) / f"{runs}.db", runs=runs)
            result = _child("import", store, Path(folder) / f"home-{runs}")
            found.append(result)
            rows.append(
                (
                    f"{runs:,}",
                    f"{result['records']:,}",
                    f"{runs / result['cpu_s']:,.0f}",
                    f"{runs / result['wall_s']:,.0f}",
                    f"{runs / result['again_cpu_s']:,.0f}",
                    f"{result['peak_bytes'] / 1e6:,.0f}",
                )
            )
            store.unlink()
        client = _client(Path(folder), runs=min(CLIENT_RUNS, sizes[0]))
    rate = sizes[-1] / found[-1]["cpu_s"]
    growth = found[-1]["peak_bytes"] / found[0]["peak_bytes"]
    return Section(
        title="Importing from MLflow",
        method=(
            f"Stores in the schema of MLflow 3.17.2, as MLflow made it, their rows multiplied by SQL: runs of"
            f" {PARAMS} parameters, {METRICS} metrics, one more metric of {STEPS} steps, {TAGS} tags, a dataset"
            " and a logged model with two metrics. Each run becomes a sealed record with its rows and series"
            " attached, and its model another one. CPU time of the importing process, on one core; the"
            " second import finds nothing new. The index is built later, by whoever asks."
        ),
        tables=(
            Table(
                title="Imports from SQLite",
                head=(
                    "runs",
                    "records",
                    "runs per CPU second",
                    "runs per second",
                    "again, runs per CPU second",
                    "peak memory, MB",
                ),
                rows=tuple(rows),
            ),
        ),
        targets=(
            Target(
                what=f"importing {sizes[-1]:,} runs from SQLite",
                wanted=f"at least {WANTED_RUNS_PER_S} runs per CPU second",
                found=digits(rate),
                is_met=rate >= WANTED_RUNS_PER_S,
            ),
            Target(
                what=f"memory at {sizes[-1]:,} runs against {sizes[0]:,}",
                wanted=f"below {WANTED_GROWTH:g} times",
                found=f"{digits(growth)} times",
                is_met=growth < WANTED_GROWTH,
            ),
        ),
        notes=() if client is None else (_compared(rate, client),),
    )


def _compared(rate: float, client: float) -> str:
    return (
        f"MLflow's own client reads {digits(client)} such runs per CPU second (search_runs, and the history"
        f" of each metric): importing them takes 1/{digits(rate / client)} of the time of reading them."
    )


def _client(folder: Path, *, runs: int) -> float | None:
    try:
        import mlflow  # noqa: F401
    except ImportError:
        return None
    store = make_store(folder / "client.db", runs=runs)
    result = _child("client", store, folder / "unused")
    rate: float = runs / result["cpu_s"]
    return rate


def _child(what: str, store: Path, home: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.importing", what, str(store), str(home)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PROVGRAPH_HOME": str(home)},
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _import(store: Path) -> dict[str, Any]:
    from provgraph.service.importing import import_source
    from provgraph.settings import load

    cpu, wall = time.process_time(), time.perf_counter()
    imported = import_source(load(os.environ), str(store))
    result = {
        "records": imported.recorded,
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
    }
    cpu = time.process_time()
    again = import_source(load(os.environ), str(store))
    assert again.recorded == 0
    result["again_cpu_s"] = time.process_time() - cpu
    result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result


def _read(store: Path) -> dict[str, Any]:
    import mlflow
    from mlflow import MlflowClient

    mlflow.set_tracking_uri(f"sqlite:///{store}")
    client = MlflowClient()
    client.search_runs(["1"], max_results=1)  # the connection is made, the schema looked at
    cpu = time.process_time()
    token, points = None, 0
    while True:
        page = client.search_runs(["1"], max_results=1000, page_token=token)
        for each in page:
            for name in each.data.metrics:
                points += len(client.get_metric_history(each.info.run_id, name))
        token = page.token
        if not token:
            return {"cpu_s": time.process_time() - cpu, "points": points}


if __name__ == "__main__":
    print(json.dumps((_import if sys.argv[1] == "import" else _read)(Path(sys.argv[2]))))
