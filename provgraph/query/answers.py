"""An answer: rows, and what they are worth.

Beside its rows an answer carries the ledger size that it holds for, the records that it rests on with
the state of their seals, how complete it is, what contradicts itself in it, and what was erased of it.
"No rows" never means that all is well: `empty` says what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from provgraph.index.store import Row, Solutions
from provgraph.query import erasures, lineage
from provgraph.query.asking import Ask, iris_in, things_in
from provgraph.query.catalogue import CannedQuery
from provgraph.query.completeness import Completeness, completeness_of
from provgraph.query.contradictions import MAX_SCOPE, Contradiction, contradictions_of
from provgraph.query.erasures import Erasure
from provgraph.query.evidence import Evidence, find_evidence
from provgraph.query.reporting import Entries, Material, Table
from provgraph.query.seals import SealState, seal_states
from provgraph.seal.trust import KeyHistory
from provgraph.settings import Settings
from provgraph.terms import Term, string

# Seals of more records than these are checked by `provgraph verify`, not while somebody waits.
MAX_SEALS: Final = 2_000

Erased = Callable[[set[str]], Mapping[str, tuple[Erasure, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """What the rows of an answer are worth."""

    evidence: Evidence
    seals: tuple[SealState, ...]
    unchecked: int
    """Of how many of the records the seals were not checked: there were too many."""
    completeness: Completeness
    contradictions: tuple[Contradiction, ...]
    is_scope_cut: bool = False
    """Whether contradictions were looked for around some of the things only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows of canonical terms, labels for the IRIs in them, and the ledger size they hold for."""

    query: str
    title: str
    empty: str  # what it means that there are no rows: never that all is well
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    labels: Mapping[str, str]
    ledger_size: int
    values: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)
    """Parameter to the terms that it was asked with."""
    erased: Mapping[str, tuple[Erasure, ...]] = field(default_factory=dict)
    """What was erased of the things asked about; the column `erased` says it of those in rows."""
    erased_records: int = 0
    """How many records of this ledger are erased: what they said can be in no answer."""
    proofs: Proofs | None = None
    more: bool = False
    """Whether there are more rows than these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Everything that a question needs to be answered."""

    query: CannedQuery
    values: Mapping[str, tuple[Term, ...]]
    ask: Ask
    entries: Entries
    settings: Settings
    page: tuple[int, int] | None = None
    """Offset and number of rows wanted; None for all."""

    @property
    def things(self) -> set[str]:
        """The IRIs that it is about."""
        return things_in(self.values.values())

    @property
    def text(self) -> str:
        """The query as it is run."""
        text = self.query.bound(self.values)
        if self.page is None or self.query.report is not None or self.query.has_limit:
            return text
        offset, limit = self.page
        # One row more than wanted tells whether there are more.
        return f"{text}\nLIMIT {limit + 1} OFFSET {offset}\n"


def answer(
    asked: Asked, *, erased: Erased, erased_records: int, keys: Callable[[], KeyHistory] | None
) -> Answer:
    """Answer a question; with `keys`, say what the answer is worth.

    Args:
        asked: the question.
        erased: says what was erased of things.
        erased_records: how many records are erased below the size.
        keys: what the ledger says of keys; None leaves the proofs out.

    Raises:
        QueryError: over a limit.
        UntrustedError: the ledger's checkpoint does not verify.
    """
    query = asked.query
    found, table = found_rows(asked)
    rows, more = _paged(asked, tuple(table.rows))
    whole = tuple(found.rows) == rows and not more
    touched = erased(iris_in(rows) | asked.things) if erased_records else {}
    given = Answer(
        query=query.id,
        title=query.title,
        empty=query.empty,
        columns=table.columns,
        rows=rows,
        labels=labels_of(asked.ask, rows),
        ledger_size=asked.entries.size,
        values=dict(asked.values),
        erased={iri: touched[iri] for iri in sorted(asked.things) if iri in touched},
        erased_records=erased_records,
        more=more,
    )
    if keys is not None:
        proofs = _proofs(asked, rows, table=table, keys=keys(), is_whole=whole)
        given = replace(given, proofs=proofs)
    columns, said = _say_erased(asked.ask, given, touched)
    return replace(given, columns=columns, rows=said)


def found_rows(asked: Asked) -> tuple[Solutions, Table]:
    """Run the query, and the report that goes on from it."""
    found = asked.ask(asked.text)
    report = asked.query.load()
    if report is None:
        return found, Table(columns=found.columns, rows=found.rows)
    material = Material(
        query=asked.query,
        values=asked.values,
        found=found,
        select=asked.ask,
        entries=asked.entries,
        settings=asked.settings,
    )
    return found, report(material)


def labels_of(ask: Ask, rows: Sequence[Row]) -> dict[str, str]:
    """Return readable names for the IRIs that occur in rows."""
    nodes = lineage.describe(ask, iris_in(rows))
    return {iri: node.title for iri, node in nodes.items() if node.title}


def _paged(asked: Asked, rows: tuple[Row, ...]) -> tuple[tuple[Row, ...], bool]:
    if asked.page is None:
        return rows, False
    offset, limit = asked.page
    if asked.query.report is not None or asked.query.has_limit:
        rows = rows[offset:]
    return rows[:limit], len(rows) > limit


def _proofs(
    asked: Asked,
    rows: tuple[Row, ...],
    *,
    table: Table,
    keys: KeyHistory,
    is_whole: bool,
) -> Proofs:
    things = asked.things
    evidence = find_evidence(
        asked.ask,
        text=asked.query.text,
        query=asked.query.bound(asked.values),
        given=things,
        rows=rows,
        is_whole=is_whole,
    )
    records = [*evidence.records, *sorted(table.records - set(evidence.records))]
    evidence = replace(evidence, records=tuple(records))
    around = things_in(rows) | things
    return Proofs(
        evidence=evidence,
        seals=tuple(seal_states(asked.entries, keys, records[:MAX_SEALS])),
        unchecked=max(0, len(records) - MAX_SEALS),
        completeness=completeness_of(
            asked.ask,
            columns=table.columns,
            required=asked.query.required,
            rows=rows,
            given=things,
        ),
        contradictions=()
        if asked.query.id == "Q32"
        else contradictions_of(asked.ask, sorted(around)[:MAX_SCOPE]),
        is_scope_cut=len(around) > MAX_SCOPE,
    )


def _say_erased(
    ask: Ask, given: Answer, touched: Mapping[str, tuple[Erasure, ...]]
) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    """Add a column that says of each row what was erased of the things in it, where any was."""
    nodes = lineage.describe(ask, touched)
    said = []
    for row in given.rows:
        iris = sorted(iris_in((row,)) & set(touched))
        partly = {
            str(each): not erasures.is_wholly_erased(nodes[iri])
            for iri in iris
            for each in touched[iri]
        }
        texts = [f"partly {text}" if part else text for text, part in sorted(partly.items())]
        said.append(string("; ".join(texts)) if texts else None)
    if not any(said):
        return given.columns, given.rows
    rows = tuple((*row, each) for row, each in zip(given.rows, said, strict=True))
    return (*given.columns, "erased"), rows
