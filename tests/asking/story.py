"""A small home that tells a whole story: two sources, preparation, three attempts, and what followed.

Every fact is written here by hand (nothing is probed), so that tests can state exact answers:

    customers.csv ─┐                    ┌─ train.parquet ─┬─ train, attempt 1: failed
    calls.csv ─────┴─ prepare: clean, ──┤   (760 rows)    ├─ train, attempt 2: churn:1
        features: encode, split         │                 └─ train, attempt 3: churn:2 (with a base
                                        └─ test.parquet        model, another environment and code)
                                            (190 rows)

churn:2 is approved, deployed and observed to drop; calls.csv is withdrawn. Another project has a
flower model, which no answer about churn may mention.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from provgraph import vocab
from provgraph.capture.series import Points
from provgraph.digests import Digest, sha256_bytes
from provgraph.ledger.sqlite import Ledger
from provgraph.recordable import Record
from provgraph.records import (
    Accelerator,
    Agent,
    Approval,
    Deployment,
    Entity,
    Environment,
    Evaluation,
    Filter,
    Generation,
    Invocation,
    Missing,
    Note,
    Observation,
    Package,
    Retraction,
    Run,
    Series,
    SourceCode,
    Step,
    Usage,
)
from provgraph.service.recording import write_record
from provgraph.settings import Settings, load

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)

ADA = Agent(name="ada@acme.example")
GRACE = Agent(name="grace@acme.example")
OTTO = Agent(name="otto@flowers.example")


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def content(name: str) -> Digest:
    """The digest of a made-up file: a test never needs its bytes."""
    return Digest("sha256", hashlib.sha256(name.encode()).hexdigest())


def content_iri(name: str) -> str:
    return vocab.content_iri(content(name))


def uuid_of(number: int) -> str:
    return f"019c8a00-0000-7000-8000-{number:012d}"


def run_iri(number: int) -> str:
    return vocab.run_iri(uuid_of(number))


# ---- things --------------------------------------------------------------------------------------
CUSTOMERS = Entity(
    kind="dataset",
    digest=content("customers.csv"),
    name="customers.csv",
    location="/data/customers.csv",
    media_type="text/csv",
    size_bytes=81_234,
    rows=1000,
    columns=8,
    source="https://data.example/customers",
    licence="CC-BY-4.0",
    collected="2025-01/2025-06",
    collector="Acme CRM team",
    consent="contract",
)
CALLS = Entity(
    kind="dataset",
    digest=content("calls.csv"),
    name="calls.csv",
    location="/data/calls.csv",
    rows=5000,
    source="the telephone system",
    licence="internal use only",
)
CLEAN = Entity(kind="dataset", digest=content("clean.parquet"), name="clean.parquet", rows=950)
FEATURES = Entity(
    kind="feature-set",
    digest=content("features.parquet"),
    name="churn-features",
    version="1",
    rows=950,
    columns=12,
)
TRAIN = Entity(kind="dataset", digest=content("train.parquet"), name="train.parquet", rows=760)
TEST = Entity(kind="dataset", digest=content("test.parquet"), name="test.parquet", rows=190)
BASE = Entity(
    kind="model",
    digest=content("sentences.bin"),
    name="sentences",
    version="3.1",
    source="https://models.example/sentences",
    licence="Apache-2.0",
    vendor="Example Labs",
)
CHURN_1 = Entity(kind="model", digest=content("churn-1.bin"), name="churn", version="1")
CHURN_2 = Entity(kind="model", digest=content("churn-2.bin"), name="churn", version="2")
UNPINNED = Entity(
    kind="dataset",
    uri="s3://acme/holidays.csv",
    missing=(Missing(field="digest", reason="named by URI only; the bytes were not fetched"),),
)
IRIS = Entity(kind="dataset", digest=content("iris.csv"), name="iris.csv", rows=150)
FLOWERS = Entity(kind="model", digest=content("flowers.bin"), name="flowers", version="1")

ENVIRONMENT_A = Environment(
    python="3.11.9",
    implementation="CPython",
    operating_system="Debian 12",
    kernel="6.1.0",
    architecture="x86_64",
    cpu="Example CPU",
    cpu_count=8,
    memory_bytes=34359738368,
    packages=(
        Package(name="numpy", version="2.0.0"),
        Package(name="churnlib", version="0.4", origin="editable", origin_url="/src/churnlib"),
    ),
    missing=(Missing(field="accelerators", reason="no NVML on this machine"),),
)
ENVIRONMENT_B = Environment(
    python="3.11.9",
    implementation="CPython",
    operating_system="Debian 12",
    kernel="6.1.0",
    architecture="x86_64",
    cpu="Example CPU",
    cpu_count=8,
    memory_bytes=34359738368,
    accelerators=(Accelerator(name="Example GPU", memory_bytes=85899345920),),
    driver_version="550.1",
    cuda_version="12.4",
    packages=(
        Package(name="numpy", version="2.1.0"),
        Package(name="churnlib", version="0.4", origin="editable", origin_url="/src/churnlib"),
    ),
)
SOURCE_A = SourceCode(
    repository="https://git.example/churn",
    commit="a" * 40,
    branch="main",
    is_dirty=False,
    untracked_count=0,
)
SOURCE_B = SourceCode(
    repository="https://git.example/churn",
    commit="b" * 40,
    branch="wider",
    is_dirty=True,
    diff_digest=content("diff"),
    untracked_count=0,
)


def loss_points() -> Points:
    points = Points()
    for step, value in enumerate((0.9, 0.4, 0.25)):
        points.append(step=step, at_ms=1772352000000 + step, value=value)
    return points


LOSS = loss_points().encode()


def invocation(script: str) -> Invocation:
    return Invocation(
        command=("python", script, "--seed", "7"),
        entry_script=f"/src/churn/{script}",
        entry_script_digest=content(script),
        working_folder="/src/churn",
        host="trainer-1",
        user="ada",
        process=4711,
        variables={"OMP_NUM_THREADS": "8"},
        seeds={"numpy": "7", "random": "7"},
        ci_system="gitlab",
        ci_job="https://git.example/churn/-/jobs/99",
        missing=(Missing(field="container", reason="not in a container"),),
    )


# ---- records, in the order of the ledger ---------------------------------------------------------
PREPARE = Run(
    id=uuid_of(1),
    name="prepare",
    project="churn",
    owner=ADA,
    status="completed",
    started_at=at(0),
    ended_at=at(5),
    duration_s=300.0,
    invocation=invocation("prepare.py"),
    environment=ENVIRONMENT_A,
    source_code=SOURCE_A,
    used=(Usage(entity=CUSTOMERS, role="raw"), Usage(entity=CALLS, role="raw")),
    steps=(
        Step(
            number=1,
            parent=None,
            name="clean",
            parameters={"drop_na": True},
            started_at=at(1),
            ended_at=at(2),
            used=(Usage(entity=CUSTOMERS, role="raw"), Usage(entity=CALLS, role="raw")),
            generated=(Generation(entity=CLEAN, role="clean"),),
            rows_in=1000,
            rows_out=950,
            filters=(Filter(condition="age < 0", reason="typing errors", rows_removed=50),),
        ),
        Step(
            number=2,
            parent=None,
            name="features",
            started_at=at(2),
            ended_at=at(4),
            used=(Usage(entity=CLEAN, role="clean"),),
            generated=(Generation(entity=FEATURES, role="features"),),
        ),
        Step(
            number=3,
            parent=2,
            name="encode",
            parameters={"method": "one-hot"},
            started_at=at(3),
            ended_at=at(3.5),
        ),
        Step(
            number=4,
            parent=None,
            name="split",
            parameters={"share": 0.2},
            started_at=at(4),
            ended_at=at(5),
            used=(Usage(entity=FEATURES, role="features"),),
            generated=(
                Generation(entity=TRAIN, role="train"),
                Generation(entity=TEST, role="test"),
            ),
        ),
    ),
)
FAILED = Run(
    id=uuid_of(2),
    name="train",
    project="churn",
    experiment="spring",
    owner=ADA,
    status="failed",
    reason="ValueError: learning rate must be positive (in fit, train.py:12)",
    started_at=at(10),
    ended_at=at(11),
    duration_s=60.0,
    invocation=invocation("train.py"),
    environment=ENVIRONMENT_A,
    source_code=SOURCE_A,
    parameters={"depth": 4, "rate": -0.1},
    used=(Usage(entity=TRAIN, role="train"),),
)
SECOND = Run(
    id=uuid_of(3),
    name="train",
    project="churn",
    experiment="spring",
    owner=ADA,
    plan="https://wiki.acme.example/churn-plan",
    status="completed",
    started_at=at(20),
    ended_at=at(25),
    duration_s=300.0,
    invocation=invocation("train.py"),
    environment=ENVIRONMENT_A,
    source_code=SOURCE_A,
    parameters={"depth": 6, "rate": 0.1},
    metrics={"accuracy": 0.88},
    used=(Usage(entity=TRAIN, role="train"), Usage(entity=TEST, role="test")),
    generated=(Generation(entity=CHURN_1, role="model"),),
    evaluations=(
        Evaluation(
            model=CHURN_1,
            data=TEST,
            metric="accuracy",
            value=0.88,
            n=190,
            threshold=">= 0.9",
            threshold_met=False,
            at=at(24),
        ),
    ),
)
THIRD = Run(
    id=uuid_of(4),
    name="train",
    project="churn",
    experiment="spring",
    owner=GRACE,
    plan="https://wiki.acme.example/churn-plan",
    status="completed",
    started_at=at(30),
    ended_at=at(36),
    duration_s=360.0,
    invocation=invocation("train.py"),
    environment=ENVIRONMENT_B,
    source_code=SOURCE_B,
    parameters={"depth": 8, "rate": 0.1},
    series=(
        Series(
            name="loss",
            first=0.9,
            last=0.25,
            minimum=0.25,
            maximum=0.9,
            count=3,
            attachment=sha256_bytes(LOSS),
        ),
    ),
    tags={"tier": "gold"},
    used=(
        Usage(entity=TRAIN, role="train"),
        Usage(entity=BASE, role="base-model"),
        Usage(entity=UNPINNED, role="lookup"),
        Usage(entity=TEST, role="test"),
    ),
    generated=(Generation(entity=CHURN_2, role="model"),),
    evaluations=(
        Evaluation(
            model=CHURN_2,
            data=TEST,
            metric="accuracy",
            value=0.925,
            interval=(0.89, 0.95),
            interval_level=0.95,
            interval_method="bootstrap, 1000 resamples",
            n=190,
            threshold=">= 0.9",
            threshold_met=True,
            implementation="sklearn.metrics.accuracy_score",
            at=at(35),
        ),
        Evaluation(
            model=CHURN_2,
            data=TEST,
            metric="accuracy",
            value=0.84,
            n=40,
            slice="age >= 60",
            threshold=">= 0.85",
            threshold_met=False,
            test="exact binomial, p = 0.04",
            at=at(35),
        ),
    ),
    notes=(Note(text="chosen: best on the whole", at=at(36)),),
)
OTHER = Run(
    id=uuid_of(5),
    name="train",
    project="flowers",
    experiment="autumn",
    owner=OTTO,
    status="completed",
    started_at=at(40),
    ended_at=at(41),
    duration_s=60.0,
    environment=ENVIRONMENT_A,
    parameters={"depth": 2},
    used=(Usage(entity=IRIS, role="train"),),
    generated=(Generation(entity=FLOWERS, role="model"),),
)
APPROVAL = Approval(
    id=uuid_of(6),
    model=Entity(kind="model", digest=CHURN_2.digest),
    by=GRACE,
    meaning="fit for production in the EU",
    stage="production",
    at=at(50),
)
DEPLOYMENT = Deployment(
    id=uuid_of(7),
    model=Entity(kind="model", digest=CHURN_2.digest),
    stage="production",
    target="https://api.acme.example/churn",
    by=ADA,
    at=at(60),
    on_approval=vocab.activity_iri("approval", uuid_of(6)),
)
OBSERVATION = Observation(
    id=uuid_of(8),
    model=Entity(kind="model", digest=CHURN_2.digest),
    deployment=vocab.activity_iri("deployment", uuid_of(7)),
    metric="accuracy",
    value=0.78,
    n=500,
    threshold=">= 0.9",
    threshold_met=False,
    window_start=at(1440),
    window_end=at(2880),
    at=at(2881),
)
RETRACTION = Retraction(
    id=uuid_of(9),
    target=content_iri("calls.csv"),
    reason="collected without notice to the callers",
    by=GRACE,
    at=at(3000),
)

RECORDS: tuple[Record, ...] = (
    PREPARE,
    FAILED,
    SECOND,
    THIRD,
    OTHER,
    APPROVAL,
    DEPLOYMENT,
    OBSERVATION,
    RETRACTION,
)
# Two environments and two states of source code are records of their own.
LEDGER_SIZE = len(RECORDS) + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A home with its settings; `environ` is what a process needs to find it."""

    settings: Settings
    environ: dict[str, str]

    @property
    def folder(self) -> Path:
        return self.settings.home


def home_at(folder: Path) -> Home:
    environ = {"PROVGRAPH_HOME": str(folder), "PROVGRAPH_NAMESPACE": "acme"}
    return Home(settings=load(environ), environ=environ)


def record(home: Home, each: Record) -> int:
    """Record one fact as `provgraph.run` would; return its place in the ledger."""
    attachments = {sha256_bytes(LOSS): LOSS} if each is THIRD else {}
    return write_record(home.settings, each, record_id=each.id, attachments=attachments).position


def tell(home: Home) -> None:
    """Record the whole story."""
    for each in RECORDS:
        record(home, each)


def small_run(number: int, **more: object) -> Run:
    """One run of many alike, for tests that need size and no story."""
    fields: dict[str, object] = {
        "id": uuid_of(1_000 + number),
        "name": "small",
        "project": "many",
        "owner": ADA,
        "status": "completed",
        "started_at": at(number),
        "ended_at": at(number + 0.5),
        "parameters": {"number": number, "rate": 0.1},
        "used": (Usage(entity=_numbered("dataset", number - 1), role="train"),),
        "generated": (Generation(entity=_numbered("dataset", number), role="table"),),
    }
    return Run(**(fields | more))  # type: ignore[arg-type]


def _numbered(kind: str, number: int) -> Entity:
    return Entity(kind=kind, digest=content(f"{kind} {number}"), name=f"part-{number}")


def graphs_of(ledger: Ledger) -> dict[str, bytes]:
    """Every graph of a ledger, by name."""
    return {each.iri: each.graph_nq for each in ledger.records()}
