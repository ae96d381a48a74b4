"""`provgraph search`: find things by words and facts."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from rich.markup import escape

from provgraph.cli.asking import indexing_progress
from provgraph.cli.output import console, counted, print_csv, print_json, short
from provgraph.cli.terminal import printable
from provgraph.index.texts import Hit
from provgraph.service.searching import filters_of, search
from provgraph.settings import load
from provgraph.terms import Term, string


def add_search(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph search`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "search",
        help=text,
        description="Find models, datasets, runs, people and what was said of them by the words of names,"
        " descriptions, notes, tags and reasons. All words must occur; the last may be a beginning;"
        ' "a phrase" in quotes; -word excludes. Without words: everything that the filters leave.',
        epilog="Example: provgraph search churn gradient --kind model --metric 'auc>=0.8' --since 2026-01-01",
    )
    parser.add_argument("words", nargs="*", help="what to look for")
    parser.add_argument(
        "--kind", action="append", default=[], help="model, dataset, run, …; repeatable"
    )
    parser.add_argument("--project", help="of this project")
    parser.add_argument("--owner", metavar="NAME", help="of this person")
    parser.add_argument("--licence", metavar="SPDX", help="under this licence, such as CC-BY-4.0")
    parser.add_argument("--since", metavar="DAY", help="from this day or time on")
    parser.add_argument("--until", metavar="DAY", help="before this day or time")
    parser.add_argument(
        "--metric", metavar="BOUND", help="with this metric: auc, 'auc>=0.8', 'loss<0.2'"
    )
    parser.add_argument("--as-of", metavar="WHEN", help="as the ledger was: a size, or a time")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most N (default 20)")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    parser.set_defaults(run=run_search)
    return parser


def run_search(arguments: argparse.Namespace) -> int:
    """Search and print."""
    filters = filters_of(
        kinds=tuple(arguments.kind),
        project=arguments.project,
        owner=arguments.owner,
        licence=arguments.licence,
        since=arguments.since,
        until=arguments.until,
        metric=arguments.metric,
    )
    with indexing_progress("words") as progress:
        found = search(
            load(),
            " ".join(arguments.words),
            filters,
            limit=arguments.limit,
            as_of=arguments.as_of,
            progress=progress,
        )
    if arguments.format == "json":
        hits = [asdict(each) for each in found.hits]
        print_json({"hits": hits, "isCut": found.is_cut, "ledgerSize": found.ledger_size})
    elif arguments.format == "csv":
        columns = ("kind", "title", "thing", "project", "owner", "licence", "time", "excerpt")
        print_csv(columns, [tuple(_cell(each, name) for name in columns) for each in found.hits])
    else:
        for each in found.hits:
            _print(each)
        out = console()
        more = "; more were found, narrow it or raise --limit" if found.is_cut else ""
        none = "nothing recorded here has these words; " if not found.hits else ""
        said = counted(len(found.hits), "thing")
        out.print(f"[dim]{none}{said} at ledger size {found.ledger_size}{more}[/dim]")
    return 0


def _cell(hit: Hit, name: str) -> Term | None:
    value = getattr(hit, name)
    return None if value is None else string(str(value))


def _print(hit: Hit) -> None:
    out = console()
    facts = [hit.project, hit.owner, hit.licence, hit.time and hit.time[:10]]
    facts += [
        f"{name} {', '.join(f'{v:g}' for v in each[:3])}" for name, each in hit.metrics.items()
    ][:3]
    said = " · ".join(each for each in facts if each)
    out.print(
        f"[bold]{escape(printable(hit.title))}[/bold]  [cyan]{hit.kind}[/cyan]  {escape(printable(said))}"
    )
    if hit.excerpt and hit.excerpt != hit.title:
        out.print(f"    {escape(printable(hit.excerpt))}")
    out.print(f"    [dim]{escape(printable(short(hit.thing)))}[/dim]")
