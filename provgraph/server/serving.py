"""Runs the application under uvicorn until it is told to stop.

What cannot work is refused before anything starts: an address that is taken or is not this machine's,
a certificate that does not fit its key, an open door to other machines. SIGHUP: certificate and key are
read again, for connections that come from then on. SIGINT or SIGTERM: no new
connection, requests under way are answered, what was handed over is committed, then the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any, Final

import uvicorn

from provgraph.access.store import AccessStore
from provgraph.errors import UsageError
from provgraph.server import logs
from provgraph.server.app import make_app
from provgraph.server.connections import limited
from provgraph.server.services import Services
from provgraph.service.home import utc_now
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)

_BACKLOG: Final = 2048
_HANDSHAKE_S: Final = 10.0
_KEEP_ALIVE_S: Final = 30
# Objects that are made and not freed until the garbage collector looks at them.
_GC_OBJECTS: Final = 20_000
# Files that are no connections: the ledger's, the index's, workers' sockets, answers on disk.
_OTHER_FILES: Final = 256


def serve(settings: Settings, *, announce: Callable[[str], None]) -> None:
    """Serve a home until SIGINT or SIGTERM; requests under way are answered first.

    Raises:
        UsageError: it cannot listen there, or not so.
    """
    host, port = parse_listen(settings.listen)
    tls = _tls(settings)
    services = Services.of(settings)
    with contextlib.closing(_listener(settings, host=host, port=port)) as listener:
        logs.set_up(settings.log_format)
        config = uvicorn.Config(
            make_app(services),
            http=limited(_connections(settings.max_connections)),
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_config=None,
            log_level="warning",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(settings.shutdown_s)),
            ws="none",
        )
        scheme = "http" if tls is None else "https"
        shown = f"[{host}]" if ":" in host else host
        bound = listener.getsockname()[1]
        # uvicorn raises a signal again after it has stopped; it has done its work by then.
        before = {each: signal.signal(each, _ignore) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            _Server(
                config,
                tls=tls,
                renew=lambda: _renew(settings, tls),
                ready=lambda: announce(f"{scheme}://{shown}:{bound}"),
            ).run(sockets=[listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Server(uvicorn.Server):
    """uvicorn's server, with a deadline for the TLS handshake, and a word when it listens."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        tls: ssl.SSLContext | None,
        renew: Callable[[], None],
        ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._tls = tls
        self._renew = renew
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(1)  # the log says why

        def connection() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        loop = asyncio.get_running_loop()
        # Without TLS there is nothing to read again; the signal's default would end the server.
        loop.add_signal_handler(signal.SIGHUP, self._renew)
        extra: dict[str, Any] = {}
        if self._tls is not None:
            extra = {"ssl": self._tls, "ssl_handshake_timeout": _HANDSHAKE_S}
        self.servers = [
            await loop.create_server(connection, sock=each, backlog=_BACKLOG, **extra)
            for each in sockets or []
        ]
        self.started = True
        # What was made until here stays; requests leave few cycles, so looking for them at the usual
        # pace would hold up whoever asks at that moment, for nothing.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_OBJECTS, 20, 50)
        self._ready()


def parse_listen(text: str) -> tuple[str, int]:
    """Split address and port: `127.0.0.1:8321`, `[::1]:8321`, `localhost:8321`.

    Raises:
        UsageError: another form.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise UsageError(
            f"expected an address and a port to listen on, such as 127.0.0.1:8321 or [::1]:8321,"
            f" found {text!r}"
        )
    return host, int(port)


def _listener(settings: Settings, *, host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
            _require_somebody(settings, host)
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror}; see `--listen`") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}; stop what listens there, or"
            " choose another with --listen ADDRESS:PORT"
        ) from None
    return made


def _require_somebody(settings: Settings, host: str) -> None:
    """Let nobody open an unguarded home to other machines."""
    if settings.openid_issuer:
        return
    with contextlib.closing(AccessStore(settings.home / "access.db", clock=utc_now)) as store:
        if store.is_set_up():
            return
    raise UsageError(
        f"{host} is reached from other machines, and nobody was given access to this home yet; make"
        " a token first: provgraph access create-token --owner you@example.org --role admin (or"
        " listen on 127.0.0.1)"
    )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.tls_cert and not settings.tls_key:
        return None
    if not settings.tls_cert or not settings.tls_key:
        raise UsageError("TLS takes both: --tls-cert FILE and --tls-key FILE")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(settings, context)
    return context


def _load_certificate(settings: Settings, context: ssl.SSLContext) -> None:
    def password() -> str:
        raise UsageError(f"{settings.tls_key} is encrypted; give a key without a passphrase")

    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=password)
    except ssl.SSLError as error:
        raise UsageError(
            f"expected a certificate chain and its key in PEM, found {settings.tls_cert} and"
            f" {settings.tls_key}: {error.reason or error}"
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot read {settings.tls_cert} or {settings.tls_key}: {error.strerror}"
        ) from None


def _renew(settings: Settings, context: ssl.SSLContext | None) -> None:
    """Read certificate and key again; where they do not fit, those that are in use stay."""
    if context is None:
        logger.info("nothing to read again: served without TLS")
        return
    try:
        # A context of its own first: one that fails may have taken the certificate without its key.
        _tls(settings)
        _load_certificate(settings, context)
    except UsageError as error:
        logger.warning("certificate not read again, the earlier one stays error=%s", error)
    else:
        logger.info("certificate read again path=%s", settings.tls_cert)


def _connections(wanted: int) -> int:
    """Return how many connections there can be: files are limited by the system."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + wanted // 4 + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    return max(16, (soft - _OTHER_FILES) * 4 // 5)


def _ignore(*_: object) -> None:
    """Take a signal that has done its work."""
