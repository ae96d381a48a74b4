"""A real server in a process of its own, over a home that tells the small history."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MAIN = "import sys; from provgraph.cli.main import main; sys.exit(main())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class RunningServer:
    """A server process and a way to ask it."""

    def __init__(self, process: subprocess.Popen[str], port: int, home: Path, log: IO[str]) -> None:
        self.process = process
        self._log = log
        self.port = port
        self.home = home

    def log(self) -> str:
        """Return what the server has said so far."""
        return Path(f"/proc/self/fd/{self._log.fileno()}").read_text()

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                body=response.read(),
            )


@contextlib.contextmanager
def serving(home: Path, *options: str, **settings: str) -> Iterator[RunningServer]:
    """Start `provgraph serve` on a free port and wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "PROVGRAPH_HOME": str(home)}
    environ |= {f"PROVGRAPH_{name.upper()}": value for name, value in settings.items()}
    # A file, not a pipe: nobody reads while the server runs, and a full pipe would stop it.
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve", "--port", str(port), *options],
        env=environ,
        stdout=log,
        stderr=log,
        text=True,
    )
    server = RunningServer(process, port, home, log)
    try:
        deadline_s = time.monotonic() + 30
        while True:
            try:
                server.ask("GET", "/healthz")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline_s:
                    process.kill()
                    log.seek(0)
                    raise AssertionError(log.read()) from None
                time.sleep(0.05)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            log.close()
