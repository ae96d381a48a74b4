"""`provgraph timestamp`: a time from outside over the ledger's checkpoint."""

from __future__ import annotations

import argparse
from typing import Any

from provgraph.cli.asking import require_home
from provgraph.cli.brought import add_tsa_ca, read_roots
from provgraph.errors import UsageError
from provgraph.service.timestamping import DEFAULT_TIMEOUT_S, stamp
from provgraph.settings import load


def add_timestamp(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph timestamp`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "timestamp",
        help=text,
        description="Have the ledger's checkpoint time-stamped (RFC 3161) by an authority, which sees"
        " only a hash, and keep the token. Bundles exported before anything else is recorded carry"
        " it. Needs: pip install 'provgraph[timestamp]'.",
        epilog="Example: provgraph timestamp --tsa https://tsa.example.org --tsa-ca tsa-root.pem",
    )
    parser.add_argument("--tsa", metavar="URL", required=True, help="the authority's address")
    add_tsa_ca(parser)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=DEFAULT_TIMEOUT_S,
        help=f"how long to wait for it (default: {DEFAULT_TIMEOUT_S:g})",
    )
    parser.set_defaults(run=run_timestamp)
    return parser


def run_timestamp(arguments: argparse.Namespace) -> int:
    """Ask for a token."""
    settings = load()
    require_home(settings)
    if not 0 < arguments.timeout <= 600:
        raise UsageError(f"expected --timeout of 0 to 600 seconds, found {arguments.timeout:g}")
    roots = read_roots(arguments.tsa_ca)
    done = stamp(settings, arguments.tsa, roots=roots, timeout_s=arguments.timeout)
    print(
        f"checkpoint over {done.checkpoint.size} entries of {done.checkpoint.origin} existed at"
        f" {done.timestamp.at:%Y-%m-%d %H:%M:%S}Z, says {done.timestamp.authority}"
    )
    if not done.timestamp.is_trusted:
        print("Its signature was not checked; give the authority's root with --tsa-ca.")
    return 0
