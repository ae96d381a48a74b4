"""The commits between two recorded ones, where the repository of the current folder has both."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provgraph.capture.git import Repository
from provgraph.errors import CaptureError

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
        repository = Repository(Path.cwd(), environ=os.environ, timeout_s=_TIMEOUT_S)
        for each in (before, after):
            # Of a commit that is not there git says 128 and nothing.
            if not repository.ask("cat-file", "-t", each, allowed=(0, 128)).strip():
                return Commits(
                    before=before,
                    after=after,
                    reason=f"{each[:12]} is not in the repository of this folder; run this in its work"
                    " tree to see the commits between",
                )
        common = repository.ask("merge-base", before, after, allowed=(0, 1)).strip()
        is_backwards = common == repository.ask("rev-parse", after).strip()
        span = f"{after}..{before}" if is_backwards else f"{before}..{after}"
        count = repository.ask("rev-list", "--count", span)
        lines = repository.ask(
            "log", "--no-show-signature", "--format=%h %s", f"-{MAX_SUBJECTS}", span
        )
    except CaptureError as error:
        return Commits(before=before, after=after, reason=str(error))
    return Commits(
        before=before,
        after=after,
        count=int(count),
        subjects=tuple(lines.splitlines()),
        is_backwards=is_backwards and before != after,
    )
