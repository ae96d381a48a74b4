"""A drift verdict, and the event that a crossed threshold opens, to PROV-O."""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.verdicts import DriftEvent, DriftVerdict
from provgraph.vocab import LABEL, PROV_T, A, C, P


def verdict_sheet(record: DriftVerdict, record_iri: str, context: Context) -> Sheet:
    """Write a verdict: derived from the two ends, with every candidate and its scores."""
    home = vocab.activity_iri("drift-verdict", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    own = sheet.head("DriftVerdictRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Entity"])
    sheet.add(subject, A, C["DriftVerdict"])
    sheet.text(subject, LABEL, record.summary)
    sheet.add(subject, PROV_T["wasAttributedTo"], sheet.agent(record.by))
    sheet.time(subject, PROV_T["generatedAtTime"], record.at)
    sheet.text(subject, P["driftOutcome"], record.outcome)
    for predicate, end in ((P["driftBaseline"], record.before), (P["driftSubject"], record.after)):
        sheet.add(subject, predicate, terms.iri(end))
    sheet.text(subject, P["metricName"], record.metric)
    for name, value in (
        ("usualValue", record.usual),
        ("value", record.value),
        ("timesNoise", record.z),
    ):
        sheet.add(subject, P[name], None if value is None else terms.real(value))
    for candidate in record.candidates:
        node = sheet.node("candidate")
        sheet.add(subject, P["candidate"], node)
        sheet.add(node, A, PROV_T["Entity"])
        sheet.add(node, A, C["DriftCandidate"])
        sheet.number(node, P["candidateRank"], candidate.rank)
        sheet.text(node, P["driftCategory"], candidate.category)
        sheet.text(node, P["candidateStatus"], candidate.status)
        sheet.text(node, P["factor"], candidate.factor)
        for name, score in (
            ("confidence", candidate.confidence),
            ("rankerShare", candidate.ranker_share),
            ("ruleShare", candidate.rule_share),
            ("recoveredShare", candidate.recovered),
        ):
            sheet.add(node, P[name], None if score is None else terms.real(score))
        for each in candidate.subjects:
            sheet.add(node, P["concerns"], terms.iri(each))
    for run in record.replays:
        sheet.add(subject, P["replay"], terms.iri(run))
    sheet.number(subject, P["ledgerSize"], record.ledger_size)
    sheet.text(subject, P["rootHash"], record.root_hash)
    sheet.text(subject, P["engine"], record.engine)
    sheet.add(own, P["attachment"], terms.iri(vocab.content_iri(record.details)))
    sheet.missing(subject, record.missing)
    return sheet


def event_sheet(record: DriftEvent, record_iri: str, context: Context) -> Sheet:
    """Write an event: about one observation, at the time at which it crossed the threshold."""
    home = vocab.activity_iri("drift-event", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("DriftEventRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Entity"])
    sheet.add(subject, A, C["DriftEvent"])
    sheet.text(subject, LABEL, f"{record.metric} {record.value:.4g}, expected {record.threshold}")
    observation = terms.iri(record.observation)
    sheet.add(subject, P["observation"], observation)
    sheet.add(subject, PROV_T["wasDerivedFrom"], observation)
    sheet.time(subject, PROV_T["generatedAtTime"], record.at)
    sheet.text(subject, P["metricName"], record.metric)
    sheet.add(subject, P["value"], terms.real(record.value))
    sheet.text(subject, P["threshold"], record.threshold)
    sheet.missing(subject, record.missing)
    return sheet
