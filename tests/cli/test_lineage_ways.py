"""`provgraph lineage`: ways, common ancestors, restrictions, and the ledger as it was."""

from __future__ import annotations

import csv
import io
import json

import pytest
from small_history import DATA, MODEL, OLD, RAW, record_history

import provgraph
from provgraph import vocab
from provgraph.cli.main import main
from provgraph.digests import Digest


def iri(digest: str) -> str:
    return vocab.content_iri(Digest("sha256", digest.removeprefix("sha256:")))


@pytest.fixture
def history(home):
    record_history()
    return home


@pytest.fixture
def run(history, capsys):
    def run(*arguments: str) -> str:
        assert main(["lineage", *arguments]) == 0
        return "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())

    return run


@pytest.fixture
def refused(history, capsys):
    def refused(*arguments: str) -> str:
        assert main(["lineage", *arguments]) == 2
        return capsys.readouterr().err

    return refused


WAY = """\
churn:2  model  sha256:cdcdcdcdcdcd…
  from clean  dataset  sha256:abababababab…
    from raw  dataset  sha256:cccccccccccc…
2 steps at ledger size 9
"""

RESTRICTED = """\
clean  dataset  sha256:abababababab…
├── churn:1  model  sha256:dddddddddddd…
└── churn:2  model  sha256:cdcdcdcdcdcd…
3 things, 2 derivations at ledger size 9
2 things as asked for, the others stand on the way
"""


def test_a_way_is_found_from_either_end(run):
    assert run("churn:2", "--to", "raw") == WAY
    assert run("raw", "--to", "churn:2") == WAY


def test_a_way_for_programs_names_the_records_that_state_it(run):
    found = json.loads(run("churn:2", "--to", "raw", "--format", "json"))
    assert [(each["child"], each["parent"]) for each in found["steps"]] == [
        (iri(MODEL), iri(DATA)),
        (iri(DATA), iri(RAW)),
    ]
    assert [len(each["records"]) for each in found["steps"]] == [1, 1]
    assert {each["kind"] for each in found["nodes"]} == {"Model", "Dataset"}
    rows = list(csv.reader(io.StringIO(run("churn:2", "--to", "raw", "--format", "csv"))))
    assert rows[0] == ["step", "child", "parent", "records"]
    assert rows[2][:3] == ["2", iri(DATA), iri(RAW)]


def test_things_without_a_way_between_them_say_what_that_means(refused):
    said = refused("churn:1", "--to", "churn:2")
    assert "no record says that churn:1 was made from churn:2" in said
    assert "unrecorded, is unknown" in said


def test_what_two_models_have_in_common_is_nearest_first(run):
    found = json.loads(run("churn:2", "--common", "churn:1", "--format", "json"))["common"]
    assert [(each["iri"], each["isNearest"], each["steps"]) for each in found] == [
        (iri(DATA), True, [1, 1]),
        (iri(RAW), False, [2, 2]),
    ]
    assert run("churn:2", "--common", "churn:1").splitlines()[1].split()[:3] == [
        "clean",
        "Dataset",
        "yes",
    ]


def test_a_restriction_shows_what_matches_and_what_stands_on_the_way(run):
    assert run("clean", "--down", "--kind", "model") == RESTRICTED
    found = json.loads(run("raw", "--down", "--kind", "model", "--format", "json"))
    assert found["matches"] == sorted([iri(OLD), iri(MODEL)])
    assert iri(DATA) in {each["iri"] for each in found["nodes"]}
    assert run("raw", "--down", "--project", "nobody").splitlines()[-1] == (
        "0 things as asked for, the others stand on the way: nothing recorded matches"
    )
    assert "1 thing left out: nobody recorded when they were made" in run(
        "raw", "--down", "--since", "2020-01-01"
    )


def test_the_ledger_as_it_was_gives_the_same_for_ever(run):
    before = run("churn:2", "--as-of", "9", "--format", "json")
    with provgraph.run("later", owner="a") as later:
        later.use("s3://bucket/other.csv", role="train", name="other", digest="sha256:" + "77" * 32)
        later.generate("s3://bucket/2.bin", name="churn", version="2", digest=MODEL, role="model")
    assert run("churn:2", "--as-of", "9", "--format", "json") == before
    now = json.loads(run("churn:2", "--format", "json"))
    assert len(now["edges"]) == len(json.loads(before)["edges"]) + 1


def test_mistakes_are_named_with_the_next_step(refused):
    assert "expected a ledger size of 1 to 9, found 99" in refused("raw", "--as-of", "99")
    assert "leave --kind, --project, times and --depth out" in refused(
        "raw", "--to", "clean", "--kind", "model"
    )
    assert "leave --depth out" in refused("raw", "--common", "clean", "--depth", "2")
    with pytest.raises(SystemExit):
        main(["lineage", "raw", "--since", "yesterday"])
