"""A time-stamp authority of RFC 3161: `openssl ts` behind HTTP on loopback, with a CA of its own."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

CONFIG = """
[tsa]
default_tsa = only
[only]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
certs = {folder}/ca.pem
default_policy = 1.2.3.4.1
signer_digest = sha256
digests = sha256, sha512
ess_cert_id_chain = no
[stamping]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
[serving]
extendedKeyUsage = critical,serverAuth
"""
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*words: str | Path, folder: Path) -> bytes:
    done = subprocess.run(
        ["openssl", *map(str, words)], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Authority:
    """An authority's files; `tamper` changes what it is asked or what it answers."""

    def __init__(self, folder: Path, *, name: str = "Test TSA") -> None:
        folder.mkdir()
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.change_query: Callable[[bytes], bytes] = bytes
        self.change_reply: Callable[[bytes], bytes] = bytes
        self.queries: list[bytes] = []
        (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")
        openssl(
            "req", "-x509", *NEW_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj",
            f"/CN={name} root", "-days", "2", "-addext", "keyUsage=critical,keyCertSign",
            folder=folder,
        )  # fmt: skip
        self.certify("stamping", name=name)

    def certify(self, use: str, *, name: str = "Test TSA") -> None:
        """Make the key that signs tokens, certified for a use."""
        openssl(
            "req", "-new", *NEW_KEY, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj",
            f"/O=Example/CN={name}", folder=self.folder,
        )  # fmt: skip
        openssl(
            "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "tsa.pem", "-days", "2", "-extfile", "tsa.cnf", "-extensions", use,
            folder=self.folder,
        )  # fmt: skip

    def reply(self, query: bytes) -> bytes:
        self.queries.append(query)
        (self.folder / "query.tsq").write_bytes(self.change_query(query))
        openssl(
            "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query.tsq", "-out", "reply.tsr",
            folder=self.folder,
        )  # fmt: skip
        return self.change_reply((self.folder / "reply.tsr").read_bytes())

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.headers["Content-Type"] == "application/timestamp-query"
                body = authority.reply(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/tsa"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
