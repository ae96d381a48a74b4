"""The state of the source code: commit, branch, uncommitted changes, untracked files.

The content of changes is never kept, only digests. They can be checked by hand in the work tree:
`git diff HEAD` with the options of `DIFF_OPTIONS` piped to sha256sum; and for untracked files that
are not ignored `git ls-files --others --exclude-standard -z | xargs -0 sha256sum`, its lines sorted
by path, piped to sha256sum (`folder-v1` of `provgraph.digests`). Dirty means that tracked files
differ from the commit, or that there are untracked ones. A dirty submodule makes the whole dirty;
its digests are folded into the diff's, see `_with_submodules`.

Reads git only. What the probe may run is in `provgraph.capture.git`. Units: bytes, seconds.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from provgraph.capture.attempt import learn
from provgraph.capture.git import Repository
from provgraph.capture.redact import redact
from provgraph.capture.remote_url import without_credentials
from provgraph.digests import Digest
from provgraph.errors import CaptureError
from provgraph.frozen import dataclass
from provgraph.records import Missing, SourceCode

TIMEOUT_S: Final = 5.0
"""For all calls of git on one work tree together."""

# Beyond these, untracked files are data rather than source, and reading them would cost seconds.
MAX_UNTRACKED_FILES: Final = 2000
MAX_UNTRACKED_FILE_BYTES: Final = 50 * 1024 * 1024
MAX_UNTRACKED_BYTES: Final = 200 * 1024 * 1024
_MAX_SUBMODULES: Final = 50

# Every option that a user's configuration could change is stated, so that one change has one
# digest; what has no option is in `provgraph.capture.git`.
DIFF_OPTIONS: Final = (
    "--binary",
    "--full-index",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--no-relative",
    "--no-function-context",
    "--indent-heuristic",
    "--diff-algorithm=myers",
    "--unified=3",
    "--inter-hunk-context=0",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
    "--ignore-submodules=dirty",
    f"-O{os.devnull}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Status:
    """What `git status` says, parsed."""

    commit: str | None  # None before the first commit
    branch: str | None  # None when HEAD is detached
    has_changes: bool
    untracked: tuple[bytes, ...] | None  # None when git took too long to list them


def probe_source(
    start: Path, *, environ: Mapping[str, str] = os.environ, timeout_s: float = TIMEOUT_S
) -> SourceCode:
    """Return the state of the git work tree around a file or folder; never raises.

    What could not be learned, all of it outside a work tree, is in `missing`.
    """
    missing: list[Missing] = []
    found = learn("commit", lambda: _read(start, environ, timeout_s, missing), missing)
    return found or SourceCode(missing=tuple(missing))


def _read(
    start: Path, environ: Mapping[str, str], timeout_s: float, missing: list[Missing]
) -> SourceCode:
    root = _work_tree(start)
    repository = Repository(root, environ=environ, timeout_s=timeout_s)
    if "core.worktree" in repository.config and (root / ".git").is_dir():
        raise CaptureError("the work tree is kept apart from its repository (core.worktree)")
    status = _status(repository)
    submodules = learn("submodules", lambda: _submodules(repository, environ), missing) or {}
    dirty_submodules = {path: state for path, state in submodules.items() if state.is_dirty}
    missing += [
        Missing(field=each.field, reason=f"submodule {path}: {each.reason}")
        for path, state in submodules.items()
        for each in state.missing
        if each.field != "branch"  # git checks submodules out detached
    ]
    if status.commit is None:
        missing.append(Missing(field="commit", reason="the repository has no commit yet"))
    if status.branch is None:
        missing.append(Missing(field="branch", reason="HEAD is detached: no branch is checked out"))
    diff = None
    if status.has_changes or dirty_submodules:
        diff = learn("diff_digest", lambda: _diff(repository, status, dirty_submodules), missing)
    untracked = None
    if status.untracked is None:
        missing.append(
            Missing(field="untracked_digest", reason="git took too long to list untracked files")
        )
    elif status.untracked:
        names = status.untracked
        untracked = learn("untracked_digest", lambda: _digest_untracked(root, names), missing)
    return SourceCode(
        repository=_remote(repository, status.branch),
        commit=status.commit,
        branch=status.branch,
        is_dirty=status.has_changes or bool(dirty_submodules) or bool(status.untracked),
        diff_digest=diff,
        untracked_digest=untracked,
        untracked_count=None if status.untracked is None else len(status.untracked),
        missing=tuple(missing),
    )


def _work_tree(start: Path) -> Path:
    """Return the nearest folder with a `.git` at or above start: no process for those without."""
    folder = start.absolute()
    for each in (folder, *folder.parents):
        # A folder, or a file that points elsewhere: linked work trees, submodules.
        if os.path.exists(each / ".git"):
            return each
    raise CaptureError(f"{folder} is not inside a git work tree")


def _status(repository: Repository) -> _Status:
    """Ask for branch, commit and changed files; without untracked ones when those take too long."""
    arguments = (
        "status",
        "--porcelain=v2",
        "--branch",
        "--no-ahead-behind",
        "--no-renames",
        "--ignore-submodules=dirty",
        "-z",
    )
    try:
        text = repository.ask(
            *arguments, "--untracked-files=all", within_s=repository.left_s() * 0.6
        )
        is_complete = True
    except TimeoutError:
        text = repository.ask(*arguments, "--untracked-files=no")
        is_complete = False
    commit = branch = None
    has_changes = False
    untracked = []
    for line in text.split("\0"):
        if line.startswith("# branch.oid ") and not line.endswith(" (initial)"):
            commit = line.removeprefix("# branch.oid ")
        elif line.startswith("# branch.head ") and not line.endswith(" (detached)"):
            branch = line.removeprefix("# branch.head ")
        elif line.startswith("? "):
            untracked.append(os.fsencode(line[2:]))
        elif line.startswith(("1 ", "2 ", "u ")):
            has_changes = True
    return _Status(
        commit=commit,
        branch=branch,
        has_changes=has_changes,
        untracked=tuple(untracked) if is_complete else None,
    )


def _remote(repository: Repository, branch: str | None) -> str | None:
    """Return the URL of the remote that the branch follows, else of origin, else of the only one."""
    urls = {
        key.removeprefix("remote.").removesuffix(".url"): value
        for key, value in repository.config.items()
        if key.startswith("remote.") and key.endswith(".url")
    }
    followed = repository.config.get(f"branch.{branch}.remote", "")
    only = next(iter(urls)) if len(urls) == 1 else ""
    url = urls.get(followed) or urls.get("origin") or urls.get(only)
    return None if url is None else redact(without_credentials(url))


def _diff(repository: Repository, status: _Status, submodules: Mapping[str, SourceCode]) -> Digest:
    if status.commit is None:
        raise CaptureError("there is no commit yet that changes could be compared with")
    digest = repository.digest("diff", "HEAD", *DIFF_OPTIONS, "--")
    return _with_submodules(digest, submodules) if submodules else digest


def _with_submodules(digest: Digest, submodules: Mapping[str, SourceCode]) -> Digest:
    """Fold dirty submodules in: SHA-256 over the diff's digest and one line per submodule."""
    lines = [f"{digest}\n"]
    for path, state in sorted(submodules.items()):
        lines.append(f"{path} {state.diff_digest} {state.untracked_digest}\n")
    return Digest("sha256", hashlib.sha256("".join(lines).encode("utf-8", "replace")).hexdigest())


def _submodules(repository: Repository, environ: Mapping[str, str]) -> dict[str, SourceCode]:
    """Return the state of each submodule that is checked out, by its path.

    Raises:
        CaptureError: there are too many.
    """
    if not os.path.lexists(repository.root / ".gitmodules"):
        return {}
    text = repository.ask(
        "config",
        "-z",
        "--file",
        ".gitmodules",
        "--get-regexp",
        r"^submodule\..*\.path$",
        allowed=(0, 1),
    )
    paths = sorted({pair.partition("\n")[2] for pair in text.split("\0") if pair})
    if len(paths) > _MAX_SUBMODULES:
        raise CaptureError(f"there are more than {_MAX_SUBMODULES} submodules; none was read")
    return {
        path: probe_source(repository.root / path, environ=environ, timeout_s=repository.left_s())
        for path in paths
        if _is_checked_out(repository.root, path)
    }


def _is_checked_out(root: Path, path: str) -> bool:
    """Whether a submodule is there, and below the root: the file that names it is anybody's."""
    folder = os.path.realpath(root / path)
    below = os.path.join(os.path.realpath(root), "")
    return folder.startswith(below) and os.path.exists(os.path.join(folder, ".git"))


def _digest_untracked(root: Path, names: tuple[bytes, ...]) -> Digest:
    """Return folder-v1 over the untracked files: links to files are followed, others left out.

    Raises:
        CaptureError: too many, too large, or a repository inside the repository.
    """
    if len(names) > MAX_UNTRACKED_FILES:
        raise CaptureError(
            f"there are more than {MAX_UNTRACKED_FILES} untracked files, which were not read;"
            " add data folders to .gitignore"
        )
    hasher = hashlib.sha256()
    left_bytes = MAX_UNTRACKED_BYTES
    top = os.path.join(os.fsencode(root), b"")
    for name in sorted(names):
        if name.endswith(b"/"):
            raise CaptureError(
                f"the untracked folder {_shown(name)} is a git repository of its own"
            )
        try:
            status = os.stat(top + name)
        except FileNotFoundError:
            continue  # a link to nothing
        if not stat.S_ISREG(status.st_mode):
            continue
        left_bytes -= status.st_size
        if status.st_size > MAX_UNTRACKED_FILE_BYTES or left_bytes < 0:
            raise CaptureError(
                f"the untracked file {_shown(name)} is too large to read here; add it to"
                " .gitignore, and record it with run.use"
            )
        hasher.update(_sha256_hex(top + name).encode() + b"  " + name + b"\n")
    return Digest("folder-v1", hasher.hexdigest())


def _sha256_hex(path: bytes) -> str:
    # One read: sources are small, and a buffer for streams costs more than most of them.
    with open(path, "rb", buffering=0) as file:
        return hashlib.sha256(file.readall()).hexdigest()


def _shown(name: bytes) -> str:
    return redact(os.fsdecode(name))
