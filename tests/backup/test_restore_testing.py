"""Testing a backup: it passes where what comes back answers as the live home does, and says why it does not."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pyoxigraph as ox
import pytest
from backup_homes import backed_up, files_of, record, sizes_of
from small_history import MODEL
from test_backup import erase_screening

from provgraph import vocab
from provgraph.backup.places import FolderPlace
from provgraph.cli.main import main
from provgraph.errors import NotFoundError
from provgraph.service.asking import open_reader
from provgraph.service.home import close_ledger
from provgraph.service.restore_testing import Report, try_restore
from provgraph.service.restoring import Choice
from provgraph.settings import load


def tried(place: Path, **choice: object) -> Report:
    return try_restore(load(), FolderPlace(place), Choice(**choice), progress=lambda *_: None)  # type: ignore[arg-type]


def states() -> list[str]:
    """Return what restore tests the live home's ledger knows of."""
    with open_reader(load()) as reader:
        rows = reader.index.select(
            f"SELECT ?state WHERE {{ ?it a <{vocab.PG}RestoreTest> ; <{vocab.PG}state> ?state }}"
        ).rows
    return sorted(str(state).strip('"') for (state,) in rows)


def test_a_good_backup_passes_and_that_is_recorded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    place = tmp_path / "place"
    backed_up(place)
    record("since then")
    report = tried(place)
    assert (report.problems, report.unknown) == ([], [])
    assert report.restored.tree.size == sizes_of(place)[-1]
    assert {each.is_same for each in report.questions} == {True}
    asked = {each.question: each.rows for each in report.questions if MODEL[7:] in str(each.about)}
    assert asked["model-origins"] > 5
    assert states() == ["passed"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_damaged_backup_fails_and_that_is_recorded(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place)
    (segment,) = files_of(place, "segments")
    data = segment.read_bytes()
    segment.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    report = tried(place)
    assert len(report.problems) == 1
    assert "is damaged" in report.problems[0]
    assert states() == ["failed"]


def test_another_answer_of_the_live_home_is_a_problem(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    with open_reader(load()):
        pass
    backed_up(place)
    store = ox.Store(str(home / "index"))
    used = ox.NamedNode(f"{vocab.PROV}used")
    for quad in list(store.quads_for_pattern(None, used, None)):
        store.remove(quad)
    del store
    report = tried(place)
    assert any("differently from the live one" in each for each in report.problems)
    assert report.has_passed is False


def test_a_live_home_that_is_older_than_its_backup_is_a_problem(
    home: Path, made: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    record("later")
    backed_up(place)
    close_ledger()
    shutil.rmtree(home)
    shutil.copytree(made, home)
    report = tried(place)
    assert "does not contain what the backup has signed" in report.problems[0]


def test_what_was_erased_since_is_not_compared(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    backed_up(place)
    erase_screening()
    report = tried(place)
    assert report.problems == []
    assert "1 entries were erased since the backup was made" in report.unknown[0]
    assert {each.is_same for each in report.questions} == {None}


def test_without_a_live_home_answers_are_not_compared(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    backed_up(place)
    close_ledger()
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "elsewhere"))
    report = tried(place)
    assert report.problems == []
    assert "there is no live home" in report.unknown[0]
    assert not (tmp_path / "elsewhere").exists()


def test_no_backup_is_no_test(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        tried(tmp_path / "nothing")
    assert states() == []


def test_the_command_says_what_was_tried(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, file = tmp_path / "place", tmp_path / "report.json"
    backed_up(place)
    assert main(["restore", "--test", str(place), "--report", str(file), "--no-record"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("passed\n")
    found = json.loads(file.read_text())
    assert (found["verdict"], found["record"]) == ("passed", None)
    assert f"asked      {len(found['questions'])} questions" in said
    (segment,) = files_of(place, "segments")
    segment.unlink()
    assert main(["restore", "--test", str(place)]) == 1
    assert "WRONG" in capsys.readouterr().out
    assert main(["restore", "--test", str(place), str(tmp_path / "x")]) == 2
    assert main(["restore", str(place), str(tmp_path / "x"), "--no-record"]) == 2
