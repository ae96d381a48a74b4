"""The edges that walks follow as arrays in one file, mapped into memory: for graphs of millions of edges.

Compressed sparse rows, once by child and once by parent: `ends[starts[n]:starts[n + 1]]` is what is one
step away from thing n, `since` the ledger positions that those edges hold since. Numbers are 32 bits
wide and in the byte order of the machine; a file from elsewhere is not taken. Nothing is read that a walk
does not touch, and the pages are the system's to drop.

What came in after the file was written (`recent` in the SQLite file) is laid over it in memory. The file
is written beside its successor and named by a transaction, so dying on the way leaves the old one.

What it does not do: say which record states an edge, or of which kind it is; the SQLite file does.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import struct
import zlib
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from provgraph import disk
from provgraph.errors import DamagedIndexError, IndexUnavailableError
from provgraph.index.edge_walks import EVER, Levels, Steps
from provgraph.index.edges import EdgeFile

# Below this many edges the SQLite file answers as fast as anybody notices.
MIN_EDGES: Final = 100_000
# So much may lie over the arrays before they are written anew: what is read into memory at each opening,
# against the 2 µs per edge that writing takes.
_MIN_RECENT: Final = 20_000
_RECENT_SHARE: Final = 50

_MAGIC: Final = b"PGARRAY1"
# magic, byte order, things, edges, ledger size, CRC-32 of the body, CRC-32 of all before it
_HEADER: Final = struct.Struct("=8sIQQQII")
_HEADER_BYTES: Final = 64
_BYTE_ORDER: Final = 0x01020304
_WIDTH: Final = 4
_MOST: Final = 2**32 - 1
_ROWS: Final = 50_000

Rows = tuple[memoryview, memoryview, memoryview]
"""starts, ends, since"""


class EdgeArrays(Steps):
    """The arrays, open, with what came in since."""

    def __init__(self, file: mmap.mmap, recent: Iterable[tuple[int, int, int]]) -> None:
        """Take over a mapped file whose header was checked; `recent` is (child, parent, position)."""
        self._file = file
        _, _, self.things, self.edges, self.size, _, _ = _HEADER.unpack_from(file)
        view = memoryview(file)[_HEADER_BYTES:].cast("I")
        self._views = [view]
        lengths = (self.things + 1, self.edges, self.edges) * 2
        cuts = [0, *accumulate(lengths)]
        parts = [view[start:stop] for start, stop in pairwise(cuts)]
        self._views += parts
        self._up: Rows = (parts[0], parts[1], parts[2])
        self._down: Rows = (parts[3], parts[4], parts[5])
        self._over: dict[bool, dict[int, list[tuple[int, int]]]] = {
            True: defaultdict(list),
            False: defaultdict(list),
        }
        self.recent = 0
        for child, parent, position in recent:
            self._over[True][child].append((parent, position))
            self._over[False][parent].append((child, position))
            self.recent += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def require_ends(self, path: Path) -> None:
        """Check that both halves begin and end as they must; `require_sound` reads all of them.

        Raises:
            DamagedIndexError: they do not.
        """
        for starts, _, _ in (self._up, self._down):
            if (starts[0], starts[self.things]) != (0, self.edges):
                raise DamagedIndexError(f"the arrays {path} are not what was written")

    def close(self) -> None:
        """Let go of the file."""
        for view in reversed(self._views):
            view.release()
        self._file.close()

    def step(
        self, level: Collection[int], *, up: bool, as_of: int = EVER, limit: int = EVER
    ) -> set[int]:
        """Return what is one step away."""
        found: set[int] = set()
        with self._damage():
            for each in level:
                found.update(self._near(each, up=up, as_of=as_of, limit=limit))
                if len(found) >= limit:
                    break
        return found

    def levels(
        self,
        roots: Collection[int],
        *,
        up: bool,
        as_of: int = EVER,
        max_depth: int = EVER,
        max_things: int = EVER,
    ) -> tuple[Levels, bool]:
        """Return what is 0, 1, 2, … steps away, and whether a limit ended the walk before its end."""
        if as_of < self.size:
            return super().levels(
                roots, up=up, as_of=as_of, max_depth=max_depth, max_things=max_things
            )
        with self._damage():
            return self._levels(
                roots, up=up, as_of=as_of, max_depth=max_depth, max_things=max_things
            )

    def _levels(
        self, roots: Collection[int], *, up: bool, as_of: int, max_depth: int, max_things: int
    ) -> tuple[Levels, bool]:
        """Walk where all of the arrays counts: a quarter of a microsecond for each thing."""
        starts, ends, _ = self._up if up else self._down
        things, over = self.things, self._over[up]
        seen = set(roots)
        add = seen.add
        level = list(seen)
        levels: Levels = [level]
        while True:
            if len(seen) > max_things:
                return levels, True
            if len(levels) > max_depth:
                return levels, bool(self.step(level, up=up, as_of=as_of, limit=1))
            following: list[int] = []
            append = following.append
            for each in level:
                if over:
                    for end, position in over.get(each, ()):
                        if position < as_of and end not in seen:
                            add(end)
                            append(end)
                    if each >= things:
                        continue
                start, stop = starts[each], starts[each + 1]
                if stop - start > max_things:  # a hub, of which so many are enough
                    stop = min(stop, start + max_things + len(seen) + 1)
                for end in ends[start:stop]:
                    if end not in seen:
                        add(end)
                        append(end)
                if len(seen) > max_things:
                    break
            if not following:
                return levels, False
            levels.append(following)
            level = following

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except IndexError:
            raise DamagedIndexError(
                "the arrays of the lineage index name things that are not"
            ) from None

    def _near(self, each: int, *, up: bool, as_of: int, limit: int) -> Iterator[int]:
        if each < self.things:
            starts, ends, since = self._up if up else self._down
            start, stop = starts[each], starts[each + 1]
            if as_of >= self.size:
                yield from ends[start : min(stop, start + limit)]
            else:
                for place in range(start, stop):
                    if since[place] < as_of:
                        yield ends[place]
        for end, position in self._over[up].get(each, ()):
            if position < as_of:
                yield end


def open_arrays(file: EdgeFile) -> EdgeArrays | None:
    """Open the arrays over a lineage index; None where it has none.

    Raises:
        DamagedIndexError: they are not what was written.
    """
    name, recent = file.arrays()
    if name is None:
        return None
    folder = file.path.parent
    if not (folder / name).exists():
        # New ones were put in force in between, and these removed.
        name, recent = file.arrays()
    path = folder / str(name)
    if path.name != name:
        raise DamagedIndexError(f"the lineage index {file.path} names arrays elsewhere: {name}")
    try:
        with path.open("rb") as opened:
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise DamagedIndexError(f"the arrays {path} cannot be read: {error}") from error
    try:
        _require_whole(mapped, path)
        arrays = EdgeArrays(mapped, recent)
        arrays.require_ends(path)
    except BaseException:
        with contextlib.suppress(BufferError):
            mapped.close()
        raise
    return arrays


def require_sound(path: Path) -> None:
    """Check that the arrays in a file are what was written.

    Raises:
        DamagedIndexError: they are not.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedIndexError(f"the arrays {path} cannot be read: {error}") from error
    _require_whole(data, path)
    if zlib.crc32(memoryview(data)[_HEADER_BYTES:]) != _HEADER.unpack_from(data)[5]:
        raise DamagedIndexError(f"the arrays {path} are not what was written")


def keep_arrays(file: EdgeFile) -> bool:
    """Write the arrays over a lineage index where it is large and they lack much; say whether.

    Raises:
        IndexUnavailableError: they cannot be written.
    """
    walked, recent, has_arrays = file.counts()
    if walked < MIN_EDGES or (has_arrays and recent <= max(_MIN_RECENT, walked // _RECENT_SHARE)):
        return False
    write_arrays(file)
    return True


def write_arrays(file: EdgeFile) -> None:
    """Write the arrays over a lineage index anew, and put them in force.

    Raises:
        IndexUnavailableError: they cannot be written, or the graph is too large for them.
    """
    folder = file.path.parent
    fresh = folder / f"arrays-{secrets.token_hex(8)}.bin"
    try:
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w+b") as opened:
            dump_arrays(file, opened.fileno())
        disk.sync(fresh)
        # If the process dies here, the old arrays stay in force, and `recent` says what they lack.
        file.put_arrays_in_force(fresh.name)
        for path in folder.glob("arrays-*.bin"):
            if path != fresh:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise IndexUnavailableError(
            f"the arrays {fresh} cannot be written: {error.strerror or error}; the ledger is"
            " unharmed, make room or mend the permissions"
        ) from error


def dump_arrays(file: EdgeFile, descriptor: int) -> None:
    """Write the arrays into an empty file."""
    things, edges = file.thing_count(), file.walked_count()
    size = file.watermark().size
    if max(things, edges, size) >= _MOST:
        raise IndexUnavailableError(f"{file.path} has more edges than 32 bits can number")
    at = _HEADER_BYTES
    for up in (True, False):
        counts = array("I", bytes(_WIDTH * (things + 1)))
        ends_at = at + _WIDTH * (things + 1)
        since_at = ends_at + _WIDTH * edges
        for heres, theres, positions in file.walked_columns(up=up, rows=_ROWS):
            for here in heres:
                counts[here + 1] += 1
            ends_at = _write_at(descriptor, array("I", theres), ends_at)
            since_at = _write_at(descriptor, array("I", positions), since_at)
        _write_at(descriptor, array("I", accumulate(counts)), at)
        at = since_at
    with (
        mmap.mmap(descriptor, at, access=mmap.ACCESS_READ) as body,
        memoryview(body) as view,
        view[_HEADER_BYTES:] as rest,
    ):
        crc = zlib.crc32(rest)
    head = struct.pack("=8sIQQQI", _MAGIC, _BYTE_ORDER, things, edges, size, crc)
    os.pwrite(descriptor, head + struct.pack("=I", zlib.crc32(head)), 0)


def _write_at(descriptor: int, numbers: array[int], at: int) -> int:
    """Write all of it; return where it ends."""
    with memoryview(numbers).cast("B") as view:
        done = 0
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], at + done)
    return at + done


def _require_whole(data: bytes | mmap.mmap, path: Path) -> None:
    if len(data) < _HEADER_BYTES:
        raise DamagedIndexError(f"the arrays {path} are cut short")
    magic, order, things, edges, _, _, crc = _HEADER.unpack_from(data)
    if magic != _MAGIC or order != _BYTE_ORDER or crc != zlib.crc32(data[: _HEADER.size - _WIDTH]):
        raise DamagedIndexError(f"the arrays {path} have another header than was written")
    expected = _HEADER_BYTES + _WIDTH * 2 * (things + 1 + 2 * edges)
    if len(data) != expected:
        raise DamagedIndexError(f"the arrays {path}: expected {expected} bytes, found {len(data)}")
