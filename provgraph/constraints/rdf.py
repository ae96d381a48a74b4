"""PROV-O statements as PROV statements.

Specification: PROV-O (W3C Recommendation, 30 April 2013). A qualified relation says what the plain
property beside it says, and more: the plain one counts only where no qualified one of the same two
things does. Whoever is named by a property is what the property's domain or range makes of it
(RDFS), so a thing that is only ever used is an entity, as if it had been declared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from provgraph.constraints.statements import (
    KINDS,
    OBJECTS,
    Document,
    Statement,
    Value,
    moment,
    unknown,
)
from provgraph.convert.provdm import (
    CLASSES_OF,
    DERIVATIONS,
    INFLUENCERS,
    INVERSES,
    MOMENTS,
    RELATIONS,
)
from provgraph.vocab import PROV

_TYPE: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"

_DERIVATION: Final = RELATIONS["Derivation"]
_CLASSES: Final = {name: class_.lower() for name, class_ in CLASSES_OF.items()}

# Property -> (kind, whether subject and object change places).
_PLAIN: Final = {
    **{each.plain: (each.plain, False) for each in RELATIONS.values()},
    **dict.fromkeys(DERIVATIONS, (_DERIVATION.plain, False)),
    **{name: (RELATIONS[kind].plain, True) for name, kind in INVERSES.items()},
}
# A mention has a third argument beside it, and is read on its own.
del _PLAIN["mentionOf"]

# Property that leads to a qualified relation -> (kind, the properties that hold its arguments after
# the first).
_QUALIFIED: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    **{
        f"qualified{each.qualified}": (each.plain, each.properties)
        for each in RELATIONS.values()
        if each.qualified is not None
    },
    **{
        f"qualified{name}": (_DERIVATION.plain, _DERIVATION.properties)
        for name in DERIVATIONS.values()
    },
}

_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\^\^<([^>]*)>|@[A-Za-z0-9-]+)?\Z', re.DOTALL)

Quad = tuple[str, str, str, str]
"""Subject, predicate, object, graph as N-Quads writes them; the graph is empty for the default."""


def document_of(quads: Iterable[Quad]) -> Document:
    """Return the PROV statements of a dataset; each named graph is a bundle."""
    graphs: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for subject, predicate, value, graph in quads:
        if predicate.startswith(f"<{PROV}") or predicate == f"<{_TYPE}>":
            graphs[graph.strip("<>")].append((subject, predicate[1:-1], value))
    return Document(
        bundles={name: tuple(_Graph(triples).statements()) for name, triples in graphs.items()}
    )


class _Graph:
    def __init__(self, triples: Iterable[tuple[str, str, str]]) -> None:
        self._of: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for subject, predicate, value in triples:
            local = predicate.removeprefix(PROV) if predicate.startswith(PROV) else "type"
            self._of[subject][local].append(value)
        self._blank: dict[str, int] = {}
        self._declared: dict[str, set[str]] = {kind: set() for kind in OBJECTS}

    def statements(self) -> Iterator[Statement]:
        """Yield all statements; things that are only mentioned come last."""
        found = [*self._qualified()]
        said = {(each.kind, *each.arguments[:2]) for each in found}
        found += [each for each in self._plain() if (each.kind, *each.arguments[:2]) not in said]
        found += [*self._placed_in_time()]
        found += [*self._mentions()]
        yield from self._objects(found)
        yield from found

    def _qualified(self) -> Iterator[Statement]:
        for subject, properties in self._of.items():
            for name, (kind, holds) in _QUALIFIED.items():
                for node in properties.get(name, ()):
                    of = self._of.get(node, {})
                    values: list[Value | None] = [self._term(subject)]
                    for each in holds:
                        names = INFLUENCERS if each == "influencer" else (each,)
                        values.append(self._one(of, *names))
                    yield Statement(kind=kind, id=self._term(node), arguments=tuple(values))

    def _plain(self) -> Iterator[Statement]:
        for subject, properties in self._of.items():
            for name, values in properties.items():
                if name not in _PLAIN:
                    continue
                kind, is_inverse = _PLAIN[name]
                for value in values:
                    one, other = self._term(subject), self._term(value)
                    pair = (other, one) if is_inverse else (one, other)
                    yield Statement(kind=kind, arguments=pair)

    def _placed_in_time(self) -> Iterator[Statement]:
        for subject, properties in self._of.items():
            for name, relation in MOMENTS.items():
                for time in properties.get(name, ()):
                    arguments = (self._term(subject), None, self._term(time))
                    yield Statement(kind=RELATIONS[relation].plain, arguments=arguments)

    def _mentions(self) -> Iterator[Statement]:
        for subject, properties in self._of.items():
            for general in properties.get("mentionOf", ()):
                bundle = self._one(properties, "asInBundle")
                arguments = (self._term(subject), self._term(general), bundle)
                yield Statement(kind="mentionOf", arguments=arguments)

    def _objects(self, found: Iterable[Statement]) -> Iterator[Statement]:
        kinds: dict[Value, dict[str, set[str]]] = defaultdict(dict)
        for subject, properties in self._of.items():
            for type_ in properties.get("type", ()):
                local = type_.strip("<>").removeprefix(PROV)
                if type_.startswith(f"<{PROV}") and local in _CLASSES:
                    kinds[self._term(subject)].setdefault(_CLASSES[local], set()).add(PROV + local)
            if "startedAtTime" in properties or "endedAtTime" in properties:
                kinds[self._term(subject)].setdefault("activity", set())
        for statement in found:
            for argument, value in zip(KINDS[statement.kind], statement.arguments, strict=False):
                if argument.type is not None and value is not None:
                    kinds[value].setdefault(argument.type, set())
        times = {
            self._term(subject): (
                self._times(properties, "startedAtTime"),
                self._times(properties, "endedAtTime"),
            )
            for subject, properties in self._of.items()
            if "startedAtTime" in properties or "endedAtTime" in properties
        }
        for term, declared in kinds.items():
            for kind, types in declared.items():
                if kind != "activity":
                    yield Statement(kind=kind, id=term, types=frozenset(types))
                    continue
                starts, ends = times.get(term, ((), ()))
                # Two times are two statements, which cannot be unified: a violation, and told so.
                for row in range(max(len(starts), len(ends), 1)):
                    yield Statement(
                        kind=kind,
                        id=term,
                        arguments=(
                            starts[row] if row < len(starts) else None,
                            ends[row] if row < len(ends) else None,
                        ),
                    )

    def _times(self, properties: Mapping[str, list[str]], name: str) -> tuple[Value, ...]:
        return tuple(dict.fromkeys(self._term(each) for each in properties.get(name, ())))

    def _one(self, properties: Mapping[str, list[str]], *names: str) -> Value | None:
        values = [value for name in names for value in properties.get(name, ())]
        return self._term(min(values)) if values else None

    def _term(self, text: str) -> Value:
        if text.startswith("<"):
            return text[1:-1]
        if text.startswith("_:"):
            return self._blank.setdefault(text, unknown())
        match = _LITERAL.match(text)
        if match is None:
            return text
        try:
            return moment(datetime.fromisoformat(match[1]))
        except ValueError:
            return match[1]
