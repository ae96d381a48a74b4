"""What a program did to the disk: its writes, syncs and names, in order, as strace saw them.

Every system call that changes a file below one folder is taken down with its bytes. A call that
changes files in a way this module does not know ends the trace with an error, so that nothing is
overlooked. Standard output is taken down as well: it says what had been acknowledged by then.

Limits: files that are only ever mapped (SQLite's -shm) are not seen, and need not be: SQLite makes
them anew when no process has them open.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# How a line on standard output begins that says what was acknowledged; git writes there as well.
SAID = b"said "

_SYSCALLS = (
    "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,truncate,ftruncate,fallocate,"
    "fsync,fdatasync,sync,syncfs,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,"
    "unlinkat,rmdir,mkdir,mkdirat,mknod,mknodat,symlink,symlinkat,copy_file_range,sendfile,splice"
)
_CALL = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?.*")
_STARTED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_PATH_OF_DESCRIPTOR = re.compile(r"(-?\w+)(?:<([^>]*)>(\(deleted\))?)?")
_SYNCS = ("fsync", "fdatasync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Bytes put into a file."""

    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    """A file cut or extended."""

    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """A new, empty file or folder."""

    path: str
    is_folder: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A second name for a file."""

    source: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """Another name for a file or folder."""

    source: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlink:
    """A name taken away."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStart:
    """A sync that was asked for; it covers what had been done by then."""

    path: str
    key: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncEnd:
    """A sync that returned without an error."""

    path: str
    key: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """A line on standard output."""

    text: str


Step = Write | Truncate | Make | Link | Rename | Unlink | SyncStart | SyncEnd | Say


class Tracer:
    """Runs programs one after the other on one folder, and keeps what they did to it."""

    def __init__(self, root: Path, *, log: Path, without: Sequence[Path] = ()) -> None:
        """Follow what is done below `root`, but not what is done below `without`."""
        self.steps: list[Step] = []
        self._without = [str(each) for each in without]
        self._root = str(root)
        self._log = log
        self._sizes: dict[str, int] = {}
        self._fifos: set[str] = set()
        self._positions: dict[tuple[str, str], int] = {}
        self._appending: set[tuple[str, str]] = set()
        self._started: dict[str, tuple[str, int]] = {}
        self._syncs = 0

    def run(
        self, command: Sequence[str], *, environ: Mapping[str, str], inject: str | None = None
    ) -> int:
        """Run a program to its end and return its exit code.

        `inject` is a fault in strace's words, such as `fdatasync:signal=KILL:when=3`.
        """
        done = subprocess.run(
            [
                *("strace", "-f", "-y", "-xx", "-s", "4194304", "-o", str(self._log)),
                *("-e", "signal=none", "-e", f"trace={_SYSCALLS}"),
                *(("-e", f"inject={inject}") if inject else ()),
                *command,
            ],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if inject is None:
            assert (done.returncode, done.stderr) == (0, "")
        self._positions.clear()
        self._appending.clear()
        self._started.clear()
        with self._log.open(encoding="ascii") as lines:
            self.steps += self._read(lines)
        return done.returncode

    def _read(self, lines: Iterable[str]) -> Iterator[Step]:
        for line in lines:
            if match := _STARTED.match(line):
                pid, name, head = match.groups()
                self._started[pid] = (f"{pid} {name}({head}", self._syncs)
                if name in _SYNCS and (path := self._path_of(head)) is not None:
                    yield SyncStart(path=path, key=self._syncs)
                    self._syncs += 1
                continue
            key = None
            if match := _RESUMED.match(line):
                head, key = self._started.pop(match[1])
                match = _CALL.match(head + match[3])
            else:
                match = _CALL.match(line)
            if match is None or match[4].startswith("-"):
                continue  # an error, or the end of a process
            _, name, arguments, result, opened = match.groups()
            yield from self._step(name, arguments.split(", "), result, opened, key)

    def _step(
        self,
        name: str,
        arguments: list[str],
        result: str,
        opened: str | None,
        key: int | None,
    ) -> Iterator[Step]:
        if name in {"open", "openat", "creat"}:
            yield from self._open(arguments[-3:], result, _text(opened or ""))
        elif name in {"write", "pwrite64"}:
            yield from self._write(arguments, int(result))
        elif name in _SYNCS:
            if (path := self._path_of(arguments[0])) is not None:
                if key is None:
                    key, self._syncs = self._syncs, self._syncs + 1
                    yield SyncStart(path=path, key=key)
                yield SyncEnd(path=path, key=key)
        elif name == "lseek":
            if (path := self._path_of(arguments[0])) is not None:
                self._positions[path, _descriptor(arguments[0])] = int(result)
        elif name == "ftruncate":
            if (path := self._path_of(arguments[0])) is not None:
                self._sizes[path] = int(arguments[1])
                yield Truncate(path=path, size=int(arguments[1]))
        elif name in {"link", "rename", "linkat", "renameat", "renameat2"}:
            paths = [self._named(each) for each in _strings(arguments)]
            if paths[0] is not None and paths[1] is not None:
                source, path = paths[0], paths[1]
                self._carry(source, path)
                yield (Link if name.startswith("link") else Rename)(source=source, path=path)
            elif paths != [None, None]:
                raise AssertionError(f"across the traced folder: {name} {paths}")
        elif name in {"unlink", "unlinkat", "rmdir"}:
            path = self._at(arguments)
            if path is not None:
                self._sizes.pop(path, None)
                yield Unlink(path=path)
        elif name in {"mkdir", "mkdirat"}:
            if (path := self._at(arguments)) is not None:
                yield Make(path=path, is_folder=True)
        elif name in {"mknod", "mknodat"}:
            self._fifos.add(_strings(arguments)[0])  # it holds nothing
        elif any(self._root in _text(each) for each in arguments):
            raise AssertionError(f"a call that the trace does not know: {name}({arguments})")

    def _open(self, arguments: list[str], result: str, path: str) -> Iterator[Step]:
        flags = next((each for each in arguments if each.startswith("O_")), "")
        # Threads share descriptors, so these go by path and number.
        place = (path, result)
        self._positions[place] = 0
        self._appending.discard(place)
        if not self._is_ours(path):
            return
        if "O_APPEND" in flags:
            self._appending.add(place)
        if "O_CREAT" in flags and path not in self._sizes:
            self._sizes[path] = 0
            yield Make(path=path, is_folder=False)
        elif "O_TRUNC" in flags:
            self._sizes[path] = 0
            yield Truncate(path=path, size=0)

    def _write(self, arguments: list[str], count: int) -> Iterator[Step]:
        data = _bytes(arguments[1])[:count]
        descriptor = _descriptor(arguments[0])
        path = self._path_of(arguments[0])
        if path is None:
            if descriptor == "1" and data.startswith(SAID):
                yield from (Say(text=line) for line in data.decode().splitlines())
            return
        place = (path, descriptor)
        if len(arguments) == 4:
            offset = int(arguments[3])
        elif place in self._appending:
            offset = self._sizes[path]
        else:
            offset = self._positions[place]
        if len(arguments) == 3:
            self._positions[place] = offset + count
        self._sizes[path] = max(self._sizes.get(path, 0), offset + count)
        yield Write(path=path, offset=offset, data=data)

    def _carry(self, source: str, path: str) -> None:
        """What is known of a file, or of a folder's files, holds under another name too."""
        for each in [each for each in self._sizes if _is_below(each, source)]:
            self._sizes[path + each[len(source) :]] = self._sizes[each]
        for place in [place for place in self._positions if place[0] == source]:
            self._positions[path, place[1]] = self._positions[place]
        self._appending |= {(path, place[1]) for place in self._appending if place[0] == source}

    def _path_of(self, argument: str) -> str | None:
        match = _PATH_OF_DESCRIPTOR.match(argument)
        if match is None or match[2] is None or match[3]:
            return None  # nobody can find a file without a name again
        return self._named(_text(match[2]))

    def _named(self, path: str) -> str | None:
        return path if self._is_ours(path) else None

    def _at(self, arguments: list[str]) -> str | None:
        """Return the path that a call names, perhaps beside a descriptor."""
        path = _strings(arguments)[0]
        match = _PATH_OF_DESCRIPTOR.match(arguments[0])
        if not path.startswith("/") and match is not None and match[2]:
            path = os.path.join(_text(match[2]), path)
        return self._named(path)

    def _is_ours(self, path: str) -> bool:
        is_below = _is_below(path, self._root)
        if any(_is_below(path, each) for each in self._without):
            return False
        return is_below and path not in self._fifos and not path.endswith("-shm")


def _is_below(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/")


def _strings(arguments: Sequence[str]) -> list[str]:
    return [_text(each[1:-1]) for each in arguments if each.startswith('"')]


def _descriptor(argument: str) -> str:
    return argument.partition("<")[0]


def _bytes(argument: str) -> bytes:
    return bytes.fromhex(argument.strip('"').replace("\\x", ""))


def _text(escaped: str) -> str:
    if not escaped.startswith("\\x"):
        return escaped
    return os.fsdecode(bytes.fromhex(escaped.replace("\\x", "")))
