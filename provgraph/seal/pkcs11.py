"""Keys that never leave a hardware token or software HSM: PKCS#11, named by a URI of RFC 7512.

    pkcs11:token=lineage;object=producer?module-path=/usr/lib/softhsm/libsofthsm2.so

Specifications: RFC 7512 (the attributes `token`, `object`, `id`, `module-path`), PKCS#11 3.0 (CKM_EDDSA
for Ed25519, CKM_ECDSA over a SHA-256 that is made here for P-256). The PIN comes from the environment,
PROVGRAPH_PKCS11_PIN; a URI that holds one is refused, since settings and process lists show it.

Needs the extra `pkcs11` (python-pkcs11, MIT). One session per process, used by one thread at a time; it
does not survive a fork, so whoever forks opens it anew. Every signature is verified before it is used.

What it does not do: make keys; the token's own tools do, and `docs/keys.md` shows how.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from provgraph.errors import StorageError, UntrustedError, UsageError
from provgraph.seal.keys import Signer, require_usable_key, verify_signature
from provgraph.seal.multikey import ED25519, P256, PublicKey

SCHEME: Final = "pkcs11:"
PIN_VARIABLE: Final = "PROVGRAPH_PKCS11_PIN"

_USED: Final = {"token", "object", "id", "type"}
_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# The object identifiers of the two curves, as CKA_EC_PARAMS holds them (DER), and of Ed25519 by name.
_P256_OID: Final = bytes.fromhex("06082a8648ce3d030107")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """Where a key is: which module, which token, which object."""

    module: str
    token: str
    label: str | None = None
    id: bytes | None = None


def parse_pkcs11_uri(uri: str) -> TokenKey:
    """Read a PKCS#11 URI.

    Raises:
        UsageError: not of the form of RFC 7512, an attribute that is not understood, a PIN in it.
    """
    path, _, query = uri.removeprefix(SCHEME).partition("?")
    said = {**_attributes(path, ";", uri), **_attributes(query, "&", uri)}
    if {"pin-value", "pin-source"} & set(said):
        raise UsageError(
            f"expected no PIN in a PKCS#11 URI, where others can read it; set {PIN_VARIABLE}"
        )
    module, token = said.get("module-path"), said.get("token")
    unknown = sorted(set(said) - _USED - {"module-path"})
    if not uri.startswith(SCHEME) or unknown or not module or not token:
        raise UsageError(
            "expected pkcs11:token=<name>;object=<label>?module-path=<library>, found"
            f" {uri[:200]!r}" + (f" with {unknown[0]}, which is not understood" if unknown else "")
        )
    if not said.get("object") and not said.get("id"):
        raise UsageError(f"expected object=<label> or id=<%hex> in the PKCS#11 URI {uri[:200]!r}")
    return TokenKey(
        module=module,
        token=token,
        label=said.get("object"),
        id=said["id"].encode("latin-1") if "id" in said else None,
    )


def open_pkcs11_signer(uri: str, *, pin: str | None) -> Signer:
    """Open the key that a URI names; it stays in its token.

    Raises:
        UsageError: the URI, or the extra is not installed.
        StorageError: the module, token or key is not there, or the PIN is wrong or missing.
        UntrustedError: the key is no Ed25519 or P-256 key.
    """
    place = parse_pkcs11_uri(uri)
    try:
        import pkcs11
    except ImportError:
        raise UsageError(
            "keys in PKCS#11 tokens need python-pkcs11; run `pip install 'provgraph[pkcs11]'`"
        ) from None
    if pin is None:
        raise StorageError(f"the token {place.token} asks for its PIN; set {PIN_VARIABLE}")
    try:
        session = _session(place.module, place.token, pin)
        private = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label=place.label, id=place.id)
        public = session.get_key(pkcs11.ObjectClass.PUBLIC_KEY, label=place.label, id=place.id)
        key = _public_key(public, uri)
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
        raise StorageError(f"cannot open the key {uri}: {_reason(error)}") from error
    require_usable_key(key)
    return Signer(key, _Signing(private, key, uri).sign)


def forget_sessions() -> None:
    """Say that this process is a forked child: modules are begun anew, sessions are its parent's."""
    _begun.clear()
    _sessions.clear()


# Logging in is once per process and token (PKCS#11, section 5.6.8), so keys of one token share it.
_begun: Final[set[str]] = set()
_sessions: Final[dict[tuple[str, str], Any]] = {}
_lock: Final = threading.RLock()


def _session(module: str, token: str, pin: str) -> Any:
    import pkcs11

    with _lock:
        library = pkcs11.lib(module)
        if module not in _begun:
            library.reinitialize()
            _begun.add(module)
        if (module, token) not in _sessions:
            found = library.get_token(token_label=token)
            _sessions[module, token] = found.open(user_pin=pin)
        return _sessions[module, token]


class _Signing:
    """One private key of one session."""

    def __init__(self, private: Any, key: PublicKey, uri: str) -> None:
        self._private = private
        self._key = key
        self._uri = uri

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature over data."""
        import pkcs11

        try:
            # A session carries one operation at a time (PKCS#11, section 5.2).
            with _lock:
                if self._key.algorithm == ED25519:
                    signature = self._private.sign(data, mechanism=pkcs11.Mechanism.EDDSA)
                else:
                    digest = hashlib.sha256(data).digest()
                    signature = self._private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise StorageError(f"the key {self._uri} does not sign: {_reason(error)}") from error
        verify_signature(self._key, bytes(signature), data, what=f"signature made by {self._uri}")
        return bytes(signature)


def _public_key(public: Any, uri: str) -> PublicKey:
    """Read the public key beside the private one: CKA_EC_POINT is a point in a DER octet string."""
    import pkcs11

    is_edwards = public.key_type == pkcs11.KeyType.EC_EDWARDS
    point = bytes(public[pkcs11.Attribute.EC_POINT])
    # Some modules give the point without its wrapping.
    if len(point) > 2 and point[0] == 0x04 and point[1] == len(point) - 2:
        point = point[2:]
    if is_edwards and len(point) == 32:
        return PublicKey(algorithm=ED25519, raw=point)
    if (
        public.key_type == pkcs11.KeyType.EC
        and bytes(public[pkcs11.Attribute.EC_PARAMS]) == _P256_OID
        and len(point) == 65
        and point[0] == 0x04
    ):
        return PublicKey(algorithm=P256, raw=bytes([2 + point[-1] % 2]) + point[1:33])
    raise UntrustedError(f"expected an Ed25519 or P-256 key at {uri}, found {public.key_type!r}")


def _attributes(text: str, separator: str, uri: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if not equals or name in found or _PERCENT.search(value):
            raise UsageError(f"expected <name>=<value> once each in {uri[:200]!r}, found {part!r}")
        # An id is bytes; latin-1 keeps each byte one character.
        found[name] = unquote(value, encoding="latin-1" if name == "id" else "utf-8")
    return found


def _reason(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
