"""`provgraph status`, `recover`, `reindex`, `fsck`, `settings`: looking after one home."""

from __future__ import annotations

import argparse
import os
from typing import Any

from rich.console import Console
from rich.markup import escape

from provgraph.cli.asking import indexing_progress, require_home
from provgraph.cli.output import console
from provgraph.errors import UntrustedError
from provgraph.ledger.erasing import is_unfinished
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.entry import PRODUCER
from provgraph.service import asking, indexing, recovery
from provgraph.service.home import index_folder, readable_ledger
from provgraph.service.trusting import trust_in_force
from provgraph.settings import TABLE, load


def add_status(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph status`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "status",
        help=text,
        description="Show ledger size, origin, keys, index state and runs that are going. The keys"
        " shown here are what an auditor compares a bundle's keys with.",
        epilog="Example: provgraph status",
    )
    parser.set_defaults(run=run_status)
    return parser


def add_recover(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph recover`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "recover",
        help=text,
        description="Seal the journals of processes that are gone. Every asking command does this"
        " too; here it can be done by itself, with a report.",
        epilog="Example: provgraph recover",
    )
    parser.set_defaults(run=run_recover)
    return parser


def add_reindex(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph reindex`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "reindex",
        help=text,
        description="Throw the index away and build it anew from the ledger.",
        epilog="Example: provgraph reindex",
    )
    parser.set_defaults(run=run_reindex)
    return parser


def add_fsck(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph fsck`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "fsck",
        help=text,
        description="Recompute every leaf, seal and hash of the ledger and hold them against the"
        " signed checkpoint. Exits 1 at the first thing that is wrong.",
        epilog="Example: provgraph fsck",
    )
    parser.set_defaults(run=run_fsck)
    return parser


def add_settings(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph settings`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "settings",
        help=text,
        description="List every setting with its value, default and help. Set one in the"
        ' environment (PROVGRAPH_OWNER=ada) or in <home>/config.toml (owner = "ada").',
        epilog="Example: PROVGRAPH_HOME=/srv/lineage provgraph settings",
    )
    parser.set_defaults(run=run_settings)
    return parser


def run_status(_: argparse.Namespace) -> int:
    """Print the state of this home."""
    from provgraph.seal.multikey import ED25519, PublicKey, did_key

    settings = load()
    going = [state.run()[0] for state in recovery.going_runs(settings)]
    if not going:
        require_home(settings)
    out = console()
    out.print(f"home       {settings.home}")
    if settings.ledger_path.exists():
        with readable_ledger(settings) as ledger:
            log = did_key(PublicKey(algorithm=ED25519, raw=ledger.log_key))
            size_bytes = sum(
                os.path.getsize(path) for path in settings.home.glob("ledger.db*") if path.is_file()
            )
            out.print(f"ledger     {ledger.size()} entries, {size_bytes / 1e6:.1f} MB")
            out.print(f"origin     {ledger.origin}")
            out.print(f"namespace  {ledger.namespace}")
            out.print(f"log key    {log}")
            _print_witnesses(out, ledger)
        from provgraph.service.keylist import own_method

        method, kept = own_method(settings, PRODUCER)
        if method is not None:
            out.print(f"producer   {method.partition('#')[0]}")
        elif kept != "absent":
            out.print(f"producer   {escape(kept)}")
    if is_unfinished(settings.ledger_path):
        out.print("erasure    not finished: `provgraph erase --resume`")
    for run in going:
        out.print(f"going      {run.name}  {run.id}  since {run.started_at:%Y-%m-%d %H:%M:%S}Z")
    return 0


def _print_witnesses(out: Console, ledger: Ledger) -> None:
    from provgraph.service.witnessing import standing

    found = standing(ledger)
    times = dict(found.cosigned)
    for peer in found.witnesses:
        seen = "has cosigned nothing that is remembered here; run `provgraph cosign`"
        if found.seen is not None and peer.name in times:
            seen = f"saw {found.seen.size} entries at {times[peer.name]:%Y-%m-%d %H:%M:%S}Z"
        out.print(f"witness    {escape(peer.name)}  {seen}")
    if found.witnesses:
        out.print(f"unseen     {found.behind} entries are newer than what witnesses saw")
    for path in found.missing_copies if found.seen is not None else ():
        out.print(f"[yellow]no copy[/yellow]    of the witnessed checkpoint at {escape(path)}")
    if found.stopped is not None:
        out.print(f"[bold red]stopped[/bold red]    {escape(found.stopped)}")


def run_recover(_: argparse.Namespace) -> int:
    """Seal journals left behind."""
    found = recovery.recover(load())
    for each in found:
        if each.receipt is not None:
            print(f"sealed {each.receipt.record} at position {each.receipt.position}")
    for problem in asking.problems(found):
        print(f"not sealed: {problem}")
    if not found:
        print("nothing was left behind")
    return 1 if asking.problems(found) else 0


def run_reindex(_: argparse.Namespace) -> int:
    """Rebuild the index."""
    settings = load()
    require_home(settings)
    with indexing_progress() as progress:
        size = indexing.reindex(settings, progress=progress)
    print(f"indexed {size} ledger entries into {index_folder(settings)}")
    return 0


def run_fsck(_: argparse.Namespace) -> int:
    """Verify the ledger."""
    from provgraph.ledger.fsck import check_ledger
    from provgraph.pool import cores

    settings = load()
    require_home(settings)
    with readable_ledger(settings) as ledger:
        report = check_ledger(ledger, processes=cores(), trust=trust_in_force(settings))
        if report.findings:
            raise UntrustedError(f"ledger {ledger.path}: {report.findings[0].message}")
        ledger.memory.require_current(ledger, report.size)
    erased = f", {report.erased} of them erased by tombstones" if report.erased else ""
    print(
        f"ledger {ledger.origin}: all {report.size} entries{erased}, seals and the checkpoint agree"
    )
    for method, revoked in report.keys.revocations().items():
        if revoked.counts_before < revoked.index:
            print(
                f"what {method.partition('#')[0]} sealed in entries from {revoked.counts_before} on"
                f" does not count: {revoked.reason}, says entry {revoked.index}"
            )
    return 0


def run_settings(_: argparse.Namespace) -> int:
    """Print the table of settings."""
    settings = load()
    out = console()
    for row in TABLE:
        value = getattr(settings, row.name)
        shown = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        if isinstance(value, tuple):
            shown = os.pathsep.join(map(str, value))
        out.print(
            f"[bold]{row.name}[/bold] = {shown}   [dim]({row.unit}; default {row.default or 'empty'})[/dim]"
        )
        out.print(f"    {row.help}")
    return 0
