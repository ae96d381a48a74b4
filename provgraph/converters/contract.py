"""The contract of a converter: from a source to units, each of them one record with its source bytes.

A converter is a module with one `Converter` value named CONVERTER, and a row in `table`. It holds to this:

1. A unit is the smallest thing of the source that stands for itself: a run, an entry of a registry, a
   document. Its `key` comes from the source's own identities and never changes.
2. `content` is the unit as it stood in the source, the same bytes as long as it has not changed: a file's
   bytes, or the rows of a store as JSON with sorted keys (`canonical_json`). They become an attachment.
3. Whatever is not mapped is kept in `content`, and named in the report with its place; whatever cannot
   even be kept is refused there. Nothing is left out silently.
4. One bad unit does not end an import: its error is a `refused` line, and the next unit follows.
5. Units come one after the other from a generator, so that memory stays flat. `read` never writes, runs
   nothing that the source says, and reaches no network but the address that the caller named.
6. A derivation is claimed only where the source says so. An unknown is a `Missing`, a contradiction of the
   source with itself a `Disagreement`.
7. A secret in what a store recorded is taken out before the facts and the bytes are built, and counted.
   A file is kept byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from provgraph.converters.report import Report
from provgraph.converters.sources import Source
from provgraph.digests import Digest
from provgraph.flows import Flow
from provgraph.imported import Disagreement, RegistryEntry
from provgraph.recordable import LaterFact
from provgraph.records import Notice, Run
from provgraph.terms import Term

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignGraph:
    """Statements to be kept as a graph of their own, in canonical terms without blank nodes."""

    statements: frozenset[tuple[Term, Term, Term]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One unit of a source, ready to be recorded.

    A run keeps the id that its record has; any other record gets that of the unit's state.
    """

    key: str  # such as `mlflow/run/<id>`
    record: Run | LaterFact | RegistryEntry | Notice | Flow | ForeignGraph
    content: bytes
    media_type: str = JSON
    attachments: Mapping[Digest, bytes] = field(default_factory=dict)
    redacted: int = 0
    disagreements: tuple[Disagreement, ...] = ()


@dataclass(slots=True, kw_only=True)
class Reading:
    """What an import asks of a converter, and what it hears back."""

    report: Report
    namespace: str = ""  # whose names records give: of this ledger
    project: str | None = None  # of runs, instead of what the source calls it
    takes_unfinished: bool = False
    cursor: Mapping[str, Any] | None = None  # where the last import of this source had come to
    next_cursor: Mapping[str, Any] | None = None  # set at the end, by a converter that can go on


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """One format, in."""

    name: str
    version: str  # of the mapping: raised when the same source would give other records
    recognises: Callable[[Source], str | None]  # what it is, in words, if it is of this format
    read: Callable[[Source, Reading], Iterator[Unit]]
    can_follow: bool = False  # it can go on from a cursor


def canonical_json(value: Any) -> bytes:
    """Write JSON values as the same bytes always: sorted keys, no blanks, ASCII.

    Lone surrogates, which stand for bytes that were not UTF-8, are written as escapes.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")
