from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_homes import record
from small_history import record_history

from provgraph.capture.journal import fallback_folder
from provgraph.seal import encrypting
from provgraph.service.home import close_ledger


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small history, with a record that is there to be erased."""
    folder = tmp_path_factory.mktemp("made") / "home"
    before = dict(os.environ)
    os.environ["PROVGRAPH_HOME"] = str(folder)
    try:
        record_history()
        record("screening", person="Zacharias Quendelmayr")
    finally:
        close_ledger()
        os.environ.clear()
        os.environ.update(before)
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own with that history, in force."""
    folder = tmp_path / "home"
    for name in os.environ:
        if name.startswith("PROVGRAPH_"):
            monkeypatch.delenv(name)
    shutil.copytree(made, folder)
    monkeypatch.setenv("PROVGRAPH_HOME", str(folder))
    yield folder
    close_ledger()
    shutil.rmtree(fallback_folder(folder / "journal"), ignore_errors=True)


@pytest.fixture(autouse=True)
def quick_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make keys of passphrases in a millisecond; what is read back says how they were made."""
    monkeypatch.setattr(encrypting, "_LOG_N", 10)
