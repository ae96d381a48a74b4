"""The real MLflow, which has a home of its own: it holds back versions of what everything else needs.

`make bench` makes .venv-bench with it; PROVGRAPH_MLFLOW_PYTHON names another interpreter that has it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("PROVGRAPH_MLFLOW_PYTHON", CHECKOUT / ".venv-bench/bin/python"))
START_S = 180

needs_mlflow = pytest.mark.skipif(
    not PYTHON.exists(),
    reason=f"no MLflow: {PYTHON} is not there; `make bench` installs it, or set PROVGRAPH_MLFLOW_PYTHON",
)


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a process with MLflow and this checkout gets."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    own = {"PYTHONPATH": str(CHECKOUT), "PROVGRAPH_HOME": str(home), "DO_NOT_TRACK": "true"}
    return {**kept, **own, "MLFLOW_DISABLE_TELEMETRY": "true", **more}


@contextlib.contextmanager
def serving(store: Path) -> Iterator[str]:
    """Run MLflow's server over a store; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = store.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(str(PYTHON), "-m", "mlflow", "server", "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{store}", "--port", str(port)),
            ],
            env=environment(store.parent / "unused"),
            cwd=store.parent,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, log.read_text("utf-8")[-2000:]
                assert time.monotonic() < until, "MLflow's server did not start"
                time.sleep(0.3)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
