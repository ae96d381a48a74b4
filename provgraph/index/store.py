"""The index in Oxigraph: graphs put whole, with a watermark that says how much of the ledger is in.

The store is atomic and not durable (RocksDB without sync), which is enough: the ledger is the
truth, the watermark moves in the same write as the graphs, and a lost or damaged index is rebuilt.
The watermark names ledger size *and* root hash, so an index of another or of a rewritten ledger is
recognised and thrown away. One process at a time holds the folder, by an flock beside it.

Results leave here as canonical term text (`provgraph.terms.Term`), never as Oxigraph objects:
those cannot change thread, and layers above need no RDF library.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import pyoxigraph as ox

from provgraph.errors import IndexUnavailableError, QueryError
from provgraph.terms import Term

# Our own bookkeeping, in a graph that no record can name: records live below w3id.org.
STATE_GRAPH: Final = "urn:provgraph:index"
_STATE: Final = ox.NamedNode("urn:provgraph:index#state")
_WATERMARK: Final = ox.NamedNode("urn:provgraph:index#watermark")
_GRAPH: Final = ox.NamedNode(STATE_GRAPH)

# Graphs per write: one by one costs 4.1 ms each, a hundred at a time 1.4 to 3.5 (measured).
BATCH_GRAPHS: Final = 200
# From here on a fresh bulk load and a swap of folders beats replaying into the old one.
REBUILD_ROWS: Final = 5_000

Row = tuple[Term | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How much of which ledger the index holds: entries [0, size) of the tree with this root."""

    size: int
    root_hex: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Solutions:
    """The answer to a SELECT: column names and rows of canonical terms."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


class Index:
    """An open index. Use `open_index`; it holds the lock for as long as this lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: ox.Store | None = None

    @property
    def _store(self) -> ox.Store:
        if self._opened is None:
            self._opened = _open_store(self.folder)
        return self._opened

    def close_store(self) -> None:
        """Let go of the store while keeping the lock, so that a worker may read the folder."""
        if self._opened is not None:
            self._opened.flush()
            self._opened = None

    def watermark(self) -> Watermark | None:
        """Return how much of the ledger is in, None for an empty index."""
        marks = [_text(quad) for quad in self._mark_quads()]
        if not marks:
            return None
        size, root_hex = max(marks, key=lambda text: int(text.split()[0])).split()
        return Watermark(size=int(size), root_hex=root_hex)

    def replay(
        self,
        graphs: Iterable[bytes],
        *,
        start: int,
        root_at: Callable[[int], str],
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Put canonical graphs in, in ledger order, moving the watermark with each batch.

        Args:
            graphs: canonical N-Quads of entries start, start + 1, …; empty bytes for an entry
                without content (a key event, a tombstone).
            start: ledger position of the first one; the watermark's size.
            root_at: root hash in hex of the tree of a given size.
            progress: called with the number of graphs just put in.
        """
        size = start
        for batch in _batches(graphs):
            size += len(batch)
            mark = Watermark(size=size, root_hex=root_at(size))
            # If the process dies inside extend, neither graphs nor watermark are in; after it,
            # both are. An older watermark left behind is harmless: the largest one counts.
            quads = ox.parse(b"".join(batch), format=ox.RdfFormat.N_QUADS)
            self._store.extend(chain(quads, [_mark_quad(mark)]))
            for quad in self._mark_quads():
                if _text(quad) != _mark_text(mark):
                    self._store.remove(quad)
            if progress is not None:
                progress(len(batch))

    def rebuild(
        self,
        graphs: Iterable[bytes],
        *,
        mark: Watermark | None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Build the index anew beside the old one and swap the two.

        Args:
            graphs: canonical N-Quads of all ledger entries from 0.
            mark: the watermark that they add up to, None for an empty ledger.
            progress: called with the number of graphs just loaded.

        Raises:
            IndexUnavailableError: no room on the disk, or not writable.
        """
        fresh = self.folder.with_name(f"{self.folder.name}.new")
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            store = ox.Store(str(fresh))
            for batch in _batches(graphs, size=REBUILD_ROWS):
                store.bulk_load(b"".join(batch), format=ox.RdfFormat.N_QUADS)
                if progress is not None:
                    progress(len(batch))
            if mark is not None:
                store.extend([_mark_quad(mark)])
            store.optimize()  # a 20,000-node closure takes 9,113 ms without it, 166 with it
            store.flush()
            del store
            # If the process dies between the two there is no index, and it is rebuilt.
            self._opened = None
            shutil.rmtree(self.folder, ignore_errors=True)
            fresh.rename(self.folder)
        except OSError as error:
            raise IndexUnavailableError(
                f"the index {self.folder} could not be rebuilt: {error.strerror or error}; the"
                " ledger is unharmed, make room and run `provgraph reindex` again"
            ) from error

    def select(self, query: str) -> Solutions:
        """Run a query of our own (never a foreign one) and return all of its rows.

        Raises:
            QueryError: it does not parse, or is not a SELECT.
        """
        try:
            results = self._store.query(query, use_default_graph_as_union=True)
        except SyntaxError as error:
            raise QueryError(str(error)) from None
        if not isinstance(results, ox.QuerySolutions):
            raise QueryError("expected a SELECT query")
        columns = tuple(variable.value for variable in results.variables)
        return Solutions(
            columns=columns,
            rows=tuple(
                tuple(None if (term := row[name]) is None else Term(str(term)) for name in columns)
                for row in results
            ),
        )

    def graph(self, iri: str) -> bytes:
        """Return a graph as canonical N-Quads as the index holds it, empty where it has none."""
        name = ox.NamedNode(iri)
        quads = self._store.quads_for_pattern(None, None, None, name)
        return "".join(sorted(f"{quad} .\n" for quad in quads)).encode()

    def quad_count(self) -> int:
        """Return how many quads there are, bookkeeping included."""
        return len(self._store)

    def _mark_quads(self) -> list[ox.Quad]:
        return list(self._store.quads_for_pattern(_STATE, _WATERMARK, None, _GRAPH))


@contextlib.contextmanager
def open_index(folder: Path, *, wait_s: float) -> Iterator[Index]:
    """Open the index for this process alone, waiting for another one that uses it.

    Raises:
        IndexUnavailableError: still in use after wait_s, or the folder cannot be written.
    """
    with _locked(folder, wait_s):
        index = Index(folder)
        try:
            yield index
        finally:
            index._opened = None


def _open_store(folder: Path) -> ox.Store:
    try:
        return ox.Store(str(folder))
    except (OSError, ValueError, RuntimeError) as error:
        # Damaged: the ledger has everything, so the remains are put aside and it is built anew.
        aside = folder.with_name(f"{folder.name}.damaged")
        try:
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            return ox.Store(str(folder))
        except OSError:
            raise IndexUnavailableError(
                f"the index {folder} cannot be opened ({error}); delete it and run"
                " `provgraph reindex`, the ledger is unharmed"
            ) from error


@contextlib.contextmanager
def _locked(folder: Path, wait_s: float) -> Iterator[None]:
    """Hold the index folder for this process alone."""
    lock = folder.with_name(f"{folder.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise IndexUnavailableError(
            f"the index {folder} cannot be used: {error.strerror or error}"
        ) from error
    try:
        deadline_s = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline_s:
                    raise IndexUnavailableError(
                        f"another process has used the index {folder} for {wait_s:.0f} s;"
                        " try again, or set PROVGRAPH_INDEX_WAIT_S"
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def values_block(variable: str, iris: Sequence[str]) -> str:
    """Write `VALUES ?variable { <…> … }` for IRIs that have been checked.

    At most 500: from 1,000 rows on, the engine falls off a cliff (900 rows 0.4 s, 1,100 rows 45 s).
    """
    if len(iris) > MAX_VALUES:
        raise QueryError(f"a VALUES block holds at most {MAX_VALUES} rows, found {len(iris)}")
    for iri in iris:
        if not _SAFE_IRI.fullmatch(iri):
            raise QueryError(f"expected an IRI, found {iri[:200]!r}")
    return f"VALUES ?{variable} {{ {' '.join(f'<{iri}>' for iri in iris)} }}"


MAX_VALUES: Final = 500
_SAFE_IRI = re.compile(r'[A-Za-z][A-Za-z0-9+.\-]*:[^\x00-\x20<>"{}|^`\\]*')


def _batches(graphs: Iterable[bytes], *, size: int = BATCH_GRAPHS) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for graph in graphs:
        batch.append(graph)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _text(quad: ox.Quad) -> str:
    return quad.object.value if isinstance(quad.object, ox.Literal) else ""


def _mark_text(mark: Watermark) -> str:
    return f"{mark.size} {mark.root_hex}"


def _mark_quad(mark: Watermark) -> ox.Quad:
    return ox.Quad(_STATE, _WATERMARK, ox.Literal(_mark_text(mark)), _GRAPH)
