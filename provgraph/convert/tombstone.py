"""Tombstones to PROV-O, and the shape of lineage that is kept of a graph before it is erased.

The shape is what a walk needs: edges between things, and their classes; no literal. IRIs are kept
where nobody chose their text: digests of content, ids of runs and acts, records. An IRI that people
made (`…/id/model/acme/alice-smith-ecg/3`, `file:///home/alice/…`, `mailto:…`) can name a person as
well as any literal, so it goes unless it is asked for; agents always go. So does the name of a
parameter set: it is a digest of a few guessable values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from provgraph import terms, vocab
from provgraph.convert.entities import Context, Sheet
from provgraph.records import Tombstone
from provgraph.terms import Term
from provgraph.vocab import LABEL, PROV_T, A, C, P

_EDGES: Final = frozenset(
    {
        *(
            PROV_T[name]
            for name in (
                "used",
                "wasGeneratedBy",
                "wasDerivedFrom",
                "wasInformedBy",
                "wasRevisionOf",
                "wasInvalidatedBy",
                "specializationOf",
            )
        ),
        *(
            P[name]
            for name in (
                "partOfRun",
                "step",
                "parentRun",
                "resumes",
                "environment",
                "sourceCode",
                "model",
                "data",
                "deployment",
                "onApproval",
                "replaces",
                "retracts",
            )
        ),
    }
)

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_OPAQUE = re.compile(
    rf"<{re.escape(vocab.ID)}(?:content/[a-z0-9-]+/[0-9a-f]{{8,}}|(?:environment|source)/[0-9a-f]{{64}}"
    rf"|record/(?:{_UUID}|(?:environment|source)-[0-9a-f]{{64}})"
    rf"|(?:run|deployment|approval|observation|retraction)/{_UUID})(?:#[a-z]+-[0-9]+)?>"
)
# Never kept: who somebody is, and digests of what can be guessed.
_NEVER = re.compile(
    rf"<(?:mailto:|{re.escape(vocab.ID)}(?:person|organization|software|parameters)/)",
    re.IGNORECASE,
)
_CLASSES: Final = (f"<{vocab.PROV}", f"<{vocab.PG}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The edges and classes that are kept of a graph, and how many edges were not, for their names."""

    edges: tuple[tuple[str, str, str], ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    left_out: int = 0


def lineage_shape(graph_nq: bytes, *, keeps_names: bool) -> Shape:
    """Return the shape of lineage in a graph; `keeps_names` also keeps IRIs that people made."""
    lines = list(terms.parse_lines(graph_nq))
    statements = [(s, p, o) for s, p, o, _ in lines]
    edges = [each for each in statements if each[1] in _EDGES]
    kept = [
        (s, p, o) for s, p, o in edges if all(_is_kept(each, names=keeps_names) for each in (s, o))
    ]
    on_edges = {term for s, _, o in kept for term in (s, o)}
    acts = {s for s, p, o in statements if (p, o) == (A, PROV_T["Activity"])}
    things = {each for each in on_edges | acts if _is_kept(each, names=keeps_names)}
    things |= {graph for *_, graph in lines}  # the record itself, which its entry names for ever
    return Shape(
        edges=tuple((s[1:-1], p[1:-1], o[1:-1]) for s, p, o in kept),
        types=tuple(
            (s[1:-1], o[1:-1])
            for s, p, o in statements
            if p == A and s in things and o.startswith(_CLASSES)
        ),
        left_out=len(edges) - len(kept),
    )


def tombstone_sheet(record: Tombstone, record_iri: str, context: Context) -> Sheet:
    """Write a tombstone: what was erased, by whom, why, and the shape of what it was."""
    home = vocab.activity_iri("tombstone", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("TombstoneRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Activity"])
    sheet.add(subject, A, C["Tombstone"])
    sheet.text(subject, LABEL, record.record)
    sheet.named("tombstone", record.record, "", subject)
    sheet.time(subject, PROV_T["startedAtTime"], record.at)
    sheet.time(subject, PROV_T["endedAtTime"], record.at)
    sheet.add(subject, PROV_T["wasAssociatedWith"], sheet.agent(record.by))
    sheet.text(subject, P["reason"], record.reason)
    sheet.text(subject, P["legalGround"], record.ground)
    erased = terms.iri(record.record)
    sheet.add(subject, P["erases"], erased)
    sheet.add(erased, P["erasedBy"], subject)
    sheet.number(subject, P["entryIndex"], record.entry_index)
    sheet.text(subject, P["leafHash"], record.leaf_hash)
    sheet.text(subject, P["graphDigest"], record.graph_digest)
    for digest in record.attachments:
        sheet.add(subject, P["erasedAttachment"], terms.iri(vocab.content_iri(digest)))
    for start, predicate, end in record.edges:
        sheet.add(terms.iri(start), terms.iri(predicate), terms.iri(end))
    for thing, class_ in record.types:
        sheet.add(terms.iri(thing), A, terms.iri(class_))
        sheet.add(terms.iri(thing), P["erasedBy"], subject)
    sheet.missing(subject, record.missing)
    return sheet


def _is_kept(term: Term, *, names: bool) -> bool:
    if terms.is_literal(term) or _NEVER.match(term):
        return False
    return names or _OPAQUE.fullmatch(term) is not None
