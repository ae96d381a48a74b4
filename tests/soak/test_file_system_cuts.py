"""Power cuts of ext4, xfs and btrfs on loop devices while processes record, over and over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from file_system_cuts import cut_often
from volumes import Volume, volumes

CUTS = 60


@pytest.fixture(params=["ext4", "xfs", "btrfs"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Volume]:
    yield from volumes(tmp_path, request.param)


@pytest.mark.parametrize("producers", [1, 4])
def test_nothing_acknowledged_is_lost(volume: Volume, producers: int, scale: float) -> None:
    cuts = max(1, round(CUTS * scale))
    row = f"power cut, {volume.kind}"
    assert cut_often(volume, cuts=cuts, seed=producers, row=row, producers=producers) == []
