"""The benchmarks run: every subject, in quick form, without MLflow. No figure is judged here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

SECTIONS = [
    "## Targets",
    "## Recording",
    "## Where the time goes",
    "## Sealing",
    "## Many producers at once",
    "## Disk",
    "## Index and questions",
    "## Lineage",
    "## Written-down questions",
    "## Export and verify",
    "## Checking a ledger",
    "## Where checking takes its time",
    "## Start and install",
    "## Serving",
    "## Column profiles",
    "## Gates",
    "## Importing from MLflow",
]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks as `make bench` does, with warnings as errors and capture strict."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.bench", *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"PROVGRAPH_STRICT": "on"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_quick_form_reports_on_every_subject_and_leaves_the_document_alone() -> None:
    document = REPOSITORY / "docs" / "benchmarks.md"
    done = bench("--quick", "--no-mlflow")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("## ")] == SECTIONS
    assert "figures mean nothing" in done.stdout
    # Every question got its answer: none ran into the limits of its process.
    assert "no answer" not in done.stdout
    kept = document.read_text("utf-8") if document.exists() else ""
    assert "figures mean nothing" not in kept


def test_an_unknown_subject_is_refused() -> None:
    done = bench("--only", "speed")
    assert done.returncode == 2
    assert "invalid choice: 'speed'" in done.stderr
