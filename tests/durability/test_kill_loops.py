"""Processes killed at random moments, a few; tests/soak/test_kill_loops.py kills many."""

from __future__ import annotations

from pathlib import Path

from kill_loops import kill_often


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    kill_often(tmp_path, rounds=1, kills=5, crew_size=3, seed=1)
