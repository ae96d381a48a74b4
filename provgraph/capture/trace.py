"""Reads what the audit hook of `child/sitecustomize.py` noted, and decides what it means.

The hook notes intentions: an audit event comes before the call, which may still fail. So all is
held against the files as they are when the command has ended:

- read: opened for reading before the command itself wrote it, and there. Its bytes are known only
  if it still has the time and size it had when it was opened.
- written: opened for writing, linked or renamed to, and there with another time or size.
- code: read, and a Python source file, or the source of a compiled one. What the interpreter and
  installed packages consist of was left out by the hook; the environment lists it.
- left out: caches, version control, and temporary files that are gone, which are counted.

A file that holds credentials is named and not digested: a digest could confirm a guess.
Units: nanoseconds, bytes.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

_LEFT_OUT_FOLDERS: Final = frozenset(
    {".git", ".hg", ".svn", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
# Below the user's cache folder. Models and data that libraries download there are inputs, so the
# folder as a whole is not left out.
_CACHES: Final = ("fontconfig", "jedi", "matplotlib", "mesa_shader_cache", "numba", "pip", "uv")

_CREDENTIAL_FOLDERS: Final = frozenset({".aws", ".azure", ".docker", ".gnupg", ".kube", ".ssh"})
_CREDENTIAL_FILE = re.compile(
    r"\.env(?:\..*)?|[._]netrc|\.pypirc|\.git-credentials|kaggle\.json|id_(?:rsa|ed25519|ecdsa)"
    r"|(?:secrets?|credentials|token)(?:\.(?:json|toml|ya?ml|ini|txt))?|.*\.(?:pem|p12|pfx|jks)"
    r"|application_default_credentials\.json"
)

_SOURCE_SUFFIXES: Final = (".py", ".pyw")
_COMPILED = re.compile(r"(?P<stem>.+?)\.(?:cpython|pypy)[^/\\]*\.pyc")
_PACKAGES: Final = frozenset({"site-packages", "dist-packages"})

# They ask about the machine and touch no file of the user.
_HARMLESS_PROGRAMS: Final = frozenset(
    {"getconf", "ldconfig", "lsb_release", "lscpu", "nvidia-smi", "sysctl", "uname", "which"}
)
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*t?(?:\.exe)?")

_State = tuple[int, int]
"""Time of the last change and size: whether two looks saw the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file that the command read: where its bytes are now, or why they are not known."""

    path: str
    now: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a command's Python processes did, as far as the hook saw."""

    read: tuple[Opened, ...]
    written: tuple[str, ...]
    code: tuple[Opened, ...]
    gone_count: int  # opened for writing, and not there at the end
    libraries: tuple[str, ...]  # loaded, and opening files where the hook does not see it
    programs: tuple[str, ...]  # started, and not Python
    unseen_python_count: int  # Python programs that were started and did not load the hook
    processes: frozenset[int]
    is_damaged: bool


@dataclass(slots=True, kw_only=True)
class _File:
    """What is known of one path while the events are read, in their order."""

    read: _State | None = None  # when it was first opened for reading, unless written before
    is_written: bool = False
    before: _State | None = None  # when it was first opened for writing
    is_extended: bool = False  # opened for writing without emptying it
    now: str | None = None  # where it was renamed to


@dataclass(slots=True, kw_only=True)
class _Events:
    """All events, gathered."""

    files: dict[str, _File] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)
    programs: Counter[str] = field(default_factory=Counter)
    processes: dict[int, list[str]] = field(default_factory=dict)
    standard_libraries: set[str] = field(default_factory=set)
    cache_prefixes: set[str] = field(default_factory=set)
    is_damaged: bool = False


def read_trace(
    data: bytes, *, root_process: int, environ: Mapping[str, str], started_ns: int
) -> Trace:
    """Hold the trace against the files as they are now.

    `root_process` is the command itself, which nobody in the trace started; `started_ns` is when it
    began, in the file system's time.
    """
    events = _gather(data)
    read: dict[str, Opened] = {}
    code: dict[str, Opened] = {}
    written: dict[str, str] = {}
    gone_count = 0
    left_out = _cache_folders(environ)
    real = _Places()
    for path, file in events.files.items():
        if _is_left_out(path, left_out):
            continue
        if path.endswith(".pyc"):
            source = _source_of(path, events)
            if source is not None and file.read is not None:
                opened = _opened_source(source, started_ns)
                code.setdefault(real[source], opened)
            continue
        if file.is_written:
            state = _state(path)
            if state is None:
                gone_count += file.before is None and not os.path.isdir(path)
            elif state != file.before:
                written.setdefault(real[path], path)
        if file.read is not None:
            opened = _opened(path, file)
            place = code if path.endswith(_SOURCE_SUFFIXES) else read
            place.setdefault(real[opened.now], opened)
    other, unseen_python_count = _unseen_programs(events, root_process)
    return Trace(
        read=tuple(read.values()),
        written=tuple(written.values()),
        code=tuple(code.values()),
        gone_count=gone_count,
        libraries=tuple(dict.fromkeys(events.libraries)),
        programs=other,
        unseen_python_count=unseen_python_count,
        processes=frozenset(events.processes),
        is_damaged=events.is_damaged,
    )


def is_python(program: str) -> bool:
    """Whether a program has the name of a Python interpreter.

    >>> is_python("python3.11"), is_python("pythonista")
    (True, False)
    """
    return _PYTHON.fullmatch(program) is not None


def changed_since(
    folders: Collection[str], started_ns: int, *, known: Collection[str]
) -> list[str]:
    """Return files right inside the folders that changed since then and are not among the known.

    Whoever changed them: the command, unseen, or another process. So it is a hint, not a fact.
    """
    seen = {os.path.realpath(path) for path in known}
    found: list[str] = []
    for folder in sorted(set(folders)):
        # A folder that is gone cannot give a hint.
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            found += [
                entry.path
                for entry in entries
                if not entry.name.startswith(".")
                and entry.is_file(follow_symlinks=False)
                and entry.stat(follow_symlinks=False).st_mtime_ns >= started_ns
                and os.path.realpath(entry.path) not in seen
            ]
    return sorted(found)


# ---- gathering ---------------------------------------------------------------------------------------
def _gather(data: bytes) -> _Events:
    events = _Events()
    *lines, rest = data.split(b"\0\n")
    events.is_damaged = rest != b""  # a process was killed while it wrote, or the disk was full
    for line in lines:
        kind, *fields = (os.fsdecode(part) for part in line.split(b"\0"))
        try:
            _take(events, kind, fields)
        except (ValueError, IndexError):
            events.is_damaged = True
    return events


def _take(events: _Events, kind: str, fields: list[str]) -> None:
    """Apply one event. The kinds are those of `child/sitecustomize.py`."""
    match kind, fields:
        case "R", [path, mtime_ns, size]:
            file = events.files.setdefault(_plain(path), _File())
            if file.read is None and not file.is_written:
                file.read = (int(mtime_ns), int(size))
        case "W", [path, mtime_ns, size, keeps]:
            file = events.files.setdefault(_plain(path), _File())
            before = (int(mtime_ns), int(size)) if mtime_ns else None
            if file.is_written:
                return
            file.is_written, file.before = True, before
            if keeps == "1" and before is not None and before[1] > 0:
                file.is_extended = True
                file.read = file.read or before
        case "M", [source, target]:
            _move(events.files, _plain(source), _plain(target))
        case "L", [library]:
            events.libraries.append(library)
        case "X", [_, program]:
            events.programs[program] += 1
        case "P", [process, standard_library, cache_prefix, *names]:
            events.processes[int(process)] = names
            events.standard_libraries.add(os.path.join(standard_library, ""))
            if cache_prefix:
                events.cache_prefixes.add(os.path.join(cache_prefix, ""))
        case _:
            raise ValueError(kind)


def _move(files: dict[str, _File], source: str, target: str) -> None:
    """Follow a rename of a file, or of a folder with what is known inside it."""
    below = source + os.sep
    inside = [path for path in files if path == source or path.startswith(below)]
    for path in inside or [source]:
        name = target + path[len(source) :]
        file = files.get(path, _File(is_written=True))
        arrived = files.setdefault(name, _File())
        # What lay there is replaced: its time and size no longer tell whether it was written.
        arrived.is_written, arrived.before = True, None
        if file.read is not None:
            file.now = name
        file.is_written = False


def _plain(path: str) -> str:
    """Return an absolute path without `.` and `..`, whose links are those of now."""
    if any(part in path for part in ("/../", "/./", "//")):
        return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return path


def _unseen_programs(events: _Events, root_process: int) -> tuple[tuple[str, ...], int]:
    """Take from the programs that were started those that reported for themselves."""
    programs = events.programs.copy()
    for process, names in events.processes.items():
        if process == root_process:
            continue
        # The script before its interpreter: it was started by the one name or by the other.
        name = next((name for name in reversed(names) if programs[name] > 0), None)
        if name is not None:
            programs[name] -= 1
    left = sorted(name for name, count in programs.items() if count > 0)
    python = [name for name in left if is_python(name)]
    others = [name for name in left if name not in python and name not in _HARMLESS_PROGRAMS]
    return tuple(others), sum(programs[name] for name in python)


class _Places(dict[str, str]):
    """Paths without links: `os.path.realpath`, which looks at each folder only once."""

    def __missing__(self, path: str) -> str:
        folder, name = os.path.split(path)
        is_plain = name and not os.path.islink(path)
        self[path] = os.path.join(self[folder], name) if is_plain else os.path.realpath(path)
        return self[path]


# ---- judging -----------------------------------------------------------------------------------------
def _state(path: str) -> _State | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else None


def _opened(path: str, file: _File) -> Opened:
    now = file.now or path
    state = _state(now)
    reason = None
    if _holds_credentials(path):
        reason = "not digested: by its name it holds credentials"
    elif state is None:
        reason = "removed after it was read"
    elif state != file.read:
        reason = (
            "changed by the command; what stood in it before is not known"
            if file.is_extended
            else "changed after it was read"
        )
    return Opened(path=path, now=now, reason=reason)


def _opened_source(source: str, started_ns: int) -> Opened:
    """Judge a source that was run from its compiled form, so not opened itself."""
    state = _state(source)
    changed = state is not None and state[0] >= started_ns
    return Opened(path=source, now=source, reason="changed after it was read" if changed else None)


def _source_of(path: str, events: _Events) -> str | None:
    """Return the source of a compiled module (PEP 3147), unless it is installed or not there."""
    folder, name = os.path.split(path)
    match = _COMPILED.fullmatch(name)
    stem = match["stem"] if match else name.removesuffix(".pyc")
    prefix = next((each for each in events.cache_prefixes if path.startswith(each)), None)
    if prefix is not None:  # PYTHONPYCACHEPREFIX: the whole tree of folders is repeated below it
        folder = os.sep + folder[len(prefix) :]
    elif os.path.basename(folder) == "__pycache__":
        folder = os.path.dirname(folder)
    source = os.path.join(folder, f"{stem}.py")
    is_installed = not _PACKAGES.isdisjoint(source.split(os.sep)) or source.startswith(
        tuple(events.standard_libraries)
    )
    return None if is_installed or not os.path.isfile(source) else source


def _cache_folders(environ: Mapping[str, str]) -> tuple[str, ...]:
    home = environ.get("HOME") or os.path.expanduser("~")
    cache = environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    configuration = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    folders = [os.path.join(cache, name, "") for name in _CACHES]
    folders += [os.path.join(configuration, "matplotlib", "")]
    folders += [os.path.join(environ[name], "") for name in ("MPLCONFIGDIR",) if environ.get(name)]
    return tuple(folders)


def _is_left_out(path: str, cache_folders: tuple[str, ...]) -> bool:
    return path.startswith(cache_folders) or not _LEFT_OUT_FOLDERS.isdisjoint(path.split(os.sep))


def _holds_credentials(path: str) -> bool:
    *folders, name = path.split(os.sep)
    return bool(_CREDENTIAL_FILE.fullmatch(name)) or not _CREDENTIAL_FOLDERS.isdisjoint(folders)
