"""PROV-O triples as PROV-DM statements: every triple is in one of them.

A qualified relation says what the plain property beside it says, and more: the plain one is a statement
of its own only where no qualified one of the same two things is. What is neither declared nor used as
an entity, activity or agent has no statement in PROV-DM; it is written as an entity, and named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from provgraph import terms
from provgraph.convert.provdm import (
    CLASSES_OF,
    DERIVATIONS,
    ELEMENTS,
    INFLUENCERS,
    INVERSES,
    MOMENTS,
    OF_ATTRIBUTE,
    RELATIONS,
    TIMES,
    Relation,
    Triple,
    prov,
)
from provgraph.terms import Term
from provgraph.vocab import PROV, A


@dataclass(slots=True)
class Said:
    """One statement: a kind (a key of `RELATIONS`, or one of `ELEMENTS`), and what it says."""

    kind: str
    id: Term | None
    arguments: list[tuple[str, Term]]
    attributes: list[tuple[Term, Term]]


@dataclass(slots=True)
class Writing:
    """The statements of one graph, and what the target could not say just so."""

    said: list[Said]
    as_entities: list[Term] = field(default_factory=list)  # neither entity, activity nor agent


def statements_of(triples: Sequence[Triple], *, is_minted: Callable[[Term], bool]) -> Writing:
    """Write the triples of one graph as statements; every triple is in one of them.

    Args:
        triples: of one graph.
        is_minted: whether a node's IRI was made on import, so that it has none outside.
    """
    return _Graph(triples, is_minted).write()


class _Graph:
    def __init__(self, triples: Sequence[Triple], is_minted: Callable[[Term], bool]) -> None:
        self._of: dict[Term, dict[Term, list[Term]]] = defaultdict(lambda: defaultdict(list))
        for subject, predicate, value in triples:
            self._of[subject][predicate].append(value)
        self._is_minted = is_minted
        self._inferred: dict[Term, set[str]] = defaultdict(set)
        self._nodes: set[Term] = set()  # of qualified relations
        self._between: set[tuple[str, ...]] = set()  # their kinds, and the first two arguments

    def write(self) -> Writing:
        """Write all: things first, then relations in the order of the table."""
        qualified = [*self._qualified()]
        found = [*self._plain()]
        plain = [each for each in found if self._is_new(each)]
        relations = [*qualified, *plain]
        for each in relations:
            kinds = RELATIONS[each.kind].ends
            names = RELATIONS[each.kind].arguments
            for name, value in each.arguments:
                if name in names[:2] and (kind := kinds[names.index(name)]) is not None:
                    self._inferred[value].add(kind)
        writing = Writing(said=[])
        for subject in list(self._of):
            if subject not in self._nodes:
                self._element(subject, writing)
        writing.said.extend(relations)
        return writing

    def _is_new(self, each: Said) -> bool:
        if each.attributes or len(each.arguments) != 2:
            return True
        return (each.kind, *(value for _, value in each.arguments)) not in self._between

    def _qualified(self) -> Iterator[Said]:
        for subject in list(self._of):
            for kind, relation in RELATIONS.items():
                if relation.qualified is None:
                    continue
                for node in self._of[subject].get(prov(f"qualified{relation.qualified}"), ()):
                    yield self._of_node(subject, kind, relation, node, ())
            for class_ in DERIVATIONS.values():
                for node in self._of[subject].get(prov(f"qualified{class_}"), ()):
                    types = ((Term(f"<{PROV}type>"), prov(class_)),)
                    yield self._of_node(subject, "Derivation", RELATIONS["Derivation"], node, types)

    def _of_node(
        self,
        subject: Term,
        kind: str,
        relation: Relation,
        node: Term,
        types: Sequence[tuple[Term, Term]],
    ) -> Said:
        self._nodes.add(node)
        arguments = [(relation.arguments[0], subject)]
        taken: set[tuple[Term, Term]] = {(A, prov(relation.qualified or ""))}
        taken |= {(A, value) for _, value in types}
        for argument, property_ in zip(relation.arguments[1:], relation.properties, strict=True):
            names = INFLUENCERS if property_ == "influencer" else (property_,)
            found = [
                (prov(each), value)
                for each in names
                for value in self._of[node].get(prov(each), ())
            ]
            if found:
                arguments.append((argument, found[0][1]))
                taken.add(found[0])
        self._between.add((kind, *(value for _, value in arguments[:2])))
        return Said(
            kind=kind,
            id=None if self._is_minted(node) else node,
            arguments=[each for each in arguments if not self._is_minted(each[1])],
            attributes=[*types, *self._rest(node, taken)],
        )

    def _rest(self, subject: Term, taken: set[tuple[Term, Term]]) -> list[tuple[Term, Term]]:
        return [
            (OF_ATTRIBUTE.get(predicate, predicate), value)
            for predicate, values in self._of[subject].items()
            for value in values
            if (predicate, value) not in taken
        ]

    def _plain(self) -> Iterator[Said]:
        kinds = {prov(each.plain): kind for kind, each in RELATIONS.items()}
        for subject, properties in list(self._of.items()):
            for predicate, values in properties.items():
                local = predicate[1:-1].removeprefix(PROV)
                for value in values:
                    if terms.is_literal(value) and local not in MOMENTS:
                        continue
                    if (kind := kinds.get(predicate)) is not None:
                        yield self._pair(kind, subject, value)
                    elif local in INVERSES and predicate == prov(local):
                        yield self._pair(INVERSES[local], value, subject)
                    elif local in DERIVATIONS and predicate == prov(local):
                        said = self._pair("Derivation", subject, value)
                        said.attributes.append((prov("type"), prov(DERIVATIONS[local])))
                        self._between.add(("Derivation", subject, value))
                        yield said
                    elif local in MOMENTS and predicate == prov(local):
                        yield Said(
                            kind=MOMENTS[local],
                            id=None,
                            arguments=[("entity", subject), ("time", value)],
                            attributes=[],
                        )

    def _pair(self, kind: str, subject: Term, value: Term) -> Said:
        relation = RELATIONS[kind]
        arguments = [(relation.arguments[0], subject), (relation.arguments[1], value)]
        if kind == "Mention":
            arguments += [
                ("bundle", each) for each in self._of[subject].get(prov("asInBundle"), ())
            ]
        return Said(kind=kind, id=None, arguments=arguments, attributes=[])

    def _element(self, subject: Term, writing: Writing) -> None:
        own = self._of[subject]
        arguments = [
            (name, own[prov(property_)][0])
            for property_, name in TIMES.items()
            if prov(property_) in own
        ]
        taken = {(A, prov(each)) for each in ELEMENTS}
        taken |= {(prov(each), own[prov(each)][0]) for each in TIMES if prov(each) in own}
        attributes = [
            (name, value)
            for name, value in self._rest(subject, taken)
            if name not in _MOMENTS and (name not in _RELATING or terms.is_literal(value))
        ]
        kinds = self._kinds(subject, is_timed=bool(arguments))
        if not kinds and attributes:
            kinds = sorted(self._inferred.get(subject, ()))[:1] or ["Entity"]
            if subject not in self._inferred:
                writing.as_entities.append(subject)
        for place, kind in enumerate(kinds):
            writing.said.append(
                Said(
                    kind=kind,
                    id=subject,
                    arguments=arguments if kind == "Activity" else [],
                    attributes=attributes if place == 0 else [],
                )
            )

    def _kinds(self, subject: Term, *, is_timed: bool) -> list[str]:
        types = self._of[subject].get(A, ())
        kinds = [each for each in ELEMENTS if prov(each) in types]
        if not kinds:
            kinds = sorted({kind for name, kind in CLASSES_OF.items() if prov(name) in types})
        if is_timed and "Activity" not in kinds:
            kinds = ["Activity", *kinds]
        return kinds


_MOMENTS: Final = frozenset(prov(each) for each in MOMENTS)
_RELATING: Final = frozenset(
    prov(name)
    for name in (
        *(each.plain for each in RELATIONS.values()),
        *(f"qualified{each.qualified}" for each in RELATIONS.values() if each.qualified),
        *(f"qualified{each}" for each in DERIVATIONS.values()),
        *DERIVATIONS,
        *INVERSES,
        "asInBundle",
    )
)
