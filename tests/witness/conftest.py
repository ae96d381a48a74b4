from __future__ import annotations

from pathlib import Path

import pytest
from witness_samples import LOG_KEYS, NOW

from provgraph.witness.folder import WitnessFolder, open_folder


@pytest.fixture
def folder(tmp_path: Path) -> WitnessFolder:
    """A witness that knows the log of the samples and has cosigned nothing."""
    made = open_folder(tmp_path / "witness", clock=lambda: NOW, name="witness.example.org")
    made.add_log(LOG_KEYS)
    return made
