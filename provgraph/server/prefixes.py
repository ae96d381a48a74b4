"""Indexes of the ledger as it was, for a server: one for each size and view that was asked for lately.

Each is built in a process of its own (`provgraph.service.as_of`), one at a time, and kept while it is
among the last few. What is erased meanwhile is in none of them: they are removed within seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provgraph.access.views import View
from provgraph.errors import IndexUnavailableError, NotFoundError
from provgraph.service.home import readable_ledger
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)

MAX_KEPT: Final = 4
WAIT_S: Final = 15.0
_LOOK_S: Final = 2.0
_COMMAND: Final = "from provgraph.service.as_of import main; main()"


@dataclass(slots=True, eq=False, kw_only=True)
class _Prefix:
    folder: Path
    building: asyncio.Task[None] | None = None
    is_built: bool = False
    readers: int = 0
    is_dropped: bool = False
    used_s: float = field(default_factory=time.monotonic)


class Prefixes:
    """Lends folders with an index. One event loop."""

    def __init__(self, settings: Settings) -> None:
        """Take the home; nothing is built yet."""
        self._settings = settings
        self._folder = settings.home / "snapshots" / f"asof-{secrets.token_hex(8)}"
        self._kept: dict[tuple[View, int], _Prefix] = {}
        self._builds = asyncio.Lock()
        self._tombstones = 0
        self._watching: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def lend(self, view: View, size: int, hidden: frozenset[int]) -> AsyncIterator[Path]:
        """Lend the folder of an index of the first entries that a view shows.

        Raises:
            IndexUnavailableError: it is being built, or cannot be.
        """
        await self._forget_erased()
        prefix = self._kept.get((view, size))
        if prefix is None:
            self._make_room()
            folder = self._folder / f"{size}-{secrets.token_hex(4)}"
            prefix = self._kept[view, size] = _Prefix(folder=folder)
            prefix.building = asyncio.create_task(self._build(prefix, view, size, hidden))
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        prefix.readers += 1
        try:
            if prefix.building is not None and not prefix.is_built:
                try:
                    await asyncio.wait_for(asyncio.shield(prefix.building), WAIT_S)
                except TimeoutError:
                    raise IndexUnavailableError(
                        f"the index of ledger size {size} is being built; ask again in a moment"
                    ) from None
            prefix.used_s = time.monotonic()
            yield prefix.folder
        finally:
            prefix.readers -= 1
            self._clear(prefix)

    async def close(self) -> None:
        """Stop, and remove what was made."""
        tasks = [self._watching, *(each.building for each in self._kept.values())]
        for task in filter(None, tasks):
            task.cancel()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _build(self, prefix: _Prefix, view: View, size: int, hidden: frozenset[int]) -> None:
        try:
            async with self._builds:
                await asyncio.to_thread(self._built, prefix.folder, size, hidden)
            prefix.is_built = True
        except BaseException:
            self._kept.pop((view, size), None)
            self._drop(prefix)
            raise

    def _built(self, folder: Path, size: int, hidden: frozenset[int]) -> None:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = {
            "home": str(self._settings.home),
            "folder": str(folder),
            "size": size,
            "hidden": sorted(hidden),
        }
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND],
            input=json.dumps(wanted).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it was ended"]
            raise IndexUnavailableError(
                f"the index of ledger size {size} was not built: {said[-1]}"
            )

    def _make_room(self) -> None:
        idle = sorted(
            (each for each in self._kept.items() if not each[1].readers and each[1].is_built),
            key=lambda each: each[1].used_s,
        )
        for key, prefix in idle[: max(0, len(self._kept) - MAX_KEPT + 1)]:
            del self._kept[key]
            self._drop(prefix)
        if len(self._kept) >= 2 * MAX_KEPT:
            raise IndexUnavailableError(
                "as many earlier sizes of the ledger are being asked about as may; ask again in a"
                " moment"
            )

    async def _watch(self) -> None:
        while self._kept:
            await asyncio.sleep(_LOOK_S)
            await self._forget_erased()
        self._watching = None

    async def _forget_erased(self) -> None:
        """Drop all of them when something was erased since they were built."""
        count = await asyncio.to_thread(self._count_tombstones)
        if count != self._tombstones:
            self._tombstones = count
            for prefix in self._kept.values():
                self._drop(prefix)
            self._kept.clear()

    def _count_tombstones(self) -> int:
        try:
            with readable_ledger(self._settings) as ledger:
                return len(ledger.names_of_kind("tombstone"))
        except NotFoundError:
            return 0

    def _drop(self, prefix: _Prefix) -> None:
        prefix.is_dropped = True
        self._clear(prefix)

    @staticmethod
    def _clear(prefix: _Prefix) -> None:
        if prefix.is_dropped and prefix.readers == 0:
            # Workers may still hold its files open; the system keeps those until they let go.
            shutil.rmtree(prefix.folder, ignore_errors=True)
