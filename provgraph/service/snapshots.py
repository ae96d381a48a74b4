"""Snapshots of the index for a server's query workers: read-only copies, each at a ledger size.

The index is opened, brought up to the ledger, copied (hard links) and closed again, so that other
processes of the home can use it in between. A snapshot stays until nobody reads it. Snapshots are
disposable: what an earlier server left is removed at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provgraph.errors import DamagedIndexError, NotFoundError, ProvgraphError
from provgraph.index.store import open_index
from provgraph.service.asking import bring_up_to_date, rebuild_index
from provgraph.service.home import index_folder, readable_ledger
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)

# At most this share of the time goes into making snapshots, however fast the ledger grows.
_SHARE: Final = 5.0
_POLL_S: Final = 1.0


@dataclass(slots=True, eq=False, kw_only=True)
class Snapshot:
    """A folder that holds the index as it was at a size of the ledger."""

    folder: Path
    ledger_size: int
    readers: int = 0
    is_current: bool = True


class SnapshotKeeper:
    """Keeps one current snapshot, and makes the next when the ledger has grown."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.home / "snapshots" / secrets.token_hex(8)
        self._lock: int | None = None
        self._current: Snapshot | None = None
        self._changed = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None
        """Why the last attempt to make a snapshot failed, None when it did not."""

    async def start(self) -> None:
        """Make the first snapshot and watch the ledger."""
        await asyncio.to_thread(self._prepare)
        await self._refresh()
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Stop watching, and remove what was made."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)

    @property
    def ledger_size(self) -> int | None:
        """The size of the ledger that the current snapshot holds."""
        return None if self._current is None else self._current.ledger_size

    def grown(self) -> None:
        """Say that something was appended; a snapshot follows soon."""
        self._wanted.set()

    @contextlib.asynccontextmanager
    async def lend(self, *, min_size: int = 0, timeout_s: float = 10.0) -> AsyncIterator[Snapshot]:
        """Lend a snapshot that holds at least the first `min_size` entries, waiting for it.

        Raises:
            NotFoundError: the ledger has not got so many, or not within the time; or there is no
                ledger yet.
        """
        if min_size > (self.ledger_size or 0):
            self._wanted.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s), self._changed:
                    await self._changed.wait_for(lambda: (self.ledger_size or 0) >= min_size)
        snapshot = self._current
        if snapshot is None:
            raise NotFoundError(self.problem or "nothing has been recorded here yet")
        if snapshot.ledger_size < min_size:
            raise NotFoundError(
                f"expected an index over at least {min_size} ledger entries, it holds"
                f" {snapshot.ledger_size}; ask again later"
            )
        snapshot.readers += 1
        try:
            yield snapshot
        finally:
            snapshot.readers -= 1
            self._clear(snapshot)

    async def rebuild(self, snapshot: Snapshot) -> None:
        """Build the index anew after a snapshot of it turned out to be damaged."""
        if snapshot is self._current:
            await asyncio.to_thread(self._rebuilt)
            await self._refresh(is_forced=True)

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._wanted.wait()
            self._wanted.clear()
            began_s = time.monotonic()
            await self._refresh()
            took_s = time.monotonic() - began_s
            await asyncio.sleep(took_s * _SHARE)

    async def _refresh(self, *, is_forced: bool = False) -> None:
        try:
            fresh = await asyncio.to_thread(self._made, is_forced=is_forced)
        except NotFoundError:
            return  # nothing has been recorded yet
        except (ProvgraphError, OSError) as error:
            if self.problem != str(error):
                logger.warning("snapshot not made error=%s", error)
            self.problem = str(error)
            return
        self.problem = None
        if fresh is None:
            return
        async with self._changed:
            old, self._current = self._current, fresh
            self._changed.notify_all()
        if old is not None:
            old.is_current = False
            self._clear(old)

    def _prepare(self) -> None:
        """Make this keeper's folder, and remove those whose keepers are gone."""
        self._folder.mkdir(mode=0o700, parents=True)
        self._lock = _locked(self._folder)
        for other in self._folder.parent.iterdir():
            if other != self._folder and (lock := _locked(other)) is not None:
                shutil.rmtree(other, ignore_errors=True)
                os.close(lock)

    def _made(self, *, is_forced: bool) -> Snapshot | None:
        """Bring the index up to date and copy it; None where the current one is up to date."""
        settings = self._settings
        with readable_ledger(settings) as ledger:
            if not is_forced and ledger.size() == self.ledger_size:
                return None
            with open_index(index_folder(settings), wait_s=settings.index_wait_s) as index:
                size = bring_up_to_date(index, ledger)
                folder = self._folder / f"{size:012d}-{secrets.token_hex(4)}"
                try:
                    index.snapshot(folder)
                except DamagedIndexError as error:
                    index.put_aside(error)
                    size = rebuild_index(index, ledger)
                    index.snapshot(folder)
        return Snapshot(folder=folder, ledger_size=size)

    def _rebuilt(self) -> None:
        settings = self._settings
        with (
            readable_ledger(settings) as ledger,
            open_index(index_folder(settings), wait_s=settings.index_wait_s) as index,
        ):
            rebuild_index(index, ledger)

    @staticmethod
    def _clear(snapshot: Snapshot) -> None:
        if not snapshot.is_current and snapshot.readers == 0:
            # Workers may still hold its files open; the system keeps those until they let go.
            shutil.rmtree(snapshot.folder, ignore_errors=True)


def _locked(folder: Path) -> int | None:
    """Lock a folder for this process; None where another one holds it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
