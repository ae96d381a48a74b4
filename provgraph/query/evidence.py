"""Which records an answer rests on, and what is meant by that.

*Sufficient*: the question, asked of these records alone, gives the same rows. That is tried, each
time: records that speak of the things in the rows are collected, in three steps of growing reach, and
the question is asked again of them and nothing else. Whoever has them can do the same.

*Related*: these records speak of the things in the rows, and it was not shown that they alone give
them: the answer is too large for the trial, or it rests on what is in other records as well.

Two things rest on the whole ledger up to its size, whatever the records are: that there are no other
rows, and that something in a row is not recorded.

Where several records state the same, the first by IRI stands for them (ids of records begin with a
time). So the set is small and the same each time; it need not be the smallest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from provgraph import vocab
from provgraph.index.store import Row, values_block
from provgraph.query.asking import Ask, blocks, things_in

SUFFICIENT: Final = "sufficient"
RELATED: Final = "related"
MEANING: Final = {
    SUFFICIENT: "asked of these records alone, the question gives the same rows",
    RELATED: "these records speak of the things in the rows; that they alone give them was not shown",
}

# Beyond these the trial would take longer than the answer: its cost grows with records times patterns.
_MAX_TRIED_ROWS: Final = 2_000
_MAX_TRIED_RECORDS: Final = 150
MAX_THINGS: Final = 5_000

_RETRACTS: Final = vocab.PG + "retracts"
_PREFIX: Final = re.compile(r"^PREFIX\s+(\w*):\s*<([^>]*)>", re.MULTILINE)
_NAME: Final = re.compile(r"(?<![\w<?])(\w+):([a-z][\w-]*)")
_STATED: Final = (
    "SELECT ?it ?p ?o (MIN(?g) AS ?record) WHERE {{ {values} GRAPH ?g {{ ?it ?p ?o }} {filter}}}"
    " GROUP BY ?it ?p ?o"
)
_POINTING: Final = (
    "SELECT ?s ?p ?it (MIN(?g) AS ?record) WHERE {{ {values} GRAPH ?g {{ ?s ?p ?it }} {filter}}}"
    " GROUP BY ?s ?p ?it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Records that an answer rests on."""

    records: tuple[str, ...]
    kind: str  # sufficient | related
    is_cut: bool = False
    """Whether there were more things in the rows than records were looked up for."""

    @property
    def meaning(self) -> str:
        """What the set of records means, in words."""
        return MEANING[self.kind]


def find_evidence(
    ask: Ask,
    *,
    text: str,
    query: str,
    given: Iterable[str],
    rows: Sequence[Row],
    is_whole: bool = True,
) -> Evidence:
    """Find the records that an answer rests on.

    Args:
        ask: runs queries over the index.
        text: of the question as it is written down.
        query: the same with its holes filled.
        given: IRIs of the things that it was asked about.
        rows: what it answered.
        is_whole: whether these are all of its rows, and just as the query gives them.
    """
    asked = set(given)
    things = things_in(rows) | asked
    is_cut = len(things) > MAX_THINGS
    if is_cut:
        things = set(sorted(things)[:MAX_THINGS])
    properties = _properties(text)
    found = _Found(ask, properties)
    tried: Callable[[set[str]], bool] = lambda records: (  # noqa: E731 - with what all trials share
        is_whole
        and not is_cut
        and len(rows) <= _MAX_TRIED_ROWS
        and len(records) <= _MAX_TRIED_RECORDS
        and _same(ask(query, graphs=sorted(records)).rows, rows)
    )
    # What the things in the rows say of themselves, and that they were withdrawn, where that is asked.
    records = found.about(things) | found.pointing(things, _RETRACTS)
    if tried(records):
        return Evidence(records=tuple(sorted(records)), kind=SUFFICIENT)
    # What they mention, and what points to the things asked about: paths run over these.
    near = found.mentioned - things
    wider = records | found.about(near) | found.pointing(asked or things)
    if len(wider) <= _MAX_TRIED_RECORDS and wider != records and tried(wider):
        return Evidence(records=tuple(sorted(wider)), kind=SUFFICIENT)
    # And so on, along everything mentioned, as long as it stays a set that somebody would read.
    seen = things | near
    widest = wider
    for _ in range(8):
        following = found.mentioned - seen
        if not following or len(widest) > _MAX_TRIED_RECORDS or len(seen) > MAX_THINGS:
            break
        seen |= following
        widest = widest | found.about(following) | found.pointing(following)
    if widest != wider and tried(widest):
        return Evidence(records=tuple(sorted(widest)), kind=SUFFICIENT)
    return Evidence(records=tuple(sorted(records)), kind=RELATED, is_cut=is_cut)


class _Found:
    """What was looked up so far: the things mentioned, whence the next step goes on."""

    def __init__(self, ask: Ask, properties: tuple[str, ...] | None) -> None:
        self._ask = ask
        self._filter = ""
        if properties is not None:
            listed = ", ".join(f"<{iri}>" for iri in properties)
            self._filter = f"FILTER(?p IN ({listed})) "
        self.mentioned: set[str] = set()

    def about(self, things: Iterable[str]) -> set[str]:
        return self._records(_STATED, things, other=2, only=self._filter)

    def pointing(self, things: Iterable[str], only: str | None = None) -> set[str]:
        """Look up what refers to things; with `only`, by that property, if the question reads it."""
        if only is not None and only not in self._filter and self._filter:
            return set()
        chosen = self._filter if only is None else f"FILTER(?p = <{only}>) "
        return self._records(_POINTING, things, other=0, only=chosen)

    def _records(self, query: str, things: Iterable[str], *, other: int, only: str) -> set[str]:
        records: set[str] = set()
        for block in blocks(things):
            values = values_block("it", block)
            rows = self._ask(query.format(values=values, filter=only)).rows
            records |= {row[3][1:-1] for row in rows if row[3] is not None}
            self.mentioned |= things_in((row[other],) for row in rows)
        return records


def _properties(text: str) -> tuple[str, ...] | None:
    """Return the properties that a question reads; None where it reads families of them."""
    if "STRSTARTS(STR(" in text:
        return None
    prefixes = dict(_PREFIX.findall(text))
    body = re.sub(r"^#.*$|\"[^\"\n]*\"", "", text, flags=re.MULTILINE)
    names = {prefixes[prefix] + name for prefix, name in _NAME.findall(body) if prefix in prefixes}
    if re.search(r"[\s|/(^]a[\s|/)]", body):
        names.add("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
    return tuple(sorted(names))


def _same(left: Sequence[Row], right: Sequence[Row]) -> bool:
    """Whether rows are equal; where a question leaves their order open, engines may differ in it."""
    return len(left) == len(right) and sorted(map(_key, left)) == sorted(map(_key, right))


def _key(row: Row) -> tuple[str, ...]:
    return tuple("" if term is None else term for term in row)
