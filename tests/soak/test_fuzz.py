"""Coverage-guided fuzzing of every parser of a stranger's bytes, some seconds each."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import parsers
import pytest

HERE = Path(__file__).resolve().parent
SECONDS = 10


@pytest.mark.parametrize("name", sorted(parsers.PARSERS))
def test_nothing_falls_out(name: str, scale: float, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: pip install -e '.[fuzz]'")
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz.py"), name, f"-max_total_time={int(SECONDS * scale)}"],
        cwd=tmp_path,
        env={**os.environ, "PROVGRAPH_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, [path.name for path in tmp_path.glob("*-*")]) == (0, []), done.stderr[
        -4000:
    ]
    assert "stat::number_of_executed_units" in done.stderr or "Done " in done.stderr
