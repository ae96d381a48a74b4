"""`provgraph drift` over runs that were really recorded: what it says, seals, and refuses."""

import json
import pickle
import shutil

import numpy as np
import pytest
from ends import rows

import provgraph
from provgraph.cli.main import main
from provgraph.drift.verdict import Verdict
from provgraph.service.home import close_ledger


def train(folder, seed, version, *, accuracy, damage=False, profile=True, project="churn"):
    """Record a run of a small pipeline; its accuracy is given, so that no learner is needed."""
    frames = {"train": rows(seed), "test": rows(seed + 1000)}
    if damage:
        for place, frame in enumerate(frames.values()):
            gone = np.random.default_rng(place).random(len(frame)) < 0.6
            frame.loc[gone, ["x0", "x1"]] = np.nan
    with provgraph.run("train", project=project, owner="ada", profile=profile) as run:
        run.log_params(alpha=1.0, model="logistic", seed=seed)
        used = {
            role: run.use(each, role=role, name=f"{role} rows", label="label")
            for role, each in frames.items()
        }
        with run.step("scale", method="standard") as step:
            for role, frame in frames.items():
                step.use(used[role])
                made = frame.assign(**{f"x{i}": frame[f"x{i}"].fillna(0) / 2 for i in range(6)})
                step.generate(made, role=role, name=f"{role} matrix", label="label")
        path = folder / f"model-{project}-{version}.pkl"
        path.write_bytes(pickle.dumps([seed, version]))
        model = run.generate(path, role="model", name=project, version=str(version))
        run.evaluate(model, used["test"], metric="accuracy", value=accuracy, n=700)
    return run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVGRAPH_HOME", str(folder / "home"))
        patch.chdir(folder)  # outside of any work tree, which may change meanwhile
        for place, value in enumerate((0.90, 0.91, 0.895, 0.905, 0.90, 0.902)):
            train(folder, place, place + 1, accuracy=value)
        close_ledger()
    return folder


@pytest.fixture
def line(tmp_path, monkeypatch, recorded):
    close_ledger()
    shutil.copytree(recorded / "home", tmp_path / "home")
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    close_ledger()


def ask(capsys, *words):
    code = main(["drift", *words])
    return code, capsys.readouterr()


def test_the_cause_is_named_and_the_verdict_is_sealed(line, capsys):
    train(line, 50, 7, accuracy=0.68, damage=True)
    code, said = ask(capsys, "churn:7", "--json", "--by", "grace")
    verdict = json.loads(said.out)
    assert (code, verdict["outcome"]) == (0, "ORIGIN")
    assert verdict["candidates"][0]["category"] == "data quality"
    assert verdict["drop"]["runs"] == 6
    assert (
        main(
            [
                "sparql",
                f"""
        PREFIX pg: <https://w3id.org/provgraph/ns#>
        SELECT ?outcome ?size ?first ?sure WHERE {{
          GRAPH <{verdict["record"]}> {{
            ?v pg:driftOutcome ?outcome ; pg:ledgerSize ?size ; pg:candidate ?c .
            ?c pg:candidateRank 1 ; pg:driftCategory ?first ; pg:confidence ?sure }} }}""",
                "--format",
                "csv",
            ]
        )
        == 0
    )
    header, row = capsys.readouterr().out.strip().splitlines()
    assert header == "outcome,size,first,sure"
    assert row.split(",")[:3] == ["ORIGIN", str(verdict["ledger_size"]), "data quality"]
    assert main(["verify"]) == 0


def test_a_person_reads_the_evidence(line, capsys):
    train(line, 50, 7, accuracy=0.68, damage=True)
    _, said = ask(capsys, "churn:7", "--dry")
    assert said.out.startswith("ORIGIN")
    assert "x0: empty 0.0% →" in said.out
    assert "sealed as" not in said.out


def test_as_ever_is_no_drift(line, capsys):
    train(line, 50, 7, accuracy=0.90)
    _, said = ask(capsys, "churn:7", "--dry", "--json")
    assert json.loads(said.out)["outcome"] == "NO_DRIFT"


def test_python_gives_the_same_verdict(line):
    train(line, 50, 7, accuracy=0.68, damage=True)
    found = provgraph.drift_origin("churn:7", record=False)
    assert isinstance(found, Verdict)
    assert provgraph.drift("churn:7", record=False) == found


def test_the_same_end_twice_is_refused(line, capsys):
    code, said = ask(capsys, "churn:6", "--baseline", "churn:6")
    assert code == 2
    assert "churn:6 and churn:6 are the same run" in said.err


def test_nothing_to_compare_with_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "home"))
    train(tmp_path, 1, 1, accuracy=0.9)
    code, said = ask(capsys, "churn:1")
    assert code == 2
    assert "provgraph drift churn:1 --baseline …" in said.err


def test_a_dataset_does_not_drift(line, capsys):
    code, said = ask(capsys, "train rows")
    assert code == 2
    assert "drift is asked of those" in said.err


def test_what_is_not_known_is_said(line, capsys):
    code, said = ask(capsys, "nobody:9")
    assert code == 2
    assert "nobody:9" in said.err


def test_a_later_baseline_is_taken_and_said(line, capsys):
    _, said = ask(capsys, "churn:2", "--baseline", "churn:5", "--dry", "--json")
    assert "the baseline is later than what it is compared with" in json.loads(said.out)["notes"]


def test_missing_profiles_cap_what_is_said(line, capsys):
    train(line, 50, 7, accuracy=0.6, profile=False)
    _, said = ask(capsys, "churn:7", "--dry", "--json")
    verdict = json.loads(said.out)
    assert verdict["candidates"][0]["confidence"] <= 0.5
    assert verdict["outcome"] in {"INSUFFICIENT_EVIDENCE", "UNRECORDED_FACTOR"}


def test_ends_that_share_nothing(line, capsys):
    train(line, 60, 1, accuracy=0.5, project="other")
    _, said = ask(capsys, "other:1", "--baseline", "churn:6", "--dry", "--json")
    assert json.loads(said.out)["outcome"] != "NO_DRIFT"
