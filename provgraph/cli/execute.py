"""`provgraph exec`: record any command."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from provgraph.errors import NotFoundError, UsageError
from provgraph.service.executing import Labels, execute
from provgraph.settings import load

_ROLE = re.compile(r"([a-z][a-z0-9-]*)=(.+)", re.DOTALL)


def add_exec(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph exec`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "exec",
        help=text,
        description="Run a command and record it: files read and written with their digests, exit"
        " code, duration, code, environment. Python programs are watched through audit hooks;"
        " for others declare the files with --in and --out. Exits with the command's own code.",
        epilog="Example: provgraph exec --project churn --out model=model.pkl -- python train.py",
    )
    parser.add_argument("--name", help="name of the run (default: the script's)")
    parser.add_argument("--project")
    parser.add_argument("--experiment")
    parser.add_argument("--owner", help="who answers for it")
    parser.add_argument("--plan", help="the procedure it follows: a URL, or text")
    parser.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--in",
        dest="inputs",
        action="append",
        default=[],
        metavar="[ROLE=]PATH",
        help="a file or folder that it reads; repeatable",
    )
    parser.add_argument(
        "--out",
        dest="outputs",
        action="append",
        default=[],
        metavar="[ROLE=]PATH",
        help="a file or folder that it writes; repeatable",
    )
    parser.add_argument("--no-trace", action="store_true", help="do not watch Python children")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …")
    parser.set_defaults(run=run_exec)
    return parser


def run_exec(arguments: argparse.Namespace) -> int:
    """Run and record."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise UsageError("expected a command: provgraph exec -- python train.py")
    tags = {}
    for given in arguments.tag:
        name, equals, value = given.partition("=")
        if not equals:
            raise UsageError(f"--tag: expected NAME=VALUE, found {given!r}")
        tags[name] = value
    labels = Labels(
        name=arguments.name or _name(command),
        project=arguments.project,
        experiment=arguments.experiment,
        owner=arguments.owner,
        plan=arguments.plan,
        tags=tags,
    )
    try:
        done = execute(
            load(),
            command,
            labels=labels,
            inputs=_paths(arguments.inputs),
            outputs=_paths(arguments.outputs),
            trace=not arguments.no_trace,
        )
    except NotFoundError as error:
        # As a shell does, so that scripts around us see what they expect.
        print(f"provgraph: {error}", file=sys.stderr)
        return 127
    result = done.result
    for option, files in (("--in", result.files_read), ("--out", result.files_written)):
        for seen in files:
            if seen.is_declared and seen.reason is not None:
                path = os.path.relpath(seen.path)
                print(f"provgraph: {option} {path} has no digest: {seen.reason}", file=sys.stderr)
    if done.receipt is not None:
        print(
            f"provgraph: recorded {labels.name} as run {done.run_id}"
            f" (ledger position {done.receipt.position})",
            file=sys.stderr,
        )
    return done.result.exit_code


def _paths(given: Sequence[str]) -> dict[Path, str | None]:
    """Read `[ROLE=]PATH`; a path that exists as written is taken as written."""
    paths: dict[Path, str | None] = {}
    for text in given:
        match = _ROLE.fullmatch(text)
        if match is None or os.path.exists(text):
            paths[Path(text)] = None
        else:
            paths[Path(match[2])] = match[1]
    return paths


def _name(command: Sequence[str]) -> str:
    """Name a run by its script, else by its program."""
    script = next((word for word in command[1:] if word.endswith((".py", ".sh", ".ipynb"))), None)
    if script is None and "-m" in command[1:-1]:
        script = command[command.index("-m") + 1]
    return os.path.basename(script or command[0])
