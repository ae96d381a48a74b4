"""Records through the public API, and says on standard output what was acknowledged.

    python recorder.py <what> [<number>]

One line each, after the word `said`: `begun <run>`, `record <IRI> <SHA-256 of its graph>`,
`tree <size> <root>`, `published <size> <root>`, `exported <path>`. A line is written after the call that acknowledges has returned, and never before.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import provgraph
from provgraph.capture.sinks import Receipt
from provgraph.ledger.tiles import publish
from provgraph.service import executing, home
from provgraph.service.asking import open_reader
from provgraph.service.executing import Labels
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
            say("begun", run.id)
            run.log_params(number=each, pid=os.getpid())
            run.log_metrics(loss=0.5)
        acknowledge(run.receipt)
        with home.writable_ledger(load()) as ledger:
            ledger._db.execute(f"PRAGMA wal_autocheckpoint = {FOLD_PAGES}")
        acknowledge(provgraph.retract(run, reason="a test", by="ada"))


def linger(number: int) -> None:
    """Record runs that take their time, so that most are killed in their midst."""
    for _ in range(number):
        with provgraph.run("long", owner="ada") as run:
            say("begun", run.id)
            time.sleep(1)
        acknowledge(run.receipt)


def stubborn(number: int) -> None:
    """Record runs, also while the ledger takes none."""
    for _ in range(number):
        with provgraph.run("train", owner="ada") as run:
            say("begun", run.id)
        if run.receipt is not None:
            acknowledge(run.receipt)


def threads(number: int) -> None:
    """Record in several threads at once."""
    workers = [threading.Thread(target=record, args=(number,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def carelessly(number: int) -> None:
    """Record as SQLite does at synchronous=NORMAL: the check of the checks."""
    _record_at("NORMAL", number)


def unsynced(number: int) -> None:
    """Record as SQLite does at synchronous=OFF."""
    _record_at("OFF", number)


def _record_at(synchronous: str, number: int) -> None:
    with home.writable_ledger(load()) as ledger:
        ledger._db.execute(f"PRAGMA synchronous = {synchronous}")
    record(number)


def deploy(number: int) -> None:
    """Record deployments."""
    for _ in range(number):
        acknowledge(provgraph.deploy(Path(__file__), stage="production", by="ada"))


def execute(number: int) -> None:
    """Record a command from outside."""
    labels = Labels(name="exec", owner="ada", tags={})
    for _ in range(number):
        done = executing.execute(load(), ["true"], labels=labels, inputs={}, outputs={})
        acknowledge(done.receipt)


def take_over(number: int) -> None:
    """Seal what killed processes have left."""
    for _ in range(number):
        for each in recover(load()):
            acknowledge(each.receipt)
        if number > 1:
            time.sleep(0.02)


def ask(number: int) -> None:
    """Bring the index up to the ledger, and ask."""
    for _ in range(number):
        if load().ledger_path.exists():
            with open_reader(load()) as reader:
                reader.index.select("SELECT ?s WHERE { ?s ?p ?o } LIMIT 5")
        if number > 1:
            time.sleep(0.02)


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
    "linger": linger,
    "stubborn": stubborn,
    "threads": threads,
    "carelessly": carelessly,
    "unsynced": unsynced,
    "deploy": deploy,
    "exec": execute,
    "recover": take_over,
    "ask": ask,
    "publish": publish_now,
    "publish-again": publish_again,
    "export": export,
}

if __name__ == "__main__":
    sys.dont_write_bytecode = True
    WHAT[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 1)
