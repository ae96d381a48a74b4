"""What happens to processes that record beside each other: pauses, clock steps, rubbish, full disks."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
import tally
from crews import Crew
from survival import require_all_healed, require_home
from volumes import Volume

from provgraph.service.home import readable_ledger
from provgraph.settings import load

HERE = Path(__file__).resolve().parent
INBOX = "ledger.db-inbox"
DAY_S = 86400
WAIT_S = 60


def wait_for(crew: Crew, more: int) -> None:
    """Wait until so many more records have been acknowledged; nobody may have complained."""
    wanted = crew.acknowledged() + more
    deadline = time.monotonic() + WAIT_S
    while crew.acknowledged() < wanted:
        complaints = [(each.what, each.process.poll(), each.complaint()) for each in crew.members]
        assert time.monotonic() < deadline, complaints
        time.sleep(0.005)


def finished(crew: Crew, row: str, cases: int) -> None:
    """End a crew, and hold its home against all that it said."""
    for each in crew.members:
        complaints = each.complaint().splitlines()
        others = [line for line in complaints if not line.startswith("inbox file thrown away")]
        assert (each.process.poll(), others) == (None, []), others
    crew.kill_all()
    require_home(crew.home.parent, crew.lines)
    require_all_healed(crew.home.parent, crew.lines)
    tally.count(row, cases=cases, acknowledged=crew.acknowledged())


# ---- pauses ----------------------------------------------------------------------------------------
def pause_often(crew: Crew, *, pauses: int, longest_s: float, seed: int) -> None:
    """Stop one process after the other, whoever has the turn where that is known, and let it go on."""
    draw = random.Random(seed)
    for _ in range(pauses):
        held_by = _turn_holder(crew)
        member = next((each for each in crew.members if each.process.pid == held_by), None)
        member = member or draw.choice(crew.members)
        member.process.send_signal(signal.SIGSTOP)
        time.sleep(draw.random() * longest_s)
        member.process.send_signal(signal.SIGCONT)
        wait_for(crew, 1)


def _turn_holder(crew: Crew) -> int | None:
    """Return who holds the lock on the inbox just now, as the kernel says."""
    with contextlib.suppress(OSError):
        inode = os.stat(crew.home / INBOX).st_ino
        for _ in range(200):
            for line in Path("/proc/locks").read_text("ascii").splitlines():
                words = line.split()
                if words[1:2] == ["FLOCK"] and words[5].endswith(f":{inode}"):
                    return int(words[4])
    return None


# ---- rubbish in the inbox --------------------------------------------------------------------------
def throw_rubbish(crew: Crew, *, things: int, seed: int) -> None:
    """Put foreign things into the inbox while it is in use."""
    draw = random.Random(seed)
    inbox = crew.home / INBOX
    for number in range(things):
        # Before all others by its name, or after them.
        path = inbox / f"{draw.choice('0z')}{number:06}"
        draw.choice(_RUBBISH)(path)
        if number % 10 == 9:
            wait_for(crew, 1)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound, contextlib.suppress(OSError):
        bound.bind(str(path))


_RUBBISH: tuple[Callable[[Path], object], ...] = (
    _fifo,
    _endless,
    _socket,
    lambda path: path.mkdir(),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.write_bytes(b"provgraph-inbox/1\n" + bytes(100)),
)


# ---- clocks ----------------------------------------------------------------------------------------
class Clock:
    """The wall clock of processes started with `environ`, to be set while they run."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            reason = "needs a C compiler, to step clocks"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        library = folder / "stepped_clock.so"
        source = str(HERE / "stepped_clock.c")
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True
        )
        self._file = folder / "offset"
        self._file.write_bytes(bytes(8))
        self.environ = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self._file)}

    def set(self, offset_s: int) -> None:
        """Step the clock."""
        with self._file.open("r+b") as file:
            file.write(offset_s.to_bytes(8, "little", signed=True))


def step_often(crew: Crew, clock: Clock, *, steps: int, seed: int) -> None:
    """Set the clock forwards and backwards, by seconds and by years, while records are made."""
    draw = random.Random(seed)
    clock.set(-DAY_S)
    wait_for(crew, 2)
    for _ in range(steps):
        size_s = draw.choice([1, 3600, DAY_S, 400 * DAY_S, 10_000 * DAY_S])
        clock.set(draw.choice([-1, 1]) * size_s)
        wait_for(crew, 2)
    clock.set(2 * DAY_S)
    wait_for(crew, 2)


def spread_of_times(home: Path) -> tuple[float, int]:
    """Return how many days lie between the records' times, and how often time ran backwards."""
    with readable_ledger(load({"PROVGRAPH_HOME": str(home)})) as ledger:
        times = [_created(record.proof_nq) for record in ledger.records()]
    back = sum(later < earlier for earlier, later in itertools.pairwise(times))
    return (max(times) - min(times)).total_seconds() / DAY_S, back


def _created(proof_nq: bytes) -> datetime:
    (line,) = [line for line in proof_nq.decode().splitlines() if "created" in line]
    return datetime.fromisoformat(line.split('"')[1])


# ---- disks that take nothing any more --------------------------------------------------------------
@contextlib.contextmanager
def second_place(place: Path) -> Iterator[dict[str, str]]:
    """Keep what the disk does not take in a folder of its own, here and in the crew."""
    temporary = place / "temporary"
    temporary.mkdir(exist_ok=True)
    kept, tempfile.tempdir = tempfile.tempdir, str(temporary)
    try:
        yield {"TMPDIR": str(temporary), "PROVGRAPH_STRICT": "off"}
    finally:
        tempfile.tempdir = kept


def break_often(
    volume: Volume,
    *,
    times: int,
    seed: int,
    row: str,
    breaks: Callable[[Volume], None],
    mends: Callable[[Volume], None],
    kept_pages: bool,
) -> None:
    """Let a disk refuse, and take again, while processes record.

    Nothing that had begun is lost, unless mending throws away what only the kernel had.
    """
    draw = random.Random(seed)
    home = volume.folder / "home"
    said: list[str] = []
    with second_place(volume.folder.parent) as environ:
        for _ in range(times):
            with Crew(home, environ=environ) as crew:
                for _ in range(2):
                    crew.start("stubborn")
                wait_for(crew, draw.randrange(1, 9))
                with _all_paused(crew, volume):
                    breaks(volume)
                begun = len(crew.all_said())
                while len(crew.all_said()) < begun + 6:
                    time.sleep(0.01)
                crew.kill_all()
                said += crew.lines
            mends(volume)
            require_home(volume.folder, said)
            require_all_healed(volume.folder, said, kept_pages=kept_pages)
    records = sum(line.startswith("said record ") for line in said)
    tally.count(row, cases=times, acknowledged=records)


@contextlib.contextmanager
def _all_paused(crew: Crew, volume: Volume) -> Iterator[None]:
    """Hold everybody, between two system calls, with nothing on its way to the disk.

    Without this ext4 itself loses what it said was synced at the very moment at which an error of the
    disk aborts its journal: a loop of pwrite and fdatasync lost its last write in 5 of 25 tries
    (Linux 6.18).
    """
    for member in crew.members:
        member.process.send_signal(signal.SIGSTOP)
    for member in crew.members:
        status = Path(f"/proc/{member.process.pid}/stat")
        while status.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.002)
    subprocess.run(["sync", "--file-system", str(volume.folder)], check=True)
    yield
    for member in crew.members:
        member.process.send_signal(signal.SIGCONT)
