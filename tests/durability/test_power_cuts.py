"""Power cuts at every step that strace saw, a quick choice; tests/soak/test_power_cuts.py tries them all."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_trace import Link, Make, Rename, Say, Step, SyncEnd, SyncStart, Truncate, Unlink, Write
from power_cut_scenarios import SCENARIOS, Job, survive, trace, without_syncs
from power_cuts import Disk

ROW = "power cut, every order of writes"

QUICK = [
    "a new home, then records",
    "record, killed at fdatasync 3, then recover",
    "publish-again, killed at rename 3, then publish-again",
]


@pytest.mark.parametrize("name", QUICK)
def test_nothing_acknowledged_is_lost(name: str, tmp_path: Path) -> None:
    steps = trace(SCENARIOS[name], tmp_path)
    assert survive(steps, tmp_path, row=ROW, seed=1, share=0.015) == []


# ---- the checks can fail ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("row", "jobs", "which"),
    [
        (
            "control: synchronous=NORMAL",
            [Job(what="record"), Job(what="carelessly")],
            lambda path: False,
        ),
        (
            "control: no sync of the write-ahead log",
            [Job(what="record")],
            lambda path: path.endswith("-wal"),
        ),
        (
            "control: no sync of folders",
            [Job(what="record")],
            lambda path: path.endswith(("/home", "/deep", "/disk")),
        ),
        (
            "control: no sync of published files",
            [Job(what="publish")],
            lambda path: "/.publishing/" in path,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_without_a_sync_acknowledged_records_are_lost(
    row: str, jobs: list[Job], which: Callable[[str], bool], tmp_path: Path
) -> None:
    steps = without_syncs(trace(jobs, tmp_path), which)
    wrong = survive(steps, tmp_path, row=row, seed=1, share=0)
    assert len(wrong) > 0


def states_of(steps: list[Step]) -> set[tuple[tuple[str, bytes | None], ...]]:
    """All disks that a power cut after the last step may leave."""
    disk = Disk(Path("/d"))
    for step in steps:
        disk.do(step)
    choices = disk.choices(random.Random(1), drawn=40)
    states = [disk.state(choice, moment=0) for choice in choices]
    return {tuple(sorted(each.files.items())) for each in states}


def sync(path: str, key: int) -> list[Step]:
    return [SyncStart(path=path, key=key), SyncEnd(path=path, key=key)]


NEW: list[Step] = [
    Make(path="/d/f", is_folder=False),
    Write(path="/d/f", offset=0, data=b"ab"),
    Write(path="/d/f", offset=2, data=b"cd"),
]


def test_unsynced_bytes_and_names_come_in_every_order() -> None:
    whole = {b"", b"ab", b"\0\0cd", b"abcd"}
    assert states_of(NEW) == {(), *((("f", data),) for data in whole)}


def test_a_file_s_sync_does_not_save_its_name() -> None:
    assert states_of([*NEW, *sync("/d/f", 0)]) == {(), (("f", b"abcd"),)}


def test_a_folder_s_sync_saves_a_name_and_no_bytes() -> None:
    assert (("f", b""),) in states_of([*NEW, *sync("/d", 0)])
    assert () not in states_of([*NEW, *sync("/d", 0)])


def test_what_is_synced_stays() -> None:
    steps = [*NEW, *sync("/d/f", 0), *sync("/d", 1), Say(text="said")]
    assert states_of(steps) == {(("f", b"abcd"),)}


def test_a_sync_covers_what_was_done_when_it_began() -> None:
    late = Write(path="/d/f", offset=4, data=b"e")
    steps = [*NEW, *sync("/d", 0), SyncStart(path="/d/f", key=1), late, SyncEnd(path="/d/f", key=1)]
    assert states_of(steps) == {(("f", b"abcd"),), (("f", b"abcde"),)}


def test_a_rename_is_whole_or_not_there() -> None:
    steps = [*NEW, *sync("/d/f", 0), *sync("/d", 1), Rename(source="/d/f", path="/d/g")]
    assert states_of(steps) == {(("f", b"abcd"),), (("g", b"abcd"),)}


def test_a_folder_s_content_moves_with_it() -> None:
    steps: list[Step] = [
        Make(path="/d/a", is_folder=True),
        Make(path="/d/a/f", is_folder=False),
        *sync("/d/a", 0),
        *sync("/d", 1),
        Rename(source="/d/a", path="/d/b"),
        Write(path="/d/b/f", offset=0, data=b"x"),
        *sync("/d/b/f", 2),
        *sync("/d", 3),
    ]
    assert states_of(steps) == {(("b", None), ("b/f", b"x"))}


def test_cuts_links_and_names_taken_away() -> None:
    steps = [
        *NEW,
        *sync("/d/f", 0),
        *sync("/d", 1),
        Link(source="/d/f", path="/d/g"),
        Unlink(path="/d/f"),
        Truncate(path="/d/g", size=1),
    ]
    names = [(), ("f",), ("g",), ("f", "g")]
    bytes_of = (b"abcd", b"a")
    every = {tuple((name, data) for name in some) for some in names for data in bytes_of}
    assert states_of(steps) == every


def test_a_write_may_be_cut_at_a_sector() -> None:
    big = Write(path="/d/f", offset=0, data=b"x" * 1024)
    steps: list[Step] = [Make(path="/d/f", is_folder=False), *sync("/d", 0), big]
    assert (("f", b"x" * 512),) in states_of(steps)
