"""`provgraph restore`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from provgraph.cli.asking import indexing_progress
from provgraph.cli.backup import add_passphrase, read_passphrase
from provgraph.cli.output import console, print_json
from provgraph.cli.terminal import printable
from provgraph.errors import UsageError


def add_restore(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph restore`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "restore",
        help=text,
        description="Restore a backup into a new folder. Everything is checked against the signed"
        " manifest, then the whole ledger; the folder is there only if all of it is right. Nothing is"
        " ever restored over something. With --test it goes to a temporary folder, is indexed, compared with"
        " its ledger, asked a set of questions that the live home is asked too (as of that size), and thrown"
        " away; the result is recorded in the live home. Exits 1 if anything is wrong.",
        epilog="Example: provgraph restore s3://backups/lineage /srv/lineage"
        "   provgraph restore --test s3://backups/lineage",
    )
    parser.add_argument("target", help="a folder with backups, or an address in object storage")
    parser.add_argument("folder", nargs="?", help="the new home")
    parser.add_argument("--list", action="store_true", help="only list the backups that are there")
    parser.add_argument(
        "--test",
        action="store_true",
        help="try whether the backup can be restored, and record that",
    )
    parser.add_argument(
        "--no-record", action="store_true", help="with --test: leave the live home as it is"
    )
    parser.add_argument("--report", metavar="FILE", help="with --test: write the report as JSON")
    parser.add_argument(
        "--at", type=int, metavar="SIZE", help="the backup of so many entries, not the newest"
    )
    parser.add_argument(
        "--log-key", metavar="DID", help="the ledger's log key, as you know it from elsewhere"
    )
    add_passphrase(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=run_restore)
    return parser


def run_restore(arguments: argparse.Namespace) -> int:
    """Restore, or list what could be."""
    from provgraph.backup.places import open_place
    from provgraph.service.restoring import Choice, restore

    place = open_place(arguments.target)
    if arguments.list:
        return _list(place, arguments.format)
    if arguments.test == (arguments.folder is not None):
        raise UsageError("expected either the folder to restore into, or --test, or --list")
    if (arguments.no_record or arguments.report) and not arguments.test:
        raise UsageError("--no-record and --report go with --test")
    choice = Choice(
        at=arguments.at, log_key=arguments.log_key, passphrase=read_passphrase(arguments)
    )
    if arguments.test:
        return _test(place, choice, arguments)
    folder = Path(arguments.folder).expanduser().absolute()
    with indexing_progress("restoring") as progress:
        done = restore(
            place, folder, choice, progress=lambda _, so_far, total: progress(so_far, total)
        )
    if arguments.format == "json":
        print_json(
            {
                "format": "provgraph-restore/v1",
                "folder": str(done.folder),
                "manifest": done.manifest,
                "made": done.made,
                "size": done.tree.size,
                "root": done.tree.root.hex(),
                "logKey": done.log_key,
                "erased": done.erased,
                "hasKeys": done.has_keys,
                "newerSize": None if done.newer is None else done.newer.size,
                "witnessesToAsk": list(done.unasked),
            }
        )
        return 0
    print(f"restored {done.tree.size} entries of {done.tree.origin} into {done.folder}")
    print(f"backup     {done.manifest}, made {done.made}")
    print(f"log key    {done.log_key}")
    if arguments.log_key is None:
        print("           compare it with one that you know from elsewhere (--log-key)")
    if not done.has_keys:
        print(
            f"keys       not in this backup; before anything is recorded put them into {done.folder}/keys"
        )
    if done.newer is not None:
        print(
            f"read-only  a later backup there has {done.newer.size} entries: this home answers, and takes"
            " nothing in"
        )
    for name in done.unasked:
        print(
            f"witness    {printable(name)} must be asked before anything is recorded: `provgraph --home"
            f" {done.folder} cosign`"
        )
    return 0


def _test(place: Any, choice: Any, arguments: argparse.Namespace) -> int:
    from provgraph.service.restore_testing import try_restore
    from provgraph.settings import load

    with indexing_progress("testing the backup") as progress:
        report = try_restore(
            load(),
            place,
            choice,
            progress=lambda _, done, total: progress(done, total),
            records=not arguments.no_record,
        )
    found = report.to_json()
    if arguments.report:
        Path(arguments.report).write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    if arguments.format == "json":
        print_json(found)
        return 0 if report.has_passed else 1
    if report.restored is not None:
        tree = report.restored.tree
        print(
            f"backup     {report.restored.manifest}, {tree.size} entries, made {report.restored.made}"
        )
        print(f"restored   and checked in {report.seconds['restore']:.1f} s")
    if report.graphs:
        print(f"indexed    {report.graphs} graphs, compared with the ledger")
    same = sum(each.is_same is True for each in report.questions)
    if report.questions:
        print(
            f"asked      {len(report.questions)} questions, {same} answered as the live home does"
        )
    for text in report.unknown:
        print(printable(f"unknown    {text}"))
    for text in report.problems:
        print(printable(f"WRONG      {text}"))
    if report.record is not None:
        print(f"recorded   {report.record}")
    verdict = "passed" if report.has_passed else "failed"
    print(f"{verdict}, and not all could be compared" if report.unknown else verdict)
    return 0 if report.has_passed else 1


def _list(place: Any, form: str) -> int:
    from provgraph.backup.writing import manifest_names, read_manifest
    from provgraph.errors import UntrustedError

    found: list[dict[str, Any]] = []
    for name in reversed(manifest_names(place)):
        try:
            manifest = read_manifest(place, name)
        except UntrustedError as error:
            found.append({"manifest": name, "problem": str(error)})
            continue
        found.append(
            {
                "manifest": name,
                "problem": None,
                "size": manifest.tree.size,
                "made": manifest.made,
                "origin": manifest.tree.origin,
                "isEncrypted": manifest.encryption != "none",
                "bytes": sum(each.size_bytes for each in manifest.stored().values()),
            }
        )
    if form == "json":
        print_json({"format": "provgraph-backups/v1", "place": place.address, "backups": found})
    else:
        out = console()
        for each in found:
            if each["problem"] is not None:
                out.print(f"[red]damaged[/red]  {each['manifest']}")
            else:
                out.print(
                    f"{each['size']:>10} entries  made {each['made']}  {each['bytes'] / 1e6:.1f} MB"
                    f"  {each['origin']}{'  encrypted' if each['isEncrypted'] else ''}"
                )
        if not found:
            print(f"{place.address}: no backup is there")
    return 1 if any(each["problem"] for each in found) or not found else 0
