"""Homes for the tests of asking, exporting and verifying: one whole story, told once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from story import home_at, tell


@pytest.fixture(scope="session")
def story_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story") / "home"
    tell(home_at(folder))
    return folder
