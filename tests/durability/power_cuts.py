"""Every state in which a power cut may leave a disk, rebuilt from a trace of what was done to it.

The rules are those that POSIX gives, and no more (as in Pillai and others, "All File Systems Are Not
Created Equal", OSDI 2014): the bytes of a file are safe after its own sync, a name after the sync of
its folder. Until then every write, and every name made, changed or taken away, is on the disk or is
not, each for itself and in any order; a write may be there in part, cut at a sector. File systems in
use promise more than that; what holds here holds on all of them, as long as a sync that returned was
true.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from disk_trace import Link, Make, Rename, Say, Step, SyncEnd, SyncStart, Truncate, Unlink, Write

SECTOR_BYTES = 512
# At each moment: so many drawn at random, beside those that are always looked at.
DRAWN = 4
# More that hangs at one moment than this is left out or kept one by one only in part.
EACH_OF = 10


@dataclass(slots=True, eq=False)
class _File:
    """A file, or a folder: what is safe in it."""

    is_folder: bool
    data: bytearray = field(default_factory=bytearray)
    names: dict[str, _File] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """Something that was done and is not safe yet: to a file's bytes, or to names in folders."""

    file: _File | None = None
    offset: int = 0
    data: bytes | None = None  # None: cut or extended to `offset`
    names: tuple[tuple[_File, str, _File | None], ...] = ()

    def settles_with(self, file: _File) -> bool:
        """Whether a sync of this file or folder makes it safe. A rename is safe at its new place."""
        if self.names:
            return self.names[-1][0] is file
        return self.file is file


Choice = tuple[str, Sequence[_Change]]
"""Its name, and the changes that reached the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One disk after a power cut: its files, and what had been said by then."""

    files: dict[str, bytes | None]  # None for a folder
    said: tuple[str, ...]
    moment: int
    what: str

    @property
    def digest(self) -> bytes:
        """Equal for equal disks of which equal things are expected."""
        found = hashlib.sha256(repr(self.said).encode())
        for path, data in sorted(self.files.items()):
            found.update(f"\0{path}\0{'folder' if data is None else len(data)}\0".encode())
            found.update(data or b"")
        return found.digest()

    def write(self, folder: Path) -> None:
        """Put it into an empty folder."""
        for path, data in sorted(self.files.items()):
            place = folder / path
            if data is None:
                place.mkdir(mode=0o700)
            else:
                place.write_bytes(data)
                place.chmod(0o600)


class Disk:
    """A disk as a trace fills it: what is safe, and what hangs."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._top = _File(is_folder=True)
        # What the programs see, which is everything.
        self._seen: dict[str, _File] = {"": self._top}
        self._hanging: list[_Change] = []
        self._syncing: dict[int, tuple[_File, list[_Change]]] = {}
        self.said: list[str] = []

    def do(self, step: Step) -> None:
        """Take one step of the trace."""
        match step:
            case Write():
                file = self._seen[self._inside(step.path)]
                self._hanging.append(_Change(file=file, offset=step.offset, data=step.data))
            case Truncate():
                self._hanging.append(
                    _Change(file=self._seen[self._inside(step.path)], offset=step.size)
                )
            case Make():
                self._rename({step.path: _File(is_folder=step.is_folder)})
            case Link():
                self._rename({step.path: self._seen[self._inside(step.source)]})
            case Unlink():
                self._rename({step.path: None})
            case Rename():
                moved = self._seen[self._inside(step.source)]
                self._rename({step.source: None, step.path: moved})
            case SyncStart():
                file = self._seen[self._inside(step.path)]
                covered = [each for each in self._hanging if each.settles_with(file)]
                self._syncing[step.key] = file, covered
            case SyncEnd():
                _, covered = self._syncing.pop(step.key)
                for each in covered:
                    if each in self._hanging:
                        self._hanging.remove(each)
                        _apply(each)
            case Say():
                self.said.append(step.text)

    def choices(self, draw: random.Random, *, drawn: int = DRAWN) -> Iterator[Choice]:
        """Yield what a power cut now may leave of all that hangs, by name."""
        hanging = self._hanging
        yield "nothing that hangs", ()
        if not hanging:
            return
        yield "all that hangs", hanging
        few = hanging if len(hanging) <= EACH_OF else draw.sample(hanging, EACH_OF)
        for each in few:
            at = hanging.index(each)
            yield f"change {at} alone", (each,)
            yield f"all but change {at}", [other for other in hanging if other is not each]
        for each in [each for each in few if each.data and len(each.data) > SECTOR_BYTES][:3]:
            data = each.data or b""
            kept = SECTOR_BYTES * draw.randrange(1, (len(data) - 1) // SECTOR_BYTES + 1)
            torn = _Change(file=each.file, offset=each.offset, data=data[:kept])
            changes = [torn if other is each else other for other in hanging]
            yield f"change {hanging.index(each)} cut at {kept}", changes
        for number in range(drawn):
            share = (0.2, 0.5, 0.8)[number % 3]
            yield f"draw {number}", [each for each in hanging if draw.random() < share]

    def _inside(self, path: str) -> str:
        return path.removeprefix(self._root).removeprefix("/")

    def _rename(self, changes: dict[str, _File | None]) -> None:
        """Give files names, or take them away, as one step."""
        names = []
        for path, file in changes.items():
            inside = self._inside(path)
            folder, _, name = inside.rpartition("/")
            names.append((self._seen[folder], name, file))
            if file is None:
                self._seen.pop(inside, None)
            else:
                self._seen[inside] = file
        if len(changes) == 2 and (moved := names[1][2]) is not None and moved.is_folder:
            source, target = map(self._inside, changes)
            for path in [each for each in self._seen if each.startswith(f"{source}/")]:
                self._seen[target + path[len(source) :]] = self._seen.pop(path)
        self._hanging.append(_Change(names=tuple(names)))

    def state(self, choice: Choice, *, moment: int) -> State:
        """Build the disk that a choice means."""
        what, changes = choice
        names: dict[int, dict[str, _File | None]] = {}
        data: dict[int, bytearray] = {}
        for each in changes:
            for folder, name, file in each.names:
                names.setdefault(id(folder), {})[name] = file
            if each.file is not None:
                found = data.setdefault(id(each.file), bytearray(each.file.data))
                _change_bytes(found, each)
        files: dict[str, bytes | None] = {}

        def walk(folder: _File, prefix: str) -> None:
            for name, file in {**folder.names, **names.get(id(folder), {})}.items():
                if file is None:
                    continue
                if file.is_folder:
                    files[prefix + name] = None
                    walk(file, f"{prefix}{name}/")
                else:
                    files[prefix + name] = bytes(data.get(id(file), file.data))

        walk(self._top, "")
        return State(files=files, said=tuple(self.said), moment=moment, what=what)


def power_cuts(
    steps: Sequence[Step], *, root: Path, seed: int, drawn: int = DRAWN, share: float = 1.0
) -> Iterator[State]:
    """Yield every different disk that a power cut during these steps may leave.

    With `share` below 1 only so many of them, drawn by `seed`; but after each acknowledgement always
    the disk that has nothing of what hangs.
    """
    draw = random.Random(seed)
    disk = Disk(root)
    seen: set[bytes] = set()
    for moment, step in enumerate(steps):
        disk.do(step)
        if isinstance(step, SyncStart):
            continue
        for number, choice in enumerate(disk.choices(draw, drawn=drawn)):
            if draw.random() >= share and not (number == 0 and isinstance(step, Say)):
                continue
            state = disk.state(choice, moment=moment)
            if state.digest not in seen:
                seen.add(state.digest)
                yield state


def _apply(change: _Change) -> None:
    for folder, name, file in change.names:
        if file is None:
            folder.names.pop(name, None)
        else:
            folder.names[name] = file
    if change.file is not None:
        _change_bytes(change.file.data, change)


def _change_bytes(found: bytearray, change: _Change) -> None:
    if change.data is None:
        del found[change.offset :]
        found.extend(b"\0" * (change.offset - len(found)))
        return
    found.extend(b"\0" * (change.offset - len(found)))
    found[change.offset : change.offset + len(change.data)] = change.data
