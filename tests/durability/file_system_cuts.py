"""Cuts the power of a file system while several processes record on it, again and again."""

from __future__ import annotations

import random
import time
from pathlib import Path

import tally
from crews import Crew
from survival import LostError, require_home
from volumes import Volume

from provgraph.errors import ProvgraphError

WAIT_S = 30


def cut_often(
    volume: Volume, *, cuts: int, seed: int, row: str, what: str = "record", producers: int = 2
) -> list[str]:
    """Record, cut, mount, check, and go on from there; return what went wrong."""
    draw = random.Random(seed)
    home = volume.folder / "deep" / "home"
    said: list[str] = []
    wrong: list[str] = []
    for number in range(cuts):
        with Crew(home, environ=_elsewhere(volume.folder.parent)) as crew:
            for _ in range(producers):
                crew.start(what)
            _wait_for(crew, draw.randrange(1, 12))
            time.sleep(draw.random() * 0.05)
            # In a real cut nobody hears what is said after it; here a sync that is on its way at that
            # very moment can still return without an error (ext4 on Linux 6.18), and nothing is safe.
            said += crew.all_said()
            volume.cut_power()
            crew.kill_all()
        volume.turn_on()
        try:
            (volume.folder / "deep").mkdir(exist_ok=True)
            require_home(volume.folder / "deep", said)
        except (LostError, ProvgraphError) as error:
            wrong.append(f"cut {number}: {error}")
            break
    records = sum(line.startswith("said record ") for line in said)
    tally.count(row, cases=number + 1, acknowledged=records, lost=len(wrong))
    return wrong


def _elsewhere(place: Path) -> dict[str, str]:
    """What the volume does not take is kept in a folder of its own, for the test's time."""
    temporary = place / "temporary"
    temporary.mkdir(exist_ok=True)
    return {"TMPDIR": str(temporary)}


def _wait_for(crew: Crew, records: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while crew.acknowledged() < records:
        assert time.monotonic() < deadline, [member.complaint() for member in crew.members]
        time.sleep(0.002)
