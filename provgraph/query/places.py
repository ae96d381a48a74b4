"""Files and folders hashed again at the places where a record says that they were.

A place comes from a record, so from anybody: it is read only if it is a local file or folder, by
`file://` or path. Devices, pipes, and what the kernel makes up below /dev, /proc and /sys are never
opened, links are resolved first, and no more is read than was there at the start. A mounted network file
system is a local folder to this program as to any other.

States: same; replaced (by other bytes that were recorded at that place); changed; gone; unreadable;
and, not checked, why: not local, not a file (a digest of data in memory), weak digest.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from provgraph.digests import Digest, digest_path
from provgraph.errors import CaptureError

SAME: Final = "same"
REPLACED: Final = "replaced"
CHANGED: Final = "changed"
GONE: Final = "gone"
UNREADABLE: Final = "unreadable"
NOT_LOCAL: Final = "not local"
NOT_A_FILE: Final = "not a file"
WEAK: Final = "weak digest"

# Digests of bytes on a disk; the others are of tables and arrays in memory.
_FILE_ALGORITHMS: Final = frozenset({"sha256", "folder-v1"})
_MADE_UP: Final = tuple(map(os.fsencode, ("/dev", "/proc", "/sys")))
_MAX_FILES: Final = 1_000_000  # below one folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where bytes of a digest were recorded to be."""

    digest: Digest
    location: str  # IRI


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is at a place now."""

    place: Place
    state: str
    found: Digest | None = None
    reason: str | None = None


Progress = Callable[[int, int], None]
"""Called with (bytes read so far, bytes to read)."""


def check_places(places: Iterable[Place], *, progress: Progress) -> Iterator[Checked]:
    """Hash what is at each place now."""
    places = list(places)
    recorded: dict[str, set[Digest]] = {}
    for place in places:
        recorded.setdefault(place.location, set()).add(place.digest)
    count = _Bytes(progress, total=sum(map(_size_of, places)))
    known: dict[str, Checked] = {}  # by location: each is read once
    for place in places:
        checked = _check(place, known, count)
        if checked.state == CHANGED and checked.found in recorded[place.location]:
            checked = Checked(place=place, state=REPLACED, found=checked.found)
        yield checked


def _check(place: Place, known: dict[str, Checked], count: _Bytes) -> Checked:
    if place.digest.is_weak:
        return Checked(place=place, state=WEAK, reason="equal digests do not mean equal bytes")
    if place.digest.algorithm not in _FILE_ALGORITHMS:
        reason = f"{place.digest.algorithm} is a digest of data in memory"
        return Checked(place=place, state=NOT_A_FILE, reason=reason)
    path = local_path(place.location)
    if path is None:
        return Checked(place=place, state=NOT_LOCAL, reason="only file:// and paths are read")
    if place.location not in known:
        known[place.location] = _look(place, path, count)
    seen = known[place.location]
    state = seen.state
    if seen.found is not None:
        state = SAME if seen.found == place.digest else CHANGED
    return Checked(place=place, state=state, found=seen.found, reason=seen.reason)


def _look(place: Place, path: bytes, count: _Bytes) -> Checked:
    try:
        resolved = os.path.realpath(path)
        _require_plain(resolved)
        if os.path.isdir(resolved):
            for inside in _files_below(resolved):
                _require_plain(os.path.realpath(inside))
        read = count.at_most(_bytes_at(resolved))
        found = digest_path(Path(os.fsdecode(resolved)), progress=read).digest
    except FileNotFoundError:
        return Checked(place=place, state=GONE)
    except (CaptureError, OSError, ValueError, _RefusedError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Checked(place=place, state=UNREADABLE, reason=text)
    return Checked(place=place, state=CHANGED, found=found)


def local_path(location: str) -> bytes | None:
    """Return the path that a location means on this machine, None where it means another one.

    RFC 8089: `file:///a`, `file://localhost/a`, `file:/a`.
    """
    match = re.fullmatch(r"file:(?://(?:localhost)?)?(/[^?#]*)", location, re.IGNORECASE)
    if match is None or match[1].startswith("//"):
        return None
    path = unquote_to_bytes(match[1])
    return None if b"\0" in path else path


class _RefusedError(Exception):
    """A place that is not read, and why."""


def _require_plain(path: bytes) -> None:
    """Refuse what is no file or folder of a file system: its bytes may never end."""
    for folder in _MADE_UP:
        if path == folder or path.startswith(folder + b"/"):
            raise _RefusedError(f"not read: it is below {folder.decode()}")
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _RefusedError("not read: neither a regular file nor a folder")


def _files_below(root: bytes) -> Iterator[bytes]:
    count = 0
    for folder, _, names in os.walk(root):
        for name in names:
            full = os.path.join(folder, name)
            if os.path.isfile(full):
                count += 1
                if count > _MAX_FILES:
                    raise _RefusedError(f"not read: more than {_MAX_FILES} files")
                yield full


def _bytes_at(path: bytes) -> int:
    if os.path.isdir(path):
        return sum(os.path.getsize(each) for each in _files_below(path))
    return os.path.getsize(path)


def size_on_disk(place: Place) -> int:
    """Return how many bytes `check_places` would read at a place; 0 for what it would not read."""
    path = local_path(place.location)
    if path is None or place.digest.algorithm not in _FILE_ALGORITHMS:
        return 0
    try:
        return _bytes_at(os.path.realpath(path))
    except (OSError, ValueError, _RefusedError):
        return 0


def _size_of(place: Place) -> int:
    path = local_path(place.location)
    try:
        return 0 if path is None or os.path.isdir(path) else os.path.getsize(path)
    except (OSError, ValueError):
        return 0


class _Bytes:
    """Counts what is read, for the progress bar and against files that grow without end."""

    def __init__(self, progress: Progress, *, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def at_most(self, limit: int) -> Callable[[int], None]:
        """Return what counts the bytes of one file or folder, and refuses more than `limit`."""
        left = limit

        def read(count: int) -> None:
            nonlocal left
            left -= count
            if left < 0:
                raise _RefusedError("not read to its end: it grew meanwhile")
            self.add(count)

        return read

    def add(self, count: int) -> None:
        self._done += count
        self._progress(min(self._done, self._total), self._total)
