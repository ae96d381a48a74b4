"""What all asking commands share: opening the reader, progress, and what recovery found."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape

from provgraph.cli.output import short
from provgraph.errors import NotFoundError
from provgraph.query.erasures import Erasure
from provgraph.service.asking import Meant, Reader, open_reader, problems
from provgraph.service.indexing import Progress
from provgraph.settings import Settings, load

FORMATS = ("table", "json", "csv")

# Below this many graphs the index is brought up before anybody would read a progress bar.
_QUIET_GRAPHS = 2_000


@contextlib.contextmanager
def reader() -> Iterator[Reader]:
    """Open a reader, and say on stderr what was found on the way."""
    with indexing_progress() as progress, open_reader(load(), progress=progress) as opened:
        for sealed in opened.recovered:
            if sealed.receipt is not None:
                print(
                    f"provgraph: sealed what a process left behind as {sealed.receipt.record}",
                    file=sys.stderr,
                )
        for problem in problems(opened.recovered):
            print(f"provgraph: cannot seal a journal: {problem}", file=sys.stderr)
        yield opened


@contextlib.contextmanager
def indexing_progress(what: str = "indexing") -> Iterator[Progress]:
    """Show a bar on stderr while many graphs are indexed."""
    from rich.progress import Progress as Bar

    bar: Bar | None = None
    task = None

    def show(done: int, total: int) -> None:
        nonlocal bar, task
        if total < _QUIET_GRAPHS:
            return
        if bar is None or task is None:
            from provgraph.cli.output import console

            bar = Bar(console=console(stderr=True), transient=True)
            task = bar.add_task(what, total=total)
            bar.start()
        bar.update(task, completed=done)

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()


def add_format(parser: argparse.ArgumentParser, choices: tuple[str, ...] = FORMATS) -> None:
    """Add `--format` with its default for people."""
    parser.add_argument(
        "--format", choices=choices, default=choices[0], help=f"output (default: {choices[0]})"
    )


def say_meant(out: Console, meant: Sequence[Meant]) -> None:
    """Say which of several things a name was taken for: an answer must not leave that open."""
    for each in meant:
        others = "another one has" if each.others == 1 else f"{each.others} others have"
        out.print(
            f"[yellow]{escape(each.text)}[/yellow] was taken for the latest of that name,"
            f" {escape(short(each.iri))}; {others} had it before: name them by id or digest"
        )


def say_erased(out: Console, erased: Iterable[Erasure], *, records: int = 0) -> None:
    """Say what was erased of what an answer is about, and that more may be missing from it."""
    for each in dict.fromkeys(erased):
        out.print(
            f"[red]erased[/red]: entry {each.entry_index}, which spoke of it, was {escape(str(each))}"
        )
    if records:
        were = "1 record was" if records == 1 else f"{records} records were"
        out.print(
            f"[dim]{were} erased from this ledger; what they said is in no answer:"
            " `provgraph list erasures`[/dim]"
        )


def erasures_json(erased: Iterable[Erasure]) -> list[dict[str, Any]]:
    """Return erasures for programs."""
    return [asdict(each) for each in dict.fromkeys(erased)]


def require_home(settings: Settings) -> None:
    """Refuse to go on where nothing was ever recorded.

    Raises:
        NotFoundError: there is no ledger in this home.
    """
    if not settings.ledger_path.exists():
        raise NotFoundError(
            f"nothing is recorded in {settings.home} yet; run `provgraph demo`, put"
            " `with provgraph.run(…)` around a script, or set PROVGRAPH_HOME"
        )
