"""Looking after a ledger, to PROV-O: which backup was restored, and what came of it."""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.upkeep import RestoreTest
from provgraph.vocab import LABEL, PROV_T, A, C, P


def restore_test_sheet(record: RestoreTest, record_iri: str, context: Context) -> Sheet:
    """Write a restore test; all that was found stands in its attachment too."""
    home = vocab.activity_iri("restore-test", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    own = sheet.head("UpkeepRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Activity"])
    sheet.add(subject, A, C["RestoreTest"])
    sheet.text(subject, LABEL, f"restore test {record.state}")
    sheet.time(subject, PROV_T["startedAtTime"], record.at)
    sheet.time(subject, PROV_T["endedAtTime"], record.ended_at)
    sheet.add(subject, PROV_T["wasAssociatedWith"], sheet.agent(record.software))
    sheet.text(subject, P["backupPlace"], record.place)
    sheet.text(subject, P["backupManifest"], record.backup)
    sheet.text(subject, P["state"], record.state)
    if record.ledger_size is not None:
        sheet.number(subject, P["ledgerSize"], record.ledger_size)
    sheet.text(subject, P["rootHash"], record.root_hash)
    for problem in record.problems:
        sheet.text(subject, P["reason"], problem)
    sheet.add(own, P["attachment"], terms.iri(vocab.content_iri(record.details)))
    sheet.missing(subject, record.missing)
    return sheet
