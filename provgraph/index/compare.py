"""Read an index back, to hold it against what it was made from.

A copy is read, which the engine makes with hard links in no time: it is the very files of the index,
and nobody has to wait. Statements come as N-Triples in the engine's own spelling, decoded to the last
character, without the point at the end; since records hold only literals that it keeps as they are,
an honest index gives back what stands in the canonical lines before their graph's name.

What it does not do: compare the engine's six orders of the same statements with each other. Whoever
can write into its files can make one of them lie, and `provgraph reindex` is the remedy.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyoxigraph as ox

from provgraph.errors import DamagedIndexError
from provgraph.index.store import STATE, STATE_GRAPH, WATERMARK, Watermark

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# Graphs that no record put in: our own bookkeeping.
OWN_GRAPHS: Final = frozenset({STATE_GRAPH})

_MARK = re.compile(re.escape(f"{STATE} {WATERMARK} ").encode() + rb'"([0-9]{1,19}) ([0-9a-f]{64})"')
# No literal holds a line feed, so this ends statements only.
_END: Final = b" .\n"
_BUFFER_BYTES: Final = 1024 * 1024


class IndexCopy:
    """An index opened for reading only."""

    def __init__(self, folder: Path) -> None:
        """Open a copy.

        Raises:
            DamagedIndexError: the files cannot be read.
        """
        self.folder = folder
        with self._engine_errors():
            self._store = ox.Store.read_only(str(folder))

    def statements(self, graph: str) -> list[bytes]:
        """Return the statements of a graph, in no particular order.

        Raises:
            DamagedIndexError: the files cannot be read.
        """
        with self._engine_errors():
            data = self._store.dump(format=ox.RdfFormat.N_TRIPLES, from_graph=ox.NamedNode(graph))
        assert data is not None, "without an output, the engine returns what it would write"
        statements = data.split(_END)
        if statements.pop():
            raise DamagedIndexError(f"the engine broke off inside a statement of {graph}")
        return statements

    def each_default_statement(self, take: Callable[[list[bytes]], object]) -> None:
        """Call `take` with the statements of the default graph, some thousands at a time.

        Raises:
            DamagedIndexError: the files cannot be read.
        """
        sink = _Statements(take)
        with self._engine_errors(), io.BufferedWriter(sink, _BUFFER_BYTES) as file:
            self._store.dump(file, format=ox.RdfFormat.N_TRIPLES, from_graph=ox.DefaultGraph())
        sink.end()

    def watermark(self) -> Watermark:
        """Return how much of which ledger it says that it holds.

        Raises:
            DamagedIndexError: it does not say, or an older provgraph wrote it in another layout.
        """
        marks = [match for each in self.statements(STATE_GRAPH) if (match := _MARK.fullmatch(each))]
        if not marks:
            raise DamagedIndexError(
                f"the index {self.folder} does not say how much of the ledger it holds: it is damaged,"
                " or of an older provgraph. It is built anew when somebody asks; do that, or run"
                " `provgraph reindex`, and check again"
            )
        size, root_hex = max((int(match[1]), match[2].decode()) for match in marks)
        return Watermark(size=size, root_hex=root_hex)

    def graph_names(self) -> Iterator[str]:
        """Yield the names of all graphs that records put in.

        Raises:
            DamagedIndexError: the files cannot be read.
        """
        with self._engine_errors():
            for name in self._store.named_graphs():
                iri = str(name)[1:-1]
                if iri not in OWN_GRAPHS:
                    yield iri

    def quad_count(self) -> int:
        """Return how many statements there are in graphs that records put in, the default one too."""
        with self._engine_errors():
            own = sum(len(self.statements(graph)) for graph in OWN_GRAPHS)
            return len(self._store) - own

    @contextlib.contextmanager
    def _engine_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            raise DamagedIndexError(f"the index {self.folder} is damaged: {error}") from error


class _Statements(io.RawIOBase):
    """A file that hands over the statements that are written to it."""

    def __init__(self, take: Callable[[list[bytes]], object]) -> None:
        self._take = take
        self._rest = b""

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        chunk = bytes(data)
        statements = (self._rest + chunk).split(_END)
        self._rest = statements.pop()
        self._take(statements)
        return len(chunk)

    def end(self) -> None:
        if self._rest:
            raise DamagedIndexError(f"the engine broke off inside a line: {self._rest[:200]!r}")
