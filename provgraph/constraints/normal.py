"""The normal form of PROV statements: absent arguments filled, inferences drawn, keys unified.

Definitions 1 to 4, inferences 5 to 21 and constraints 22 to 29 of PROV-CONSTRAINTS, as far as a
violation can follow from them: an inference whose conclusions no constraint can break on (6, 12, 15
to 18 and 20 only add communications, influences and alternates) is left out, 15 but for its keys.
Unknowns are unified with a union-find; two different constants that should be one are a violation,
and the rest goes on without that unification.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from provgraph.constraints.statements import (
    ACTIVITY,
    ENTITY,
    KINDS,
    NONE,
    OBJECTS,
    WITHOUT_IDENTIFIER,
    Argument,
    Finding,
    Statement,
    Value,
    unknown,
)

# Keys of constraints 24 to 27: positions that say which event it is.
_UNIQUE = (
    ("wasGeneratedBy", (0, 1), 24, "unique-generation"),
    ("wasInvalidatedBy", (0, 1), 25, "unique-invalidation"),
    ("wasStartedBy", (0, 2), 26, "unique-wasStartedBy"),
    ("wasEndedBy", (0, 2), 27, "unique-wasEndedBy"),
)
# What ProvToolbox asks beyond the recommendation, which lets an activity use a thing several times.
_STRICTLY_UNIQUE = (("used", (0, 1), 0, "unique-usage (ProvToolbox)"),)
# Positions of a relation that inference 15 makes influencee and influencer.
_INFLUENCE = {
    "wasGeneratedBy": (0, 1),
    "used": (0, 1),
    "wasInformedBy": (0, 1),
    "wasStartedBy": (0, 1),
    "wasEndedBy": (0, 1),
    "wasInvalidatedBy": (0, 1),
    "wasDerivedFrom": (0, 1),
    "wasAttributedTo": (0, 1),
    "wasAssociatedWith": (0, 1),
    "actedOnBehalfOf": (0, 1),
}


@dataclass(slots=True, kw_only=True)
class Row:
    """A statement under way: its terms may be unified, and it may stand for several statements."""

    kind: str
    id: Value
    arguments: list[Value]
    sources: tuple[Statement, ...]  # none: an inference made it
    types: set[str] = field(default_factory=set)


class Normal:
    """The normal form of one bundle, with what went wrong on the way."""

    def __init__(self, statements: Iterable[Statement], *, strict: bool = False) -> None:
        self._is_strict = strict
        self.findings: list[Finding] = []
        self.rows: dict[str, list[Row]] = defaultdict(list)
        self._same: dict[int, Value] = {}
        self._told: set[tuple[object, ...]] = set()
        self._owed: list[tuple[int, str, Statement]] = []
        for statement in dict.fromkeys(statements):
            self._take(statement)
        self._infer_from_statements()
        self._unify_all()
        self._specialise()
        self._infer_events()
        self._unify_all()
        self._require_arguments()

    def find(self, term: Value) -> Value:
        """Return what a term has been unified with."""
        seen = term
        while isinstance(seen, int) and seen in self._same:
            seen = self._same[seen]
        while isinstance(term, int) and term != seen and term in self._same:
            self._same[term], term = seen, self._same[term]
        return seen

    def at(self, row: Row, position: int) -> Value:
        """Return the argument of a row as unified so far."""
        return self.find(row.arguments[position])

    def every(self) -> Iterator[Row]:
        """Yield all rows."""
        for rows in self.rows.values():
            yield from rows

    def _take(self, statement: Statement) -> None:
        kind = statement.kind
        arguments: list[Value] = []
        given = (*statement.arguments, *(None,) * len(KINDS[kind]))
        for argument, value in zip(KINDS[kind], given, strict=False):
            if value is not None and value != NONE:
                arguments.append(value)
            elif self._is_none(kind, argument, arguments):
                arguments.append(NONE)
            else:
                arguments.append(owed := unknown())
                if argument.absent == "fault":
                    self._owed.append((owed, argument.name, statement))
        self.rows[kind].append(
            Row(
                kind=kind,
                id=unknown() if statement.id is None else statement.id,
                arguments=arguments,
                sources=(statement,),
                types=set(statement.types),
            )
        )

    def _is_none(self, kind: str, argument: Argument, before: Sequence[Value]) -> bool:
        """Whether what was left out is none, and not something that nobody named."""
        if kind == "wasDerivedFrom" and len(before) > 2 and before[2] != NONE:
            # Its activity is given: then its generation and usage exist.
            return False
        if self._is_strict and kind == "actedOnBehalfOf" and argument.type == ACTIVITY:
            return True
        return argument.absent == "none"

    def _require_arguments(self) -> None:
        """Tell what PROV-DM asks a statement to name, where no statement of that name does."""
        for term, name, statement in self._owed:
            if isinstance(self.find(term), int):
                self.findings.append(
                    Finding(
                        constraints=(),
                        name="missing argument (PROV-DM)",
                        message=f"{statement.kind} must name its {name}",
                        statements=(statement.text(),),
                    )
                )

    def _add(self, kind: str, id_: Value, *arguments: Value, because: Row | None = None) -> None:
        sources = because.sources if because is not None else ()
        self.rows[kind].append(Row(kind=kind, id=id_, arguments=list(arguments), sources=sources))

    def _infer_from_statements(self) -> None:
        for row in tuple(self.rows["wasDerivedFrom"]):  # inference 11
            generated, used, activity, generation, usage = row.arguments
            if NONE not in {activity, generation, usage}:
                self._add("used", usage, activity, used, unknown(), because=row)
                self._add("wasGeneratedBy", generation, generated, activity, unknown(), because=row)
        for row in tuple(self.rows["actedOnBehalfOf"]):  # inference 14
            for agent in row.arguments[:2]:
                plan = unknown()
                self._add(
                    "wasAssociatedWith", unknown(), row.arguments[2], agent, plan, because=row
                )
        for kind in ("wasStartedBy", "wasEndedBy"):  # inferences 9 and 10
            for row in tuple(self.rows[kind]):
                _, trigger, by, _ = row.arguments
                self._add("wasGeneratedBy", unknown(), trigger, by, unknown(), because=row)
        for row in tuple(self.rows["wasAttributedTo"]):  # inference 13
            entity, agent = row.arguments
            activity = unknown()
            self._add("wasGeneratedBy", unknown(), entity, activity, unknown(), because=row)
            self._add("wasAssociatedWith", unknown(), activity, agent, unknown(), because=row)
        for row in tuple(self.rows["mentionOf"]):  # PROV-LINKS: a mention is a specialisation
            self._add("specializationOf", unknown(), *row.arguments[:2], because=row)

    def _specialise(self) -> None:
        """Give what is specific the attributes of what is general (inferences 19 and 21)."""
        specific = defaultdict(set)
        for row in self.rows["specializationOf"]:
            specific[self.at(row, 1)].add(self.at(row, 0))
        declared = {self.find(row.id): row for row in self.rows[ENTITY]}
        waiting = list(declared)
        while waiting:
            general = declared[(term := waiting.pop())]
            for each in specific[term]:
                if each not in declared:
                    row = Row(kind=ENTITY, id=each, arguments=[], sources=general.sources)
                    declared[each] = row
                    self.rows[ENTITY].append(row)
                elif general.types <= declared[each].types:
                    continue
                declared[each].types |= general.types
                waiting.append(each)

    def _infer_events(self) -> None:
        """Let every entity be generated and invalidated, every activity start and end (7 and 8)."""
        happened = {
            kind: {self.at(row, 0) for row in self.rows[kind]}
            for kind in ("wasGeneratedBy", "wasInvalidatedBy", "wasStartedBy", "wasEndedBy")
        }
        for row in tuple(self.rows[ENTITY]):
            for kind in ("wasGeneratedBy", "wasInvalidatedBy"):
                if self.find(row.id) not in happened[kind]:
                    self._add(kind, unknown(), row.id, unknown(), unknown(), because=row)
        for row in tuple(self.rows[ACTIVITY]):
            for kind, time in zip(("wasStartedBy", "wasEndedBy"), row.arguments, strict=True):
                if self.find(row.id) not in happened[kind]:
                    self._add(kind, unknown(), row.id, unknown(), unknown(), time, because=row)

    def _unify_all(self) -> None:
        before = None
        while before != (state := (len(self._same), sum(map(len, self.rows.values())))):
            before = state
            for kind in KINDS:
                if kind not in WITHOUT_IDENTIFIER:
                    self._merge_by_identifier(kind)
            for kind, key, number, name in (
                *_UNIQUE,
                *(_STRICTLY_UNIQUE if self._is_strict else ()),
            ):
                self._unify_events(kind, key, number, name)
            self._unify_times()
            self._unify_influences()
            self._unify_mentions()

    def _merge_by_identifier(self, kind: str) -> None:
        """Keys: constraint 22 for objects, 23 for relations."""
        number, name = (22, "key-object") if kind in OBJECTS else (23, "key-properties")
        kept: dict[Value, Row] = {}
        rest = []
        for row in self.rows[kind]:
            key = self.find(row.id)
            first = kept.setdefault(key, row)
            if first is row:
                continue
            for position, argument in enumerate(KINDS[kind]):
                what = f"{argument.name} of {kind} {_name(key)}"
                if not self._unify(
                    first, row, at=(position, position), finding=(number, name, what)
                ):
                    rest.append(row)
                    break
            else:
                first.sources = tuple(dict.fromkeys((*first.sources, *row.sources)))
                first.types |= row.types
        self.rows[kind] = [*kept.values(), *rest]

    def _unify(
        self, one: Row, other: Row, *, at: tuple[int, int], finding: tuple[int, str, str]
    ) -> bool:
        return self._join(
            one.arguments[at[0]],
            other.arguments[at[1]],
            finding=finding,
            sources=(*one.sources, *other.sources),
        )

    def _join(
        self,
        one: Value,
        other: Value,
        *,
        finding: tuple[int, str, str],
        sources: tuple[Statement, ...],
    ) -> bool:
        one, other = self.find(one), self.find(other)
        if one == other:
            return True
        if isinstance(one, int):
            self._same[one] = other
            return True
        if isinstance(other, int):
            self._same[other] = one
            return True
        number, name, what = finding
        mark = (number, what, *sorted((one, other)))
        if mark not in self._told:
            self._told.add(mark)
            absent = {NONE: "none (`-`)"}
            found = " and ".join(absent.get(each, str(each)) for each in (one, other))
            self.findings.append(
                Finding(
                    constraints=(number,) if number else (),
                    name=name,
                    message=f"{what} is said to be {found}; it can be only one",
                    statements=_texts(sources),
                )
            )
        return False

    def _unify_events(self, kind: str, key: tuple[int, ...], number: int, name: str) -> None:
        events: dict[tuple[Value, ...], Row] = {}
        for row in self.rows[kind]:
            at = tuple(self.at(row, position) for position in key)
            first = events.setdefault(at, row)
            if first is not row:
                arguments = " and ".join(KINDS[kind][position].name for position in key)
                what = f"{kind} of {_name(at[0])} with one {arguments}"
                self._join(
                    first.id,
                    row.id,
                    finding=(number, name, what),
                    sources=(*first.sources, *row.sources),
                )

    def _unify_times(self) -> None:
        """An activity starts and ends when its events say (constraints 28 and 29)."""
        activities = {self.find(row.id): row for row in self.rows[ACTIVITY]}
        for kind, position, number, name in (
            ("wasStartedBy", 0, 28, "unique-startTime"),
            ("wasEndedBy", 1, 29, "unique-endTime"),
        ):
            for row in self.rows[kind]:
                activity = activities.get(self.at(row, 0))
                if activity is not None:
                    what = f"{KINDS[ACTIVITY][position].name} of activity {_name(activity.id)}"
                    self._unify(activity, row, at=(position, 3), finding=(number, name, what))

    def _unify_influences(self) -> None:
        """A relation is an influence of the same identifier (inference 15, constraint 23)."""
        influences = {self.find(row.id): row for row in self.rows["wasInfluencedBy"]}
        if not influences:
            return
        for kind, positions in _INFLUENCE.items():
            for row in self.rows[kind]:
                influence = influences.get(self.find(row.id))
                if influence is not None:
                    for at, position in enumerate(positions):
                        what = f"{KINDS['wasInfluencedBy'][at].name} of {_name(row.id)}"
                        self._unify(
                            influence, row, at=(at, position), finding=(23, "key-properties", what)
                        )

    def _unify_mentions(self) -> None:
        mentions: dict[Value, Row] = {}
        for row in self.rows["mentionOf"]:
            first = mentions.setdefault(self.at(row, 0), row)
            if first is not row:
                for position in (1, 2):
                    what = f"{KINDS['mentionOf'][position].name} of the mention {_name(row.arguments[0])}"
                    self._unify(
                        first,
                        row,
                        at=(position, position),
                        finding=(0, "unique-mention (PROV-LINKS)", what),
                    )

    def typed(self) -> dict[Value, dict[str, Row]]:
        """Return the types of every term with what gives it each (constraint 50)."""
        types: dict[Value, dict[str, Row]] = defaultdict(dict)
        for row in self.every():
            if row.kind in OBJECTS:
                types[self.find(row.id)].setdefault(row.kind, row)
            for argument, term in zip(KINDS[row.kind], row.arguments, strict=True):
                if argument.type is not None and term != NONE:
                    types[self.find(term)].setdefault(argument.type, row)
        return types


def _name(term: Value) -> str:
    return term if isinstance(term, str) else "something unnamed"


def _texts(statements: Iterable[Statement]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.text() for each in statements))
