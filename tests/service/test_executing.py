"""`provgraph exec`: any command, with no change to its code, on real child processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from provgraph.cli.main import main
from provgraph.service.asking import open_reader
from provgraph.service.home import writable_ledger
from provgraph.settings import load

SCRIPT = """
import csv, json, sys
rows = list(csv.reader(open("in.csv")))
json.dump({"rows": len(rows)}, open("model.json", "w"))
if len(sys.argv) > 1:
    raise ValueError("refused, password=hunter2")
"""
FACTS = """PREFIX pg: <https://w3id.org/provgraph/ns#>
SELECT ?property ?value WHERE {
  ?run a pg:Run . ?run ?property ?value .
  FILTER(?property IN (pg:status, pg:exitCode, pg:reason, pg:command, pg:entryScript))
}"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "train.py").write_text(SCRIPT)
    (work / "in.csv").write_text("a,b\n1,2\n")
    return work


def facts() -> dict[str, object]:
    with open_reader(load()) as reader:
        rows = reader.index.select(FACTS).rows
    return {p[1:-1].rpartition("#")[2]: v for p, v in rows}


def test_reads_writes_and_code_are_recorded(folder, capfd):
    arguments = ["exec", "--project", "p", "--owner", "ada", "--", sys.executable, "train.py"]
    assert main(arguments) == 0
    assert "provgraph: recorded train.py as run " in capfd.readouterr().err
    with open_reader(load()) as reader:
        found = reader.walk("model.json", up=True, max_depth=None)
    labels = {node.fact("label"): node.kind for node in found.nodes.values()}
    assert labels["in.csv"] == "Dataset"
    assert {found.nodes[edge.parent].fact("label") for edge in found.edges} == {
        "in.csv",
        "train.py",
    }


def test_the_record_is_of_the_command_and_not_of_exec(folder, capfd):
    assert main(["exec", "--owner", "ada", "--", sys.executable, "train.py"]) == 0
    known = facts()
    assert (
        known["command"] == '"' + json.dumps([sys.executable, "train.py"]).replace('"', '\\"') + '"'
    )
    assert known["entryScript"] == f'"{folder}/train.py"'
    assert known["status"] == '"completed"'


def test_a_failure_keeps_code_and_reason_without_the_secret(folder, capfd):
    assert main(["exec", "--owner", "ada", "--", sys.executable, "train.py", "x"]) == 1
    assert "password=hunter2" in capfd.readouterr().err  # the user's own terminal is untouched
    known = facts()
    assert known["status"] == '"failed"'
    assert known["reason"] == '"exit code 1: ValueError: refused, password=[redacted]"'
    with writable_ledger(load()) as ledger:
        whole = b"".join(record.graph_nq for record in ledger.records())
    assert whole.count(b"hunter2") == 0


def test_declared_roles_and_outputs_of_any_program(folder, capfd):
    (folder / "in.csv").write_text("a\n1\n2\n")
    arguments = ["exec", "--owner", "ada", "--in", "train=in.csv", "--out", "model=out.bin"]
    assert main([*arguments, "--", "cp", "in.csv", "out.bin"]) == 0
    with open_reader(load()) as reader:
        found = reader.walk("out.bin", up=True, max_depth=None)
        kinds = {node.fact("label"): node.kind for node in found.nodes.values()}
        assert kinds["in.csv"] == "Dataset"
        # cp copies: the same bytes are the same thing, as data and as model.
        assert reader.resolve("model/out.bin") == reader.resolve("dataset/in.csv")


def test_a_missing_command_is_127_and_leaves_nothing(folder, capfd):
    assert main(["exec", "--", "no-such-program"]) == 127
    assert "command not found: no-such-program" in capfd.readouterr().err
    assert list((folder.parent / "home").glob("journal/*")) == []


def test_no_command_and_a_bad_tag_are_usage_errors(folder, capfd):
    assert main(["exec"]) == 2
    assert main(["exec", "--tag", "x", "--", "true"]) == 2
    assert "--tag: expected NAME=VALUE, found 'x'" in capfd.readouterr().err


def test_a_killed_exec_is_sealed_as_abandoned_by_who_looks(folder):
    command = "import sys; from provgraph.cli.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "exec", "--owner", "ada", "--", "sleep", "60"],
        start_new_session=True,
    )
    journals = folder.parent / "home" / "journal"
    deadline = time.monotonic() + 30
    while not list(journals.glob("*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert facts()["status"] == '"abandoned"'
    assert list(journals.glob("*.jsonl")) == []
