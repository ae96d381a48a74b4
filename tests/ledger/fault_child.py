"""Runs below strace: one child process per case, whose n-th call of one syscall meets a fault.

    python fault_child.py <workload> <folder> <syscall> <when> <call> …

strace injects the fault into call number `when` of every process by itself. A child makes harmless
calls first, so that the fault meets the call of its work that its case names. What a child
acknowledges goes to its parent through a socket, by a syscall that is never injected, and stands in
cases.json.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import fault_homes  # noqa: E402
from ledger_samples import (  # noqa: E402
    LOG_SEED,
    MLDSA_SEED,
    PRODUCER_SEED,
    clock,
    small,
)

from provgraph.errors import StorageError  # noqa: E402
from provgraph.ledger.published import verify_published  # noqa: E402
from provgraph.ledger.sqlite import Ledger  # noqa: E402
from provgraph.ledger.tiles import publish  # noqa: E402
from provgraph.seal.keys import load_or_create_signer, signer_from_seed  # noqa: E402
from provgraph.seal.mldsa import load_or_create_mldsa_signer, mldsa_signer_from_seed  # noqa: E402

LOG, PRODUCER = signer_from_seed(LOG_SEED), signer_from_seed(PRODUCER_SEED)
MLDSA = mldsa_signer_from_seed(MLDSA_SEED)
ATTEMPTS = 3
RECORDS = 4

Say = Callable[[str, object], None]


def open_ledger(folder: Path) -> Ledger:
    return Ledger.open(
        folder / "home" / "ledger.db", log_signer=LOG, mldsa_signer=MLDSA, clock=clock
    )


def _attempts() -> Iterator[contextlib.AbstractContextManager[None]]:
    """Let a step be tried again after a StorageError; any other error ends the child."""
    for _ in range(ATTEMPTS):
        yield contextlib.suppress(StorageError)


def append(folder: Path, say: Say) -> None:
    """Append to a ledger, made if need be; the write-ahead log is folded back at every commit."""
    for attempt in _attempts():
        with attempt, open_ledger(folder) as ledger:
            with contextlib.suppress(Exception):
                ledger._db.execute("PRAGMA wal_autocheckpoint = 1")
            for number in range(RECORDS):
                for again in _attempts():
                    with again:
                        (position,) = ledger.append([small(number, signer=PRODUCER)])
                        say("record", [position.index, position.iri])
                        break
            return


def publishing(folder: Path, say: Say) -> None:
    """Publish a ledger that has grown, twice."""
    for size in (258, 260):
        for attempt in _attempts():
            with attempt, open_ledger(folder) as ledger:
                ledger.append([small(n, signer=PRODUCER) for n in range(ledger.size(), size)])
                note = ledger.cosigned_checkpoint(mldsa_signer=MLDSA, clock=clock)
                done = publish(ledger, folder / "www", note=note)
                say("published", done.checkpoint.size)
                break


def keys(folder: Path, say: Say) -> None:
    """Make keys."""
    for name, load in (("log", load_or_create_signer), ("mldsa", load_or_create_mldsa_signer)):
        for attempt in _attempts():
            with attempt:
                say(name, load(folder / "keys" / f"{name}.pem").public_key.hex())  # type: ignore[operator]
                break


WORKLOADS: Mapping[str, Callable[[Path, Say], None]] = {
    "create": append,
    "append": append,
    "publish": publishing,
    "keys": keys,
    "run": fault_homes.runs,
    "bundle": fault_homes.bundles,
    "index": fault_homes.index,
}

# The index's engine starts threads that a forked child would not have.
WARMED_BY: Mapping[str, Callable[[Path, Say], None]] = {"index": fault_homes.runs}


def prepare(workload: str, folder: Path) -> None:
    """Make what a workload starts from."""
    if workload == "append":
        open_ledger(folder).close()
    if workload in {"run", "bundle", "index"}:
        fault_homes.prepare_home(folder)
    if workload == "publish":
        with open_ledger(folder) as ledger:
            ledger.append([small(number, signer=PRODUCER) for number in range(254)])
            note = ledger.cosigned_checkpoint(mldsa_signer=MLDSA, clock=clock)
            publish(ledger, folder / "www", note=note)
            verify_published(folder / "www")


def _harmless(folder: Path) -> Mapping[str, Callable[[], object]]:
    place = folder / "harmless"
    place.mkdir()
    null = os.open("/dev/null", os.O_RDWR)
    file = os.open(place / "file", os.O_RDWR | os.O_CREAT)
    os.link(place / "file", place / "other")
    return {
        "pwrite64": lambda: os.pwrite(null, b"x", 0),
        "write": lambda: os.write(null, b"x"),
        "fdatasync": lambda: os.fdatasync(null),
        "fsync": lambda: os.fsync(null),
        "ftruncate": lambda: os.ftruncate(file, 0),
        "openat": lambda: os.close(os.open("/dev/null", os.O_RDONLY)),
        "rename": lambda: os.rename(place / "file", place / "file"),
        "link": lambda: os.link(place / "file", place / "other"),
        "unlink": lambda: os.unlink(place / "none"),
        "mkdir": lambda: os.mkdir(place),
        "flock": lambda: fcntl.flock(file, fcntl.LOCK_UN),
        "fcntl": lambda: os.lockf(file, os.F_TEST, 0),
    }


def _child(workload: str, folder: Path, skip: Callable[[], object], count: int, out: int) -> None:
    said = socket.socket(fileno=out)

    def say(kind: str, value: object) -> None:
        said.sendall(json.dumps([kind, value]).encode() + b"\n")

    for _ in range(count):
        with contextlib.suppress(OSError):
            skip()
    try:
        WORKLOADS[workload](folder, say)
        say("end", None)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        say("error", f"{type(error).__name__}: {error} at {where.filename}:{where.lineno}")


def _case(workload: str, folder: Path, skip: Callable[[], object], count: int) -> dict[str, object]:
    inner, outer = socket.socketpair()
    child = os.fork()
    if child == 0:
        inner.close()
        _child(workload, folder, skip, count, outer.detach())
        os._exit(0)
    outer.close()
    data = b""
    while chunk := inner.recv(65536):
        data += chunk
    inner.close()
    _, status = os.waitpid(child, 0)
    said = [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
    return {"pid": child, "folder": str(folder), "status": status, "said": said}


def main(workload: str, folder: Path, syscall: str, when: int, calls: list[int]) -> None:
    warm = folder / "warm"
    warm.mkdir()
    prepare(workload, warm)
    template = Path(shutil.copytree(warm, folder / "template"))
    # Once without faults, so that no case loads modules.
    WARMED_BY.get(workload, WORKLOADS[workload])(warm, lambda kind, value: None)
    skip = _harmless(folder)[syscall]
    found = []
    for call in calls:
        place = Path(shutil.copytree(template, folder / f"case-{call}"))
        found.append(_case(workload, place, skip, when - call))
    (folder / "cases.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), [*map(int, sys.argv[5:])])
