"""Everything that may be recorded, in one table: what a later fact is called, and its class.

Whoever takes records in (`POST /records`, the spool, the schemas of the API) derives from `LATER_FACTS`
what it accepts, so that a new kind needs one line here, its class, and its conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provgraph.flows import Flow
from provgraph.governance import (
    Assignment,
    DeploymentEnd,
    GateDecision,
    Modification,
    Registration,
    Remediation,
    Response,
    Validation,
    Waiver,
    Withdrawal,
)
from provgraph.imported import ImportSummary, RegistryEntry
from provgraph.records import (
    Appointment,
    Approval,
    Certificate,
    Deployment,
    Description,
    GraphImport,
    KeyDecision,
    Notice,
    Observation,
    Retraction,
    Run,
    Tombstone,
    Verification,
)
from provgraph.upkeep import RestoreTest
from provgraph.verdicts import DriftEvent, DriftVerdict

AboutModel = Deployment | Observation | Approval | Validation | GateDecision | Waiver | Modification
"""Later facts with a `model`, which may be given by name and is looked up when it is recorded."""
AboutThing = (
    Retraction
    | Withdrawal
    | Remediation
    | Assignment
    | Registration
    | Response
    | DeploymentEnd
    | Description
)
"""Later facts with a `target`: the IRI of any thing, looked up likewise."""
LaterFact = AboutModel | AboutThing
Record = (
    Run
    | LaterFact
    | KeyDecision
    | Tombstone
    | Verification
    | Appointment
    | GraphImport
    | ImportSummary
    | RegistryEntry
    | Notice
    | Flow
    | Certificate
    | DriftVerdict
    | DriftEvent
    | RestoreTest
)

DECISIONS: Final = (Approval, Validation, Waiver, Remediation)
"""By a person who answers for it: over a network nobody decides in another's name."""

LATER_FACTS: Final[Mapping[str, type[LaterFact]]] = {
    "deployment": Deployment,
    "observation": Observation,
    "approval": Approval,
    "retraction": Retraction,
    "validation": Validation,
    "gate-decision": GateDecision,
    "waiver": Waiver,
    "withdrawal": Withdrawal,
    "remediation": Remediation,
    "assignment": Assignment,
    "registration": Registration,
    "modification": Modification,
    "response": Response,
    "deployment-end": DeploymentEnd,
    "description": Description,
}
"""What a later fact is called, in IRIs and in `POST /records`, and its class."""
