"""Slow clients over their whole time: each is ended within its deadline, others answered as ever."""

import functools
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from serving_process import serving

HEAD_S = 10.0


def trickle(server, first, piece, every_s):
    """Send a piece now and then; return how long the server took part."""
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=every_s) as raw:
        raw.sendall(first)
        while time.monotonic() - began_s < 90:
            try:
                raw.sendall(piece)
                if not raw.recv(65536):
                    break
                if piece == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - began_s


def test_each_slow_client_is_ended_and_others_are_answered(tmp_path):
    with serving(tmp_path / "home") as server:
        post = b"POST /sparql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
        post += b"Content-Type: application/sparql-query\r\n\r\n"
        cases = {
            "byte of a head a second": (b"GET / HTTP/1.1\r\n", b"A", 1.0, HEAD_S),
            "empty lines": (b"\r\n", b"\r\n", 1.0, HEAD_S),
            "header a second": (b"GET / HTTP/1.1\r\n", b"A: b\r\n", 1.0, HEAD_S),
            "byte of a body a second": (post, b"x", 1.0, 20.0),
        }
        quiet = [_timed(server) for _ in range(100)]
        took, threads = {}, []
        for name, (first, piece, every_s, _) in cases.items():
            job = functools.partial(_run, took, name, server, first, piece, every_s)
            threads += [threading.Thread(target=job) for _ in range(50)]
        for each in threads:
            each.start()
        busy = [_timed(server) for _ in range(100)]
        for each in threads:
            each.join()
        late = {name: max(took[name]) for name in cases if max(took[name]) > cases[name][3] + 6.5}
        assert late == {}
        assert statistics.median(busy) < 5 * statistics.median(quiet) + 0.05


def _run(took, name, *case):
    took.setdefault(name, []).append(trickle(*case))


def _timed(server):
    began_s = time.monotonic()
    assert server.ask("GET", "/version").status == 200
    return time.monotonic() - began_s
