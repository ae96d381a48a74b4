"""Bytes on the disk per run: the ledger, the index, MLflow's database; and what they hold."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from provgraph.service.asking import open_reader
from provgraph.service.home import readable_ledger
from provgraph.settings import Settings
from tests.bench import with_provgraph
from tests.bench.measure import digits
from tests.bench.recording import WARM_UP_RUNS
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores, disk_bytes
from tests.bench.workload import MODEL, facts

WANTED_LEDGER_SHARE = 1 / 5
WANTED_BOTH_SHARE = 2.0


def run(stores: Stores, scale: Scale) -> Section:
    """Weigh the stores that recording filled, and a copy that grew run by run afterwards."""
    runs = scale.runs + WARM_UP_RUNS
    with with_provgraph.home(stores.home) as settings:
        ledger = _ledger_bytes(settings)
        with open_reader(settings):
            pass
        index = disk_bytes(settings.index_folder)
        statements, records = _statements(settings)
        inside = _ledger_table(settings.ledger_path, runs)
    later = scale.block_runs
    grown_ledger, grown_index = _grown(stores, first=scale.runs + WARM_UP_RUNS, count=later)
    sizes = [
        ("ledger", ledger / runs),
        ("index, as the first question builds it", index / runs),
        (
            f"index, after {later} more runs with a question after each",
            grown_index / (runs + later),
        ),
    ]
    targets: tuple[Target, ...] = ()
    if stores.mlflow is not None:
        theirs = disk_bytes(stores.mlflow.path) / runs
        sizes.append(("MLflow's database", theirs))
        targets = _targets(
            ledger=ledger / runs,
            both=(ledger + index) / runs,
            grown=(grown_ledger + grown_index) / (runs + later),
            theirs=theirs,
        )
    note = (
        f"The ledger's {records:,} records hold {statements:,} statements,"
        f" {statements / runs:.0f} per run. Each stands in the index twice, in the graph of its"
        " record and, once for all records that make it, in the default graph; that takes"
        f" {index / statements:.0f} bytes per statement. Below half a gigabyte the engine"
        " compresses only what was loaded at once, which is why an index that grew run by run takes"
        " more; `provgraph reindex` brings it back. The index is disposable: the ledger alone must"
        " be kept."
    )
    return Section(
        title="Disk",
        method=_METHOD.format(runs=runs),
        tables=(
            Table(
                title="Disk space, in blocks that the file system has given",
                head=("", "bytes per run", "of the ledger"),
                rows=tuple(
                    (name, f"{size:,.0f}", f"{size / (ledger / runs):.2f}") for name, size in sizes
                ),
            ),
            inside,
        ),
        targets=targets,
        notes=(note,),
    )


def _grown(stores: Stores, *, first: int, count: int) -> tuple[int, int]:
    """Return the bytes of ledger and index of a copy, after runs with a question after each."""
    copy = stores.folder / "grown"
    shutil.copytree(stores.home, copy, ignore=shutil.ignore_patterns("*-inbox"))
    with with_provgraph.home(copy) as settings:
        for number in range(first, first + count):
            with_provgraph.record(facts(number))
            with open_reader(settings) as reader:
                reader.ask("Q10", {"run": f"{MODEL}:{number}"})
        return _ledger_bytes(settings), disk_bytes(settings.index_folder)


def _ledger_bytes(settings: Settings) -> int:
    """Return what the ledger takes once its write-ahead log is folded into its file.

    Closing the last connection does that; it is open here for the next run.
    """
    db = sqlite3.connect(settings.ledger_path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return disk_bytes(*settings.home.glob("ledger.db*"))


def _statements(settings: Settings) -> tuple[int, int]:
    """Return how many statements the ledger's records hold, and how many records there are."""
    with readable_ledger(settings) as ledger:
        counts = [len(record.graph_nq.splitlines()) for record in ledger.records()]
    return sum(counts), len(counts)


def _targets(*, ledger: float, both: float, grown: float, theirs: float) -> tuple[Target, ...]:
    together = "Disk of ledger and index together, against MLflow's database"
    return (
        Target(
            what="Disk of the ledger, against MLflow's database",
            wanted="at most a fifth",
            found=f"1 / {digits(theirs / ledger)}",
            is_met=ledger / theirs <= WANTED_LEDGER_SHARE,
        ),
        Target(
            what=f"{together}, index built at once",
            wanted=f"at most {WANTED_BOTH_SHARE:g} times",
            found=f"{digits(both / theirs)} times",
            is_met=both / theirs <= WANTED_BOTH_SHARE,
        ),
        Target(
            what=f"{together}, index grown run by run",
            wanted=f"at most {WANTED_BOTH_SHARE:g} times",
            found=f"{digits(grown / theirs)} times",
            is_met=grown / theirs <= WANTED_BOTH_SHARE,
        ),
    )


def _ledger_table(path: Path, runs: int) -> Table:
    """Say what the ledger's bytes are: the content of each column, indexes, and page overhead."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def total(select: str) -> int:
        value: int = db.execute(select).fetchone()[0] or 0
        return value

    parts = {
        "graphs, deflated": total("SELECT sum(length(graph)) FROM record"),
        "entries and proofs, deflated": total("SELECT sum(length(sealed)) FROM record"),
        "hashes of the Merkle tree": total("SELECT sum(length(nodes)) FROM record"),
        "attachments": total("SELECT sum(length(data)) FROM attachment"),
        "names": total(
            "SELECT sum(length(kind) + length(name) + length(version) + length(iri)) FROM name"
        ),
    }
    whole = total("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    records = total("SELECT count(*) FROM record")
    db.close()
    parts["lookup by IRI, row heads, free space in pages"] = whole - sum(parts.values())
    return Table(
        title=f"What the ledger's bytes are ({records:,} records)",
        head=("", "bytes per run", "share"),
        rows=tuple(
            (name, f"{size / runs:,.0f}", f"{size / whole:.0%}") for name, size in parts.items()
        ),
    )


_METHOD = """\
The stores filled above, with {runs:,} runs each; no files are stored by either side. The ledger's
write-ahead log is folded first. MLflow's database is its SQLite file."""
