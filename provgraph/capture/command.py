"""Runs a command of the user and tells which files it read and wrote: `provgraph exec`.

A Python command is traced from inside by an audit hook, with no change to its code
(`provgraph.capture.child`, `provgraph.capture.trace`); of any other command only the declared
inputs and outputs are known. What the hook cannot see is said in `missing`: libraries that open
files in C, other programs, interpreters that were told to ignore the environment. Where such a
thing was at work, the names of files that changed meanwhile are given as a hint.

Declared inputs are digested before the command starts, all else when it has ended; so a file that
changed in between has no digest. How the command is run is in `provgraph.capture.process`.
Units: seconds; nanoseconds where a name says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from provgraph.capture.attempt import learn
from provgraph.capture.child.sitecustomize import VARIABLE
from provgraph.capture.process import run_to_end
from provgraph.capture.redact import redact_argv
from provgraph.capture.trace import Opened, Trace, changed_since, is_python, read_trace
from provgraph.digests import PathDigest, Progress, digest_path
from provgraph.errors import CaptureError, UsageError
from provgraph.frozen import dataclass
from provgraph.records import Missing

MAX_FILES: Final = 1000
"""Files named one by one, of each kind; for more, a folder should be declared."""

_CHILD_FOLDER: Final = str(Path(__file__).parent.absolute() / "child")
_MAX_HINTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSeen:
    """A file or folder that the command used: its digest, or the reason why there is none."""

    path: Path
    digest: PathDigest | None = None
    reason: str | None = None
    is_declared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What a command did, as far as it could be seen."""

    command: tuple[str, ...]  # redacted
    exit_code: int
    started_at: datetime
    ended_at: datetime
    duration_s: float
    stderr_tail: str | None  # redacted; only of a command that failed
    files_read: tuple[FileSeen, ...]
    files_written: tuple[FileSeen, ...]
    code_read: tuple[FileSeen, ...]
    gone_count: int  # files that it opened for writing and that were gone at the end
    missing: tuple[Missing, ...]


def run_command(
    argv: Sequence[str],
    *,
    inputs: Sequence[Path] = (),
    outputs: Sequence[Path] = (),
    trace: bool = True,
    environ: Mapping[str, str] = os.environ,
    progress: Progress | None = None,
) -> CommandResult:
    """Run the command to its end, whatever that is, and return what it did.

    Args:
        argv: program and arguments; no shell reads them.
        inputs: files and folders that it reads, beyond what can be seen.
        outputs: files and folders that it writes, beyond what can be seen.
        trace: whether its Python processes are asked which files they open.
        environ: the variables that it starts with.
        progress: called with the number of bytes digested since the last call.

    Raises:
        NotFoundError: there is no such program (a shell would exit with 127).
        UsageError: it cannot be executed (a shell: 126), or no command was given.
    """
    if not argv:
        raise UsageError("expected a command to run, found none; write it after --")
    missing: list[Missing] = []
    read = [_seen(path, progress, is_declared=True) for path in inputs]
    before = [_newest_ns(path) for path in outputs]
    trace_file = learn("files", _make_trace_file, missing) if trace else None
    try:
        started_at, started_ns = datetime.now(UTC), _file_clock_ns()
        finished = run_to_end(argv, _environ(environ, trace_file))
        data = learn("files", trace_file.read_bytes, missing) if trace_file else None
    finally:
        if trace_file is not None:
            shutil.rmtree(trace_file.parent, ignore_errors=True)
    seen = read_trace(
        data or b"", root_process=finished.process_id, environ=environ, started_ns=started_ns
    )
    written = [
        _seen(path, progress, is_declared=True, reason=_not_written(path, newest_ns))
        for path, newest_ns in zip(outputs, before, strict=True)
    ]
    read += _digested(_beyond(seen.read, inputs), "files_read", progress, missing)
    written += _digested(
        _beyond((Opened(path=path, now=path) for path in seen.written), outputs),
        "files_written",
        progress,
        missing,
    )
    code = _digested(seen.code, "code_read", progress, missing)
    if not trace or data is not None:  # else `learn` has said why there is no trace
        missing += _unseen(argv[0], seen, finished.process_id, is_traced=trace)
    if any(each.field == "files" for each in missing):
        missing += _hints([*read, *written, *code], started_ns)
    if finished.is_stderr_open:
        reason = "a process that the command left in the background still writes to it"
        missing.append(Missing(field="stderr", reason=reason))
    return CommandResult(
        command=redact_argv(argv),
        exit_code=finished.exit_code,
        started_at=started_at,
        # By the monotonic clock: the other one may be set while the command runs.
        ended_at=started_at + timedelta(seconds=finished.duration_s),
        duration_s=finished.duration_s,
        stderr_tail=finished.stderr_tail if finished.exit_code != 0 else None,
        files_read=tuple(read),
        files_written=tuple(written),
        code_read=tuple(code),
        gone_count=seen.gone_count,
        missing=tuple(missing),
    )


def _file_clock_ns() -> int:
    """Return the time as a file that is written now would get it, or a little before."""
    if hasattr(time, "CLOCK_REALTIME_COARSE"):  # Linux stamps files with this one
        return time.clock_gettime_ns(time.CLOCK_REALTIME_COARSE)
    return time.time_ns() - 20_000_000


# ---- the trace -----------------------------------------------------------------------------------
def _make_trace_file() -> Path:
    path = Path(tempfile.mkdtemp(prefix="provgraph-"), "trace")
    path.touch(mode=0o600)
    return path


def _environ(environ: Mapping[str, str], trace_file: Path | None) -> dict[str, str]:
    """Return the variables of the command: with the hook, when there is a file to write to."""
    if trace_file is None:
        return dict(environ)
    others = environ.get("PYTHONPATH", "").split(os.pathsep)
    search = [_CHILD_FOLDER, *(entry for entry in others if entry and entry != _CHILD_FOLDER)]
    return dict(environ) | {"PYTHONPATH": os.pathsep.join(search), VARIABLE: str(trace_file)}


def _unseen(program: str, seen: Trace, process_id: int, *, is_traced: bool) -> Iterator[Missing]:
    """Say what was at work that the hook does not see; each is a reason to declare files."""
    name = os.path.basename(program)
    declared = "only declared files are recorded"
    if not is_traced:
        yield _files(f"tracing was switched off, so {declared}")
    elif not seen.processes and is_python(name):
        yield _files(
            f"{name} did not load the hook (options -I, -E and -S prevent it), so {declared}"
        )
    elif not seen.processes:
        yield _files(f"{name} is not a Python program, so {declared}")
    elif process_id not in seen.processes:
        yield _files(f"{name} is not a Python program; only what it ran in Python was seen")
    if seen.libraries:
        names = sorted({library.partition(".")[0] for library in seen.libraries})
        yield _files(
            f"{', '.join(names)} can open files without Python seeing it;"
            " declare such files with --in and --out"
        )
    if seen.programs:
        yield _files(f"other programs were started, and not seen: {', '.join(seen.programs)}")
    if seen.unseen_python_count:
        yield _files(
            f"{seen.unseen_python_count} Python processes were started without the hook, or could"
            " not start"
        )
    if seen.is_damaged:
        yield _files("the trace ends in the middle of a line, or has one that cannot be read")


def _files(reason: str) -> Missing:
    return Missing(field="files", reason=reason)


def _hints(seen: Iterable[FileSeen], started_ns: int) -> list[Missing]:
    """Name files that changed meanwhile beside those that were used, and are not among them."""
    paths = [str(each.path) for each in seen]
    folders = {os.getcwd(), *(os.path.dirname(path) for path in paths)}
    changed = [
        path
        for path in changed_since(folders, started_ns, known=paths)
        if not _is_redirected_to(path)
    ]
    if not changed:
        return []
    names = ", ".join(changed[:_MAX_HINTS])
    more = f" and {len(changed) - _MAX_HINTS} more" if len(changed) > _MAX_HINTS else ""
    reason = (
        f"changed while the command ran, by it or by another: {names}{more}; if it did, use --out"
    )
    return [Missing(field="files_written", reason=reason)]


def _is_redirected_to(path: str) -> bool:
    """Whether a shell sends our output, and so the command's, to this file."""
    for descriptor in (1, 2):
        try:
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return True
        except OSError:
            continue
    return False


# ---- digests -------------------------------------------------------------------------------------
def _seen(
    path: Path,
    progress: Progress | None,
    *,
    now: Path | None = None,
    reason: str | None = None,
    is_declared: bool = False,
) -> FileSeen:
    """Digest a path, unless there is a reason not to; `now` is where its bytes are now."""
    path = path.absolute()
    digest = None
    if reason is None:
        try:
            digest = digest_path(now or path, progress=progress)
        except CaptureError as error:
            reason = str(error)
    return FileSeen(path=path, digest=digest, reason=reason, is_declared=is_declared)


def _digested(
    opened: Iterable[Opened], field: str, progress: Progress | None, missing: list[Missing]
) -> list[FileSeen]:
    """Digest what was seen, up to the limit; beyond it say how many more and where."""
    files = list(opened)
    if len(files) > MAX_FILES:
        folder = os.path.commonpath([os.path.dirname(each.path) for each in files])
        missing.append(
            Missing(
                field=field,
                reason=f"{len(files) - MAX_FILES} more files below {folder} are not named one by"
                " one; declare the folder",
            )
        )
    return [
        _seen(Path(each.path), progress, now=Path(each.now), reason=each.reason)
        for each in files[:MAX_FILES]
    ]


def _beyond(opened: Iterable[Opened], declared: Sequence[Path]) -> Iterator[Opened]:
    """Leave out what a declared file or folder covers."""
    places = [os.path.realpath(path) for path in declared]
    if not places:
        yield from opened
        return
    for each in opened:
        name = os.path.realpath(each.now)
        if not any(name == place or name.startswith(place + os.sep) for place in places):
            yield each


def _newest_ns(path: Path) -> int:
    """Return the newest change of a file, or in a folder; 0 where there is nothing."""
    newest = 0
    try:
        newest = path.stat().st_mtime_ns
    except OSError:
        return 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                newest = max(newest, os.stat(os.path.join(folder, name)).st_mtime_ns)
    return newest


def _not_written(path: Path, before_ns: int) -> str | None:
    """Say so when a declared output is only what an earlier run left there."""
    if before_ns and _newest_ns(path) == before_ns:
        return "declared as an output, but not changed by the command: it is from before"
    return None
