"""A home in which much is said of the data, some of it wrong or missing: for the questions about data.

    north.csv (form 7) ─┐                      ┌─ train-1 ── screen:1 (commercial use)
    south.csv (bills) ──┼─ prepare: merge, ────┤
    postcodes (by URI) ─┘  clean, features,    └─ test-1 (tested on by both versions)
                           split
    train-1 ── again ── train-2 ── screen:2 (tested on train-2 too, and on fewer slices)

Later the steward describes the postcodes, a newer north.csv is measured to be worse, consent form 7 is
withdrawn, and monitoring sees screen:2 drop.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from story import ADA, GRACE, Home, at, content, record, uuid_of

from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.data_facts import IntendedUse, LegalBasis
from provgraph.recordable import Record
from provgraph.records import (
    Agent,
    Description,
    Entity,
    Evaluation,
    Feature,
    Filter,
    Generation,
    Labelling,
    Observation,
    Quality,
    Retraction,
    Run,
    SourceCode,
    Step,
    Usage,
)

ROSE, OTTO = Agent(name="rose@acme.example"), Agent(name="otto@acme.example")

NORTH = Entity(
    kind="dataset",
    digest=content("north.csv"),
    name="north.csv",
    rows=70,
    source="https://north.example/export",
    licence="CC-BY-4.0",
    collected="2025-01/2025-03",
    collector="North clinic",
    collection_method="export of the scanner",
    has_personal_data=True,
    legal_bases=(
        LegalBasis(
            basis="consent",
            purpose="care",
            expires_at=datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
            reference="form 7",
        ),
    ),
)
SOUTH = Entity(
    kind="dataset",
    digest=content("south.csv"),
    name="south.csv",
    rows=40,
    licence="CC-BY-NC-4.0",
    use_terms="not for insurers",
    vendor="South clinic",
    legal_bases=(
        LegalBasis(
            basis="Art. 6(1)(b) GDPR",
            purpose="billing",
            given_at=datetime(2026, 2, 1, tzinfo=UTC),
            expires_at=datetime(2026, 4, 1, tzinfo=UTC),
        ),
    ),
)
POSTCODES = Entity(kind="dataset", uri="s3://acme/postcodes.csv")
NEWER_NORTH = Entity(kind="dataset", digest=content("north.csv, May"), name="north.csv")


def table(name: str, kind: str = "dataset") -> Entity:
    return Entity(kind=kind, digest=content(f"data story {name}"), name=name)


MERGED, CLEAN, FEATURES = table("merged"), table("clean"), table("features", "feature-set")
TRAIN_1, TRAIN_2, TEST_1 = table("train-1"), table("train-2"), table("test-1")


def model(version: str, **more: object) -> Entity:
    digest = content(f"screen {version}")
    return Entity(kind="model", digest=digest, name="screen", version=version, **more)  # type: ignore[arg-type]


SCREEN_1 = model("1", intended_use=IntendedUse(purpose="triage", is_commercial=True))
SCREEN_2 = model("2")
TENURE_1 = Feature(
    name="tenure",
    version="1",
    definition="months since signup",
    reason="known to matter",
    by=ADA,
    columns=("signup", "today"),
    source=CLEAN,
    made=FEATURES,
)
TENURE_2 = Feature(name="tenure", version="2", definition="months since the first invoice")
CODE = SourceCode(commit="c" * 40, is_dirty=True, diff_digest=content("diff"))

PREPARE = Run(
    id=uuid_of(101),
    name="prepare",
    project="screen",
    owner=ADA,
    status="completed",
    started_at=at(0),
    ended_at=at(5),
    source_code=CODE,
    used=(
        Usage(entity=NORTH, role="raw"),
        Usage(entity=SOUTH, role="raw"),
        Usage(entity=POSTCODES, role="lookup"),
    ),
    steps=(
        Step(
            number=1,
            parent=None,
            name="merge",
            started_at=at(1),
            used=(Usage(entity=NORTH), Usage(entity=SOUTH), Usage(entity=POSTCODES)),
            generated=(Generation(entity=MERGED),),
            rows_in=110,
            rows_out=100,
        ),
        Step(
            number=2,
            parent=None,
            name="clean",
            started_at=at(2),
            used=(Usage(entity=MERGED),),
            generated=(Generation(entity=CLEAN),),
            rows_in=100,
            rows_out=90,
            filters=(
                Filter(condition="age < 0", reason="typing errors", rows_removed=6, by=GRACE),
                Filter(condition="repeated", rows_removed=4),
            ),
        ),
        Step(
            number=3,
            parent=None,
            name="features",
            started_at=at(3),
            used=(Usage(entity=CLEAN),),
            generated=(Generation(entity=FEATURES),),
            features=(TENURE_1,),
        ),
        Step(
            number=4,
            parent=None,
            name="split",
            started_at=at(4),
            used=(Usage(entity=FEATURES),),
            generated=(Generation(entity=TRAIN_1), Generation(entity=TEST_1)),
            rows_in=90,
            rows_out=90,
        ),
    ),
    labellings=(
        Labelling(
            data=NORTH,
            by=(ROSE, OTTO),
            guideline="Reading scans",
            guideline_version="2.1",
            agreement=0.83,
            agreement_method="Cohen's kappa",
            count=70,
        ),
    ),
    qualities=(
        Quality(
            data=NORTH,
            metric="completeness",
            value=0.99,
            column="age",
            threshold=">= 0.95",
            threshold_met=True,
            at=at(1),
        ),
    ),
)


def evaluation(
    of: Entity, data: Entity, value: float, minutes: float, **more: object
) -> Evaluation:
    fields: dict[str, object] = {"model": of, "data": data, "metric": "accuracy", "value": value}
    return Evaluation(**(fields | {"at": at(minutes)} | more))  # type: ignore[arg-type]


FIRST = Run(
    id=uuid_of(102),
    name="train",
    project="screen",
    owner=ADA,
    status="completed",
    started_at=at(10),
    ended_at=at(12),
    features=(Feature(name="tenure", version="1"),),
    used=(Usage(entity=TRAIN_1, role="train"), Usage(entity=TEST_1, role="test")),
    generated=(Generation(entity=SCREEN_1, role="model"),),
    evaluations=(
        evaluation(SCREEN_1, TEST_1, 0.9, 11, n=20, threshold=">= 0.85", threshold_met=True),
        evaluation(SCREEN_1, TEST_1, 0.8, 11, n=7, slice="age >= 60"),
    ),
)
AGAIN = Run(
    id=uuid_of(103),
    name="prepare again",
    project="screen",
    owner=ADA,
    status="completed",
    started_at=at(20),
    ended_at=at(21),
    features=(TENURE_2,),
    used=(Usage(entity=TRAIN_1, role="raw"),),
    generated=(Generation(entity=TRAIN_2),),
)
SECOND = Run(
    id=uuid_of(104),
    name="train",
    project="screen",
    owner=GRACE,
    status="completed",
    started_at=at(30),
    ended_at=at(32),
    features=(Feature(name="tenure"),),
    used=(Usage(entity=TRAIN_2, role="train"), Usage(entity=TEST_1, role="test")),
    generated=(Generation(entity=SCREEN_2, role="model"),),
    evaluations=(
        evaluation(SCREEN_2, TEST_1, 0.95, 31, n=20),
        evaluation(SCREEN_2, TRAIN_2, 0.99, 31, n=70),
    ),
)
POSTCODES_LATER = Description(
    id=uuid_of(105),
    target="s3://acme/postcodes.csv",
    said=Entity(licence="MIT", has_personal_data=False, source="the post office"),
    by=GRACE,
    at=at(100),
)
NORTH_MEASURED = Run(
    id=uuid_of(106),
    name="receive",
    project="screen",
    owner=ADA,
    status="completed",
    started_at=at(200),
    ended_at=at(201),
    used=(Usage(entity=NEWER_NORTH, role="raw"),),
    qualities=(
        Quality(
            data=NEWER_NORTH,
            metric="completeness",
            value=0.71,
            column="age",
            threshold=">= 0.95",
            threshold_met=False,
            at=at(200),
        ),
    ),
)
BASIS = next(
    row.iri
    for row in convert(
        PREPARE,
        record_id="any",
        context=Context(namespace="acme", software_version="", recorded_at=at(0), previous={}),
    ).names
    if row.name == "form 7"
)
FORM_7_WITHDRAWN = Retraction(
    id=uuid_of(107),
    target=BASIS,
    reason="withdrawn by the patients",
    by=GRACE,
    at=at(1000),
)
DROP = Observation(
    id=uuid_of(108),
    model=replace(SCREEN_2, name=None, version=None),
    metric="accuracy",
    value=0.6,
    window_start=at(1000),
    window_end=at(2000),
    at=at(2001),
)

RECORDS: tuple[Record, ...] = (
    PREPARE,
    FIRST,
    AGAIN,
    SECOND,
    POSTCODES_LATER,
    NORTH_MEASURED,
    FORM_7_WITHDRAWN,
    DROP,
)


def tell(home: Home) -> None:
    """Record the whole story."""
    for each in RECORDS:
        record(home, each)


# Every question about data, of things that the story has an answer for.
ASKED: tuple[tuple[str, dict[str, str]], ...] = (
    ("Q03", {"dataset": "train-1"}),
    *(("Q04", {"model": name}) for name in ("screen:1", "screen:2")),
    *(("Q05", {"model": "screen:1", "at": f"2026-0{month}-01T12:00:00Z"}) for month in (1, 3, 5)),
    *(("Q06", {"model": name}) for name in ("screen:1", "train-2")),
    ("Q07", {"model": "screen:1"}),
    ("Q08", {"feature": "tenure"}),
    ("Q09", {"dataset": "screen:1"}),
    ("Q14", {"run": "screen:1"}),
    *(("Q16", {"model": name}) for name in ("screen:1", "screen:2")),
    *(("Q17", {"model": name}) for name in ("screen:1", "screen:2")),
    ("Q23", {"dataset": "north.csv", "model": "screen:1"}),
)
