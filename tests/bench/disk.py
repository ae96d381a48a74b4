"""Bytes on the disk per run: the ledger, the index, MLflow's database; and what they hold."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from provgraph.service.asking import open_reader, reindex
from tests.bench import with_provgraph
from tests.bench.measure import digits
from tests.bench.recording import WARM_UP_RUNS
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores, disk_bytes

WANTED_LEDGER_SHARE = 1 / 5
WANTED_ALL_SHARE = 2.0


def run(stores: Stores, scale: Scale) -> Section:
    """Weigh the stores that recording filled."""
    runs = scale.runs + WARM_UP_RUNS
    with with_provgraph.home(stores.home) as settings:
        _fold(settings.ledger_path)
        ledger = disk_bytes(*settings.home.glob("ledger.db*"))
        with open_reader(settings) as reader:
            quads = reader.index.quad_count()
            reader.index.close_store()
        replayed = disk_bytes(settings.index_folder)
        reindex(settings)
        rebuilt = disk_bytes(settings.index_folder)
        inside = _ledger_table(settings.ledger_path, runs)
    sizes = [
        ("ledger", ledger),
        ("index, after replay in batches", replayed),
        ("index, after `provgraph reindex`", rebuilt),
    ]
    targets: tuple[Target, ...] = ()
    if stores.mlflow is not None:
        theirs = disk_bytes(stores.mlflow.path)
        sizes.append(("MLflow's database", theirs))
        # The larger of the two indexes counts: who only ever asks has the one made by replay.
        targets = _targets(ledger=ledger, index=max(replayed, rebuilt), theirs=theirs)
    note = (
        f"The index holds {quads:,} quads, {quads / runs:.0f} per run, and takes"
        f" {replayed / quads:.0f} bytes for each after replay, {rebuilt / quads:.0f} after"
        " reindexing. It is disposable: the ledger alone must be kept and backed up."
    )
    return Section(
        title="Disk",
        method=_METHOD.format(runs=runs),
        tables=(
            Table(
                title="Disk space, in blocks that the file system has given",
                head=("", "bytes per run", "of the ledger"),
                rows=tuple(
                    (name, f"{size / runs:,.0f}", f"{size / ledger:.2f}") for name, size in sizes
                ),
            ),
            inside,
        ),
        targets=targets,
        notes=(note,),
    )


def _targets(*, ledger: int, index: int, theirs: int) -> tuple[Target, ...]:
    share, both = ledger / theirs, (ledger + index) / theirs
    return (
        Target(
            what="Disk of the ledger, against MLflow's database",
            wanted="at most a fifth",
            found=f"{digits(share)} of it, 1 / {digits(1 / share)}",
            is_met=share <= WANTED_LEDGER_SHARE,
        ),
        Target(
            what="Disk of ledger and index together, against MLflow's database",
            wanted="at most twice",
            found=f"{digits(both)} times",
            is_met=both <= WANTED_ALL_SHARE,
        ),
    )


def _fold(path: Path) -> None:
    """Fold the write-ahead log into the ledger's file, as closing the last connection does."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


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
