"""Records through the public API, and says on standard output what was acknowledged.

    python recorder.py <what> [<number>]

One line each, after the word `said`: `record <IRI> <SHA-256 of its graph>`, `tree <size> <root>`, `published <size>`,
`exported <path>`. A line is written after the call that acknowledges has returned, and never before.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping

import provgraph
from provgraph.capture.sinks import Receipt
from provgraph.ledger.tiles import publish
from provgraph.service import home
from provgraph.service.asking import open_reader
from provgraph.service.exporting import export_bundle, save_bundle
from provgraph.service.recovery import recover
from provgraph.settings import load

# So that the write-ahead log is folded into the file within few records.
FOLD_PAGES = 8


def say(*words: object) -> None:
    """One line, at once, in one system call."""
    os.write(1, (" ".join(["said", *map(str, words)]) + "\n").encode())


def acknowledge(receipt: Receipt | None) -> None:
    """Say what a receipt stands for."""
    if receipt is None:
        raise SystemExit("not acknowledged")
    with home.writable_ledger(load()) as ledger:
        graph = ledger.graph(receipt.position)
        size = ledger.size()
        say("record", receipt.record, hashlib.sha256(graph).hexdigest())
        say("tree", size, ledger.root(size).hex())


def record(number: int) -> None:
    """Record runs, each with a later fact."""
    # The first record opens the ledger; its write-ahead log is folded soon from then on.
    for each in range(number):
        with provgraph.run("train", owner="ada", project="churn") as run:
            run.log_params(number=each, pid=os.getpid())
            run.log_metrics(loss=0.5)
        acknowledge(run.receipt)
        with home.writable_ledger(load()) as ledger:
            ledger._db.execute(f"PRAGMA wal_autocheckpoint = {FOLD_PAGES}")
        acknowledge(provgraph.retract(run, reason="a test", by="ada"))


def carelessly(number: int) -> None:
    """Record as SQLite does at synchronous=NORMAL: the check of the checks."""
    with home.writable_ledger(load()) as ledger:
        ledger._db.execute("PRAGMA synchronous = NORMAL")
    record(number)


def take_over(_: int) -> None:
    """Seal what killed processes have left."""
    for each in recover(load()):
        acknowledge(each.receipt)


def publish_now(number: int) -> None:
    """Record and publish, in turns."""
    for _ in range(number):
        record(1)
        publish_again(1)


def publish_again(_: int) -> None:
    """Publish what is there."""
    settings = load()
    note = home.cosigned_checkpoint(settings)
    with home.readable_ledger(settings) as ledger:
        done = publish(ledger, settings.home.parent / "www", note=note)
    say("published", done.checkpoint.size, done.checkpoint.root.hex())


def export(_: int) -> None:
    """Write a bundle as a file and as a folder."""
    settings = load()
    with open_reader(settings) as reader:
        members = export_bundle(reader, "train")
    place = settings.home.parent
    for path in (place / "bundle.zip", place / "bundle"):
        save_bundle(members, path)
        say("exported", path.name)


WHAT: Mapping[str, Callable[[int], None]] = {
    "record": record,
    "carelessly": carelessly,
    "recover": take_over,
    "publish": publish_now,
    "publish-again": publish_again,
    "export": export,
}

if __name__ == "__main__":
    sys.dont_write_bytecode = True
    WHAT[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 1)
