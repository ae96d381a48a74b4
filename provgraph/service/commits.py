"""The commits between two recorded ones, where the repository of the current folder has both."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import Final

MAX_SUBJECTS: Final = 20
_TIMEOUT_S: Final = 5.0
_HASH = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commits:
    """Commits from one to another: those that only the later has, the newest first."""

    before: str
    after: str
    count: int = 0
    subjects: tuple[str, ...] = ()  # abbreviated hash and first line
    is_backwards: bool = False  # the second is an ancestor of the first
    reason: str = ""  # why they are not known


def commits_between(before: str, after: str) -> Commits:
    """Ask git, which may lack the repository or one of the commits: then the reason is said."""
    if not (_HASH.fullmatch(before) and _HASH.fullmatch(after)):
        return Commits(before=before, after=after, reason="these are no git commits")
    try:
        for each in (before, after):
            if _git("cat-file", "-e", f"{each}^{{commit}}") is None:
                return Commits(
                    before=before,
                    after=after,
                    reason=f"{each[:12]} is not in the repository of this folder; run this in its work"
                    " tree to see the commits between",
                )
        is_backwards = _git("merge-base", "--is-ancestor", after, before) is not None
        span = f"{after}..{before}" if is_backwards else f"{before}..{after}"
        count = _git("rev-list", "--count", span) or "0"
        lines = _git("log", "--no-show-signature", "--format=%h %s", f"-{MAX_SUBJECTS}", span) or ""
    except (OSError, subprocess.TimeoutExpired) as error:
        return Commits(before=before, after=after, reason=f"git could not be asked: {error}")
    return Commits(
        before=before,
        after=after,
        count=int(count),
        subjects=tuple(lines.splitlines()),
        is_backwards=is_backwards,
    )


def _git(*arguments: str) -> str | None:
    done = subprocess.run(
        ["git", *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=_TIMEOUT_S,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
