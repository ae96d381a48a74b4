"""`provgraph diff`: what changed, by content; what is equal is counted; the commits between."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

import provgraph
from provgraph.cli.main import main
from provgraph.service.commits import commits_between


@pytest.fixture(autouse=True)
def outside_of_any_work_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine may give git no time, and a run then lacks what the other one has of it.
    monkeypatch.chdir(tmp_path)


def train(version: str, *, data: str, depth: int, auc: float, owner: str = "Ada") -> None:
    with provgraph.run("train", owner=owner) as run:
        run.log_params(depth=depth, shuffled=True)
        table = run.use(
            f"s3://b/{data}", role="train", name="customers", digest=f"sha256:{data * 64}"
        )
        model = run.generate(f"s3://b/model-{version}", role="model", name="churn", version=version)
        run.evaluate(model, table, metric="auc", value=auc, interval=(auc - 0.01, auc + 0.01))


def diff(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, list[dict[str, object]]]:
    main(["diff", *arguments, "--json"])
    answer = json.loads(capsys.readouterr().out)
    return {name: each["changes"] for name, each in answer["sections"].items()}


def test_each_section_says_what_changed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("1", data="a", depth=3, auc=0.80)
    train("2", data="b", depth=4, auc=0.85, owner="Grace")
    found = diff("churn:1", "churn:2", capsys=capsys)
    (data,) = found["data"]
    assert (data["kind"], data["before"], data["after"]) == (
        "changed",
        [f"sha256:{'a' * 64}"],
        [f"sha256:{'b' * 64}"],
    )
    (depth,) = found["parameters"]
    assert (depth["name"], depth["before"], depth["after"]) == ("depth", ["3"], ["4"])
    (person,) = found["people"]
    assert (person["before"], person["after"]) == (["Ada"], ["Grace"])
    (auc,) = found["results"]
    assert auc["note"] == "+0.05; the intervals do not overlap"
    assert found["environment"] == []


def test_what_is_equal_is_folded_and_the_exit_code_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("1", data="a", depth=3, auc=0.80)
    train("2", data="a", depth=3, auc=0.80)
    assert main(["diff", "churn:1", "churn:2"]) == 0
    said = capsys.readouterr().out
    assert "data: 1 equal" in said
    assert re.search(r"parameters: \d+ equal", said)  # two, and the seeds of what is loaded
    assert "differ in nothing that was recorded" in said
    train("3", data="a", depth=9, auc=0.80)
    assert main(["diff", "churn:1", "churn:3"]) == 1
    said = capsys.readouterr().out
    assert "~ depth  3 → 9" in said
    assert re.search(r"parameters \(\d+ equal\)", said)
    assert main(["diff", "churn:1", "churn:77"]) == 2


def test_data_without_a_digest_is_no_proof_of_being_equal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in "12":
        with provgraph.run("train") as run:
            run.use("s3://b/live.csv", role="train", name="live")
            run.generate(f"s3://b/model-{version}", role="model", name="churn", version=version)
    (data,) = diff("churn:1", "churn:2", capsys=capsys)["data"]
    assert "whether its bytes changed is unknown" in str(data["note"])


def test_a_difference_can_be_asked_as_it_was(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("1", data="a", depth=3, auc=0.80)
    train("2", data="b", depth=3, auc=0.80)
    size = str(provgraph_size(capsys))
    provgraph.observe("churn:2", metric="auc", value=0.5)
    before = diff("churn:1", "churn:2", "--as-of", size, capsys=capsys)
    assert before == diff("churn:1", "churn:2", "--as-of", size, capsys=capsys)
    assert len(before["data"]) == 1


def provgraph_size(capsys: pytest.CaptureFixture[str]) -> int:
    main(["diff", "churn:1", "churn:2", "--json"])
    return int(json.loads(capsys.readouterr().out)["ledger_size"])


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commits_between_are_listed_in_both_directions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    hashes = []
    for number in range(3):
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", f"change {number}")
        hashes.append(git(tmp_path, "rev-parse", "HEAD"))
    monkeypatch.chdir(tmp_path)
    found = commits_between(hashes[0], hashes[2])
    assert (found.count, found.is_backwards) == (2, False)
    assert [line.split(" ", 1)[1] for line in found.subjects] == ["change 2", "change 1"]
    back = commits_between(hashes[2], hashes[0])
    assert (back.count, back.is_backwards) == (2, True)
    assert "is not in the repository" in commits_between(hashes[0], "f" * 40).reason
    assert commits_between("--output=x", hashes[0]).reason == "these are no git commits"
