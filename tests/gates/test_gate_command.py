"""`provgraph gate` and `provgraph.gate` as they are typed: exit codes, formats, the sealed decision."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from whole_model import GRACE, WAIVER, Bank, changed, whole_bank

import provgraph
from provgraph.cli.main import main
from provgraph.errors import UsageError
from provgraph.gates.reports import to_junit
from provgraph.service.home import close_ledger

AFTER = "2099-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> Bank:
    return whole_bank(tmp_path_factory.mktemp("typed") / "home")


@pytest.fixture
def typed(home: Path, bank: Bank, monkeypatch):
    monkeypatch.setenv("PROVGRAPH_HOME", str(bank.settings.home))
    monkeypatch.setenv("PROVGRAPH_NAMESPACE", "acme")

    def run(line: str) -> int:
        return main(["gate", *line.split()])

    yield run
    close_ledger()


def test_exit_codes(typed, capsys):
    assert typed("credit:1 --stage production") == 0
    assert "passed  credit:1 for production  by minimal 2" in capsys.readouterr().out
    assert typed("applications.csv") == 1
    assert typed("nothing:1") == 1
    assert typed("credit:1 --profile eu-ai-act") == 2
    assert "did you mean eu-ai-act-high-risk" in capsys.readouterr().err
    assert typed("--profile minimal") == 2
    assert "say which model" in capsys.readouterr().err


def test_a_profile_with_a_typo_is_exit_code_2_with_its_line(typed, tmp_path, capsys):
    assert typed(f"--new-profile {tmp_path / 'my.toml'}") == 0
    assert typed(f"--check-profile --profile {tmp_path / 'my.toml'}") == 0
    assert typed(f"--new-profile {tmp_path / 'my.toml'}") == 2
    text = (tmp_path / "my.toml").read_text()
    (tmp_path / "my.toml").write_text(text.replace('"Q15"', '"Q150"'))
    assert typed(f"credit:1 --profile {tmp_path / 'my.toml'}") == 2
    assert re.search(r"my\.toml, line \d+: auc: no query is called 'Q150'", capsys.readouterr().err)


def test_a_home_that_is_damaged_fails_and_says_why(typed, tmp_path, monkeypatch, capsys):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ledger.db").write_bytes(b"no ledger at all" * 100)
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "broken"))
    assert typed("credit:1 --format json") == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["passes"], said["ledger_size"]) == ("failed", False, None)
    (only,) = said["requirements"]
    assert (only["requirement"], only["state"]) == ("gate.model", "unknown")


def test_the_decision_is_a_sealed_record(typed, capsys):
    assert typed("credit:1 --profile eu-ai-act-high-risk --stage production --record --by ci") == 0
    shown = capsys.readouterr().out
    assert re.search(r"recorded as \S+", shown)
    assert main(["query", "Q30", "--param", "model=credit:1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["state"] for row in rows if row["what"] == "record"} == {"verified"}
    query = """PREFIX pg: <https://w3id.org/provgraph/ns#> SELECT ?verdict ?profile ?stage ?size ?n {
      { SELECT ?it (COUNT(?j) AS ?n) { ?it pg:judgement ?j } GROUP BY ?it }
      ?it a pg:GateDecision ; pg:verdict ?verdict ; pg:profile ?profile ; pg:stage ?stage ;
          pg:ledgerSize ?size }"""
    assert main(["sparql", query, "--format", "csv"]) == 0
    header, row = capsys.readouterr().out.split()
    # Two of the three checks of every gate are the profile's own; lineage is not.
    assert (header, row.split(",")[:3], row.split(",")[4]) == (
        "verdict,profile,stage,size,n",
        ["passed", "eu-ai-act-high-risk", "production"],
        "29",
    )


def test_json_names_every_requirement_and_what_no_record_answers(typed, capsys):
    assert typed("credit:1 --profile sr-26-2 --stage production --format json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["profile"], said["decision"]) == ("passed", "sr-26-2", None)
    assert {each["state"] for each in said["requirements"]} == {"met"}
    assert [each["id"] for each in said["not_answered_by_records"]] == [
        "soundness",
        "aggregate",
        "vendor",
        "monitoring",
        "audit",
    ]


def test_junit_counts_and_keeps_odd_characters_out(typed, bank, capsys):
    assert typed("applications.csv --format junit") == 1
    suite = ET.fromstring(capsys.readouterr().out)
    cases = suite.findall(".//testcase")
    blocked = [
        case for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    assert int(suite.get("tests")) == len(cases)
    assert int(suite.get("failures")) + int(suite.get("errors")) == len(blocked)
    assert len(blocked) > 3
    verdict = bank.gate(model="credit:1")
    odd = changed(verdict, asked='a\x00"<b>&\ud800')
    assert ET.fromstring(to_junit(odd).encode()).find(".//property").get("value") == 'a?"<b>&?'


def test_sarif_has_a_rule_and_a_result_for_each_requirement(typed, tmp_path, capsys):
    out = tmp_path / "gate.sarif"
    assert typed(f"applications.csv --format sarif --out {out}") == 1
    assert "failed  applications.csv" in capsys.readouterr().out
    (run,) = json.loads(out.read_text())["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [result["ruleId"] for result in run["results"]] == rules
    levels = {result["ruleId"]: (result["kind"], result["level"]) for result in run["results"]}
    assert levels["gate.lineage"] == ("fail", "error")
    assert levels["seals"] in {("pass", "none"), ("fail", "error")}


def test_the_formats_of_a_waived_verdict(tmp_path):
    from test_waivers import HOUSE
    from whole_model import FIT, PREPARE, REGISTRATION, bank_at

    from provgraph.gates.reports import to_sarif

    bank = bank_at(tmp_path / "home")
    bank.enter_keys()
    model = changed(FIT.generated[0].entity, intended_use=None)
    bank.record(
        PREPARE,
        changed(FIT, generated=(changed(FIT.generated[0], entity=model),), evaluations=()),
        REGISTRATION,
        WAIVER,
        key=None,
    )
    verdict = bank.gate(HOUSE)
    (result,) = [
        each
        for each in to_sarif(verdict, version="0")["runs"][0]["results"]
        if each["ruleId"] == "intended-use"
    ]
    assert result["suppressions"][0]["status"] == "accepted"
    assert GRACE.name in result["suppressions"][0]["justification"]
    suite = ET.fromstring(to_junit(verdict))
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "0", "1")


def test_from_python(typed):
    verdict = provgraph.gate("credit:1", profile="iso-42001", stage="production")
    assert (verdict.passes, verdict.profile) == (True, "iso-42001")
    assert provgraph.gate("nothing:1").passes is False
    with pytest.raises(UsageError, match="no profile is called 'x'"):
        provgraph.gate("credit:1", profile="x")


def test_where_records_go_to_a_server_this_machine_does_not_decide(typed, monkeypatch, capsys):
    monkeypatch.setenv("PROVGRAPH_SERVER", "http://127.0.0.1:9")
    assert typed("credit:1") == 1
    assert "127.0.0.1:9" in capsys.readouterr().out
