"""Imports to PROV-O: of one foreign graph, and of what another system recorded, with its report."""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.imported import ImportSummary
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


def import_summary_sheet(record: ImportSummary, record_iri: str, context: Context) -> Sheet:
    """Write an import; what it recorded are records of their own, each with its origin."""
    home = vocab.activity_iri("import", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    head = sheet.head("ImportRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Activity"])
    sheet.add(subject, A, C["Import"])
    sheet.text(subject, LABEL, f"import from {record.source}")
    sheet.text(subject, vocab.SOURCE_TEXT, record.source)
    sheet.text(subject, P["converter"], record.converter)
    sheet.text(subject, P["converterVersion"], record.converter_version)
    sheet.time(subject, PROV_T["startedAtTime"], record.at)
    sheet.time(subject, PROV_T["endedAtTime"], record.ended_at)
    if record.by is not None:
        sheet.add(subject, PROV_T["wasAssociatedWith"], sheet.agent(record.by))
    software = Agent(name=f"provgraph {context.software_version}", kind="software")
    sheet.add(subject, PROV_T["wasAssociatedWith"], sheet.agent(software))
    for outcome, count in record.counts.items():
        sheet.number(subject, P[f"{outcome}Count"], count)
    sheet.number(subject, P["recordedCount"], record.records)
    sheet.add(head, P["attachment"], terms.iri(vocab.content_iri(record.report)))
    sheet.missing(subject, record.missing)
    return sheet
