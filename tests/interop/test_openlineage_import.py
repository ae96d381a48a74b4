"""OpenLineage events into a ledger: once, superseded when more is told, asked for in SPARQL."""

from __future__ import annotations

import json

from test_openlineage_events import END, LINEAGE, ORDERS, RUNNING, START, TOTALS, event

from provgraph.cli.main import main
from provgraph.service.home import readable_ledger
from provgraph.settings import load

FULL = event(inputs=[ORDERS], outputs=[{**TOTALS, "facets": LINEAGE}])


def imported(path, capsys, *events):
    path.write_text("".join(json.dumps(each) + "\n" for each in events))
    code = main(["import", str(path), "--json"])
    return code, json.loads(capsys.readouterr().out)


def rows(capsys, query):
    assert main(["sparql", query, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)["results"]["bindings"]


def test_a_state_is_recorded_once_and_superseded_when_more_is_told(home, tmp_path, capsys) -> None:
    path = tmp_path / "events.ndjson"
    _, first = imported(path, capsys, START, END)
    _, same = imported(path, capsys, END, START, END)
    _, more = imported(path, capsys, END, RUNNING, START)
    assert [(each["new"], each["superseding"]) for each in (first, same, more)] == [
        (1, 0),
        (0, 0),
        (0, 1),
    ]
    with readable_ledger(load()) as ledger:
        graphs = [ledger.graph(each["positions"][0]).decode() for each in (first, more)]
    assert ["ns#supersedes>" in each for each in graphs] == [False, True]
    assert ["tag/team>" in each for each in graphs] == [False, True]


def test_column_lineage_answers_a_query(home, tmp_path, capsys) -> None:
    imported(tmp_path / "events.ndjson", capsys, FULL)
    query = """PREFIX pg: <https://w3id.org/provgraph/ns#>
    SELECT ?to ?from ?dataset WHERE { ?d pg:columnOrigin ?o .
      ?o pg:toColumn ?to ; pg:fromColumn ?from ; pg:fromDataset/pg:foreignDataset ?dataset }"""
    (row,) = rows(capsys, query)
    assert {name: cell["value"] for name, cell in row.items()} == {
        "to": "total",
        "from": "price",
        "dataset": "postgres://db:5432/shop.public.orders",
    }


def test_lineage_follows_what_is_stated_through_the_table(home, tmp_path, capsys) -> None:
    imported(tmp_path / "events.ndjson", capsys, FULL)
    assert main(["lineage", "dataset/totals", "--up", "--format", "json"]) == 0
    assert "shop.public.orders" in capsys.readouterr().out
    assert main(["check"]) == 0


def test_a_refused_line_makes_the_exit_code_1_and_the_rest_is_recorded(
    home, tmp_path, capsys
) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(json.dumps(END) + "\n{\n")
    assert main(["import", str(path)]) == 1
    said = capsys.readouterr().out
    assert "recorded 1 record" in said
    assert "events.ndjson:2" in said
