"""Having OpenLineage events mapped after they were kept, in a process of their own.

An event is acknowledged when the ledger has it. What it means is worked out from there, soon after, by
`provgraph import kept://openlineage --new`: a process that can take its time, and die, without anybody
waiting for it. What one was too late for, or did not live to do, the next one does; the first runs when the
server starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from typing import Final

from provgraph.service.kept_events import ADDRESS
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)

# Events of one run come close together: it waits for the others, and for no more than that.
_DELAY_S: Final = 1.0
_RETRY_S: Final = 30.0
TIMEOUT_S: Final = 3600.0
_PROGRAM: Final = "import sys; from provgraph.cli.main import main; sys.exit(main(sys.argv[1:]))"


class EventMapper:
    """Maps kept events whenever some have come. One event loop; `close` ends what runs."""

    def __init__(self, settings: Settings, *, recorded: Callable[[], None]) -> None:
        """`recorded` is called when there may be new records."""
        self._settings = settings
        self._recorded = recorded
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, *, has_events: bool) -> None:
        """Start, and map what was left where there may be something."""
        if has_events:
            self._came.set()
        self._task = asyncio.create_task(self._run())

    def came(self) -> None:
        """Say that events were kept."""
        self._came.set()

    async def close(self) -> None:
        """End; what was not mapped is mapped when the server starts again."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._came.wait()
            await asyncio.sleep(_DELAY_S)
            self._came.clear()
            code = await self._map()
            self._recorded()
            if code not in (0, 1):  # 1: an event was refused, and the report says why
                logger.warning("openlineage events not mapped code=%s; tried again later", code)
                await asyncio.sleep(_RETRY_S)
                self._came.set()

    async def _map(self) -> int:
        arguments = ("--home", str(self._settings.home), "import", ADDRESS, "--new", "--json")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PROGRAM,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name != "PROVGRAPH_SERVER"},
        )
        try:
            return await asyncio.wait_for(process.wait(), TIMEOUT_S)
        except TimeoutError:
            return -1
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
