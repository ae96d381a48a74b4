"""The origin of an imported record, in its own graph: unit, source bytes, converter, what it replaces.

The record is derived from its source bytes, and from the record of an earlier state of the same unit
where there is one. A disagreement of the source with itself is a thing of its own, for question Q32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provgraph import terms, vocab
from provgraph.imported import Origin
from provgraph.vocab import LABEL, PROV_T, A, C, P

if TYPE_CHECKING:
    from provgraph.convert.entities import Sheet
    from provgraph.terms import Term

KIND: Final = "source-state"
"""The kind of a unit's name in the ledger's table of names; the thing named is a state of the unit."""


def write_origin(sheet: Sheet, record: Term, origin: Origin) -> None:
    """Write where a record came from; name its unit in the ledger."""
    sheet.text(record, P["converter"], origin.converter)
    sheet.text(record, P["converterVersion"], origin.converter_version)
    sheet.text(record, P["sourceUnit"], origin.unit)
    source = terms.iri(vocab.content_iri(origin.content))
    sheet.add(record, PROV_T["wasDerivedFrom"], source)
    sheet.add(record, P["attachment"], source)
    sheet.add(source, A, PROV_T["Entity"])
    sheet.add(source, vocab.MEDIA_TYPE, terms.iri(vocab.MEDIA_TYPES + origin.media_type))
    if origin.redacted:
        sheet.number(record, P["redactedCount"], origin.redacted)
    if origin.supersedes is not None:
        sheet.add(record, P["supersedes"], terms.iri(origin.supersedes))
        sheet.add(record, PROV_T["wasRevisionOf"], terms.iri(origin.supersedes))
    for each in origin.disagreements:
        node = sheet.node("disagreement")
        sheet.add(node, A, C["Disagreement"])
        sheet.add(node, P["disagreementAbout"], terms.iri(each.about))
        sheet.text(node, P["field"], each.fact)
        sheet.text(node, P["firstStatement"], f"{each.first} ({each.first_place})")
        sheet.text(node, P["secondStatement"], f"{each.second} ({each.second_place})")
    state = terms.iri(origin.state)
    sheet.add(record, P["sourceState"], state)
    sheet.add(state, A, PROV_T["Entity"])
    sheet.add(state, A, C["SourceState"])
    sheet.text(state, LABEL, origin.unit)
    sheet.named(KIND, origin.unit, "", state)
