"""Connections that are slow, silent, too many, or send heads without end: others are served meanwhile."""

import contextlib
import select
import socket
import time

import pytest
from serving_process import serving


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server that keeps 20 connections."""
    with serving(tmp_path_factory.mktemp("slow") / "home", max_connections="20") as running:
        yield running


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def read_all(raw):
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := raw.recv(65536):
            found += piece
    return found


def test_more_idle_connections_than_there_may_be_keep_nobody_out(small):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(small)) for _ in range(60)]
        answers = [small.ask("GET", "/version").status for _ in range(5)]
        assert answers == [200] * 5
        ended, _, _ = select.select(idle, [], [], 5)
        assert len(ended) >= 40


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 300_000, b"431"),
        (b"GET / HTTP/1.1\r\n\x00: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
    ],
    ids=[
        "headers-without-number",
        "header-without-end",
        "path-too-long",
        "head-that-never-ends",
        "null-in-name",
        "two-lengths",
        "smuggled-length",
        "tls-to-plain-port",
    ],
)
def test_a_head_that_is_no_head_is_refused(small, sent, status):
    with connect(small) as raw:
        with contextlib.suppress(OSError):
            raw.sendall(sent)
        assert read_all(raw).split(b" ")[1] == status
    assert small.ask("GET", "/version").status == 200


def test_a_body_that_nobody_reads_does_not_hold_its_connection(small):
    with connect(small) as raw:
        raw.sendall(b"GET /version HTTP/1.1\r\nTransfer-Encoding: chunked\r\n")
        raw.sendall(b"Host: 127.0.0.1\r\n\r\n")
        began_s = time.monotonic()
        found = b""
        raw.settimeout(0.3)
        while time.monotonic() - began_s < 20:
            try:
                raw.sendall(b"1\r\nx\r\n")
                piece = raw.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
            if not piece:
                break
            found += piece
        assert (found.split(b" ")[1], time.monotonic() - began_s < 20) == (b"200", True)


def test_a_body_past_its_limit_gets_its_answer_before_the_end(small):
    with connect(small) as raw:
        head = b"POST /sparql HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
        raw.sendall(head + b"Content-Type: application/sparql-query\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        found = b""
        for _ in range(200):
            with contextlib.suppress(OSError):
                raw.sendall(chunk)
            if select.select([raw], [], [], 0)[0]:
                found = raw.recv(65536)
                break
        assert found.split(b" ")[1] == b"413"
