"""`provgraph verify`: check a bundle offline, step by step."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.markup import escape

from provgraph.cli.output import console
from provgraph.cli.terminal import printable
from provgraph.errors import UntrustedError
from provgraph.export.views import check_views
from provgraph.seal.bundle import verify_bundle


def add_verify(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph verify`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help=text,
        description="Check an export bundle without configuration, identity or network. Exits 1 with"
        " one line if anything is wrong. Give the keys that you know from elsewhere to check as"
        " well whose bundle it is.",
        epilog="Example: provgraph verify churn-3.zip --log-key did:key:z6Mk…",
    )
    parser.add_argument("bundle", help="a .zip or an unpacked folder")
    parser.add_argument("--log-key", metavar="KEY", help="the ledger's key, as did:key")
    parser.add_argument(
        "--producer-key", metavar="KEY", action="append", help="a producer's key; repeatable"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing when all is well")
    parser.set_defaults(run=run_verify)
    return parser


def run_verify(arguments: argparse.Namespace) -> int:
    """Verify and report each step."""
    out = console()

    def report(step: int, text: str) -> None:
        if not arguments.quiet:
            out.print(f"[green]ok[/green] {step:>2}  {escape(printable(text))}")

    keys = arguments.producer_key
    bundle = verify_bundle(
        Path(arguments.bundle),
        report=report,
        log_key=arguments.log_key,
        producer_keys=None if keys is None else frozenset(keys),
    )
    try:
        compared = check_views(bundle)
    except UntrustedError as error:
        raise UntrustedError(f"step 10: {error}") from None
    report(10, f"{compared} readable views say exactly what was signed")
    if arguments.quiet:
        return 0
    out.print(
        f"[bold green]verified[/bold green]: {len(bundle.records)} records behind {escape(printable(bundle.root))}"
    )
    if not bundle.is_pinned:
        out.print(
            "The keys above came with the bundle. To know whose they are, compare them with ones"
            " that you got another way: --log-key and --producer-key."
        )
    return 0
