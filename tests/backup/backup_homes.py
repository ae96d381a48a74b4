"""Homes, places and children for tests of backups."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import provgraph
from provgraph.backup.places import FolderPlace
from provgraph.ledger.sqlite import Ledger
from provgraph.service.backing_up import Outcome, Request, back_up
from provgraph.service.home import close_ledger, utc_now
from provgraph.service.restoring import Choice, Restored, restore
from provgraph.settings import load

PASSPHRASE = b"correct horse battery"


def record(name: str, **params: object) -> str:
    """Record a run in the home in force."""
    with provgraph.run(name, project="churn", owner="ada@example.org") as run:
        run.log_params(params or {"depth": 3})
        run.use("s3://bucket/x.csv", name="x", role="train", digest="sha256:" + "ab" * 32)
    return run.id


def backed_up(*folders: Path, **how: object) -> list[Outcome]:
    """Back the home in force up to folders."""
    return back_up(load(), [FolderPlace(each) for each in folders], Request(**how))  # type: ignore[arg-type]


def restored(place: Path, folder: Path, **choice: object) -> Restored:
    """Restore a folder's backup."""
    return restore(FolderPlace(place), folder, Choice(**choice), progress=lambda *_: None)  # type: ignore[arg-type]


def rows_of(home: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of a ledger, attachments by digest."""
    with Ledger.open(home / "ledger.db", log_signer=None, clock=utc_now, read_only=True) as ledger:
        statements = {
            "ledger": "SELECT * FROM ledger",
            "record": "SELECT * FROM record ORDER BY position",
            "name": "SELECT * FROM name ORDER BY 1, 2, 3, 4, 5",
            "attachment": "SELECT digest, data FROM attachment ORDER BY digest",
            "attached": "SELECT position, digest FROM attached JOIN attachment ON id = attachment"
            " ORDER BY 1, 2",
        }
        return {name: ledger._db.execute(text).fetchall() for name, text in statements.items()}


def files_of(place: Path, kind: str) -> list[Path]:
    """Return the files of one kind at a place, sorted."""
    return sorted(path for path in (place / kind).iterdir() if not path.name.startswith("."))


def in_child(work: Callable[[], object]) -> tuple[int, object]:
    """Run work in a forked process; return its exit code (minus the signal), and what it returned."""
    close_ledger()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            os.write(writing, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading, "rb") as file:
        said = file.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), json.loads(said or b"null")


def sizes_of(place: Path) -> list[int]:
    """Return the ledger sizes of the backups at a place, in order."""
    return [int(path.name[:20]) for path in files_of(place, "manifests")]


def killing(
    function: Callable[..., object], *, at: int, is_after: bool = False
) -> Callable[..., object]:
    """Return the function, at whose `at`-th call (from 0) the process is killed: before it, or after."""
    calls = [0]

    def call(*arguments: object, **named: object) -> object:
        if calls[0] == at and is_after:
            function(*arguments, **named)
        if calls[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)
        calls[0] += 1
        return function(*arguments, **named)

    return call
