"""An answer certificate to PROV-O: an entity that was derived from nothing and attributed to who asked."""

from __future__ import annotations

import json

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.records import Certificate
from provgraph.vocab import LABEL, PROV_T, A, C, P


def certificate_sheet(record: Certificate, record_iri: str, context: Context) -> Sheet:
    """Write a certificate; its rows are in it as digests only."""
    home = vocab.activity_iri("certificate", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    own = sheet.head("CertificateRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Entity"])
    sheet.add(subject, A, C["Certificate"])
    sheet.text(subject, LABEL, f"{record.question} {record.title}")
    sheet.add(subject, PROV_T["wasAttributedTo"], sheet.agent(record.by))
    sheet.time(subject, PROV_T["generatedAtTime"], record.at)
    sheet.text(subject, P["question"], record.question)
    sheet.text(subject, P["questionDigest"], str(record.question_digest))
    for name, values in sorted(record.asked_with.items()):
        sheet.text(subject, P["askedWith"], json.dumps([name, *values], ensure_ascii=False))
    sheet.number(subject, P["ledgerSize"], record.ledger_size)
    sheet.text(subject, P["rootHash"], record.root_hash)
    sheet.text(subject, P["resultColumns"], json.dumps(list(record.columns)))
    sheet.number(subject, P["resultRows"], record.rows)
    sheet.text(subject, P["resultDigest"], str(record.result))
    sheet.text(subject, P["rowDigests"], str(record.row_digests))
    for each in record.rests_on:
        sheet.add(subject, P["restsOn"], terms.iri(each))
    sheet.text(subject, P["restsOnMeaning"], record.rests_on_meaning)
    sheet.text(subject, P["engine"], record.engine)
    for digest in (record.question_digest, record.row_digests):
        sheet.add(own, P["attachment"], terms.iri(vocab.content_iri(digest)))
    sheet.missing(subject, record.missing)
    return sheet
