"""What a registry says of a thing to PROV-O: an entry, attributed to whom the registry names.

The entry is an entity of its own beside the thing: a stage, an alias or a tag is what the registry says
of it, not what it is. When and by whom a stage or alias was set, a registry seldom knows; the entry then
says that it is missing.
"""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.convert.evaluations import write_evaluation
from provgraph.imported import RegistryEntry
from provgraph.vocab import DESCRIPTION, LABEL, PROV_T, A, C, P


def registry_sheet(record: RegistryEntry, record_iri: str, context: Context) -> Sheet:
    """Write an entry of a registry as a graph."""
    home = vocab.activity_iri("registry-entry", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("RegistryRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Entity"])
    sheet.add(subject, A, C["RegistryEntry"])
    sheet.text(subject, LABEL, record.title)
    sheet.text(subject, P["entryKind"], record.what)
    sheet.text(subject, P["status"], record.status)
    sheet.text(subject, P["stage"], record.stage)
    for alias in record.aliases:
        sheet.text(subject, P["alias"], alias)
    sheet.text(subject, DESCRIPTION, record.description)
    sheet.time(subject, PROV_T["generatedAtTime"], record.updated_at or record.created_at)
    sheet.time(subject, P["entryCreated"], record.created_at)
    if record.by is not None:
        sheet.add(subject, PROV_T["wasAttributedTo"], sheet.agent(record.by))
    sheet.named_values(subject, vocab.TAG, record.tags)
    if record.thing is not None:
        thing = sheet.entity(record.thing)
        sheet.add(subject, P["entryOf"], thing)
        if record.run is not None:
            sheet.add(thing, PROV_T["wasGeneratedBy"], terms.iri(vocab.run_iri(record.run)))
    for evaluation in record.evaluations:
        write_evaluation(sheet, None, evaluation)
    sheet.missing(subject, record.missing)
    return sheet
