"""A description: what somebody says of a thing after the runs that made or used it.

An activity of whoever says it. Its facts hang on the thing's own name, as those of a run do; nothing
that was said before is changed, so two that differ stand side by side until one is retracted.
"""

from __future__ import annotations

from provgraph import terms
from provgraph.convert import acts, data
from provgraph.convert.entities import Context, Sheet
from provgraph.records import Description
from provgraph.vocab import DESCRIPTION, P


def description_sheet(record: Description, record_iri: str, context: Context) -> Sheet:
    """Write a description as a graph."""
    sheet, subject = acts.begin(
        "description",
        record_iri=record_iri,
        context=context,
        record_id=record.id,
        by=record.by,
        at=record.at,
    )
    # Its class is for the records that made or used it to say: here it may be known by name only.
    thing = terms.iri(terms.to_iri(record.target))
    sheet.add(subject, P["describes"], thing)
    sheet.text(thing, DESCRIPTION, record.said.description)
    data.write_facts(sheet, thing, record.said)
    data.write_labellings(sheet, record.labellings, of=thing)
    data.write_qualities(sheet, subject, record.qualities, of=thing)
    sheet.notes(subject, record.notes)
    sheet.missing(subject, (*record.missing, *record.said.missing))
    return sheet
