"""`provgraph serve`."""

from __future__ import annotations

import argparse
from typing import Any

from provgraph.errors import UsageError
from provgraph.settings import load


def add_serve(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph serve`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help=text,
        description="Serve this home over HTTP: SPARQL, records, lineage, the log. One process, one"
        " folder; stop it with Ctrl-C or SIGTERM, and nothing is lost.",
        epilog="Example: provgraph serve --port 8321, then"
        " curl 'http://127.0.0.1:8321/sparql?query=ASK%20%7B%7D'",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8321, help="port (%(default)s)")
    parser.set_defaults(run=run_serve)
    return parser


def run_serve(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    try:
        from provgraph.server.serving import serve
    except ImportError as error:
        raise UsageError(
            f"the server needs more than the base install ({error.name} is missing);"
            " pip install 'provgraph[server]'"
        ) from None
    settings = load()
    print(f"serving {settings.home} on http://{arguments.host}:{arguments.port}", flush=True)
    serve(settings, host=arguments.host, port=arguments.port)
    return 0
