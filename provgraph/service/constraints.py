"""Checking what this home has recorded against PROV-CONSTRAINTS: of one thing, or everything.

Each record is a bundle and is checked on its own; then all of them together, as one document without
bundles: what two records say of one thing may be impossible where neither is. The bytes are the
ledger's. An erased record has none, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from provgraph.constraints.checking import check
from provgraph.constraints.rdf import Quad, document_of
from provgraph.constraints.statements import Document, Finding
from provgraph.errors import ErasedError, NotFoundError
from provgraph.ledger.sqlite import Ledger
from provgraph.service.asking import open_reader
from provgraph.service.home import readable_ledger
from provgraph.settings import Settings
from provgraph.terms import parse_lines

ALL_TOGETHER: Final = "all together"
"""The bundle that findings stand under which no record has alone."""

Progress = Callable[[int, int], None]
"""Called with (records read, records to read)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeChecked:
    """What came of checking records of this home."""

    records: int
    erased: int
    statements: int
    ledger_size: int
    findings: tuple[Finding, ...]


def check_home(
    settings: Settings, text: str | None, *, strict: bool = False, progress: Progress | None = None
) -> HomeChecked:
    """Check the records about a thing, or all.

    Args:
        settings: which home.
        text: what the user calls the thing or record; None for everything.
        strict: as for `provgraph.constraints.check`.
        progress: told how far reading is.

    Raises:
        NotFoundError: nothing here goes by that name.
    """
    if text is None:
        with readable_ledger(settings) as ledger:
            return _check(ledger, range(ledger.size()), strict=strict, progress=progress)
    with open_reader(settings) as reader:
        iris = reader.describe(text).records
        indices = [index for iri in iris if (index := reader.ledger.find(iri)) is not None]
        if not indices:
            raise NotFoundError(f"no record says anything about {text.strip()[:200]}")
        return _check(reader.ledger, sorted(indices), strict=strict, progress=progress)


def _check(
    ledger: Ledger, indices: Sequence[int], *, strict: bool, progress: Progress | None
) -> HomeChecked:
    size = ledger.size()
    quads: list[Quad] = []
    findings: list[Finding] = []
    erased = 0
    for done, index in enumerate(indices, start=1):
        try:
            own = list(parse_lines(ledger.graph(index)))
        except ErasedError:
            erased += 1
            continue
        findings += check(document_of(own), strict=strict)
        # In one graph they are about the same things.
        quads.extend((subject, predicate, value, "") for subject, predicate, value, _ in own)
        if progress is not None:
            progress(done, len(indices))
    together = document_of(quads)
    if len(indices) - erased > 1:
        findings += _new(check(together, strict=strict), findings)
    return HomeChecked(
        records=len(indices) - erased,
        erased=erased,
        statements=_count(together),
        ledger_size=size,
        findings=tuple(sorted(findings, key=lambda each: not each.is_violation)),
    )


def _new(found: Iterable[Finding], before: Iterable[Finding]) -> Iterable[Finding]:
    known = {(each.name, each.message) for each in before}
    for each in found:
        if (each.name, each.message) not in known:
            yield replace(each, bundle=ALL_TOGETHER)


def _count(document: Document) -> int:
    return sum(map(len, document.bundles.values()))
