"""`python -m tests.bench`: run all benchmarks and write docs/benchmarks.md.

`--quick` does just enough to see that everything runs, and its figures mean nothing; `--only` picks
subjects; `--no-mlflow` leaves the comparison out. Only a full run replaces docs/benchmarks.md;
everything else is printed, and `--update` puts whole sections of `--only` into it, with their targets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    checking,
    disk,
    export_verify,
    gates,
    group_commit,
    importing,
    index,
    lineage,
    parts,
    profiles,
    questions,
    recording,
    report,
    sealing,
    serving,
    starting,
    verifying,
)
from tests.bench.results import FULL, QUICK, Scale, Section
from tests.bench.stores import Stores, new_stores

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"

# In this order: recording fills the stores that the later ones look at.
SUBJECTS: dict[str, Callable[[Stores, Scale], Section]] = {
    "recording": recording.run,
    "parts": parts.run,
    "sealing": sealing.run,
    "group_commit": group_commit.run,
    "disk": disk.run,
    "index": index.run,
    "lineage": lineage.run,
    "questions": questions.run,
    "export_verify": export_verify.run,
    "verifying": verifying.run,
    "checking": checking.run,
    "starting": starting.run,
    "serving": serving.run,
    "profiles": profiles.run,
    "gates": gates.run,
    "import": importing.run,
}

# What looks at the stores that recording fills, and what compares with MLflow.
_OF_STORES = frozenset({"parts", "disk", "index", "export_verify", "starting"})
_WITH_MLFLOW = frozenset({"recording", "disk", "serving", "import"})


def main() -> int:
    """Run the benchmarks that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--no-mlflow", action="store_true", help="leave MLflow out")
    parser.add_argument("--only", choices=SUBJECTS, action="append", help="repeatable")
    parser.add_argument(
        "--update", action="store_true", help="put the sections of --only into the document, too"
    )
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    wanted = arguments.only or list(SUBJECTS)
    sections = []
    with new_stores(with_mlflow=not arguments.no_mlflow) as stores:
        for name, subject in SUBJECTS.items():
            if name in wanted or (name == "recording" and _OF_STORES & {*wanted}):
                print(f"{name} …", file=sys.stderr, flush=True)
                section = subject(stores, scale)
                if name in wanted:
                    sections.append(section)
    text = report.render(sections, scale=scale)
    if scale is FULL and not arguments.only and not arguments.no_mlflow:
        DOCUMENT.parent.mkdir(exist_ok=True)
        before = DOCUMENT.read_text("utf-8") if DOCUMENT.exists() else ""
        DOCUMENT.write_text(report.with_others(text, before), "utf-8")
        print(f"wrote {DOCUMENT}", file=sys.stderr)
    else:
        print(text)
        is_complete = not (arguments.no_mlflow and _WITH_MLFLOW & {*wanted})
        if arguments.update and scale is FULL and is_complete:
            DOCUMENT.write_text(report.updated(DOCUMENT.read_text("utf-8"), sections), "utf-8")
            print(f"updated {DOCUMENT}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
