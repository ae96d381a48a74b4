"""What is traced for power cuts: programs that run one after the other, some of them killed."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import tally
from disk_trace import Step, SyncEnd, SyncStart, Tracer
from power_cuts import power_cuts
from survival import Acknowledged, LostError, require_home

from provgraph.errors import UntrustedError

HERE = Path(__file__).resolve().parent
RECORDER = HERE / "recorder.py"

# Below two folders that the recorder makes itself.
PLACE = "deep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program: what the recorder does, and where it is killed."""

    what: str
    number: int = 1
    kill: str | None = None  # a system call and the number of its call

    @property
    def inject(self) -> str | None:
        if self.kill is None:
            return None
        syscall, call = self.kill.split(" ")
        return f"{syscall}:signal=KILL:when={call}"


def killed(what: str, *, syscall: str, calls: range, after: Sequence[Job]) -> dict[str, list[Job]]:
    """One scenario for each call: killed there, and another process goes on from what is left."""
    return {
        f"{what}, killed at {syscall} {call}, then {after[-1].what}": [
            Job(what="record"),
            Job(what=what, kill=f"{syscall} {call}"),
            *after,
        ]
        for call in calls
    }


SCENARIOS: Mapping[str, Sequence[Job]] = {
    "a new home, then records": [Job(what="record", number=2)],
    "records in a home that is there": [Job(what="record"), Job(what="record", number=2)],
    "publish, twice": [Job(what="publish", number=2)],
    "bundles": [Job(what="record"), Job(what="export")],
    # Whoever finds what a killed process left must not promise more than is safe.
    **killed("record", syscall="fdatasync", calls=range(1, 9), after=[Job(what="recover")]),
    **killed("record", syscall="fsync", calls=range(1, 5), after=[Job(what="recover")]),
    **killed(
        "publish-again", syscall="fdatasync", calls=range(1, 5), after=[Job(what="publish-again")]
    ),
    **killed(
        "publish-again", syscall="fsync", calls=range(1, 14), after=[Job(what="publish-again")]
    ),
    **killed(
        "publish-again", syscall="rename", calls=range(1, 6), after=[Job(what="publish-again")]
    ),
    **{
        f"a new home, killed at {syscall} {call}, then records": [
            Job(what="record", kill=f"{syscall} {call}"),
            Job(what="record"),
        ]
        for syscall, calls in (("link", range(1, 5)), ("fsync", range(1, 18)), ("fdatasync", range(1, 9)))
        for call in calls
    },
}  # fmt: skip


def require_tools() -> None:
    """Skip where strace is missing or may not trace."""
    reason = None
    if shutil.which("strace") is None:
        reason = "needs strace; on Debian or Ubuntu: apt-get install strace"
    elif subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode:
        reason = "strace may not trace here"
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def trace(jobs: Sequence[Job], folder: Path) -> list[Step]:
    """Run the jobs below `folder` and return what they did to the disk."""
    require_tools()
    root = folder / "disk"
    root.mkdir()
    home = root / PLACE / "home"
    # The index is not meant to be safe: it is built anew from the ledger.
    index = [home / f"index{suffix}" for suffix in ("", ".new", ".old", ".lock")]
    tracer = Tracer(root, log=folder / "strace.log", without=index)
    environ = {
        "PROVGRAPH_HOME": str(home),
        "PROVGRAPH_STRICT": "on",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for job in jobs:
        command = [sys.executable, str(RECORDER), job.what, str(job.number)]
        tracer.run(command, environ=environ, inject=job.inject)
    return tracer.steps


def survive(steps: Sequence[Step], folder: Path, *, row: str, seed: int, share: float) -> list[str]:
    """Cut the power at the moments of a trace and check every disk; return what went wrong."""
    wrong: list[str] = []
    cases, said = 0, 0
    for state in power_cuts(steps, root=folder / "disk", seed=seed, share=share):
        cases += 1
        said = max(said, len(Acknowledged.of(state.said).records))
        for place in _scratch():
            state.write(place)
            (place / PLACE).mkdir(exist_ok=True)
            try:
                require_home(place / PLACE, state.said)
            except (LostError, UntrustedError) as error:
                wrong.append(f"moment {state.moment}, {state.what}: {error}")
    tally.count(row, cases=cases, acknowledged=said, lost=len(wrong))
    return wrong


def _scratch() -> Iterator[Path]:
    """Yield a folder in memory, where a sync costs nothing, and silence for what is logged."""
    memory = Path("/dev/shm")
    logging.disable(logging.CRITICAL)
    place = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    try:
        yield Path(place)
    finally:
        logging.disable(logging.NOTSET)
        shutil.rmtree(place)


def without_syncs(steps: Sequence[Step], which: Callable[[str], bool]) -> list[Step]:
    """Return a trace in which the syncs of some paths had done nothing, as if never called."""
    return [
        each for each in steps if not (isinstance(each, SyncStart | SyncEnd) and which(each.path))
    ]
