"""An import of a foreign graph to PROV-O: which graph came of which bytes, by whom, with what."""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.records import Agent, Entity, GraphImport
from provgraph.vocab import LABEL, PROV_T, A, C, P


def import_sheet(record: GraphImport, record_iri: str, context: Context) -> Sheet:
    """Write an import; the foreign graph itself holds nothing of ours."""
    home = vocab.activity_iri("import", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("ImportRecord")
    subject, graph = terms.iri(home), terms.iri(record.graph)
    sheet.add(subject, A, PROV_T["Activity"])
    sheet.add(subject, A, C["Import"])
    sheet.text(subject, LABEL, "import of a graph")
    sheet.time(subject, PROV_T["endedAtTime"], record.at)
    sheet.add(subject, PROV_T["wasAssociatedWith"], sheet.agent(record.by))
    software = Agent(name=f"provgraph {context.software_version}", kind="software")
    sheet.add(subject, PROV_T["wasAssociatedWith"], sheet.agent(software))
    source = sheet.entity(
        Entity(digest=record.source, media_type=record.media_type, size_bytes=record.size_bytes)
    )
    sheet.add(subject, PROV_T["used"], source)
    sheet.add(graph, A, PROV_T["Bundle"])
    sheet.add(graph, PROV_T["wasGeneratedBy"], subject)
    sheet.add(graph, PROV_T["wasDerivedFrom"], source)
    sheet.add(terms.iri(record_iri), P["attachment"], terms.iri(vocab.content_iri(record.source)))
    sheet.missing(subject, record.missing)
    return sheet
