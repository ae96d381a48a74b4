"""Files and folders: their digests, the progress line, and what is remembered."""

import hashlib
import io
import os
import time
from pathlib import Path

import pytest

from provgraph.capture import files
from provgraph.capture.files import digest_with_progress
from provgraph.digests import sha256_bytes
from provgraph.errors import CaptureError

MIB = 1024 * 1024


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Broken(io.StringIO):
    """A terminal that is gone."""

    def isatty(self):
        return True

    def write(self, _text):
        raise BrokenPipeError


def ticking(step_s):
    """A clock on which each look takes `step_s`: one per 1 MiB read, and one at the start."""
    now = -step_s

    def clock():
        nonlocal now
        now += step_s
        return now

    return clock


def sparse(path, size):
    with path.open("wb") as file:
        file.truncate(size)
    return path


def sha256_of_zeros(size):
    hasher = hashlib.sha256()
    for _ in range(size // MIB):
        hasher.update(bytes(MIB))
    return hasher.hexdigest()


def long_ago(path):
    """Give a file a past, so that its times are settled. Setting them renews its change time."""
    old_ns = time.time_ns() - 60_000_000_000
    os.utime(path, ns=(old_ns, old_ns))
    return path


@pytest.fixture
def settled(monkeypatch):
    """Let the wall clock be a minute ahead: the change time of a file cannot be set back."""
    real = time.time_ns
    monkeypatch.setattr(files.time, "time_ns", lambda: real() + 60_000_000_000)


def test_a_quick_digest_says_nothing(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * (3 * MIB))
    stream = Terminal()
    found = digest_with_progress(path, label="a.bin", stream=stream, clock=ticking(0.5))
    assert found.digest == sha256_bytes(b"x" * (3 * MIB))
    assert (found.size_bytes, found.file_count) == (3 * MIB, 1)
    assert stream.getvalue() == ""


def test_a_terminal_shows_one_line_and_removes_it(tmp_path):
    path = sparse(tmp_path / "big.bin", 300 * MIB)
    stream = Terminal()
    found = digest_with_progress(path, label="big.bin", stream=stream, clock=ticking(0.0625))
    assert found.digest.value == sha256_of_zeros(300 * MIB)
    drawn = stream.getvalue().split("\r")
    assert drawn[0] == ""
    # 32 looks of 1/16 s make 2 s; then a line after every 0.25 s, the fourth look past 0.2 s.
    assert drawn[1] == "provgraph: big.bin  10% [#---------] 34 of 315 MB, 17 MB/s, 17 s left"
    assert drawn[2] == "provgraph: big.bin  12% [#---------] 38 of 315 MB, 17 MB/s, 16 s left"
    assert len(drawn) == 1 + 68 + 2
    assert drawn[-2].strip() == ""
    assert drawn[-1] == ""
    assert "\n" not in stream.getvalue()


def test_a_log_gets_a_line_every_ten_seconds(tmp_path):
    path = sparse(tmp_path / "big.bin", 300 * MIB)
    stream = io.StringIO()
    digest_with_progress(path, label="big.bin", stream=stream, clock=ticking(0.125))
    assert stream.getvalue().splitlines() == [
        "provgraph: big.bin  26% [##--------] 84 of 315 MB, 8 MB/s, 28 s left",
        "provgraph: big.bin  53% [#####-----] 168 of 315 MB, 8 MB/s, 18 s left",
        "provgraph: big.bin  80% [########--] 252 of 315 MB, 8 MB/s, 8 s left",
    ]


def test_minutes_left_are_said_in_minutes(tmp_path):
    path = sparse(tmp_path / "big.bin", 10 * MIB)
    stream = io.StringIO()
    digest_with_progress(path, label="big.bin", stream=stream, clock=ticking(20))
    assert stream.getvalue().splitlines()[0] == (
        "provgraph: big.bin  10% [#---------] 1 of 10 MB, 0 MB/s, 3 min 0 s left"
    )


def test_a_label_cannot_command_the_terminal(tmp_path):
    path = sparse(tmp_path / "big.bin", 5 * MIB)
    stream = io.StringIO()
    digest_with_progress(path, label="a\x1b[2Jb\nc", stream=stream, clock=ticking(10))
    assert stream.getvalue().splitlines()[0].startswith("provgraph: a?[2Jb?c  20% [")


@pytest.mark.parametrize("how", ["closed", "broken", "none"])
def test_a_stream_that_fails_changes_nothing(tmp_path, monkeypatch, how):
    path = sparse(tmp_path / "big.bin", 5 * MIB)
    stream = {"closed": Terminal(), "broken": Broken(), "none": None}[how]
    if how == "closed":
        stream.close()
    if how == "none":
        monkeypatch.setattr("sys.stderr", None)
    found = digest_with_progress(path, label="x", stream=stream, clock=ticking(3))
    assert found.digest.value == sha256_of_zeros(5 * MIB)


def test_a_stream_without_the_characters_changes_nothing(tmp_path):
    path = sparse(tmp_path / "big.bin", 5 * MIB)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    found = digest_with_progress(path, label="größe 🎲", stream=stream, clock=ticking(20))
    assert found.digest.value == sha256_of_zeros(5 * MIB)


def test_a_folder_shows_its_progress_too(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("b", "a"):
        (folder / name).write_bytes(name.encode() * MIB)
    stream = io.StringIO()
    found = digest_with_progress(folder, label="data", stream=stream, clock=ticking(10))
    lines = "".join(
        f"{hashlib.sha256(name.encode() * MIB).hexdigest()}  {name}\n" for name in ("a", "b")
    )
    assert str(found.digest) == f"folder-v1:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert found.file_count == 2
    assert stream.getvalue().splitlines() == [
        "provgraph: data  50% [#####-----] 1 of 2 MB, 0 MB/s, 10 s left",
        "provgraph: data 100% [##########] 2 of 2 MB, 0 MB/s, 0 s left",
    ]


def count_reads(monkeypatch):
    reads = []
    real = files.digest_path

    def counting(path, *, progress):
        reads.append(path.name)
        return real(path, progress=progress)

    monkeypatch.setattr(files, "digest_path", counting)
    return reads


def test_a_large_file_is_read_once(tmp_path, monkeypatch, settled):
    reads = count_reads(monkeypatch)
    path = sparse(tmp_path / "a.bin", 2 * MIB)
    first = digest_with_progress(path, label="a")
    os.link(path, tmp_path / "same.bin")  # changes the change time: read again
    second = digest_with_progress(path, label="a")
    third = digest_with_progress(tmp_path / "same.bin", label="same")
    assert first == second == third
    assert reads == ["a.bin", "a.bin"]


@pytest.mark.parametrize("change", ["content", "times kept", "replaced"])
def test_a_changed_file_is_read_again(tmp_path, monkeypatch, settled, change):
    reads = count_reads(monkeypatch)
    path = long_ago(sparse(tmp_path / "a.bin", 2 * MIB))
    first = digest_with_progress(path, label="a")
    times = path.stat().st_mtime_ns, path.stat().st_mtime_ns
    time.sleep(0.02)  # beyond the tick of the file system's clock
    if change == "replaced":
        other = tmp_path / "b.bin"
        other.write_bytes(b"\1" * (2 * MIB))
        os.replace(other, path)
    else:
        path.write_bytes(b"\1" * (2 * MIB))
    if change != "content":
        os.utime(path, ns=times)
    second = digest_with_progress(path, label="a")
    assert second.digest == sha256_bytes(b"\1" * (2 * MIB))
    assert second.digest != first.digest
    assert reads == ["a.bin", "a.bin"]


def test_a_file_changed_just_now_is_not_remembered(tmp_path, monkeypatch):
    reads = count_reads(monkeypatch)
    path = sparse(tmp_path / "a.bin", 2 * MIB)
    digest_with_progress(path, label="a")
    digest_with_progress(path, label="a")
    assert reads == ["a.bin", "a.bin"]


def test_a_small_file_is_not_remembered(tmp_path, monkeypatch, settled):
    reads = count_reads(monkeypatch)
    path = sparse(tmp_path / "a.bin", 1_000_000)
    digest_with_progress(path, label="a")
    digest_with_progress(path, label="a")
    assert reads == ["a.bin", "a.bin"]


def test_memory_of_digests_is_bounded(tmp_path, monkeypatch, settled):
    monkeypatch.setattr(files, "_MOST_REMEMBERED", 2)
    monkeypatch.setattr(files, "_known", {})
    for number in range(5):
        digest_with_progress(sparse(tmp_path / f"{number}.bin", 2 * MIB), label="x")
    assert len(files._known) == 1


def test_what_cannot_be_read_raises_and_leaves_the_terminal_clean(tmp_path):
    with pytest.raises(CaptureError, match="no such file"):
        digest_with_progress(tmp_path / "absent", label="absent")
    with pytest.raises(CaptureError, match="neither a regular file nor a folder"):
        digest_with_progress(Path("/dev/null"), label="null")
