"""`provgraph explain`: what a SPARQL query asks, in words, with warnings and a better text."""

from __future__ import annotations

import argparse
from typing import Any

from rich.markup import escape

from provgraph.cli.output import console, print_json
from provgraph.cli.query import query_text
from provgraph.cli.terminal import printable
from provgraph.query.explaining import Explanation, explain, explanation_json


def add_explain(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph explain`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "explain",
        help=text,
        description="Say in words what a SPARQL query asks, warn of what comes back short, double or"
        " never, and show a text with the same rows that the engine runs faster. Runs nothing.",
        epilog="Example: provgraph explain 'SELECT ?x WHERE { <urn:m> <urn:p>+ ?x . ?x a <urn:C> }'",
    )
    parser.add_argument("query", help="the query; @FILE reads it from a file, - from stdin")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_explain)
    return parser


def run_explain(arguments: argparse.Namespace) -> int:
    """Explain and print."""
    found = explain(query_text(arguments.query))
    if arguments.json:
        print_json(explanation_json(found))
    else:
        _print(found)
    return 0


def _print(found: Explanation) -> None:
    out = console()
    for line in found.lines:
        out.print(escape(printable(line)), soft_wrap=True, highlight=False)
    for each in found.warnings:
        out.print(
            f"\n[yellow]{each.rule}[/yellow]  {escape(printable(each.message))}", soft_wrap=True
        )
        out.print(f"    {escape(printable(each.at))}", soft_wrap=True, highlight=False)
    if found.rewriting is not None:
        out.print(
            f"\n[green]The same rows, faster[/green] ({escape(', '.join(found.rewriting.reasons))}):"
        )
        for line in found.rewriting.text.strip().splitlines():
            out.print(f"    {escape(printable(line))}", soft_wrap=True, highlight=False)
