"""Journals on disk: whole lines, torn and damaged ones, locks, the folder for when home is full."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest
from readback import facts_of, journals, python, runs, settings

import provgraph
from provgraph.capture.journal import (
    MAX_LINE_BYTES,
    Journal,
    claim,
    fallback_folder,
    line_of,
    parts,
    paths,
    read,
)
from provgraph.errors import CaptureError
from provgraph.service.recovery import going_runs, recover

START = {
    "f": "start",
    "version": 1,
    "run": "01890000-0000-7000-8000-000000000000",
    "record": "01890000-0000-7000-8000-000000000000",
    "name": "train",
    "at": "2026-01-02T03:04:05Z",
}
NOTE = {"f": "note", "value": {"text": "kept"}}


def line(fact: dict) -> bytes:
    return json.dumps(fact).encode() + b"\n"


@pytest.fixture
def folder(home: Path) -> Path:
    """The home's journal folder, made."""
    found = home / "journal"
    found.mkdir(mode=0o700, parents=True)
    return found


# ---- writing ------------------------------------------------------------------------------------------------
def test_a_line_is_in_the_file_when_write_returns(tmp_path):
    journal = Journal("r1", tmp_path / "journal")
    assert not (tmp_path / "journal").exists()
    for number in range(3):
        journal.write(line_of({"f": "note", "n": number}))
        assert [each["n"] for each in read(journal.path)] == list(range(number + 1))
    assert journal.path == tmp_path / "journal" / "r1.jsonl"
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.path.parent.stat().st_mode & 0o777 == 0o700
    assert (journal.fault, journal.unwritten, journal.has_foreign_lines()) == (None, [], False)
    assert os.listdir(tmp_path / "journal") == ["r1.jsonl"]
    journal.close(remove=False)
    assert journal.path.exists()


def test_closing_removes_the_file_only_when_told_to(tmp_path):
    journal = Journal("r1", tmp_path)
    journal.write(line_of(START))
    journal.close(remove=True)
    assert os.listdir(tmp_path) == []


def test_a_fact_travels_as_it_is(tmp_path):
    fact = {"f": "x", "text": "\ud800 ü \u2028 \0 🚀", "n": [1.5, float("inf"), -(2**70), None]}
    journal = Journal("r1", tmp_path)
    journal.write(line_of(fact))
    assert list(read(journal.path)) == [fact]
    assert journal.path.read_bytes().isascii()
    journal.close(remove=True)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 10**5000], ids=type)
def test_what_json_cannot_hold_is_refused_before_anything_is_written(value):
    with pytest.raises(CaptureError, match="a fact that JSON cannot hold"):
        line_of({"f": "x", "value": value})


def test_a_fact_that_holds_itself_is_refused():
    fact: dict = {"f": "x"}
    fact["self"] = fact
    with pytest.raises(CaptureError, match="a fact that JSON cannot hold"):
        line_of(fact)


def test_a_fact_over_the_limit_is_refused():
    empty = len(line_of({"f": ""}))
    line_of({"f": "x" * (MAX_LINE_BYTES - empty)})
    with pytest.raises(CaptureError, match="the limit is 8388608"):
        line_of({"f": "x" * (MAX_LINE_BYTES - empty + 1)})


# ---- the second place ------------------------------------------------------------------------------------------
def refusing(tmp_path: Path) -> Path:
    """A folder that cannot be made: a file is in its way."""
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "journal"


def test_where_the_home_cannot_be_written_the_journal_is_elsewhere(tmp_path):
    first, second = refusing(tmp_path), tmp_path / "second"
    journal = Journal("r1", first, otherwise=lambda _: second)
    journal.write(line_of(START))
    journal.write(line_of(NOTE))
    assert journal.path == second / "r1.jsonl"
    assert journal.fault == f"{first}: Not a directory"
    assert list(journal.read()) == [START, NOTE]
    assert journal.unwritten == []
    journal.close(remove=True)
    assert os.listdir(second) == []


def test_where_no_place_takes_a_line_it_is_kept_in_memory_and_tried_again(tmp_path):
    first = refusing(tmp_path)
    journal = Journal("r1", first)
    journal.write(line_of(START))
    journal.write(line_of(NOTE))
    assert journal.unwritten == [line_of(START), line_of(NOTE)]
    assert list(journal.read()) == [START, NOTE]
    (tmp_path / "file").unlink()
    journal.write(line_of({**NOTE, "later": True}))
    assert journal.unwritten == []
    assert list(read(journal.path)) == [START, NOTE, {**NOTE, "later": True}]
    journal.close(remove=True)


def test_the_second_place_is_of_one_user_and_one_home():
    one, other = fallback_folder(Path("/a/journal")), fallback_folder(Path("/b/journal"))
    assert one != other
    assert one == fallback_folder(Path("/a/journal"))
    assert f"-{os.getuid()}-" in one.name


def test_a_second_place_that_others_may_write_is_not_used(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    journal = Journal("r1", refusing(tmp_path), otherwise=lambda _: shared)
    journal.write(line_of(START))
    assert journal.unwritten == [line_of(START)]
    assert journal.fault == f"{shared}: {shared} is not a folder of this user alone"
    journal.close(remove=True)


def test_a_link_to_somewhere_is_no_second_place(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    journal = Journal("r1", refusing(tmp_path), otherwise=lambda _: tmp_path / "link")
    journal.write(line_of(START))
    assert journal.unwritten == [line_of(START)]
    assert os.listdir(tmp_path / "real") == []
    journal.close(remove=True)


def test_journals_of_others_in_the_second_place_are_not_taken_over(folder):
    second = fallback_folder(folder)
    second.mkdir(mode=0o700)
    (second / "r1.jsonl").write_bytes(line(START))
    assert paths(folder) == [second / "r1.jsonl"]
    second.chmod(0o755)
    assert paths(folder) == []
    assert recover(settings()) == []


def test_a_journal_in_two_places_is_read_as_one(folder):
    second = fallback_folder(folder)
    second.mkdir(mode=0o700)
    name = f"{START['run']}.jsonl"
    (folder / name).write_bytes(line(START) + line(NOTE))
    (second / name).write_bytes(line({"f": "note", "value": {"text": "from the second"}}))
    assert paths(folder) == [folder / name]
    assert parts(folder / name) == [folder / name, second / name]
    (recovered,) = recover(settings())
    facts = facts_of(recovered.receipt)
    assert facts.parts(facts.run, "note", "text") == [("kept",), ("from the second",)]
    assert (journals(), list(second.iterdir())) == ([], [])


# ---- reading -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "texts", "missing"),
    [
        (line(START) + line(NOTE), ["kept"], []),
        (line(START) + line(NOTE)[:-1], [], []),
        (line(START) + line(NOTE) + b'{"f": "no', ["kept"], []),
        (line(START) + line(NOTE) + b"\0" * 512, ["kept"], []),
        (line(START) + b'{"f": "no\x18\n' + line(NOTE), ["kept"], []),
        (line(START) + b'{"f": "no\n' + line(NOTE), ["kept"], [2]),
        (line(START) + line(NOTE) + b"\xff\xfe\n" + line(NOTE), ["kept", "kept"], [3]),
        (line(START) + b"[1]\n" + b"null\n" + line(NOTE), ["kept"], [2, 3]),
        (line(START) + b"[" * 100_000 + b"\n" + line(NOTE), ["kept"], [2]),
    ],
)
def test_torn_and_damaged_lines(folder, data, texts, missing):
    (folder / "r.jsonl").write_bytes(data)
    (recovered,) = recover(settings())
    facts = facts_of(recovered.receipt)
    assert [text for (text,) in facts.parts(facts.run, "note", "text")] == texts
    assert [
        reason
        for field, reason in facts.parts(facts.run, "missing", "field", "reason")
        if field == "journal"
    ] == [f"line {number} is damaged; what it said is lost" for number in missing]
    assert journals() == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x80\n" + line(NOTE), "damaged fact"),
        (line(NOTE) + line(START), "damaged fact"),
        (line({**START, "version": 2}), "journal version 2 is newer"),
        (line({"f": "record", "kind": "sorcery"}), "unknown kind of record 'sorcery'"),
        (line({"f": "record"}), "KeyError: 'kind'"),
        (
            line({"f": "record", "kind": "approval", "record": "x", "value": {}}),
            "expected Approval",
        ),
    ],
)
def test_a_journal_that_cannot_be_understood_is_left_alone_and_reported(folder, data, problem):
    (folder / "r.jsonl").write_bytes(data)
    for _ in range(2):
        (recovered,) = recover(settings())
        assert recovered.receipt is None
        assert str(recovered.problem).startswith(problem)
    assert (folder / "r.jsonl").read_bytes() == data


@pytest.mark.parametrize("data", [b"", b'{"f": "sta'])
def test_a_journal_whose_process_had_said_nothing_yet_is_removed(folder, data):
    (folder / "r.jsonl").write_bytes(data)
    assert recover(settings()) == []
    assert journals() == []


def test_one_journal_that_cannot_be_understood_keeps_no_other_from_being_sealed(folder):
    (folder / "a.jsonl").write_bytes(line({**START, "version": 2}))
    (folder / "b.jsonl").write_bytes(line(START) + line(NOTE))
    first, second = recover(settings())
    assert (first.receipt, second.problem) == (None, None)
    assert [facts.parts(facts.run, "note", "text") for facts in runs()] == [[("kept",)]]


def test_what_is_no_journal_is_not_looked_at(folder):
    (folder / ".r.jsonl.new").write_bytes(b"")
    (folder / "readme.txt").write_bytes(b"")
    assert recover(settings()) == []
    assert len(journals()) == 2


def test_a_journal_left_by_a_crash_between_commit_and_removal_is_no_second_record(folder):
    with provgraph.run("train", owner="ada") as run:
        run.log_params(depth=6)
        (path,) = journals()
        kept = path.read_bytes()
    (folder / f"{run.id}.jsonl").write_bytes(kept)
    size = run.receipt.ledger_size
    (recovered,) = recover(settings())
    assert recovered.receipt.position == run.receipt.position
    assert recovered.receipt.ledger_size == size
    assert [facts.one(facts.run, "status") for facts in runs()] == ["completed"]
    assert journals() == []


# ---- locks ---------------------------------------------------------------------------------------------------
def test_a_journal_is_claimed_by_one_at_a_time_and_not_while_its_writer_lives(tmp_path):
    journal = Journal("r1", tmp_path)
    journal.write(line_of(START))
    with claim(journal.path) as is_ours:
        assert not is_ours
    journal.close(remove=False)
    with claim(journal.path) as is_ours:
        assert is_ours
        with claim(journal.path) as is_also_ours:
            assert not is_also_ours
    journal.path.unlink()
    with claim(journal.path) as is_ours:
        assert not is_ours


def test_a_journal_that_was_removed_between_opening_and_locking_is_not_ours(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    path.write_bytes(line(START))
    real = fcntl.flock

    def slow(descriptor: int, how: int) -> None:
        path.unlink()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    with claim(path) as is_ours:
        assert not is_ours


WRITE = """
import sys
from pathlib import Path
from provgraph.capture.journal import Journal, line_of
journal = Journal("r1", Path.cwd())
journal.write(line_of({"f": "note"}))
print("written", flush=True)
sys.stdin.readline()
"""


def test_the_lock_goes_with_the_process_that_holds_it(home, tmp_path):
    process = python(WRITE, cwd=tmp_path)
    assert process.stdout.readline() == "written\n"
    path = tmp_path / "r1.jsonl"
    with claim(path) as is_ours:
        assert not is_ours
    process.kill()
    process.communicate(timeout=30)
    with claim(path) as is_ours:
        assert is_ours


def test_going_runs_pass_over_what_cannot_be_read(folder):
    held = []
    for name, data in {"a": line({**START, "version": 2}), "b": b"", "c": line(START)}.items():
        path = folder / f"{name}.jsonl"
        path.write_bytes(data)
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        held.append(descriptor)
    assert [state.run_id for state in going_runs(settings())] == [START["run"]]
    for descriptor in held:
        os.close(descriptor)
