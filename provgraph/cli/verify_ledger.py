"""`provgraph verify` on a live ledger, and the report that it shares with bundles."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from provgraph.cli.anchors import trust_for
from provgraph.cli.asking import require_home
from provgraph.cli.output import console
from provgraph.cli.terminal import printable
from provgraph.errors import UsageError
from provgraph.pool import cores
from provgraph.service.verification import Verification
from provgraph.service.verifying import Interrupted, Options, Progress, verify_live
from provgraph.settings import load

_SQLITE: Final = b"SQLite format 3\0"
_QUIET_S: Final = 2.0  # what takes less needs no progress bar


def add_ledger_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be asked of a live ledger, and `--report`."""
    parser.add_argument(
        "--deep", action="store_true", help="of a ledger: the index too, graph by graph"
    )
    parser.add_argument(
        "--artifacts",
        action="store_true",
        help="of this home: recorded files too, hashed again at their places; the result is recorded",
    )
    parser.add_argument(
        "--all", action="store_true", help="of a ledger: list everything wrong, not the first thing"
    )
    parser.add_argument(
        "--published", metavar="FOLDER", action="append", help="of a ledger: hold it against this"
    )
    parser.add_argument(
        "--seen", metavar="FILE", action="append", help="of a ledger: a checkpoint that you kept"
    )
    parser.add_argument(
        "--resume",
        metavar="TOKEN",
        nargs="?",
        const="",
        help="go on where an interrupted check of a ledger stopped",
    )
    parser.add_argument(
        "--processes", metavar="N", type=int, default=cores(), help="default: one per core"
    )
    parser.add_argument("--report", metavar="FILE", help="write the report as JSON")


def ledger_of(text: str | None) -> Path | None:
    """Return the ledger that the argument means: a home, a ledger's file; None for a bundle."""
    if text is None:
        settings = load()
        require_home(settings)
        return settings.ledger_path
    path = Path(text)
    if path.is_dir():
        return path / "ledger.db" if (path / "ledger.db").is_file() else None
    try:
        with path.open("rb") as file:
            return path if file.read(len(_SQLITE)) == _SQLITE else None
    except OSError:
        return None


def refuse_ledger_options(arguments: argparse.Namespace) -> None:
    """Refuse for a bundle what can only be asked of a ledger.

    Raises:
        UsageError: it was asked.
    """
    for name in ("deep", "artifacts", "all", "published", "seen", "resume"):
        value = getattr(arguments, name)
        if value is not None and value is not False:
            raise UsageError(f"--{name} is for a ledger, and {arguments.bundle} is none")


def run_ledger(path: Path, arguments: argparse.Namespace) -> int:
    """Verify a live ledger and report each step; 1 when something is wrong."""
    keys = arguments.producer_key
    settings = load()
    if arguments.artifacts and path.resolve() != settings.ledger_path.resolve():
        raise UsageError(
            f"--artifacts records its result into the ledger of this home, {settings.ledger_path};"
            f" for {path} use --home {path.parent}"
        )
    options = Options(
        deep=arguments.deep,
        artifacts=settings if arguments.artifacts else None,
        go_on=arguments.all,
        processes=max(0, arguments.processes),
        resume=arguments.resume,
        log_key=arguments.log_key,
        trust=trust_for(path, arguments),
        producer_keys=None if keys is None else frozenset(keys),
        published=tuple(map(Path, arguments.published or ())),
        seen=tuple(map(Path, arguments.seen or ())),
        index_wait_s=settings.index_wait_s,
    )
    out = console()

    def passed(step: int, text: str) -> None:
        if not arguments.quiet:
            out.print(f"[green]ok[/green] {step:>2}  {escape(printable(text))}")

    try:
        with _progress() as progress:
            report = verify_live(path, options, passed=passed, progress=progress)
    except Interrupted as error:
        print(
            f"provgraph: {error}; go on with --resume={error.token}",
            file=sys.stderr,
        )
        return 130
    write_report(report, arguments.report)
    for finding in report.findings:
        print(f"provgraph: step {finding.step}: {printable(finding.message)}", file=sys.stderr)
    if not report.is_right:
        for text in report.open_questions if "artifacts" in report.parts else ():
            print(f"provgraph: {printable(text)}", file=sys.stderr)
        return 1
    if not arguments.quiet:
        out.print(
            f"[bold green]verified[/bold green]: {report.size} entries of ledger"
            f" {escape(str(report.origin))}"
        )
        for text in report.open_questions:
            out.print(f"[dim]not shown:[/dim] {escape(printable(text))}")
    return 0


def write_report(report: Verification, file: str | None) -> None:
    """Write a report as JSON where one is wanted.

    Raises:
        UsageError: the file cannot be written.
    """
    if file is not None:
        write_json(Path(file), report.to_json())


def write_json(file: Path, value: dict[str, Any]) -> None:
    """Write JSON into a file.

    Raises:
        UsageError: the file cannot be written.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    try:
        file.write_text(text, "utf-8", "backslashreplace")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}") from None


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """Show a bar on stderr for what takes longer than two seconds."""
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    bar: Bar | None = None
    tasks: dict[str, TaskID] = {}
    started_s = time.monotonic()

    def show(what: str, done: int, total: int) -> None:
        nonlocal bar
        if time.monotonic() - started_s < _QUIET_S:
            return
        if bar is None:
            bar = Bar(console=console(stderr=True), transient=True)
            bar.start()
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total)
        bar.update(tasks[what], completed=done, total=total)

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()
