"""An index of what one view shows, built from the ledger like the main one, for snapshots of it.

It follows the ledger: what came in and is shown is added. Where something has to go (an erasure, a
record that turned out to be private), the index is built anew, since a statement that is deleted stays
in its files for a while. It is disposable and belongs to one server.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from provgraph.access.views import View
from provgraph.errors import DamagedIndexError
from provgraph.index.edges import lineage_folder
from provgraph.index.store import REBUILD_ROWS, REBUILD_TIMES, Index, Watermark
from provgraph.ledger.rows import StoredRecord
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.entry import TOMBSTONE
from provgraph.service import lineage_index
from provgraph.service.home import readable_ledger
from provgraph.service.indexing import counting_tombstones
from provgraph.service.visibility import open_visibility
from provgraph.settings import Settings


class ViewIndex:
    """One view's index in a folder of its own. One thread at a time."""

    def __init__(self, settings: Settings, view: View, folder: Path) -> None:
        self.view = view
        self._settings = settings
        self._folder = folder
        self._index = Index(folder / "index")
        self.lineage = lineage_folder(folder / "index")
        self.erased = 0
        """Records that were erased, among those that the last copy shows."""
        self._size = 0
        self._root = ""
        self._hidden: set[int] = set()

    def copied(self, *, is_forced: bool) -> tuple[Path, int] | None:
        """Bring it up to the ledger and copy it; return the copy's folder and ledger size.

        None where nothing came in since the last copy; `is_forced` builds it anew and copies it.

        Raises:
            NotFoundError: nothing has been recorded here yet.
            IndexUnavailableError: it cannot be written.
        """
        settings = self._settings
        with readable_ledger(settings) as ledger, open_visibility(settings) as visibility:
            size = visibility.follow(ledger)
            if size == self._size and not is_forced:
                return None
            hidden = visibility.hidden(self.view, size=size)
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = self._folder / f"{size:012d}-{secrets.token_hex(4)}"
            mark = Watermark(size=size, root_hex=ledger.root(size).hex())
            try:
                if is_forced or self._has_to_go(ledger, hidden, size=size):
                    self._build(ledger, hidden, mark)
                else:
                    self._add(ledger, hidden, mark)
                self._index.snapshot(folder)
            except DamagedIndexError:
                self._build(ledger, hidden, mark)
                self._index.snapshot(folder)
            finally:
                self._index.close_store()
            self._size, self._root, self._hidden = size, mark.root_hex, hidden
            self.erased = len(counting_tombstones(ledger, size=size, hidden=hidden))
        return folder, size

    def _has_to_go(self, ledger: Ledger, hidden: set[int], *, size: int) -> bool:
        """Whether the index holds what it may not, is of another ledger, or is mostly to come."""
        start = self._size
        if start > size or (start and ledger.root(start).hex() != self._root):
            return True
        if size - start > max(REBUILD_ROWS, REBUILD_TIMES * start):
            return True
        if any(each < start for each in hidden - self._hidden):
            return True
        return any(record.kind == TOMBSTONE for record in ledger.records(start, size))

    def _build(self, ledger: Ledger, hidden: set[int], mark: Watermark) -> None:
        self._size = 0  # if this fails, the next one does not add to what is there
        self._index.rebuild(map(_graph, _shown(ledger, hidden, 0, mark.size)), mark=mark)
        lineage_index.build(ledger, self.lineage, size=mark.size, hidden=hidden)

    def _add(self, ledger: Ledger, hidden: set[int], mark: Watermark) -> None:
        late = sorted(each for each in self._hidden - hidden if each < self._size)
        records = list(chain(map(ledger.read, late), _shown(ledger, hidden, self._size, mark.size)))
        graphs = map(_graph, records)
        self._index.replay(graphs, start=mark.size - len(records), root_at=lambda _: mark.root_hex)
        lineage_index.add(ledger, self.lineage, records, mark=mark)


def _shown(ledger: Ledger, hidden: set[int], start: int, stop: int) -> Iterator[StoredRecord]:
    """Yield the records of [start, stop) that are not hidden."""
    return (each for each in ledger.records(start, stop) if each.index not in hidden)


def _graph(record: StoredRecord) -> bytes:
    """Return a record's graph; of an erased one there is none."""
    return b"" if record.is_erased else record.graph_nq
