"""Where the time of checking a ledger goes: the parts of `fsck_range`, in one process, under clocks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence

from provgraph.ledger import compression, fsck_range
from provgraph.ledger.fsck_snapshot import take_snapshot
from provgraph.seal import proof
from provgraph.service.home import close_ledger, readable_ledger
from tests.bench import with_provgraph
from tests.bench.big_ledger import copy_runs
from tests.bench.clocks import Clocks, Place
from tests.bench.measure import digits, measured
from tests.bench.results import FULL, Scale, Section, Table
from tests.bench.stores import Stores
from tests.bench.workload import facts

# What no reader can leave out stands first.
BARE: Mapping[str, Sequence[Place]] = {
    "verifying the signature": [(proof, "verify_signature")],
    "SHA-256 of graph, proof, leaf and IRI": [(hashlib, "sha256")],
    "inflating graph, entry and proof": [(compression, "decode")],
}
PARTS: Mapping[str, Sequence[Place]] = {
    **BARE,
    "lines: apart, sorted, in their graph": [(fsck_range, "require_sorted_lines")],
    "names and attachments held against the lines": [(fsck_range._Range, "_check_additions")],
    "entry, proof and signature read": [
        (fsck_range, "parse_entry"),
        (fsck_range, "split_sealed"),
        (proof, "parse_proof_config"),
        (proof, "multibase_decode"),
    ],
    "hashes of the tree": [(fsck_range._Range, "_check_nodes")],
    "digest of the row, for --resume": [(fsck_range._Range, "_note_row")],
}
_REST = "rows and names out of SQLite, and what is between these"


def run(stores: Stores, scale: Scale) -> Section:
    """Check some ranges of a ledger, first as it is done, then with clocks."""
    size = 4 * fsck_range.RANGE_ENTRIES if scale is FULL else 2 * scale.indexed
    with with_provgraph.home(stores.folder / "checking") as settings:
        for number in range(scale.block_runs):
            with_provgraph.record(facts(number))
        copy_runs(settings, size=size)
        close_ledger()
        with readable_ledger(settings) as ledger:
            path = ledger.path
            names = take_snapshot(ledger, names=stores.folder / "checking-names.db").names
    tasks = [
        {"start": start, "stop": min(start + fsck_range.RANGE_ENTRIES, size)}
        for start in range(0, size, fsck_range.RANGE_ENTRIES)
    ]
    clocks = Clocks(time.process_time)
    with fsck_range.begin(
        {"ledger": str(path), "names": None if names is None else str(names), "all": False}
    ) as work:

        def check() -> None:
            for task in tasks:
                if work(task)["findings"]:
                    raise RuntimeError("a ledger that was just made is not right")

        check()
        plain_s = min(measured(check).cpu_s for _ in range(3))
        with clocks.around(PARTS):
            total_s = measured(check).cpu_s
    found = {part: clocks.seconds[part] for part in PARTS}
    found[_REST] = total_s - sum(found.values())

    def each(seconds: float) -> str:
        return digits(1e6 * seconds / size)

    return Section(
        title="Where checking takes its time",
        method=_METHOD.format(size=size),
        tables=(
            Table(
                title="A graph of a run, CPU time by part",
                head=("part", "µs per graph"),
                rows=(
                    *((part, each(seconds)) for part, seconds in found.items()),
                    ("all, under clocks", each(total_s)),
                    ("all, without clocks", each(plain_s)),
                ),
            ),
        ),
        notes=(
            (
                "The first three parts are what the bare loop of the section before does, in"
                f" {each(sum(found[part] for part in BARE))} µs here; {digits(2 / 12_000 * 1e6)} µs"
                " would be 12,000 graphs in 2 CPU seconds. What is left of the rest is work on each"
                " line and name, which Python does one by one."
            ),
        ),
    )


_METHOD = """\
{size:,} graphs of runs, checked range by range in one process (`provgraph.ledger.fsck_range`). A clock
costs about a microsecond for each call, so the parts with many calls look a little worse than they are."""
