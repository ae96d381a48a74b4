"""A server over a home that tells the small history, for all tests that only read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_process import RunningServer, serving


@pytest.fixture(scope="session")
def served_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("served") / "home"
    record = "from small_history import record_history; record_history()"
    subprocess.run(
        [sys.executable, "-c", record],
        check=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PROVGRAPH_HOME": str(home)},
    )
    return home


@pytest.fixture(scope="session")
def server(served_home: Path) -> Iterator[RunningServer]:
    with serving(served_home, query_timeout_s="3") as running:
        yield running
