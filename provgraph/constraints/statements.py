"""PROV statements as the recommendation writes them: a kind, an identifier, arguments by position.

A term is an IRI or a time as text, `NONE` for the placeholder `-`, or an integer for something that
exists and that nobody named. Times are ISO 8601; with a zone they are in UTC.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

Value = str | int
"""A constant, or the number of an unknown."""

NONE: Final = "-"

ENTITY: Final = "entity"
ACTIVITY: Final = "activity"
AGENT: Final = "agent"
OBJECTS: Final = (ENTITY, ACTIVITY, AGENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A position of a statement (PROV-CONSTRAINTS, section 4.1, table 3)."""

    name: str
    type: str | None = None  # entity | activity | agent, by constraint 50
    absent: str = "unknown"  # what leaving it out means: unknown | none | fault


def _must(name: str, kind: str | None = None) -> Argument:
    return Argument(name=name, type=kind, absent="fault")


_TIME: Final = Argument(name="time")
_PLACED: Final = (
    Argument(name="trigger", type=ENTITY),
    Argument(name="by activity", type=ACTIVITY),
    _TIME,
)

KINDS: Final[Mapping[str, tuple[Argument, ...]]] = {
    ENTITY: (),
    ACTIVITY: (Argument(name="start time"), Argument(name="end time")),
    AGENT: (),
    "used": (_must("activity", ACTIVITY), Argument(name="entity", type=ENTITY), _TIME),
    "wasGeneratedBy": (
        _must("entity", ENTITY),
        Argument(name="activity", type=ACTIVITY),
        _TIME,
    ),
    "wasInvalidatedBy": (
        _must("entity", ENTITY),
        Argument(name="activity", type=ACTIVITY),
        _TIME,
    ),
    "wasStartedBy": (_must("activity", ACTIVITY), *_PLACED),
    "wasEndedBy": (_must("activity", ACTIVITY), *_PLACED),
    "wasInformedBy": (_must("informed", ACTIVITY), _must("informant", ACTIVITY)),
    "wasDerivedFrom": (
        _must("generated entity", ENTITY),
        _must("used entity", ENTITY),
        Argument(name="activity", type=ACTIVITY, absent="none"),
        # Unknown where the activity is given, none where it is not (definition 4).
        Argument(name="generation", absent="none"),
        Argument(name="usage", absent="none"),
    ),
    "wasAttributedTo": (_must("entity", ENTITY), _must("agent", AGENT)),
    "wasAssociatedWith": (
        _must("activity", ACTIVITY),
        Argument(name="agent", type=AGENT),
        Argument(name="plan", type=ENTITY, absent="none"),
    ),
    "actedOnBehalfOf": (
        _must("delegate", AGENT),
        _must("responsible", AGENT),
        Argument(name="activity", type=ACTIVITY),
    ),
    "wasInfluencedBy": (_must("influencee"), _must("influencer")),
    "specializationOf": (_must("specific entity", ENTITY), _must("general entity", ENTITY)),
    "alternateOf": (_must("alternate", ENTITY), _must("other alternate", ENTITY)),
    "mentionOf": (
        _must("specific entity", ENTITY),
        _must("general entity", ENTITY),
        _must("bundle", ENTITY),
    ),
    "hadMember": (_must("collection", ENTITY), _must("member", ENTITY)),
}

WITHOUT_IDENTIFIER: Final = frozenset({"specializationOf", "alternateOf", "mentionOf", "hadMember"})

COLLECTION: Final = "http://www.w3.org/ns/prov#Collection"
EMPTY_COLLECTION: Final = "http://www.w3.org/ns/prov#EmptyCollection"

_fresh = itertools.count(1)


def unknown() -> int:
    """Return a new unknown: something that exists and that nobody named."""
    return next(_fresh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement. `arguments` stand in the order of `KINDS`; None is an argument left out."""

    kind: str
    id: Value | None = None
    arguments: tuple[Value | None, ...] = ()
    types: frozenset[str] = frozenset()  # of prov:type, those that are IRIs

    def text(self, names: Mapping[Value, str] | None = None) -> str:
        """Write it as PROV-N does, for people: local names, `?` for unknowns."""
        shown = [_short(each, names) for each in self.arguments]
        if self.kind in OBJECTS:
            shown.insert(0, _short(self.id, names))
            while len(shown) > 1 and shown[-1] == NONE:
                shown.pop()
            if self.types:
                types = ", ".join(
                    f"prov:type='{_short(each, None)}'" for each in sorted(self.types)
                )
                shown.append(f"[{types}]")
            return f"{self.kind}({', '.join(shown)})"
        if isinstance(self.id, str):
            return f"{self.kind}({_short(self.id, names)}; {', '.join(shown)})"
        return f"{self.kind}({', '.join(shown)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The statements of a document, by bundle; those outside of any stand under the empty name.

    Each is checked on its own, as section 7.2 of the recommendation says.
    """

    bundles: Mapping[str, Sequence[Statement]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What cannot be, or (`is_violation` false) what the clocks say against it."""

    constraints: tuple[int, ...]  # numbers of the recommendation; empty for what others ask
    name: str
    message: str
    statements: tuple[str, ...] = ()
    bundle: str = ""
    is_violation: bool = True


def moment(value: datetime) -> str:
    """Return a time as a term: in UTC where it has a zone, as it is where it has none."""
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _short(term: Value | None, names: Mapping[Value, str] | None) -> str:
    if term is None:
        return NONE
    if names is not None and term in names:
        return names[term]
    if isinstance(term, int):
        return f"?{term}"
    return term if len(term) <= 60 or not term.startswith("http") else f"…{term[-50:]}"
