"""Pauses, clock steps, rubbish, full and read-only disks, many threads: over and over while recording."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crews import Crew
from troubles import (
    Clock,
    break_often,
    finished,
    pause_often,
    spread_of_times,
    step_often,
    throw_rubbish,
    wait_for,
)
from volumes import Volume, volumes


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Volume]:
    yield from volumes(tmp_path, "ext4")


@pytest.mark.parametrize(
    ("pauses", "longest_s"), [(150, 0.1), (3, 9.0)], ids=["short", "longer than patience"]
)
def test_pauses(pauses: int, longest_s: float, tmp_path: Path, scale: float) -> None:
    count = max(1, round(pauses * scale))
    with Crew(tmp_path / "home") as crew:
        for _ in range(4):
            crew.start("record")
        wait_for(crew, 4)
        pause_often(crew, pauses=count, longest_s=longest_s, seed=1)
        finished(crew, "pause of a process, mostly the one whose turn it is", cases=count)


def test_rubbish_in_the_inbox(tmp_path: Path, scale: float) -> None:
    count = max(10, round(500 * scale))
    with Crew(tmp_path / "home") as crew:
        for _ in range(4):
            crew.start("record")
        wait_for(crew, 4)
        throw_rubbish(crew, things=count, seed=1)
        finished(crew, "rubbish in the inbox", cases=count)


def test_a_clock_that_is_set(tmp_path: Path, scale: float) -> None:
    count = max(3, round(100 * scale))
    clock = Clock(tmp_path)
    with Crew(tmp_path / "home", environ=clock.environ) as crew:
        for role in ("record", "record", "publish", "exec"):
            crew.start(role)
        wait_for(crew, 4)
        step_often(crew, clock, steps=count, seed=1)
        finished(crew, "clock set forwards or backwards", cases=count)
    days, backwards = spread_of_times(tmp_path / "home")
    assert (days >= 3, backwards > 0) == (True, True)


def test_threads_of_several_processes(tmp_path: Path, scale: float) -> None:
    with Crew(tmp_path / "home") as crew:
        for _ in range(4):
            crew.start("threads")
        wait_for(crew, 20)
        time.sleep(10 * scale)
        finished(crew, "writers at once (4 processes of 4 threads)", cases=16)


def test_a_disk_that_fills_up(ext4: Volume, scale: float) -> None:
    break_often(
        ext4,
        times=max(1, round(15 * scale)),
        seed=1,
        row="disk full while recording",
        breaks=Volume.fill,
        mends=Volume.empty,
        kept_pages=True,
    )


def test_a_disk_that_becomes_read_only(ext4: Volume, scale: float) -> None:
    break_often(
        ext4,
        times=max(1, round(15 * scale)),
        seed=1,
        row="disk read-only while recording",
        breaks=Volume.become_read_only,
        mends=Volume.turn_on,
        kept_pages=False,
    )
