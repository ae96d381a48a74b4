"""Bearer tokens of an OpenID provider: signature, issuer, audience, times; then roles by name.

Specifications: OpenID Connect Core 1.0 section 3.1.3.7, RFC 7519 (JWT), RFC 8725 (best practices),
RFC 7517 (JWKS). Only the one key set that the operator names is believed; what a token's own header
says of where its key is (`jku`, `x5u`, `jwk`) is not looked at. Only asymmetric algorithms.

Which roles somebody has is for this home to say (`provgraph access set-roles`), never for the token.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from provgraph.access.store import AccessStore
from provgraph.access.verdict import Caller
from provgraph.errors import StorageError, UntrustedError, UsageError

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "Ed25519", "EdDSA")
_LEEWAY_S: Final = 60
_MAX_TOKEN_CHARACTERS: Final = 16 * 1024
_MAX_JWKS_BYTES: Final = 256 * 1024
_TIMEOUT_S: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class KeySource:
    """The provider's public keys, from a file or an https address; `load` reads them anew."""

    def __init__(self, location: str) -> None:
        """Take where the keys are.

        Raises:
            UsageError: neither a path nor an https address.
        """
        parts = urlsplit(location)
        self._is_remote = parts.scheme in {"http", "https"}
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise UsageError(f"openid_keys: expected https, found {location}")
        self._location = location
        self.keys: KeySet | None = None

    def load(self) -> None:
        """Read the keys; those that were there stay where this fails.

        Raises:
            StorageError: they cannot be read, or are no JWKS.
        """
        try:
            if self._is_remote:
                opener = urllib.request.build_opener(_NoRedirect)
                with opener.open(self._location, timeout=_TIMEOUT_S) as response:
                    data = response.read(_MAX_JWKS_BYTES + 1)
            else:
                with Path(self._location).open("rb") as file:
                    data = file.read(_MAX_JWKS_BYTES + 1)
            if len(data) > _MAX_JWKS_BYTES:
                raise ValueError("too long for a JWKS")
            self.keys = KeySet.import_key_set(json.loads(data))
        except (OSError, ValueError, TypeError, KeyError, JoseError) as error:
            raise StorageError(
                f"cannot read the OpenID keys at {self._location}: {error}; mend openid_keys"
            ) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The operator allowed one address, and not where it may lead."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class OpenIdVerifier:
    """Turns a provider's token into a caller."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: KeySource,
        store: AccessStore,
        clock: Callable[[], datetime],
        name_claim: str = "email",
    ) -> None:
        """Take what a token must say, and who gives roles."""
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._store = store
        self._clock = clock
        self._name_claim = name_claim

    def __call__(self, token: str) -> Caller:
        """Verify a token.

        1. It is signed by one of the provider's keys, with an algorithm that we take.
        2. Issuer and audience are the ones that we expect (a token for another service).
        3. It has begun and not ended, give or take a minute.
        4. It names somebody; an e-mail address that the provider did not check names nobody.

        Raises:
            UntrustedError: any step.
        """
        # 1.
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise UntrustedError("the OpenID token is too long to be one")
        if self._keys.keys is None:
            raise UntrustedError("the OpenID keys are not there yet; ask again in a moment")
        try:
            claims = jwt.decode(token, self._keys.keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise UntrustedError(f"the OpenID token does not verify: {error}") from None
        # 2. and 3.
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock().timestamp()),
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            exp={"essential": True},
        )
        try:
            registry.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise UntrustedError(f"the OpenID token is not for here and now: {error}") from None
        # 4.
        name = self._name(claims)
        return Caller(
            name=name,
            by=f"openid {self._issuer}",
            roles=self._store.roles_of(name),
            member_of=self._store.projects_of(name),
        )

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self._name_claim)
        if not isinstance(name, str) or not name.strip():
            raise UntrustedError(f"the OpenID token has no claim {self._name_claim}")
        if self._name_claim == "email" and claims.get("email_verified") is not True:
            raise UntrustedError("the OpenID token's e-mail address is not verified")
        return name.strip()
