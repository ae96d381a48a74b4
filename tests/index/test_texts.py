"""The text index: what is found, what a query cannot become, and what must be forgotten."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import provgraph
from provgraph.access.views import View
from provgraph.cli.main import main
from provgraph.errors import UsageError
from provgraph.index.texts import Filters, match_of, open_texts
from provgraph.service.searching import filters_of, search
from provgraph.settings import load


def record() -> None:
    with provgraph.run("train churn", project="growth", owner="Ada Lovelace") as run:
        data = run.use(
            "s3://b/data.csv",
            role="train",
            name="customers",
            licence="CC-BY-4.0",
            description="Kunden in Köln, with consent",
        )
        run.note("the learning rate looks odd")
        model = run.generate("s3://b/model", role="model", name="churn", version="3")
        run.evaluate(model, data, metric="auc", value=0.87)
    with provgraph.run("train fraud", project="risk", owner="Grace Hopper") as run:
        run.generate("s3://b/fraud", role="model", name="fraud", version="1")


def titles(text: str = "", **filters: str | tuple[str, ...]) -> list[str]:
    found = search(load(), text, filters_of(**filters))  # type: ignore[arg-type]
    return [hit.title for hit in found.hits]


def test_words_are_found_in_names_descriptions_and_notes(home: Path) -> None:
    record()
    assert titles("odd learning") == ["train churn"]
    assert titles("koln") == ["customers"]  # without the umlaut
    assert titles("kund") == ["customers"]  # a beginning
    assert titles('"learning rate"') == ["train churn"]
    assert titles('"rate learning"') == []
    assert set(titles("train")) == {"train churn", "train fraud"}
    assert titles("train -odd") == ["train fraud"]
    assert titles("nothing of the kind") == []


def test_filters_narrow_by_each_fact(home: Path) -> None:
    record()
    assert titles(kinds=("model",), project="growth") == ["churn:3"]
    assert titles(kinds=("model",), owner="grace hopper") == ["fraud:1"]
    assert titles(licence="cc-by-4.0") == ["customers"]
    assert titles(kinds=("model",), metric="auc>=0.8") == ["churn:3"]
    assert titles(kinds=("model",), metric="auc>=0.9") == []
    assert titles(kinds=("model",), metric="auc<0.88") == ["churn:3"]
    assert titles(kinds=("model",), until="2020-01-01") == []
    assert set(titles(kinds=("model",), since="2020-01-01")) == {"churn:3", "fraud:1"}
    # Nothing of half a name: an owner is a person, not a pattern.
    assert titles(owner="grace") == []
    assert titles(owner="%") == []


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"kinds": ("modle",)}, "no kind of thing"),
        ({"since": "yesterday"}, "since: expected a day"),
        ({"metric": "auc >= high"}, "metric: expected"),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(
    home: Path, filters: dict[str, object], message: str
) -> None:
    record()
    with pytest.raises(UsageError, match=message):
        search(load(), "", filters_of(**filters))  # type: ignore[arg-type]


@given(st.text(max_size=60))
def test_nothing_typed_can_be_syntax(text: str) -> None:
    match = match_of(text)
    if match is not None:
        db = sqlite3.connect(":memory:")
        db.execute("CREATE VIRTUAL TABLE words USING fts5(title, body)")
        db.execute("INSERT INTO words VALUES ('a', 'b')")
        assert db.execute("SELECT count(*) FROM words WHERE words MATCH ?", (match,)).fetchone()
        db.close()


def test_what_is_said_later_is_not_found_as_of_before(home: Path) -> None:
    record()
    before = search(load(), "train", Filters()).ledger_size
    with provgraph.run("train later"):
        pass
    assert "train later" in titles("train")
    earlier = search(load(), "train", Filters(), as_of=before)
    assert {hit.title for hit in earlier.hits} == {"train churn", "train fraud"}
    assert main(["search", "train", "--as-of", "2020-01-01"]) == 2
    assert main(["search", "train", "--as-of", "9999"]) == 2
    assert main(["search", "train", "--as-of", "soon"]) == 2


def test_a_hidden_project_is_not_found_and_does_not_count(home: Path) -> None:
    record()
    with provgraph.run("again", project="risk") as run:
        run.use("s3://b/data.csv", role="train", name="customers", licence="CC-BY-4.0")
    everything = search(load(), "", Filters(kinds=frozenset({"dataset"})))
    assert [hit.records for hit in everything.hits] == [2]
    seen = search(load(), "", Filters(), view=View(hidden=frozenset({"risk"})))
    assert "fraud:1" not in {hit.title for hit in seen.hits}
    assert [hit.records for hit in seen.hits if hit.kind == "dataset"] == [1]


def test_what_is_erased_is_not_found_and_not_in_the_file(home: Path) -> None:
    record()
    assert titles("odd") == ["train churn"]
    run_id = next(hit.thing for hit in search(load(), "odd", Filters()).hits).rsplit("/", 1)[-1]
    assert main(["erase", run_id, "--why", "asked for", "--by", "Ada", "--yes"]) == 0
    assert titles("odd") == []
    assert b"learning rate looks odd" not in (home / "texts.db").read_bytes()


def test_a_damaged_file_is_built_anew(home: Path) -> None:
    record()
    assert titles("odd") == ["train churn"]
    (home / "texts.db").write_bytes(b"not a database" * 1000)
    for suffix in ("-wal", "-shm"):
        (home / f"texts.db{suffix}").unlink(missing_ok=True)
    assert titles("odd") == ["train churn"]


def test_an_index_of_another_ledger_is_emptied(home: Path) -> None:
    record()
    assert titles("odd") == ["train churn"]
    with open_texts(home / "texts.db") as file:
        file.append([], size=2, root="00" * 32)
    assert titles("odd") == ["train churn"]


def test_the_command_prints_tables_json_and_csv(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record()
    assert main(["search", "churn", "--kind", "model"]) == 0
    said = capsys.readouterr().out
    assert "churn:3  model  growth · Ada Lovelace" in said
    assert "auc 0.87" in said
    assert main(["search", "churn", "--kind", "model", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["thing"] for each in answer["hits"]] == ["s3://b/model"]
    assert main(["search", "--format", "csv", "--licence", "CC-BY-4.0"]) == 0
    assert "customers" in capsys.readouterr().out
    assert main(["search", "nowhere"]) == 0
    assert "nothing recorded here has these words" in capsys.readouterr().out
    assert main(["search", "--kind", "nonsense"]) == 2
