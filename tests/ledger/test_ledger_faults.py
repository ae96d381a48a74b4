"""Errors and kills at single system calls. A quick choice; tests/soak/test_faults.py tries them all."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_injection import Fault, run

QUICK = [
    (Fault(workload="create", syscall="fdatasync", effect="error=EIO"), range(1, 9)),
    (Fault(workload="append", syscall="pwrite64", effect="error=EIO"), range(1, 45, 4)),
    (Fault(workload="append", syscall="pwrite64", effect="error=ENOSPC", lasts=True), range(2, 40, 6)),
    (Fault(workload="append", syscall="fdatasync", effect="error=EIO"), range(1, 13)),
    (Fault(workload="append", syscall="pwrite64", effect="signal=KILL"), range(3, 50, 5)),
    (Fault(workload="publish", syscall="fsync", effect="error=EIO"), range(1, 18, 3)),
    (Fault(workload="publish", syscall="rename", effect="signal=KILL"), range(1, 10, 2)),
    (Fault(workload="run", syscall="write", effect="error=ENOSPC", lasts=True), range(1, 20, 5)),
    (Fault(workload="bundle", syscall="fsync", effect="error=EIO"), range(1, 12, 4)),
    (Fault(workload="keys", syscall="fsync", effect="error=ENOSPC"), range(1, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "calls"), QUICK, ids=str)
def test_nothing_acknowledged_is_lost(fault: Fault, calls: range, tmp_path: Path) -> None:
    outcome = run(fault, tmp_path, calls=calls)
    # Every case met its fault, and nothing but StorageError came of it.
    assert (outcome.hit, outcome.errors) == (len(calls), ())
