"""`provgraph gate`: may this model go on. Exit code 0: it may; 1: it may not; 2: asked wrongly."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from provgraph import __version__
from provgraph.cli.output import console, counted, short, write_data
from provgraph.cli.terminal import printable
from provgraph.errors import UsageError
from provgraph.gates.reports import to_json, to_junit, to_sarif
from provgraph.gates.verdict import MET, WAIVED, Verdict
from provgraph.query.requirements import named_profiles
from provgraph.service.gating import decide, exit_code, profile_of, profiles_folder, template
from provgraph.service.home import utc_now
from provgraph.settings import load

FORMATS: Final = ("text", "json", "junit", "sarif")
_COLOURS: Final = {MET: "green", WAIVED: "yellow"}


def add_gate(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph gate`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "gate",
        help=text,
        description="Hold a model against a profile of requirements, and say whether it may be promoted."
        " What is missing, unknown or broken fails. Exit code 0: it passes; 1: it does not; 2: the"
        " command or the profile is wrong.",
        epilog="Example: provgraph gate churn:3 --profile eu-ai-act-high-risk --stage production"
        " --record --format junit --out gate.xml",
    )
    parser.add_argument("model", nargs="?", help="name:version, digest, path or IRI")
    parser.add_argument(
        "--profile", metavar="NAME", default="minimal", help="a profile, or FILE.toml of your own"
    )
    parser.add_argument("--stage", metavar="STAGE", help="what it is promoted to: production, …")
    parser.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="output (default: text)"
    )
    parser.add_argument("--out", metavar="FILE", help="write the verdict there, and text here")
    parser.add_argument("--record", action="store_true", help="seal the decision into the ledger")
    parser.add_argument("--by", metavar="NAME", help="who asks, for the record (default: you)")
    parser.add_argument("--list", action="store_true", help="list the profiles that there are")
    parser.add_argument(
        "--new-profile",
        metavar="FILE",
        help="write a profile to begin with, with all there is to ask",
    )
    parser.add_argument(
        "--check-profile", action="store_true", help="only read the profile: is it in its form"
    )
    parser.set_defaults(run=run_gate)
    return parser


def run_gate(arguments: argparse.Namespace) -> int:
    """Judge, print, record."""
    if arguments.list:
        return _list()
    if arguments.new_profile is not None:
        return _new_profile(Path(arguments.new_profile))
    settings = load()
    profile = profile_of(settings, arguments.profile)
    if arguments.check_profile:
        console().print(
            f"{escape(profile.id)} {escape(profile.version)} is a profile of"
            f" {counted(len(profile.requirements), 'requirement')}"
        )
        return 0
    if arguments.model is None:
        raise UsageError("say which model: provgraph gate churn:3 --profile minimal")
    verdict, record = decide(
        settings,
        arguments.model,
        profile=profile,
        stage=arguments.stage,
        is_recorded=arguments.record,
        by=(arguments.by or getpass.getuser()) if arguments.record else arguments.by,
        now=utc_now(),
    )
    form = arguments.format
    if arguments.out is not None:
        data = _as(form if form != "text" else "json", verdict, record)
        try:
            Path(arguments.out).write_text(data, "utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {arguments.out}: {error.strerror or error}") from None
        _print(verdict, record)
    elif form == "text":
        _print(verdict, record)
    else:
        write_data(_as(form, verdict, record))
    return exit_code(verdict)


def _as(form: str, verdict: Verdict, record: str | None) -> str:
    if form == "junit":
        return to_junit(verdict)
    value = to_sarif(verdict, version=__version__) if form == "sarif" else to_json(verdict)
    if form == "json":
        value["decision"] = record
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _print(verdict: Verdict, record: str | None) -> None:
    out = console()
    word = {"passed": "green", "waived": "yellow", "failed": "red"}[verdict.verdict]
    stage = f" for {verdict.stage}" if verdict.stage else ""
    out.print(
        f"[bold {word}]{verdict.verdict}[/bold {word}]  {escape(printable(verdict.asked))}{escape(stage)}"
        f"  by {escape(verdict.profile)} {escape(verdict.profile_version)}"
    )
    for each in verdict.findings:
        if each.state == MET:
            continue
        colour = _COLOURS.get(each.state, "red" if each.blocks else "yellow")
        mark = each.state if each.severity == "error" else f"{each.state} (warning)"
        out.print(
            f"[{colour}]{mark}[/{colour}]  {escape(each.requirement)}: {escape(each.title)}"
            f"  [dim]{escape(each.source)}[/dim]"
        )
        for reason in each.reasons[:10]:
            out.print(f"    {escape(printable(reason))}")
        if len(each.reasons) > 10:
            out.print(f"    and {len(each.reasons) - 10} more: --format json has all")
    met = sum(each.state == MET for each in verdict.findings)
    out.print(f"[dim]{met} of {counted(len(verdict.findings), 'requirement')} met[/dim]")
    for waiver in verdict.waivers:
        word = "counts" if waiver.is_honoured else "does not count"
        out.print(
            f"waiver of {escape(waiver.requirement)} by {escape(waiver.by or 'nobody')} {word}:"
            f" {escape(waiver.because)}; until {escape(waiver.expires)}: {escape(waiver.reason)}"
        )
    if verdict.unanswered:
        out.print("[dim]not answered by records, somebody has to look:[/dim]")
        for row in verdict.unanswered:
            out.print(f"[dim]  {escape(row.id)}: {escape(row.title)} ({escape(row.source)})[/dim]")
    if record is not None:
        out.print(f"recorded as {short(record)}")


def _list() -> int:
    out = console()
    settings = load()
    for name in named_profiles(profiles_folder(settings)):
        profile = profile_of(settings, name)
        out.print(
            f"[bold]{escape(name)}[/bold] {escape(profile.version)}  {escape(profile.title)}:"
            f" {counted(len(profile.requirements), 'requirement')},"
            f" {len(profile.unanswered)} not answered by records"
        )
    return 0


def _new_profile(path: Path) -> int:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise UsageError(f"{path} is there already; name another file") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    print(f"wrote {path}; change it, then: provgraph gate MODEL --profile {path}", file=sys.stdout)
    return 0
