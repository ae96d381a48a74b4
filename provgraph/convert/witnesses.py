"""Appointments of witnesses to PROV-O, and back: who is asked to cosign a ledger's checkpoints.

Specification: W3C PROV-O; terms in `ontology/provgraph.ttl`. A witness is an agent named within the
ledger's namespace; the appointment is an activity of whoever made it. What is read back was sealed, so
a form that cannot be read is an error and not a witness less.
"""

from __future__ import annotations

from dataclasses import dataclass

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.errors import FormatError
from provgraph.records import Appointment
from provgraph.terms import Term
from provgraph.vocab import LABEL, PROV_T, A, C, P

KIND = "witness"
"""The kind of a witness's name in the ledger's table of names."""

NAMED = "named"
RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointed:
    """What an appointment says of a witness."""

    name: str
    status: str
    address: str
    verifier_keys: tuple[str, ...]


def appointment(record: Appointment, record_iri: str, context: Context) -> Sheet:
    """Write an appointment."""
    home = vocab.activity_iri("appointment", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("AppointmentRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Activity"])
    sheet.add(subject, A, C["Appointment"])
    for moment in ("startedAtTime", "endedAtTime"):
        sheet.time(subject, PROV_T[moment], record.at)
    if record.by is not None:
        sheet.add(subject, PROV_T["wasAssociatedWith"], sheet.agent(record.by))
    sheet.text(subject, P["status"], record.status)
    sheet.text(subject, P["reason"], record.reason)
    witness = terms.iri(vocab.named_iri(KIND, context.namespace, record.witness))
    sheet.add(subject, P["witness"], witness)
    for above in (PROV_T["SoftwareAgent"], C["Witness"]):
        sheet.add(witness, A, above)
    sheet.text(witness, LABEL, record.witness)
    sheet.named(KIND, record.witness, "", witness)
    sheet.text(witness, P["address"], record.address)
    for key in record.verifier_keys:
        sheet.text(witness, P["verifierKey"], key)
    sheet.missing(subject, record.missing)
    return sheet


def read_appointment(graph_nq: bytes) -> Appointed:
    """Read the appointment that a graph records.

    Raises:
        FormatError: the graph records none, or more than one.
    """
    facts: dict[tuple[Term, Term], list[Term]] = {}
    for subject, predicate, value, _ in terms.parse_lines(graph_nq):
        facts.setdefault((subject, predicate), []).append(value)
    acts = [(act, who) for (act, what), who in facts.items() if what == P["witness"]]
    if len(acts) != 1 or len(acts[0][1]) != 1:
        raise FormatError(
            "expected the appointment of one witness in a graph, found another record"
        )
    act, (witness,) = acts[0]

    def texts(subject: Term, predicate: Term) -> tuple[str, ...]:
        return tuple(terms.literal_parts(each)[0] for each in facts.get((subject, predicate), []))

    def text(subject: Term, predicate: Term) -> str:
        found = texts(subject, predicate)
        if len(found) != 1:
            raise FormatError(f"expected one {predicate} of {subject}, found {len(found)}")
        return found[0]

    status = text(act, P["status"])
    if status not in {NAMED, RETIRED}:
        raise FormatError(
            f"expected the status {NAMED} or {RETIRED} of {act}, found {status!r:.80}"
        )
    return Appointed(
        name=text(witness, LABEL),
        status=status,
        address="".join(texts(witness, P["address"])[:1]),
        verifier_keys=texts(witness, P["verifierKey"]),
    )
