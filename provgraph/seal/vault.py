"""Keys that stay in HashiCorp Vault or OpenBao: the transit secrets engine, over HTTP.

    vault:transit/producer@2          mount, name of the key, and its version

The server is VAULT_ADDR, the token VAULT_TOKEN, as for their own command line (also VAULT_NAMESPACE and
VAULT_CACERT). Key types `ed25519` and `ecdsa-p256`. A version keeps the key's identity fixed: a key that
was rotated in the server signs under another identity, which the ledger's steward must add first. Without
one the version that is the latest when the key is opened is used.

HTTP API: "Transit secrets engine", read key and sign data; the same in both servers. A token never goes
over plain HTTP except to this machine. Redirects are not followed. Every signature is verified before it
is used. Times are seconds.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import re
import ssl
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from provgraph.errors import FormatError, StorageError, UntrustedError, UsageError
from provgraph.seal.keys import Signer, require_usable_key, verify_signature
from provgraph.seal.multikey import ED25519, P256, PublicKey

SCHEME: Final = "vault:"
TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 1024 * 1024

_PLACE = re.compile(
    r"vault:([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*)/([A-Za-z0-9_.-]+)(?:@([1-9][0-9]{0,8}))?"
)
_ALGORITHMS: Final = {"ed25519": ED25519, "ecdsa-p256": P256}
_SIGNATURE = re.compile(r"vault:v([0-9]+):([A-Za-z0-9+/_=-]{1,200})")
_PEM = re.compile(
    r"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]{1,400})-----END PUBLIC KEY-----\n?"
)
# SubjectPublicKeyInfo of a P-256 key up to its uncompressed point (RFC 5480 section 2).
_P256_SPKI: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultKey:
    """Which key of which mount; `version` None means the latest when it is opened."""

    mount: str
    name: str
    version: int | None


def parse_vault_place(text: str) -> VaultKey:
    """Read `vault:<mount>/<key>[@<version>]`.

    Raises:
        UsageError: anything else.
    """
    match = _PLACE.fullmatch(text)
    if match is None or ".." in text:
        raise UsageError(f"expected vault:<mount>/<key>[@<version>], found {text[:200]!r}")
    return VaultKey(
        mount=match[1], name=match[2], version=None if match[3] is None else int(match[3])
    )


def open_vault_signer(text: str, *, environ: Mapping[str, str]) -> Signer:
    """Open a key of the transit engine; it stays in the server.

    Raises:
        UsageError: the place, or VAULT_ADDR or VAULT_TOKEN is missing or unsafe.
        StorageError: the server cannot be reached, or refuses.
        UntrustedError: no Ed25519 or P-256 key, or an answer that is not what was asked for.
    """
    place = parse_vault_place(text)
    server = _Server(environ)
    data = server.ask("GET", f"{place.mount}/keys/{quote(place.name)}")
    try:
        algorithm = _ALGORITHMS[data["type"]]
        version = place.version or int(data["latest_version"])
        key = _public_key(algorithm, data["keys"][str(version)]["public_key"])
    except (KeyError, TypeError, ValueError, FormatError) as error:
        raise UntrustedError(
            f"expected an ed25519 or ecdsa-p256 key at {text}, with its version, found"
            f" type {data.get('type')!r:.40}, versions up to {data.get('latest_version')!r:.20}"
        ) from error
    require_usable_key(key)
    path = f"{place.mount}/sign/{quote(place.name)}"
    lock = threading.Lock()

    def sign(message: bytes) -> bytes:
        request: dict[str, Any] = {
            "input": base64.b64encode(message).decode(),
            "key_version": version,
        }
        if algorithm == P256:
            # r || s, as Data Integrity asks; Vault hashes.
            request |= {"hash_algorithm": "sha2-256", "marshaling_algorithm": "jws"}
        with lock:
            answer = server.ask("POST", path, request)
        match = _SIGNATURE.fullmatch(str(answer.get("signature")))
        if match is None or int(match[1]) != version:
            raise UntrustedError(
                f"{text}: expected a signature vault:v{version}:…, found"
                f" {str(answer.get('signature'))[:40]!r}"
            )
        try:
            signature = base64.urlsafe_b64decode(
                match[2].replace("+", "-").replace("/", "_") + "=" * (-len(match[2]) % 4)
            )
        except ValueError as error:
            raise UntrustedError(f"{text}: expected a signature in base64: {error}") from None
        verify_signature(key, signature, message, what=f"signature made by {text}")
        return signature

    return Signer(key, sign)


class _Server:
    """One Vault or OpenBao server; a connection is kept while it answers."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("VAULT_ADDR", "")
        self._token = environ.get("VAULT_TOKEN", "")
        self._namespace = environ.get("VAULT_NAMESPACE", "")
        parts = urlsplit(address)
        self._base = parts.path.rstrip("/")
        if parts.scheme not in {"http", "https"} or not parts.hostname or not self._token:
            raise UsageError(
                "keys in Vault need VAULT_ADDR (https://vault.example.org:8200) and VAULT_TOKEN,"
                f" found VAULT_ADDR={address[:200]!r}" + ("" if self._token else " and no token")
            )
        if any(not 0x20 < ord(each) < 0x7F for each in self._token + self._namespace):
            raise UsageError("expected VAULT_TOKEN and VAULT_NAMESPACE without spaces or controls")
        if parts.scheme == "http" and not _is_this_machine(parts.hostname):
            raise UsageError(
                f"expected https in VAULT_ADDR, found {address[:200]!r}: the token would be readable"
                " on its way"
            )
        self._address = address
        self._connection: http.client.HTTPConnection
        try:
            port = parts.port
            if parts.scheme == "https":
                context = ssl.create_default_context(cafile=environ.get("VAULT_CACERT") or None)
                self._connection = http.client.HTTPSConnection(
                    parts.hostname, port, timeout=TIMEOUT_S, context=context
                )
            else:
                self._connection = http.client.HTTPConnection(
                    parts.hostname, port, timeout=TIMEOUT_S
                )
        except (OSError, ValueError) as error:
            raise UsageError(f"VAULT_ADDR={address[:200]!r}: {error}") from error
        weakref.finalize(self, self._connection.close)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the `data` of an answer."""
        what = f"{method} {self._address}/v1/{path}"
        headers = {"X-Vault-Token": self._token, "X-Vault-Request": "true"}
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        content = None if body is None else json.dumps(body).encode()
        try:
            try:
                status, data = self._once(method, path, content, headers)
            except (http.client.HTTPException, ConnectionError):
                # The server has closed a connection that was kept; signing twice does no harm.
                self._connection.close()
                status, data = self._once(method, path, content, headers)
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise StorageError(f"cannot reach {what}: {error}; is it running, unsealed?") from error
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if status != 200:
            said = answer.get("errors") if isinstance(answer, dict) else None
            raise StorageError(
                f"{what}: expected an answer, found status {status}: {said!r:.200};"
                " look at VAULT_TOKEN and its policy"
            )
        found = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(found, dict):
            raise UntrustedError(f"{what}: expected JSON with data, found {data[:80]!r}")
        return found

    def _once(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        self._connection.request(method, f"{self._base}/v1/{path}", content, dict(headers))
        with self._connection.getresponse() as response:
            data = response.read(MAX_ANSWER_BYTES + 1)
            if len(data) > MAX_ANSWER_BYTES:
                self._connection.close()
                raise http.client.HTTPException(f"more than {MAX_ANSWER_BYTES} bytes")
            return response.status, data


def _public_key(algorithm: str, text: str) -> PublicKey:
    """Read a public key: base64 of the raw key for Ed25519, PEM for P-256."""
    if algorithm == ED25519:
        raw = base64.b64decode(text, validate=True)
        if len(raw) != 32:
            raise FormatError(f"expected 32 bytes of Ed25519 key, found {len(raw)}")
        return PublicKey(algorithm=ED25519, raw=raw)
    match = _PEM.fullmatch(text)
    der = base64.b64decode(match[1].replace("\n", ""), validate=True) if match else b""
    if len(der) != len(_P256_SPKI) + 65 or not der.startswith(_P256_SPKI + b"\x04"):
        raise FormatError(f"expected a P-256 key in PEM, found {text[:80]!r}")
    point = der[len(_P256_SPKI) :]
    return PublicKey(algorithm=P256, raw=bytes([2 + point[-1] % 2]) + point[1:33])


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
