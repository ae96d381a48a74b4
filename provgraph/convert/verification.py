"""A verification of recorded files to PROV-O: when, against which tree, how many, and what was wrong."""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.records import Verification
from provgraph.vocab import LABEL, PROV_T, A, C, P


def verification_sheet(record: Verification, record_iri: str, context: Context) -> Sheet:
    """Write a verification; every state that was met stands with its count."""
    home = vocab.activity_iri("verification", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("VerificationRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Activity"])
    sheet.add(subject, A, C["Verification"])
    sheet.text(subject, LABEL, "recorded files hashed again")
    sheet.time(subject, PROV_T["startedAtTime"], record.at)
    sheet.time(subject, PROV_T["endedAtTime"], record.ended_at)
    sheet.add(subject, PROV_T["wasAssociatedWith"], sheet.agent(record.software))
    sheet.number(subject, P["ledgerSize"], record.ledger_size)
    sheet.text(subject, P["rootHash"], record.root_hash)
    for state, count in sorted(record.counts.items()):
        node = sheet.node("outcome")
        sheet.add(subject, P["outcome"], node)
        sheet.add(node, A, C["Outcome"])
        sheet.text(node, P["state"], state)
        sheet.number(node, P["count"], count)
    for finding in record.findings:
        node = sheet.node("finding")
        sheet.add(subject, P["finding"], node)
        sheet.add(node, A, C["Finding"])
        sheet.text(node, P["state"], finding.state)
        sheet.add(node, P["artifact"], terms.iri(vocab.content_iri(finding.artifact)))
        sheet.add(node, PROV_T["atLocation"], terms.iri(finding.location))
        sheet.text(node, P["foundDigest"], None if finding.found is None else str(finding.found))
        sheet.text(node, P["reason"], finding.reason)
    if record.details is not None:
        sheet.add(
            terms.iri(record_iri), P["attachment"], terms.iri(vocab.content_iri(record.details))
        )
    sheet.missing(subject, record.missing)
    return sheet
