"""Servers in processes of their own, their CPU time and memory (Linux: /proc), and clients of them.

CPU time is that of the server with all its processes, so other work on the machine does not count.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
OURS = "import sys; from provgraph.cli.main import main; sys.exit(main())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server; `session` is the session of all its processes."""

    port: int
    session: int

    def cpu_s(self) -> float:
        """Return user and system time of all its processes, those that have ended among them."""
        return sum(sum(map(float, each[11:15])) for each in self._stats()) / _TICKS

    def own_cpu_s(self) -> float:
        """Return user and system time of its first process alone."""
        text = Path(f"/proc/{self.session}/stat").read_text("ascii", "replace")
        return sum(map(float, text.rpartition(")")[2].split()[11:13])) / _TICKS

    def memory_bytes(self) -> int:
        """Return the resident memory of its first process."""
        with open(f"/proc/{self.session}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def _stats(self) -> Iterator[list[str]]:
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text("ascii", "replace").rpartition(")")[2].split()
                if int(fields[3]) == self.session:
                    yield fields

    def ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str],
    ) -> bytes:
        """Ask on a connection that stays open.

        Raises:
            RuntimeError: the server did not answer with success.
        """
        connection.request(method, path, body=body, headers=dict(headers))
        response = connection.getresponse()
        data = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {data[:300]!r}")
        return data

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


@contextlib.contextmanager
def started(
    command: Callable[[int], Sequence[str]], *, environ: Mapping[str, str], ready: str
) -> Iterator[Server]:
    """Start a server on a free port, wait until it answers at `ready`, and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        list(command(port)),
        env={**os.environ, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    server = Server(port=port, session=process.pid)
    try:
        deadline_s = time.monotonic() + 120
        while True:
            try:
                with contextlib.closing(server.connect()) as connection:
                    server.ask(connection, "GET", ready, headers={})
                break
            except (OSError, RuntimeError, http.client.HTTPException):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.1)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def provgraph_server(home: Path) -> contextlib.AbstractContextManager[Server]:
    """Start ours over a home, at its defaults but for the rate of one caller."""
    return started(
        lambda port: [sys.executable, "-c", OURS, "serve", "--port", str(port)],
        environ={
            "PROVGRAPH_HOME": str(home),
            "PROVGRAPH_REQUESTS_PER_S": "1000000",
            "PROVGRAPH_REQUESTS_BURST": "1000000",
        },
        ready="/readyz",
    )


def oxigraph_server(folder: Path) -> contextlib.AbstractContextManager[Server]:
    """Start Oxigraph's own over a copy of our index."""
    program = str(Path(sys.executable).parent / "oxigraph")
    return started(
        lambda port: [
            *(program, "serve-read-only", "--location", str(folder)),
            *("--bind", f"127.0.0.1:{port}"),
        ],
        environ={},
        ready="/query?query=ASK%7B%7D",
    )


def mlflow_server(folder: Path) -> contextlib.AbstractContextManager[Server]:
    """Start MLflow's on SQLite, with one worker, as its help advises for SQLite."""
    folder.mkdir(parents=True, exist_ok=True)
    return started(
        lambda port: [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder / 'server.db'}"),
            *("--default-artifact-root", str(folder / "artifacts")),
        ],
        environ={"MLFLOW_DISABLE_TELEMETRY": "true"},
        ready="/health",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What clients had done in a while: seconds of each request, of the server, and memory."""

    done: int
    request_s: list[float]
    cpu_s: float
    own_cpu_s: float  # of the server's first process
    wall_s: float
    memory_bytes: tuple[int, int]  # after a third, at the end


def loaded(
    server: Server, *, clients: int, seconds: float, work: Callable[[int], Callable[[], int]]
) -> Load:
    """Let clients, one thread each, work for a while; `work` makes one client's step.

    A step sends one request and returns how many things it did.
    """
    request_s: list[float] = []
    done = 0
    lock = threading.Lock()
    errors: list[Exception] = []

    def run(step: Callable[[], int]) -> None:
        nonlocal done
        mine_s: list[float] = []
        count = 0
        try:
            while not mine_s or time.monotonic() < end_s:
                start_s = time.monotonic()
                count += step()
                mine_s.append(time.monotonic() - start_s)
        except Exception as error:
            errors.append(error)
        with lock:
            request_s.extend(mine_s)
            done += count

    steps = [work(number) for number in range(clients)]
    began_s = time.monotonic()
    end_s = began_s + seconds
    threads = [threading.Thread(target=run, args=(step,)) for step in steps]
    cpu_s, own_cpu_s = server.cpu_s(), server.own_cpu_s()
    for each in threads:
        each.start()
    time.sleep(seconds / 3)
    early = server.memory_bytes()
    for each in threads:
        each.join()
    if errors:
        raise errors[0]
    return Load(
        done=done,
        request_s=sorted(request_s),
        # A short load on a busy machine may take less than the clock's step.
        cpu_s=max(1 / _TICKS, server.cpu_s() - cpu_s),
        own_cpu_s=max(1 / _TICKS, server.own_cpu_s() - own_cpu_s),
        wall_s=time.monotonic() - began_s,
        memory_bytes=(early, server.memory_bytes()),
    )
