"""Separation of duties: who made a model version neither approves it nor waives what it lacks.

Who made it is whom its record names: the owner of the run that generated it. A maker that is not
known is said to be unknown, and does not stop an approval; the approval's gate will show it.
"""

from __future__ import annotations

from provgraph import terms, vocab
from provgraph.errors import LedgerError, UsageError
from provgraph.governance import Waiver
from provgraph.ledger.reading import LedgerReader
from provgraph.records import Approval, Entity
from provgraph.terms import Term, literal_parts


class SeparationError(UsageError):
    """One person would do two duties that two must do."""


def require_separate(ledger: LedgerReader, decision: Approval | Waiver) -> None:
    """Refuse an approval or waiver by somebody who made the model.

    Raises:
        SeparationError: they did.
    """
    makers = makers_of(ledger, decision.model)
    verb = "approve" if isinstance(decision, Approval) else "waive a requirement for"
    if decision.by.name.strip().casefold() in {maker.strip().casefold() for maker in makers}:
        label = ":".join(filter(None, (decision.model.name, decision.model.version)))
        raise SeparationError(
            f"{decision.by.name} made {label or 'this model'} and cannot {verb} it;"
            " somebody else has to"
        )


def makers_of(ledger: LedgerReader, model: Entity) -> set[str]:
    """Return the names of those who answer for the runs that generated a model's content."""
    if model.digest is None:
        return set()
    iri = vocab.content_iri(model.digest)
    rows = [row for row in ledger.names_of_kind("model") if row.iri == iri]
    makers: set[str] = set()
    for index in {row.index for row in rows}:
        try:
            graph = ledger.graph(index)
        except LedgerError:
            continue  # erased: whom it named is not known any more
        makers |= _makers(graph, iri)
    return makers


def _makers(graph_nq: bytes, iri: str) -> set[str]:
    """Find agents of activities in a graph that generated the content, or hold the step that did."""
    statements = [(s, p, o) for s, p, o, _ in terms.parse_lines(graph_nq)]
    content = terms.iri(iri)
    made_by = {o for s, p, o in statements if s == content and p == vocab.PROV_T["wasGeneratedBy"]}
    if not made_by:
        return set()
    agents = {o for _, p, o in statements if p == vocab.PROV_T["wasAssociatedWith"]}
    labels: dict[Term, str] = {
        s: literal_parts(o)[0] for s, p, o in statements if p == vocab.LABEL and s in agents
    }
    persons = {s for s, p, o in statements if p == vocab.A and o == vocab.PROV_T["Person"]}
    return {name for agent, name in labels.items() if agent in persons}
