"""Facts about governance: who answers for a model, who judged it, what was waived, what was withdrawn.

Each is a record of its own, made after the run it speaks of, by a person or a gate. The same rules
hold as in `provgraph.records`: no I/O, and an unknown is `Missing(field, reason)`. Where somebody
decides, the decision, its reason and who made it stand together; what was decided before stays, and
the later one counts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from provgraph.digests import Digest
from provgraph.frozen import dataclass
from provgraph.records import Agent, Entity, Missing, Note

VERDICTS: Final = ("passed", "conditional", "failed")
"""Of a validation. `conditional`: passed as long as the conditions hold."""

GATE_VERDICTS: Final = ("passed", "waived", "failed")
"""Of a gate. `waived`: it would have failed without the waivers that it names."""

JUDGEMENT_STATES: Final = ("met", "waived", "failed", "missing", "unknown")
"""Of one requirement. `missing`: the fact is not recorded; `unknown`: it could not be judged."""

REMEDIATION_STATES: Final = ("none", "retrain", "retire", "justified")
"""Of a thing that a withdrawal affects. `none` is open: nobody has decided yet."""

RESPONSE_STATUSES: Final = ("acknowledged", "investigating", "mitigated", "resolved", "accepted")

WITHDRAWN: Final = ("dataset", "consent")
"""What is withdrawn: the data as such, or the consent that its use rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Somebody judged a model, and signs with a stated meaning."""

    id: str
    model: Entity
    by: Agent
    verdict: str  # VERDICTS
    meaning: str
    is_independent: bool | None = None  # of the developers, as the validator declares
    conditions: str | None = None
    report: Entity | None = None
    valid_until: datetime | None = None
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a gate found of one requirement of a profile."""

    requirement: str  # its id in the profile
    state: str  # JUDGEMENT_STATES
    reason: str | None = None
    evidence: tuple[str, ...] = ()  # IRIs of what it was judged by
    waiver: str | None = None  # IRI of the waiver that it rests on


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """A gate judged a model against a profile, at one size of the ledger."""

    id: str
    model: Entity
    profile: str
    profile_version: str | None = None
    profile_digest: Digest | None = None
    stage: str | None = None
    verdict: str  # GATE_VERDICTS
    judgements: tuple[Judgement, ...] = ()
    ledger_size: int | None = None  # entries that were looked at
    by: Agent | None = None  # the person or job that asked
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Somebody lets a model pass although a requirement is not met, for a reason and for a time."""

    id: str
    model: Entity
    requirement: str  # its id in the profile
    profile: str | None = None  # None: of any profile
    stage: str | None = None  # None: for any stage
    reason: str
    by: Agent
    expires: datetime
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A dataset, or the consent behind it, is withdrawn; `affected` is what was made from it.

    Every affected thing is open (`none`) until a `Remediation` says what becomes of it.
    """

    id: str
    target: str  # IRI of the dataset
    what: str = "dataset"  # WITHDRAWN
    scope: str | None = None  # which part, or whose consent, in words
    reason: str
    ground: str | None = None
    by: Agent | None = None
    affected: tuple[str, ...] = ()  # IRIs, as far as they were known then
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remediation:
    """Somebody decides what becomes of a thing that a withdrawal affects."""

    id: str
    target: str  # IRI of the affected thing
    withdrawal: str  # IRI of the withdrawal
    state: str  # REMEDIATION_STATES
    reason: str
    due: datetime | None = None
    by: Agent
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Somebody answers for a thing in a role, from one time to another."""

    id: str
    target: str  # IRI of a model, dataset, report, …
    agent: Agent
    role: str  # owner, steward, developer, validator, …
    delegated_by: Agent | None = None  # the one in whose place they act
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    by: Agent | None = None
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A model enters the inventory: who owns it, how much depends on it, when it is judged again."""

    id: str
    target: str  # IRI of a model by name (all its versions), or of one version's content
    owner: Agent | None = None
    project: str | None = None
    tier: str | None = None
    risk_class: str | None = None
    review_by: datetime | None = None
    by: Agent | None = None
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """Somebody judges how far a model differs from the one it follows."""

    id: str
    model: Entity
    previous: str | None = None  # IRI of the model it follows
    is_substantial: bool | None = None
    is_predetermined: bool | None = None  # laid down in the plan that was assessed before
    plan: str | None = None  # where it is laid down
    reason: str
    by: Agent | None = None
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Somebody takes note of an observation or a drift verdict, and says what is done."""

    id: str
    target: str  # IRI of the observation or verdict
    status: str  # RESPONSE_STATUSES
    action: str | None = None
    by: Agent
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentEnd:
    """A deployment is over."""

    id: str
    target: str  # IRI of the deployment
    until: datetime
    reason: str | None = None
    by: Agent | None = None
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()
