"""One HTTP request to an address that the operator named: bounded in time and size, and nowhere else.

HTTP/1.1 (RFC 9110, 9112) by the standard library. No redirect is followed, no proxy of the environment
used, no credentials sent; `https` is checked against the system's authorities. Times are seconds.

What it does not do: retry, keep connections, or believe an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from provgraph.errors import UnreachableError, UsageError

_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back; a stranger's bytes."""

    status: int
    content_type: str
    body: bytes


def require_address(text: str) -> str:
    """Check that a text is an address that may be asked, and return it without a last slash.

    Raises:
        UsageError: not http or https, no host, or one with credentials, query or fragment.
    """
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in _SCHEMES and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_usable = False
    is_usable = is_usable and text.isascii() and text.isprintable() and " " not in text
    if not is_usable or parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            "expected an address such as https://witness.example.org, without password, query and"
            f" fragment; found {text[:200]!r}"
        )
    return text.rstrip("/")


def send(
    method: str,
    address: str,
    *,
    query: str = "",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
    max_bytes: int,
) -> Reply:
    """Send one request and return the answer, within `timeout_s` in all; `query` is percent-encoded.

    `query` goes after the address, encoded as for a form.

    Raises:
        UsageError: the address may not be asked.
        UnreachableError: no answer in time, a broken one, or one longer than `max_bytes`.
    """
    address = require_address(address)
    if query:
        address = f"{address}?{query}"
    sent = {"User-Agent": "provgraph", "Connection": "close", **(headers or {})}
    replies: list[Reply] = []
    errors: list[str] = []

    def run() -> None:
        try:
            target = f"{address}?{query}" if query else address
            replies.append(_exchange(method, target, body, sent, (timeout_s, max_bytes)))
        except Exception as error:
            # http.client, ssl and socket raise a dozen kinds for a peer that misbehaves.
            errors.append(str(error) or type(error).__name__)

    # A peer that sends a byte now and then keeps within every timeout of its socket, so the whole is
    # waited for from outside. A thread left behind ends with its socket, and holds up no exit.
    thread = threading.Thread(target=run, name="provgraph-outgoing", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not replies:
        reason = errors[0] if errors else f"no answer within {timeout_s:g} s"
        raise UnreachableError(f"{address}: {reason}")
    return replies[0]


def _exchange(
    method: str,
    address: str,
    body: bytes | None,
    headers: Mapping[str, str],
    limits: tuple[float, int],
) -> Reply:
    import http.client

    timeout_s, max_bytes = limits
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        data = response.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise ValueError(f"an answer of more than {max_bytes} bytes")
        return Reply(
            status=response.status, content_type=response.headers.get_content_type(), body=data
        )
    finally:
        connection.close()
