"""Measures how fast records are acknowledged: one producer, many threads, many processes.

    python group_rates.py <folder> [<records of each producer>]

Prints records per second as JSON, and how many milliseconds one sync of 16 kB takes here. Producers
have sealed their records before the clock starts.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "ledger"), str(HERE.parents[1])]

from ledger_samples import LOG_SEED, PRODUCER_SEED, clock, pending_run, small  # noqa: E402

from provgraph.ledger.group import Committer  # noqa: E402
from provgraph.ledger.rows import Pending  # noqa: E402
from provgraph.ledger.sqlite import Ledger  # noqa: E402
from provgraph.seal.keys import signer_from_seed  # noqa: E402

PRODUCERS = 32
EACH = 30

# What making the records took, by way: the clock of rates does not run meanwhile.
SEALED_CPU_S: dict[str, float] = {}

Make = Callable[..., Pending]


def open_ledger(folder: Path) -> Ledger:
    return Ledger.open(folder / "ledger.db", log_signer=signer_from_seed(LOG_SEED), clock=clock)


def records(make: Make, start: int, count: int) -> list[Pending]:
    signer = signer_from_seed(PRODUCER_SEED)
    return [make(number, signer=signer) for number in range(start, start + count)]


def one(folder: Path, make: Make) -> float:
    cpu_s = time.process_time()
    items = records(make, 0, 5 * EACH)
    SEALED_CPU_S["one"] = time.process_time() - cpu_s
    with open_ledger(folder) as ledger:
        started = time.perf_counter()
        for item in items:
            ledger.append([item])
        return len(items) / (time.perf_counter() - started)


def threads(folder: Path, make: Make) -> float:
    cpu_s = time.process_time()
    shares = [records(make, EACH * number, EACH) for number in range(PRODUCERS)]
    SEALED_CPU_S["threads"] = time.process_time() - cpu_s

    def produce(share: Sequence[Pending]) -> None:
        for item in share:
            committer.append([item])

    with open_ledger(folder) as ledger, Committer(ledger) as committer:
        workers = [threading.Thread(target=produce, args=(share,)) for share in shares]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return PRODUCERS * EACH / (time.perf_counter() - started)


def _process(folder: Path, make: Make, start: int, ready: Any, go: Any) -> None:
    items = records(make, start, EACH)
    with open_ledger(folder) as ledger:
        ready.release()
        go.wait()
        for item in items:
            ledger.append([item])


def processes(folder: Path, make: Make) -> float:
    open_ledger(folder).close()
    ready, go = multiprocessing.Semaphore(0), multiprocessing.Event()
    workers = [
        multiprocessing.Process(target=_process, args=(folder, make, EACH * number, ready, go))
        for number in range(PRODUCERS)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    started = time.perf_counter()
    go.set()
    for worker in workers:
        worker.join()
    return PRODUCERS * EACH / (time.perf_counter() - started)


def sync_ms(folder: Path) -> float:
    """Return what appending a page to a file and syncing it takes, the median of many."""
    times = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(os.urandom(16384))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def main(folder: Path) -> None:
    found: dict[str, dict[str, float]] = {"sync": {"ms": round(sync_ms(folder), 3)}}
    for name, make in (("small", small), ("run", pending_run)):
        found[name] = {}
        for way in (one, threads, processes):
            place = folder / f"{name}-{way.__name__}"
            place.mkdir()
            cpu_s = time.process_time()
            found[name][way.__name__] = round(way(place, make), 1)
            # Sealing the records is not in it, nor are processes of their own.
            cpu_s = time.process_time() - cpu_s - SEALED_CPU_S.pop(way.__name__, 0)
            count = {"one": 5 * EACH, "threads": PRODUCERS * EACH}.get(way.__name__)
            if count is not None:
                found[name][f"{way.__name__} cpu ms"] = round(1000 * cpu_s / count, 4)
    print(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        EACH = int(sys.argv[2])
    main(Path(sys.argv[1]))
