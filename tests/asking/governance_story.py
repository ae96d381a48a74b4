"""What followed on the story of `story.py`, told by hand: who judged, let pass, deployed, withdrew.

churn       registered: owner ada, tier 1, high risk, to be reviewed by the end of March
churn:1     at work in staging (ended later) and, unapproved, in production after churn:2
churn:2     validated by grace (who made it, and declares to be independent) and by vera (who did
            not); approved by grace; gate waived one requirement; deployed again over churn:1
flowers:2   follows flowers:1, and nobody judged that change
calls.csv   its consent is withdrawn as well; churn:2 is to be trained again
"""

from __future__ import annotations

from story import (
    ADA,
    CHURN_1,
    CHURN_2,
    FLOWERS,
    GRACE,
    IRIS,
    OTTO,
    RECORDS,
    Home,
    at,
    content,
    content_iri,
    record,
    small_run,
    uuid_of,
)

from provgraph import vocab
from provgraph.governance import (
    Assignment,
    DeploymentEnd,
    GateDecision,
    Judgement,
    Modification,
    Registration,
    Remediation,
    Response,
    Validation,
    Waiver,
    Withdrawal,
)
from provgraph.recordable import Record
from provgraph.records import Agent, Approval, Deployment, Entity, Generation, Observation, Usage

VERA = Agent(name="vera@acme.example")
DPO = Agent(name="dpo@acme.example")
CHURN = vocab.named_iri("model", "acme", "churn")
MODEL_1 = Entity(kind="model", digest=CHURN_1.digest)
MODEL_2 = Entity(kind="model", digest=CHURN_2.digest)
FLOWERS_2 = Entity(kind="model", digest=content("flowers-2.bin"), name="flowers", version="2")

# Every question about governance, as the tests ask it; what takes more than SPARQL is asked there too.
ASKED: tuple[tuple[str, dict[str, str]], ...] = (
    *(("Q18", {"model": name}) for name in ("churn:2", "churn:1", "flowers:1")),
    ("Q20", {"package": "numpy", "versions": "<2.1"}),
    ("Q20", {"base": "sentences:3.1"}),
    ("Q20", {"commit": "bbbbbbb"}),
    ("Q24", {}),
    ("Q24", {"since": str(at(2990)), "at": str(at(3400))}),
    *(("Q25", {"at": str(at(minutes))}) for minutes in (10, 70, 2960)),
    ("Q25", {"at": str(at(2980)), "named": "churn"}),
    ("Q25", {"at": str(at(2980)), "named": "churn:1", "stage": "production"}),
    ("Q25", {"at": str(at(100)), "stage": "staging"}),
    ("Q26", {}),
    ("Q26", {"since": str(at(2900)), "stage": "production"}),
    ("Q27", {}),
    ("Q27", {"at": str(at(3400))}),
    ("Q27", {"at": str(at(50_000))}),
    ("Q28", {}),
    ("Q28", {"substantial-only": "yes", "since": str(at(3000))}),
    ("Q29", {"model": "churn:2"}),
    ("Q30", {"model": "churn:2"}),
    ("Q31", {}),
    ("Q31", {"thing": "calls.csv", "since": str(at(3050))}),
    ("Q33", {"model": "churn:2"}),
    ("Q34", {"model": "churn:2"}),
    ("Q35", {"export": "churn.zip"}),
    ("Q36", {}),
    ("Q36", {"dataset": "calls.csv", "open-only": "yes"}),
)


def act(kind: str, number: int) -> str:
    return vocab.activity_iri(kind, uuid_of(number))


BEFORE_DEPLOYMENT: tuple[Record, ...] = (
    Registration(
        id=uuid_of(101),
        target=CHURN,
        owner=OTTO,
        project="churn",
        tier="2",
        by=GRACE,
        at=at(40),
    ),
    Registration(
        id=uuid_of(102),
        target=CHURN,
        owner=ADA,
        tier="1",
        risk_class="high-risk",
        review_by=at(43_200),
        by=GRACE,
        at=at(45),
    ),
    Validation(
        id=uuid_of(103),
        model=MODEL_2,
        by=GRACE,
        verdict="passed",
        meaning="I would deploy it",
        is_independent=True,
        at=at(46),
    ),
    Validation(
        id=uuid_of(104),
        model=MODEL_2,
        by=VERA,
        verdict="conditional",
        meaning="sound, tested on unseen data",
        is_independent=True,
        conditions="not for people over 60",
        report=Entity(kind="file", digest=content("report.pdf"), name="report.pdf"),
        valid_until=at(20_000),
        at=at(48),
    ),
    Waiver(
        id=uuid_of(105),
        model=MODEL_2,
        requirement="licence",
        profile="minimal",
        reason="the licence of holidays.csv is being asked for",
        by=VERA,
        expires=at(10_000),
        at=at(49),
    ),
    GateDecision(
        id=uuid_of(106),
        model=MODEL_2,
        profile="minimal",
        profile_version="1",
        stage="production",
        verdict="failed",
        judgements=(Judgement(requirement="licence", state="missing", reason="holidays.csv"),),
        ledger_size=14,
        at=at(48.5),
    ),
    GateDecision(
        id=uuid_of(107),
        model=MODEL_2,
        profile="minimal",
        profile_version="1",
        stage="production",
        verdict="waived",
        judgements=(
            Judgement(requirement="owner", state="met", evidence=(act("registration", 102),)),
            Judgement(
                requirement="licence",
                state="waived",
                reason="holidays.csv has no licence",
                waiver=act("waiver", 105),
            ),
        ),
        ledger_size=18,
        at=at(52),
    ),
)
AFTER_DEPLOYMENT: tuple[Record, ...] = (
    Deployment(
        id=uuid_of(110),
        model=MODEL_1,
        stage="staging",
        target="https://staging.acme.example/churn",
        by=ADA,
        at=at(55),
    ),
    Observation(
        id=uuid_of(111),
        model=MODEL_2,
        metric="accuracy",
        value=0.85,
        n=400,
        threshold=">= 0.9",
        threshold_met=False,
        window_start=at(60),
        window_end=at(1440),
        at=at(1441),
    ),
    Response(
        id=uuid_of(112),
        target=act("observation", 111),
        status="investigating",
        action="asked for the labels of the week",
        by=ADA,
        at=at(1500),
    ),
    GateDecision(
        id=uuid_of(113),
        model=MODEL_1,
        profile="minimal",
        profile_version="1",
        stage="production",
        verdict="failed",
        judgements=(Judgement(requirement="threshold", state="failed", reason="accuracy 0.88"),),
        ledger_size=24,
        at=at(2890),
    ),
    Deployment(
        id=uuid_of(114),
        model=MODEL_1,
        stage="production",
        target="https://api.acme.example/churn",
        by=ADA,
        at=at(2900),
        replaces=act("deployment", 7),
    ),
    Deployment(
        id=uuid_of(115),
        model=MODEL_2,
        stage="production",
        target="https://api.acme.example/churn",
        by=ADA,
        at=at(2950),
        on_approval=act("approval", 6),
    ),
    Approval(
        id=uuid_of(116),
        model=Entity(kind="model", digest=FLOWERS.digest),
        by=OTTO,
        meaning="pretty",
        at=at(2960),
    ),
    Deployment(
        id=uuid_of(117),
        model=Entity(kind="model", digest=FLOWERS.digest),
        stage="production",
        by=OTTO,
        at=at(2970),
        on_approval=act("approval", 116),
    ),
    Observation(
        id=uuid_of(118),
        model=Entity(kind="model", digest=FLOWERS.digest),
        deployment=act("deployment", 117),
        metric="accuracy",
        value=0.99,
        at=at(3000),
    ),
    Modification(
        id=uuid_of(119),
        model=MODEL_2,
        previous=content_iri("churn-1.bin"),
        is_substantial=True,
        is_predetermined=False,
        reason="a base model came in",
        by=VERA,
        at=at(3010),
    ),
    small_run(
        120,
        id=uuid_of(120),
        name="train",
        project="flowers",
        owner=OTTO,
        started_at=at(3020),
        ended_at=at(3030),
        parameters={"depth": 3},
        used=(Usage(entity=IRIS, role="train"),),
        generated=(Generation(entity=FLOWERS_2, role="model"),),
    ),
    Withdrawal(
        id=uuid_of(121),
        target=content_iri("calls.csv"),
        what="consent",
        scope="callers in Austria",
        reason="they asked for it",
        ground="GDPR Art. 7(3)",
        by=DPO,
        affected=(content_iri("churn-1.bin"), content_iri("churn-2.bin")),
        at=at(3100),
    ),
    Remediation(
        id=uuid_of(122),
        target=content_iri("churn-2.bin"),
        withdrawal=act("withdrawal", 121),
        state="retrain",
        reason="two weeks of work",
        due=at(30_000),
        by=ADA,
        at=at(3200),
    ),
    DeploymentEnd(
        id=uuid_of(123),
        target=act("deployment", 110),
        until=at(3300),
        reason="no use any more",
        by=ADA,
        at=at(3301),
    ),
    Assignment(
        id=uuid_of(124),
        target=content_iri("churn-2.bin"),
        agent=VERA,
        role="validator",
        valid_from=at(40),
        by=GRACE,
        at=at(3400),
    ),
)


def tell_governance(home: Home) -> None:
    """Record the story with what was decided, in the order in which it happened."""
    base = {each.id: each for each in RECORDS}
    for number in range(1, 6):
        record(home, base[uuid_of(number)])
    for each in (*BEFORE_DEPLOYMENT, base[uuid_of(6)], base[uuid_of(7)]):
        record(home, each)
    for each in (*AFTER_DEPLOYMENT, base[uuid_of(8)], base[uuid_of(9)]):
        record(home, each)
