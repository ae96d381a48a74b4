"""`provgraph demo`: the whole line on real data, told to a newcomer.

It records a small pipeline into a home of its own, asks three questions, exports a bundle, verifies
it, and shows that a bundle in which one byte was changed is caught.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from provgraph.cli import export, lineage, query, verify
from provgraph.cli.output import console
from provgraph.errors import ProvgraphError, UntrustedError, UsageError
from provgraph.seal.members import read_members, write_zip

MODEL: Final = "tumour-screening:1.0"


def add_demo(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph demo`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help=text,
        description="Record a small real pipeline, ask where its model came from, export a bundle,"
        " verify it, tamper with a copy. Needs scikit-learn and pandas: pip install"
        " 'provgraph[demo]'.",
        epilog="Example: provgraph demo; and provgraph demo --serve, then look at it in a browser",
    )
    parser.add_argument(
        "--serve", action="store_true", help="afterwards serve it, with pages, until Ctrl-C"
    )
    parser.add_argument("--port", default="8321", help="where to serve (8321; 0: any free one)")
    parser.add_argument("--folder", help="a new folder to work in (default: a temporary one)")
    parser.set_defaults(run=run_demo)
    return parser


def run_demo(arguments: argparse.Namespace) -> int:
    """Tell the story."""
    for module in ("sklearn", "pandas"):
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"the demo needs {module}; run: pip install 'provgraph[demo]'")
    if arguments.serve and importlib.util.find_spec("starlette") is None:
        raise UsageError("serving needs more; run: pip install 'provgraph[demo,server]'")
    folder = _new_folder(arguments.folder)
    os.environ["PROVGRAPH_HOME"] = str(folder / "home")
    data = folder / "pipeline"
    data.mkdir()
    started_s = time.monotonic()
    logging.getLogger("provgraph").setLevel(logging.ERROR)
    out = console()

    _title("1  A pipeline runs, and records itself")
    from provgraph.cli.demo_pipeline import run_pipeline

    outcome = run_pipeline(data, lambda text: out.print(f"   [green]·[/green] {escape(text)}"))

    _title(f"2  Where did {MODEL} come from?")
    _run(lineage.add_lineage, f"lineage {MODEL} --up")

    _title("3  Three questions an auditor asks")
    _run(query.add_query, f"query Q02 --param model={MODEL}")
    _run(query.add_query, "query Q13 --param experiment=first-model")
    _run(query.add_query, "query Q19 --param dataset=south.csv")

    _title("4  Hand the evidence over, and check it offline")
    bundle = folder / "tumour-screening-1.0.zip"
    _run(export.add_export, f"export {MODEL} --format bundle --out {bundle}")
    _run(verify.add_verify, f"verify {bundle}")

    _title("5  Somebody improves the numbers")
    _tamper(bundle, folder / "tampered.zip")

    _title("6  Why did the pilot get worse?")
    from provgraph.cli import drift

    changed, few = outcome.observed
    _run(drift.add_drift, f"drift {changed}")
    out.print("\n   a week later, with few results in, an honest answer is that it is too early:")
    _run(drift.add_drift, f"drift {few}")

    _title("What now")
    out.print(f"   Everything is in {folder}. Look around:")
    out.print(f"   [bold]export PROVGRAPH_HOME={folder / 'home'}[/bold]")
    out.print("   [bold]provgraph list runs[/bold]")
    out.print(f"   [bold]provgraph show {MODEL}[/bold]")
    out.print("   [bold]provgraph query[/bold]   (all questions)")
    out.print(f"   The script that was recorded: {Path(__file__).with_name('demo_pipeline.py')}")
    out.print("   [bold]provgraph serve[/bold]   (pages for a browser)")
    out.print(f"   [dim]done in {time.monotonic() - started_s:.1f} s[/dim]")
    if arguments.serve:
        from provgraph.cli.serve import add_serve, run_serve

        out.print("   Open the address below in a browser; Ctrl-C ends it.")
        return run_serve(_parse(add_serve, ["serve", "--port", arguments.port]))
    return 0


def _tamper(bundle: Path, copy: Path) -> None:
    """Change one digit of one metric in a copy, as a careful forger would, and verify it."""
    out = console()
    members = read_members(bundle)
    name, old, new = _worst_metric(members)
    members[name] = members[name].replace(old, new)
    write_zip(copy, members)
    shown = escape(f"{name}: {old.decode()} becomes {new.decode()}")
    out.print(f"   in a copy of the bundle, one figure is changed ({shown})")
    with _muted():
        try:
            code = verify.run_verify(_parse(verify.add_verify, ["verify", str(copy)]))
        except UntrustedError as error:
            message = str(error)
        else:
            raise ProvgraphError(f"the tampered bundle verified with code {code}: report this bug")
    out.print(f"   [bold red]caught[/bold red]: {escape(message)}")
    # The forger also repairs the list of files, with a key of his own: the seal still says no.
    from provgraph.seal.bundle import write_manifest
    from provgraph.seal.charter import open_charter
    from provgraph.seal.keys import generate_signer
    from provgraph.seal.members import MANIFEST
    from provgraph.seal.note import NoteSigner

    charter = open_charter(members["charter"])
    listed = {key: value for key, value in members.items() if key != MANIFEST}
    forger = NoteSigner(name=charter.origin, signer=generate_signer())
    members[MANIFEST] = write_manifest(listed, origin=charter.origin, signer=forger)
    write_zip(copy, members)
    with _muted():
        try:
            verify.run_verify(_parse(verify.add_verify, ["verify", str(copy)]))
        except UntrustedError as error:
            message = str(error)
        else:
            raise ProvgraphError("the forged bundle verified: report this bug")
    out.print("   the forger signs a new list of files with a key of his own")
    out.print(f"   [bold red]caught[/bold red]: {escape(message)}")


def _worst_metric(members: dict[str, bytes]) -> tuple[str, bytes, bytes]:
    """Find the first evaluation's value in a signed graph, and a better one."""
    import re

    for name in sorted(members):
        if name.endswith("/graph.nq"):
            found = re.search(rb'#evaluation-1> <[^>]*#value> ("0\.\d+")', members[name])
            if found is not None:
                return name, found[1], b'"0.9999"'
    raise ProvgraphError("the demo's bundle holds no evaluation")


def _new_folder(given: str | None) -> Path:
    if given is None:
        return Path(tempfile.mkdtemp(prefix="provgraph-demo-"))
    folder = Path(given).absolute()
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from None
    return folder


def _run(add: Any, line: str) -> None:
    """Show a command as a person would type it, and run it."""
    out = console()
    words = line.split()
    out.print(f"\n[bold cyan]$ provgraph {escape(line)}[/bold cyan]")
    parsed = _parse(add, words)
    parsed.run(parsed)


def _parse(add: Any, words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="provgraph")
    add(parser.add_subparsers(), "")
    return parser.parse_args(words)


def _title(text: str) -> None:
    out = console()
    out.print()
    out.print(f"[bold]{escape(text)}[/bold] " + "─" * max(4, 78 - len(text)))


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield
