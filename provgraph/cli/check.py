"""`provgraph check`: can a provenance document, or what was recorded here, be true at all."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from provgraph.cli.output import console, counted, print_json
from provgraph.cli.terminal import printable
from provgraph.constraints.foreign import FORMATS_BY_SUFFIX, check_file
from provgraph.constraints.statements import Finding
from provgraph.service.constraints import check_home
from provgraph.settings import load

_MAX_SHOWN: Final = 50


def add_check(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph check`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help=text,
        description="Check a PROV document (PROV-JSON, PROV-N, PROV-XML, PROV-JSONLD, or PROV-O as RDF),"
        " what is recorded of a thing, or this whole home against PROV-CONSTRAINTS. Names each"
        " constraint that is broken, by number, with the statements that break it, and where"
        " recorded times contradict the order of events. Exits 1 if there is either.",
        epilog="Example: provgraph check lineage.provn; and of what was recorded: provgraph check churn:3",
    )
    parser.add_argument(
        "what",
        nargs="?",
        help="a file, or a name, run id or IRI (default: all that is recorded here)",
    )
    parser.add_argument(
        "--format",
        dest="form",
        choices=sorted({*FORMATS_BY_SUFFIX.values(), "rdf-jsonld"}),
        help="the file's format (default: by its name and content)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="ask as well what ProvToolbox asks beyond the recommendation: one usage of a thing per"
        " activity, and no activity is none in a delegation",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run_check)
    return parser


def run_check(arguments: argparse.Namespace) -> int:
    """Check and tell; 1 if anything cannot be."""
    settings = load()
    what = arguments.what
    if what is not None and (arguments.form is not None or Path(what).is_file()):
        checked = check_file(
            Path(what),
            form=arguments.form,
            timeout_s=settings.query_timeout_s,
            memory_bytes=settings.query_memory_mib * 1024 * 1024,
            strict=arguments.strict,
        )
        findings = checked.findings
        about = (
            f"{counted(checked.statements, 'statement')} in"
            f" {counted(checked.bundles, 'bundle')} of {Path(what).name} ({checked.format})"
        )
    else:
        home = check_home(settings, what, strict=arguments.strict)
        findings = home.findings
        about = (
            f"{counted(home.statements, 'statement')} of {counted(home.records, 'record')}"
            f" at ledger size {home.ledger_size}"
        )
        if home.erased:
            about += f"; {counted(home.erased, 'record')} erased, which nobody can check"
    violations = [each for each in findings if each.is_violation]
    if arguments.json:
        print_json(
            {
                "checked": about,
                "is_valid": not violations,
                "findings": [asdict(each) for each in findings],
            }
        )
    else:
        _print(findings, about=about, violations=len(violations))
    return 1 if findings else 0


def _print(findings: Sequence[Finding], *, about: str, violations: int) -> None:
    out = console()
    for each in findings[:_MAX_SHOWN]:
        numbers = ", ".join(map(str, each.constraints))
        title = f"constraint {numbers}" if len(each.constraints) == 1 else f"constraints {numbers}"
        title = f"{title}, {each.name}" if each.constraints else each.name
        colour = "bold red" if each.is_violation else "yellow"
        title = title if each.is_violation else f"clocks against {title}"
        out.print(f"[{colour}]{escape(title)}[/{colour}]  {escape(printable(each.message))}")
        for statement in each.statements:
            out.print(f"    {escape(printable(statement))}", soft_wrap=True)
        if each.bundle:
            out.print(f"    [dim]in {escape(printable(each.bundle))}[/dim]", soft_wrap=True)
    if len(findings) > _MAX_SHOWN:
        out.print(f"… and {len(findings) - _MAX_SHOWN} more; --json lists all")
    clocks = len(findings) - violations
    if violations:
        said = f"[bold red]{counted(violations, 'violation')}[/bold red]"
    else:
        said = "[green]no violation of PROV-CONSTRAINTS[/green]"
    more = f", [bold red]{counted(clocks, 'contradiction')} of clocks[/bold red]" if clocks else ""
    out.print(f"{said}{more}: {escape(printable(about))}")
