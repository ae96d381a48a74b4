"""The head of a record about one act: a person or system did something, at an instant."""

from __future__ import annotations

from datetime import datetime

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.records import Agent
from provgraph.terms import Term
from provgraph.vocab import PROV_T, A, C


def begin(
    kind: str,
    *,
    record_iri: str,
    context: Context,
    record_id: str,
    by: Agent | None,
    at: datetime,
    is_lasting: bool = False,
) -> tuple[Sheet, Term]:
    """Begin the record of an act of a kind such as `gate-decision`; return its sheet and the act.

    A lasting act, such as a deployment, goes on until another record ends it.
    """
    home = vocab.activity_iri(kind, record_id)
    name = "".join(part.capitalize() for part in kind.split("-"))
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head(f"{name}Record")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Activity"])
    sheet.add(subject, A, C[name])
    sheet.time(subject, PROV_T["startedAtTime"], at)
    if not is_lasting:
        sheet.time(subject, PROV_T["endedAtTime"], at)
    if by is not None:
        sheet.add(subject, PROV_T["wasAssociatedWith"], sheet.agent(by))
    return sheet, subject
