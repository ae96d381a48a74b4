"""Cases that the story does not have: who counted the rows, patched packages, an unpinned source."""

from __future__ import annotations

from dataclasses import replace

from story import (
    ENVIRONMENT_A,
    FAILED,
    Home,
    at,
    content,
    home_at,
    record,
    run_iri,
    small_run,
    uuid_of,
)

import provgraph
from provgraph.cli.main import main
from provgraph.query.answer_json import native
from provgraph.recordable import Record
from provgraph.records import (
    Entity,
    Generation,
    Missing,
    Note,
    Package,
    Retraction,
    Run,
    Usage,
)
from provgraph.service.asking import open_reader
from provgraph.settings import load

TABLE = Entity(kind="dataset", digest=content("table.csv"), name="table.csv")
SHARED = Entity(kind="dataset", uri="s3://acme/shared.csv")


def model(version: str) -> Entity:
    return Entity(kind="model", digest=content(f"m-{version}"), name="m", version=version)


def training(number: int, version: str, **more: object) -> Run:
    made = (Generation(entity=model(version), role="model"),)
    return small_run(number, name="train", generated=made, parameters={}, **more)


def told(folder, *records: Record) -> Home:
    home = home_at(folder / "home")
    for each in records:
        record(home, each)
    return home


def ask(home: Home, name: str, columns: str, **values: str) -> list[tuple[object, ...]]:
    """Answer with only the named columns."""
    with open_reader(home.settings) as reader:
        answer = reader.ask(name, values)
    places = [answer.columns.index(column) for column in columns.split()]
    return [tuple(native(row[place]) for place in places) for row in answer.rows]


def test_q02_knows_the_rows_that_another_record_counted(tmp_path):
    counted = replace(TABLE, rows=760)
    prepare = small_run(1, used=(), generated=(Generation(entity=counted, role="table"),))
    train = training(2, "1", used=(Usage(entity=TABLE, role="train"),))
    home = told(tmp_path, prepare, train)
    assert ask(home, "Q02", "role label rows", model="m:1") == [("train", "table.csv", 760)]


def test_q02_shows_both_of_two_counts_that_contradict(tmp_path):
    prepare = small_run(1, used=(), generated=(Generation(entity=replace(TABLE, rows=760)),))
    train = training(2, "1", used=(Usage(entity=replace(TABLE, rows=761), role="train"),))
    home = told(tmp_path, prepare, train)
    found = ask(home, "Q02", "label rows", model="m:1")
    assert sorted(found) == [("table.csv", 760), ("table.csv", 761)]


def test_q02_shows_a_use_without_a_role_as_unknown_and_never_twice(tmp_path):
    # Without a role, and called by another name than elsewhere: still one row, by its name there.
    other = small_run(1, used=(Usage(entity=replace(TABLE, name="other.csv"), role="x"),))
    train = training(2, "1", used=(Usage(entity=TABLE),))
    home = told(tmp_path, other, train)
    assert ask(home, "Q02", "role label rows", model="m:1") == [("unknown", "table.csv", None)]


def test_q11_says_that_nothing_of_the_environment_could_be_learned(tmp_path):
    missing = (Missing(field="environment", reason="the probe was stopped"),)
    home = told(tmp_path, training(1, "1", used=(), missing=missing))
    assert ask(home, "Q11", "fact value detail", run="m:1") == [
        ("missing", "environment", "the probe was stopped"),
    ]


def test_q13_shows_a_withdrawn_an_abandoned_and_a_foreign_attempt(tmp_path):
    first = replace(FAILED, id=uuid_of(1001), experiment="e", status="abandoned", reason="killed")
    notes = tuple(Note(text=text) for text in ("b", "a", "c"))
    second = training(2, "1", experiment="e", used=(), notes=notes)
    # The same experiment name in another project: shown, with the project beside it.
    third = training(3, "2", experiment="e", project="other", used=())
    retraction = Retraction(id=uuid_of(9), target=run_iri(1002), reason="wrong seed", at=at(9))
    home = told(tmp_path, first, second, third, retraction)
    columns = "run project status reason models notes withdrawn"
    assert sorted(ask(home, "Q13", columns, experiment="e"), key=lambda row: str(row[0])) == [
        (run_iri(1001), "churn", "abandoned", "killed", None, None, None),
        (run_iri(1002), "many", "completed", None, "m:1", "b | a | c", "wrong seed"),
        (run_iri(1003), "other", "completed", None, "m:2", None, None),
    ]


def test_q19_says_where_only_a_run_stands_between(tmp_path):
    # derived_from says that the model is not made of the table: it still came out of that run.
    made = Generation(entity=model("1"), role="model", derived_from=())
    run = small_run(1, used=(Usage(entity=TABLE, role="train"),), generated=(made,))
    home = told(tmp_path, run)
    assert ask(home, "Q19", "kind label how", dataset="table.csv") == [("Model", "m", "same run")]


def test_q22_tells_a_patched_package_of_the_same_version_apart(tmp_path):
    patched = Package(name="numpy", version="2.0.0", origin="patched", origin_url="/site/numpy")
    other = replace(ENVIRONMENT_A, packages=(patched, ENVIRONMENT_A.packages[1]))
    one = training(1, "1", used=(), environment=ENVIRONMENT_A)
    two = training(2, "2", used=(), environment=other)
    home = told(tmp_path, one, two)
    assert ask(home, "Q22", "what name only value", before="m:1", after="m:2") == [
        ("package", "numpy", "before", "2.0.0"),
        ("package", "numpy", "after", "2.0.0 (patched /site/numpy)"),
    ]


def test_q22_does_not_call_unpinned_data_unchanged(tmp_path):
    used = (Usage(entity=SHARED, role="train"), Usage(entity=TABLE, role="extra"))
    home = told(tmp_path, training(1, "1", used=used), training(2, "2", used=used))
    assert ask(home, "Q22", "what name only value", before="m:1", after="m:2") == [
        ("data", "s3://acme/shared.csv", "unknown", "s3://acme/shared.csv"),
    ]


# ---- names of any characters, through capture and out again ------------------------------------------
NAME = "a \"name\" with 'quotes', a / and: 🚀 %41"


def test_names_of_any_characters_come_out_as_they_went_in(home, tmp_path):
    data, model = tmp_path / "data.csv", tmp_path / "model.bin"
    data.write_text("a,b\n")
    model.write_text("model")
    with provgraph.run(NAME, experiment=NAME, owner=NAME) as run:
        run.use(data, role=NAME)
        run.log_params(**{NAME: NAME})
        run.log_metrics(**{NAME: 1.0})
        run.generate(model, role="model", name=NAME, version=NAME)
    told_home = Home(settings=load(), environ={})
    called = f"{NAME}:{NAME}"
    assert ask(told_home, "Q02", "role", model=called) == [(NAME,)]
    assert (NAME, NAME) in ask(told_home, "Q10", "name value", run=called)
    assert ask(told_home, "Q15", "metric value", model=called) == [(NAME, 1)]
    assert ask(told_home, "Q13", "label owner models", experiment=NAME) == [(NAME, NAME, called)]


def test_q15_gives_a_series_once(home, tmp_path):
    model = tmp_path / "model.bin"
    model.write_text("model")
    with provgraph.run("train", owner="ada") as run:
        for step in range(3):
            run.log_metrics({"log loss": 1 / (step + 1), "lr": 0.1}, step=step)
        run.log_metrics(auc=0.9)
        run.generate(model, role="model", name="m", version="1")
    found = ask(Home(settings=load(), environ={}), "Q15", "kind metric value method", model="m:1")
    assert found == [
        ("logged by the run", "auc", 0.9, None),
        ("logged by the run", "log loss", 1 / 3, f"last of 3 logged, from {1 / 3} to 1"),
        ("logged by the run", "lr", 0.1, "last of 3 logged, from 0.1 to 0.1"),
    ]


def test_one_table_in_two_roles_is_seen(home, tmp_path, capsys):
    # What was trained and tested on is the same: the first thing an auditor asks.
    data, model = tmp_path / "data.csv", tmp_path / "model.bin"
    data.write_text("a,b\n")
    model.write_text("model")
    with provgraph.run("train", owner="ada") as run:
        run.use(data, role="train")
        run.use(data, role="test")
        run.generate(model, role="model", name="m", version="1")
    assert main(["lineage", "m:1"]) == 0
    assert capsys.readouterr().out.splitlines()[2].strip().startswith("└── test, train:  data.csv")
    found = ask(Home(settings=load(), environ={}), "Q02", "role label", model="m:1")
    assert found == [("test", "data.csv"), ("train", "data.csv")]
