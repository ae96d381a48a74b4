"""The lineage index follows the ledger: replayed from its bytes, healed, built anew, never ahead.

It is kept by whoever brings the index beside it up to date, under the lock of that index. A tombstone has
it built anew, as the index is: what it erases may be in the file, and in pages that were freed.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from provgraph.errors import DamagedIndexError, UntrustedError
from provgraph.index.edge_arrays import keep_arrays
from provgraph.index.edges import (
    BATCH,
    EdgeFile,
    Entry,
    build_edges,
    discard_edges,
    open_edges,
)
from provgraph.index.store import Watermark
from provgraph.ledger.reading import LedgerReader
from provgraph.ledger.rows import StoredRecord
from provgraph.seal.entry import TOMBSTONE, parse_entry
from provgraph.seal.tombstone import read_claim, require_fits

logger: Final = logging.getLogger(__name__)

# From here on building anew costs less than adding, unless much more is there than is missing.
_REBUILD_ENTRIES: Final = 5000

Count = Callable[[int], None]
"""Called with the number of entries just put in."""


class _ErasedSinceError(Exception):
    """Something that the file may hold has been erased."""


def follow(ledger: LedgerReader, folder: Path, *, size: int, count: Count | None = None) -> None:
    """Bring the lineage index up to a size of the ledger; built anew where it must be.

    Raises:
        IndexUnavailableError: it cannot be written.
    """
    try:
        with contextlib.ExitStack() as stack:
            file = open_edges(folder, read_only=False)
            if file is not None:
                stack.enter_context(file)
                if _is_added(ledger, file, size=size, count=count):
                    return
    except _ErasedSinceError:
        discard_edges(folder)
    except DamagedIndexError as error:
        logger.warning("lineage index damaged, built anew: %s", error)
    build(ledger, folder, size=size, count=count)


def build(
    ledger: LedgerReader,
    folder: Path,
    *,
    size: int,
    hidden: Collection[int] = (),
    count: Count | None = None,
) -> None:
    """Build the lineage index from nothing, from the first entries of a ledger but those hidden."""
    build_edges(folder, _batches(ledger, 0, size, hidden=hidden, count=count))
    file = open_edges(folder, read_only=False)
    assert file is not None, "it was just put in force"
    with file:
        keep_arrays(file)


def add(
    ledger: LedgerReader, folder: Path, records: Iterable[StoredRecord], *, mark: Watermark
) -> None:
    """Add records to the lineage index of a view, none of them a tombstone.

    Raises:
        DamagedIndexError: there is none, or it is damaged: build it anew.
        IndexUnavailableError: it cannot be written.
    """
    file = open_edges(folder, read_only=False)
    if file is None:
        raise DamagedIndexError(f"the lineage index {folder} is not there")
    with file:
        file.append(list(entries_of(ledger, records)), mark=mark)
        keep_arrays(file)


def _is_added(ledger: LedgerReader, file: EdgeFile, *, size: int, count: Count | None) -> bool:
    mark = file.watermark()
    if mark.size > size or ledger.root(mark.size).hex() != mark.root_hex:
        logger.warning("lineage index of another ledger, built anew path=%s", file.path)
        return False
    if size - mark.size > max(_REBUILD_ENTRIES, mark.size // 2):
        return False
    batches = _batches(ledger, mark.size, size, count=count, may_erase=mark.size == 0)
    for entries, after in batches:
        file.append(entries, mark=after)
    keep_arrays(file)
    return True


def _batches(
    ledger: LedgerReader,
    start: int,
    stop: int,
    *,
    hidden: Collection[int] = (),
    count: Count | None = None,
    may_erase: bool = True,
) -> Iterator[tuple[Sequence[Entry], Watermark]]:
    for first in range(start, stop, BATCH):
        after = min(stop, first + BATCH)
        entries = list(
            entries_of(
                ledger,
                (each for each in ledger.records(first, after) if each.index not in hidden),
                may_erase=may_erase,
            )
        )
        yield entries, Watermark(size=after, root_hex=ledger.root(after).hex())
        if count is not None:
            count(after - first)


def entries_of(
    ledger: LedgerReader, records: Iterable[StoredRecord], *, may_erase: bool = True
) -> Iterator[Entry]:
    """Yield records as the lineage index takes them in; a tombstone's edges stand for those it erased."""
    for record in records:
        stands_for = None
        if record.kind == TOMBSTONE:
            if not may_erase:
                raise _ErasedSinceError
            stands_for = _erased(ledger, record)
        yield Entry(
            position=record.index, iri=record.iri, graph_nq=record.content, stands_for=stands_for
        )


def _erased(ledger: LedgerReader, tombstone: StoredRecord) -> int | None:
    """Return the position of the record that a tombstone erased, None where it erased none."""
    try:
        entry = parse_entry(tombstone.entry)
        claim = read_claim(tombstone.graph_nq, position=tombstone.index, entry=entry)
        index = ledger.find(claim.erased_iri)
        if index is None:
            return None
        require_fits(claim, index=index, entry=ledger.entry(index))
    except UntrustedError as error:
        logger.warning("tombstone that erased nothing: %s", error)
        return None
    return index
