"""Questions about data over `data_story.py`, row for row, and by a second SPARQL engine.

The expected rows are written by hand from the story. What nobody said (a licence, a legal basis, who
labelled, a slice) has to stand there as unknown: a row less would read as no problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import rdflib
from data_story import (
    ASKED,
    CLEAN,
    NEWER_NORTH,
    NORTH,
    SCREEN_1,
    SCREEN_2,
    SOUTH,
    TEST_1,
    TRAIN_1,
    TRAIN_2,
    tell,
)
from rdflib.util import from_n3
from story import Home, graphs_of, home_at, run_iri

import provgraph
from provgraph import vocab
from provgraph.query import catalogue
from provgraph.query.answer_json import native
from provgraph.service.asking import Reader, open_reader
from provgraph.settings import load

# rdflib warns about its own calls.
pytestmark = pytest.mark.filterwarnings("ignore:Dataset.*deprecated:DeprecationWarning")

CC_BY_NC = "https://creativecommons.org/licenses/by-nc/4.0/legalcode"
SPDX = "https://spdx.org/licenses/"
THINGS = {
    vocab.content_iri(thing.digest): name
    for name, thing in (
        ("north", NORTH),
        ("newer north", NEWER_NORTH),
        ("south", SOUTH),
        ("clean", CLEAN),
        ("train-1", TRAIN_1),
        ("train-2", TRAIN_2),
        ("test-1", TEST_1),
        ("screen:1", SCREEN_1),
        ("screen:2", SCREEN_2),
    )
} | {
    "s3://acme/postcodes.csv": "postcodes",
    vocab.named_iri("organization", "acme", "South clinic"): "South clinic",
    run_iri(101): "prepare",
    run_iri(102): "train 1",
    run_iri(103): "again",
}
PEOPLE = {
    vocab.named_iri("person", "acme", f"{name}@acme.example"): name
    for name in ("ada", "grace", "rose", "otto")
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder: Path = tmp_path_factory.mktemp("data") / "home"
    told = home_at(folder)
    tell(told)
    return told


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


def ask(reader: Reader, name: str, columns: str, **values: str) -> list[tuple[object, ...]]:
    """Answer with the named columns, things and people by their names; in order of these."""
    answer = reader.ask(name, values)
    places = [answer.columns.index(column) for column in columns.split()]
    rows = [tuple(native(row[place]) for place in places) for row in answer.rows]
    named = THINGS | PEOPLE
    return sorted((tuple(named.get(str(value), value) for value in row) for row in rows), key=repr)


def in_order(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return sorted(rows, key=repr)


@pytest.mark.parametrize(("name", "values"), ASKED)
def test_another_engine_gives_the_same_rows(reader, second_engine, name, values):
    text = catalogue.find(name).bind(values, resolve=reader._content)
    ours = sorted(
        repr(tuple(None if term is None else from_n3(term) for term in row))
        for row in reader.index.select(text).rows
    )
    assert ours == sorted(repr(tuple(row)) for row in second_engine.query(text))


def test_q03_every_source_of_a_table_with_what_nobody_said(reader):
    found = ask(reader, "Q03", "source fact value state said_by", dataset="train-1")
    assert found == in_order(
        [
            ("north", "origin", "https://north.example/export", "recorded", "ada"),
            ("north", "collection method", "export of the scanner", "recorded", "ada"),
            ("north", "collector", "North clinic", "recorded", "ada"),
            ("north", "collected", "2025-01/2025-03", "recorded", "ada"),
            ("south", "origin", None, "not recorded", None),
            ("south", "collection method", None, "not recorded", None),
            ("south", "collector", None, "not recorded", None),
            ("south", "collected", None, "not recorded", None),
            ("south", "supplier", "South clinic", "recorded", "ada"),
            # What the steward said later.
            ("postcodes", "origin", "the post office", "recorded", "grace"),
            ("postcodes", "collection method", None, "not recorded", None),
            ("postcodes", "collector", None, "not recorded", None),
            ("postcodes", "collected", None, "not recorded", None),
        ]
    )


def test_q04_licences_against_a_commercial_use(reader):
    columns = "source terms family intended_use verdict rule"
    assert ask(reader, "Q04", columns, model="screen:1") == in_order(
        [
            ("north", f"{SPDX}CC-BY-4.0", "permissive", "triage", "no conflict known", SPDX),
            ("south", f"{SPDX}CC-BY-NC-4.0", "non-commercial", "triage", "conflict", CC_BY_NC),
            ("south", "not for insurers", None, "triage", "unknown", None),
            ("postcodes", f"{SPDX}MIT", "permissive", "triage", "no conflict known", SPDX),
        ]
    )


def test_q04_without_an_intended_use_nothing_is_cleared(reader):
    assert ask(reader, "Q04", "source verdict because", model="screen:2") == in_order(
        [
            ("north", "no conflict known", "attribution may be asked for"),
            ("south", "unknown", "no intended use of the model is recorded"),
            ("south", "unknown", "terms that the table does not know: to be read"),
            ("postcodes", "no conflict known", "attribution may be asked for"),
        ]
    )


@pytest.mark.parametrize(
    ("at", "north", "south"),
    [
        ("2026-01-01T12:00:00Z", "in force", "not yet given"),
        ("2026-03-01T12:00:00Z", "in force", "in force"),
        ("2026-05-01T12:00:00Z", "withdrawn", "expired"),
    ],
)
def test_q05_a_legal_basis_at_a_time(reader, at, north, south):
    columns = "source basis purpose intended_use reference state withdrawn_because"
    because = "withdrawn by the patients"
    assert ask(reader, "Q05", columns, model="screen:1", at=at) == in_order(
        [
            ("north", "consent", "care", "triage", "form 7", north, because),
            ("south", "Art. 6(1)(b) GDPR", "billing", "triage", None, south, None),
            ("postcodes", None, None, "triage", None, "no personal data", None),
        ]
    )


def test_q05_is_about_now_where_no_time_is_given(reader):
    assert ask(reader, "Q05", "source state", model="screen:2") == in_order(
        [("north", "withdrawn"), ("south", "expired"), ("postcodes", "no personal data")]
    )


def test_q06_the_steps_in_order(reader):
    answer = reader.ask("Q06", {"model": "screen:1"})
    kept = [answer.columns.index(each) for each in ("name", "rows_in", "rows_out", "commit")]
    commit = "c" * 40
    assert [tuple(native(row[place]) for place in kept) for row in answer.rows] == [
        ("merge", 110, 100, commit),
        ("clean", 100, 90, commit),
        ("features", None, None, commit),
        ("split", 90, 90, commit),
        ("train", None, None, None),
    ]


def test_q07_an_exclusion_without_a_reason_and_a_loss_without_a_filter(reader):
    columns = "run step condition reason rows_removed decided_by owner state"
    assert ask(reader, "Q07", columns, model="screen:1") == in_order(
        [
            ("prepare", "clean", "age < 0", "typing errors", 6, "grace", "ada", "explained"),
            ("prepare", "clean", "repeated", None, 4, None, "ada", "without a reason"),
            ("prepare", "merge", None, None, 10, None, "ada", "unexplained"),
        ]
    )


def test_q08_the_versions_of_a_feature(reader):
    assert ask(reader, "Q08", "version what value", feature="tenure") == in_order(
        [
            ("1", "definition", "months since signup"),
            ("1", "source column", "signup"),
            ("1", "source column", "today"),
            ("1", "source data", "clean"),
            ("1", "reason", "known to matter"),
            ("1", "author", "ada"),
            ("2", "definition", "months since the first invoice"),
            ("2", "source column", None),
            ("2", "reason", None),
            ("2", "author", None),
            (None, "model", "screen:1"),
            (None, "model", "screen:2"),
        ]
    )


def test_q09_who_labelled_and_of_what_it_is_unknown(reader):
    columns = "data labelled_by guideline guideline_version agreement labels state"
    told = ("Reading scans", "2.1", 0.83, 70, "recorded")
    unknown = (None, None, None, None, None, "not recorded")
    assert ask(reader, "Q09", columns, dataset="screen:1") == in_order(
        [
            ("north", "rose", *told),
            ("north", "otto", *told),
            ("south", *unknown),
            ("postcodes", *unknown),
        ]
    )


def test_q14_what_is_unhashed_or_out_of_reach(reader):
    assert ask(reader, "Q14", "what thing state", run="screen:1") == in_order(
        [
            ("input", "train-1", "unreachable"),
            ("input", "test-1", "unreachable"),
            ("code", "train 1", "not recorded"),
            ("environment", "train 1", "not recorded"),
            ("seeds", "train 1", "not recorded"),
        ]
    )
    states = ask(reader, "Q14", "what thing state", run="prepare")
    assert ("input", "postcodes", "unhashed") in states
    assert ("code", "prepare", "changed") in states


def test_q14_hashes_files_again_within_its_bound(tmp_path, monkeypatch):
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "home"))
    files = {name: tmp_path / name for name in ("same", "changed", "gone", "large")}
    for name, path in files.items():
        path.write_bytes(b"x" * (2 * 1024 * 1024 if name == "large" else 10))
    with provgraph.run("train", owner="ada") as run:
        for path in files.values():
            run.use(path)
    files["changed"].write_bytes(b"y" * 10)
    files["gone"].unlink()
    settings = load({"PROVGRAPH_HOME": str(tmp_path / "home")})
    with open_reader(settings) as opened:
        answer = opened.ask("Q14", {"run": run.id, "at-most-mib": "1"})
    column = {name: place for place, name in enumerate(answer.columns)}
    found = {
        str(native(row[column["location"]])).rsplit("/", 1)[-1]: native(row[column["state"]])
        for row in answer.rows
        if native(row[column["what"]]) == "input"
    }
    assert found == {"same": "same", "changed": "changed", "gone": "gone", "large": "not read"}


def test_q16_tested_on_what_it_was_made_from(reader):
    found = ask(reader, "Q16", "check test_data train_data verdict shared", model="screen:2")
    assert found == in_order(
        [
            ("same content", "train-2", "train-2", "overlap", None),
            ("same content", "test-1", "train-2", "independent", None),
            ("derivation", "test-1", "train-2", "independent", None),
            *(
                ("shared sources", "test-1", "train-2", "look", source)
                for source in ("north", "south", "postcodes")
            ),
            ("time", "test-1", "train-2", "unknown", None),
            ("rows", "test-1", "train-2", "unknown", None),
        ]
    )


def test_q17_a_slice_that_the_version_before_was_measured_on_is_missing(reader):
    columns = "metric slice state value n known_from"
    assert ask(reader, "Q17", columns, model="screen:2") == in_order(
        [
            ("accuracy", None, "measured", 0.95, 20, None),
            ("accuracy", None, "measured", 0.99, 70, None),
            ("accuracy", "age >= 60", "missing", None, None, "screen:1"),
        ]
    )
    assert ask(reader, "Q17", "slice state", model="screen:1") == in_order(
        [(None, "measured"), ("age >= 60", "measured")]
    )


def test_q23_quality_and_performance_in_one_order_of_time(reader):
    answer = reader.ask("Q23", {"dataset": "north.csv", "model": "screen:1"})
    columns = ("what", "thing", "metric", "part", "value", "met")
    kept = [answer.columns.index(column) for column in columns]
    rows = [tuple(native(row[place]) for place in kept) for row in answer.rows]
    found = [(row[0], THINGS[str(row[1])], *row[2:]) for row in rows]
    assert found == [
        ("quality of the data", "north", "completeness", "age", 0.99, True),
        ("evaluation", "screen:1", "accuracy", None, 0.9, True),
        ("evaluation", "screen:1", "accuracy", "age >= 60", 0.8, None),
        ("evaluation", "screen:2", "accuracy", None, 0.95, None),
        ("evaluation", "screen:2", "accuracy", None, 0.99, None),
        ("quality of the data", "newer north", "completeness", "age", 0.71, False),
        ("monitoring", "screen:2", "accuracy", None, 0.6, None),
    ]
