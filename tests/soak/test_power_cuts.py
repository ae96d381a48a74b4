"""Power cuts at every step of every scenario that strace saw, in every order of unsynced writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from power_cut_scenarios import SCENARIOS, survive, trace

ROW = "power cut, every order of writes"
# Of all disks that are possible; --scale 8 looks at each.
SHARE = 0.125


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_acknowledged_is_lost(name: str, tmp_path: Path, scale: float) -> None:
    steps = trace(SCENARIOS[name], tmp_path)
    assert survive(steps, tmp_path, row=ROW, seed=2, share=SHARE * scale) == []
