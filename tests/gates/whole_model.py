"""A model of which everything is known, that passes every profile; tests take one thing away or add one.

ada prepares and trains `credit:1` from applications.csv; vera validates; grace approves and waives. The
keys of vera, grace and rita are theirs, as the steward has entered into the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provgraph import vocab
from provgraph.data_facts import IntendedUse
from provgraph.digests import Digest
from provgraph.gates.verdict import Finding, Verdict
from provgraph.governance import Registration, Validation, Waiver
from provgraph.query.promotion import Profile
from provgraph.query.requirements import load_profile
from provgraph.recordable import Record
from provgraph.records import (
    Agent,
    Approval,
    Entity,
    Environment,
    Evaluation,
    Filter,
    Generation,
    Invocation,
    Labelling,
    Package,
    Run,
    SourceCode,
    Step,
    Usage,
)
from provgraph.seal.keys import Signer, generate_signer
from provgraph.service.asking import open_reader
from provgraph.service.gating import judged_by
from provgraph.service.recording import write_record
from provgraph.service.rotating import Why, add_key
from provgraph.settings import Settings, load

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
NOW = START + timedelta(days=10)
ADA, GRACE, VERA, RITA = (
    Agent(name=f"{name}@acme.example") for name in ("ada", "grace", "vera", "rita")
)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def content(name: str) -> Digest:
    return Digest("sha256", hashlib.sha256(name.encode()).hexdigest())


def uuid_of(number: int) -> str:
    return f"019c9b00-0000-7000-8000-{number:012d}"


def act(kind: str, number: int) -> str:
    return vocab.activity_iri(kind, uuid_of(number))


RAW = Entity(
    kind="dataset",
    digest=content("applications.csv"),
    name="applications.csv",
    source="https://data.example/applications",
    licence="CC-BY-4.0",
    collected="2025-01/2025-06",
    collector="Acme",
    has_personal_data=False,
)
FRESH = replace(
    RAW,
    digest=content("later.csv"),
    name="later.csv",
    source="https://data.example/later",
    collected="2025-07/2025-09",
)
TRAIN = Entity(
    kind="dataset", digest=content("train"), name="train.parquet", has_personal_data=False
)
TEST = Entity(kind="dataset", digest=content("test"), name="test.parquet", has_personal_data=False)
MODEL = Entity(
    kind="model",
    digest=content("credit"),
    name="credit",
    version="1",
    intended_use=IntendedUse(purpose="credit scoring", is_commercial=True, is_distributed=False),
)
SAID = Entity(kind="model", digest=MODEL.digest)
MODEL_IRI = vocab.content_iri(content("credit"))
RAW_IRI = vocab.content_iri(content("applications.csv"))
NAME_IRI = vocab.named_iri("model", "acme", "credit")

_EVALUATION = Evaluation(
    model=MODEL,
    data=TEST,
    metric="roc_auc",
    value=0.91,
    interval=(0.89, 0.93),
    n=2000,
    threshold=">= 0.85",
    threshold_met=True,
    at=at(40),
)
PREPARE = Run(
    id=uuid_of(1),
    name="prepare",
    project="credit",
    owner=ADA,
    status="completed",
    started_at=at(0),
    ended_at=at(5),
    used=(Usage(entity=RAW, role="raw"), Usage(entity=FRESH, role="raw")),
    labellings=(
        Labelling(
            data=RAW, by=(Agent(name="bank staff"),), guideline="https://wiki.example/labels"
        ),
    ),
    steps=(
        Step(
            number=1,
            parent=None,
            name="clean",
            started_at=at(1),
            ended_at=at(2),
            used=(Usage(entity=RAW, role="raw"),),
            generated=(Generation(entity=TRAIN, role="train"),),
            rows_in=1000,
            rows_out=990,
            filters=(Filter(condition="age < 0", reason="typing errors", rows_removed=10, by=ADA),),
        ),
        Step(
            number=2,
            parent=None,
            name="hold out",
            started_at=at(2),
            ended_at=at(3),
            used=(Usage(entity=FRESH, role="raw"),),
            generated=(Generation(entity=TEST, role="test"),),
        ),
    ),
)
FIT = Run(
    id=uuid_of(2),
    name="train",
    project="credit",
    owner=ADA,
    status="completed",
    started_at=at(10),
    ended_at=at(50),
    invocation=Invocation(command=("python", "train.py"), seeds={"numpy": "7"}),
    environment=Environment(
        python="3.11.9",
        implementation="CPython",
        operating_system="Debian 12",
        kernel="6.1.0",
        architecture="x86_64",
        packages=(Package(name="numpy", version="2.1.0"),),
    ),
    source_code=SourceCode(
        repository="https://git.example/credit", commit="a" * 40, is_dirty=False, untracked_count=0
    ),
    parameters={"depth": 4},
    used=(Usage(entity=TRAIN, role="train"),),
    generated=(Generation(entity=MODEL, role="model"),),
    evaluations=(
        _EVALUATION,
        replace(_EVALUATION, slice="age >= 60", value=0.88, interval=(0.85, 0.9), n=300),
    ),
)
REGISTRATION = Registration(
    id=uuid_of(3),
    target=NAME_IRI,
    owner=RITA,
    tier="1",
    risk_class="high-risk",
    by=GRACE,
    at=at(60),
)
VALIDATION = Validation(
    id=uuid_of(4),
    model=SAID,
    by=VERA,
    verdict="passed",
    meaning="sound, tested on unseen data",
    is_independent=True,
    at=at(70),
)
APPROVAL = Approval(
    id=uuid_of(5), model=SAID, by=GRACE, meaning="fit for production", stage="production", at=at(80)
)
WAIVER = Waiver(
    id=uuid_of(6),
    model=SAID,
    requirement="intended-use",
    reason="the page on use comes next week",
    by=GRACE,
    expires=NOW + timedelta(days=30),
    at=at(90),
)
WHOLE: tuple[Record, ...] = (PREPARE, FIT, REGISTRATION, VALIDATION, APPROVAL)


@dataclass(slots=True)
class Bank:
    """A home, with the keys of the people who decide."""

    settings: Settings
    keys: dict[str, Signer] = field(default_factory=dict)

    def enter_keys(self, people: Sequence[Agent] = (GRACE, VERA, RITA)) -> None:
        """Let the steward say whose keys these are."""
        for person in people:
            self.keys[person.name] = generate_signer()
            add_key(
                self.settings,
                self.keys[person.name].verification_method,
                role="producer",
                owner=person,
                valid_from=None,
                valid_until=None,
                why=Why(by=RITA, reason="decides on models"),
            )

    def record(self, *records: Record, key: Agent | None = None) -> None:
        """Record facts; what a person decides with their own key, where they have one."""
        for each in records:
            decides = isinstance(each, Approval | Validation | Waiver)
            by = key or (each.by if decides else None)
            signer = None if by is None else self.keys.get(by.name)
            write_record(self.settings, each, record_id=each.id, signer=signer)

    def gate(
        self,
        profile: str | Profile = "minimal",
        *,
        stage: str | None = "production",
        now: datetime = NOW,
        model: str = "credit:1",
    ) -> Verdict:
        """Judge the model."""
        loaded = load_profile(profile) if isinstance(profile, str) else profile
        with open_reader(self.settings) as reader:
            return judged_by(reader, model, profile=loaded, stage=stage, now=now)


def bank_at(folder: Path, **environ: str) -> Bank:
    return Bank(load({"PROVGRAPH_HOME": str(folder), "PROVGRAPH_NAMESPACE": "acme", **environ}))


def whole_bank(folder: Path, *without: Record) -> Bank:
    """A home with everything but some records."""
    bank = bank_at(folder)
    bank.enter_keys()
    bank.record(*(each for each in WHOLE if each not in without))
    return bank


def failures(verdict: Verdict) -> dict[str, str]:
    """Requirement to state, of what fails the gate."""
    return {each.requirement: each.state for each in verdict.failures}


def finding(verdict: Verdict, requirement: str) -> Finding:
    (found,) = (each for each in verdict.findings if each.requirement == requirement)
    return found


def changed(record: Any, **more: Any) -> Any:
    """Return a record with other values."""
    return replace(record, **more)
