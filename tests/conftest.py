"""A home of its own for each test that records, with nothing of the caller's surroundings in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from forge import Forge
from small_history import record_history

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


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """A true bundle of a small history, and its keys."""
    home = tmp_path_factory.mktemp("bundle") / "home"
    before = dict(os.environ)
    os.environ["PROVGRAPH_HOME"] = str(home)
    try:
        record_history()
        made = Forge(home)
    finally:
        close_ledger()
        os.environ.clear()
        os.environ.update(before)
    yield made
    close_ledger()
