"""An organisation of any size about which every written-down question has something to say.

It is made of teams that are alike: each prepares its data in steps (filters, labels, legal bases, quality,
a feature in two versions), trains `MODELS` models in one experiment, has them judged, approved and let
pass with a waiver, deploys them one after the other, and watches them. So what is asked of one team has
equal answers in every organisation, and what is asked of all of them grows with it. Every run of every
team uses one dataset, of which each says the same: its licence, origin and legal basis.

Records go through the converter, are sealed and appended as recording does it, many to a commit.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from provgraph import __version__, vocab
from provgraph.convert.entities import Context
from provgraph.convert.prov import content_record_iri, convert, convert_content
from provgraph.data_facts import IntendedUse, LegalBasis
from provgraph.digests import Digest, sha256_bytes
from provgraph.governance import (
    GateDecision,
    Judgement,
    Modification,
    Registration,
    Response,
    Validation,
    Waiver,
    Withdrawal,
)
from provgraph.ledger.codec import prepare
from provgraph.recordable import Record
from provgraph.records import (
    Agent,
    Approval,
    Deployment,
    Entity,
    Environment,
    Evaluation,
    Feature,
    Filter,
    Generation,
    Invocation,
    Labelling,
    Observation,
    Package,
    Quality,
    Retraction,
    Run,
    SourceCode,
    Step,
    Usage,
)
from provgraph.seal.keys import Signer
from provgraph.service.home import producer_signer, writable_ledger
from provgraph.service.recording import sealed
from provgraph.settings import Settings

MODELS = 20  # of a team
TEAM_QUADS = 6_650  # about, in an index, which holds each statement twice
SHARED = "countries.csv"

_BATCH = 500
_START = datetime(2026, 1, 1, tzinfo=UTC)
_OWNERS = [Agent(name=f"owner-{number}@acme.example") for number in range(50)]
_STEWARD = Agent(name="steward@acme.example")
_ENVIRONMENTS = [
    Environment(
        python="3.11.9",
        implementation="CPython",
        operating_system="Debian 12",
        kernel="6.1.0",
        architecture="x86_64",
        packages=tuple(
            Package(name=f"package-{place}", version=f"1.{number if place < 5 else 0}")
            for place in range(60)
        ),
    )
    for number in range(20)
]


def record_teams(settings: Settings, *, quads: int) -> int:
    """Append teams until an index of the ledger has about so many quads; return how many."""
    teams = max(2, quads // TEAM_QUADS)
    signer = producer_signer(settings)
    known: set[str] = set()
    with writable_ledger(settings) as ledger:
        rows = (
            row
            for number in range(teams)
            for each in team(number)
            for row in _prepared(each, signer, ledger.namespace, known)
        )
        while batch := list(itertools.islice(rows, _BATCH)):
            ledger.append_each([batch])
    return teams


def _prepared(record: Record, signer: Signer, namespace: str, known: set[str]) -> Iterator[object]:
    now = datetime.now(UTC)
    context = Context(
        namespace=namespace,
        software_version=__version__,
        recorded_at=now,
        previous=_previous(record, namespace),
    )
    contents = (record.environment, record.source_code) if isinstance(record, Run) else ()
    for content in contents:
        if content is not None and (iri := content_record_iri(content)) not in known:
            known.add(iri)
            yield prepare(sealed(convert_content(content, context=context), signer=signer, now=now))
    yield prepare(
        sealed(convert(record, record_id=record.id, context=context), signer=signer, now=now)
    )


def _previous(record: Record, namespace: str) -> dict[tuple[str, str, str], str]:
    if not isinstance(record, Run) or not record.generated:
        return {}
    made = record.generated[0].entity
    if made.name is None or made.version is None or made.version == "1":
        return {}
    before = vocab.named_iri("model", namespace, made.name, str(int(made.version) - 1))
    return {("model", made.name, made.version): before}


def model_name(team: int, version: int = MODELS) -> str:
    """Return what a model of a team is called."""
    return f"model-{team}:{version}"


def team(number: int) -> Iterator[Record]:
    """Yield what one team records, in order."""
    made = _Team(number)
    yield made.preparation()
    for version in range(1, MODELS + 1):
        yield made.training(version)
    yield from made.judgements()
    yield from made.work()


def _digest(name: str) -> Digest:
    return sha256_bytes(name.encode())


_EVERYBODYS = Entity(
    kind="dataset",
    digest=_digest(SHARED),
    name=SHARED,
    location="s3://acme/countries.csv",
    rows=249,
    source="https://data.example/countries",
    licence="CC-BY-4.0",
    collected="2025-01/2025-06",
    collector="the office of statistics",
    collection_method="a register",
    use_terms="name the office",
    has_personal_data=False,
    legal_bases=(LegalBasis(basis="public-interest", purpose="statistics", reference="form 1"),),
)


class _Team:
    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"team-{number}"
        self.owner = _OWNERS[number % len(_OWNERS)]
        self.clock = _START + timedelta(hours=number)
        self.count = 0
        self.environment = _ENVIRONMENTS[number % len(_ENVIRONMENTS)]
        self.customers = self.table(
            "customers",
            source=f"https://data.example/{number}",
            licence="CC-BY-NC-4.0",
            collector="CRM",
            has_personal_data=True,
            legal_bases=(
                LegalBasis(
                    basis="consent",
                    purpose="care",
                    reference=f"form {number}",
                    expires_at=datetime(2026, 12, 1, tzinfo=UTC),
                ),
            ),
        )
        self.clean, self.train, self.test = map(self.table, ("clean", "train", "test"))

    def table(self, name: str, **more: object) -> Entity:
        name = f"{name}-{self.number}"
        return Entity(kind="dataset", digest=_digest(name), name=name, **more)  # type: ignore[arg-type]

    def model(self, version: int) -> Entity:
        return Entity(
            kind="model",
            digest=_digest(model_name(self.number, version)),
            name=f"model-{self.number}",
            version=str(version),
            intended_use=IntendedUse(purpose="churn", is_commercial=True, is_distributed=False),
        )

    def content(self, version: int) -> Entity:
        return Entity(kind="model", digest=self.model(version).digest)

    def id(self) -> str:
        self.count += 1
        return str(
            uuid.UUID(int=(0x019C8A00 << 96) | 0x70008000 << 64 | self.number << 16 | self.count)
        )

    def at(self) -> datetime:
        self.clock += timedelta(minutes=1)
        return self.clock

    def feature(self, version: str) -> Feature:
        return Feature(
            name=f"tenure-{self.number}",
            version=version,
            definition=f"months since event {version}",
            reason="known to matter",
            by=self.owner,
            columns=("signup", "today"),
            source=self.clean,
        )

    def run(self, name: str, **more: object) -> Run:
        fields: dict[str, object] = {
            "id": self.id(),
            "name": name,
            "project": self.name,
            "owner": self.owner,
            "status": "completed",
            "started_at": self.at(),
            "ended_at": self.at(),
            "duration_s": 60.0,
            "invocation": Invocation(
                command=("python", f"{name}.py"),
                entry_script=f"/src/{name}.py",
                host="trainer-1",
                user="ada",
                seeds={"numpy": "7", "random": "7"},
            ),
            "environment": self.environment,
            "source_code": SourceCode(
                repository="https://git.example/acme",
                commit=_digest(self.name).value[:40],
                branch="main",
                is_dirty=False,
            ),
        }
        return Run(**(fields | more))  # type: ignore[arg-type]

    def preparation(self) -> Run:
        return self.run(
            "prepare",
            used=(Usage(entity=self.customers, role="raw"), Usage(entity=_EVERYBODYS, role="raw")),
            steps=(
                Step(
                    number=1,
                    parent=None,
                    name="clean",
                    started_at=self.clock,
                    used=(Usage(entity=self.customers), Usage(entity=_EVERYBODYS)),
                    generated=(Generation(entity=self.clean),),
                    rows_in=1000,
                    rows_out=900,
                    filters=(
                        Filter(
                            condition="age < 0",
                            reason="typing errors",
                            rows_removed=60,
                            by=self.owner,
                        ),
                        Filter(condition="repeated", rows_removed=40),
                    ),
                ),
                Step(
                    number=2,
                    parent=None,
                    name="split",
                    started_at=self.clock,
                    used=(Usage(entity=self.clean),),
                    generated=(Generation(entity=self.train), Generation(entity=self.test)),
                    rows_in=900,
                    rows_out=900,
                    features=(self.feature("1"),),
                ),
            ),
            labellings=(
                Labelling(
                    data=self.customers,
                    by=(self.owner,),
                    guideline="Reading calls",
                    guideline_version="2",
                    agreement=0.8,
                    count=1000,
                ),
            ),
            qualities=tuple(
                Quality(
                    data=self.customers,
                    metric="completeness",
                    value=0.99,
                    column=column,
                    threshold=">= 0.9",
                    threshold_met=True,
                    at=self.clock,
                )
                for column in ("age", "signup", "plan")
            ),
        )

    def training(self, version: int) -> Run:
        is_failed = version == 1
        model = self.model(version)
        return self.run(
            "train",
            experiment=f"spring-{self.number}",
            status="failed" if is_failed else "completed",
            reason="out of memory" if is_failed else None,
            parameters={f"parameter-{place}": version * place for place in range(12)},
            metrics={f"metric-{place}": version / (place + 1) for place in range(10)},
            features=(
                Feature(name=f"tenure-{self.number}", version="1")
                if version < MODELS
                else self.feature("2"),
            ),
            used=(
                Usage(entity=self.train, role="train"),
                Usage(entity=self.test, role="test"),
                Usage(entity=_EVERYBODYS, role="lookup"),
            ),
            generated=() if is_failed else (Generation(entity=model, role="model"),),
            evaluations=()
            if is_failed
            else tuple(
                Evaluation(
                    model=model,
                    data=self.test,
                    metric="accuracy",
                    value=value,
                    n=190,
                    slice=part,
                    threshold=">= 0.8",
                    threshold_met=True,
                    at=self.clock + timedelta(seconds=90),
                )
                for value, part in ((0.9, None), (0.85, "age >= 60"))
            ),
        )

    def judgements(self) -> Iterator[Record]:
        yield Registration(
            id=self.id(),
            target=vocab.named_iri("model", "acme", f"model-{self.number}"),
            owner=self.owner,
            project=self.name,
            tier="1",
            risk_class="high-risk",
            review_by=datetime(2026, 6, 1, tzinfo=UTC),
            by=_STEWARD,
            at=self.at(),
        )
        for version in (MODELS - 1, MODELS):
            yield Validation(
                id=self.id(),
                model=self.content(version),
                by=_STEWARD,
                verdict="passed",
                meaning="sound",
                is_independent=True,
                at=self.at(),
            )
        waiver = self.id()
        yield Waiver(
            id=waiver,
            model=self.content(MODELS),
            requirement="licence",
            profile="minimal",
            reason="asked for",
            by=_STEWARD,
            expires=datetime(2026, 9, 1, tzinfo=UTC),
            at=self.at(),
        )
        yield GateDecision(
            id=self.id(),
            model=self.content(MODELS),
            profile="minimal",
            profile_version="1",
            stage="production",
            verdict="waived",
            judgements=(
                Judgement(
                    requirement="licence",
                    state="waived",
                    reason="none is recorded",
                    waiver=vocab.activity_iri("waiver", waiver),
                ),
            ),
            ledger_size=1,
            at=self.at(),
        )
        yield Modification(
            id=self.id(),
            model=self.content(MODELS),
            is_substantial=self.number % 2 == 0,
            is_predetermined=False,
            reason="another feature",
            by=_STEWARD,
            at=self.at(),
        )

    def work(self) -> Iterator[Record]:
        replaces = None
        for version in (MODELS - 1, MODELS):
            approval = self.id()
            yield Approval(
                id=approval,
                model=self.content(version),
                by=_STEWARD,
                meaning="may go to production",
                at=self.at(),
            )
            deployment = self.id()
            yield Deployment(
                id=deployment,
                model=self.content(version),
                stage="production",
                target=f"https://api.acme.example/{self.number}",
                by=self.owner,
                at=self.at(),
                on_approval=vocab.activity_iri("approval", approval),
                replaces=replaces,
            )
            replaces = vocab.activity_iri("deployment", deployment)
            for week in range(4):
                observation = self.id()
                is_met = week < 3
                yield Observation(
                    id=observation,
                    model=self.content(version),
                    deployment=replaces,
                    metric="accuracy",
                    value=0.9 if is_met else 0.7,
                    n=100,
                    threshold=">= 0.8",
                    threshold_met=is_met,
                    window_start=self.at(),
                    window_end=self.at(),
                    at=self.at(),
                )
            if self.number % 2 == 0:
                yield Response(
                    id=self.id(),
                    target=vocab.activity_iri("observation", observation),
                    status="investigating",
                    by=self.owner,
                    at=self.at(),
                )
        if self.number % 10 == 0:
            yield Retraction(
                id=self.id(),
                target=vocab.content_iri(self.model(2).digest or _digest("")),
                reason="trained on the wrong table",
                by=self.owner,
                at=self.at(),
            )
        if self.number % 50 == 0:
            yield Withdrawal(
                id=self.id(),
                target=vocab.content_iri(self.customers.digest or _digest("")),
                what="consent",
                reason="asked for",
                by=_STEWARD,
                at=self.at(),
            )
