"""Errors and kills at every system call: of making and appending, publishing, keys, runs through
the public API, of writing bundles, and of building the index."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ledger"))

from fault_injection import Fault, run

# More calls than the workloads make; the cases beyond their end meet no fault.
CALLS = {
    "create": 90,
    "append": 90,
    "publish": 60,
    "keys": 12,
    "run": 50,
    "bundle": 70,
    "index": 50,
}
SYSCALLS = {
    "create": ("pwrite64", "fdatasync", "fsync", "ftruncate", "link", "unlink", "mkdir", "openat"),
    "append": ("pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "fcntl", "flock", "openat"),
    "publish": ("write", "pwrite64", "fdatasync", "fsync", "rename", "mkdir", "unlink", "openat"),
    "keys": ("write", "fsync", "link", "unlink", "mkdir", "openat"),
    "run": ("write", "pwrite64", "fdatasync", "fsync", "rename", "unlink", "mkdir", "flock"),
    "bundle": ("write", "fsync", "rename", "mkdir", "openat"),
    "index": ("write", "pwrite64", "fdatasync", "fsync", "rename", "unlink", "mkdir"),
}
EFFECTS = (
    ("error=EIO", False),
    ("error=ENOSPC", True),
    ("signal=KILL", False),
)
FAULTS = [
    Fault(workload=workload, syscall=syscall, effect=effect, lasts=lasts)
    for workload, syscalls in SYSCALLS.items()
    for syscall in syscalls
    for effect, lasts in EFFECTS
    # A lock that never works is waited for until the time is over, every time.
    if not (lasts and syscall in {"fcntl", "flock"})
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_nothing_acknowledged_is_lost(
    fault: Fault, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(fault, tmp_path, calls=range(1, CALLS[fault.workload]))
    with capsys.disabled():
        print(f"\n{capsys.readouterr().out.strip()}", end=" ")
    assert outcome.errors == ()
    assert outcome.hit > 0
