"""A witness as a process: over HTTP, under clients that are slow, many or broken, and killed."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from witness_process import WitnessProcess, make_witness, run, serving
from witness_samples import LOG, LOG_KEYS, NOW, ORIGIN, Log, body

from provgraph.cli.main import main
from provgraph.seal.charter import new_charter, open_charter
from provgraph.seal.witnessed import parse_witness_keys, require_cosigned
from provgraph.witness.folder import WitnessFolder
from provgraph.witness.protocol import MAX_SUBMISSION_BYTES, SIZE_TYPE, checkpoint_path, origin_hash
from provgraph.witness.server import WitnessServer

HISTORY = Log(40)
FORK = Log(40, fork_at=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_witness(tmp_path / "witness", LOG_KEYS)
    return tmp_path / "witness"


@pytest.fixture
def witness(path: Path) -> Iterator[WitnessProcess]:
    with serving(path) as process:
        yield process


def ask(
    port: int, method: str, where: str, data: bytes | None = None
) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, where, data)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


def submit(port: int, data: bytes) -> tuple[int, str | None, bytes]:
    return ask(port, "POST", "/add-checkpoint", data)


def raw(port: int, data: bytes, *, patience_s: float = 30) -> bytes:
    """Send bytes and return all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience_s) as connection:
        connection.sendall(data)
        found = b""
        while piece := connection.recv(65536):
            found += piece
    return found


def test_a_log_is_cosigned_over_http_and_a_monitor_reads_it(
    witness: WitnessProcess, path: Path
) -> None:
    text = "text/plain; charset=utf-8"
    keys = parse_witness_keys(ask(witness.port, "GET", "/keys")[2].decode().splitlines())
    assert ask(witness.port, "GET", checkpoint_path(ORIGIN))[0] == 404
    status, kind, lines = submit(witness.port, HISTORY.body(0, 7))
    assert (status, kind) == (200, text)
    require_cosigned(HISTORY.checkpoint(7).encode() + b"\n" + lines, keys)
    assert submit(witness.port, HISTORY.body(0, 9)) == (409, SIZE_TYPE, b"7\n")
    assert submit(witness.port, FORK.body(7, 9))[0] == 422
    assert submit(witness.port, body(9, [], HISTORY.note(7)))[0] == 400
    assert submit(witness.port, b"hello")[0] == 400
    assert submit(witness.port, HISTORY.body(7, 9).replace(ORIGIN.encode(), b"x"))[0] == 404
    assert submit(witness.port, body(7, HISTORY.proof(7, 9), HISTORY.note(8)))[0] == 422
    seen = ask(witness.port, "GET", checkpoint_path(ORIGIN))
    assert (seen[0], seen[2][: len(HISTORY.note(7))]) == (200, seen[2][: len(HISTORY.note(7))])
    require_cosigned(seen[2], keys)
    _, _, shown = ask(witness.port, "GET", "/")
    assert shown.decode().splitlines()[0] == "witness  witness.example.org"
    assert shown.decode().splitlines()[1].startswith(f"log      {ORIGIN}  7 entries at 2")
    assert ask(witness.port, "GET", "/nothing")[0] == 404
    assert ask(witness.port, "POST", "/nothing", b"")[0] == 404
    assert ask(witness.port, "PUT", "/add-checkpoint", b"")[0] == 501
    assert run("witness", "list", path).stdout == shown.decode()
    assert witness.stop() == 0


def test_a_connection_is_kept_for_the_next_request(witness: WitnessProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", witness.port, timeout=30)
    sockets = []
    for old, new in ((0, 3), (3, 9), (9, 9)):
        connection.request("POST", "/add-checkpoint", HISTORY.body(old, new))
        answer = connection.getresponse()
        answer.read()
        sockets.append((answer.status, connection.sock))
    assert sockets == [(200, sockets[0][1])] * 3
    connection.close()


def test_a_killed_witness_goes_on_where_it_was(path: Path) -> None:
    size = 0
    for kill_after in (1, 3):
        with serving(path) as witness:
            done: list[int] = []

            def grow(start: int = size, port: int = witness.port, done: list[int] = done) -> None:
                for old in range(start, start + 10):
                    try:
                        if submit(port, HISTORY.body(old, old + 1))[0] != 200:
                            return
                    except (OSError, http.client.HTTPException):
                        return
                    done.append(old + 1)

            thread = threading.Thread(target=grow)
            thread.start()
            while len(done) < kill_after:
                time.sleep(0.001)
            witness.kill()
            thread.join()
        with serving(path) as witness:
            known = int(submit(witness.port, HISTORY.body(40, 40))[2])
            # What was answered is kept; one more may be, whose answer was lost.
            assert known - max(done) in {0, 1}
            assert submit(witness.port, FORK.body(known, 40) if known > 5 else b"")[0] in {400, 422}
            size = known


def test_of_concurrent_submissions_over_http_one_wins(witness: WitnessProcess) -> None:
    assert submit(witness.port, HISTORY.body(0, 4))[0] == 200
    statuses: list[int] = []
    start = threading.Barrier(10)

    def one(log: Log, new: int) -> None:
        start.wait()
        statuses.append(submit(witness.port, log.body(4, new))[0])

    threads = [
        threading.Thread(target=one, args=(log, new))
        for log in (HISTORY, FORK)
        for new in range(6, 11)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, *[409] * 9]


def test_what_is_too_long_or_of_no_length_is_not_read(witness: WitnessProcess) -> None:
    head = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n"
    for lines, status in (
        (b"Content-Length: %d\r\n" % (MAX_SUBMISSION_BYTES + 1), b"413"),
        (b"Content-Length: 99999999999999999999\r\n", b"411"),
        (b"Content-Length: -1\r\n", b"411"),
        (b"Content-Length: 0x10\r\n", b"411"),
        (b"Transfer-Encoding: chunked\r\n", b"411"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"411"),
        (b"", b"411"),
    ):
        found = raw(witness.port, head + lines + b"\r\n")
        assert found.split(b" ")[1] == status
        assert b"\r\nConnection: close\r\n" in found


def test_broken_requests_get_an_answer_in_plain_text(witness: WitnessProcess) -> None:
    for data, status in (
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),  # TLS
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
    ):
        found = raw(witness.port, data)
        assert found.split(b"\r\n")[0].split(b" ")[1] == status
        assert b"Content-Type: text/plain; charset=utf-8\r\n" in found
    assert submit(witness.port, HISTORY.body(0, 3))[0] == 200


def test_slow_clients_are_cut_off_and_others_are_served(folder: WitnessFolder) -> None:
    server = WitnessServer(
        "127.0.0.1",
        0,
        folder=folder,
        clock=lambda: NOW,
        max_connections=3,
        idle_timeout_s=0.5,
        request_timeout_s=1.0,
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    port = server.server_address[1]
    assert isinstance(port, int)
    try:
        silent = socket.create_connection(("127.0.0.1", port), timeout=10)
        dripping = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]
        for connection in dripping:
            connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
        time.sleep(0.2)
        # All three threads are taken.
        assert raw(port, b"").split(b"\r\n")[0] == b"HTTP/1.1 503 Service Unavailable"
        began = time.monotonic()
        assert silent.recv(100) == b""
        # A byte now and then keeps within the idle timeout; the request's deadline ends it.
        ended = [0.0, 0.0]
        while 0.0 in ended and time.monotonic() - began < 10:
            for place, connection in enumerate(dripping):
                try:
                    connection.sendall(b"x")
                except OSError:
                    ended[place] = ended[place] or time.monotonic() - began
            time.sleep(0.1)
        assert [0.0 < each < 5.0 for each in ended] == [True, True]
        assert submit(port, HISTORY.body(0, 7))[0] == 200
        for connection in (silent, *dripping):
            connection.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_damaged_state_stops_the_start_with_a_clear_message(path: Path) -> None:
    with serving(path) as witness:
        assert submit(witness.port, HISTORY.body(0, 7))[0] == 200
    state = path / "logs" / origin_hash(ORIGIN) / "checkpoint"
    state.write_bytes(state.read_bytes()[:-100])
    done = run("witness", "serve", path, "--listen", "127.0.0.1:0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"provgraph: the state of {ORIGIN} in {state} is not what this witness wrote"
    )


def test_a_state_that_is_damaged_while_it_serves_cosigns_nothing(
    witness: WitnessProcess, path: Path
) -> None:
    assert submit(witness.port, HISTORY.body(0, 7))[0] == 200
    (path / "logs" / origin_hash(ORIGIN) / "checkpoint").unlink()
    status, _, text = submit(witness.port, FORK.body(0, 20))
    assert (status, text) == (
        500,
        b"this witness cannot cosign now; its operator finds out why\n",
    )
    assert ask(witness.port, "GET", "/")[0] == 500


def test_one_folder_is_served_by_one_process(witness: WitnessProcess, path: Path) -> None:
    done = run("witness", "serve", path, "--listen", "127.0.0.1:0")
    assert (done.returncode, done.stderr) == (
        2,
        f"provgraph: another process serves the witness {path} already\n",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve", "missing"], "no witness in missing"),
        (["list", "missing"], "no witness in missing"),
        (["add-log", "{path}", "hello"], "give a charter's file or a verifier key"),
        (["add-log", "{path}", "{path}/name"], "expected the charter of a ledger"),
        (["serve", "{path}", "--listen", "127.0.0.1"], "expected --listen HOST:PORT"),
        (["serve", "{path}", "--listen", "127.0.0.1:99999"], "expected --listen HOST:PORT"),
        (["key", "{path}", "--name", "other"], "is called witness.example.org"),
    ],
)
def test_mistakes_are_said_in_one_line(
    path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["witness", *(word.format(path=path) for word in words)]) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), said in error) == (1, True)


def test_a_witness_is_made_and_told_of_a_log_by_the_command_line(tmp_path: Path) -> None:
    made = run("witness", "key", tmp_path / "w", "--name", "witness.example.org/w1")
    assert (made.returncode, made.stderr) == (0, "")
    keys = parse_witness_keys(made.stdout.splitlines())
    assert [key.name for key in keys] == ["witness.example.org/w1"] * 2
    charter = new_charter(
        log_signer=LOG, mldsa_key=LOG_KEYS[1].public_key, created=NOW, namespace="example.org"
    )
    (tmp_path / "charter").write_bytes(charter)
    added = run("witness", "add-log", tmp_path / "w", tmp_path / "charter")
    origin = open_charter(charter).origin
    assert added.stdout == (
        f"cosigns for {origin} from now on, when its keys of type 0x01, 0x06 have signed\n"
    )
    assert run("witness", "list", tmp_path / "w").stdout.splitlines()[1] == (
        f"log      {origin}  never cosigned"
    )


def test_an_address_in_use_is_said(witness: WitnessProcess, tmp_path: Path) -> None:
    make_witness(tmp_path / "second")
    done = run("witness", "serve", tmp_path / "second", "--listen", f"127.0.0.1:{witness.port}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot listen on" in done.stderr


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on loopback here")
def test_it_listens_on_ipv6(path: Path) -> None:
    with serving(path, listen="[::1]:0") as witness:
        assert witness.address == f"http://[::1]:{witness.port}"
        with socket.create_connection(("::1", witness.port), timeout=30) as connection:
            connection.sendall(b"GET /keys HTTP/1.0\r\n\r\n")
            assert connection.recv(17) == b"HTTP/1.1 200 OK\r\n"
