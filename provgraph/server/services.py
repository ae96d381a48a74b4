"""What the endpoints share, started and stopped with the server."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from provgraph.access.openid import KeySource, OpenIdVerifier
from provgraph.access.store import AccessStore
from provgraph.errors import StorageError, UsageError
from provgraph.index.pool import PoolLimits, QueryPool
from provgraph.server.guard import AccessGuard, Guard
from provgraph.service.home import utc_now
from provgraph.service.snapshots import SnapshotKeeper
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)

# A provider that changes its keys shows the new ones well before it signs with them.
_KEYS_FRESH_S: Final = 600.0
_KEYS_RETRY_S: Final = 15.0


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

    key_source: KeySource | None = None
    """Keys of an OpenID provider, read again now and then."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    def of(cls, settings: Settings, *, guard: Guard | None = None) -> Self:
        """Make them for a home; nothing is started yet."""
        limits = PoolLimits(
            workers=max(2, os.cpu_count() or 2),
            timeout_s=settings.query_timeout_s,
            memory_bytes=settings.query_memory_mib * 1024 * 1024,
            answer_bytes=settings.query_answer_mib * 1024 * 1024,
        )
        store = AccessStore(settings.home / "access.db", clock=utc_now)
        key_source, openid = None, None
        if settings.openid_issuer:
            if not settings.openid_keys:
                raise UsageError("openid_issuer is set and openid_keys is not: set it as well")
            key_source = KeySource(settings.openid_keys)
            openid = OpenIdVerifier(
                issuer=settings.openid_issuer,
                audience=settings.openid_audience,
                keys=key_source,
                store=store,
                clock=utc_now,
            )
        return cls(
            settings=settings,
            snapshots=SnapshotKeeper(settings),
            pool=QueryPool(limits),
            guard=guard or AccessGuard(store, openid=openid),
            key_source=key_source,
            clock=utc_now,
            cors_origins=frozenset(filter(None, settings.cors_origins.replace(" ", "").split(","))),
        )

    async def start(self) -> None:
        """Start what needs starting; the server takes requests after it."""
        await self.snapshots.start()
        await self.pool.start()
        if self.key_source is not None:
            self._tasks.append(asyncio.create_task(_keep_keys(self.key_source)))

    async def close(self) -> None:
        """Stop, in the order in which nothing is lost."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pool.close()
        await self.snapshots.close()


async def _keep_keys(source: KeySource) -> None:
    while True:
        try:
            await asyncio.to_thread(source.load)
            wait_s = _KEYS_FRESH_S
        except StorageError as error:
            logger.warning("openid keys not read error=%s", error)
            wait_s = _KEYS_RETRY_S
        await asyncio.sleep(wait_s)
