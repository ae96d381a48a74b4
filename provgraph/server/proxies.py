"""Where a request came from, and where the server is reached: behind a proxy and without one.

X-Forwarded-For and X-Forwarded-Proto count only from addresses that the setting `trusted_proxies`
names; anybody else could write anything into them. The caller is the last address in the chain that is
no trusted proxy. `public_url` is what documents and links name as the server's root.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from provgraph.errors import UsageError
from provgraph.settings import Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What stands between clients and the server."""

    public_root: str = ""  # ends with /; empty: as each request says
    trusted: Sequence[Network] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read the settings.

        Raises:
            UsageError: no address, no network, no URL.
        """
        trusted = []
        for text in filter(None, (each.strip() for each in settings.trusted_proxies.split(","))):
            try:
                trusted.append(ipaddress.ip_network(text))
            except ValueError as error:
                raise UsageError(
                    f"setting trusted_proxies: expected addresses or networks such as 10.0.0.0/8,"
                    f" found {text!r}: {error}"
                ) from None
        return cls(public_root=_root(settings.public_url), trusted=tuple(trusted))

    def seen_through(self, scope: Scope) -> Scope:
        """Return the scope as the client's: its address and scheme, where a trusted proxy says so."""
        client = scope.get("client")
        if not self.trusted or client is None or not self._is_trusted(client[0]):
            return scope
        headers = Headers(scope=scope)
        chain = [each.strip() for each in ",".join(headers.getlist("x-forwarded-for")).split(",")]
        address = client[0]
        for each in reversed(chain):
            if not _is_address(each):
                break
            address = each
            if not self._is_trusted(each):
                break
        scheme = headers.get("x-forwarded-proto", scope["scheme"]).strip().lower()
        if scheme not in {"http", "https"}:
            scheme = scope["scheme"]
        return {**scope, "client": (address, 0), "scheme": scheme}

    def root(self, request: Request) -> str:
        """Return the URL of the server's root, with a slash at its end."""
        return self.public_root or str(request.base_url)

    def url(self, request: Request) -> str:
        """Return the URL of a request, without its query."""
        if self.public_root:
            path: str = request.scope["path"]
            return self.public_root + quote(path.lstrip("/"), safe="/:~")
        return str(request.url.replace(query=""))

    def _is_trusted(self, address: str) -> bool:
        if not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self.trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _root(text: str) -> str:
    if not text:
        return ""
    parts = urlsplit(text)
    is_bare = parts.path in {"", "/"} and not parts.query and not parts.fragment
    if (
        parts.scheme not in {"http", "https"}
        or not parts.netloc
        or "@" in parts.netloc
        or not is_bare
    ):
        raise UsageError(
            "setting public_url: expected scheme and host alone, such as"
            f" https://lineage.example.org, found {text!r}"
        )
    return f"{parts.scheme}://{parts.netloc}/"
