"""`provgraph doctor`."""

from __future__ import annotations

import argparse
from typing import Any

from rich.markup import escape

from provgraph.cli.output import console
from provgraph.cli.terminal import printable
from provgraph.service.doctor import FAIL, OK, WARN, examine

_COLOURS = {OK: "green", WARN: "yellow", FAIL: "bold red"}


def add_doctor(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph doctor`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help=text,
        description="Check settings, home, keys, ledger, index, disk, clock, sandbox and extras; each"
        " line is ok, warn or fail, with what to do. Changes nothing; exits 1 if something fails.",
        epilog="Example: provgraph doctor",
    )
    parser.set_defaults(run=run_doctor)
    return parser


def run_doctor(_: argparse.Namespace) -> int:
    """Print each finding as it is made."""
    out = console()
    is_well = True
    for each in examine():
        is_well = is_well and each.level != FAIL
        colour = _COLOURS[each.level]
        out.print(
            f"[{colour}]{each.level:<4}[/{colour}] {each.subject:<8}  {escape(printable(each.text))}"
        )
    return 0 if is_well else 1
