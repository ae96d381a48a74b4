"""What the endpoints share, started and stopped with the server."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from provgraph.access.store import AccessStore
from provgraph.index.pool import PoolLimits, QueryPool
from provgraph.server.guard import AccessGuard, Guard
from provgraph.service.home import utc_now
from provgraph.service.snapshots import SnapshotKeeper
from provgraph.settings import Settings


@dataclass(slots=True, kw_only=True)
class Services:
    """Snapshots of the index, workers that query them, and the guard. One event loop."""

    settings: Settings
    snapshots: SnapshotKeeper
    pool: QueryPool
    guard: Guard
    clock: Callable[[], datetime]
    cors_origins: frozenset[str]
    counts: tuple[int, dict[str, int]] | None = None
    """What was counted for VoID, with the ledger size that it holds for."""

    @classmethod
    def of(cls, settings: Settings, *, guard: Guard | None = None) -> Self:
        """Make them for a home; nothing is started yet."""
        limits = PoolLimits(
            workers=max(2, os.cpu_count() or 2),
            timeout_s=settings.query_timeout_s,
            memory_bytes=settings.query_memory_mib * 1024 * 1024,
            answer_bytes=settings.query_answer_mib * 1024 * 1024,
        )
        return cls(
            settings=settings,
            snapshots=SnapshotKeeper(settings),
            pool=QueryPool(limits),
            guard=guard or AccessGuard(AccessStore(settings.home / "access.db", clock=utc_now)),
            clock=utc_now,
            cors_origins=frozenset(filter(None, settings.cors_origins.replace(" ", "").split(","))),
        )

    async def start(self) -> None:
        """Start what needs starting; the server takes requests after it."""
        await self.snapshots.start()
        await self.pool.start()

    async def close(self) -> None:
        """Stop, in the order in which nothing is lost."""
        await self.pool.close()
        await self.snapshots.close()
