"""A home of its own for each test that records, with nothing of the caller's surroundings in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from provgraph.capture.journal import fallback_folder
from provgraph.service.home import close_ledger


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home; faults of capture are raised, as always under pytest."""
    folder = tmp_path / "home"
    for name in os.environ:
        if name.startswith("PROVGRAPH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PROVGRAPH_HOME", str(folder))
    yield folder
    close_ledger()
    shutil.rmtree(fallback_folder(folder / "journal"), ignore_errors=True)


@pytest.fixture
def careful_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home in which capture behaves as it does for users: it never raises."""
    monkeypatch.setenv("PROVGRAPH_STRICT", "off")
    return home
