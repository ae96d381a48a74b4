"""The lineage index against the ledger: every edge and fact equal, none added, none missing.

1. It says which beginning of the ledger it holds, by size and root.
2. One built anew from the ledger's bytes up to there has the same rows: things are numbered in the
   order of the ledger, so equal means equal row by row.
3. The arrays, with what lies over them, lead from each thing to what its edges lead to, up and down, and
   hold as many edges.

Disk is that of another lineage index for a while; memory is that of one thing's edges.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final

from provgraph.errors import DamagedIndexError
from provgraph.index.edge_arrays import EdgeArrays, open_arrays, require_sound
from provgraph.index.edges import EdgeFile, open_edges
from provgraph.ledger.fsck_range import Finding
from provgraph.ledger.reading import LedgerReader
from provgraph.service.index_check import STEP_INDEX, scratch_beside
from provgraph.service.lineage_index import build

_ROWS: Final = 10_000
_ANEW: Final = "`provgraph reindex` builds it anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageReport:
    """What was compared, and what is wrong. `size` is that of the ledger which the file holds."""

    folder: str
    size: int
    things: int
    edges: int
    has_arrays: bool
    findings: tuple[Finding, ...]


def check_lineage(ledger: LedgerReader, folder: Path, *, size: int) -> LineageReport | None:
    """Compare the lineage index in a folder with the first `size` entries of a ledger; None without one.

    Raises:
        IndexUnavailableError: no room for another one.
        StorageError: the ledger cannot be read.
    """
    messages: list[str] = []
    things = edges = held = 0
    has_arrays = False
    try:
        file = open_edges(folder)
        if file is None:
            return None
        with file:
            mark = file.watermark()
            # 1.
            if mark.size > size or ledger.root(mark.size).hex() != mark.root_hex:
                messages.append(
                    f"the lineage index {folder} says that it holds {mark.size} entries under root"
                    f" {mark.root_hex}, which is no beginning of this ledger; {_ANEW}"
                )
            else:
                held = mark.size
                things, edges = file.thing_count(), file.edge_count()
                # 2.
                with scratch_beside(folder) as scratch:
                    build(ledger, scratch / "anew", size=mark.size)
                    messages += _different_rows(file, scratch / "anew")
                # 3.
                arrays = open_arrays(file)
                if arrays is not None:
                    has_arrays = True
                    with arrays:
                        messages += _different_arrays(file, arrays)
    except DamagedIndexError as error:
        messages.append(f"{error}; {_ANEW}")
    return LineageReport(
        folder=str(folder),
        size=held,
        things=things,
        edges=edges,
        has_arrays=has_arrays,
        findings=tuple(Finding(step=STEP_INDEX, message=each) for each in messages),
    )


def _different_rows(file: EdgeFile, anew: Path) -> Iterator[str]:
    other = open_edges(anew)
    assert other is not None, "it was just built"
    with other:
        for table, what in _TABLES.items():
            extra, missing = file.difference(other.path, table)
            for count, example, verb in (
                (*extra, "holds {} that no record makes"),
                (*missing, "lacks {} that records make"),
            ):
                if count:
                    said = verb.format(f"{count} {what}")
                    yield f"the lineage index {file.path} {said}, the first is {example}; {_ANEW}"


_TABLES: Final = {
    "thing": "things",
    "record": "records",
    "edge": "edges (child, kind, parent, record, position)",
    "fact": "facts (thing, fact, value, position)",
}


def _different_arrays(file: EdgeFile, arrays: EdgeArrays) -> Iterator[str]:
    name, _ = file.arrays()
    path = file.path.with_name(str(name))
    require_sound(path)
    walked = file.walked_count()
    if arrays.edges + arrays.recent != walked:
        yield (
            f"the arrays {path} hold {arrays.edges} edges and {arrays.recent} lie over them, the file"
            f" {walked}; {_ANEW}"
        )
    for up in (True, False):
        rows = itertools.chain.from_iterable(
            zip(*columns[:2], strict=True) for columns in file.walked_columns(up=up, rows=_ROWS)
        )
        for here, group in itertools.groupby(rows, key=itemgetter(0)):
            expected = {there for _, there in group}
            if arrays.step([here], up=up) != expected:
                yield (
                    f"the arrays {path} lead {'up' if up else 'down'} from thing {here} to others than"
                    f" its edges; {_ANEW}"
                )
                return
