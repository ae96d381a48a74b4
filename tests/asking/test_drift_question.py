"""Q21: verdicts with their ranked candidates, and breaches on which there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import rdflib
from rdflib.util import from_n3
from story import ADA, at, content_iri, graphs_of, home_at, record, tell, uuid_of

from provgraph import vocab
from provgraph.digests import sha256_bytes
from provgraph.query import catalogue
from provgraph.query.answer_json import native
from provgraph.records import Entity, Observation
from provgraph.service.asking import Reader, open_reader
from provgraph.service.recording import write_record
from provgraph.verdicts import DriftCandidate, DriftVerdict

# rdflib warns about its own calls.
pytestmark = pytest.mark.filterwarnings("ignore:Dataset.*deprecated:DeprecationWarning")

DETAILS = b'{"evidence": []}'
JUDGED = vocab.activity_iri("observation", uuid_of(901))


def observation(number: int, *, value: float, met: bool) -> Observation:
    return Observation(
        id=uuid_of(number),
        model=Entity(kind="model", name="churn", version="2"),
        metric="accuracy",
        value=value,
        threshold=">= 0.9",
        threshold_met=met,
        at=at(5000 + number),
    )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder: Path = tmp_path_factory.mktemp("drift") / "home"
    home = home_at(folder)
    tell(home)
    churn = Entity(kind="model", digest=None, uri=content_iri("churn-2.bin"))
    for number, value, met in ((900, 0.95, True), (901, 0.80, False), (902, 0.78, False)):
        told = observation(number, value=value, met=met)
        record(home, Observation(**{**_fields(told), "model": churn}))
    verdict = DriftVerdict(
        id=uuid_of(910),
        outcome="ORIGIN",
        summary="It began in data quality",
        before=vocab.activity_iri("observation", uuid_of(900)),
        after=JUDGED,
        metric="accuracy",
        usual=0.95,
        value=0.80,
        candidates=(
            DriftCandidate(
                rank=1,
                category="data quality",
                status="hypothesis",
                confidence=0.84,
                ranker_share=0.8,
                rule_share=0.7,
                subjects=(content_iri("customers.csv"),),
                factor="train:used.customers",
            ),
            DriftCandidate(
                rank=2,
                category="code",
                status="hypothesis",
                confidence=0.1,
                ranker_share=0.1,
                rule_share=0.2,
                factor="train:code",
            ),
        ),
        details=sha256_bytes(DETAILS),
        ledger_size=20,
        root_hash="sha256:" + "00" * 32,
        engine="provgraph 0.1.0",
        by=ADA,
        at=at(9000),
    )
    write_record(
        home.settings,
        verdict,
        record_id=verdict.id,
        attachments={verdict.details: DETAILS},
    )
    with open_reader(home.settings) as opened:
        yield opened


def _fields(told: Observation) -> dict[str, object]:
    return {name: getattr(told, name) for name in told.__dataclass_fields__}


def ask(reader: Reader, of: str, columns: str) -> list[tuple[object, ...]]:
    answer = reader.ask("Q21", {"of": of})
    places = [answer.columns.index(column) for column in columns.split()]
    return [tuple(native(row[place]) for place in places) for row in answer.rows]


def test_the_candidates_of_a_verdict_stand_in_their_order_with_what_changed(reader: Reader) -> None:
    columns = "outcome rank category status confidence factor changed after"
    assert ask(reader, JUDGED, columns) == [
        (
            "ORIGIN",
            1,
            "data quality",
            "hypothesis",
            0.84,
            "train:used.customers",
            content_iri("customers.csv"),
            JUDGED,
        ),
        ("ORIGIN", 2, "code", "hypothesis", 0.1, "train:code", None, JUDGED),
    ]


def test_of_a_model_a_breach_without_a_verdict_is_listed_as_not_analysed(reader: Reader) -> None:
    found = ask(reader, content_iri("churn-2.bin"), "outcome after")
    not_judged = vocab.activity_iri("observation", uuid_of(902))
    assert ("not analysed", not_judged) in found
    assert ("ORIGIN", JUDGED) in found
    # What met its threshold is nothing to explain.
    assert vocab.activity_iri("observation", uuid_of(900)) not in {after for _, after in found}


def test_no_rows_do_not_say_that_nothing_drifted(reader: Reader) -> None:
    answer = reader.ask("Q21", {"of": content_iri("customers.csv")})
    assert answer.rows == ()
    assert "that nothing drifted is not shown" in answer.empty


def test_another_engine_gives_the_same_rows(reader: Reader) -> None:
    dataset = rdflib.Dataset(default_union=True)
    for graph in graphs_of(reader.ledger).values():
        dataset.parse(data=graph, format="nquads")
    for of in (JUDGED, content_iri("churn-2.bin")):
        text = catalogue.find("Q21").bind({"of": of}, resolve=reader.resolve)
        ours = sorted(
            repr(tuple(None if term is None else from_n3(term) for term in row))
            for row in reader.index.select(text).rows
        )
        assert ours == sorted(repr(tuple(row)) for row in dataset.query(text))
