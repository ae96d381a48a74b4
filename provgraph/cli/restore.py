"""`provgraph restore`."""

from __future__ import annotations

import argparse
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
        " ever restored over something.",
        epilog="Example: provgraph restore s3://backups/lineage /srv/lineage",
    )
    parser.add_argument("target", help="a folder with backups, or an address in object storage")
    parser.add_argument("folder", nargs="?", help="the new home")
    parser.add_argument("--list", action="store_true", help="only list the backups that are there")
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
    if arguments.folder is None:
        raise UsageError("expected the folder to restore into, or --list")
    choice = Choice(
        at=arguments.at, log_key=arguments.log_key, passphrase=read_passphrase(arguments)
    )
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
