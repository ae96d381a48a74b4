"""The stores that one run of the benchmark fills: a provgraph home and, where wanted, MLflow's."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.with_mlflow import MLflowRecorder

_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own is (POSIX stat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where things are recorded; `mlflow` is None when it is left out."""

    folder: Path
    home: Path
    mlflow: MLflowRecorder | None

    def others(self, name: str) -> Stores:
        """Make more of them, which go when these go."""
        folder = self.folder / name
        recorder = None if self.mlflow is None else MLflowRecorder(folder / "mlflow")
        return Stores(folder=folder, home=folder / "home", mlflow=recorder)


@contextlib.contextmanager
def new_stores(*, with_mlflow: bool) -> Iterator[Stores]:
    """Make empty stores in a temporary folder, and remove them at the end."""
    with tempfile.TemporaryDirectory(prefix="provgraph-bench-") as name:
        folder = Path(name)
        recorder = MLflowRecorder(folder / "mlflow") if with_mlflow else None
        yield Stores(folder=folder, home=folder / "home", mlflow=recorder)


def disk_bytes(*paths: Path) -> int:
    """Return the disk space that files and folders take, in whole blocks, as `du` counts it."""
    total = 0
    for path in paths:
        if path.is_dir():
            inside = (Path(root, name) for root, _, names in os.walk(path) for name in names)
            total += sum(each.stat().st_blocks for each in inside)
        elif path.exists():
            total += path.stat().st_blocks
    return total * _BLOCK_BYTES
