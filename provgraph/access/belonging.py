"""What a record says that bears on who may see it: a pure function over its canonical graph.

The rules that follow from it, over all records of a ledger, are in `provgraph.service.visibility`;
`docs/access.md` says them in words. Nothing here trusts a graph: whatever it says, it can only add to
what is required of a reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provgraph import terms, vocab
from provgraph.errors import FormatError
from provgraph.seal.entry import KEY_EVENTS, RECORD, TOMBSTONE, WITNESS
from provgraph.terms import Term
from provgraph.vocab import PROV_T, A, C, P

# What a record is worth for visibility.
RUN: Final = 1  # says itself which project it belongs to; without one it belongs to none
LATER: Final = 2  # about things that runs made: as visible as these
CONTENT: Final = 3  # what runs share: as visible as one of them
DECISION: Final = 4  # about the ledger itself: keys and witnesses
ERASURE: Final = 5  # a tombstone: as visible as what it stands for
UNKNOWN: Final = 6  # anything else, and counts over everything: for those who read all

_STANDING: Final = {
    C["RunRecord"]: RUN,
    C["EnvironmentRecord"]: CONTENT,
    C["SourceRecord"]: CONTENT,
    C["DeploymentRecord"]: LATER,
    C["ObservationRecord"]: LATER,
    C["ApprovalRecord"]: LATER,
    C["RetractionRecord"]: LATER,
    **{
        C[f"{name}Record"]: LATER
        for name in (
            "Validation",
            "GateDecision",
            "Waiver",
            "Withdrawal",
            "Remediation",
            "Assignment",
            "Registration",
            "Modification",
            "Response",
            "DeploymentEnd",
            "Description",
        )
    },
}
# What only those may append who may approve. A gate decides by rules, and is judged by its seal.
_DECISIONS: Final = frozenset(
    C[name] for name in ("Approval", "Validation", "Waiver", "Remediation")
)
_SHARED: Final = frozenset({C["Environment"], C["SourceCode"]})
# Words of the vocabulary, people and values: they come to exist in no project.
_NO_THINGS: Final = (
    vocab.PG,
    vocab.ROLE,
    vocab.PARAM,
    vocab.METRIC,
    vocab.TAG,
    vocab.PROV,
    vocab.RDF,
    vocab.RDFS,
    vocab.XSD,
    vocab.MEDIA_TYPES,
    vocab.DPV,
    vocab.DPV_GDPR,
    f"{vocab.ID}person/",
    f"{vocab.ID}organization/",
    f"{vocab.ID}software/",
    f"{vocab.ID}parameters/",
)
_ABOUT: Final = frozenset(
    P[name]
    for name in (
        "model",
        "data",
        "retracts",
        "deployment",
        "onApproval",
        "replaces",
        "report",
        "evidence",
        "waiver",
        "withdraws",
        "affects",
        "remedies",
        "underWithdrawal",
        "registers",
        "modifies",
        "respondsTo",
        "ends",
        "describes",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a record says of projects and things; IRIs of local nodes stand for what holds them."""

    standing: int
    projects: frozenset[str] = frozenset()
    mentions: frozenset[str] = frozenset()
    acts: frozenset[str] = frozenset()
    """What only this record can have begun: the record itself and its activities."""
    own: frozenset[str] = frozenset()
    """Contents that it says it made, and names that it gave them."""
    needs: frozenset[str] = frozenset()
    """Of these a reader has to know from elsewhere, or may not see the record."""
    erases: str | None = None
    approves: bool = False
    """It is a decision of somebody who answers for models."""


def graph_name(graph_nq: bytes) -> str:
    """Return the name of a graph by its first statement; empty where that is none."""
    line = graph_nq.partition(b"\n")[0].removesuffix(b"> .")
    return line.rpartition(b"<")[2].decode(errors="replace")


def read_said(graph_nq: bytes, *, iri: str, kind: str) -> Said:
    """Read what a record says.

    Args:
        graph_nq: its canonical N-Quads.
        iri: its IRI.
        kind: of its entry (`provgraph.seal.entry`).
    """
    statements = _statements(graph_nq)
    if statements is None:
        return Said(standing=UNKNOWN, acts=frozenset({iri}))
    standing = _standing(statements, iri=iri, kind=kind)
    projects: set[str] = set()
    mentions: set[str] = set()
    acts = {iri}
    generated: set[Term] = set()
    shared: set[str] = set()
    about: set[str] = set()
    above: dict[Term, set[Term]] = {}
    erases = None
    for s, p, o in statements:
        if p == P["project"]:
            try:
                projects.add(terms.literal_parts(o)[0])
            except FormatError:
                standing = UNKNOWN
        mentions.update(_things(s))
        if p == A:
            if o == PROV_T["Activity"] or o == C["Observation"]:
                acts.update(_things(s))
            elif o in _SHARED:
                shared.update(_things(s))
            continue
        mentions.update(_things(o))
        if p == PROV_T["wasGeneratedBy"]:
            generated.add(s)
        elif p == PROV_T["specializationOf"]:
            above.setdefault(s, set()).add(o)
        elif p in _ABOUT:
            about.update(_things(o))
        elif p == P["erases"]:
            erases = o[1:-1]
            tombstone = _things(s)
    if standing == ERASURE:
        # The rest is the shape of what was erased, which the tombstone did not begin.
        acts = {iri, *tombstone} if erases is not None else {iri}
        standing = ERASURE if erases is not None else UNKNOWN
    if standing == CONTENT and not shared:
        standing = UNKNOWN
    needs: set[str] = set()
    if standing == CONTENT:
        needs, acts = shared, {iri}
    elif standing == LATER:
        # A legal basis is a value that a description may bring in; a withdrawal is about it.
        things = {each for each in mentions if not each.startswith(vocab.LEGAL_BASES)}
        needs = {each for each in things if each.startswith(vocab.ID)} | about
    return Said(
        standing=standing,
        projects=frozenset(projects),
        mentions=frozenset(mentions | acts),
        acts=frozenset(acts),
        own=frozenset(_own(generated, above)) - acts if standing == RUN else frozenset(),
        needs=frozenset(needs - acts),
        erases=erases if standing == ERASURE else None,
        approves=any(p == A and o in _DECISIONS for _, p, o in statements),
    )


def _standing(statements: list[tuple[Term, Term, Term]], *, iri: str, kind: str) -> int:
    if kind in KEY_EVENTS or kind == WITNESS:
        return DECISION
    if kind == TOMBSTONE:
        return ERASURE
    if kind != RECORD:
        return UNKNOWN
    record, ours = f"<{iri}>", f"<{vocab.PG}"
    classes = {o for s, p, o in statements if s == record and p == A and o.startswith(ours)}
    # A graph that claims to be two things is neither.
    return _STANDING.get(classes.pop(), UNKNOWN) if len(classes) == 1 else UNKNOWN


def _statements(graph_nq: bytes) -> list[tuple[Term, Term, Term]] | None:
    try:
        return [(s, p, o) for s, p, o, _ in terms.parse_lines(graph_nq)]
    except FormatError:
        return None


def _own(generated: set[Term], above: dict[Term, set[Term]]) -> set[str]:
    found: set[str] = set()
    level = set(generated)
    seen: set[Term] = set()
    while level:
        seen |= level
        for each in level:
            found.update(_things(each))
        level = {o for each in level for o in above.get(each, ())} - seen
    return found


def _things(term: Term) -> tuple[str, ...]:
    """Return the thing that a term names, or nothing for a literal or a word of a vocabulary."""
    if not term.startswith("<"):
        return ()
    iri = term[1:-1]
    if iri.startswith(_NO_THINGS):
        return ()
    return (iri.partition("#")[0],) if iri.startswith(vocab.ID) else (iri,)
