"""`provgraph spool`: what waits on this disk to be delivered or sealed."""

from __future__ import annotations

import argparse
from typing import Any

from rich.markup import escape
from rich.table import Table

from provgraph.cli.output import console
from provgraph.service import recovery
from provgraph.settings import load


def add_spool(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph spool`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "spool",
        help=text,
        description="Show what pipelines have recorded and no ledger has acknowledged yet: while the"
        " server is away, or the disk was full. It is tried again by itself; --flush tries now.",
        epilog="Example: provgraph spool --flush",
    )
    parser.add_argument("--flush", action="store_true", help="deliver or seal it now")
    parser.set_defaults(run=run_spool)
    return parser


def run_spool(arguments: argparse.Namespace) -> int:
    """Show the spool, or empty it."""
    settings = load()
    where = settings.server or f"the ledger of {settings.home}"
    if arguments.flush:
        problems = 0
        for each in recovery.recover(settings):
            if each.problem is not None:
                problems += 1
                print(f"not delivered: {each.path}: {each.problem}")
            elif each.receipt is not None:
                print(f"delivered {each.receipt.record} at position {each.receipt.position}")
        left = len(recovery.waiting(settings))
        print(f"{left} left for {where}" if left else f"nothing is left for {where}")
        return 1 if problems else 0
    rows = recovery.waiting(settings)
    if not rows:
        print(f"nothing waits for {where}")
        return 0
    table = Table("what", "since", "bytes", "file", title=f"waiting for {where}")
    for row in rows:
        table.add_row(
            escape(row.what), f"{row.since:%Y-%m-%d %H:%M:%S}Z", str(row.size_bytes), str(row.path)
        )
    console().print(table)
    return 0
