"""Reports about governance, row for row: exposure, completeness, verification, the trail, exports."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from governance_story import CHURN, act, tell_governance
from story import ADA, Home, at, content_iri, home_at, record, run_iri, small_run

from provgraph.access.trail import TrailWriter, access_of
from provgraph.digests import digest_path
from provgraph.errors import FormatError, NotFoundError, UsageError
from provgraph.query import catalogue
from provgraph.query.answer_json import native
from provgraph.query.requirements import FACTS, load_profile, parse_profile
from provgraph.records import Deployment, Entity, Generation, Usage
from provgraph.seal.keys import generate_signer
from provgraph.service.asking import Reader, open_reader
from provgraph.service.exporting import export_bundle, save_bundle

API, STAGING = "https://api.acme.example/churn", "https://staging.acme.example/churn"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = home_at(tmp_path_factory.mktemp("reports") / "home")
    tell_governance(home)
    return home


@pytest.fixture(scope="module")
def reader(home) -> Iterator[Reader]:
    with open_reader(home.settings) as opened:
        yield opened


def ask(reader: Reader, name: str, columns: str, **values: str) -> list[tuple[Any, ...]]:
    answer = reader.ask(name, {key.replace("_", "-"): value for key, value in values.items()})
    places = [answer.columns.index(column) for column in columns.split()]
    return [tuple(native(row[place]) for place in places) for row in answer.rows]


# ---- Q20 -----------------------------------------------------------------------------------------------
REACHED = "kind version how label stage until owner deployedBy deployment"


def test_q20_a_package_by_range_of_versions(reader):
    # churn:1 was trained with numpy 2.0.0; churn:2 with 2.1.0, on data that was prepared with 2.0.0.
    ada = "ada@acme.example"
    found = ask(reader, "Q20", REACHED, package="numpy", versions="<2.1")
    first = ("package", "2.0.0", "trained with it", "churn:1")
    second = ("package", "2.0.0", "made from what was made with it", "churn:2", "production")
    flowers = ("package", "2.0.0", "trained with it", "flowers:1", "production", None, None)
    assert found == [
        (*first, "staging", at_text(3300), ada, ada, act("deployment", 110)),
        (*first, "production", None, ada, ada, act("deployment", 114)),
        (*second, at_text(2900), ada, ada, act("deployment", 7)),
        (*second, None, ada, ada, act("deployment", 115)),
        (*flowers, "otto@flowers.example", act("deployment", 117)),
    ]
    labels = ask(reader, "Q20", "version how label", package="numpy", versions=">=2.1")
    assert labels == [("2.1.0", "trained with it", "churn:2")] * 2
    assert ask(reader, "Q20", REACHED, package="numpy", versions="<1") == []


def test_q20_a_base_model_and_a_commit(reader):
    assert ask(reader, "Q20", "kind how label deployment", base="sentences:3.1") == [
        ("base model", "derived from it", "churn:2", act("deployment", 7)),
        ("base model", "derived from it", "churn:2", act("deployment", 115)),
    ]
    # Of the flowers nobody recorded the source code: they may be affected.
    assert ask(reader, "Q20", "kind how label", commit="bbbbbbb") == [
        ("commit", "trained with it", "churn:2"),
        ("commit", "trained with it", "churn:2"),
        ("unknown", "no source code is recorded", "flowers:1"),
    ]
    assert ask(reader, "Q20", "kind label", commit="bbb") == [("unknown", "flowers:1")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Q20 needs one of package, base and commit"),
        ({"versions": "<2"}, "versions is a range of a package"),
        ({"package": "numpy", "versions": "two"}, "expected a range as PEP 440 has it"),
    ],
)
def test_q20_a_question_that_names_nothing_is_refused(reader, values, message):
    with pytest.raises(UsageError, match=message):
        reader.ask("Q20", values)


def test_q20_a_version_that_cannot_be_compared_stays(tmp_path):
    from dataclasses import replace

    from story import ENVIRONMENT_A

    from provgraph.records import Package

    home = home_at(tmp_path / "home")
    odd = replace(ENVIRONMENT_A, packages=(Package(name="numpy", version="from trunk"),))
    model = Entity(kind="model", digest=digest_path(Path(__file__)).digest, name="m", version="1")
    record(home, small_run(1, environment=odd, generated=(Generation(entity=model, role="model"),)))
    record(
        home,
        Deployment(id="d1", model=Entity(kind="model", digest=model.digest), stage="p", at=at(9)),
    )
    with open_reader(home.settings) as reader:
        found = ask(reader, "Q20", "version how label", package="numpy", versions="<2")
    assert found == [("from trunk", "trained with it; version cannot be compared", "m:1")]


def at_text(minutes: float) -> str:
    return at(minutes).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---- Q29 -----------------------------------------------------------------------------------------------
def test_q29_what_a_model_lacks(reader):
    holidays = "s3://acme/holidays.csv"
    assert ask(reader, "Q29", "requirement state thing reason", model="churn:2") == [
        ("data-digest", "missing", holidays, "named by URI only; the bytes were not fetched"),
        ("licence", "incomplete", holidays, None),
        ("origin", "incomplete", holidays, None),
        ("intended-use", "not recorded", None, None),
    ]


def test_q29_of_a_model_of_which_little_is_known(reader):
    lacking = ask(reader, "Q29", "requirement state label", model="flowers:1")
    assert lacking == [
        ("owner", "not recorded", None),
        ("source-code", "not recorded", "train"),
        ("licence", "not recorded", "iris.csv"),
        ("origin", "not recorded", "iris.csv"),
        ("evaluation", "not recorded", None),
        ("evaluation-data", "not recorded", None),
        ("evaluation-size", "not recorded", None),
        ("validation", "not recorded", None),
        ("intended-use", "not recorded", None),
    ]
    everything = ask(reader, "Q29", "requirement state", model="flowers:1", all="yes")
    facts = [each.id for each in load_profile("minimal").requirements if each.fact is not None]
    assert [row[0] for row in everything] == facts
    assert sorted({row[0] for row in everything if row[1] == "met"}) == [
        "data",
        "data-digest",
        "environment",
        "parameters",
        "run",
    ]


def test_q29_a_base_model_has_nothing_at_all(reader):
    found = ask(reader, "Q29", "requirement state", model="sentences:3.1")
    asked = [each.id for each in load_profile("minimal").requirements if each.fact is not None]
    assert [row[0] for row in found] == asked
    assert {row[1] for row in found} == {"not recorded"}


def test_q29_every_fact_of_a_profile_is_one_that_the_query_finds():
    text = catalogue.find("Q29").text
    assert [fact for fact in FACTS if text.count(f'"{fact}"') == 0] == []


PROFILE = """id = "p"
version = "1"
title = "t"
"""
ASKS = '[[requirement]]\nid = "a"\ntitle = "A"\nfact = "owner"\nsource = "S"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PROFILE, "it requires nothing"),
        (
            PROFILE + ASKS.replace('"owner"', '"ownr"'),
            "no fact is called 'ownr'; did you mean owner",
        ),
        (PROFILE + ASKS + ASKS, "the requirement 'a' stands twice"),
        (PROFILE + ASKS.replace("source =", "sauce ="), "broken profile"),
        (PROFILE + 'extra = "x"\n' + ASKS, "there is no key 'extra'"),
        ("id = ", "broken profile"),
    ],
)
def test_q29_a_profile_that_would_check_nothing_is_refused(text, message):
    with pytest.raises(FormatError, match=message):
        parse_profile(text.encode(), where="p.toml")


@pytest.mark.parametrize("name", ["minimall", "../shapes", "", "nothing"])
def test_q29_an_unknown_profile_is_refused(reader, name):
    with pytest.raises(NotFoundError, match="no profile is called"):
        reader.ask("Q29", {"model": "churn:2", "profile": name})


# ---- Q30 -----------------------------------------------------------------------------------------------
def test_q30_every_record_is_verified_and_files_wait_to_be_hashed(reader):
    found = ask(reader, "Q30", "what state label", model="churn:2")
    records = [row for row in found if row[0] == "record"]
    assert (len(records), {row[1] for row in records}) == (19, {"verified"})
    assert [row[1:] for row in found if row[0] == "file"] == [
        ("not hashed again", "calls.csv"),
        ("no place recorded", "churn"),
        ("no place recorded", "churn-features"),
        ("no place recorded", "clean.parquet"),
        ("not hashed again", "customers.csv"),
        ("no place recorded", "report.pdf"),
        ("no place recorded", "sentences"),
        ("no place recorded", "test.parquet"),
        ("no place recorded", "train.parquet"),
    ]


def test_q30_a_changed_file_and_a_changed_record_are_found(tmp_path):
    home = home_at(tmp_path / "home")
    same, changed, gone = (tmp_path / name for name in ("same.csv", "changed.csv", "gone.csv"))
    for path in (same, changed, gone):
        path.write_text(path.name, "utf-8")
    used = tuple(
        Usage(
            entity=Entity(
                kind="dataset",
                digest=digest_path(path).digest,
                name=path.name,
                location=str(path),
            ),
            role="train",
        )
        for path in (same, changed, gone)
    )
    model = Entity(kind="model", digest=digest_path(Path(__file__)).digest, name="m", version="1")
    place = record(home, small_run(1, used=used, generated=(Generation(entity=model),)))
    changed.write_text("other", "utf-8")
    gone.unlink()
    with open_reader(home.settings) as reader:
        found = ask(reader, "Q30", "what label state", model="m:1", rehash="yes")
    assert found == [
        ("record", None, "verified"),
        ("file", "changed.csv", "changed"),
        ("file", "gone.csv", "gone"),
        ("file", "m", "no place recorded"),
        ("file", "same.csv", "same"),
    ]
    with closing(sqlite3.connect(home.settings.ledger_path)) as db, db:
        (data,) = db.execute("SELECT graph FROM record WHERE position = ?", (place,)).fetchone()
        torn = bytes([*data[:-9], data[-9] ^ 1, *data[-8:]])
        db.execute("UPDATE record SET graph = ? WHERE position = ?", (torn, place))
    with open_reader(home.settings) as reader:
        found = ask(reader, "Q30", "what state", model="m:1")
    assert found[0] == ("record", "wrong")


# ---- Q33 -----------------------------------------------------------------------------------------------
def _asked(hour: int, who: str, asked: str, status: int = 200) -> Any:
    return access_of(
        at=datetime(2026, 3, 5, hour, tzinfo=UTC),
        who=who,
        by="token",
        address="127.0.0.1",
        action="read",
        asked=asked,
        status=status,
        duration_s=0.01,
        size_bytes=100,
        ledger_size=35,
        request=f"r{hour}",
    )


def test_q33_who_named_the_model_or_its_records(home, reader):
    with pytest.raises(NotFoundError, match="has no access trail"):
        reader.ask("Q33", {"model": "churn:2"})
    writer = TrailWriter(
        home.folder / "trail.db", signer=generate_signer(), clock=lambda: datetime.now(UTC)
    )
    run = run_iri(4).rsplit("/", 1)[-1]
    for row in (
        _asked(1, "eve", "GET /queries/Q01?model=churn%3A2"),
        _asked(2, "eve", f"GET /id/run/{run}", 403),
        _asked(3, "bob", "GET /queries/Q01?model=flowers:1"),
        _asked(4, "bob", f"POST /sparql SELECT * {{ <{content_iri('churn-2.bin')}> ?p ?o }}"),
        _asked(5, "bob", f"GET /id/{CHURN.partition('/id/')[2]}"),
        _asked(6, "bob", "GET /sparql?query=SELECT * { ?s ?p ?o }"),
    ):
        writer.add(row)
    writer.close()
    columns = "time who outcome named row"
    found = ask(reader, "Q33", columns, model="churn:2")
    assert found == [
        ("2026-03-05T01:00:00Z", "eve", "answered", "churn:2", 0),
        ("2026-03-05T02:00:00Z", "eve", "refused", f"run/{run}", 1),
        ("2026-03-05T04:00:00Z", "bob", "answered", content_iri("churn-2.bin"), 3),
        ("2026-03-05T05:00:00Z", "bob", "answered", "model/acme/churn", 4),
    ]
    between = {"since": "2026-03-05T02:00:00Z", "until": "2026-03-05T05:00:00Z"}
    assert ask(reader, "Q33", columns, model="churn:2", **between) == found[1:3]
    assert catalogue.find("Q33").right == "read-trail"


# ---- Q35 -----------------------------------------------------------------------------------------------
def test_q35_a_bundle_is_the_state_at_its_checkpoint(reader, tmp_path):
    bundle = tmp_path / "churn"
    save_bundle(export_bundle(reader, "churn:2"), bundle)
    found = ask(reader, "Q35", "check state", export=str(bundle))
    assert found[:3] == [
        ("the export verifies", "equal"),
        ("same ledger", "equal"),
        ("same tree", "equal"),
    ]
    assert set(found[3:-1]) == {("record", "equal")}
    assert found[-1] == ("share of that state", "equal")


def test_q35_a_changed_bundle_and_one_of_another_ledger_differ(reader, tmp_path):
    bundle = tmp_path / "churn"
    save_bundle(export_bundle(reader, "churn:2"), bundle)
    changed = tmp_path / "changed"
    shutil.copytree(bundle, changed)
    graph = min(path for path in changed.rglob("graph.nq") if b"2026" in path.read_bytes())
    graph.write_bytes(graph.read_bytes().replace(b"2026", b"2027"))
    assert ask(reader, "Q35", "check state", export=str(changed)) == [
        ("the export verifies", "differs")
    ]
    other = home_at(tmp_path / "other")
    tell_governance(other)
    with open_reader(other.settings) as second:
        found = ask(second, "Q35", "check state", export=str(bundle))
    assert ("same ledger", "differs") in found
    assert ("same tree", "differs") in found
    assert ("record", "differs") in found


def test_q35_n_quads_are_held_against_the_ledgers_graphs(reader, tmp_path):
    graphs = [reader.ledger.graph(index) for index in (2, 7)]
    export = tmp_path / "export.nq"
    lines = [line for graph in graphs for line in graph.splitlines(keepends=True)]
    export.write_bytes(b"".join(reversed(lines)))
    found = ask(reader, "Q35", "check state position", export=str(export))
    assert found == [
        ("graph", "equal", 2),
        ("graph", "equal", 7),
        ("share of that state", "equal", None),
    ]
    export.write_bytes(b"".join(lines[1:]) + b"<urn:a> <urn:b> <urn:c> <urn:g> .\n")
    found = ask(reader, "Q35", "check state position", export=str(export))
    assert sorted(found[:-1], key=repr) == [
        ("graph", "differs", 2),
        ("graph", "equal", 7),
        ("graph", "not here", None),
    ]
    with pytest.raises(NotFoundError, match="there is no bundle"):
        reader.ask("Q35", {"export": str(tmp_path / "nothing.zip")})


# ---- Q36 -----------------------------------------------------------------------------------------------
def test_q36_what_becomes_of_everything_that_is_affected(reader):
    columns = "kind label state by due"
    found = ask(reader, "Q36", columns)
    opened = [
        ("Dataset", "clean.parquet"),
        ("Dataset", "test.parquet"),
        ("Dataset", "train.parquet"),
        ("Deployment", API),
        ("Deployment", API),
        ("Deployment", API),
        ("Deployment", STAGING),
        ("FeatureSet", "churn-features"),
        ("Model", "churn"),
    ]
    assert sorted(found) == sorted(
        [
            *((*each, "open", None, None) for each in opened),
            ("Model", "churn", "retrain", ADA.name, at_text(30_000)),
        ],
        key=repr,
    )
    left = ask(reader, "Q36", columns, dataset="calls.csv", open_only="yes")
    assert sorted(row[:2] for row in left) == sorted(opened)
    assert ask(reader, "Q36", columns, dataset="customers.csv") == []
