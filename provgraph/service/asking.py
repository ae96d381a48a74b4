"""Asking: an open reader over ledger and index, the index brought up to the ledger first.

Every answer says the ledger size that it was computed at: the index's watermark. Journals of dead
processes are sealed before anything is read, so that an abandoned run is seen by who looks.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from provgraph import vocab
from provgraph.errors import DamagedIndexError, NotFoundError, QueryError, UsageError
from provgraph.index.edges import lineage_folder
from provgraph.index.sandbox import ForeignAnswer, Limits, check_query, run_foreign
from provgraph.index.store import (
    Index,
    Row,
    Solutions,
    is_plain_iri,
    open_index,
    values_block,
)
from provgraph.ledger.names import Names, ShownNames
from provgraph.ledger.sqlite import Ledger
from provgraph.query import catalogue, erasures, lineage, roots
from provgraph.query.advice import Rewriting, improved
from provgraph.query.answers import Answer, Asked, answer, labels_of
from provgraph.query.asking import blocks
from provgraph.query.catalogue import CannedQuery
from provgraph.query.contradictions import Contradiction, contradictions_of
from provgraph.query.erasures import Erasure
from provgraph.query.lineage import Lineage, Node
from provgraph.query.lineage_graph import (
    ALL,
    CommonAncestor,
    LineageGraph,
    PathEdge,
    Restriction,
    open_lineage,
    require_known,
)
from provgraph.query.lineage_roots import starts
from provgraph.query.reporting import Entries
from provgraph.service import lineage_index
from provgraph.service.as_of import prefix_index, size_as_of
from provgraph.service.home import index_folder, readable_ledger
from provgraph.service.indexing import (
    Progress,
    bring_up_to_date,
    counting,
    counting_tombstones,
    rebuild_index,
)
from provgraph.service.recovery import Recovered, recover
from provgraph.service.sweeping import carry_on
from provgraph.service.things import KINDS, Resolved, content_digest, resolve
from provgraph.settings import Settings
from provgraph.terms import Term, string

logger: Final = logging.getLogger(__name__)

Found = TypeVar("Found")

AsOf = str | int | datetime | None
"""A ledger size, or a time at which it had one; None means now."""

# A digest as the terminal shows it is cut; this much of it is enough to search for.
MIN_DIGEST_DIGITS: Final = 8
# Near IRIs are looked for among all things, which is for ledgers up to this size.
_SCANNED_RECORDS: Final = 10_000
_SHA256_DIGITS: Final = 64

_PREFIXES: Final = (
    f"PREFIX prov: <{vocab.PROV}> PREFIX pg: <{vocab.PG}> PREFIX rdfs: <{vocab.RDFS}>"
)
_NAMED_CLASSES: Final = "pg:Version, pg:Named, pg:Dataset, pg:Model, pg:FeatureSet, pg:Run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """A name that has meant several things, and which of them an answer is about."""

    text: str
    iri: str
    others: int


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
    contradictions: tuple[Contradiction, ...] = ()
    """What cannot both be right of what is said of it, or of what is around it."""
    erased: tuple[Erasure, ...] = ()


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
        self.names: Names = ledger
        """What names mean here."""
        self.now: Reader | None = None
        """The reader of the whole ledger, where this one reads it as it was."""
        self.meant: list[Meant] = []
        """Names asked for that have meant several things; whoever answers says which was taken."""

    def resolve(self, text: str, *, as_of: int | None = None) -> list[str]:
        """Return the IRIs that somebody means; several where one version has several contents.

        As of a position, a name means what it meant then.

        Raises:
            NotFoundError: nothing here goes by that; near names are suggested.
            UsageError: a name that several kinds of things have, too short a part of a digest.
        """
        try:
            found = resolve(self._names_as_of(as_of), text)
        except NotFoundError as error:
            # The name went with an erased record, and its tombstone may have kept its IRI.
            iris = self._named(text)
            if not iris:
                hint = f"{self._near_names(text)}{self._erased_hint()}"
                raise NotFoundError(f"{self._when()}{error}{hint}") from None
            found = Resolved(iris=iris, by="name")
        if found.by == "digest":
            found = self._whole_digest(text, found)
        for iri in found.iris:
            if not self._is_known(iri) and not self.erased([iri]):
                raise NotFoundError(
                    f"{self._when()}no record says anything about {text.strip()[:200]} ({iri})"
                    f"{self._near_iris(iri) if found.by == 'iri' else ''}"
                )
        if found.others:
            self.meant.append(Meant(text=text, iri=found.iris[0], others=found.others))
        return list(found.iris)

    def _names_as_of(self, as_of: int | None) -> Names:
        if as_of is None:
            return self.names
        return ShownNames(self.names, is_shown=lambda index: index < as_of)

    def resolve_one(self, text: str) -> str:
        """Return the one IRI that somebody means.

        Raises:
            NotFoundError: nothing here goes by that.
            UsageError: several things do.
        """
        iris = self.resolve(text)
        if len(iris) > 1:
            choices = ", ".join(str(content_digest(iri) or iri) for iri in iris)
            raise UsageError(f"{text} names {len(iris)} contents; say which by digest: {choices}")
        return iris[0]

    def ask(self, name: str, values: Mapping[str, object], *, with_proofs: bool = False) -> Answer:
        """Answer a written-down question; with proofs, say what the answer is worth.

        Raises:
            QueryError: there is no question of that name.
            UsageError: a parameter is unknown, missing or of another type.
            NotFoundError: a thing is not known here.
        """
        query = catalogue.find(name)
        return answer(
            self.asked(query, values),
            erased=self.erased,
            erased_records=self.erased_records(),
            keys=self.ledger.keys if with_proofs else None,
        )

    def stream(
        self, name: str, values: Mapping[str, object]
    ) -> tuple[tuple[str, ...], Iterator[Row]]:
        """Answer with columns, and rows as they are found: for answers that fill files.

        Of questions that are a query and no more; errors as `ask`.
        """
        return self.index.stream(self.asked(catalogue.find(name), values).text)

    def labels_of_records(self, given: Answer) -> dict[str, str]:
        """Return what the records behind an answer are called: by the run or act that they describe."""
        records = given.proofs.evidence.records if given.proofs is not None else ()
        found: dict[str, str] = {}
        for block in blocks(records):
            for record, label in self.index.select(
                f"{_PREFIXES} SELECT ?g (MIN(?label) AS ?name) WHERE {{ {values_block('g', block)}"
                " GRAPH ?g { ?it prov:startedAtTime ?at ; rdfs:label ?label"
                " FILTER(!CONTAINS(STR(?it), '#')) } } GROUP BY ?g"
            ).rows:
                if record is not None and label is not None:
                    found[record[1:-1]] = lineage.plain(label)
        return found

    def asked(self, query: CannedQuery, values: Mapping[str, object]) -> Asked:
        """Return a question with its parameters looked up; errors as `ask`."""
        return self.asked_with(query, query.values(values, resolve=self._content))

    def asked_with(self, query: CannedQuery, values: Mapping[str, tuple[Term, ...]]) -> Asked:
        """Return a question with the terms that it is asked with.

        One that is not in the catalogue, such as of an older certificate, is run in a bounded process
        of its own, and goes on with a report only if today's question of that id does.

        Raises:
            QueryError: a report that the catalogue does not know.
        """
        own = [each for each in catalogue.catalogue() if each.id == query.id]
        is_ours = [each.text for each in own] == [query.text]
        if query.report is not None and query.report not in {each.report for each in own}:
            raise QueryError(
                f"the question {query.id} goes on with {query.report}, which is not known"
            )
        return Asked(
            query=query,
            values=values,
            ask=self.index.select if is_ours else self._sandboxed,
            entries=self.entries,
            settings=self.settings,
        )

    @property
    def entries(self) -> Entries:
        """The ledger up to the size that this reads."""
        return Entries(self.ledger, size=self.ledger_size)

    def _sandboxed(self, query: str, *, graphs: Sequence[str] | None = None) -> Solutions:
        """Run a query that is not ours; of all records, since a foreign one is not narrowed."""
        if graphs is not None:
            raise QueryError("a question that is not in the catalogue is asked of all records")
        found, *_ = self.sparql(query, as_written=True)
        return Solutions(columns=tuple(found.columns), rows=tuple(found.rows))

    def erased_after(self, position: int, *, below: int) -> int:
        """Return how many of the first entries were erased by tombstones after a position."""
        found = 0
        for row in self.ledger.names_of_kind("tombstone"):
            erased = self.ledger.find(row.name) if row.iri in self._tombstones else None
            found += erased is not None and erased < below and row.index > position
        return found

    @contextlib.contextmanager
    def as_of(
        self, as_of: str | int | datetime, *, progress: Progress | None = None
    ) -> Iterator[Reader]:
        """Read the ledger as it was: at a size, or at a time.

        What was erased since is gone, and what is said of erasures is said as of now.

        Raises:
            UsageError: neither a size nor a time.
            NotFoundError: the ledger was never that large, or was empty then.
            IndexUnavailableError: the index of that size cannot be built.
        """
        size = size_as_of(self.ledger, as_of, times_beside=self.index.folder)
        if size == self.ledger_size:
            yield self
            return
        with prefix_index(
            self.ledger,
            size=size,
            index_folder=self.index.folder,
            erased=[each for each in self._erased_positions if each < size],
            wait_s=self.settings.index_wait_s,
            counting=counting(progress, 0, size),
        ) as index:
            reader = Reader(self.settings, self.ledger, index, [])
            reader.ledger_size, reader.now = size, self
            reader.names = ShownNames(self.ledger, is_shown=lambda each: each < size)
            reader.meant = self.meant
            yield reader

    def _when(self) -> str:
        return "" if self.now is None else f"as of ledger size {self.ledger_size}: "

    @functools.cached_property
    def _erased_positions(self) -> tuple[int, ...]:
        found = (self.ledger.find(record) for record in set(self._tombstones.values()))
        return tuple(sorted(each for each in found if each is not None))

    def erased(self, iris: Iterable[str]) -> dict[str, tuple[Erasure, ...]]:
        """Return what was erased of things and records; those untouched are left out."""
        if self.now is not None:
            found = self.now.erased(iris)
            below = {
                iri: tuple(each for each in those if each.entry_index < self.ledger_size)
                for iri, those in found.items()
            }
            return {iri: those for iri, those in below.items() if those}
        wanted = filter(is_plain_iri, iris) if self._tombstones else ()
        return erasures.erasures_of(self.index.select, wanted, tombstones=self._tombstones)

    def erased_records(self) -> int:
        """Return how many records of this ledger are erased."""
        if self.now is not None:
            return sum(each < self.ledger_size for each in self.now._erased_positions)
        return len(set(self._tombstones.values()))

    @functools.cached_property
    def _tombstones(self) -> dict[str, str]:
        return counting_tombstones(self.ledger, size=self.ledger_size)

    def sparql(
        self, text: str, *, as_written: bool = False
    ) -> tuple[ForeignAnswer, int, Rewriting | None]:
        """Run a free query in a bounded process of its own.

        The default graph holds each statement of all records once, unless the query names another
        with FROM.

        Args:
            text: the query.
            as_written: run it as it is, where one that gives the same rows would be run instead.

        Returns:
            The answer, the ledger size that it holds for, and what was run instead.

        Raises:
            QueryError: refused, malformed, or over a limit.
        """
        check_query(text)
        rewriting = None if as_written else improved(text)
        if rewriting is not None:
            text = rewriting.text
        limits = Limits(
            timeout_s=self.settings.query_timeout_s,
            memory_bytes=self.settings.query_memory_mib * 1024 * 1024,
            rows=self.settings.query_rows,
        )
        self.index.close_store()
        try:
            answer = run_foreign(text, index_folder=self.index.folder, limits=limits)
        except DamagedIndexError as error:
            self.index.put_aside(error)
            rebuild_index(self.index, self.ledger)
            answer = run_foreign(text, index_folder=self.index.folder, limits=limits)
        return answer, self.ledger_size, rewriting

    def labels(self, rows: tuple[Row, ...]) -> dict[str, str]:
        """Return readable names for the IRIs that occur in rows."""
        return labels_of(self.index.select, rows)

    def walk(
        self,
        text: str,
        *,
        up: bool,
        max_depth: int | None,
        only: Restriction = ALL,
        as_of: AsOf = None,
    ) -> Lineage:
        """Walk the lineage of a thing; a run stands for what it made.

        Raises:
            NotFoundError: nothing here goes by that, or nothing did as of that position.
        """
        size = self.size_as_of(as_of)
        iris = self.resolve(text, as_of=size)

        def ask(graph: LineageGraph) -> Lineage:
            start = starts(graph, iris, up=up)
            if size is not None:
                require_known(graph, start)
            return lineage.walk(graph, start, up=up, max_depth=max_depth, only=only)

        return self.over_lineage(ask, as_of=size)

    def path(
        self, text: str, other: str, *, as_of: AsOf = None
    ) -> tuple[tuple[PathEdge, ...], dict[str, Node]]:
        """Return one of the shortest ways between two things, up or down, and the things on it.

        The way leads from what was made later to what it was made from. Where a name stands for several
        things, the shortest way between any of them is meant.

        Raises:
            NotFoundError: nothing here goes by one of them, or no way is recorded.
        """
        size = self.size_as_of(as_of)
        ends = [self.resolve(each, as_of=size) for each in (text, other)]

        def ask(graph: LineageGraph) -> tuple[tuple[PathEdge, ...], dict[str, Node]]:
            one, two = (starts(graph, each) for each in ends)
            ways = [
                way
                for a in one
                for b in two
                for way in (graph.path(a, b), graph.path(b, a))
                if way is not None
            ]
            if not ways:
                raise NotFoundError(
                    f"no record says that {text} was made from {other}, or {other} from {text}, in"
                    " however many steps; what was made elsewhere, unrecorded, is unknown"
                )
            way = min(ways, key=len)
            things = [each for edge in way for each in (edge.child, edge.parent)]
            return way, lineage.described(graph, things or one)

        return self.over_lineage(ask, as_of=size)

    def common(
        self, texts: Sequence[str], *, only: Restriction = ALL, as_of: AsOf = None
    ) -> tuple[tuple[CommonAncestor, ...], dict[str, Node]]:
        """Return what all of several things were made from, nearest first, with the facts beside it.

        Raises:
            NotFoundError: nothing here goes by one of them.
            UsageError: one of them names several things.
        """
        size = self.size_as_of(as_of)
        given = [self.resolve(each, as_of=size) for each in texts]

        def ask(graph: LineageGraph) -> tuple[tuple[CommonAncestor, ...], dict[str, Node]]:
            start = []
            for text, iris in zip(texts, given, strict=True):
                found = starts(graph, iris)
                if len(found) > 1:
                    choices = ", ".join(str(content_digest(each) or each) for each in found[:5])
                    raise UsageError(f"{text} names {len(found)} things; say which: {choices}")
                start += found
            shared = graph.common_ancestors(start, only=only)
            return shared, lineage.described(graph, [each.iri for each in shared])

        return self.over_lineage(ask, as_of=size)

    def size_as_of(self, as_of: AsOf) -> int | None:
        """Return the ledger size that a size or a time means; None means now.

        Raises:
            UsageError: neither a size nor a time.
            NotFoundError: the ledger was never that large, or was empty then.
        """
        if as_of is None:
            return None
        whole = self.now or self
        return size_as_of(self.ledger, as_of, times_beside=whole.index.folder)

    def over_lineage(
        self, ask: Callable[[LineageGraph], Found], *, as_of: int | None = None
    ) -> Found:
        """Ask the lineage index, as of a ledger position; built anew where it turns out damaged.

        Raises:
            NotFoundError: the ledger has not got so many entries.
        """
        as_of = self.size_as_of(as_of)
        whole = self.now or self
        folder = lineage_folder(whole.index.folder)
        if as_of is None and self.now is not None:
            as_of = self.ledger_size
        try:
            return _asked(folder, ask, as_of)
        except DamagedIndexError as error:
            logger.warning("lineage index damaged, built anew: %s", error)
            lineage_index.build(self.ledger, folder, size=whole.ledger_size)
            return _asked(folder, ask, as_of)

    def describe(self, text: str) -> Description:
        """Collect what is known of a thing.

        Raises:
            NotFoundError: no statement is about it.
            UsageError: several things go by that name.
        """
        iri = self.resolve_one(text)
        statements = self._statements(iri)
        parts: dict[str, tuple[tuple[str, Term], ...]] = {}
        # Two levels: a run has an input, which has no digest, for a reason.
        around = statements
        for _ in range(2):
            found = {value[1:-1] for _, value in around if value.startswith(f"<{iri}#")}
            new = {each: self._statements(each) for each in sorted(found - parts.keys())}
            parts |= new
            around = tuple(statement for part in new.values() for statement in part)
        incoming = tuple(
            (predicate[1:-1], subject[1:-1])
            for subject, predicate in self.index.select(
                f"SELECT DISTINCT ?s ?p WHERE {{ {values_block('it', [iri])} ?s ?p ?it }}"
                " ORDER BY ?p ?s"
            ).rows
            if subject is not None and predicate is not None
        )
        mentioned = {value[1:-1] for _, value in statements if value[0] == "<"}
        mentioned |= {v[1:-1] for part in parts.values() for _, v in part if v[0] == "<"}
        mentioned |= {subject for _, subject in incoming}
        contradictions = contradictions_of(self.index.select, [iri])
        for each in contradictions:
            mentioned |= {name for name in (each.thing, each.other) if name and is_plain_iri(name)}
            mentioned.update(each.records)
        return Description(
            iri=iri,
            statements=statements,
            incoming=incoming,
            parts=parts,
            nodes=lineage.describe(self.index.select, {*mentioned, iri}),
            records=tuple(self.records_about([iri])),
            ledger_size=self.ledger_size,
            contradictions=contradictions,
            erased=self.erased([iri]).get(iri, ()),
        )

    def things(self, kind: str) -> list[Node]:
        """Return everything of one of our classes (`Model`, `Run`), by time and name."""
        of_kind = f"{_PREFIXES} SELECT DISTINCT ?it WHERE {{ ?it a <{vocab.PG}{kind}> }}"
        nodes = lineage.describe(self.index.select, self._iris(of_kind))
        return sorted(nodes.values(), key=lambda n: (n.fact("at") or "", n.title, n.iri))

    def records_about(self, iris: list[str]) -> list[str]:
        """Return the records (graphs) that describe things, sorted."""
        return self._iris(
            f"SELECT DISTINCT ?g WHERE {{ {values_block('it', iris)} GRAPH ?g {{ ?it ?p ?o }} }}"
        )

    def records_mentioning(self, iris: list[str]) -> list[str]:
        """Return the records (graphs) that refer to things, sorted."""
        return self._iris(
            f"SELECT DISTINCT ?g WHERE {{ {values_block('it', iris)} GRAPH ?g {{ ?s ?p ?it }} }}"
        )

    def entities(self, iris: list[str], *, up: bool = True) -> list[str]:
        """Return what a walk starts from: the contents of a version, what a run made.

        A run that made nothing stands, upwards, for what it used.
        """
        return self.over_lineage(lambda graph: starts(graph, iris, up=up))

    def content(self, text: str) -> str:
        """Return the one content that somebody means; errors as `ask`."""
        return self._content(text)[0]

    def _content(self, text: str) -> list[str]:
        """Find what a canned query is about: one content, run or person."""
        iri = self.resolve_one(text)
        contents = roots.versions(self.index.select, [iri])
        if len(contents) > 1:
            choices = ", ".join(str(content_digest(each) or each) for each in contents)
            raise UsageError(
                f"{text} names {len(contents)} contents; say which by digest: {choices}"
            )
        return contents or [iri]

    def _statements(self, iri: str) -> tuple[tuple[str, Term], ...]:
        query = f"SELECT DISTINCT ?p ?o WHERE {{ {values_block('it', [iri])} ?it ?p ?o }} ORDER BY ?p ?o"
        return tuple(
            (predicate[1:-1], value)
            for predicate, value in self.index.select(query).rows
            if predicate is not None and value is not None
        )

    def _iris(self, query: str) -> list[str]:
        return sorted(row[0][1:-1] for row in self.index.select(query).rows if row[0] is not None)

    def _is_known(self, iri: str) -> bool:
        return roots.is_known(self.index.select, iri)

    def _whole_digest(self, text: str, found: Resolved) -> Resolved:
        """Find what the first digits of a digest mean: that is how people copy them."""
        digest = content_digest(found.iris[0])
        if digest is None or len(digest.value) >= _SHA256_DIGITS:
            return found
        start = string(f"{digest.algorithm}:{digest.value}")
        iris = self._iris(
            f"{_PREFIXES} SELECT DISTINCT ?e WHERE {{ ?e pg:digest ?d"
            f" FILTER(STRSTARTS(?d, {start})) }} LIMIT 5"
        )
        if len(iris) > 1:
            raise UsageError(f"several digests begin with {text}; give more of its digits")
        return Resolved(iris=tuple(iris), by="digest") if iris else found

    def _named(self, text: str) -> tuple[str, ...]:
        """Return the IRI that the index knows a name by, where the ledger has the name no more."""
        kind, slash, rest = text.strip().partition("/")
        kinds, name = ((kind,), rest) if slash and kind in KINDS else (KINDS, text.strip())
        found = [
            iri
            for each in kinds
            for iri in (
                vocab.named_iri(each, self.ledger.namespace, name),
                vocab.named_iri(each, self.ledger.namespace, *name.rsplit(":", 1)),
            )
            if self._is_known(iri)
        ]
        return tuple(dict.fromkeys(found))[:1]

    def _near_iris(self, iri: str) -> str:
        """Suggest IRIs of the same kind that end almost alike."""
        head = iri.rpartition("/")[0]
        if not is_plain_iri(iri) or head.count("/") < 3 or self.ledger_size > _SCANNED_RECORDS:
            return ""
        start = string(f"{head}/")
        found = self._iris(
            f"SELECT DISTINCT ?it WHERE {{ ?it a ?type FILTER(STRSTARTS(STR(?it), {start})) }} LIMIT 2000"
        )
        near = difflib.get_close_matches(iri, found, n=2, cutoff=0.8)
        return f"; did you mean {' or '.join(near)}?" if near else ""

    def _erased_hint(self) -> str:
        count = self.erased_records()
        if not count:
            return ""
        records = "a record was" if count == 1 else f"{count} records were"
        return f"; {records} erased here, names with them: `provgraph list erasures`"

    def _near_names(self, text: str) -> str:
        rows = self.index.select(
            f"{_PREFIXES} SELECT DISTINCT ?label WHERE {{ ?it a ?type ; rdfs:label ?label"
            f" FILTER(?type IN ({_NAMED_CLASSES})) }} ORDER BY ?label"
        ).rows
        names = [lineage.plain(row[0]) for row in rows if row[0] is not None]
        near = difflib.get_close_matches(text, names, n=3, cutoff=0.6)
        return f"; did you mean {' or '.join(near)}?" if near else ""


def _asked(folder: Path, ask: Callable[[LineageGraph], Found], as_of: int | None) -> Found:
    with open_lineage(folder, as_of=as_of) as graph:
        return ask(graph)


@contextlib.contextmanager
def open_reader(settings: Settings, *, progress: Progress | None = None) -> Iterator[Reader]:
    """Open ledger and index for asking, after sealing what dead processes left.

    So is the clearing after an erasure finished whose process died.

    Raises:
        NotFoundError: nothing has been recorded here yet.
        IndexUnavailableError: the index is held by another process, or cannot be written.
    """
    recovered = recover(settings) if settings.home.exists() else []
    carry_on(settings)
    with (
        readable_ledger(settings) as ledger,
        open_index(index_folder(settings), wait_s=settings.index_wait_s) as index,
    ):
        reader = Reader(settings, ledger, index, recovered)
        reader.ledger_size = bring_up_to_date(index, ledger, progress=progress)
        # A block may turn out to be damaged when a question first needs it.
        index.on_damage = lambda: rebuild_index(index, ledger)
        yield reader


def problems(recovered: list[Recovered]) -> list[str]:
    """Say what of the journals left behind could not be sealed."""
    return [f"{each.path}: {each.problem}" for each in recovered if each.problem is not None]
