"""What a promotion profile is made of: requirements, who may waive them, and what no record can answer.

A requirement checks by exactly one of three: a `fact` (`queries/Q29-completeness.rq` finds it out), a
`question` of the catalogue with rules on its rows, or a `check` of the gate's own (`CHECKS`). What no
record can show stands apart, as `Unanswered`: a gate lists it with every verdict and never counts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from provgraph.digests import Digest

FACTS: Final = (
    "run",
    "maker",
    "owner",
    "source-code",
    "environment",
    "parameters",
    "seeds",
    "data",
    "data-digest",
    "data-licence",
    "data-origin",
    "evaluation",
    "evaluation-data",
    "evaluation-size",
    "validation",
    "approval",
    "intended-use",
    "tier",
    "risk-class",
)
"""What `queries/Q29-completeness.rq` finds out; a test holds the two together."""

CHECKS: Final[Mapping[str, str]] = {
    "seals": "every record behind the model is what was sealed, by a key that counts where it stands",
    "lineage": "everything that the model was made from is described, and visible to whoever asks",
    "contradictions": "no two statements about the model and its lineage exclude each other (Q32)",
    "withdrawn": "nothing behind the model was retracted or withdrawn without a justification",
    "thresholds": "every evaluation that states a threshold reached it, and one does",
    "approval": "somebody who did not make the model approved it, with a key that counts",
    "validation": "somebody who did not make the model validated it, and the validation still holds",
}
"""What the gate itself checks, and what being met says."""

ALWAYS: Final = ("seals", "lineage", "withdrawn")
"""Checked whether or not a profile asks for them; nobody waives these unless a profile says who."""

SEVERITIES: Final = ("error", "warning")
"""Of a requirement: an error fails the gate, a warning is shown."""

KEYS: Final = ("named", "any")
"""Whose keys count for decisions: `named` asks that a steward or trust file says whose a key is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a question's rows have to be like. Values match as text; `x*` by its beginning, `*` anything."""

    question: str
    given: Mapping[str, str] = field(default_factory=dict)
    """Its parameters, without the model."""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Only rows with one of these values in each column are looked at."""
    require: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    forbid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Values that say that nobody knows: the requirement is then missing, not failed."""
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    rows: str = "some"  # some: without one the fact is missing; none: any row fails it; any


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Something that has to be so of a model."""

    id: str
    title: str
    source: str
    fact: str | None = None
    rows: Rows | None = None
    check: str | None = None
    severity: str = "error"
    waivable_by: tuple[str, ...] = ()
    """Roles of those who may waive it; empty: nobody may."""
    role: str | None = None
    """Of `approval` and `validation`: the role that whoever decides has to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Something that a source asks and no record can show; somebody has to look."""

    id: str
    title: str
    source: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRules:
    """Whose waivers, approvals and validations count."""

    keys: str = "named"  # KEYS
    vouching: tuple[str, ...] = ()
    """Owners of keys that seal what others decide, such as a server that checks who asks."""
    max_days: int = 366
    """A waiver that runs longer from its date does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named, versioned set of requirements."""

    id: str
    version: str
    title: str
    requirements: tuple[Requirement, ...]
    digest: Digest
    about: str = ""
    unanswered: tuple[Unanswered, ...] = ()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Role to the people who hold it; of a role that does not stand here, assignments count."""
    decisions: DecisionRules = field(default_factory=DecisionRules)
