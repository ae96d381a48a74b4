"""Homes for the tests of asking, exporting and verifying: one whole story, told once a session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from story import Home, home_at, tell

from provgraph.service.asking import Reader, open_reader
from provgraph.service.home import close_ledger


@pytest.fixture(scope="session")
def story_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story") / "home"
    tell(home_at(folder))
    return folder
