"""`provgraph check` over files and over what was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import provgraph
from provgraph.cli.main import main

BROKEN = "document prefix ex <http://example.org/>\nentity(ex:e) activity(ex:e, -, -)\nendDocument"


def test_a_broken_file_exits_1_and_names_number_and_statements(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.provn"
    path.write_text(BROKEN, "utf-8")
    assert main(["check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "constraints 50, 55, entity-activity-disjoint" in said
    assert "entity(http://example.org/e)" in said
    assert main(["check", str(path), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["is_valid"] is False
    assert answer["findings"][0]["constraints"] == [50, 55]
    path.write_text(BROKEN.replace("activity(ex:e, -, -)", ""), "utf-8")
    assert main(["check", str(path)]) == 0


def test_what_is_recorded_is_checked_by_record_and_all_together(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with provgraph.run("train") as run:
        run.use("s3://bucket/data.csv", role="train")
        run.generate("s3://bucket/model", role="model", name="churn", version="1")
    assert main(["check"]) == 0
    assert "no violation of PROV-CONSTRAINTS" in capsys.readouterr().out
    assert main(["check", "churn:1"]) == 0
    assert main(["check", "no-such-thing"]) == 2
    # Each record is possible; together they say that the model comes from what comes from it.
    with provgraph.run("backwards") as run:
        run.use("s3://bucket/model", role="train")
        run.generate("s3://bucket/data.csv")
    assert main(["check"]) == 1
    said = capsys.readouterr().out
    assert "would come before itself" in said
    assert "in all together" in said


def test_a_missing_file_and_no_home_are_a_user_s_mistakes(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "nothing.provn", "--format", "provn"]) == 2
    assert "cannot read" in capsys.readouterr().err
    assert main(["check"]) == 2
