"""A notice to PROV-O: a message in another vocabulary, and what it says of itself.

Specification: W3C PROV-O; terms in `ontology/provgraph.ttl`. The message is an entity named by its
bytes. Nothing is concluded from it here: no activity, no dataset, no derivation.
"""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.records import Notice
from provgraph.vocab import LABEL, PROV_T, A, C, P

KIND = "notice"
"""The kind of a notice's name in the ledger's table of names: `namespace/name`."""
ABOUT = "notice-subject"
"""The kind of the name under which all notices of one run, job or dataset are found: `run/<id>`."""


def notice_sheet(record: Notice, record_iri: str, context: Context) -> Sheet:
    """Write a notice; the record's own time says when it came in."""
    home = vocab.activity_iri(KIND, record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("NoticeRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Entity"])
    sheet.add(subject, A, C["Notice"])
    name = record.namespace if record.name is None else f"{record.namespace}/{record.name}"
    sheet.text(subject, LABEL, name)
    sheet.named(KIND, name, "", subject)
    about = _about(record)
    thing = terms.iri(f"{vocab.ID}notice-subject/{terms.segment(about)}")
    sheet.add(subject, P["noticeSubject"], thing)
    sheet.add(thing, A, C["NoticeSubject"])
    sheet.text(thing, LABEL, about)
    sheet.named(ABOUT, about, "", thing)
    sheet.add(subject, PROV_T["wasAttributedTo"], sheet.agent(record.sender))
    sheet.text(subject, P["noticeForm"], record.form)
    sheet.text(subject, P["noticeProducer"], record.producer)
    sheet.text(subject, P["eventType"], record.event_type)
    sheet.text(subject, P["eventTime"], record.event_time)
    sheet.text(subject, P["schemaUrl"], record.schema_url)
    sheet.text(subject, P["foreignRun"], record.run)
    kind = "foreignDataset" if record.is_of_dataset else "foreignJob"
    sheet.text(subject, P[kind], name)
    sheet.add(subject, P["attachment"], terms.iri(vocab.content_iri(record.content)))
    sheet.missing(subject, record.missing)
    return sheet


def _about(record: Notice) -> str:
    if record.run is not None:
        return f"run/{record.run.lower()}"
    kind = "dataset" if record.is_of_dataset else "job"
    return f"{kind}/{record.namespace}/{record.name or ''}"
