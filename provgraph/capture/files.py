"""Files and folders digested with a progress bar, and no large file twice in one process.

The digests are those of `provgraph.digests`. What takes less than 2 s says nothing. After that a
terminal shows one line, redrawn in place and removed at the end; anything else (a log file, a batch
job) gets a line every 10 s. Nothing that goes wrong with the bar reaches the caller.

Units: bytes, seconds of the given clock; MB are 10^6 bytes, as disks are sold.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

from provgraph.digests import Digest, PathDigest, digest_path, total_bytes

SILENT_S: Final = 2.0
REDRAW_S: Final = 0.2
LINE_S: Final = 10.0

# Below this a file is hashed again faster than anyone could notice.
_REMEMBER_BYTES: Final = 1_000_000
# A file written to within the clock tick of its last change keeps its times, so a digest taken this
# soon after a change is not remembered (2 s is the tick of FAT, the coarsest in use).
_SETTLED_NS: Final = 2_000_000_000
_MOST_REMEMBERED: Final = 10_000

_Identity = tuple[int, int, int, int, int]
_known: dict[_Identity, Digest] = {}


def digest_with_progress(
    path: Path,
    *,
    label: str,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> PathDigest:
    """Digest a file or folder; show progress on `stream` (standard error) when it takes long.

    Raises:
        CaptureError: missing, unreadable, not a regular file or folder, or changed while read.
    """
    before = _identity(path)
    if before is not None and (known := _known.get(before)) is not None:
        return PathDigest(digest=known, size_bytes=before[2], file_count=1)
    bar = _Bar(path, label=label, stream=sys.stderr if stream is None else stream, clock=clock)
    try:
        found = digest_path(path, progress=bar.advance)
    finally:
        bar.close()
    if before is not None and before == _identity(path) and _is_settled(before):
        if len(_known) >= _MOST_REMEMBERED:
            _known.clear()
        _known[before] = found.digest
    return found


def _identity(path: Path) -> _Identity | None:
    """Return what names the present content of a large regular file, None for anything else."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size <= _REMEMBER_BYTES or not status.st_ino:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _is_settled(identity: _Identity) -> bool:
    *_, modified_ns, changed_ns = identity
    return time.time_ns() - max(modified_ns, changed_ns) > _SETTLED_NS


class _Bar:
    """One line that says how far a digest is. It never raises."""

    def __init__(
        self, path: Path, *, label: str, stream: TextIO | None, clock: Callable[[], float]
    ) -> None:
        self._path = path
        # A file name may hold escape sequences, which a terminal would obey.
        self._label = "".join(char if char.isprintable() else "?" for char in label[:24])
        self._stream = stream
        self._clock = clock
        self._start_s = clock()
        self._next_s = self._start_s + SILENT_S
        self._done_bytes = 0
        self._total_bytes = 0
        self._width = 0
        self._is_terminal: bool | None = None

    def advance(self, count: int) -> None:
        """Take note of bytes read; show the state when it is time to."""
        self._done_bytes += count
        now_s = self._clock()
        if self._stream is None or now_s < self._next_s:
            return
        try:
            self._show(self._stream, now_s)
        except (OSError, ValueError):  # closed, gone, or an encoding without these characters
            self._stream = None

    def close(self) -> None:
        """Remove the line from a terminal."""
        if self._stream is None or not self._is_terminal or not self._width:
            return
        try:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None

    def _show(self, stream: TextIO, now_s: float) -> None:
        if self._is_terminal is None:
            self._is_terminal = stream.isatty()
            self._total_bytes = total_bytes(self._path)
            if not self._is_terminal:
                # The first line of a log comes with the rhythm of the others.
                self._next_s = self._start_s + LINE_S
                if now_s < self._next_s:
                    return
        line = self._line(max(now_s - self._start_s, 1e-9))
        if self._is_terminal:
            line = line[: _columns(stream) - 1]
            stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
            self._next_s = now_s + REDRAW_S
        else:
            stream.write(line + "\n")
            self._next_s = now_s + LINE_S
        stream.flush()

    def _line(self, elapsed_s: float) -> str:
        rate = self._done_bytes / elapsed_s
        # A file may grow while it is read, and a total of 0 is one that cannot be known.
        total = max(self._total_bytes, self._done_bytes)
        percent = 100 * self._done_bytes // total
        left_s = round((total - self._done_bytes) / rate)
        return (
            f"provgraph: {self._label} {percent:3d}% [{'#' * (percent // 10):-<10}]"
            f" {self._done_bytes / 1e6:,.0f} of {total / 1e6:,.0f} MB,"
            f" {rate / 1e6:,.0f} MB/s, {_duration(left_s)} left"
        )


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
