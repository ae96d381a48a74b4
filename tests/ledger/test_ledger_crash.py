"""The ledger under kill -9, under two writers, and on a disk that will not take the bytes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ledger_samples import PRODUCER_SEED, START, pending_run

from provgraph.errors import StorageError
from provgraph.ledger import schema
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.published import open_published, verify_published
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.note import Checkpoint

HERE = Path(__file__).parent

# Appends records one by one and says so after each acknowledgement.
WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from ledger_samples import LOG_SEED, PRODUCER_SEED, clock
from ledger_samples import pending_run
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import signer_from_seed
start, stop = int(sys.argv[3]), int(sys.argv[4])
with Ledger.open(Path(sys.argv[2]), log_signer=signer_from_seed(LOG_SEED), clock=clock) as ledger:
    for number in range(start, stop):
        item = pending_run(number, signer=signer_from_seed(PRODUCER_SEED))
        (position,) = ledger.append([item])
        print(position.index, item.iri, flush=True)
"""


def start_writer(path: Path, start: int, stop: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(HERE), str(path), str(start), str(stop)],
        stdout=subprocess.PIPE,
        text=True,
    )


def open_at(path: Path, log_signer: Signer) -> Ledger:
    return Ledger.open(path, log_signer=log_signer, clock=lambda: START)


def acknowledged(output: str) -> dict[int, str]:
    """Parse the writer's lines; the last one counts only when it was written whole."""
    lines = output[: output.rfind("\n") + 1].splitlines()
    return {int(line.split(" ")[0]): line.split(" ")[1] for line in lines}


@pytest.mark.parametrize("kills_after", [1, 4, 15])
def test_kill_9_loses_nothing_acknowledged(
    tmp_path: Path, log_signer: Signer, kills_after: int
) -> None:
    path = tmp_path / "home" / "ledger.db"
    known: dict[int, str] = {}
    for attempt in range(3):
        writer = start_writer(path, attempt * 100_000, 10**9)
        assert writer.stdout is not None
        output = "".join(writer.stdout.readline() for _ in range(kills_after))
        writer.send_signal(signal.SIGKILL)
        output += writer.communicate(timeout=60)[0]
        assert writer.returncode == -signal.SIGKILL
        known |= acknowledged(output)
        with open_at(path, log_signer) as ledger:
            assert {index: ledger.read(index).iri for index in known} == known
            # A record whose acknowledgement was cut off may be there too, whole.
            assert verify_ledger(ledger).size in (max(known) + 1, max(known) + 2)
    assert len(known) >= 3 * kills_after


def test_kill_9_while_the_ledger_is_made(tmp_path: Path, log_signer: Signer) -> None:
    """Killed at any point of its first second, a writer leaves no ledger or a whole one."""
    for delay_ms in range(60, 400, 60):
        path = tmp_path / str(delay_ms) / "ledger.db"
        writer = start_writer(path, 0, 10**9)
        try:
            writer.wait(timeout=delay_ms / 1000)
        except subprocess.TimeoutExpired:
            writer.kill()
        output = writer.communicate(timeout=60)[0]
        with open_at(path, log_signer) as ledger:
            assert verify_ledger(ledger).size >= len(acknowledged(output))


def test_two_writers_at_once_both_succeed(tmp_path: Path, log_signer: Signer) -> None:
    path = tmp_path / "home" / "ledger.db"
    writers = [start_writer(path, start, start + 40) for start in (0, 1000, 2000)]
    outputs = [writer.communicate(timeout=120)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    known: dict[int, str] = {}
    for output in outputs:
        assert len(acknowledged(output)) == 40
        known |= acknowledged(output)
    assert sorted(known) == list(range(120))
    with open_at(path, log_signer) as ledger:
        assert {record.index: record.iri for record in ledger.records()} == known
        assert verify_ledger(ledger).size == 120
    assert sorted(os.listdir(path.parent)) == ["ledger.db", "ledger.db-inbox"]
    assert os.listdir(path.parent / "ledger.db-inbox") == []


def test_kill_9_among_many_that_wait_for_each_other(tmp_path: Path, log_signer: Signer) -> None:
    """Whoever has the turn is killed with the records of the others in its hands, again and again."""
    path = tmp_path / "home" / "ledger.db"
    open_at(path, log_signer).close()
    known: dict[int, str] = {}
    for attempt in range(2):
        writers = [
            start_writer(path, 1000 * number + 100_000 * attempt, 10**9) for number in range(4)
        ]
        for writer in writers:
            assert writer.stdout is not None
            line = writer.stdout.readline()
            known |= acknowledged(line)
        for writer in writers[:3]:
            time.sleep(0.03)
            writer.send_signal(signal.SIGKILL)
        writers[3].kill()
        for writer in writers:
            known |= acknowledged(writer.communicate(timeout=60)[0])
    with open_at(path, log_signer) as ledger:
        assert {index: ledger.read(index).iri for index in known} == known
        assert verify_ledger(ledger).size >= len(known)
        # What the dead have left in the inbox is taken in, or their files are gone.
        ledger.append([pending_run(5_000_000, signer=signer_from_seed(PRODUCER_SEED))])
        assert verify_ledger(ledger).size >= len(known) + 1
    left = os.listdir(path.with_name("ledger.db-inbox"))
    assert [name for name in left if not name.startswith(".")] == []
    assert len(known) >= 8


# Appends and publishes, and says after each publication what the folder now has.
PUBLISHER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from ledger_samples import LOG_SEED, MLDSA_SEED, PRODUCER_SEED, clock
from ledger_samples import small
from provgraph.ledger.sqlite import Ledger
from provgraph.ledger.tiles import publish
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.mldsa import mldsa_signer_from_seed
producer, second = signer_from_seed(PRODUCER_SEED), mldsa_signer_from_seed(MLDSA_SEED)
with Ledger.open(
    Path(sys.argv[2]), log_signer=signer_from_seed(LOG_SEED), mldsa_signer=second, clock=clock
) as ledger:
    while True:
        size = ledger.size()
        ledger.append([small(number, signer=producer) for number in range(size, size + 60)])
        note = ledger.cosigned_checkpoint(mldsa_signer=second, clock=clock)
        print(publish(ledger, Path(sys.argv[3]), note=note).checkpoint.size, flush=True)
"""


def test_kill_9_while_publishing(tmp_path: Path, log_signer: Signer) -> None:
    """The folder always verifies, has what was acknowledged, and is never behind what it was."""
    path, www = tmp_path / "home" / "ledger.db", tmp_path / "www"
    seen: Checkpoint | None = None
    for attempt in range(4):
        publisher = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(HERE), str(path), str(www)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert publisher.stdout is not None
        first = publisher.stdout.readline()
        time.sleep(0.017 * attempt)
        publisher.send_signal(signal.SIGKILL)
        output = first + publisher.communicate(timeout=60)[0]
        published = [int(line) for line in output[: output.rfind("\n") + 1].splitlines()]
        report = verify_published(www, seen=seen)
        assert report.size >= published[-1]
        seen = open_published(www).checkpoint
        with open_at(path, log_signer) as ledger:
            assert ledger.root(report.size) == report.root
            assert verify_ledger(ledger).size >= report.size
    assert seen is not None
    assert seen.size >= 240


def test_writer_waits_for_a_lock_and_gives_up_with_a_next_step(
    open_ledger: Callable[[], Ledger], producer: Signer, log_signer: Signer
) -> None:
    with open_ledger() as holder, open_ledger() as waiting:
        holder._db.execute("BEGIN IMMEDIATE")
        waiting._db.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(StorageError, match="locked: another process held it"):
            waiting.append([pending_run(0, signer=producer)])
        holder._db.execute("ROLLBACK")
        assert waiting.append([pending_run(0, signer=producer)])[0].index == 0


def test_waiting_time_is_generous(ledger: Ledger) -> None:
    assert ledger._db.execute("PRAGMA busy_timeout").fetchone() == (30_000,)


def test_every_commit_is_synced(ledger: Ledger) -> None:
    assert ledger._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_full_database_is_a_storage_error_and_takes_in_nothing(
    ledger: Ledger, producer: Signer
) -> None:
    ledger.append([pending_run(0, signer=producer)])
    before = ledger.checkpoint()
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StorageError, match="full; free space and repeat"):
        ledger.append([pending_run(number, signer=producer) for number in range(1, 9)])
    assert (ledger.size(), ledger.checkpoint()) == (1, before)
    ledger._db.execute("PRAGMA max_page_count = 1000000")
    assert ledger.append([pending_run(1, signer=producer)])[0].index == 1
    assert verify_ledger(ledger).size == 2


def test_file_that_may_not_grow_is_a_storage_error_and_takes_in_nothing(
    ledger: Ledger, producer: Signer
) -> None:
    """A real write(2) that fails (EFBIG), as a full disk's does."""
    ledger.append([pending_run(0, signer=producer)])
    before = ledger.checkpoint()
    wal = ledger.path.with_name("ledger.db-wal")
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 4096, old_limit[1]))
    try:
        with pytest.raises(StorageError, match=r"ledger .*ledger.db: .*: .*(full|failed)"):
            ledger.append([pending_run(number, signer=producer) for number in range(1, 9)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert (ledger.size(), ledger.checkpoint()) == (1, before)
    assert ledger.append([pending_run(1, signer=producer)])[0].index == 1
    assert verify_ledger(ledger).size == 2


# ---- folders that cannot be written; root may write anywhere, so a child gives up its rights ------
AS_NOBODY = """
import os, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from ledger_samples import LOG_SEED, PRODUCER_SEED, clock
from ledger_samples import pending_run
from provgraph.errors import StorageError
from provgraph.ledger.sqlite import Ledger
from provgraph.ledger.fsck import verify_ledger
from provgraph.seal.keys import signer_from_seed
log, item = signer_from_seed(LOG_SEED), pending_run(5, signer=signer_from_seed(PRODUCER_SEED))
# Load every module while this process may still read the interpreter's folder.
with Ledger.open(Path(sys.argv[4]), log_signer=log, clock=clock) as ledger:
    ledger.append([item])
    verify_ledger(ledger)
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
path = Path(sys.argv[3])
with Ledger.open(path, log_signer=None, clock=clock, read_only=True) as ledger:
    print("read", verify_ledger(ledger).size)
try:
    with Ledger.open(path, log_signer=log, clock=clock) as ledger:
        ledger.append([item])
except StorageError as error:
    print("refused", error)
try:
    Ledger.open(path.parent / "new.db", log_signer=log, clock=clock)
except StorageError as error:
    print("refused", error)
"""


def test_read_only_folder_can_be_read_and_refuses_to_append(
    tmp_path: Path, open_ledger: Callable[[], Ledger], producer: Signer
) -> None:
    with open_ledger() as ledger:
        ledger.append([pending_run(0, signer=producer)])
        path = ledger.path
    warm = tmp_path / "warm.db"
    # pytest's own folders above must let the child through; whose /tmp it is, others need as it is.
    folders = [each for each in path.parents if each.is_relative_to(tmp_path.parents[1])]
    modes = {folder: folder.stat().st_mode for folder in folders}
    for folder in folders:
        folder.chmod(0o755)
    path.parent.chmod(0o555)
    path.chmod(0o444)
    package = str(Path(schema.__file__).parents[2])
    try:
        result = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(HERE), package, str(path), str(warm)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "read 1"
    assert lines[1].startswith(f"refused ledger {path}: ") is True
    assert lines[2].startswith(f"refused cannot make {path.parent / 'new.db'}: Permission") is True
    assert len(lines) == 3
