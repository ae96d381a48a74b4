"""Snapshots of the index for a server's query workers: read-only copies, each at a ledger size.

The index is opened, brought up to the ledger, copied (hard links) and closed again, so that other
processes of the home can use it in between. A snapshot stays until nobody reads it. Snapshots are
disposable: what an earlier server left is removed at the start.

Who may not read everything is served from an index of its view alone (`provgraph.access.views`), made
when somebody first asks with that view and kept while it is in use. Where nothing is private, there is
only the full one.
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
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provgraph.access.views import FULL, View
from provgraph.errors import (
    DamagedIndexError,
    IndexUnavailableError,
    NotFoundError,
    ProvgraphError,
)
from provgraph.index.edges import lineage_folder
from provgraph.index.store import open_index
from provgraph.service import lineage_index
from provgraph.service.catching_up import WORTH_A_PROCESS, catch_up_elsewhere
from provgraph.service.home import index_folder, readable_ledger
from provgraph.service.indexing import bring_up_to_date, counting_tombstones, rebuild_index
from provgraph.service.view_index import ViewIndex
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)

# At most this share of the time goes into making snapshots, however fast the ledger grows.
_SHARE: Final = 5.0
_POLL_S: Final = 1.0
# Views besides the full one: so many indexes at once, and so long without a reader.
MAX_VIEWS: Final = 16
_IDLE_S: Final = 1800.0


@dataclass(slots=True, eq=False, kw_only=True)
class Snapshot:
    """A folder that holds the index as it was at a size of the ledger."""

    folder: Path
    lineage: Path  # the lineage index, to be read as of that size
    ledger_size: int
    erased: int = 0  # records that were erased, among those that it shows
    readers: int = 0
    is_current: bool = True


@dataclass(slots=True, eq=False, kw_only=True)
class _Kept:
    """What is kept of one view."""

    make: Callable[[bool], Snapshot | None]  # given whether to make it anew
    folder: Path | None = None  # of its index, where it has one of its own
    current: Snapshot | None = None
    used_s: float = field(default_factory=time.monotonic)
    users: int = 0  # those who wait for a snapshot or read one, the current or an older one
    making: asyncio.Task[None] | None = None
    problem: str | None = None

    @property
    def ledger_size(self) -> int:
        return 0 if self.current is None else self.current.ledger_size

    @property
    def is_in_use(self) -> bool:
        return bool(self.users or self.making)


class SnapshotKeeper:
    """Keeps one current snapshot a view, and makes the next when the ledger has grown."""

    def __init__(self, settings: Settings, *, max_views: int = MAX_VIEWS) -> None:
        self._settings = settings
        self._max_views = max_views
        self._folder = settings.home / "snapshots" / secrets.token_hex(8)
        self._lock: int | None = None
        self._full = _Kept(make=self._made)
        self._views: dict[View, _Kept] = {}
        self._number = 0
        # One index is built at a time, whoever waits: two would take twice the memory and disk.
        self._builds = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str | None:
        """Why the last attempt to make a full snapshot failed, None when it did not."""
        return self._full.problem

    async def start(self) -> None:
        """Make the first snapshot and watch the ledger."""
        await asyncio.to_thread(self._prepare)
        await self._refresh(self._full)
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Stop watching, and remove what was made."""
        tasks = [self._task, *(kept.making for kept in self._views.values())]
        for task in tasks:
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)

    @property
    def ledger_size(self) -> int | None:
        """The size of the ledger that the current full snapshot holds."""
        return None if self._full.current is None else self._full.current.ledger_size

    def size_of(self, view: View) -> int | None:
        """Return the size of the ledger that a view's current snapshot holds, None without one."""
        kept = self._full if view.is_full else self._views.get(view)
        return None if kept is None or kept.current is None else kept.current.ledger_size

    def grown(self) -> None:
        """Say that something was appended; a snapshot follows soon."""
        self._wanted.set()

    def warm(self, view: View) -> None:
        """Begin to make the first snapshot of a view, for whoever asks with it soon."""
        if not view.is_full:
            self._begin(self._kept(view))

    def _begin(self, kept: _Kept) -> None:
        if kept is not self._full and kept.current is None and kept.making is None:
            kept.making = asyncio.create_task(self._first(kept))

    @contextlib.asynccontextmanager
    async def lend(
        self, view: View = FULL, *, min_size: int = 0, timeout_s: float = 10.0
    ) -> AsyncIterator[Snapshot]:
        """Lend a snapshot of a view that holds what it shows of the first `min_size` entries.

        Waits for it, and for the first one of a view.

        Raises:
            NotFoundError: the ledger has not got so many, or not within the time; or there is no
                ledger yet.
            IndexUnavailableError: the first snapshot is not made, or not within the time.
        """
        kept = self._kept(view)
        if min_size > kept.ledger_size:
            # What nobody has recorded is not waited for.
            has = await asyncio.to_thread(self._recorded)
            if min_size > has:
                raise NotFoundError(
                    f"expected an index over at least {min_size} ledger entries, the ledger has {has}"
                )
        kept.used_s = time.monotonic()
        kept.users += 1
        try:
            await self._wait(kept, min_size=min_size, timeout_s=timeout_s)
            snapshot = kept.current
            if snapshot is None:
                raise _none_yet(kept)
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
        finally:
            kept.users -= 1

    async def rebuild(self, snapshot: Snapshot) -> None:
        """Build the index anew after a snapshot of it turned out to be damaged."""
        for kept in (self._full, *self._views.values()):
            if snapshot is kept.current:
                if kept is self._full:
                    await asyncio.to_thread(self._rebuilt)
                await self._refresh(kept, is_forced=True)

    def _kept(self, view: View) -> _Kept:
        if view.is_full:
            return self._full
        if view not in self._views:
            if len(self._views) >= self._max_views:
                idle = [each for each, kept in self._views.items() if not kept.is_in_use]
                if not idle:
                    raise IndexUnavailableError(
                        "as many different sets of projects are being read as may; ask again"
                        " in a moment"
                    )
                self._drop(min(idle, key=lambda each: self._views[each].used_s))
            self._number += 1
            folder = self._folder / f"view-{self._number}"
            index = ViewIndex(self._settings, view, folder)
            self._views[view] = _Kept(make=lambda anew: _copy_of(index, anew), folder=folder)
        return self._views[view]

    def _drop(self, view: View) -> None:
        kept = self._views.pop(view)
        assert kept.folder is not None, "the full view is not among them"
        shutil.rmtree(kept.folder, ignore_errors=True)

    def _recorded(self) -> int:
        """Return how many entries the ledger has now."""
        try:
            with readable_ledger(self._settings) as ledger:
                return ledger.size()
        except NotFoundError:
            return 0

    async def _wait(self, kept: _Kept, *, min_size: int, timeout_s: float) -> None:
        self._begin(kept)
        if kept.current is not None and kept.ledger_size >= min_size:
            return
        self._wanted.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                if kept.making is not None:
                    # Others wait for it too: it goes on when this one has had enough.
                    await asyncio.shield(kept.making)
                async with self._changed:
                    await self._changed.wait_for(lambda: kept.ledger_size >= min_size)

    async def _first(self, kept: _Kept) -> None:
        try:
            await self._refresh(kept)
        finally:
            kept.making = None

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._wanted.wait()
            self._wanted.clear()
            began_s = time.monotonic()
            await self._refresh(self._full)
            for view, kept in list(self._views.items()):
                if not kept.is_in_use and began_s - kept.used_s > _IDLE_S:
                    self._drop(view)
                elif self._is_behind(view, kept):
                    await self._next(kept)
            took_s = time.monotonic() - began_s
            await asyncio.sleep(took_s * _SHARE)

    def _is_behind(self, view: View, kept: _Kept) -> bool:
        is_behind = kept.current is None or kept.ledger_size != self._full.ledger_size
        return is_behind and kept.making is None and self._views.get(view) is kept

    async def _next(self, kept: _Kept) -> None:
        kept.users += 1  # so that nobody drops it meanwhile
        try:
            await self._refresh(kept)
        finally:
            kept.users -= 1

    async def _refresh(self, kept: _Kept, *, is_forced: bool = False) -> None:
        try:
            async with self._builds:
                fresh = await _to_its_end(kept.make, is_forced)
        except NotFoundError:
            return  # nothing has been recorded yet
        except (ProvgraphError, OSError) as error:
            if kept.problem != str(error):
                logger.warning("snapshot not made error=%s", error)
            kept.problem = str(error)
            return
        kept.problem = None
        if fresh is None:
            return
        async with self._changed:
            old, kept.current = kept.current, fresh
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

    def _made(self, is_forced: bool, /) -> Snapshot | None:  # noqa: FBT001 - as `make` is called
        """Bring the index up to date and copy it; None where the current one is up to date."""
        settings = self._settings
        with readable_ledger(settings) as ledger:
            if not is_forced and ledger.size() == self.ledger_size:
                return None
            is_far = ledger.size() - (self.ledger_size or 0) >= WORTH_A_PROCESS
            if is_far:
                catch_up_elsewhere(settings)
            with open_index(index_folder(settings), wait_s=settings.index_wait_s) as index:
                mark = index.watermark() if is_far else None
                # What came in since is for the next snapshot, or there would be much of it here.
                size = bring_up_to_date(index, ledger) if mark is None else mark.size
                folder = self._folder / f"{size:012d}-{secrets.token_hex(4)}"
                try:
                    index.snapshot(folder)
                except DamagedIndexError as error:
                    index.put_aside(error)
                    size = rebuild_index(index, ledger)
                    index.snapshot(folder)
            erased = len(counting_tombstones(ledger, size=size))
        lineage = lineage_folder(index_folder(settings))
        return Snapshot(folder=folder, lineage=lineage, ledger_size=size, erased=erased)

    def _rebuilt(self) -> None:
        settings = self._settings
        with (
            readable_ledger(settings) as ledger,
            open_index(index_folder(settings), wait_s=settings.index_wait_s) as index,
        ):
            size = rebuild_index(index, ledger)
            lineage_index.build(ledger, lineage_folder(index.folder), size=size)

    @staticmethod
    def _clear(snapshot: Snapshot) -> None:
        if not snapshot.is_current and snapshot.readers == 0:
            # Workers may still hold its files open; the system keeps those until they let go.
            shutil.rmtree(snapshot.folder, ignore_errors=True)


def _none_yet(kept: _Kept) -> ProvgraphError:
    if kept.making is not None:
        return IndexUnavailableError(
            "the index of what you may read is being built; ask again in a moment"
        )
    if kept.problem is not None:
        return IndexUnavailableError(kept.problem)
    return NotFoundError("nothing has been recorded here yet")


async def _to_its_end(
    make: Callable[[bool], Snapshot | None],
    is_forced: bool,  # noqa: FBT001 - as `make` is called
) -> Snapshot | None:
    """Run it in a thread, which goes on when whoever waits is cancelled: so is waited for then, too."""
    making = asyncio.ensure_future(asyncio.to_thread(make, is_forced))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        with contextlib.suppress(ProvgraphError, OSError):
            await making
        raise


def _copy_of(index: ViewIndex, is_forced: bool, /) -> Snapshot | None:  # noqa: FBT001 - as above
    made = index.copied(is_forced=is_forced)
    if made is None:
        return None
    return Snapshot(folder=made[0], lineage=index.lineage, ledger_size=made[1], erased=index.erased)


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
