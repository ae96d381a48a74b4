"""Column profiles as graphs of their own, named by their content: stored once, referred to for ever.

The sketches stay in the attachment; the graph has what people ask for in SPARQL: rows, and of each
of the first MAX_COLUMNS columns its name, type, nulls, distinct values, smallest, largest and mean.
Aligned with DQV and CSVW by `dcterms:source` in the ontology.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.digests import Digest
from provgraph.profiles.profile import TIMES, ColumnProfile, TableProfile
from provgraph.terms import Term
from provgraph.vocab import LABEL, PROV_T, A, C, P

MAX_COLUMNS: Final = 100
"""Columns in the graph: at most a thousand statements a profile."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def profile_sheet(profile: TableProfile, digest: Digest, context: Context) -> Sheet:
    """Write the record of a profile whose canonical JSON has a digest."""
    home = vocab.profile_iri(digest)
    sheet = Sheet(record_iri=vocab.profile_record_iri(digest), home=home, context=context)
    sheet.content_head("ProfileRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Entity"])
    sheet.add(subject, A, C["Profile"])
    sheet.add(subject, P["attachment"], terms.iri(vocab.content_iri(digest)))
    sheet.number(subject, P["rowCount"], profile.rows)
    sheet.number(subject, P["columnCount"], profile.column_count)
    if profile.sampled is not None:
        sheet.number(subject, P["profiledRowCount"], profile.sampled.rows)
    if profile.label is not None:
        sheet.text(subject, P["labelColumn"], profile.label.name)
    for place, column in enumerate(profile.columns[:MAX_COLUMNS]):
        node = terms.iri(f"{home}#column-{place + 1}")
        sheet.add(subject, P["profiledColumn"], node)
        sheet.number(node, P["position"], place + 1)
        _column(sheet, node, column)
    return sheet


def _column(sheet: Sheet, node: Term, column: ColumnProfile) -> None:
    sheet.add(node, A, C["Column"])
    sheet.text(node, LABEL, column.name)
    sheet.text(node, P["dataType"], column.type)
    sheet.text(node, P["unit"], column.unit)
    if column.unreadable is not None:
        sheet.text(node, P["reason"], column.unreadable)
        return
    sheet.number(node, P["nullCount"], column.nulls)
    sheet.number(node, P["distinctCount"], column.distinct)
    if column.quantiles is None:
        return
    low, high = column.quantiles.minimum, column.quantiles.maximum
    if column.type in TIMES:
        sheet.time(node, P["earliest"], _time(low))
        sheet.time(node, P["latest"], _time(high))
    else:
        sheet.real(node, P["minimum"], low)
        sheet.real(node, P["maximum"], high)
        sheet.real(node, P["mean"], column.mean)


def _time(seconds: float) -> datetime | None:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:  # beyond the years 1 to 9999
        return None
