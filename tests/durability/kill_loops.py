"""Kills processes that record, deploy, execute, publish, ask and recover in one home, at random moments."""

from __future__ import annotations

import random
import time
from pathlib import Path

import tally
from crews import Crew, Recorder
from survival import require_all_healed, require_home

ROLES = ("linger", "record", "record", "deploy", "exec", "publish", "ask", "recover")
# Most are killed after their first words, and within this time of these.
MORE_S = 0.2
# Who says nothing, and some of the others, are killed at any moment of a first second.
FIRST_S = 1.0


def kill_often(folder: Path, *, rounds: int, kills: int, crew_size: int, seed: int) -> None:
    """Kill so many processes in each round, each replaced by another; check after each round."""
    draw = random.Random(seed)
    home = folder / "home"
    said: list[str] = []
    killed = 0
    for _ in range(rounds):
        with Crew(home) as crew:
            crew.start("linger")
            for role in draw.sample(ROLES, crew_size - 1):
                crew.start(role)
            for number in range(kills):
                member = crew.members[0] if number == 0 else draw.choice(crew.members)
                _let_it_begin(member, draw)
                crew.kill(member)
                crew.start(draw.choice(ROLES))
                killed += 1
            # Those that nobody killed have done nothing wrong.
            found = [(each.what, each.process.poll(), each.complaint()) for each in crew.members]
            assert found == [(each.what, None, "") for each in crew.members], found
            killed += len(crew.members)
            crew.kill_all()
            said += crew.lines
        require_home(folder, said)
        abandoned = require_all_healed(folder, said)
    records = sum(line.startswith("said record ") for line in said)
    tally.count("kill -9", cases=killed, acknowledged=records)
    # Some were killed in the middle of a run, or this has shown little.
    assert (records > 0, abandoned > 0) == (True, True)


def _let_it_begin(member: Recorder, draw: random.Random) -> None:
    is_late = member.what == "linger" or draw.random() < 0.75
    is_late &= member.what not in {"ask", "recover"}
    deadline = time.monotonic() + (30 if is_late else draw.random() * FIRST_S)
    while time.monotonic() < deadline and not (is_late and member.said()):
        time.sleep(0.005)
    if is_late:
        time.sleep(draw.random() * MORE_S)
