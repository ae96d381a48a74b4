"""Many producers at once: how many records are acknowledged per second, by 32 of them and by one."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.measure import digits, spread
from tests.bench.results import FULL, Scale, Section, Table, Target
from tests.bench.stores import Stores

WANTED_RATIO = 8
# A sync of a network volume or of a disk that turns takes this much longer than here.
SLOW_SYNC_US = 5000

_SOAK = Path(__file__).resolve().parents[1] / "soak"
_WAYS = {
    "one": "one producer",
    "threads": "32 threads of one process",
    "processes": "32 processes",
}
_KINDS = {"small": "one statement", "run": "a run of about 160 statements"}


def run(stores: Stores, scale: Scale) -> Section:
    """Measure on this disk, and on one whose syncs take longer."""
    rounds, each = (5, 30) if scale is FULL else (1, 2)
    here = [_rates(stores.folder, each, {}) for _ in range(rounds)]
    tables = [_table("this disk", here)]
    targets = [_target("this disk", here)]
    with tempfile.TemporaryDirectory() as place:
        slow = _slow_sync(Path(place))
        if slow is not None:
            found = [_rates(stores.folder, each, slow) for _ in range(max(1, rounds // 2))]
            tables.append(_table(_SLOW, found))
            targets.append(_target(_SLOW, found))
    return Section(
        title="Many producers at once",
        method=_METHOD,
        tables=tuple(tables),
        targets=tuple(targets),
        notes=(_NOTE, _breaking_even(here)),
    )


def _breaking_even(found: list[dict[str, dict[str, float]]]) -> str:
    one, threads = (
        statistics.median(each["small"][f"{way} cpu ms"] for each in found)
        for way in ("one", "threads")
    )
    return (
        f"By these CPU times one producer and 32 threads are {WANTED_RATIO} times apart from a sync of"
        f" {digits(max(0.0, WANTED_RATIO * threads - one))} ms on, and {digits(one / threads)} times where"
        " a sync costs nothing; other work on the disk makes syncs longer."
    )


def _rates(folder: Path, each: int, environ: dict[str, str]) -> dict[str, dict[str, float]]:
    """Measure once in a process of its own: records per second by kind and way."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        done = subprocess.run(
            [sys.executable, str(_SOAK / "group_rates.py"), place, str(each)],
            env={**os.environ, **environ},
            check=True,
            capture_output=True,
            text=True,
        )
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def _slow_sync(place: Path) -> dict[str, str] | None:
    """Return the environment in which a sync is slow; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = place / "slow_sync.so"
    source = str(_SOAK / "slow_sync.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SYNC_DELAY_US": str(SLOW_SYNC_US)}


def _ratios(found: list[dict[str, dict[str, float]]], kind: str, way: str) -> list[float]:
    return [each[kind][way] / each[kind]["one"] for each in found]


def _table(disk: str, found: list[dict[str, dict[str, float]]]) -> Table:
    sync = spread([each["sync"]["ms"] for each in found])
    return Table(
        title=f"Records acknowledged per second on {disk}, where a sync takes {sync.text()} ms",
        head=(
            "record",
            *_WAYS.values(),
            "threads / one",
            "processes / one",
            "CPU ms per record: one",
            "threads",
        ),
        rows=tuple(
            (
                name,
                *(spread([each[kind][way] for each in found]).text() for way in _WAYS),
                *(spread(_ratios(found, kind, way)).text() for way in ("threads", "processes")),
                *(
                    digits(statistics.median(each[kind][f"{way} cpu ms"] for each in found))
                    for way in ("one", "threads")
                ),
            )
            for kind, name in _KINDS.items()
        ),
    )


def _target(disk: str, found: list[dict[str, dict[str, float]]]) -> Target:
    ratio = statistics.median(_ratios(found, "small", "threads"))
    sync_ms = statistics.median(each["sync"]["ms"] for each in found)
    return Target(
        what=f"Records of 32 producers that share commits, against one producer, on {disk}",
        wanted=f"at least {WANTED_RATIO} times as many",
        found=f"{digits(ratio)} times, at {digits(sync_ms)} ms a sync",
        is_met=ratio >= WANTED_RATIO,
    )


_SLOW = f"a disk whose syncs take {SLOW_SYNC_US / 1000:g} ms longer"

_METHOD = """\
Producers append records that were sealed before the clock starts, each waiting for the
acknowledgement of one before it appends the next. Threads share commits through
`provgraph.ledger.group`, processes through the ledger's inbox. One round measures all ways one after
the other; ratios are taken within a round. The slower disk is this one with every `fdatasync` made to
sleep (LD_PRELOAD); what a sync takes is that of a page appended to a file of its own, measured with the same delay."""

_NOTE = """\
What many producers can win is bounded by (sync + own work) / own work: where a sync is quick, the work
of checking, deflating and inserting a record in Python is what remains, and one core does it (the CPU
time of 32 threads is their floor: 1 / it is the most that they can have acknowledged per second).
Processes share the machine's cores with each other and pay for files and wake-ups besides."""
