"""The trace as bytes: damaged ones, strange ones, and the size of what the hook costs."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from provgraph.capture.trace import Opened, Trace, changed_since, read_trace

EMPTY = Trace(
    read=(),
    written=(),
    code=(),
    gone_count=0,
    libraries=(),
    programs=(),
    unseen_python_count=0,
    processes=frozenset(),
    is_damaged=False,
)


def lines(*events: tuple[object, ...]) -> bytes:
    return b"".join(
        b"\0".join(os.fsencode(str(each)) for each in event) + b"\0\n" for event in events
    )


def read(data: bytes) -> Trace:
    return read_trace(data, root_process=1, environ={"HOME": "/home/ana"}, started_ns=0)


def test_nothing() -> None:
    assert read(b"") == EMPTY


def test_what_is_whole_is_kept_when_the_end_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a")
    state = path.stat()
    data = lines(("R", path, state.st_mtime_ns, state.st_size))
    found = read(data + b"W\0/half/a/pa")
    assert found.read == (Opened(path=str(path), now=str(path)),)
    assert found.is_damaged is True


def test_lines_that_make_no_sense() -> None:
    for data in (
        b"\0\n",
        b"Z\0x\0\n",
        lines(("R", "/a", "now", "3")),
        lines(("R", "/a")),
        lines(("P", "x", "", "")),
    ):
        assert read(data).is_damaged is True


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    assert isinstance(read(data), Trace) is True


def test_programs_that_reported_are_not_counted() -> None:
    data = lines(
        ("P", 1, "/lib/python3.11", "", "python", "python", "train.py"),
        ("X", 1, "torchrun"),
        ("P", 2, "/lib/python3.11", "", "python3", "python3", "torchrun"),
        ("X", 2, "python3"),
        ("P", 3, "/lib/python3.11", "", "python3", "python3", "-c"),
        ("X", 3, "ffmpeg"),
        ("X", 3, "uname"),
        ("X", 3, "python3.11"),
    )
    found = read(data)
    assert found.processes == frozenset({1, 2, 3})
    assert found.programs == ("ffmpeg",)
    assert found.unseen_python_count == 1


def test_hints_name_what_changed_and_is_not_known(tmp_path: Path) -> None:
    for name in ("known", "new", "old", ".hidden"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("new")
    os.utime(tmp_path / "old", ns=(1, 1))
    folders = [str(tmp_path), str(tmp_path / "gone")]
    found = changed_since(folders, 1000, known=[str(tmp_path / "known")])
    assert found == [str(tmp_path / "new")]
