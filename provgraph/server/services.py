"""What the endpoints share, started and stopped with the server."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from provgraph.access.anomalies import Watch
from provgraph.access.openid import KeySource, OpenIdVerifier
from provgraph.access.store import AccessStore
from provgraph.access.trail import TrailWriter, access_of
from provgraph.access.verdict import Caller
from provgraph.access.views import View
from provgraph.errors import StorageError, UsageError
from provgraph.index.pool import PoolLimits, QueryPool
from provgraph.server.attention import AttentionKeeper
from provgraph.server.counting import Metrics
from provgraph.server.guard import AccessGuard, Guard
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.intake import Intake
from provgraph.server.mapping import EventMapper
from provgraph.server.prefixes import Prefixes
from provgraph.server.problems import HttpError
from provgraph.server.proxies import Front
from provgraph.server.rates import Rates
from provgraph.server.sessions import Sessions
from provgraph.server.standings import Standings
from provgraph.service.home import trail_signer, utc_now
from provgraph.service.ingesting import Ingest
from provgraph.service.kept_events import has_kept_events
from provgraph.service.snapshots import SnapshotKeeper
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)

# A provider that changes its keys shows the new ones well before it signs with them.
_KEYS_FRESH_S: Final = 600.0
_KEYS_RETRY_S: Final = 15.0
# Walks over lineage at once; each is at one query at a time.
MAX_WALKS: Final = 4


@dataclass(slots=True, kw_only=True)
class Services:
    """Snapshots of the index, workers that query them, and the guard. One event loop."""

    settings: Settings
    snapshots: SnapshotKeeper
    pool: QueryPool
    guard: Guard
    clock: Callable[[], datetime]
    cors_origins: frozenset[str]
    trail_path: Path
    waiting_bytes: int = 0
    """Of records that are being taken in."""
    _ingest: Ingest | None = None
    _intake: Intake | None = None
    mapper: EventMapper | None = None
    """Has OpenLineage events mapped after they came."""
    trail: TrailWriter | None = None
    watch: Watch = field(default_factory=Watch)
    counts: dict[View, tuple[int, dict[str, int]]] = field(default_factory=dict)
    """What was counted for VoID, by what was shown, with the ledger size that it holds for."""

    front: Front = field(default_factory=Front)
    sessions: Sessions = field(default_factory=Sessions)
    attention: AttentionKeeper = field(default_factory=AttentionKeeper)
    standings: Standings = field(default_factory=Standings)
    """How the ledger stands, for every page."""
    rates: Rates
    prefixes: Prefixes
    """Indexes of the ledger as it was."""
    metrics: Metrics = field(default_factory=Metrics)
    key_source: KeySource | None = None
    """Keys of an OpenID provider, read again now and then."""
    walkers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(MAX_WALKS, thread_name_prefix="walk")
    )
    """Threads for walks, which wait for query workers: others' threads must not wait with them."""
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def require_trail(self) -> None:
        """Answer nobody while the trail cannot be written.

        Raises:
            StorageError: it cannot.
        """
        if self.trail is None or self.trail.problem is not None:
            problem = "it is not open" if self.trail is None else self.trail.problem
            raise StorageError(f"nothing is answered without an access trail: {problem}")

    def require_rate(self, request: Request, caller: Caller | None) -> None:
        """Let a caller ask no more often than it may; who is nobody goes by address.

        Raises:
            HttpError: 429, with the time to wait.
        """
        is_known = caller is not None and caller.by != "open"
        host = request.client.host if request.client else "local"
        wait_s = self.rates.take(f"{caller.by} {caller.name}" if caller and is_known else host)
        if wait_s > 0:
            self.metrics.limited += 1
            raise HttpError(
                429,
                "Too many requests",
                f"expected at most {self.settings.requests_per_s} requests a second; wait, or send"
                " more records in one request",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )

    def note_access(
        self,
        request: Request,
        response: Response,
        action: str,
        *,
        began_s: float,
    ) -> None:
        """Put a request into the access trail, whatever became of it."""
        if self.trail is None:
            return
        caller: Caller | None = request.state.caller
        asked = f"{request.method} {request.scope['path']}"
        if query := request.scope["query_string"]:
            asked += f"?{unquote_plus(query.decode('latin-1'))}"
        if (text := getattr(request.state, "asked", None)) is not None:
            asked += f" {text}"
        size = response.headers.get(LEDGER_SIZE_HEADER)
        row = access_of(
            at=self.clock(),
            who=caller.name if caller is not None else "unknown",
            by=caller.by if caller is not None else "nothing",
            address=request.client.host if request.client else "local",
            action=action,
            asked=asked,
            status=response.status_code,
            duration_s=time.monotonic() - began_s,
            size_bytes=int(response.headers.get("content-length", 0)),
            ledger_size=None if size is None else int(size),
            request=request.state.request_id,
        )
        try:
            self.trail.add(row)
        except StorageError as error:
            self.trail.problem = str(error)
        for flag in self.watch.see(-1, row):
            logger.warning("access flag rule=%s who=%s reason=%s", flag.rule, flag.who, flag.reason)

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
        front, sessions = Front.of(settings), Sessions()
        return cls(
            settings=settings,
            sessions=sessions,
            snapshots=SnapshotKeeper(settings),
            prefixes=Prefixes(settings),
            pool=QueryPool(limits),
            guard=guard or AccessGuard(store, openid=openid, sessions=sessions, front=front),
            key_source=key_source,
            front=front,
            rates=Rates(per_s=settings.requests_per_s, burst=settings.requests_burst),
            trail_path=settings.home / "trail.db",
            clock=utc_now,
            cors_origins=frozenset(filter(None, settings.cors_origins.replace(" ", "").split(","))),
        )

    async def ingest(self) -> Ingest:
        """Return what takes records in, opened when the first one comes.

        Raises:
            StorageError: the home cannot be written.
        """
        async with self._opening:
            if self._ingest is None:
                self._ingest = await asyncio.to_thread(Ingest, self.settings)
        return self._ingest

    async def intake(self) -> tuple[Ingest, Intake]:
        """Return what takes records in, and the thread in which it does, both made with the first.

        Raises:
            StorageError: the home cannot be written.
        """
        ingest = self._ingest or await self.ingest()
        if self._intake is None:
            self._intake = Intake(ingest, asyncio.get_running_loop())
        return ingest, self._intake

    async def start(self) -> None:
        """Start what needs starting; the server takes requests after it."""
        self.trail = TrailWriter(
            self.trail_path, signer=trail_signer(self.settings), clock=self.clock
        )
        await self.snapshots.start()
        # Whoever belongs to no private project is most of those who ask.
        self.snapshots.warm(self.guard.view(Caller(name="readers", by="start")))
        await self.pool.start()
        self.mapper = EventMapper(self.settings, recorded=self.snapshots.grown)
        self.mapper.start(has_events=await asyncio.to_thread(has_kept_events, self.settings))
        if self.key_source is not None:
            self._tasks.append(asyncio.create_task(_keep_keys(self.key_source)))

    async def close(self) -> None:
        """Stop, in the order in which nothing is lost."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.mapper is not None:
            await self.mapper.close()
        # What was handed over is committed before anything else ends.
        if self._intake is not None:
            await asyncio.to_thread(self._intake.close)
        if self._ingest is not None:
            await asyncio.to_thread(self._ingest.close)
        await self.pool.close()
        await asyncio.to_thread(self.walkers.shutdown, cancel_futures=True)
        await self.prefixes.close()
        await self.snapshots.close()
        if self.trail is not None:
            await asyncio.to_thread(self.trail.close)


async def _keep_keys(source: KeySource) -> None:
    while True:
        try:
            await asyncio.to_thread(source.load)
            wait_s = _KEYS_FRESH_S
        except StorageError as error:
            logger.warning("openid keys not read error=%s", error)
            wait_s = _KEYS_RETRY_S
        await asyncio.sleep(wait_s)
