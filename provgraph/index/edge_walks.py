"""Walking level by level over edges, whoever knows them: the SQLite file, or arrays over it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Final

EVER: Final = 2**62
"""As of every position; also: without a limit."""

Levels = list[Collection[int]]
"""What is 0, 1, 2, … steps away, each thing once."""


class Steps(ABC):
    """Who knows what is one step away. All of them answer the same; one thread at a time."""

    @abstractmethod
    def step(
        self, level: Collection[int], *, up: bool, as_of: int = EVER, limit: int = EVER
    ) -> set[int]:
        """Return what things are directly made from (up), or what is made from or said of them.

        About `limit` of it may do: whoever gets as many as that knows that there may be more.
        """

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
        level = set(roots)
        seen = set(level)
        levels: Levels = [level]
        while level:
            if len(seen) > max_things:
                return levels, True
            if len(levels) > max_depth:
                # A limit of depth cuts only where something lies beyond it.
                return levels, bool(self.step(level, up=up, as_of=as_of, limit=1))
            # So many that more than `max_things` of them are new, if there are as many.
            limit = max_things + len(seen) + 1
            level = self.step(level, up=up, as_of=as_of, limit=limit) - seen
            if level:
                seen |= level
                levels.append(level)
        return levels, False
