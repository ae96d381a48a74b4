"""The HTTP side of a witness: few threads, short deadlines, small bodies.

Specification: C2SP tlog-witness: `POST /add-checkpoint`, and `GET /<origin hash>/checkpoint` for
monitors. `GET /` says in plain text who the witness is and what it has seen, `GET /keys` gives its
verifier keys. HTTP/1.1 with keep-alive and Content-Length.

A client that is slow, says nothing or sends too much is cut off; when all threads are taken, the next
one is told 503. Times are seconds.

What it does not do: TLS. Put it behind a web server that does, if it is reached over a network.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from provgraph.errors import NotFoundError, ProvgraphError
from provgraph.witness.cosigning import RefusedError, add_checkpoint
from provgraph.witness.folder import WitnessFolder
from provgraph.witness.protocol import (
    ADD_CHECKPOINT,
    MAX_SUBMISSION_BYTES,
    TEXT_TYPE,
)

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 32
# For one send or receive, for one request from its first byte to its answer, for one connection.
IDLE_TIMEOUT_S: Final = 5.0
REQUEST_TIMEOUT_S: Final = 20.0
CONNECTION_TIMEOUT_S: Final = 120.0

_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Type: text/plain\r\n\r\nbusy\n"
)
_LENGTH = re.compile(r"[0-9]{1,9}")
_CHECKPOINT = re.compile(r"/([0-9a-f]{64})/checkpoint")


class WitnessServer(socketserver.TCPServer):
    """Serves one witness; `serve_forever` returns after `shutdown`."""

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self,
        host: str,
        port: int,
        *,
        folder: WitnessFolder,
        clock: Callable[[], datetime],
        max_connections: int = MAX_CONNECTIONS,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        """Bind; port 0 takes a free one.

        Raises:
            OSError: the address cannot be had.
        """
        self.folder = folder
        self.clock = clock
        self.idle_timeout_s = idle_timeout_s
        self._request_timeout_s = request_timeout_s
        self._slots = threading.BoundedSemaphore(max_connections)
        self._deadlines: dict[socket.socket, tuple[float, float]] = {}
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if there is one left."""
        if not self._slots.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(0.1)
                request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        now = time.monotonic()
        with self._lock:
            self._deadlines[request] = (now + self._request_timeout_s, now + CONNECTION_TIMEOUT_S)
        threading.Thread(target=self._work, args=(request, client_address), daemon=True).start()

    def service_actions(self) -> None:
        """Cut off whoever is past a deadline; called twice a second by `serve_forever`."""
        now = time.monotonic()
        with self._lock:
            overdue = [each for each, deadlines in self._deadlines.items() if now > min(deadlines)]
        for request in overdue:
            # The thread that reads or writes there is woken, and ends.
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def begin_request(self, request: socket.socket) -> None:
        """Start the clock for one request of a connection."""
        with self._lock:
            _, end = self._deadlines[request]
            self._deadlines[request] = (time.monotonic() + self._request_timeout_s, end)

    def _work(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception as error:
            # Clients break connections; nothing was cosigned that is not on the disk.
            logger.info("connection lost client=%s error=%r", client_address[0], error)
        finally:
            with self._lock:
                del self._deadlines[request]
            self.shutdown_request(request)
            self._slots.release()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # What a request that does not say its version is answered in: with a status line.
    default_request_version = "HTTP/1.0"
    server_version = "provgraph-witness"
    sys_version = ""
    server: WitnessServer

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.idle_timeout_s)

    def handle_one_request(self) -> None:
        self.server.begin_request(self.connection)
        super().handle_one_request()

    def do_POST(self) -> None:
        """Answer add-checkpoint."""
        data = self._body()
        if data is None:
            return
        if self.path != ADD_CHECKPOINT:
            self._answer(404, f"expected POST {ADD_CHECKPOINT}\n".encode())
            return
        try:
            lines = add_checkpoint(self.server.folder, data, clock=self.server.clock)
        except RefusedError as error:
            logger.info("refused status=%s reason=%s", error.status, error)
            self._answer(error.status, error.body, error.content_type)
        except ProvgraphError as error:
            # Nothing was cosigned. The reason is for whoever runs the witness.
            logger.error("cannot cosign error=%s", error)  # noqa: TRY400 - one line, no trace
            self._answer(500, b"this witness cannot cosign now; its operator finds out why\n")
        else:
            self._answer(200, lines)

    def do_GET(self) -> None:
        """Answer a monitor, or a person."""
        folder = self.server.folder
        path = self.path.partition("?")[0]
        match = _CHECKPOINT.fullmatch(path)
        try:
            if match is not None:
                self._answer(200, self._checkpoint(match[1]))
            elif path == "/keys":
                self._answer(200, "".join(f"{key.vkey}\n" for key in folder.keys).encode())
            elif path == "/":
                self._answer(200, status_text(folder).encode())
            else:
                self._answer(404, b"there is nothing here\n")
        except NotFoundError as error:
            self._answer(404, f"{error}\n".encode())
        except ProvgraphError as error:
            logger.error("cannot read error=%s", error)  # noqa: TRY400 - one line, no trace
            self._answer(500, b"the state of this witness cannot be read\n")

    def _checkpoint(self, hashed: str) -> bytes:
        folder = self.server.folder
        with contextlib.suppress(NotFoundError):
            if note := folder.state(folder.origin_of(hashed)).note:
                return note
        raise NotFoundError("this witness has cosigned nothing of that log")

    def _body(self) -> bytes | None:
        """Read the request's body; answer, and return None, where there is none to be had."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not _LENGTH.fullmatch(length):
            self._refuse(411, b"expected a Content-Length\n")
        elif int(length) > MAX_SUBMISSION_BYTES:
            self._refuse(413, f"expected at most {MAX_SUBMISSION_BYTES} bytes\n".encode())
        else:
            data = self.rfile.read(int(length))
            if len(data) == int(length):
                return data
            self.close_connection = True
        return None

    def _refuse(self, status: int, body: bytes) -> None:
        # The body stays unread, so the connection cannot go on.
        self.close_connection = True
        self._answer(status, body)

    def _answer(self, status: int, body: bytes, content_type: str = TEXT_TYPE) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer in plain text what the base class would answer in HTML."""
        del explain
        self.close_connection = True
        phrase = HTTPStatus(code).phrase if code in set(HTTPStatus) else "error"
        self._answer(code, f"{phrase}\n".encode())
        logger.info("malformed request status=%s message=%s", code, message)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log requests as the rest of the program logs."""
        logger.info("client=%s " + format, self.client_address[0], *args)  # noqa: G003


def status_text(folder: WitnessFolder) -> str:
    """Say who a witness is, and what it cosigned last of each log.

    Raises:
        StorageError: a state cannot be read.
        UntrustedError: a state is damaged.
    """
    lines = [f"witness  {folder.name}"]
    for origin in folder.origins():
        state = folder.state(origin)
        if state.cosigned is None:
            lines.append(f"log      {origin}  never cosigned")
        else:
            at = f"{state.cosigned.at:%Y-%m-%dT%H:%M:%SZ}"
            lines.append(f"log      {origin}  {state.checkpoint.size} entries at {at}")
    lines.append("Its verifier keys are at /keys; compare them with ones from elsewhere.")
    return "".join(f"{line}\n" for line in lines)
