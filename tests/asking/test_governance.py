"""Questions about governance over `governance_story.py`, row for row, and by a second SPARQL engine.

The expected rows are written by hand from the story. What nobody recorded (an approval, a gate
decision, a validation, an owner) has to stand there as missing: a row less would read as no problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rdflib
from governance_story import ASKED, CHURN, act, tell_governance
from rdflib.util import from_n3
from story import Home, at, content, content_iri, graphs_of, home_at, run_iri

from provgraph.query import catalogue
from provgraph.query.answer_json import native
from provgraph.service.asking import Reader, open_reader

# rdflib warns about its own calls.
pytestmark = pytest.mark.filterwarnings("ignore:Dataset.*deprecated:DeprecationWarning")

ADA, GRACE, VERA = "ada@acme.example", "grace@acme.example", "vera@acme.example"
OTTO, DPO = "otto@flowers.example", "dpo@acme.example"
API, STAGING = "https://api.acme.example/churn", "https://staging.acme.example/churn"
CHURN_1, CHURN_2 = content_iri("churn-1.bin"), content_iri("churn-2.bin")


def time(minutes: float) -> str:
    return at(minutes).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder: Path = tmp_path_factory.mktemp("governance") / "home"
    home = home_at(folder)
    tell_governance(home)
    return home


@pytest.fixture(scope="module")
def reader(home) -> Iterator[Reader]:
    with open_reader(home.settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def second_engine(reader) -> rdflib.Dataset:
    dataset = rdflib.Dataset(default_union=True)
    for graph in graphs_of(reader.ledger).values():
        dataset.parse(data=graph, format="nquads")
    return dataset


def ask(reader: Reader, name: str, columns: str = "", **values: str) -> list[Any]:
    """Answer with only the named columns, or with rows as mappings of what is known."""
    answer = reader.ask(name, {key.replace("_", "-"): value for key, value in values.items()})
    if columns:
        places = [answer.columns.index(column) for column in columns.split()]
        return [tuple(native(row[place]) for place in places) for row in answer.rows]
    return [
        {
            column: native(term)
            for column, term in zip(answer.columns, row, strict=True)
            if term is not None
        }
        for row in answer.rows
    ]


def _bound(reader: Reader, name: str, values: dict[str, str]) -> str:
    return catalogue.find(name).bind(values, resolve=reader.resolve)


@pytest.mark.parametrize(("name", "values"), ASKED)
def test_another_engine_gives_the_same_rows(reader, second_engine, name, values):
    text = _bound(reader, name, values)
    ours = sorted(
        repr(tuple(None if term is None else from_n3(term) for term in row))
        for row in reader.index.select(text).rows
    )
    assert ours == sorted(repr(tuple(row)) for row in second_engine.query(text))


# ---- Q18 -----------------------------------------------------------------------------------------------
def test_q18_who_signed_and_what_ties_them_to_the_model(reader):
    columns = "kind by verdict meaning tie declared signed"
    assert ask(reader, "Q18", columns, model="churn:2") == [
        ("Validation", GRACE, "passed", "I would deploy it", "made the model", True, time(46)),
        (
            "Validation",
            VERA,
            "conditional",
            "sound, tested on unseen data",
            "none recorded",
            True,
            time(48),
        ),
        ("Approval", GRACE, None, "fit for production in the EU", "made the model", None, time(50)),
    ]
    (_, vera, _) = ask(reader, "Q18", model="churn:2")
    assert [
        vera[name] for name in ("conditions", "report", "reportDigest", "validUntil", "act")
    ] == [
        "not for people over 60",
        content_iri("report.pdf"),
        str(content("report.pdf")),
        time(20_000),
        act("validation", 104),
    ]


def test_q18_of_a_model_that_nobody_judged_is_empty_and_says_what_that_means(reader):
    answer = reader.ask("Q18", {"model": "churn:1"})
    assert (answer.rows, answer.empty) == (
        (),
        "nobody is recorded to have validated or approved this model",
    )


# ---- Q24 -----------------------------------------------------------------------------------------------
def test_q24_silent_unobserved_and_unanswered(reader):
    columns = "state label stage owner deployedBy seen value observation deployment"
    found = ask(reader, "Q24", columns, since=str(at(2990)))
    assert found == [
        (
            "breach without response",
            "churn:2",
            "production",
            ADA,
            ADA,
            time(2880),
            0.78,
            act("observation", 8),
            act("deployment", 7),
        ),
        (
            "never observed",
            "churn:1",
            "production",
            ADA,
            ADA,
            None,
            None,
            None,
            act("deployment", 114),
        ),
        (
            "no threshold",
            "flowers:1",
            "production",
            None,
            OTTO,
            time(3000),
            None,
            None,
            act("deployment", 117),
        ),
        # Its own deployment was watched until 1440; what was seen at 2880 was of another one.
        (
            "silent",
            "churn:2",
            "production",
            ADA,
            ADA,
            time(1440),
            None,
            None,
            act("deployment", 115),
        ),
    ]


def test_q24_at_a_time_before_the_end_counts_what_has_ended_since(reader):
    columns = "state label stage deployment"
    found = ask(reader, "Q24", columns, at=str(at(3200)))
    assert found == [
        ("breach without response", "churn:2", "production", act("deployment", 7)),
        ("never observed", "churn:1", "production", act("deployment", 114)),
        ("never observed", "churn:1", "staging", act("deployment", 110)),
        ("no threshold", "flowers:1", "production", act("deployment", 117)),
    ]


# ---- Q25 -----------------------------------------------------------------------------------------------
def test_q25_before_anything_was_deployed(reader):
    answer = reader.ask("Q25", {"at": str(at(10))})
    assert (answer.rows, answer.empty.startswith("no deployment at this stage is recorded")) == (
        (),
        True,
    )


def test_q25_one_version_with_its_end_and_its_approval(reader):
    columns = (
        "label target from until endedBy by approval approvedBy meaning approvedAt fit deployment"
    )
    assert ask(reader, "Q25", columns, at=str(at(70))) == [
        (
            "churn:2",
            API,
            time(60),
            time(2900),
            act("deployment", 114),
            ADA,
            act("approval", 6),
            GRACE,
            "fit for production in the EU",
            time(50),
            "by who made the model",
            act("deployment", 7),
        )
    ]


def test_q25_overlapping_deployments_are_all_there(reader):
    columns = "label target from until by approval fit"
    assert ask(reader, "Q25", columns, at=str(at(2980))) == [
        ("churn:1", API, time(2900), None, ADA, None, "none named"),
        ("churn:2", API, time(2950), None, ADA, act("approval", 6), "by who made the model"),
        (
            "flowers:1",
            None,
            time(2970),
            None,
            OTTO,
            act("approval", 116),
            "by who made the model",
        ),
    ]
    assert [row[0] for row in ask(reader, "Q25", "label", at=str(at(2980)), named="churn")] == [
        "churn:1",
        "churn:2",
    ]
    assert ask(reader, "Q25", "label", at=str(at(2980)), named="churn:1") == [("churn:1",)]
    assert ask(reader, "Q25", "label", at=str(at(2980)), named="chur") == []


def test_q25_the_moment_of_a_change_belongs_to_the_new_one(reader):
    assert ask(reader, "Q25", "label", at=str(at(2900))) == [("churn:1",)]
    assert ask(reader, "Q25", "label", at=str(at(2899.99))) == [("churn:2",)]


def test_q25_of_a_stage_whose_deployment_has_ended(reader):
    (row,) = ask(reader, "Q25", at=str(at(100)), stage="staging")
    assert (row["until"], row["endedBy"]) == (time(3300), act("deployment-end", 123))
    assert ask(reader, "Q25", at=str(at(3300)), stage="staging") == []


# ---- Q26 -----------------------------------------------------------------------------------------------
def test_q26_failures_waivers_and_promotions_that_no_gate_saw(reader):
    columns = "problem label stage deployed deployedBy requirement state waivedBy expires standing"
    assert ask(reader, "Q26", columns) == [
        ("no gate decision", "churn:1", "staging", time(55), ADA, *[None] * 5),
        (
            "waived",
            "churn:2",
            "production",
            time(60),
            ADA,
            "licence",
            "waived",
            VERA,
            time(10_000),
            "in force when deployed",
        ),
        (
            "failed",
            "churn:1",
            "production",
            time(2900),
            ADA,
            "threshold",
            "failed",
            None,
            None,
            None,
        ),
        (
            "waived",
            "churn:2",
            "production",
            time(2950),
            ADA,
            "licence",
            "waived",
            VERA,
            time(10_000),
            "in force when deployed",
        ),
        ("no gate decision", "flowers:1", "production", time(2970), OTTO, *[None] * 5),
    ]


def test_q26_since_a_time_and_at_a_stage(reader):
    found = ask(reader, "Q26", "label deployed", since=str(at(2950)), stage="production")
    assert found == [("churn:2", time(2950)), ("flowers:1", time(2970))]


# ---- Q27 -----------------------------------------------------------------------------------------------
def test_q27_every_model_with_what_is_known_and_what_is_not(reader):
    columns = "label project owner basis tier riskClass stages validated verdict validatedBy due"
    rows = ask(reader, "Q27", columns, at=str(at(50_000)))
    registered = ("churn", ADA, "registered", "1", "high-risk")
    assert rows == [
        ("churn:1", *registered, "production", None, None, None, "never validated"),
        (
            "churn:2",
            *registered,
            "production",
            time(48),
            "conditional",
            VERA,
            "overdue",
        ),
        (
            "flowers:1",
            "flowers",
            OTTO,
            "made it",
            None,
            None,
            "production",
            None,
            None,
            None,
            "never validated",
        ),
        ("flowers:2", "flowers", OTTO, "made it", *[None] * 6, "never validated"),
        # Nobody answers for the base model: the owner is not known, and the row is there.
        ("sentences:3.1", *[None] * 9, "never validated"),
    ]


def test_q27_as_things_stood_at_a_time(reader):
    at_first = {row[0]: row[1:] for row in ask(reader, "Q27", "label stages due", at=str(at(3200)))}
    assert at_first["churn:1"] == ("production, staging", "never validated")
    assert at_first["churn:2"] == ("production", "in time")


def test_q27_an_owner_is_not_known_where_nobody_is(reader):
    answer = reader.ask("Q27", {}, with_proofs=True)
    assert answer.proofs is not None
    place = answer.columns.index("owner")
    assert [row[place] for row in answer.rows].count(None) == 1


# ---- Q28 -----------------------------------------------------------------------------------------------
def test_q28_judged_and_unjudged_changes(reader):
    columns = "label previous assessed substantial predetermined reason by model act"
    expected = [
        (
            "churn:2",
            "churn:1",
            "yes",
            True,
            False,
            "a base model came in",
            VERA,
            CHURN_2,
            act("modification", 119),
        ),
        (
            "flowers:2",
            "flowers:1",
            "not assessed",
            *[None] * 4,
            content_iri("flowers-2.bin"),
            None,
        ),
    ]
    assert ask(reader, "Q28", columns) == expected
    assert ask(reader, "Q28", columns, substantial_only="yes", since=str(at(3010))) == expected
    assert ask(reader, "Q28", columns, since="2100-01-01") == []


# ---- Q31 -----------------------------------------------------------------------------------------------
def test_q31_superseded_retracted_and_withdrawn(reader):
    columns = "at what thing label by reason ground standing act"
    calls = content_iri("calls.csv")
    why = "collected without notice to the callers"
    expected = [
        (
            time(45),
            "superseded",
            act("registration", 101),
            None,
            GRACE,
            None,
            None,
            None,
            act("registration", 102),
        ),
        (
            time(2900),
            "superseded",
            act("deployment", 7),
            API,
            ADA,
            None,
            None,
            None,
            act("deployment", 114),
        ),
        (time(3000), "retracted", calls, "calls.csv", GRACE, why, None, None, act("retraction", 9)),
        (
            time(3100),
            "consent withdrawn",
            calls,
            "calls.csv",
            DPO,
            "they asked for it",
            "GDPR Art. 7(3)",
            None,
            act("withdrawal", 121),
        ),
    ]
    assert ask(reader, "Q31", columns) == expected
    assert ask(reader, "Q31", columns, thing="calls.csv") == expected[2:]
    assert ask(reader, "Q31", columns, since=str(at(3050))) == expected[3:]


# ---- Q34 -----------------------------------------------------------------------------------------------
def test_q34_every_record_behind_a_model_and_about_it(reader):
    found = ask(reader, "Q34", "kind about ontologyVersion recordVersion", model="churn:2")
    runs = [row[1] for row in found if row[0] == "RunRecord"]
    assert runs == [run_iri(1), run_iri(4)]
    assert {row[2:] for row in found} == {("1.0", 1)}
    assert [row[0] for row in found] == [
        "EnvironmentRecord",
        "SourceRecord",
        "RunRecord",
        "EnvironmentRecord",
        "SourceRecord",
        "RunRecord",
        "RegistrationRecord",
        "RegistrationRecord",
        "ValidationRecord",
        "ValidationRecord",
        "WaiverRecord",
        "GateDecisionRecord",
        "GateDecisionRecord",
        "ApprovalRecord",
        "DeploymentRecord",
        "ObservationRecord",
        "DeploymentRecord",
        "ModificationRecord",
        "ObservationRecord",
    ]
    positions = [row[0] for row in ask(reader, "Q34", "position", model="churn:2")]
    assert positions == sorted(positions)
    assert CHURN.endswith("/acme/churn")
