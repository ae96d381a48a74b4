"""`provgraph erase`: a dry run unless `--yes` is given."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console
from rich.markup import escape

from provgraph.cli.asking import reader, require_home
from provgraph.cli.output import console
from provgraph.errors import UsageError
from provgraph.service.erasing import (
    NAMES,
    NONE,
    OPAQUE,
    Order,
    Plan,
    Target,
    carry_out,
    plan_erasure,
    resume,
)
from provgraph.settings import load

_MAX_NAMES = 8


def add_erase(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph erase`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "erase",
        help=text,
        description="Take the content of a record, or of all records that describe a thing, out of"
        " this home for good: graph, names, attachments, index. Hashes and a signed tombstone stay,"
        " so every proof still verifies and every answer says that it was erased. Without --yes it"
        " only shows what would go and what would stay.",
        epilog="Example: provgraph erase 0198c5de-1a2b-7c3d-8e4f-5a6b7c8d9e0f --by dpo@example.org"
        ' --why "the subject withdrew consent" --ground "GDPR Art. 17(1)(b)" --yes',
    )
    parser.add_argument("thing", nargs="?", help="record IRI, run id, name, digest, path or IRI")
    parser.add_argument("--by", metavar="WHO", help="who erases; stays in the tombstone")
    parser.add_argument(
        "--why", metavar="TEXT", help="the reason; stays, so name nobody whom it is about"
    )
    parser.add_argument("--ground", metavar="TEXT", help="the legal ground")
    parser.add_argument("--yes", action="store_true", help="do it; it cannot be undone")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--keep-names",
        action="store_true",
        help="keep lineage edges to IRIs that people made too (names, paths, addresses); by default"
        " only digests and ids, since a name can be somebody's",
    )
    shape.add_argument(
        "--no-shape",
        action="store_true",
        help="keep no lineage edge at all, where ids and digests are the problem",
    )
    parser.add_argument(
        "--resume", action="store_true", help="finish an erasure that was interrupted"
    )
    parser.set_defaults(run=run_erase)
    return parser


def run_erase(arguments: argparse.Namespace) -> int:
    """Show what would be erased, or erase it."""
    settings = load()
    require_home(settings)
    out = console()
    if arguments.resume:
        emptied, notes = resume(settings)
        for index in emptied:
            out.print(f"erased what was left of entry {index}")
        out.print("nothing of an erased record is left in this home")
        _say_notes(out, notes)
        return 0
    if arguments.thing is None:
        raise UsageError("expected what to erase: a record's IRI, a run's id, a name or digest")
    by, why = (arguments.by or "").strip(), (arguments.why or "").strip()
    if arguments.yes and not (by and why):
        raise UsageError("--yes needs --by and --why: a tombstone says who erased, and why")
    kept = NONE if arguments.no_shape else NAMES if arguments.keep_names else OPAQUE
    with reader() as opened:
        plan = plan_erasure(opened, arguments.thing, shape=kept)
    for iri in plan.erased:
        out.print(f"erased already: {escape(iri)}")
    if not plan.targets:
        return 0
    if not arguments.yes:
        _say_plan(out, plan)
        return 0
    ground = (arguments.ground or "").strip() or None
    done, notes = carry_out(settings, plan, Order(by=by, why=why, ground=ground))
    for each in done:
        if each.is_new:
            out.print(f"erased entry {each.index}; entry {each.tombstone} is its tombstone")
        else:
            out.print(f"entry {each.index} was erased meanwhile, by entry {each.tombstone}")
    _say_notes(out, notes)
    out.print(
        "Not reached: backups, until the next `provgraph backup` to each place, copies of this folder, bundles that were handed out, and what the"
        " disk keeps of overwritten blocks."
    )
    return 0


def _say_plan(out: Console, plan: Plan) -> None:
    for target in plan.targets:
        out.print(f"[red]goes[/red]   entry {target.index}, {target.kind} {escape(target.title)}")
        out.print(f"       {escape(target.iri)}")
        out.print(
            f"       {target.statements} statements, {target.attachments} attachments of its own"
        )
        if target.names:
            shown = ", ".join(target.names[:_MAX_NAMES])
            more = len(target.names) - _MAX_NAMES
            out.print(f"       names: {escape(shown)}{f' and {more} more' if more > 0 else ''}")
    out.print(
        "[green]stays[/green]  of each: its place in the tree, hashes, salt, IRI, date and key of its seal"
    )
    for target in plan.targets:
        out.print(f"       of entry {target.index}: {_shape(target)}")
    for each in plan.kept:
        out.print(f"       {escape(each)}")
    if plan.mentions:
        out.print(f"       {plan.mentions} other records that refer to it, with what they say")
    out.print("Nothing was erased yet. It cannot be undone: add --by, --why and --yes to do it.")


def _shape(target: Target) -> str:
    if target.shape_kind == NONE:
        return "no lineage edge"
    lost = ""
    if target.shape.left_out:
        lost = f"; {target.shape.left_out} that lead to names or parameters go (--keep-names keeps names)"
    return f"{len(target.shape.edges)} lineage edges, without any text{lost}"


def _say_notes(out: Console, notes: list[str]) -> None:
    for note in notes:
        out.print(f"note: {escape(note)}")
