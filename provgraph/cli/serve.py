"""`provgraph serve`."""

from __future__ import annotations

import argparse
import os
from typing import Any

from provgraph.errors import UsageError
from provgraph.settings import TABLE, load


def add_serve(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph serve`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help=text,
        description="Serve this home over HTTP: SPARQL, records, lineage, the log. One process, one"
        " folder; stop it with Ctrl-C or SIGTERM, and nothing is lost. Each option is also a setting"
        " (PROVGRAPH_LISTEN, or listen in config.toml); see docs/server.md.",
        epilog="Example: provgraph serve --port 8321, then"
        " curl 'http://127.0.0.1:8321/sparql?query=ASK%20%7B%7D'",
    )
    parser.add_argument("--host", help="address to listen on, of --listen")
    parser.add_argument("--port", help="port, of --listen")
    for row in TABLE:
        if row.is_flag:
            shown = f"{row.help} ({row.default or 'empty'})".replace("%", "%%")
            parser.add_argument(
                f"--{row.name.replace('_', '-')}",
                metavar=row.unit.upper() if "|" not in row.unit else None,
                choices=row.unit.split("|") if "|" in row.unit else None,
                help=shown,
            )
    parser.set_defaults(run=run_serve)
    return parser


def run_serve(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    try:
        from provgraph.server.serving import parse_listen, serve
    except ImportError as error:
        raise UsageError(
            f"the server needs more than the base install ({error.name} is missing);"
            " pip install 'provgraph[server]'"
        ) from None
    given = {
        f"PROVGRAPH_{row.name.upper()}": value
        for row in TABLE
        if row.is_flag and (value := getattr(arguments, row.name)) is not None
    }
    settings = load({**os.environ, **given})
    if arguments.host is not None or arguments.port is not None:
        host, port = parse_listen(settings.listen)
        host = arguments.host if arguments.host is not None else host
        shown = f"[{host}]" if ":" in host else host
        given["PROVGRAPH_LISTEN"] = f"{shown}:{port if arguments.port is None else arguments.port}"
        settings = load({**os.environ, **given})
    serve(settings, announce=lambda url: print(f"serving {settings.home} on {url}", flush=True))
    return 0
