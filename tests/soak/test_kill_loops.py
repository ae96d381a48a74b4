"""Processes of every kind killed at random moments, over and over, in one home."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill_loops import kill_often

ROUNDS = 8
KILLS = 40


@pytest.mark.parametrize("crew_size", [2, 6])
def test_nothing_acknowledged_is_lost(crew_size: int, tmp_path: Path, scale: float) -> None:
    rounds = max(1, round(ROUNDS * scale))
    kill_often(tmp_path, rounds=rounds, kills=KILLS, crew_size=crew_size, seed=crew_size)
