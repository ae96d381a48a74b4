"""The index in Oxigraph: graphs put whole, with a watermark that says how much of the ledger is in.

The store is atomic and not durable (RocksDB without sync), which is enough: the ledger is the
truth, the watermark moves in the same write as the graphs, and a lost or damaged index is rebuilt.
The watermark names ledger size *and* root hash, so an index of another or of a rewritten ledger is
recognised and thrown away. One process at a time holds the folder, by an flock beside it.

Every statement stands twice: in the graph of its record, and in the default graph. What a thousand
records say of one dataset is a thousand statements in their graphs and one in the default graph, so
a question that asks for three properties of it meets one row there; over the union of all graphs it
would meet a billion (0.3 s against a process that was killed at 18 GB).

Damage is met anywhere: the engine checks a block when it reads it. Every method says so with one
DamagedIndexError; `select` first has the index built anew, where `on_damage` says how.

Results leave here as canonical term text (`provgraph.terms.Term`), never as Oxigraph objects:
those cannot change thread, and layers above need no RDF library.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyoxigraph as ox

from provgraph.errors import DamagedIndexError, IndexUnavailableError, QueryError
from provgraph.terms import Term

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

logger: Final = logging.getLogger(__name__)

# Our own bookkeeping, in a graph that no record can name: records live below w3id.org.
STATE_GRAPH: Final = "urn:provgraph:index"
STATE: Final = ox.NamedNode("urn:provgraph:index#state")
# The number is that of the layout: an index of another layout has no watermark and is built anew.
WATERMARK: Final = ox.NamedNode("urn:provgraph:index#watermark-2")
# The mark that a load under way will reach.
_UNFINISHED: Final = ox.NamedNode("urn:provgraph:index#unfinished")
_GRAPH: Final = ox.NamedNode(STATE_GRAPH)
_MARK = re.compile(r"([0-9]{1,19}) ([0-9a-f]{64})")

# Graphs per write. So many at once go through the bulk loader, which writes sorted files: 2 ms of CPU
# per record of 157 statements against 5 to 7 through the engine's log (measured).
BATCH_GRAPHS: Final = 1000
_BATCH_BYTES: Final = 64 * 1024 * 1024
BULK_GRAPHS: Final = 50
# From here on a fresh load and a swap of folders is made where much less is there than is missing: it
# costs no more, and takes less disk, since the engine compacts it whole.
REBUILD_ROWS: Final = 100
REBUILD_TIMES: Final = 2

ENGINE: Final = f"pyoxigraph {ox.__version__}"

# Beside the index, indexes of how the ledger was at earlier sizes.
PREFIXES_SUFFIX: Final = ".asof"
# Beside the index, the folders in which a copy of it is made to be compared.
SCRATCH_PREFIX: Final = "provgraph-check-"

_STREAM_BYTES: Final = 1024 * 1024

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
        self.on_damage: Callable[[], object] | None = None
        """Builds the index anew from the ledger; set by whoever has the ledger."""
        self._opened: ox.Store | None = None

    @property
    def _store(self) -> ox.Store:
        if self._opened is None:
            with contextlib.suppress(OSError):
                # What records say is in it, as much as in the ledger; the engine would let all read.
                self.folder.mkdir(mode=0o700, exist_ok=True)
                self.folder.chmod(0o700)
                self._forget_diaries()
            self._opened = ox.Store(str(self.folder))
        return self._opened

    def _forget_diaries(self) -> None:
        """Delete what the engine noted at earlier openings but the last.

        It begins a diary of 140 kB at each, and would keep a thousand of them: more than the index of
        as many runs. Nothing reads them.
        """
        for diary in self.folder.glob("LOG.old.*"):
            diary.unlink(missing_ok=True)

    def close_store(self) -> None:
        """Let go of the store while keeping the lock, so that a worker may read the folder."""
        self._opened = None

    def watermark(self) -> Watermark | None:
        """Return how much of the ledger is in, None for an empty index.

        Raises:
            DamagedIndexError: the files cannot be read, or there are graphs and no watermark.
        """
        with self._engine_errors():
            marks = [_text(quad) for quad in self._mark_quads()]
            if not marks and next(iter(self._store), None) is not None:
                raise DamagedIndexError(f"the index {self.folder} has graphs and no watermark")
        if not marks:
            return None
        found = [_MARK.fullmatch(text) for text in marks]
        whole = [(int(match[1]), match[2]) for match in found if match is not None]
        if len(whole) != len(marks):
            raise DamagedIndexError(f"the index {self.folder} has no readable watermark")
        size, root_hex = max(whole)
        return Watermark(size=size, root_hex=root_hex)

    def unfinished(self) -> Watermark | None:
        """Return what a load that was cut short would have reached; some of it may be in.

        Raises:
            DamagedIndexError: the files cannot be read.
        """
        with self._engine_errors():
            texts = [_text(quad) for quad in self._mark_quads(_UNFINISHED)]
        found = [match for text in texts if (match := _MARK.fullmatch(text)) is not None]
        if len(found) != len(texts):
            raise DamagedIndexError(f"the index {self.folder} has no readable unfinished mark")
        return max(
            (Watermark(size=int(each[1]), root_hex=each[2]) for each in found),
            key=lambda each: each.size,
            default=None,
        )

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

        Raises:
            DamagedIndexError: the files cannot be read.
            IndexUnavailableError: they cannot be written.
        """
        size = start
        for batch in _batches(graphs):
            size += len(batch)
            mark = Watermark(size=size, root_hex=root_at(size))
            with self._engine_errors():
                if len(batch) >= BULK_GRAPHS:
                    self._load(batch, mark)
                else:
                    quads = ox.parse(b"".join(map(_twice, batch)), format=ox.RdfFormat.N_QUADS)
                    # If the process dies inside extend, neither graphs nor watermark are in; after
                    # it, both are. An older one left behind is harmless: the largest one counts.
                    self._store.extend(chain(quads, [_mark_quad(mark)]))
                self._drop_marks(but=mark)
            if progress is not None:
                progress(len(batch))

    def _load(self, batch: Sequence[bytes], mark: Watermark) -> None:
        """Put graphs in through the bulk loader, and the watermark after them."""
        # If the process dies before the last line, some graphs may be in that the watermark does not
        # count. They are put in again, which changes nothing, where the ledger is still the one that
        # the unfinished mark names; otherwise the index is built anew (`unfinished`).
        self._store.extend([_mark_quad(mark, _UNFINISHED)])
        # Canonical bytes: their IRIs were checked when they were made or taken in.
        data = b"".join(map(_twice, batch))
        self._store.bulk_load(data, format=ox.RdfFormat.N_QUADS, lenient=True)
        self._store.extend([_mark_quad(mark)])

    def _drop_marks(self, *, but: Watermark) -> None:
        for quad in self._mark_quads():
            if _text(quad) != _mark_text(but):
                self._store.remove(quad)
        for quad in self._mark_quads(_UNFINISHED):
            self._store.remove(quad)

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
        old = self.folder.with_name(f"{self.folder.name}.old")
        try:
            for remains in (fresh, old):
                shutil.rmtree(remains, ignore_errors=True)
            store = ox.Store(str(fresh))
            # One load for all, the mark included: later writes make the engine compact the store
            # into one that is half as large again.
            end = b"" if mark is None else f"{_mark_quad(mark)} .\n".encode()
            stream = io.BufferedReader(_Stream(graphs, end=end, progress=progress), _STREAM_BYTES)
            # Canonical bytes, as in `_load`: checking each IRI again takes a seventh of the load.
            store.bulk_load(stream, format=ox.RdfFormat.N_QUADS, lenient=True)
            store.optimize()  # a 20,000-node closure takes 9,113 ms without it, 166 with it
            store.flush()
            del store
            self._opened = None
            # If the process dies between the two there is no index, and it is rebuilt. The old one
            # goes by its name first: half deleted under its own, it could pass for a whole one.
            if self.folder.exists():
                self.folder.rename(old)
            fresh.rename(self.folder)
            shutil.rmtree(old, ignore_errors=True)
        except (OSError, RuntimeError) as error:
            raise IndexUnavailableError(
                f"the index {self.folder} could not be rebuilt: {_reason(error)}; the"
                " ledger is unharmed, make room and run `provgraph reindex` again"
            ) from error

    def put_aside(self, error: DamagedIndexError) -> None:
        """Keep the damaged files under another name for whoever wants to know why.

        Raises:
            IndexUnavailableError: the folder cannot be renamed.
        """
        logger.warning("index damaged, built anew: %s", error)
        aside = self.folder.with_name(f"{self.folder.name}.damaged")
        self._opened = None
        try:
            shutil.rmtree(aside, ignore_errors=True)
            if self.folder.exists():
                self.folder.rename(aside)
        except OSError as problem:
            raise IndexUnavailableError(
                f"{error}, and cannot be put aside: {problem.strerror or problem}; delete it and"
                " run `provgraph reindex`, the ledger is unharmed"
            ) from problem

    def discard(self) -> None:
        """Delete the index with all that is left of earlier ones, such as after an erasure.

        Raises:
            IndexUnavailableError: the folder cannot be written.
        """
        self._opened = None
        try:
            for suffix in ("", ".new", ".old", ".damaged", PREFIXES_SUFFIX):
                folder = self.folder.with_name(f"{self.folder.name}{suffix}")
                if folder.exists():
                    shutil.rmtree(folder)
        except OSError as error:
            raise IndexUnavailableError(
                f"the index {self.folder} cannot be deleted: {_reason(error)}; delete it, the"
                " ledger is unharmed"
            ) from error

    def snapshot(self, folder: Path) -> None:
        """Make a copy that others may read while this goes on: hard links, about 0.1 s.

        Raises:
            IndexUnavailableError: it cannot be written.
        """
        with self._engine_errors():
            self._store.backup(str(folder))

    def select(self, query: str, *, graphs: Sequence[str] | None = None) -> Solutions:
        """Run a query of our own (never a foreign one) and return all of its rows.

        Args:
            query: a SELECT.
            graphs: the records that it is asked of, as if there were no others; None asks all.

        Raises:
            QueryError: it does not parse, or is not a SELECT.
            DamagedIndexError: the files cannot be read, and nobody can build them anew.
        """
        try:
            return self._select(query, graphs)
        except DamagedIndexError as error:
            if self.on_damage is None:
                raise
            self.put_aside(error)
            self.on_damage()
            return self._select(query, graphs)

    def _select(self, query: str, graphs: Sequence[str] | None) -> Solutions:
        with self._engine_errors():
            columns, rows = self._solutions(query, graphs)
            return Solutions(columns=columns, rows=tuple(rows))

    def stream(self, query: str) -> tuple[tuple[str, ...], Iterator[Row]]:
        """Run a query of our own and return columns, and rows as they are found.

        Raises:
            QueryError: it does not parse, or is not a SELECT.
            DamagedIndexError: the files cannot be read.
        """
        with self._engine_errors():
            columns, rows = self._solutions(query, None)

        def found() -> Iterator[Row]:
            with self._engine_errors():
                yield from rows

        return columns, found()

    def _solutions(
        self, query: str, graphs: Sequence[str] | None
    ) -> tuple[tuple[str, ...], Iterator[Row]]:
        names: list[ox.NamedNode | ox.BlankNode] | None = None
        if graphs is not None:
            # An empty list would mean all of them.
            names = [ox.NamedNode(iri) for iri in graphs or ["urn:provgraph:none"]]
        try:
            results = self._store.query(
                query, default_graph=None if names is None else [*names], named_graphs=names
            )
        except SyntaxError as error:
            raise QueryError(str(error)) from None
        if not isinstance(results, ox.QuerySolutions):
            raise QueryError("expected a SELECT query")
        columns = tuple(variable.value for variable in results.variables)
        return columns, (
            tuple(None if (term := row[name]) is None else Term(str(term)) for name in columns)
            for row in results
        )

    def graph(self, iri: str) -> bytes:
        """Return a graph as canonical N-Quads as the index holds it, empty where it has none."""
        name = ox.NamedNode(iri)
        with self._engine_errors():
            quads = self._store.quads_for_pattern(None, None, None, name)
            return "".join(sorted(f"{quad} .\n" for quad in quads)).encode()

    def graph_names(self) -> list[str]:
        """Return the names of all graphs that records put in, sorted."""
        with self._engine_errors():
            names = {str(name)[1:-1] for name in self._store.named_graphs()}
        return sorted(names - {STATE_GRAPH})

    def quad_count(self) -> int:
        """Return how many quads there are, bookkeeping included."""
        with self._engine_errors():
            return len(self._store)

    def _mark_quads(self, kind: ox.NamedNode = WATERMARK) -> list[ox.Quad]:
        return list(self._store.quads_for_pattern(STATE, kind, None, _GRAPH))

    @contextlib.contextmanager
    def _engine_errors(self) -> Iterator[None]:
        """Tell damage (to be built anew) from a disk that is full or may not be written."""
        try:
            yield
        except (FileNotFoundError, RuntimeError, ValueError) as error:
            raise DamagedIndexError(f"the index {self.folder} is damaged: {error}") from error
        except OSError as error:
            raise IndexUnavailableError(
                f"the index {self.folder} cannot be used: {_reason(error)}; the ledger is unharmed,"
                " make room or mend the permissions"
            ) from error


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


def is_plain_iri(text: str) -> bool:
    """Whether text can stand between angle brackets in a query as it is."""
    return _SAFE_IRI.fullmatch(text) is not None


def values_block(variable: str, iris: Sequence[str]) -> str:
    """Write `VALUES ?variable { <…> … }` for IRIs that have been checked.

    At most 500: from 1,000 rows on, the engine falls off a cliff (900 rows 0.4 s, 1,100 rows 45 s).
    """
    if len(iris) > MAX_VALUES:
        raise QueryError(f"a VALUES block holds at most {MAX_VALUES} rows, found {len(iris)}")
    for iri in iris:
        if not is_plain_iri(iri):
            raise QueryError(f"expected an IRI, found {iri[:200]!r}")
    return f"VALUES ?{variable} {{ {' '.join(f'<{iri}>' for iri in iris)} }}"


MAX_VALUES: Final = 500
_SAFE_IRI = re.compile(r'[A-Za-z][A-Za-z0-9+.\-]*:[^\x00-\x20<>"{}|^`\\]*')


def _batches(graphs: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size_bytes = 0
    for graph in graphs:
        batch.append(graph)
        size_bytes += len(graph)
        if len(batch) == BATCH_GRAPHS or size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _twice(graph: bytes) -> bytes:
    """Return a canonical graph's lines, and again without its name, for the default graph.

    The name ends every line, and a literal holds no line feed, so nothing else is replaced.
    """
    if not graph:
        return graph
    return graph + graph.replace(graph[graph.rindex(b" <") :], b" .\n")


class _Stream(io.RawIOBase):
    """Graphs and an end as a file for the bulk loader, so that a ledger need not fit in memory."""

    def __init__(
        self, graphs: Iterable[bytes], *, end: bytes, progress: Callable[[int], None] | None
    ) -> None:
        self._graphs = iter(graphs)
        self._end = end
        self._progress = progress
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._rest:
            graph = next(self._graphs, None)
            if graph is None:
                self._rest, self._end = memoryview(self._end), b""
                break
            self._rest = memoryview(_twice(graph))
            if self._progress is not None:
                self._progress(1)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _text(quad: ox.Quad) -> str:
    return quad.object.value if isinstance(quad.object, ox.Literal) else ""


def _mark_text(mark: Watermark) -> str:
    return f"{mark.size} {mark.root_hex}"


def _mark_quad(mark: Watermark, kind: ox.NamedNode = WATERMARK) -> ox.Quad:
    return ox.Quad(STATE, kind, ox.Literal(_mark_text(mark)), _GRAPH)
