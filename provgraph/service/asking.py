"""Asking: an open reader over ledger and index, the index brought up to the ledger first.

Every answer says the ledger size that it was computed at: the index's watermark. Journals of dead
processes are sealed before anything is read, so that an abandoned run is seen by who looks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from provgraph import vocab
from provgraph.errors import NotFoundError
from provgraph.index.sandbox import ForeignAnswer, Limits, check_query, run_foreign
from provgraph.index.store import REBUILD_ROWS, Index, Row, Watermark, open_index, values_block
from provgraph.ledger.sqlite import Ledger
from provgraph.query import catalogue, lineage
from provgraph.query.lineage import Lineage, Node
from provgraph.service.home import readable_ledger
from provgraph.service.recording import Recovered, recover
from provgraph.service.things import resolve
from provgraph.settings import Settings
from provgraph.terms import Term

Progress = Callable[[int, int], None]
"""Called with (graphs indexed so far, graphs to index)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows of canonical terms, labels for the IRIs in them, and the ledger size they hold for."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    labels: Mapping[str, str]
    ledger_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What is known of one thing: its statements, and the records that make them."""

    iri: str
    statements: tuple[tuple[str, Term], ...]  # predicate IRI, object
    incoming: tuple[tuple[str, str], ...]  # predicate IRI, subject IRI
    parts: Mapping[str, tuple[tuple[str, Term], ...]]  # local nodes that belong to it
    nodes: Mapping[str, Node]
    records: tuple[str, ...]
    ledger_size: int


class Reader:
    """An open reader; use `open_reader`."""

    def __init__(
        self, settings: Settings, ledger: Ledger, index: Index, recovered: list[Recovered]
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.index = index
        self.recovered = recovered
        self.ledger_size = 0

    def resolve(self, text: str) -> list[str]:
        """Return the IRIs that somebody means."""
        return list(resolve(self.ledger, text).iris)

    def ask(self, name: str, values: Mapping[str, str]) -> Answer:
        """Answer a canned query.

        Raises:
            QueryError: there is no query of that name.
            UsageError: a parameter is unknown, missing or of another type.
            NotFoundError: a thing is not known here.
        """
        query = catalogue.find(name)
        solutions = self.index.select(query.bind(values, resolve=self.resolve))
        return Answer(
            title=query.title,
            columns=solutions.columns,
            rows=solutions.rows,
            labels=self.labels(solutions.rows),
            ledger_size=self.ledger_size,
        )

    def sparql(self, text: str) -> tuple[ForeignAnswer, int]:
        """Run a free query in a bounded process of its own; return answer and ledger size.

        The union of all graphs is the default graph, unless the query names one with FROM.
        """
        check_query(text)
        self.index.close_store()
        answer = run_foreign(
            text,
            index_folder=self.index.folder,
            limits=Limits(
                timeout_s=self.settings.query_timeout_s,
                memory_bytes=self.settings.query_memory_mib * 1024 * 1024,
                rows=self.settings.query_rows,
            ),
        )
        return answer, self.ledger_size

    def labels(self, rows: tuple[Row, ...]) -> dict[str, str]:
        """Return readable names for the IRIs that occur in rows."""
        iris = {term[1:-1] for row in rows for term in row if term is not None and term[0] == "<"}
        nodes = lineage.describe(self.index.select, iris)
        return {iri: label for iri, node in nodes.items() if (label := node.fact("label"))}

    def walk(self, text: str, *, up: bool, max_depth: int | None) -> Lineage:
        """Walk the lineage of a thing; a run stands for what it made (or used)."""
        roots = self.entities(self.resolve(text), up=up)
        walk = lineage.upstream if up else lineage.downstream
        return walk(self.index.select, roots, max_depth=max_depth)

    def describe(self, text: str) -> Description:
        """Collect what is known of a thing.

        Raises:
            NotFoundError: no statement is about it.
        """
        (iri, *_) = self.resolve(text)
        statements = self._statements(iri)
        if not statements:
            raise NotFoundError(f"no record says anything about {iri}")
        parts = {
            value[1:-1]: self._statements(value[1:-1])
            for _, value in statements
            if value.startswith(f"<{iri}#")
        }
        incoming = tuple(
            (predicate[1:-1], subject[1:-1])
            for subject, predicate in self.index.select(
                f"SELECT DISTINCT ?s ?p WHERE {{ {values_block('it', [iri])} ?s ?p ?it }}"
                " ORDER BY ?p ?s"
            ).rows
            if subject is not None and predicate is not None
        )
        mentioned = {value[1:-1] for _, value in statements if value.startswith("<")}
        mentioned |= {v[1:-1] for part in parts.values() for _, v in part if v.startswith("<")}
        mentioned |= {subject for _, subject in incoming}
        return Description(
            iri=iri,
            statements=statements,
            incoming=incoming,
            parts=parts,
            nodes=lineage.describe(self.index.select, mentioned),
            records=tuple(self.records_about([iri])),
            ledger_size=self.ledger_size,
        )

    def records_about(self, iris: list[str]) -> list[str]:
        """Return the records (graphs) that describe things, in no order."""
        query = (
            f"SELECT DISTINCT ?g WHERE {{ {values_block('it', iris)} GRAPH ?g {{ ?it ?p ?o }} }}"
        )
        return [g[1:-1] for (g,) in self.index.select(query).rows if g is not None]

    def _statements(self, iri: str) -> tuple[tuple[str, Term], ...]:
        query = f"SELECT DISTINCT ?p ?o WHERE {{ {values_block('it', [iri])} ?it ?p ?o }} ORDER BY ?p ?o"
        return tuple(
            (predicate[1:-1], value)
            for predicate, value in self.index.select(query).rows
            if predicate is not None and value is not None
        )

    def entities(self, iris: list[str], *, up: bool = True) -> list[str]:
        relation = "^prov:wasGeneratedBy" if up else "prov:used"
        query = (
            f"PREFIX prov: <{vocab.PROV}> PREFIX pg: <{vocab.PG}> SELECT DISTINCT ?e WHERE {{"
            f" {values_block('it', iris)} ?it a prov:Activity . ?it pg:step*/{relation} ?e }}"
        )
        found = [row[0][1:-1] for row in self.index.select(query).rows if row[0] is not None]
        versions = (
            f"PREFIX prov: <{vocab.PROV}> SELECT DISTINCT ?e WHERE {{"
            f" {values_block('it', iris)} ?e prov:specializationOf+ ?it }}"
        )
        found += [row[0][1:-1] for row in self.index.select(versions).rows if row[0] is not None]
        return sorted(set(found)) or iris


@contextlib.contextmanager
def open_reader(settings: Settings, *, progress: Progress | None = None) -> Iterator[Reader]:
    """Open ledger and index for asking, after sealing what dead processes left.

    Raises:
        NotFoundError: nothing has been recorded here yet.
        IndexUnavailableError: the index is held by another process, or cannot be written.
    """
    recovered = recover(settings) if settings.home.exists() else []
    with readable_ledger(settings) as ledger:
        with open_index(settings.index_folder, wait_s=settings.index_wait_s) as index:
            reader = Reader(settings, ledger, index, recovered)
            reader.ledger_size = bring_up_to_date(index, ledger, progress=progress)
            yield reader


def bring_up_to_date(index: Index, ledger: Ledger, *, progress: Progress | None = None) -> int:
    """Replay what the index has not seen; rebuild it where it is not this ledger's. Return the size.

    The index is never ahead: graphs come from the ledger only, and the watermark moves with them.
    """
    size = ledger.size()
    mark = index.watermark()
    if mark is not None and (mark.size > size or ledger.root(mark.size).hex() != mark.root_hex):
        mark = None
        start, is_rebuild = 0, True
    else:
        start = 0 if mark is None else mark.size
        is_rebuild = mark is None and size > REBUILD_ROWS
    if is_rebuild:
        rebuild_index(index, ledger, progress=progress)
    elif start < size:
        index.replay(
            (record.graph_nq for record in ledger.records(start, size)),
            start=start,
            root_at=lambda each: ledger.root(each).hex(),
            progress=_counting(progress, start, size),
        )
    return size


def rebuild_index(index: Index, ledger: Ledger, *, progress: Progress | None = None) -> int:
    """Build the index from nothing; return the ledger size that it holds."""
    size = ledger.size()
    index.rebuild(
        (record.graph_nq for record in ledger.records(0, size)),
        mark=Watermark(size=size, root_hex=ledger.root(size).hex()) if size else None,
        progress=_counting(progress, 0, size),
    )
    return size


def reindex(settings: Settings, *, progress: Progress | None = None) -> int:
    """Throw the index away and build it from the ledger."""
    with readable_ledger(settings) as ledger:
        with open_index(settings.index_folder, wait_s=settings.index_wait_s) as index:
            return rebuild_index(index, ledger, progress=progress)


def problems(recovered: list[Recovered]) -> list[str]:
    """Say what of the journals left behind could not be sealed."""
    return [f"{each.path}: {each.problem}" for each in recovered if each.problem is not None]


def _counting(progress: Progress | None, start: int, size: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = start

    def count(graphs: int) -> None:
        nonlocal done
        done += graphs
        progress(done, size)

    return count
