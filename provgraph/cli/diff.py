"""`provgraph diff`: what differs between two runs or models."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any, Final

from rich.markup import escape

from provgraph.cli.asking import reader, say_meant
from provgraph.cli.output import console, counted, print_json
from provgraph.cli.terminal import printable
from provgraph.query.difference import Change, Difference, Section, difference
from provgraph.service.commits import Commits, commits_between

MAX_CHANGES: Final = 40
_MAX_VALUE: Final = 80
_COLOURS: Final = {"added": "green", "removed": "red", "changed": "yellow"}
_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


def add_diff(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph diff`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "diff",
        help=text,
        description="Show what differs between two runs or models, by content: data, features, parameters,"
        " code (with the commits between, where this folder's repository has them), environment, people,"
        " results. What is equal is counted. Exits 1 if anything differs, as diff does.",
        epilog="Example: provgraph diff churn:2 churn:3",
    )
    parser.add_argument("before", help="a run or model: name, name:version, id, digest or IRI")
    parser.add_argument("after", help="the other one")
    parser.add_argument("--as-of", metavar="WHEN", help="as the ledger was: a size, or a time")
    parser.add_argument("--all", action="store_true", help="cut nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_diff)
    return parser


def run_diff(arguments: argparse.Namespace) -> int:
    """Compare and print."""
    with reader() as opened:
        if arguments.as_of is None:
            found = difference(opened.ask, arguments.before, arguments.after)
        else:
            with opened.as_of(arguments.as_of) as earlier:
                found = difference(earlier.ask, arguments.before, arguments.after)
        meant = list(opened.meant)
    commits = None if found.commits is None else commits_between(*found.commits)
    if arguments.json:
        print_json(
            {
                **asdict(found),
                "sections": {
                    each.name: {
                        "equal": each.equal,
                        "changes": [{**asdict(one), "kind": one.kind} for one in each.changes],
                    }
                    for each in found.sections
                },
                "commits": None if commits is None else asdict(commits),
            }
        )
    else:
        _print(found, commits, cuts=not arguments.all)
        say_meant(console(), meant)
    return 1 if any(each.changes for each in found.sections) else 0


def _print(found: Difference, commits: Commits | None, *, cuts: bool) -> None:
    out = console()
    out.print(
        f"[bold]{escape(printable(found.before))}[/bold] → [bold]{escape(printable(found.after))}[/bold]"
    )
    for section in found.sections:
        if section.changes:
            _print_section(section, cuts=cuts)
            if section.name == "code" and commits is not None:
                _print_commits(commits)
        elif section.equal:
            out.print(f"[dim]{section.name}: {section.equal} equal[/dim]")
    if not any(section.changes for section in found.sections):
        out.print(
            "the two differ in nothing that was recorded; what was recorded of neither is unknown"
        )
    out.print(f"[dim]at ledger size {found.ledger_size}[/dim]")


def _print_section(section: Section, *, cuts: bool) -> None:
    out = console()
    equal = f" ({section.equal} equal)" if section.equal else ""
    out.print(f"\n[bold]{section.name}[/bold][dim]{equal}[/dim]")
    shown = section.changes[:MAX_CHANGES] if cuts else section.changes
    for each in shown:
        colour = _COLOURS[each.kind]
        earlier = " [dim](in an earlier run)[/dim]" if each.where == "earlier runs" else ""
        note = f"  [dim]{escape(printable(each.note))}[/dim]" if each.note else ""
        out.print(
            f"  [{colour}]{_SIGNS[each.kind]}[/{colour}] {escape(printable(each.name))}"
            f"  {escape(printable(_values(each, cuts=cuts)))}{note}{earlier}",
            highlight=False,
        )
    if len(shown) < len(section.changes):
        out.print(f"  … {len(section.changes) - len(shown)} more; --all shows them")


def _values(change: Change, *, cuts: bool) -> str:
    before, after = (_joined(each, cuts=cuts) for each in (change.before, change.after))
    if change.note.startswith("both used"):
        return before
    return {"added": after, "removed": before, "changed": f"{before} → {after}"}[change.kind]


def _joined(values: tuple[str, ...], *, cuts: bool) -> str:
    text = ", ".join(_plain(each) for each in values)
    return text if not cuts or len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"


def _plain(value: str) -> str:
    """Write a list that is kept as JSON as people would."""
    if value.startswith("["):
        try:
            return " ".join(map(str, json.loads(value)))
        except ValueError:
            return value
    return value


def _print_commits(commits: Commits) -> None:
    out = console()
    if commits.reason:
        out.print(f"    [dim]{escape(printable(commits.reason))}[/dim]")
        return
    way = "back" if commits.is_backwards else "on"
    out.print(f"    {counted(commits.count, 'commit')} {way}:")
    for line in commits.subjects:
        out.print(f"      {escape(printable(line))}", highlight=False)
    if commits.count > len(commits.subjects):
        out.print(f"      … {commits.count - len(commits.subjects)} more")
