"""`provgraph verify --answer`: an answer certificate, by asking again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape

from provgraph.cli.asking import indexing_progress, reader
from provgraph.cli.output import console, counted, print_table
from provgraph.cli.verify_ledger import write_json
from provgraph.query.answer_json import row_json
from provgraph.service.certifying import DIFFERS, EQUAL, Compared, compare

_SHOWN_ROWS = 50


def run_answer(thing: str, *, quiet: bool, report: str | None) -> int:
    """Ask again, compare and report; exits 1 unless the answer is the same."""
    with reader() as opened, indexing_progress("as it was") as progress:
        found = compare(opened, thing, progress=progress)
        labels = opened.labels(found.new[:_SHOWN_ROWS])
    if report is not None:
        write_json(Path(report), as_json(found))
    said = found.said
    if found.verdict == EQUAL and quiet:
        return 0
    out = console()
    asked = ", ".join(f"{name}={' '.join(terms)}" for name, terms in said.values.items())
    out.print(
        f"{said.question} {escape(asked)}, asked at ledger size {said.ledger_size} on {said.at[:19]}Z"
    )
    for note in found.notes:
        out.print(f"[dim]{escape(note)}[/dim]")
    if found.verdict == EQUAL:
        out.print(
            f"[bold green]equal[/bold green]: {counted(said.rows, 'row')}, the same as certified"
        )
        return 0
    if found.verdict == DIFFERS:
        out.print("[bold red]differs[/bold red] from what was certified")
    else:
        out.print(
            "[bold yellow]cannot be asked again as it was[/bold yellow]: of what it was computed over,"
            f" {counted(found.erased_since, 'record')} erased since (`provgraph list erasures`)"
        )
    out.print(f"{found.gone} of the certified rows are not there; {len(found.new)} are new:")
    if found.new:
        print_table(found.columns, found.new[:_SHOWN_ROWS], labels=labels)
        if len(found.new) > _SHOWN_ROWS:
            out.print(f"[dim]and {len(found.new) - _SHOWN_ROWS} more (--report has them)[/dim]")
    return 1


def as_json(found: Compared) -> dict[str, Any]:
    """Return what came of it, for programs and archives."""
    said = found.said
    return {
        "format": "provgraph-answer-verification/v1",
        "certificate": said.record,
        "question": said.question,
        "askedWith": {name: list(terms) for name, terms in said.values.items()},
        "ledgerSize": said.ledger_size,
        "verdict": found.verdict,
        "rows": said.rows,
        "rowsGone": found.gone,
        "rowsNew": [row_json(found.columns, row) for row in found.new],
        "erasedSince": found.erased_since,
        "notes": list(found.notes),
    }
