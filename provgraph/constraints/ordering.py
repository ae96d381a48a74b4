"""The order of events: constraints 30 to 49 of PROV-CONSTRAINTS, and what clocks say against it.

Every generation, usage, invalidation, start and end is an event, and each constraint an edge `comes
no later than`; a derivation is the one edge that is strict. A strict edge on a cycle is a violation.
All generations of one entity are simultaneous (39), so a point stands for them, as for its
invalidations (40) and an activity's starts (31) and ends (32): the graph stays as large as the
document, where pairs would be its square.

Nothing follows an end or an invalidation but others, so most of these constraints can break on clocks
alone. The recommendation leaves clocks out of validity: events whose times (both with a zone, or both
without) contradict the order are told apart from violations, with the same numbers.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from provgraph.constraints.components import components
from provgraph.constraints.normal import Normal, Row
from provgraph.constraints.statements import NONE, Finding, Value

Point = tuple[str, Value]
"""An event (its kind and identifier), or the point that stands for all events of a sort."""

# kind of event -> (what its point is called, the word for people, the constraint that makes all one)
_SORTS: Final = {
    "wasGeneratedBy": ("generated", "generation", 39),
    "wasInvalidatedBy": ("invalidated", "invalidation", 40),
    "wasStartedBy": ("started", "start", 31),
    "wasEndedBy": ("ended", "end", 32),
}
_TIME_AT: Final = {"used": 2, "wasGeneratedBy": 2, "wasInvalidatedBy": 2}
_MAX_CLOCKS: Final = 100
_SIMULTANEOUS: Final = frozenset({31, 32, 39, 40})


@dataclass(frozen=True, slots=True)
class _Edge:
    to: Point
    constraint: int
    row: Row
    is_strict: bool = False


class Order:
    """The events of a normal form and their order."""

    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        self.edges: dict[Point, list[_Edge]] = defaultdict(list)
        self.times: dict[Point, datetime] = {}
        self.names: dict[Point, str] = {}
        self.happened: dict[str, set[Value]] = defaultdict(set)
        self._events()
        self._activities()
        self._entities()
        self._agents()

    def findings(self) -> Iterator[Finding]:
        """Yield every derivation that would have to precede itself, then what clocks contradict."""
        flat = {point: [edge.to for edge in edges] for point, edges in self.edges.items()}
        of: dict[Point, int] = {}
        ordered = list(components(flat))
        for number, component in enumerate(ordered):
            for point in component:
                of[point] = number
        told = set()
        for point, edges in self.edges.items():
            for edge in edges:
                if edge.is_strict and of[point] == of[edge.to] and of[point] not in told:
                    told.add(of[point])
                    yield self._cycle(point, edge, ordered[of[point]])
        for is_zoned in (True, False):
            times = {
                point: time
                for point, time in self.times.items()
                if (time.tzinfo is not None) == is_zoned
            }
            yield from self._clocks(ordered, of, times)

    def _edge(
        self, one: Point, other: Point, number: int, row: Row, *, strict: bool = False
    ) -> None:
        self.edges[one].append(_Edge(other, number, row, strict))

    def _point(self, sort: str, term: Value) -> Point | None:
        """Return the point of all such events of a thing, if it has any."""
        return (sort, term) if term in self.happened[sort] else None

    def _before(
        self, one: Point | None, other: Point | None, number: int, row: Row, *, strict: bool = False
    ) -> None:
        if one is not None and other is not None:
            self._edge(one, other, number, row, strict=strict)

    def _events(self) -> None:
        find = self.normal.find
        for kind, (sort, word, number) in _SORTS.items():
            for row in self.normal.rows[kind]:
                thing = self.normal.at(row, 0)
                event, point = (kind, find(row.id)), (sort, thing)
                self.happened[sort].add(thing)
                self.names[event] = f"{word} of {_name(thing)}"
                self.names[point] = f"{word} of {_name(thing)}"
                self._edge(event, point, number, row)
                self._edge(point, event, number, row)
                self._note_time(event, row, _TIME_AT.get(kind, 3))
        for row in self.normal.rows["used"]:
            event = ("used", find(row.id))
            activity, entity = self.normal.at(row, 0), self.normal.at(row, 1)
            self.names[event] = f"usage of {_name(entity)} by {_name(activity)}"
            self._note_time(event, row, 2)

    def _note_time(self, event: Point, row: Row, position: int) -> None:
        time = self.normal.at(row, position)
        if isinstance(time, str):
            with suppress(ValueError):  # a time that is none has no place on a clock
                self.times[event] = datetime.fromisoformat(time)

    def _activities(self) -> None:
        at, find = self.normal.at, self.normal.find
        for row in self.normal.rows["wasStartedBy"]:
            activity = at(row, 0)
            self._before(("started", activity), self._point("ended", activity), 30, row)
        for row in self.normal.rows["used"]:
            use: Point = ("used", find(row.id))
            self._before(self._point("started", at(row, 0)), use, 33, row)
            self._before(use, self._point("ended", at(row, 0)), 33, row)
            self._before(self._point("generated", at(row, 1)), use, 37, row)
            self._before(use, self._point("invalidated", at(row, 1)), 38, row)
        for row in self.normal.rows["wasGeneratedBy"]:
            made: Point = ("wasGeneratedBy", find(row.id))
            self._before(self._point("started", at(row, 1)), made, 34, row)
            self._before(made, self._point("ended", at(row, 1)), 34, row)
        for row in self.normal.rows["wasInformedBy"]:
            one, other = self._point("started", at(row, 1)), self._point("ended", at(row, 0))
            self._before(one, other, 35, row)
        for kind, number in (("wasStartedBy", 43), ("wasEndedBy", 44)):
            for row in self.normal.rows[kind]:
                event: Point = (kind, find(row.id))
                self._before(self._point("generated", at(row, 1)), event, number, row)
                self._before(event, self._point("invalidated", at(row, 1)), number, row)

    def _entities(self) -> None:
        at, find = self.normal.at, self.normal.find
        for row in self.normal.rows["wasGeneratedBy"]:
            entity = at(row, 0)
            self._before(("generated", entity), self._point("invalidated", entity), 36, row)
        for row in self.normal.rows["wasDerivedFrom"]:
            generated, used = at(row, 0), at(row, 1)
            generation, usage = find(row.arguments[3]), find(row.arguments[4])
            if NONE not in {at(row, 2), generation, usage}:
                self._edge(("used", usage), ("wasGeneratedBy", generation), 41, row)
            self._before(
                self._point("generated", used),
                self._point("generated", generated),
                42,
                row,
                strict=True,
            )
        # Specialisation is transitive (19): a chain of points of its own leads past entities that
        # have no events.
        for row in self.normal.rows["specializationOf"]:
            specific, general = at(row, 0), at(row, 1)
            self._edge(("general", general), ("general", specific), 45, row)
            self._edge(("specific", specific), ("specific", general), 46, row)
            for entity in (specific, general):
                made, gone = self._point("generated", entity), self._point("invalidated", entity)
                self._before(made, ("general", entity), 45, row)
                self._before(("general", entity), made, 45, row)
                self._before(gone, ("specific", entity), 46, row)
                self._before(("specific", entity), gone, 46, row)

    def _agents(self) -> None:
        at, point = self.normal.at, self._point
        for row in self.normal.rows["wasAssociatedWith"]:
            activity, agent = at(row, 0), at(row, 1)
            self._before(point("started", activity), point("invalidated", agent), 47, row)
            self._before(point("generated", agent), point("ended", activity), 47, row)
            self._before(point("started", activity), point("ended", agent), 47, row)
            self._before(point("started", agent), point("ended", activity), 47, row)
        for row in self.normal.rows["wasAttributedTo"]:
            entity, agent = at(row, 0), at(row, 1)
            self._before(point("generated", agent), point("generated", entity), 48, row)
            self._before(point("started", agent), point("generated", entity), 48, row)
        for row in self.normal.rows["actedOnBehalfOf"]:
            delegate, responsible = at(row, 0), at(row, 1)
            self._before(point("generated", responsible), point("invalidated", delegate), 49, row)
            self._before(point("started", responsible), point("ended", delegate), 49, row)

    def _cycle(self, start: Point, strict: _Edge, inside: frozenset[Point]) -> Finding:
        edges = [strict, *self._way(strict.to, start, inside)]
        message = f"the {self._say(start)} would come before itself: {self._say(start)}"
        before = self._say(start)
        for edge in edges:
            name = self._say(edge.to)
            if name and name != before:
                message += f" {'<' if edge.is_strict else '≤'} {name}"
                before = name
        return self._finding(edges, message=message, is_violation=True)

    def _way(
        self, start: Point, goal: Point, inside: frozenset[Point] | None = None
    ) -> list[_Edge]:
        """Return the shortest way between two points, within a component if one is given."""
        came: dict[Point, tuple[Point, _Edge]] = {}
        waiting = deque([start])
        while waiting and goal not in came and start != goal:
            point = waiting.popleft()
            for edge in self.edges.get(point, ()):
                if (inside is None or edge.to in inside) and edge.to not in came:
                    came[edge.to] = (point, edge)
                    waiting.append(edge.to)
        way: list[_Edge] = []
        point = goal
        while point != start:
            point, edge = came[point]
            way.append(edge)
        return way[::-1]

    def _finding(self, edges: Sequence[_Edge], *, message: str, is_violation: bool) -> Finding:
        numbers: dict[int, None] = {}
        for edge, following in zip(edges, (*edges[1:], None), strict=True):
            # Between an event and the point that stands for its kind nothing is said; from one event
            # over that point to another, that they are simultaneous.
            if edge.constraint not in _SIMULTANEOUS or (
                following is not None
                and edge.constraint == following.constraint
                and edge.row is not following.row
            ):
                numbers[edge.constraint] = None
        sources = [source for edge in edges for source in edge.row.sources]
        return Finding(
            constraints=tuple(numbers),
            name=", ".join(_NAMES[number] for number in numbers),
            message=message,
            statements=tuple(dict.fromkeys(each.text() for each in sources)),
            is_violation=is_violation,
        )

    def _say(self, point: Point) -> str:
        return self.names.get(point, "")

    def _clocks(
        self,
        ordered: Sequence[frozenset[Point]],
        of: Mapping[Point, int],
        times: dict[Point, datetime],
    ) -> Iterator[Finding]:
        """Compare each event's time with the latest time of what comes no later.

        Components come each after all that they lead to, so their reverse is the order of time.
        """
        latest: dict[int, Point] = {}
        told: set[frozenset[str]] = set()
        for number in range(len(ordered) - 1, -1, -1):
            timed = sorted(
                (each for each in ordered[number] if each in times), key=times.__getitem__
            )
            best = latest.get(number)
            for point in timed:
                # What is in one component is simultaneous: the last of it counts for the first, too.
                late = max((each for each in (best, timed[-1]) if each), key=times.__getitem__)
                texts = frozenset((self._said(late), self._said(point)))
                if times[late] > times[point] and texts not in told and len(told) < _MAX_CLOCKS:
                    told.add(texts)
                    yield self._finding(
                        self._way(late, point),
                        message=f"{self._said(late)} cannot be later than {self._said(point)}",
                        is_violation=False,
                    )
            if timed and (best is None or times[timed[-1]] > times[best]):
                best = timed[-1]
            if best is None:
                continue
            for point in ordered[number]:
                for edge in self.edges.get(point, ()):
                    to = of[edge.to]
                    if to != number and (to not in latest or times[latest[to]] < times[best]):
                        latest[to] = best

    def _said(self, point: Point) -> str:
        time = self.times[point].isoformat().replace("+00:00", "Z")
        return f"the {self.names[point]} at {time}"


_NAMES: Final = {
    30: "start-precedes-end",
    31: "start-start-ordering",
    32: "end-end-ordering",
    33: "usage-within-activity",
    34: "generation-within-activity",
    35: "wasInformedBy-ordering",
    36: "generation-precedes-invalidation",
    37: "generation-precedes-usage",
    38: "usage-precedes-invalidation",
    39: "generation-generation-ordering",
    40: "invalidation-invalidation-ordering",
    41: "derivation-usage-generation-ordering",
    42: "derivation-generation-generation-ordering",
    43: "wasStartedBy-ordering",
    44: "wasEndedBy-ordering",
    45: "specialization-generation-ordering",
    46: "specialization-invalidation-ordering",
    47: "wasAssociatedWith-ordering",
    48: "wasAttributedTo-ordering",
    49: "actedOnBehalfOf-ordering",
}


def _name(term: Value) -> str:
    return term if isinstance(term, str) else "something unnamed"
