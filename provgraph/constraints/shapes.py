"""Records against the shapes in `ontology/shapes`, compiled: microseconds where a SHACL engine takes milliseconds.

Specification: W3C SHACL, sections 2 and 4. Of it only what our shapes use: `sh:targetClass` (without
inference), properties whose path is one predicate, and `sh:minCount`, `sh:maxCount`, `sh:minLength`,
`sh:datatype`, `sh:nodeKind sh:IRI` and `sh:in`. A shape that uses anything else is refused when it is read,
so nothing is skipped in silence; a test holds this beside pySHACL, over every record and its mutants.
Unlike there, the text of a literal is not held against its datatype: canonical forms are `provgraph.terms`'.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from provgraph import resources
from provgraph.constraints.syntaxes import read_triples
from provgraph.errors import FormatError
from provgraph.terms import Term, literal_parts

_SH: Final = "http://www.w3.org/ns/shacl#"
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TYPE: Final = f"<{_RDF}type>"
_MAX_TOLD: Final = 20
_KNOWN: Final = frozenset(
    f"<{_SH}{name}>"
    for name in ("path", "minCount", "maxCount", "minLength", "datatype", "nodeKind", "in")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """What the values of one predicate have to be like."""

    path: str
    min_count: int = 0
    max_count: int | None = None
    min_length: int = 0
    datatype: str | None = None
    is_iri: bool = False
    values: frozenset[str] = frozenset()

    def problem(self, found: tuple[str, ...]) -> str | None:
        """Return what is wrong with the values of a node, None where nothing is."""
        if len(found) < self.min_count:
            return f"expected at least {self.min_count} of {self.path}, found {len(found)}"
        if self.max_count is not None and len(found) > self.max_count:
            return f"expected at most {self.max_count} of {self.path}, found {len(found)}"
        for value in found:
            if (why := self._value_problem(value)) is not None:
                return f"{self.path}: expected {why}, found {value[:80]}"
        return None

    def _value_problem(self, value: str) -> str | None:
        if self.is_iri:
            return None if value[0] == "<" else "an IRI"
        if self.values and value not in self.values:
            return f"one of {', '.join(sorted(self.values))}"
        if self.datatype is None and not self.min_length:
            return None
        if value[0] != '"':
            return "a literal"
        text, datatype, _ = literal_parts(Term(value))
        if self.datatype is not None and datatype != self.datatype:
            return f"a literal of type {self.datatype}"
        return f"at least {self.min_length} characters" if len(text) < self.min_length else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What nodes of a class have to be like."""

    target: str
    properties: tuple[Property, ...]


def problems(statements: Iterable[tuple[Term, Term, Term, Term]]) -> list[str]:
    """Return what is wrong with the statements of a record by our shapes, at most 20."""
    shapes = by_class()
    nodes: dict[str, dict[str, tuple[str, ...]]] = {}
    targets: list[tuple[str, Shape]] = []
    for subject, predicate, value, _ in statements:
        node = nodes.setdefault(subject, {})
        found = node.get(predicate, ())
        if value not in found:
            node[predicate] = (*found, value)
        if predicate == _TYPE and value in shapes:
            targets.append((subject, shapes[value]))
    told = []
    for name, shape in targets:
        node = nodes[name]
        for each in shape.properties:
            why = each.problem(node.get(each.path, ()))
            if why is not None:
                told.append(f"{name}: {why}")
                if len(told) == _MAX_TOLD:
                    return told
    return told


@functools.cache
def by_class() -> Mapping[str, Shape]:
    """Return our shapes by the class that they are for.

    Raises:
        FormatError: a shape that uses more of SHACL than is compiled here, or that checks nothing.
    """
    made: dict[str, Shape] = {}
    for path in sorted((resources.folder("ontology") / "shapes").glob("*.ttl")):
        for shape in read_shapes(path.read_bytes(), where=path.name):
            if shape.target in made:
                raise FormatError(f"{path.name}: two shapes are for {shape.target}")
            made[shape.target] = shape
    return made


def read_shapes(data: bytes, *, where: str) -> list[Shape]:
    """Read a file of shapes.

    Raises:
        FormatError: as `by_class`.
    """
    nodes: dict[str, dict[str, list[str]]] = {}
    for subject, predicate, value in read_triples(data):
        nodes.setdefault(subject, {}).setdefault(predicate, []).append(value)
    shapes = []
    for name, node in nodes.items():
        if f"<{_SH}NodeShape>" not in node.get(_TYPE, ()):
            continue
        extra = node.keys() - {_TYPE, f"<{_SH}targetClass>", f"<{_SH}property>"}
        targets = node.get(f"<{_SH}targetClass>", [])
        properties = node.get(f"<{_SH}property>", [])
        if extra or len(targets) != 1 or not properties:
            raise FormatError(
                f"{where}: {name}: expected one sh:targetClass, some sh:property and no more, found"
                f" {', '.join(sorted(extra)) or f'{len(targets)} and {len(properties)}'}"
            )
        made = tuple(_property(nodes, nodes[each], f"{where}: {name}") for each in properties)
        shapes.append(Shape(target=targets[0], properties=made))
    return shapes


def _property(
    nodes: Mapping[str, Mapping[str, list[str]]], node: Mapping[str, list[str]], where: str
) -> Property:
    if unknown := sorted(node.keys() - _KNOWN):
        raise FormatError(f"{where}: {unknown[0]} is not compiled here")

    def one(name: str) -> str | None:
        found = node.get(f"<{_SH}{name}>", [])
        if len(found) > 1:
            raise FormatError(f"{where}: sh:{name} stands twice")
        return found[0] if found else None

    def number(name: str) -> int | None:
        value = one(name)
        return None if value is None else int(literal_parts(Term(value))[0])

    path, kind, datatype, choices = one("path"), one("nodeKind"), one("datatype"), one("in")
    if path is None or path[0] != "<" or len(node) < 2:
        raise FormatError(f"{where}: expected one predicate as sh:path, and something to check")
    if kind not in {None, f"<{_SH}IRI>"}:
        raise FormatError(f"{where}: {kind} is not compiled here")
    return Property(
        path=path,
        min_count=number("minCount") or 0,
        max_count=number("maxCount"),
        min_length=number("minLength") or 0,
        datatype=None if datatype is None else datatype[1:-1],
        is_iri=kind is not None,
        values=frozenset() if choices is None else frozenset(_list(nodes, choices)),
    )


def _list(nodes: Mapping[str, Mapping[str, list[str]]], head: str) -> Iterable[str]:
    while head != f"<{_RDF}nil>":
        node = nodes[head]
        yield node[f"<{_RDF}first>"][0]
        head = node[f"<{_RDF}rest>"][0]
