"""The index follows the ledger: brought up to date, built anew where it must be, never ahead.

Whoever asks brings it up to date first; a server has a process of its own for that
(`provgraph.service.catching_up`). The lineage index beside it moves with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from typing import Final

from provgraph.errors import DamagedIndexError
from provgraph.index.edges import lineage_folder
from provgraph.index.store import REBUILD_ROWS, REBUILD_TIMES, Index, Watermark, open_index
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.entry import TOMBSTONE, parse_entry
from provgraph.service import lineage_index
from provgraph.service.home import index_folder, readable_ledger
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (graphs indexed so far, graphs to index)."""


class _ErasedSinceError(Exception):
    """Something that the index may hold has been erased: only a new index is without it."""


def bring_up_to_date(index: Index, ledger: Ledger, *, progress: Progress | None = None) -> int:
    """Replay what the index has not seen; rebuild it where it is not this ledger's. Return the size.

    The index is never ahead: graphs come from the ledger only, and the watermark moves with them.
    A damaged index is put aside and built anew. So is one that meets a tombstone: what it erases may
    be in the index, and a statement that is deleted there stays in its files for a while.

    Raises:
        IndexUnavailableError: it cannot be written.
    """
    size = ledger.size()
    try:
        mark = index.watermark()
        marks = [each for each in (mark, index.unfinished()) if each is not None]
        is_ours = all(_is_of(each, ledger, size) for each in marks)
        if not is_ours:
            logger.warning("index of another ledger, built anew folder=%s", index.folder)
        start = 0 if mark is None else mark.size
        if not is_ours or size - start > max(REBUILD_ROWS, REBUILD_TIMES * start):
            rebuild_index(index, ledger, progress=progress)
        else:
            index.replay(
                _graphs(ledger, start, size, is_new=start == 0),
                start=start,
                root_at=lambda each: ledger.root(each).hex(),
                progress=counting(progress, start, size),
            )
    except _ErasedSinceError:
        index.discard()
        rebuild_index(index, ledger, progress=progress)
    except DamagedIndexError as error:
        index.put_aside(error)
        rebuild_index(index, ledger, progress=progress)
    lineage_index.follow(ledger, lineage_folder(index.folder), size=size)
    return size


def _graphs(ledger: Ledger, start: int, size: int, *, is_new: bool) -> Iterator[bytes]:
    """Yield what the index holds of each entry: nothing of an erased one."""
    for record in ledger.records(start, size):
        if record.kind == TOMBSTONE and not is_new:
            raise _ErasedSinceError
        yield b"" if record.is_erased else record.graph_nq


def _is_of(mark: Watermark, ledger: Ledger, size: int) -> bool:
    """Whether an index holds a beginning of this ledger, and not another or a rewritten one."""
    return mark.size <= size and ledger.root(mark.size).hex() == mark.root_hex


def rebuild_index(index: Index, ledger: Ledger, *, progress: Progress | None = None) -> int:
    """Build the index from nothing; return the ledger size that it holds."""
    size = ledger.size()
    index.rebuild(
        _graphs(ledger, 0, size, is_new=True),
        mark=Watermark(size=size, root_hex=ledger.root(size).hex()) if size else None,
        progress=counting(progress, 0, size),
    )
    return size


def reindex(settings: Settings, *, progress: Progress | None = None) -> int:
    """Throw the index away and build it from the ledger."""
    with (
        readable_ledger(settings) as ledger,
        open_index(index_folder(settings), wait_s=settings.index_wait_s) as index,
    ):
        size = rebuild_index(index, ledger, progress=progress)
        lineage_index.build(ledger, lineage_folder(index.folder), size=size)
        return size


def counting_tombstones(
    ledger: Ledger, *, size: int, hidden: Collection[int] = ()
) -> dict[str, str]:
    """Return tombstone to erased record, by the ledger: what other entries say of erasures is nothing."""
    return {
        row.iri: row.name
        for row in ledger.names_of_kind("tombstone")
        if row.index < size
        and row.index not in hidden
        and parse_entry(ledger.entry(row.index)).kind == TOMBSTONE
    }


def counting(progress: Progress | None, start: int, size: int) -> Callable[[int], None] | None:
    """Return what counts graphs from `start` on and tells how far that is."""
    if progress is None:
        return None
    done = start

    def count(graphs: int) -> None:
        nonlocal done
        done += graphs
        progress(done, size)

    return count
