"""`provgraph trail`: who asked what."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from provgraph.access.anomalies import flags
from provgraph.access.trail import read_trail, select, verify_trail
from provgraph.cli.output import console
from provgraph.settings import load


def add_trail(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph trail`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "trail",
        help=text,
        description="Show the access trail of this home's server: who asked what, when, with which"
        " outcome, denials too. It is a tamper-evident log with a key of its own.",
        epilog="Example: provgraph trail --about churn --since 2026-03",
    )
    parser.add_argument(
        "--since", metavar="TIME", help="such as 2026-03-01 or 2026-03-01T12:00:00Z"
    )
    parser.add_argument("--until", metavar="TIME", help="before this time")
    parser.add_argument("--who", help="whose requests")
    parser.add_argument("--about", metavar="TEXT", help="a text in what was asked: a name, an IRI")
    parser.add_argument("--outcome", choices=("answered", "refused", "failed"))
    parser.add_argument("--flags", action="store_true", help="only what an operator should look at")
    parser.add_argument("--verify", action="store_true", help="check every row and the checkpoint")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run_trail)
    return parser


def run_trail(arguments: argparse.Namespace) -> int:
    """Show or verify the trail."""
    path = load().home / "trail.db"
    if arguments.verify:
        checkpoint = verify_trail(path)
        print(
            f"access trail {checkpoint.origin}: all {checkpoint.size} rows are as they were signed"
        )
        return 0
    if arguments.flags:
        table = Table("row", "time", "rule", "who", "reason")
        for flag in flags(read_trail(path)):
            if arguments.json:
                print(json.dumps(asdict(flag), ensure_ascii=False))
            table.add_row(
                str(flag.position), flag.time, flag.rule, escape(flag.who), escape(flag.reason)
            )
    else:
        table = Table(
            "row", "time", "who", "from", "asked", "outcome", "bytes", "ms", "ledger size"
        )
        for position, row in select(
            read_trail(path),
            since=arguments.since,
            until=arguments.until,
            who=arguments.who,
            about=arguments.about,
            outcome=arguments.outcome,
        ):
            if arguments.json:
                print(json.dumps({"position": position, **asdict(row)}, ensure_ascii=False))
            table.add_row(
                str(position),
                row.time,
                escape(row.who),
                escape(row.address),
                escape(row.asked[:200]),
                f"{row.outcome} {row.status}",
                str(row.size_bytes),
                str(row.duration_ms),
                "" if row.ledger_size < 0 else str(row.ledger_size),
            )
    if not arguments.json:
        console().print(table)
    return 0
