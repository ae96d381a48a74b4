"""Faults of the operating system at chosen calls (strace -e inject), and what must hold after each.

Nothing that was acknowledged is lost, nothing is half there, the ledger and the published folder
verify, and both go on working once the fault is over.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fault_homes
import pytest
from fault_child import LOG, MLDSA, PRODUCER, RECORDS, clock, open_ledger
from ledger_samples import small

from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.published import open_published, verify_published
from provgraph.ledger.tiles import publish
from provgraph.seal.keys import load_or_create_signer
from provgraph.seal.mldsa import load_or_create_mldsa_signer

sys.path.append(str(Path(__file__).resolve().parents[1] / "durability"))

import tally

CHILD = Path(__file__).with_name("fault_child.py")
_HIT = re.compile(r"^(\d+) .*(?:\(INJECTED\)|\+\+\+ killed by SIGKILL)", re.MULTILINE)

# The parent makes calls of its own before the first case; the fault must lie beyond them.
_FIRST = {"openat": 4000, "write": 1500, "pwrite64": 1500, "unlink": 1500}
_FIRST_OTHERWISE = 700


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong: one syscall of a workload, with an error or a kill, once or from then on."""

    workload: str
    syscall: str
    effect: str  # error=EIO, error=ENOSPC, signal=KILL
    lasts: bool = False

    def __str__(self) -> str:
        return f"{self.workload}-{self.syscall}-{self.effect}{'-on' if self.lasts else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How many cases met the fault, and what was acknowledged over all of them."""

    hit: int
    acknowledged: int
    errors: tuple[str, ...]


def require_strace() -> str:
    """Return strace's path; skip where it is missing or may not trace."""
    path = shutil.which("strace")
    if path is None:
        _missing("needs strace; on Debian or Ubuntu: apt-get install strace")
    probe = [path, "--seccomp-bpf", "-f", "-e", "inject=fsync:error=EIO", "-o", "/dev/null", "true"]
    if subprocess.run(probe, check=False, capture_output=True).returncode != 0:
        _missing("strace may not trace here, or is older than 5.3")
    return path


def run(fault: Fault, folder: Path, *, calls: range) -> Outcome:
    """Let a fault meet each of these calls (from 1), every one in a case of its own; check them."""
    last = _FIRST.get(fault.syscall, _FIRST_OTHERWISE) + calls[-1]
    log = folder / "strace.log"
    when = f"when={last}{'+' if fault.lasts else ''}"
    # The filter makes it ten times faster; strace delivers no signals through it.
    filtered = ["--seccomp-bpf"] if fault.effect.startswith("error=") else []
    done = subprocess.run(
        [
            *(require_strace(), "-f", *filtered, "-o", str(log)),
            *("-e", f"trace={fault.syscall}"),
            *("-e", f"inject={fault.syscall}:{fault.effect}:{when}"),
            *(sys.executable, str(CHILD), fault.workload, str(folder)),
            *(fault.syscall, str(last), *map(str, calls)),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, "")
    hits = {int(pid) for pid in _HIT.findall(log.read_text("utf-8", "replace"))}
    hit = acknowledged = 0
    errors: list[str] = []
    for case in json.loads((folder / "cases.json").read_text()):
        hit += case["pid"] in hits
        said: list[list[Any]] = case["said"]
        errors += [value for kind, value in said if kind == "error"]
        acknowledged += sum(kind not in {"end", "error"} for kind, _ in said)
        CHECKS[fault.workload](Path(case["folder"]), said)
        shutil.rmtree(case["folder"])
    tally.count("fault at one system call (strace)", cases=hit, acknowledged=acknowledged)
    print(f"{fault}: {hit} faults met, {acknowledged} acknowledged, 0 lost")
    return Outcome(hit=hit, acknowledged=acknowledged, errors=tuple(errors))


def _check_append(folder: Path, said: list[list[Any]]) -> None:
    known = {value[0]: value[1] for kind, value in said if kind == "record"}
    with open_ledger(folder) as ledger:
        assert {index: ledger.read(index).iri for index in known} == known
        assert len(known) <= verify_ledger(ledger).size <= RECORDS
        # Life goes on.
        ledger.append([small(number, signer=PRODUCER) for number in range(RECORDS + 1)])
        assert verify_ledger(ledger).size == RECORDS + 1
        left = [name for name in os.listdir(folder / "home") if name.endswith(".new")]
        assert len(left) <= 1


def _check_publish(folder: Path, said: list[list[Any]]) -> None:
    published = max([254, *(value for kind, value in said if kind == "published")])
    log = open_published(folder / "www")
    assert published <= verify_published(folder / "www").size <= 260
    with open_ledger(folder) as ledger:
        assert verify_ledger(ledger).size >= log.checkpoint.size
        ledger.append([small(number, signer=PRODUCER) for number in range(ledger.size(), 261)])
        note = ledger.cosigned_checkpoint(mldsa_signer=MLDSA, clock=clock)
        publish(ledger, folder / "www", note=note)
        assert verify_published(folder / "www", seen=log.checkpoint).size == 261
        assert ledger.charter.log_key == LOG.public_key
    assert [name for name in os.listdir(folder / "www") if name.startswith(".")] == []


def _check_keys(folder: Path, said: list[list[Any]]) -> None:
    known: dict[str, str] = {kind: value for kind, value in said if kind in {"log", "mldsa"}}
    for name, load in (("log", load_or_create_signer), ("mldsa", load_or_create_mldsa_signer)):
        key = load(folder / "keys" / f"{name}.pem").public_key.hex()  # type: ignore[operator]
        assert known.get(name, key) == key


CHECKS: Mapping[str, Any] = {
    "create": _check_append,
    "append": _check_append,
    "publish": _check_publish,
    "keys": _check_keys,
    "run": fault_homes.check_runs,
    "bundle": fault_homes.check_bundles,
    "index": fault_homes.check_index,
}


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
