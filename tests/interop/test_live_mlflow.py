"""MLflow's runs recorded as they end, by the real MLflow: linked back, and known to a later import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from real_mlflow import CHECKOUT, PYTHON, environment, needs_mlflow

from provgraph import terms, vocab
from provgraph.digests import sha256_bytes
from provgraph.frameworks.mlflow_context import RunContext
from provgraph.service.home import readable_ledger
from provgraph.service.importing import import_source
from provgraph.settings import load

SCRIPT = Path(__file__).with_name("live_mlflow.py")


@needs_mlflow
def test_a_run_is_recorded_as_it_ends_and_linked_back(home, tmp_path):
    store = tmp_path / "mlflow.db"
    done = subprocess.run(
        [str(PYTHON), str(SCRIPT), f"sqlite:///{store}", str(tmp_path / "artifacts")],
        env=environment(home, PROVGRAPH_MLFLOW="record"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    with readable_ledger(load(os.environ)) as ledger:
        index = ledger.find(found["tags"]["provgraph.record"])
        record = ledger.read(index)
    # 1. The record is what the tags of the run, and of both its versions, say.
    link = {name: value for name, value in found["tags"].items() if name.startswith("provgraph.")}
    assert link == {
        "provgraph.record": record.iri,
        "provgraph.digest": str(sha256_bytes(record.graph_nq)),
    }
    assert found["versions"] == [link, link]
    assert json.loads(found["document"])["proof"]["proofValue"] == record.proof_value
    # 2. It has what MLflow has, and what the process knew.
    said = {(s, p, o) for s, p, o, _ in terms.parse_lines(record.graph_nq)}
    me = terms.iri(vocab.run_iri(f"mlflow-{found['run']}"))
    predicates = {p for s, p, _ in said if s == me}
    assert {
        vocab.P[name] for name in ("environment", "sourceCode", "command", "series")
    } <= predicates
    # 3. A run inside one of ours says so.
    assert found["inside"]["provgraph.run"] == found["around"]
    # 4. What an import finds of both runs is recorded.
    imported = import_source(load(os.environ), str(store))
    assert (imported.unchanged, imported.superseding) == (2, 0)


def test_the_plugin_tags_runs_inside_ours_and_no_others(home, monkeypatch):
    import provgraph

    context = RunContext()
    assert (context.in_context(), context.tags()) == (False, {})
    with provgraph.run("outer") as run:
        assert (context.in_context(), context.tags()) == (True, {"provgraph.run": run.id})
    assert (context.in_context(), context.tags()) == (False, {})
    monkeypatch.setenv("PROVGRAPH_PARENT_RUN", run.id)
    assert context.tags() == {"provgraph.run": run.id}


@pytest.mark.parametrize("variable", [{}, {"PROVGRAPH_PARENT_RUN": "x"}])
def test_the_plugin_loads_nothing_of_capture(variable):
    code = (
        "from provgraph.frameworks.mlflow_context import RunContext; RunContext().tags();"
        "import sys, json; print(json.dumps([n for n in sys.modules if n.startswith('provgraph.')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), **variable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [
        "provgraph.frameworks",
        "provgraph.frameworks.mlflow_context",
    ]
