"""Power cuts of a real file system, a few; tests/soak/test_file_system_cuts.py does many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from file_system_cuts import cut_often
from volumes import Volume, volumes


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Volume]:
    yield from volumes(tmp_path, "ext4")


def test_nothing_acknowledged_is_lost(ext4: Volume) -> None:
    assert cut_often(ext4, cuts=3, seed=1, row="power cut, ext4") == []


def test_without_syncs_acknowledged_records_are_lost(ext4: Volume) -> None:
    row = "control: ext4, synchronous=OFF"
    # Records that are gone, or a file that is no ledger any more.
    assert len(cut_often(ext4, cuts=3, seed=1, row=row, what="unsynced", producers=1)) == 1
