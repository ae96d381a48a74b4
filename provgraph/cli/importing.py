"""`provgraph import`: take in what another system recorded, with a report of what became of it."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any, Final

from rich.markup import escape

from provgraph.cli.output import console, counted
from provgraph.converters.report import KEPT, MAPPED, REFUSED, WAITING, Line
from provgraph.converters.table import ROWS
from provgraph.errors import ProvgraphError, UsageError
from provgraph.service.importing import Imported, import_source
from provgraph.settings import load

_HEADINGS: Final = {
    KEPT: "kept as it came, not mapped",
    WAITING: "left for a later import",
    REFUSED: "[red]refused[/red]",
}
_SHOWN_LINES: Final = 20


def add_import(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph import`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "import",
        help=text,
        description="Take in what another system recorded. The format is recognised; every record keeps"
        " its source bytes and says which converter made it. Importing again records only what is new or"
        " has changed.",
        epilog="What can be imported:"
        + "".join(f" {row.name}: {row.reads}." for row in ROWS)
        + " Example: provgraph import mlflow.db --dry-run",
    )
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="a file, folder or address")
    parser.add_argument(
        "--as", dest="converter", metavar="FORMAT", help="do not recognise it: it is of this format"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be imported")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--project", metavar="NAME", help="put its runs into this project")
    parser.add_argument("--by", metavar="WHO", help="who imports it")
    parser.add_argument(
        "--unfinished", action="store_true", help="take in runs that have not ended, too"
    )
    parser.add_argument(
        "--new",
        action="store_true",
        help="look only at what can have come since the last import of this source",
    )
    parser.add_argument(
        "--follow", action="store_true", help="go on importing what comes, until interrupted"
    )
    parser.add_argument(
        "--every", metavar="SECONDS", type=float, default=10.0, help="how often --follow looks"
    )
    parser.set_defaults(run=run_import)
    return parser


def run_import(arguments: argparse.Namespace) -> int:
    """Import each source; 1 where something was refused."""
    words = arguments.source
    if len(words) > 1 and arguments.converter is None and words[0] in {row.name for row in ROWS}:
        arguments.converter, words = words[0], words[1:]  # provgraph import mlflow mlflow.db
    if arguments.follow and (arguments.dry_run or len(words) != 1):
        raise UsageError("--follow takes one source, and no --dry-run")
    if arguments.every <= 0:
        raise UsageError(f"--every: expected seconds above 0, found {arguments.every:g}")
    code = 0
    for word in words:
        code = max(code, _one(arguments, word, goes_on=arguments.new))
    while arguments.follow:
        time.sleep(arguments.every)
        try:
            _one(arguments, words[0], goes_on=True, is_quiet=True)
        except UsageError:
            raise
        except ProvgraphError as error:
            # A server that restarts or a store that is locked: the next look finds what this one missed.
            console(stderr=True).print(f"provgraph: {escape(str(error))}")
    return code


def _one(arguments: argparse.Namespace, text: str, *, goes_on: bool, is_quiet: bool = False) -> int:
    imported = import_source(
        load(os.environ),
        text,
        converter=arguments.converter,
        project=arguments.project,
        by=arguments.by,
        is_dry=arguments.dry_run,
        takes_unfinished=arguments.unfinished,
        goes_on=goes_on,
    )
    if is_quiet and not imported.recorded:
        return 0
    if arguments.json:
        print(json.dumps(_as_json(imported)), flush=True)
    else:
        _print(imported)
    return 1 if imported.report.total(REFUSED) else 0


def _as_json(imported: Imported) -> dict[str, Any]:
    return {
        "source": imported.source,
        "what": imported.what,
        "converter": imported.converter,
        "converterVersion": imported.converter_version,
        "dryRun": imported.is_dry,
        "new": imported.new,
        "superseding": imported.superseding,
        "unchanged": imported.unchanged,
        "disagreements": imported.disagreements,
        "redacted": imported.redacted,
        "record": imported.record,
        "positions": imported.positions,
        **imported.report.as_json(),
    }


def _print(imported: Imported) -> None:
    out = console()
    name = f"{imported.converter}/{imported.converter_version}"
    out.print(f"[bold]{escape(imported.source)}[/bold]: {escape(imported.what)}, read by {name}")
    verb = "would record" if imported.is_dry else "recorded"
    out.print(
        f"{verb} [bold]{counted(imported.recorded, 'record')}[/bold]"
        + (f", {imported.superseding} of them for an earlier one" if imported.superseding else "")
        + (f"; {imported.unchanged} unchanged" if imported.unchanged else "")
    )
    mapped = [
        f"{counted(count, what)}"
        for (outcome, what), count in imported.report.counts.items()
        if outcome == MAPPED
    ]
    if mapped:
        out.print("mapped: " + ", ".join(mapped))
    for outcome, heading in _HEADINGS.items():
        lines = [line for line in imported.report.lines if line.outcome == outcome]
        if lines:
            out.print(f"{heading}:")
        for line in lines[:_SHOWN_LINES]:
            _print_line(line)
        if len(lines) > _SHOWN_LINES:
            out.print(f"  and {len(lines) - _SHOWN_LINES} kinds more: --json lists them")
    if imported.redacted:
        out.print(f"{counted(imported.redacted, 'value')} looked like secrets and were taken out")
    if imported.disagreements:
        out.print(
            f"[yellow]the source contradicts itself in {counted(imported.disagreements, 'place')}"
            "[/yellow]: provgraph query Q32"
        )
    for note in imported.report.notes:
        out.print(f"note: {escape(note)}")
    if imported.record is not None and imported.positions is not None:
        first, last = imported.positions
        out.print(f"[dim]positions {first} to {last}; the report is with {imported.record}[/dim]")


def _print_line(line: Line) -> None:
    places = ", ".join(line.places[:3]) + (", …" if line.count > 3 else "")
    console().print(f"  {counted(line.count, line.what)}: {escape(line.reason)} ({escape(places)})")
