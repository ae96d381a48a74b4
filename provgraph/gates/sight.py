"""What a gate sees: one asker's questions, records and keys, as of one size of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from provgraph.index.store import Row, values_block
from provgraph.query.answers import Asked, found_rows, labels_of
from provgraph.query.asking import Ask
from provgraph.query.catalogue import CannedQuery, find
from provgraph.query.lineage import plain
from provgraph.query.reporting import Entries, Table
from provgraph.query.requirements import subject_of
from provgraph.query.seals import VERIFIED, SealState, seal_states
from provgraph.seal.trust import KeyHistory

_PREFIXES = (
    "PREFIX prov: <http://www.w3.org/ns/prov#> PREFIX pg: <https://w3id.org/provgraph/ns#>"
    " PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#> "
)
# In one piece (pg:none never occurs), or the planner starts it at its unbound end.
_UPSTREAM = (
    _PREFIXES + "SELECT DISTINCT ?it WHERE {{ {model} ?model (prov:wasDerivedFrom+)|pg:none ?it }}"
)


@dataclass(slots=True, kw_only=True)
class Sight:
    """Asks for one gate; what was asked once is remembered."""

    model: str
    """IRI of the model's content."""
    ask: Ask
    asked: Callable[[CannedQuery, Mapping[str, object]], Asked]
    entries: Entries
    keys: KeyHistory
    now: datetime
    _tables: dict[tuple[str, tuple[tuple[str, str], ...]], Table] = field(default_factory=dict)
    _seals: dict[str, SealState] = field(default_factory=dict)
    _upstream: frozenset[str] | None = None

    def table(self, question: str, given: Mapping[str, str] | None = None) -> Table:
        """Return what a question finds about the model."""
        given = given or {}
        known = (question, tuple(sorted(given.items())))
        if known not in self._tables:
            query = find(question)
            subject = subject_of(query)
            assert subject is not None, (
                "profiles are refused that ask a question about something else"
            )
            _, self._tables[known] = found_rows(self.asked(query, {**given, subject: self.model}))
        return self._tables[known]

    def raw(self, question: str) -> list[Row]:
        """Return the rows of a question's query, before its report goes on from them."""
        query = find(question)
        subject = subject_of(query) or "model"
        asked = self.asked(query, {subject: self.model})
        return list(self.ask(asked.text).rows)

    def select(self, pattern: str, *, model: str | None = None) -> list[tuple[str | None, ...]]:
        """Run a query of ours about the model (`?model`); return plain values."""
        block = values_block("model", [model or self.model])
        rows = self.ask(_PREFIXES + pattern.format(model=block)).rows
        return [tuple(None if term is None else plain(term) for term in row) for row in rows]

    @property
    def upstream(self) -> frozenset[str]:
        """Everything that the model was made from, as far as records go."""
        if self._upstream is None:
            rows = self.ask(_UPSTREAM.format(model=values_block("model", [self.model]))).rows
            self._upstream = frozenset(row[0][1:-1] for row in rows if row[0] is not None)
        return self._upstream

    def seal(self, record: str) -> SealState:
        """Return what came of checking a record now."""
        if record not in self._seals:
            (self._seals[record],) = seal_states(self.entries, self.keys, [record], is_fresh=True)
        return self._seals[record]

    def labels(self, rows: Sequence[Row]) -> dict[str, str]:
        """Return readable names for the IRIs that occur in rows."""
        return labels_of(self.ask, rows)

    def is_sealed(self, record: str) -> bool:
        """Whether a record is what was sealed, by a key that counts."""
        return self.seal(record).state == VERIFIED
