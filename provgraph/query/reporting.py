"""Reports: questions that need more than SPARQL can say (statistics, files, the ledger itself).

A report begins from its .rq file like every other question, and goes on in Python from the rows that
it found. Its front matter names it:

    # report = "provgraph.query.reports.overlap:report"

The function takes a `Material` and returns a `Table`; it changes nothing, and asks the index and the
ledger only through what it is given, since that is limited to what the asker may see and to the ledger
as of the position that the answer is for:

    def report(material: Material) -> Table:
        rows = [(subject, terms.double(share(...))) for subject, *_ in material.found.rows]
        return Table(columns=("dataset", "share"), rows=rows)

The front matter's [columns] are those of the table, in that order. Rows hold canonical terms
(`provgraph.terms`), None for what is unknown. Records that rows rest on and whose things do not
stand in them are named in `Table.records`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from provgraph.errors import FormatError, NotFoundError
from provgraph.index.store import Row, Solutions
from provgraph.ledger.reading import LedgerReader
from provgraph.ledger.rows import StoredName, StoredRecord
from provgraph.query.asking import Ask
from provgraph.settings import Settings
from provgraph.terms import Term

if TYPE_CHECKING:
    from provgraph.query.catalogue import CannedQuery

# Only code of our own: front matter is read, it must not be able to run something else.
_OURS: Final = "provgraph.query."


class Entries:
    """The ledger as a report may see it: up to a size, without the entries that are left out."""

    def __init__(
        self, ledger: LedgerReader, *, size: int, hidden: frozenset[int] = frozenset()
    ) -> None:
        """Limit a ledger that somebody else has opened, and will close."""
        self.ledger = ledger
        """The whole of it: for what all may know, such as roots, keys and checkpoints."""
        self.size = size
        self._hidden = hidden

    def find(self, iri: str) -> int | None:
        """Return the position of a record, None where there is none to see."""
        index = self.ledger.find(iri)
        return index if index is not None and self.shows(index) else None

    def shows(self, index: int) -> bool:
        """Whether an entry may be seen."""
        return 0 <= index < self.size and index not in self._hidden

    def read(self, index: int) -> StoredRecord:
        """Return a record, checked against its entry's hashes.

        Raises:
            NotFoundError: there is none to see.
            UntrustedError: it is not what was sealed.
        """
        if not self.shows(index):
            raise NotFoundError(f"there is no entry {index} here")
        return self.ledger.read(index)

    def records(self) -> Iterator[StoredRecord]:
        """Yield all records, in order."""
        for record in self.ledger.records(0, self.size):
            if record.index not in self._hidden:
                yield record

    def names(self, kind: str, name: str) -> list[StoredName]:
        """Return what goes by a name, in order."""
        return [row for row in self.ledger.names(kind, name) if self.shows(row.index)]

    def names_of_kind(self, kind: str) -> list[StoredName]:
        """Return all names of a kind, in order."""
        return [row for row in self.ledger.names_of_kind(kind) if self.shows(row.index)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a report works on."""

    query: CannedQuery
    values: Mapping[str, tuple[Term, ...]]
    """Parameter to the terms that it was given; an optional one that was not is left out."""
    found: Solutions
    """The rows of the .rq file, its holes filled."""
    select: Ask
    """Runs further queries over the index: what the asker sees, as of the position."""
    entries: Entries
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a report found."""

    columns: tuple[str, ...]
    rows: Sequence[Row]
    records: frozenset[str] = field(default_factory=frozenset)
    """IRIs of records that rows rest on and whose things are not in them."""


Report = Callable[[Material], Table]


def load_report(where: str) -> Report:
    """Return the function that front matter names as `module:function`.

    Raises:
        FormatError: it is not one of ours, or there is none.
    """
    module, colon, name = where.partition(":")
    if not colon or not module.startswith(_OURS):
        raise FormatError(f"report: expected {_OURS}<module>:<function>, found {where!r}")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FormatError(f"report: there is no {where}: {error}") from None
    if not callable(found):
        raise FormatError(f"report: {where} is no function")
    report: Report = found
    return report
