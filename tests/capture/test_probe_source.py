"""The state of real git work trees; hostile ones too, whose configuration must not run."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provgraph.capture.source import (
    DIFF_OPTIONS,
    MAX_UNTRACKED_FILE_BYTES,
    MAX_UNTRACKED_FILES,
    probe_source,
)
from provgraph.digests import Digest
from provgraph.records import Missing, SourceCode

Git = Callable[..., str]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return variables under which git reads no configuration but that of the repository."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ana\n\temail = ana@example.org\n[init]\n\tdefaultBranch = main\n"
        '[protocol "file"]\n\tallow = always\n'
    )
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def git(environ: dict[str, str]) -> Git:
    def run(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.rstrip("\n")

    return run


@pytest.fixture
def tree(tmp_path: Path, git: Git) -> Path:
    """Return a work tree with one commit."""
    folder = tmp_path / "work tree"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "train.py").write_text("LR = 0.1\n")
    (folder / "data.bin").write_bytes(bytes(range(256)))
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def folder_v1(files: dict[bytes, bytes]) -> Digest:
    lines = b"".join(
        sha256_hex(content).encode() + b"  " + name + b"\n"
        for name, content in sorted(files.items())
    )
    return Digest("folder-v1", sha256_hex(lines))


def clean(tree: Path, git: Git) -> SourceCode:
    return SourceCode(
        commit=git(tree, "rev-parse", "HEAD"), branch="main", is_dirty=False, untracked_count=0
    )


# ---- states --------------------------------------------------------------------------------------
def test_clean(tree: Path, git: Git, environ: dict[str, str]) -> None:
    (tree / "run.log").write_text("ignored\n")
    assert probe_source(tree, environ=environ) == clean(tree, git)


def test_from_inside_and_from_a_file(tree: Path, git: Git, environ: dict[str, str]) -> None:
    (tree / "a" / "b").mkdir(parents=True)
    expected = clean(tree, git)
    for start in (tree / "a" / "b", tree / "train.py", tree / ".git", tree / "not there"):
        assert probe_source(start, environ=environ) == expected


def test_a_change_has_the_digest_that_a_person_gets(
    tree: Path, git: Git, environ: dict[str, str]
) -> None:
    (tree / "train.py").write_text("LR = 0.2\n")
    (tree / "data.bin").write_bytes(bytes(range(255, -1, -1)))
    (tree / "staged é.py").write_text("NEW = 1\n")
    git(tree, "add", "staged é.py")
    (tree / ".gitignore").unlink()
    found = probe_source(tree, environ=environ)
    assert found.is_dirty is True
    assert found.untracked_count == 0
    by_hand = subprocess.run(
        ["git", "-C", tree, "-c", "core.compression=0", "diff", "HEAD", *DIFF_OPTIONS],
        env=environ,
        capture_output=True,
        check=True,
    ).stdout
    assert by_hand.count(b"diff --git") == 4
    assert found.diff_digest == Digest("sha256", sha256_hex(by_hand))


def test_the_digest_does_not_depend_on_configuration(
    tree: Path, git: Git, environ: dict[str, str]
) -> None:
    (tree / "train.py").write_text("\n\nLR = 0.2\n")
    (tree / "data.bin").write_bytes(b"\0" * 5000)
    plain = probe_source(tree, environ=environ).diff_digest
    for key, value in {
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.context": "9",
        "diff.interHunkContext": "3",
        "diff.algorithm": "patience",
        "diff.renames": "copies",
        "diff.relative": "true",
        "diff.suppressBlankEmpty": "true",
        "diff.orderFile": "order",
        "diff.submodule": "log",
        "color.ui": "always",
        "core.quotePath": "false",
        "core.abbrev": "5",
        "core.compression": "9",
        "status.showUntrackedFiles": "no",
        "status.relativePaths": "true",
    }.items():
        git(tree, "config", key, value)
    (tree / "order").write_text("train.py\ndata.bin\n")
    (tree / "sub").mkdir()
    found = probe_source(tree / "sub", environ=environ)
    assert found.diff_digest == plain
    assert found.untracked_count == 1


def test_untracked_files(tree: Path, environ: dict[str, str]) -> None:
    files = {
        b"b.py": b"B",
        b"a folder/with space.py": b"A",
        b"line\nfeed": b"",
        b"not utf-8 \xff": b"x",
    }
    (tree / "a folder").mkdir()
    for name, content in files.items():
        (tree / os.fsdecode(name)).write_bytes(content)
    (tree / "run.log").write_text("ignored\n")
    found = probe_source(tree, environ=environ)
    assert found.is_dirty is True
    assert found.diff_digest is None
    assert found.untracked_count == 4
    assert found.untracked_digest == folder_v1(files)
    assert found.missing == ()


def test_untracked_links(tree: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "outside.csv").write_bytes(b"1,2\n")
    (tree / "to_file").symlink_to(tmp_path / "outside.csv")
    (tree / "to_folder").symlink_to(tmp_path)
    (tree / "to_nothing").symlink_to(tmp_path / "nothing")
    found = probe_source(tree, environ=environ)
    assert found.untracked_count == 3
    assert found.untracked_digest == folder_v1({b"to_file": b"1,2\n"})


def test_too_many_untracked_files(tree: Path, environ: dict[str, str]) -> None:
    for number in range(MAX_UNTRACKED_FILES + 1):
        (tree / f"{number}.txt").touch()
    found = probe_source(tree, environ=environ)
    assert found.untracked_count == MAX_UNTRACKED_FILES + 1
    assert found.untracked_digest is None
    reason = (
        "there are more than 2000 untracked files, which were not read;"
        " add data folders to .gitignore"
    )
    assert found.missing == (Missing(field="untracked_digest", reason=reason),)


def test_a_large_untracked_file(tree: Path, environ: dict[str, str]) -> None:
    with (tree / "data.parquet").open("wb") as file:
        file.truncate(MAX_UNTRACKED_FILE_BYTES + 1)
    reason = (
        "the untracked file data.parquet is too large to read here; add it to .gitignore, and"
        " record it with run.use"
    )
    found = probe_source(tree, environ=environ)
    assert found.missing == (Missing(field="untracked_digest", reason=reason),)


def test_an_untracked_repository_inside(tree: Path, git: Git, environ: dict[str, str]) -> None:
    (tree / "vendored").mkdir()
    git(tree / "vendored", "init", "--quiet")
    found = probe_source(tree, environ=environ)
    reason = "the untracked folder vendored/ is a git repository of its own"
    assert found.missing == (Missing(field="untracked_digest", reason=reason),)


def test_detached(tree: Path, git: Git, environ: dict[str, str]) -> None:
    git(tree, "checkout", "--quiet", "--detach")
    found = probe_source(tree, environ=environ)
    assert (found.commit, found.branch) == (git(tree, "rev-parse", "HEAD"), None)
    reason = "HEAD is detached: no branch is checked out"
    assert found.missing == (Missing(field="branch", reason=reason),)


def test_before_the_first_commit(tmp_path: Path, git: Git, environ: dict[str, str]) -> None:
    git(tmp_path, "init", "--quiet", "new")
    tree = tmp_path / "new"
    (tree / "a.py").write_bytes(b"A")
    (tree / "b.py").write_bytes(b"B")
    git(tree, "add", "a.py")
    assert probe_source(tree, environ=environ) == SourceCode(
        branch="main",
        is_dirty=True,
        untracked_count=1,
        untracked_digest=folder_v1({b"b.py": b"B"}),
        missing=(
            Missing(field="commit", reason="the repository has no commit yet"),
            Missing(
                field="diff_digest",
                reason="there is no commit yet that changes could be compared with",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("remotes", "branch_remote", "expected"),
    [
        ({"origin": "https://ana:hunter2@example.org/a.git"}, None, "https://example.org/a.git"),
        ({"origin": "https://o/a", "fork": "https://f/a"}, None, "https://o/a"),
        ({"origin": "https://o/a", "fork": "https://f/a"}, "fork", "https://f/a"),
        ({"upstream": "git@github.com:a/b.git"}, None, "git@github.com:a/b.git"),
        ({"one": "https://1/a", "two": "https://2/a"}, None, None),
        ({}, ".", None),
    ],
)
def test_remote(
    tree: Path,
    git: Git,
    environ: dict[str, str],
    remotes: dict[str, str],
    branch_remote: str | None,
    expected: str | None,
) -> None:
    for name, url in remotes.items():
        git(tree, "remote", "add", name, url)
    if branch_remote:
        git(tree, "config", "branch.main.remote", branch_remote)
    assert probe_source(tree, environ=environ).repository == expected


def test_linked_work_tree(tree: Path, tmp_path: Path, git: Git, environ: dict[str, str]) -> None:
    git(tree, "worktree", "add", "--quiet", "-b", "try", str(tmp_path / "linked"))
    (tmp_path / "linked" / "train.py").write_text("LR = 9\n")
    found = probe_source(tmp_path / "linked", environ=environ)
    assert (found.branch, found.is_dirty) == ("try", True)
    assert probe_source(tree, environ=environ) == clean(tree, git)


# ---- submodules ----------------------------------------------------------------------------------
@pytest.fixture
def with_submodule(tree: Path, tmp_path: Path, git: Git) -> Path:
    git(tmp_path, "clone", "--quiet", "--bare", str(tree), "library.git")
    git(tree, "submodule", "--quiet", "add", str(tmp_path / "library.git"), "lib")
    git(tree, "commit", "--quiet", "-m", "submodule")
    return tree


def test_clean_submodule(with_submodule: Path, git: Git, environ: dict[str, str]) -> None:
    assert probe_source(with_submodule, environ=environ) == clean(with_submodule, git)


def test_a_submodule_at_another_commit(
    with_submodule: Path, git: Git, environ: dict[str, str]
) -> None:
    git(with_submodule / "lib", "commit", "--quiet", "--allow-empty", "-m", "more")
    found = probe_source(with_submodule, environ=environ)
    assert found.is_dirty is True
    assert found.missing == ()


def test_a_change_in_a_submodule(with_submodule: Path, environ: dict[str, str]) -> None:
    (with_submodule / "lib" / "train.py").write_text("LR = 0.2\n")
    first = probe_source(with_submodule, environ=environ)
    assert first.is_dirty is True
    inside = probe_source(with_submodule / "lib", environ=environ)
    empty = f"sha256:{sha256_hex(b'')}"
    lines = f"{empty}\nlib {inside.diff_digest} None\n"
    assert first.diff_digest == Digest("sha256", sha256_hex(lines.encode()))
    (with_submodule / "lib" / "new.py").write_text("")
    second = probe_source(with_submodule, environ=environ)
    assert second.diff_digest != first.diff_digest


def test_a_submodule_that_lies_outside_is_not_read(
    tree: Path, tmp_path: Path, git: Git, environ: dict[str, str]
) -> None:
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(tree), "other")
    (other / "train.py").write_text("LR = 9\n")
    (tree / ".gitmodules").write_text('[submodule "x"]\n\tpath = ../other\n\turl = x\n')
    (tree / "link").symlink_to(other)
    with (tree / ".gitmodules").open("a") as file:
        file.write('[submodule "y"]\n\tpath = link\n[submodule "z"]\n\tpath = .\n')
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "-m", "hostile")
    assert probe_source(tree, environ=environ) == clean(tree, git)


# ---- what cannot be read -------------------------------------------------------------------------
def only(reason: str) -> SourceCode:
    return SourceCode(missing=(Missing(field="commit", reason=reason),))


def test_outside_of_git(tmp_path: Path, git: Git, environ: dict[str, str]) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    assert probe_source(folder, environ=environ) == only(f"{folder} is not inside a git work tree")
    git(tmp_path, "init", "--quiet", "--bare", "bare.git")
    bare = tmp_path / "bare.git"
    assert probe_source(bare, environ=environ) == only(f"{bare} is not inside a git work tree")


def test_without_git(tree: Path, tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path / "home")}
    expected = only("git is not installed, or not on PATH")
    assert probe_source(tree, environ=environ) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user(tree: Path, environ: dict[str, str]) -> None:
    for path in (tree, *tree.rglob("*")):
        os.chown(path, 12345, 12345)
    reason = (
        f"git refuses {tree}, which another user owns; if you trust it, run"
        f" git config --global --add safe.directory {shlex.quote(str(tree))}"
    )
    assert probe_source(tree, environ=environ) == only(reason)


def test_a_broken_repository(tree: Path, environ: dict[str, str]) -> None:
    (tree / ".git" / "HEAD").unlink()
    found = probe_source(tree, environ=environ)
    assert found.commit is None
    reason = (
        "git status failed: fatal: not a git repository (or any of the parent directories): .git"
    )
    assert found.missing == (Missing(field="commit", reason=reason),)


def test_a_work_tree_kept_elsewhere(tree: Path, git: Git, environ: dict[str, str]) -> None:
    git(tree, "config", "core.worktree", "/")
    reason = "the work tree is kept apart from its repository (core.worktree)"
    assert probe_source(tree, environ=environ) == only(reason)


def test_variables_of_git_do_not_lead_elsewhere(
    tree: Path, tmp_path: Path, git: Git, environ: dict[str, str]
) -> None:
    git(tmp_path, "init", "--quiet", "other")
    misleading = {
        "GIT_DIR": str(tmp_path / "other" / ".git"),
        "GIT_WORK_TREE": str(tmp_path / "other"),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_DIFF_OPTS": "-u9",
        "GIT_CONFIG": str(tmp_path / "none"),
    }
    assert probe_source(tree, environ=environ | misleading) == clean(tree, git)


def fake_git(folder: Path, script: str) -> str:
    """Put a program named git in front of the real one; return the PATH for it."""
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_slow_to_list_untracked_files(
    tree: Path, tmp_path: Path, git: Git, environ: dict[str, str]
) -> None:
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    slow = f'case "$*" in *untracked-files=all*) exec sleep 60;; esac\nexec {real.strip()} "$@"'
    slow_environ = environ | {"PATH": fake_git(tmp_path / "bin", slow)}
    expected = clean(tree, git)
    found = probe_source(tree, environ=slow_environ, timeout_s=2.0)
    assert (found.commit, found.branch, found.untracked_count) == (expected.commit, "main", None)
    reason = "git took too long to list untracked files"
    assert found.missing == (Missing(field="untracked_digest", reason=reason),)


def test_a_git_that_hangs(tree: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    environ |= {"PATH": fake_git(tmp_path / "bin", "exec sleep 60")}
    expected = only("git config took too long and was stopped")
    assert probe_source(tree, environ=environ, timeout_s=0.2) == expected


def test_nothing_is_written(tree: Path, environ: dict[str, str]) -> None:
    # A file with a new time and the old content makes `git status` want to refresh its index.
    os.utime(tree / "train.py", ns=(1, 1))
    before = {path: path.stat().st_mtime_ns for path in (tree / ".git").rglob("*")}
    assert probe_source(tree, environ=environ).is_dirty is False
    assert {path: path.stat().st_mtime_ns for path in (tree / ".git").rglob("*")} == before


# ---- hostile repositories --------------------------------------------------------------------------
@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Return a file that only exists when a program of the repository has run."""
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\necho ran >> {tmp_path / 'canary'}\ntimeout 1 cat\n")
    program.chmod(0o755)
    return tmp_path / "canary"


def make_dirty(tree: Path, name: str = "train.py") -> None:
    (tree / name).write_text("LR = 0.3\n")
    os.utime(tree / name, ns=(1, 1))


HOSTILE = {
    "fsmonitor": {"core.fsmonitor": "{evil}"},
    "clean filter": {"filter.x.clean": "{evil}", "filter.x.required": "true"},
    "process filter": {"filter.x.process": "{evil}", "filter.x.required": "true"},
    "filter of two names": {"filter.x.clean": "{evil}", "filter.a.b c.clean": "{evil}"},
    "external diff": {"diff.external": "{evil}"},
    "diff driver": {"diff.x.command": "{evil}"},
    "text converter": {"diff.x.textconv": "{evil}"},
    "hooks": {"core.hooksPath": "{folder}/hooks"},
    "pager": {"core.pager": "{evil}", "pager.diff": "true", "pager.status": "true"},
}


@pytest.mark.parametrize("flaw", HOSTILE)
def test_programs_of_the_repository_do_not_run(
    tree: Path, tmp_path: Path, git: Git, environ: dict[str, str], canary: Path, flaw: str
) -> None:
    (tree / ".git" / "info" / "attributes").write_text("*.py filter=x diff=x\n")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-index-change").symlink_to(tmp_path / "evil")
    for key, value in HOSTILE[flaw].items():
        git(tree, "config", key, value.format(evil=tmp_path / "evil", folder=tmp_path))
    make_dirty(tree)
    found = probe_source(tree, environ=environ)
    assert canary.exists() is False
    assert (found.is_dirty, found.missing) == (True, ())


@pytest.mark.parametrize("flaw", [flaw for flaw in HOSTILE if flaw != "pager"])
def test_they_would_run_under_plain_git(
    tree: Path, tmp_path: Path, git: Git, environ: dict[str, str], canary: Path, flaw: str
) -> None:
    # The control: without it the test above could pass because the trap is no trap. (A pager runs
    # only on a terminal.)
    (tree / ".git" / "info" / "attributes").write_text("*.py filter=x diff=x\n")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-index-change").symlink_to(tmp_path / "evil")
    for key, value in HOSTILE[flaw].items():
        git(tree, "config", key, value.format(evil=tmp_path / "evil", folder=tmp_path))
    make_dirty(tree)
    os.utime(tree / "data.bin", ns=(1, 1))
    for command in (["status"], ["diff", "HEAD"]):
        subprocess.run(["git", "-C", tree, *command], env=environ, capture_output=True, check=False)
    assert canary.exists() is True


def test_a_filter_that_cannot_be_named_stops_the_probe(
    tree: Path, tmp_path: Path, git: Git, environ: dict[str, str], canary: Path
) -> None:
    git(tree, "config", "filter.a=b.clean", str(tmp_path / "evil"))
    (tree / ".git" / "info" / "attributes").write_text("*.py filter=a=b\n")
    make_dirty(tree)
    reason = (
        "the repository configures a filter program whose name cannot be overridden;"
        " git was not run on its files"
    )
    assert probe_source(tree, environ=environ) == only(reason)
    assert canary.exists() is False


def test_the_users_own_filter_still_runs(
    tree: Path, tmp_path: Path, git: Git, environ: dict[str, str]
) -> None:
    # As git-lfs does: what is committed is the filtered form, and an untouched file is clean.
    git(tree, "config", "--global", "filter.upper.clean", "tr a-z A-Z")
    (tree / ".gitattributes").write_text("*.txt filter=upper\n")
    (tree / "a.txt").write_text("large file\n")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "-m", "filtered")
    assert git(tree, "show", "HEAD:a.txt") == "LARGE FILE"
    os.utime(tree / "a.txt", ns=(1, 1))
    assert probe_source(tree, environ=environ) == clean(tree, git)


def test_missing_objects_are_not_fetched(
    tree: Path, tmp_path: Path, git: Git, environ: dict[str, str], canary: Path
) -> None:
    # A partial clone whose transport is a program of the repository's choice (CVE-2024-32004).
    blob = git(tree, "rev-parse", "HEAD:train.py")
    (tree / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": str(tmp_path / "elsewhere.git"),
        "remote.origin.promisor": "true",
        "remote.origin.uploadpack": str(tmp_path / "evil"),
        "protocol.file.allow": "always",
    }.items():
        git(tree, "config", key, value)
    make_dirty(tree)
    found = probe_source(tree, environ=environ)
    assert canary.exists() is False
    subprocess.run(["git", "-C", tree, "diff"], env=environ, capture_output=True, check=False)
    assert canary.exists() is True, "plain git runs it, so the trap is one"
    assert found.commit == git(tree, "rev-parse", "HEAD")
    assert [each.field for each in found.missing] == ["diff_digest"]
