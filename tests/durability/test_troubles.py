"""Pauses, clock steps and rubbish in the inbox, a few; tests/soak/test_troubles.py goes on for long."""

from __future__ import annotations

from pathlib import Path

from crews import Crew
from troubles import (
    Clock,
    finished,
    pause_often,
    spread_of_times,
    step_often,
    throw_rubbish,
    wait_for,
)


def test_pauses_and_rubbish_and_a_clock_that_is_set(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    with Crew(tmp_path / "home", environ=clock.environ) as crew:
        for _ in range(2):
            crew.start("record")
        wait_for(crew, 2)
        pause_often(crew, pauses=5, longest_s=0.2, seed=1)
        throw_rubbish(crew, things=30, seed=1)
        step_often(crew, clock, steps=5, seed=1)
        finished(crew, "pauses, rubbish in the inbox, clock steps", cases=40)
    days, backwards = spread_of_times(tmp_path / "home")
    # The clocks were set indeed: seals say other times than those of their order.
    assert days >= 3
    assert backwards > 0
