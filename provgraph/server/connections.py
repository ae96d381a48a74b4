"""What one connection may cost before its request is whole, and after its answer is.

A connection that is silent, or sends a byte now and then, or does not read its answer, holds no query
worker and little memory, and for a bounded time only (Slowloris, RFC 9110 section 15.5.9). When there
are as many connections as there may be, the one that has been idle longest makes room.

uvicorn reads and writes HTTP; here are only the limits. Times are seconds, sizes bytes.
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S: Final = 10.0
"""Until the head of a request is whole."""
LINGER_S: Final = 5.0
"""How long a body that nobody reads any more is thrown away, so that its sender sees the answer."""
UNREAD_S: Final = 60.0
"""How long a client may read nothing of an answer that waits for it."""
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100


class BoundedConnection(HttpToolsProtocol):
    """One HTTP connection within its limits; `limited` says how many there may be."""

    max_connections = 1000

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; make room where there is none."""
        self._since_s = self.loop.time()
        self._head_bytes = 0
        self._is_head_whole = False
        self._is_message_whole = True
        self._unread: TimerHandle | None = None
        super().connection_made(transport)
        self._deadline: TimerHandle | None = self.loop.call_later(HEAD_S, self._late)
        if len(self.connections) > self.max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._stop_clock()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a head are counted and timed."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.transport.is_closing() or not self._is_waiting:
            return
        # An endless trickle of empty lines begins no message, and is timed all the same.
        self._head_bytes += len(data)
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S, self._late)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, "Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._is_head_whole = False
        self._is_message_whole = False

    def on_headers_complete(self) -> None:
        """Hand a request over, or what refuses it."""
        self._stop_clock()
        self._is_head_whole = True
        self._head_bytes = 0
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size <= MAX_HEAD_BYTES and len(self.headers) <= MAX_HEADERS:
            super().on_headers_complete()
            return
        app = self.app
        self.url = b"/"  # the parser of addresses has a limit of its own
        self.app = _head_too_large
        try:
            super().on_headers_complete()
        finally:
            self.app = app

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        self._is_message_whole = True
        if self.cycle is not None and self.cycle.response_complete:
            self._stop_clock()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request; what is left of this one has little time."""
        super().on_response_complete()
        self._since_s = self.loop.time()
        if not self._is_message_whole and not self.transport.is_closing():
            self._stop_clock()
            self._deadline = self.loop.call_later(LINGER_S, self.transport.close)

    def pause_writing(self) -> None:
        """Time a client that does not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    @property
    def _is_waiting(self) -> bool:
        """Whether it has no request in hand: nobody loses anything when it ends."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        return not is_answering and (not self._is_head_whole or self._is_message_whole)

    def _make_room(self) -> None:
        idle = [
            each
            for each in self.connections
            if isinstance(each, BoundedConnection)
            and each is not self
            and each._is_waiting
            and not each.transport.is_closing()
        ]
        if idle:
            min(idle, key=lambda each: each._since_s).transport.close()
        elif len(self.connections) > self.max_connections + self.max_connections // 4:
            self.transport.abort()
        else:
            self._refuse(503, "Service Unavailable")

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._head_bytes == 0:
            self.transport.close()
        else:
            self._refuse(408, "Request Timeout")

    def _refuse(self, status: int, reason: str) -> None:
        head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limited(max_connections: int) -> type[BoundedConnection]:
    """Return the connections of a server that keeps so many."""
    return type("Connection", (BoundedConnection,), {"max_connections": max_connections})


async def _head_too_large(
    _scope: MutableMapping[str, Any],
    _receive: Callable[[], Awaitable[Any]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
