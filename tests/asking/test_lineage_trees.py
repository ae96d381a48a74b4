"""The lineage of the story as trees, up and down, line for line."""

from __future__ import annotations

import csv
import io
import json

import pytest
from story import LEDGER_SIZE, content, content_iri, run_iri, uuid_of

from provgraph.cli.main import main


def short(name: str) -> str:
    return f"sha256:{content(name).value[:12]}…"


UP = f"""\
churn:2  model  {short("churn-2.bin")}
└── by run train
    ├── lookup:  s3://acme/holidays.csv  dataset  no digest
    ├── train:  train.parquet  dataset  760 rows  {short("train.parquet")}
    │   └── by step split
    │       └── features:  churn-features:1  features  950 rows x 12  {short("features.parquet")}
    │           └── by step features
    │               └── clean:  clean.parquet  dataset  950 rows  {short("clean.parquet")}
    │                   └── by step clean
    │                       ├── raw:  calls.csv  dataset  5000 rows  {short("calls.csv")}  internal use only  the telephone system  retracted
    │                       └── raw:  customers.csv  dataset  1000 rows x 8  {short("customers.csv")}  CC-BY-4.0  https://data.example/customers
    └── base-model:  sentences:3.1  model  {short("sentences.bin")}  Apache-2.0  https://models.example/sentences
12 things, 7 derivations at ledger size {LEDGER_SIZE}
"""

DOWN = f"""\
calls.csv  dataset  5000 rows  {short("calls.csv")}  internal use only  the telephone system  retracted
└── clean.parquet  dataset  950 rows  {short("clean.parquet")}
    └── churn-features:1  features  950 rows x 12  {short("features.parquet")}
        ├── test.parquet  dataset  190 rows  {short("test.parquet")}
        │   ├── evaluation  accuracy 0.88  2026-03-01  run/{uuid_of(3)}#evaluation-1
        │   ├── evaluation  accuracy 0.925  2026-03-01  run/{uuid_of(4)}#evaluation-1
        │   └── evaluation  accuracy 0.84 on age >= 60  2026-03-01  run/{uuid_of(4)}#evaluation-2
        └── train.parquet  dataset  760 rows  {short("train.parquet")}
            ├── churn:1  model  {short("churn-1.bin")}
            │   └── evaluation  accuracy 0.88  2026-03-01  run/{uuid_of(3)}#evaluation-1
            └── churn:2  model  {short("churn-2.bin")}
                ├── approval  production  2026-03-01  approval/{uuid_of(6)}
                ├── deployment  production  2026-03-01  deployment/{uuid_of(7)}
                ├── evaluation  accuracy 0.925  2026-03-01  run/{uuid_of(4)}#evaluation-1
                ├── evaluation  accuracy 0.84 on age >= 60  2026-03-01  run/{uuid_of(4)}#evaluation-2
                └── observation  accuracy 0.78  2026-03-03  observation/{uuid_of(8)}
13 things, 15 derivations at ledger size {LEDGER_SIZE}
"""

OTHER_PROJECT = f"""\
flowers:1  model  {short("flowers.bin")}
└── by run train
    └── train:  iris.csv  dataset  150 rows  {short("iris.csv")}
3 things, 1 derivation at ledger size {LEDGER_SIZE}
"""

SHALLOW = f"""\
churn:1  model  {short("churn-1.bin")}
└── by run train
    └── train:  train.parquet  dataset  760 rows  {short("train.parquet")}
3 things, 1 derivation at ledger size {LEDGER_SIZE}; cut by a limit
"""


@pytest.fixture(autouse=True)
def _story(story_folder, monkeypatch):
    monkeypatch.setenv("PROVGRAPH_HOME", str(story_folder))
    monkeypatch.setenv("PROVGRAPH_NAMESPACE", "acme")


def run(capsys, *arguments: str) -> str:
    assert main(["lineage", *arguments]) == 0
    return "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "tree"),
    [
        (["churn:2", "--up"], UP),
        (["calls.csv", "--down"], DOWN),
        (["flowers:1"], OTHER_PROJECT),
        (["churn:1", "--depth", "1"], SHALLOW),
    ],
    ids=["up", "down", "other-project", "shallow"],
)
def test_the_tree_is_as_the_story_tells(capsys, arguments, tree):
    assert run(capsys, *arguments) == tree


def test_a_run_that_made_nothing_stands_for_what_it_used(capsys):
    assert run(capsys, run_iri(2)).splitlines()[0].startswith("train.parquet  dataset")


def test_edges_for_programs_name_activity_and_role(capsys):
    edges = json.loads(run(capsys, "churn:2", "--format", "json"))["edges"]
    assert [
        (each["parent"], each["activities"], each["role"])
        for each in edges
        if each["child"] == content_iri("churn-2.bin")
    ] == [
        (content_iri("train.parquet"), [run_iri(4)], "train"),
        (content_iri("sentences.bin"), [run_iri(4)], "base-model"),
        ("s3://acme/holidays.csv", [run_iri(4)], "lookup"),
    ]
    rows = list(csv.reader(io.StringIO(run(capsys, "churn:2", "--format", "csv"))))
    assert rows[0] == ["child", "parent", "activities"]
    step = [content_iri("clean.parquet"), content_iri("calls.csv"), f"{run_iri(1)}#step-1"]
    assert rows.count(step) == 1
    assert len(rows) == 8
