"""Checking a whole ledger: against the bare cost of its parts, the index, memory, and proofs.

`python -m tests.bench.verifying ledger|index HOME` measures one check in a process of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import resource
import select
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyoxigraph as ox

from provgraph.ledger import compression
from provgraph.ledger.codec import split_sealed
from provgraph.ledger.fsck import check_ledger
from provgraph.ledger.sqlite import Ledger
from provgraph.pool import Answer, Task, Work, answers
from provgraph.seal import libsodium
from provgraph.seal.entry import parse_entry
from provgraph.seal.keys import generate_signer, verify_ed25519
from provgraph.seal.merkle import Frontier, leaf_hash, verify_inclusion
from provgraph.seal.multikey import multibase_decode, parse_verification_method
from provgraph.service.home import close_ledger, readable_ledger, utc_now
from provgraph.service.index_check import check_index
from provgraph.service.indexing import reindex
from provgraph.settings import Settings, load
from provgraph.terms import MAX_GRAPH_BYTES
from tests.bench import with_provgraph
from tests.bench.big_ledger import copy_runs
from tests.bench.measure import digits, spread
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores
from tests.bench.workload import facts

_PROCESSES = 2
_TEMPLATES = 50
_PROOFS = 1000
_SAMPLE_S = 0.5
_REPOSITORY = Path(__file__).resolve().parents[2]

WANTED_LEDGER_RATE = 12_000
WANTED_INDEX_RATE = 1_000
WANTED_PROOF_MS = 1.0


def run(stores: Stores, scale: Scale) -> Section:
    """Check a large ledger and an index, each in a process of its own; prove entries of a huge one."""
    home = stores.folder / "verifying"
    with with_provgraph.home(home) as settings:
        for number in range(min(_TEMPLATES, scale.indexed // 2)):
            with_provgraph.record(facts(number))
        copy_runs(settings, size=scale.indexed)
        close_ledger()
        small = _measured("ledger", settings)
        reindex(settings)
        index = _measured("index", settings)
        shutil.rmtree(settings.index_folder)
        copy_runs(settings, size=scale.verified)
        close_ledger()
        large = _measured("ledger", settings)
    shutil.rmtree(home)
    with with_provgraph.home(home) as settings:
        with_provgraph.record_chain(min(_TEMPLATES, scale.indexed // 2))
        copy_runs(settings, size=scale.verified)
        close_ledger()
        short = _measured("ledger", settings)
    proofs_s = _proofs(stores.folder / "huge.db", scale.leaves)
    shutil.rmtree(home)
    (stores.folder / "huge.db").unlink()
    proof = spread(proofs_s)
    return Section(
        title="Checking a ledger",
        method=_METHOD.format(
            size=scale.verified,
            indexed=scale.indexed,
            library="libsodium" if large["libsodium"] else "OpenSSL",
            leaves=scale.leaves,
            proofs=_PROOFS,
        ),
        tables=(
            Table(
                title=f"`provgraph verify`, {_PROCESSES} processes",
                head=(
                    "",
                    "bytes per graph",
                    "graphs per second",
                    "CPU ms per graph",
                    f"graphs per {_PROCESSES} CPU seconds",
                    "MB of all processes: at a tenth of the time, at half, largest",
                ),
                rows=(
                    _row(f"ledger of {scale.indexed:,}", small),
                    _row(f"ledger of {scale.verified:,}", large),
                    _bare_row(large),
                    _row(f"ledger of {scale.verified:,} short runs", short),
                    _bare_row(short),
                    _row(f"`--deep`: index of {scale.indexed:,}", index | {"graph_bytes": 0}),
                    _engine_row(index),
                ),
            ),
            Table(
                title=f"Proof of inclusion, {scale.leaves:,} leaves",
                head=("", "ms"),
                rows=(("from the SQLite ledger", proof.text(scale=1000)),),
            ),
        ),
        targets=(
            _ledger_target("runs", large),
            _ledger_target("short runs", short),
            Target(
                what="Checking the index against the ledger",
                wanted=f"at least {WANTED_INDEX_RATE:,} graphs per second on 2 cores",
                found=digits(index["rate"]),
                is_met=index["rate"] >= WANTED_INDEX_RATE,
            ),
            Target(
                what=f"A proof of inclusion at {scale.leaves:,} leaves",
                wanted=f"below {WANTED_PROOF_MS:g} ms",
                found=f"{digits(1000 * proof.median)} ms",
                is_met=1000 * proof.median < WANTED_PROOF_MS,
            ),
        ),
    )


def _ledger_target(what: str, found: dict[str, Any]) -> Target:
    return Target(
        what=f"Checking a ledger of {what}: digests, seals, tree, names and keys",
        wanted=f"at least {WANTED_LEDGER_RATE:,} graphs per second on 2 cores",
        found=(
            f"{found['graph_bytes'] // found['size']:,} bytes a graph: {digits(found['rate'])},"
            f" and {digits(_PROCESSES / found['cpu_s'])} in {_PROCESSES} CPU"
            f" seconds; {digits(found['cpu_s'] / found['bare_cpu_s'])} times the CPU time of the"
            " bare parts"
        ),
        is_met=found["rate"] >= WANTED_LEDGER_RATE,
    )


def _row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        f"{found['graph_bytes'] // found['size']:,}" if found["graph_bytes"] else "",
        digits(found["rate"]),
        digits(1000 * found["cpu_s"]),
        digits(_PROCESSES / found["cpu_s"]),
        ", ".join(digits(each) for each in found["mb"]),
    )


def _bare_row(found: dict[str, Any]) -> tuple[str, ...]:
    return (
        "of which nothing but the bare parts",
        "",
        digits(found["bare_rate"]),
        digits(1000 * found["bare_cpu_s"]),
        digits(_PROCESSES / found["bare_cpu_s"]),
        "",
    )


def _engine_row(found: dict[str, Any]) -> tuple[str, ...]:
    return (
        "of which the engine gives its statements back",
        "",
        "",
        digits(1000 * found["engine_cpu_s"]),
        digits(_PROCESSES / found["engine_cpu_s"]),
        "",
    )


def _measured(what: str, settings: Settings) -> dict[str, Any]:
    """Measure one check in processes of its own, and what memory they all have meanwhile."""
    command = [sys.executable, "-m", "tests.bench.verifying", what, str(settings.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_REPOSITORY) as checking:
        assert checking.stdout is not None
        taken = [_resident_mb(checking.pid)]
        # The first line comes when the check is done; other measurements follow.
        while not select.select([checking.stdout], [], [], _SAMPLE_S)[0]:
            taken.append(_resident_mb(checking.pid))
        lines = checking.stdout.read().splitlines()
    if checking.returncode != 0:
        raise RuntimeError(f"the check of the {what} ended with {checking.returncode}")
    found: dict[str, Any] = json.loads(lines[0]) | json.loads(lines[1])
    found["mb"] = (taken[len(taken) // 10], taken[len(taken) // 2], max(taken))
    return found


def _resident_mb(pid: int) -> float:
    """Return the resident memory of a process and those that it started; shared pages count in each."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task").glob("*/children")
        below = [int(each) for path in children for each in path.read_text().split()]
        return pages * resource.getpagesize() / 1e6 + sum(map(_resident_mb, below))
    return 0.0


# ---- proofs ------------------------------------------------------------------------------------------
def _proofs(path: Path, leaves: int) -> list[float]:
    """Fill a ledger's table with real tree hashes and next to no content, then prove entries."""
    with Ledger.open(path, log_signer=generate_signer(), clock=utc_now) as ledger:
        db = ledger._db
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        # Inserting in the order of a hash takes hours; proofs do not use it.
        db.execute("DROP INDEX record_iri")
        frontier = Frontier(size=0)
        db.executemany("INSERT INTO record VALUES (?, 0, ?, x'00', x'00')", _rows(frontier, leaves))
        db.execute("COMMIT")
        root = ledger.root()
        assert root == frontier.root()
        rng = random.Random(leaves)
        taken = []
        for index in (rng.randrange(leaves) for _ in range(_PROOFS)):
            start_s = time.perf_counter()
            proof = ledger.inclusion_proof(index, leaves)
            taken.append(time.perf_counter() - start_s)
            leaf = leaf_hash(index.to_bytes(8, "big"))
            verify_inclusion(leaf=leaf, index=index, size=leaves, proof=proof, root=root)
    return taken


def _rows(frontier: Frontier, leaves: int) -> Iterator[tuple[int, bytes]]:
    for index in range(leaves):
        yield index, b"".join(frontier.append(leaf_hash(index.to_bytes(8, "big"))))


# ---- the bare parts ----------------------------------------------------------------------------------
@contextlib.contextmanager
def begin_bare(setup: Task) -> Iterator[Work]:
    """Read rows, inflate, hash and verify, and look at nothing else."""
    libsodium.load()
    with contextlib.closing(sqlite3.connect(setup["ledger"])) as db:

        def work(task: Task) -> Answer:
            rows = db.execute(
                "SELECT position, sealed, graph FROM record WHERE position >= ? AND position < ?",
                (task["start"], task["stop"]),
            )
            count = 0
            for position, sealed, graph in rows:
                entry_bytes, proof_nq = split_sealed(sealed, position)
                entry = setup.setdefault("entry", parse_entry(entry_bytes))
                graph_nq = compression.decode(graph, max_bytes=MAX_GRAPH_BYTES)
                data = hashlib.sha256(proof_nq).digest() + hashlib.sha256(graph_nq).digest()
                leaf_hash(entry_bytes)
                # One signature over and over takes as long as another, and spares the parsing.
                key = setup.setdefault("key", parse_verification_method(entry.verification_method))
                signed = setup.setdefault(
                    "signed", (multibase_decode(entry.proof_value, length=64, what="x"), data)
                )
                verify_ed25519(key.raw, *signed, what="bare")
                count += 1
            return {"count": count}

        yield work


def _bare(ledger: Ledger) -> float:
    size = ledger.size()
    tasks = ({"start": at, "stop": at + 1024} for at in range(0, size, 1024))
    setup: Task = {"ledger": str(ledger.path)}
    start_s = time.perf_counter()
    done = answers("tests.bench.verifying:begin_bare", setup, tasks, processes=_PROCESSES)
    assert sum(answer["count"] for _, answer in done) == size
    return time.perf_counter() - start_s


def _cpu_s() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


def main() -> None:
    """Measure one check and print it."""
    what, home = sys.argv[1:]
    with with_provgraph.home(Path(home)):
        settings = load()
    found: dict[str, Any] = {"libsodium": libsodium.load()}
    with readable_ledger(settings) as ledger:
        size = ledger.size()
        cpu_s, wall_s = _cpu_s(), time.perf_counter()
        if what == "ledger":
            report = check_ledger(ledger, processes=_PROCESSES)
            found["graph_bytes"] = report.graph_bytes
        else:
            report = check_index(
                ledger,
                settings.index_folder,
                size=size,
                processes=_PROCESSES,
                go_on=False,
                wait_s=1,
                progress=lambda _done, _total: None,
            )
        assert (report.size, report.findings) == (size, ())
        found["rate"] = size / (time.perf_counter() - wall_s)
        found["cpu_s"] = (_cpu_s() - cpu_s) / size
        found["size"] = size
        print(json.dumps(found), flush=True)
        more = {}
        cpu_s = _cpu_s()
        if what == "ledger":
            more["bare_rate"] = size / _bare(ledger)
            more["bare_cpu_s"] = (_cpu_s() - cpu_s) / size
        else:
            _give_back(settings.index_folder, [record.iri for record in ledger.records()])
            more["engine_cpu_s"] = (_cpu_s() - cpu_s) / size
    print(json.dumps(more))


def _give_back(folder: Path, iris: list[str]) -> None:
    """Have the engine write out the default graph and every record's, and do nothing with them."""
    store = ox.Store.read_only(str(folder))
    with Path(os.devnull).open("wb") as nowhere:
        store.dump(nowhere, format=ox.RdfFormat.N_TRIPLES, from_graph=ox.DefaultGraph())
    for iri in iris:
        store.dump(format=ox.RdfFormat.N_TRIPLES, from_graph=ox.NamedNode(iri))


_METHOD = """\
Runs as recorded above, copied under new ids: {size:,} graphs in the ledger, {indexed:,} for the index.
Short runs have two parameters and one metric. Ed25519 by {library}. The bare parts are a loop, in as many
processes, that reads the rows, inflates, hashes graph, proof and leaf, and verifies one signature for
each, and looks at nothing else: no reader can be faster. The index cannot be compared in less than
its engine takes to write out every statement, for the record's graph and for the default graph.
Where other work keeps the cores busy, graphs per CPU second say more than graphs per second. Memory is
the resident set, summed over all processes; pages that they share count in each. The ledger for proofs
has the real tables and {leaves:,} rows with real tree hashes and next to no content; {proofs:,} entries at
random are proved, each proof verified outside the clock."""


if __name__ == "__main__":
    main()
