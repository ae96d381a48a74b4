"""What can never be: constraints 50 to 56 of PROV-CONSTRAINTS, over the normal form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from provgraph.constraints.components import components
from provgraph.constraints.normal import Normal, Row
from provgraph.constraints.statements import (
    ACTIVITY,
    EMPTY_COLLECTION,
    ENTITY,
    NONE,
    OBJECTS,
    WITHOUT_IDENTIFIER,
    Finding,
    Statement,
    Value,
)

# An influence may share its identifier with what it generalises, and the recommendation's list of
# constraint 53 has no derivation either.
_MAY_OVERLAP: Final = frozenset({"wasInfluencedBy", "wasDerivedFrom"})


def impossibilities(normal: Normal) -> Iterator[Finding]:
    """Yield what the normal form says and what cannot be."""
    yield from _disjoint(normal)
    yield from _unspecified(normal)
    yield from _specialised(normal)
    yield from _overlaps(normal)
    yield from _empty_collections(normal)


def _disjoint(normal: Normal) -> Iterator[Finding]:
    for term, types in normal.typed().items():
        if ENTITY in types and ACTIVITY in types:
            yield _finding(
                (50, 55),
                "entity-activity-disjoint",
                f"{_name(term)} is an entity and an activity",
                types[ENTITY],
                types[ACTIVITY],
            )


def _unspecified(normal: Normal) -> Iterator[Finding]:
    for row in normal.rows["wasDerivedFrom"]:
        _, _, activity, generation, usage = (normal.find(each) for each in row.arguments)
        if activity == NONE and (generation != NONE or usage != NONE):
            what = "generation" if generation != NONE else "usage"
            yield _finding(
                (51,),
                "impossible-unspecified-derivation-generation-use",
                f"a derivation that names no activity cannot name its {what}",
                row,
            )


def _specialised(normal: Normal) -> Iterator[Finding]:
    """Nothing specialises itself, over other things neither (52 with inference 19)."""
    general: dict[Value, list[Value]] = defaultdict(list)
    rows: dict[tuple[Value, Value], Row] = {}
    for row in normal.rows["specializationOf"]:
        pair = normal.at(row, 0), normal.at(row, 1)
        if pair not in rows:
            rows[pair] = row
            general[pair[0]].append(pair[1])
    for component in components(general):
        inside = [
            row for (one, other), row in rows.items() if one in component and other in component
        ]
        if inside:
            name = _name(min(component, key=str))
            through = "" if len(component) == 1 else " through other specialisations"
            yield _finding(
                (19, 52) if len(component) > 1 else (52,),
                "impossible-specialization-reflexive",
                f"{name} would be a specialisation of itself{through}",
                *inside,
            )


def _overlaps(normal: Normal) -> Iterator[Finding]:
    """An identifier names one kind of relation, and never a relation and a thing (53 and 54)."""
    named: dict[Value, dict[str, Row]] = defaultdict(dict)
    for row in normal.every():
        if row.kind not in WITHOUT_IDENTIFIER:
            named[normal.find(row.id)].setdefault(row.kind, row)
    for term, kinds in named.items():
        relations = [kind for kind in kinds if kind not in OBJECTS]
        objects = [kind for kind in kinds if kind in OBJECTS]
        if relations and objects:
            yield _finding(
                (54,),
                "impossible-object-property-overlap",
                f"{_name(term)} is {objects[0]} and {relations[0]}",
                kinds[objects[0]],
                kinds[relations[0]],
            )
        apart = [kind for kind in relations if kind not in _MAY_OVERLAP]
        if len(apart) > 1:
            yield _finding(
                (53,),
                "impossible-property-overlap",
                f"{_name(term)} is {' and '.join(apart)}",
                *(kinds[kind] for kind in apart),
            )


def _empty_collections(normal: Normal) -> Iterator[Finding]:
    empty = {
        normal.find(row.id): row for row in normal.rows[ENTITY] if EMPTY_COLLECTION in row.types
    }
    for row in normal.rows["hadMember"]:
        collection = normal.at(row, 0)
        if collection in empty:
            yield _finding(
                (56,),
                "membership-empty-collection",
                f"{_name(collection)} is an empty collection and has a member",
                empty[collection],
                row,
            )


def _finding(numbers: tuple[int, ...], name: str, message: str, *rows: Row) -> Finding:
    statements: list[Statement] = [source for row in rows for source in row.sources]
    return Finding(
        constraints=numbers,
        name=name,
        message=message,
        statements=tuple(dict.fromkeys(each.text() for each in statements)),
    )


def _name(term: Value) -> str:
    return term if isinstance(term, str) else "something unnamed"
