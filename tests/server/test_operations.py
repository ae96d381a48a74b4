"""Metrics, the log, how a server starts and refuses to, and how it stops."""

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_process import MAIN, serving
from test_records import run

from provgraph.access.store import AccessStore
from provgraph.cli.main import main
from provgraph.service.home import readable_ledger
from provgraph.settings import load


@pytest.fixture
def refused(monkeypatch, capsys):
    """Start a server that cannot; return its exit code and what it said."""

    def start(home, *options):
        monkeypatch.setenv("PROVGRAPH_HOME", str(home))
        code = main(["serve", *options])
        return code, capsys.readouterr().err

    return start


def token(home, role):
    with contextlib.closing(AccessStore(home / "access.db", clock=lambda: datetime.now(UTC))) as it:
        return it.create_token(owner=f"{role}@example.org", roles=[role])[1]


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def test_metrics_are_prometheus_text_and_count(server):
    server.ask("GET", "/version")
    server.ask("GET", "/no/such/place")
    answer = server.ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {each.name: each for each in text_string_to_metric_families(answer.body.decode())}
    counted = {
        (each.labels["path"], each.labels["status"]): each.value
        for each in families["provgraph_requests"].samples
    }
    assert (counted["/version", "200"] >= 1, counted["(none)", "404"] >= 1) == (True, True)
    flight = families["provgraph_requests_in_flight"].samples[0].value
    size = server.ask("GET", "/readyz").json["ledgerSize"]
    assert (flight, families["provgraph_snapshot_entries"].samples[0].value) == (1, size)
    buckets = [
        each
        for each in families["provgraph_request_duration_seconds"].samples
        if each.labels["path"] == "/version"
    ]
    values = [each.value for each in buckets if each.name.endswith("_bucket")]
    count = next(each.value for each in buckets if each.name.endswith("_count"))
    assert (values, values[-1]) == (sorted(values), count)


def test_the_log_has_one_line_a_request_and_no_query(tmp_path):
    with serving(tmp_path / "home", log_format="json") as server:
        secret = "pgt_" + "s" * 40
        headers = bearer(secret)
        answer = server.ask(
            "GET", "/sparql?query=ASK%20%7B%3Chush%3E%20%3Fp%20%3Fo%7D", headers=headers
        )
        server.ask("GET", "/no%0aWARNING%20forged")
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
        shown = [each for each in lines if each["message"] == "request"]
        assert [(each["path"], each["status"]) for each in shown] == [
            ("/sparql", 401),
            ("/no\nWARNING forged", 404),
        ]
        assert shown[0]["id"] == answer.headers["x-request-id"]
        assert ("hush" in server.log(), secret in server.log()) == (False, False)


def test_a_text_log_keeps_one_line_a_request(tmp_path):
    with serving(tmp_path / "home") as server:
        server.ask("GET", "/no%0aWARNING%20forged")
        (line,) = [each for each in server.log().splitlines() if " request " in each]
        assert 'path="/no\\nWARNING forged"' in line


def test_a_port_that_is_taken_is_said_in_one_line(refused, server, tmp_path):
    code, said = refused(tmp_path / "home", "--port", str(server.port))
    assert (code, len(said.splitlines())) == (2, 1)
    assert f"cannot listen on 127.0.0.1 port {server.port}: Address already in use" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "192.0.2.1"], "nobody was given access"),
        (["--host", "0.0.0.0"], "provgraph access create-token"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (["--port", "65536"], "expected an address and a port"),
        (["--listen", "::1:80:"], "expected an address and a port"),
        (["--public-url", "lineage.example.org"], "setting public_url"),
        (["--trusted-proxies", "10.0.0.1/8"], "setting trusted_proxies"),
        (["--tls-cert", "x.pem"], "TLS takes both"),
        (["--tls-cert", "/no/x.pem", "--tls-key", "/no/y.pem"], "cannot read"),
        (["--query-timeout-s", "soon"], "expected a number above 0"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(refused, tmp_path, options, message):
    code, said = refused(tmp_path / "home", *options)
    assert (code, len(said.splitlines()), message in said) == (2, 1, True), said


def test_other_machines_are_let_in_once_somebody_has_a_token(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    secret = token(home, "reader")
    with serving(home, "--host", "0.0.0.0") as server:
        assert server.ask("GET", "/sparql?query=ASK%20%7B%7D").status == 401
        answer = server.ask("GET", "/readyz", headers=bearer(secret))
        assert answer.status == 200


def test_an_address_that_is_not_this_machines(refused, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    token(home, "reader")
    code, said = refused(home, "--host", "192.0.2.1")
    assert (code, "cannot listen on 192.0.2.1 port 8321" in said) == (2, True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder, serial=1)
    return folder


def make_certificate(folder, *, serial):
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    for file, encryption in (
        ("key.pem", serialization.NoEncryption()),
        ("locked.pem", serialization.BestAvailableEncryption(b"x")),
    ):
        form = serialization.PrivateFormat.PKCS8
        (folder / file).write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))


def test_tls_by_options(tmp_path, certificate):
    cert = str(certificate / "cert.pem")
    options = ["--tls-cert", cert, "--tls-key", str(certificate / "key.pem")]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve", "--port", str(port), *options],
        env={**os.environ, "PROVGRAPH_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            said = process.stdout.readline()
            assert said.endswith(f"on https://127.0.0.1:{port}\n")
            context = ssl.create_default_context(cafile=cert)
            from urllib.request import urlopen

            with urlopen(f"https://127.0.0.1:{port}/version", context=context) as answer:
                assert json.load(answer)["name"] == "provgraph"
            old = ssl.create_default_context(cafile=cert)
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with socket.create_connection(("127.0.0.1", port)) as raw, pytest.raises(OSError):
                old.wrap_socket(raw, server_hostname="127.0.0.1")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_renewed_certificate_is_read_without_a_stop(tmp_path):
    make_certificate(tmp_path, serial=1)
    options = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    with serving_tls(tmp_path, *options) as (process, port, log):
        kept = connected(port)
        assert serial_of(kept) == serial(port) == 1
        make_certificate(tmp_path, serial=2)
        # A certificate without its key: the first one stays.
        key = (tmp_path / "key.pem").read_bytes()
        (tmp_path / "key.pem").write_bytes(b"")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "certificate not read again" in log.read_text())
        assert serial(port) == 1
        (tmp_path / "key.pem").write_bytes(key)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "certificate read again" in log.read_text())
        assert serial(port) == 2
        # Whoever was connected still is.
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"
        kept.close()


@contextlib.contextmanager
def serving_tls(folder, *options):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "serve", "--port", str(port), *options],
            env={**os.environ, "PROVGRAPH_HOME": str(folder / "home")},
            stdout=file,
            stderr=file,
        )
    with process:
        try:
            wait_for(lambda: f"https://127.0.0.1:{port}" in log.read_text())
            yield process, port, log
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def connected(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20))


def serial(port):
    with connected(port) as connection:
        return serial_of(connection)


def serial_of(connection):
    from cryptography import x509

    return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True)).serial_number


def wait_for(is_so, *, timeout_s=30.0):
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(refused, tmp_path, certificate):
    options = ["--tls-cert", str(certificate / "cert.pem")]
    code, said = refused(tmp_path / "home", *options, "--tls-key", str(certificate / "locked.pem"))
    assert (code, "is encrypted" in said) == (2, True)
    code, said = refused(tmp_path / "home", *options, "--tls-key", str(certificate / "cert.pem"))
    assert (code, "expected a certificate chain and its key in PEM" in said) == (2, True)


def test_a_stop_under_load_loses_nothing_that_was_acknowledged(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    headers = {**bearer(token(home, "steward")), "Content-Type": "application/json"}
    acknowledged = []
    with serving(home, requests_burst="100000") as server:
        end = time.monotonic() + 1.5

        def send(client):
            for number in range(10_000):
                name = f"load-{client}-{number}"
                body = json.dumps({"records": [run(name)]}).encode()
                try:
                    answer = server.ask("POST", "/records", body=body, headers=headers)
                except OSError:
                    return  # nobody listens any more
                assert answer.status == 201, answer.body
                acknowledged.append(answer.json["receipts"][0]["record"])

        # A query that takes its time is under way when the signal comes, and is answered.
        slow = (
            "SELECT (COUNT(*) AS ?n) WHERE { VALUES ?a { "
            + " ".join(map(str, range(120)))
            + " } VALUES ?b { "
            + " ".join(map(str, range(120)))
            + " } VALUES ?c { "
            + " ".join(map(str, range(60)))
            + " } }"
        )
        with concurrent.futures.ThreadPoolExecutor(5) as threads:
            for client in range(4):
                threads.submit(send, client)
            time.sleep(max(0.0, end - time.monotonic()))
            asked = threads.submit(
                server.ask,
                "POST",
                "/sparql",
                body=slow.encode(),
                headers={**headers, "Content-Type": "application/sparql-query"},
            )
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            assert asked.result().status == 200
        assert server.process.wait(30) == 0
    assert len(acknowledged) > 20
    with readable_ledger(load({"PROVGRAPH_HOME": str(home)})) as ledger:
        lost = [iri for iri in acknowledged if ledger.find(iri) is None]
    assert lost == []
