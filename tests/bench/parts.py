"""Where the time of recording goes, and how far it is from the bare cost of what it must do."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provgraph import terms
from provgraph.capture import journal, recorder, scope, state
from provgraph.capture import run as capture_run
from provgraph.ledger import sqlite as ledger
from provgraph.ledger.rows import StoredRecord
from provgraph.service import api, home, recording
from tests.bench import with_provgraph
from tests.bench.clocks import Clocks, Place
from tests.bench.measure import digits, interleaved, measured, wall
from tests.bench.results import Scale, Section, Table
from tests.bench.stores import Stores
from tests.bench.workload import facts

PARTS: Mapping[str, Sequence[Place]] = {
    "surroundings: command, environment, source code, seeds": [(capture_run, "_write_probe")],
    "facts: the API's calls, in memory and as JSON": [
        *((capture_run.Run, name) for name in ("_start_run", "log_tags")),
        *((scope.Scope, name) for name in ("use", "generate", "log_params", "log_metrics")),
        (state.RunState, "apply"),
        (state.RunState, "run"),
        (recorder, "line_of"),
    ],
    "journal: a file made, written and removed": [
        (journal.Journal, "write"),
        (journal.Journal, "close"),
    ],
    "conversion to PROV-O statements": [(recording, "convert")],
    "canonical bytes: sorting and encoding": [(terms.Graph, "canonical")],
    "seal: SHA-256 and Ed25519 over the graph": [(recording, "seal")],
    "ledger: records and names looked up": [
        (ledger.Ledger, "find"),
        (recording, "_against_names"),
    ],
    "ledger: entry checked, written and deflated": [(ledger, "prepare")],
    "ledger: tree and signed checkpoint": [
        (ledger.Ledger, "_frontier_of"),
        (ledger, "sign_checkpoint"),
    ],
    "ledger: SQLite transaction with its fsync": [(ledger.Ledger, "append")],
    "settings read": [(api, "usable_settings")],
}
REST = "what is between these"


def run(stores: Stores, scale: Scale) -> Section:
    """Measure the parts of recording, then the whole and the bare cost in turns."""
    with with_provgraph.home(stores.folder / "parts") as settings:
        _block(0, scale)
        clocks = Clocks()
        with clocks.around(PARTS):
            total_s = sum(
                measured(lambda block=block: _block(block, scale)).wall_s
                for block in range(1, scale.blocks)
            )
        with home.readable_ledger(settings) as reader:
            stored = reader.read(reader.size() - 1)
        with _bare_parts(stores.folder / "bare.db", stored) as bare:
            samples = interleaved(
                scale.blocks,
                {
                    "whole": lambda block: _block(scale.blocks + block, scale),
                    "bare": lambda _: [bare() for _ in range(scale.block_runs)],
                },
            )
    runs = (scale.blocks - 1) * scale.block_runs
    spent_s = {part: clocks.seconds[part] for part in PARTS}
    spent_s[REST] = total_s - sum(spent_s.values())
    ordered = sorted(spent_s.items(), key=lambda each: -each[1])
    whole, parts = (wall(samples[name], per=scale.block_runs) for name in ("whole", "bare"))
    note = (
        f"The graph of such a run has {len(stored.graph_nq.splitlines()):,} statements and"
        f" {len(stored.graph_nq):,} bytes of canonical N-Quads; its entry has"
        f" {len(stored.entry):,} bytes and its proof {len(stored.proof_nq):,}."
    )
    return Section(
        title="Where the time goes",
        method=_METHOD,
        tables=(
            Table(
                title="Wall time of one recorded run, by part",
                head=("part", "ms per run", "share"),
                rows=tuple(
                    (part, digits(1000 * seconds / runs), f"{seconds / total_s:.0%}")
                    for part, seconds in ordered
                ),
            ),
            Table(
                title="The whole beside the bare cost of making the same bytes tamper-evident and"
                " durable",
                head=("", "wall ms per run"),
                rows=(
                    ("recording a run", whole.text(scale=1000)),
                    (
                        "SHA-256, Ed25519 and one commit of graph, entry and proof",
                        parts.text(scale=1000),
                    ),
                    ("ratio", digits(whole.median / parts.median)),
                ),
            ),
        ),
        notes=(note,),
    )


def _block(block: int, scale: Scale) -> None:
    for number in range(block * scale.block_runs, (block + 1) * scale.block_runs):
        with_provgraph.record(facts(number))


@contextlib.contextmanager
def _bare_parts(path: Path, stored: StoredRecord) -> Iterator[Callable[[], None]]:
    """Yield a function that hashes, signs and commits a record's bytes, and does nothing else."""
    key = Ed25519PrivateKey.generate()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE record (id INTEGER PRIMARY KEY, graph BLOB, seal BLOB)")

        def bare() -> None:
            digest = hashlib.sha256(stored.graph_nq).digest()
            signature = key.sign(hashlib.sha256(stored.proof_nq).digest() + digest)
            row = (stored.graph_nq, stored.entry + stored.proof_nq + signature)
            db.execute("INSERT INTO record (graph, seal) VALUES (?, ?)", row)

        yield bare


_METHOD = """\
The functions on the path of a run carry clocks that stop while another one runs, so the parts add
up. The bare cost is that of a loop that hashes, signs and commits (SQLite, WAL, synchronous=FULL)
the very bytes of such a run without making them; it runs in turns with real runs."""
