"""`provgraph backup`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from provgraph.cli.asking import require_home
from provgraph.cli.output import print_json
from provgraph.cli.terminal import printable
from provgraph.errors import StorageError, UsageError
from provgraph.settings import Settings, load

_FORMAT = "provgraph-backup/v1"


def add_backup(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph backup`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "backup",
        help=text,
        description="Back this home up to one or several places: ledger, access trail, trust files, what"
        " witnesses saw, settings and access rights. Only what is new since the last backup is written."
        " A place is a folder, or s3://bucket/prefix, gs://…, az://… (extra `backup`; credentials from"
        " the environment). One place that fails holds up no other; exits 1 if any failed.",
        epilog="Example: provgraph backup /mnt/disk2/lineage s3://backups/lineage --keep 30",
    )
    parser.add_argument("target", nargs="+", help="a folder, or an address in object storage")
    parser.add_argument(
        "--encrypt",
        action="store_true",
        help="encrypt with the passphrase in PROVGRAPH_BACKUP_PASSPHRASE or --passphrase-file",
    )
    add_passphrase(parser)
    parser.add_argument(
        "--with-keys", action="store_true", help="take the private keys along; needs --encrypt"
    )
    parser.add_argument(
        "--keep", type=int, metavar="N", default=30, help="so many backups of each place (30)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="read everything at the places, and mend what is damaged",
    )
    parser.add_argument(
        "--anew", action="store_true", help="begin again at a place whose backups are gone"
    )
    parser.add_argument(
        "--follow", type=float, metavar="SECONDS", help="go on, with so long a pause, until ended"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=run_backup)
    return parser


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the passphrase is."""
    parser.add_argument(
        "--passphrase-file", metavar="FILE", help="its first line is the passphrase"
    )


def read_passphrase(arguments: argparse.Namespace) -> bytes | None:
    """Return the passphrase of backups, None where there is none.

    Raises:
        UsageError: the file cannot be read, or its first line is empty.
    """
    from provgraph.service.backing_up import PASSPHRASE_VARIABLE

    if arguments.passphrase_file is None:
        return os.environ.get(PASSPHRASE_VARIABLE, "").encode("utf-8", "surrogateescape") or None
    path = Path(arguments.passphrase_file)
    try:
        with path.open("rb") as file:
            line = file.readline(4096).rstrip(b"\r\n")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    if not line:
        raise UsageError(f"{path}: expected a passphrase in its first line, found nothing")
    return line


def run_backup(arguments: argparse.Namespace) -> int:
    """Back up, once or on and on."""
    from provgraph.backup.places import open_place
    from provgraph.service.backing_up import Request

    settings = load()
    require_home(settings)
    if arguments.keep < 1:
        raise UsageError(f"--keep: expected 1 or more, found {arguments.keep}")
    if arguments.follow is not None and not 0 < arguments.follow < float("inf"):
        raise UsageError(f"--follow: expected seconds above 0, found {arguments.follow}")
    if len(set(arguments.target)) != len(arguments.target):
        raise UsageError("a place stands twice; name each once")
    passphrase = read_passphrase(arguments) if arguments.encrypt else None
    if arguments.encrypt and passphrase is None:
        raise UsageError(
            "--encrypt needs a passphrase, in PROVGRAPH_BACKUP_PASSPHRASE or with --passphrase-file"
        )
    places = [open_place(each) for each in arguments.target]
    home = settings.home.resolve()
    for target in arguments.target:
        if "://" not in target and home in (
            Path(target).resolve(),
            *Path(target).resolve().parents,
        ):
            raise UsageError(f"{target} is in the home {settings.home}, which is what is backed up")
    request = Request(
        passphrase=passphrase,
        with_keys=arguments.with_keys,
        keep=arguments.keep,
        checks=arguments.check,
        anew=arguments.anew,
    )
    if arguments.follow is None:
        return _once(settings, places, request, arguments.format)
    return _follow(settings, places, request, arguments)


def _once(settings: Settings, places: Any, request: Any, form: str) -> int:
    from provgraph.service.backing_up import back_up

    began_s = time.monotonic()
    outcomes = back_up(settings, places, request)
    if form == "json":
        print_json(
            {
                "format": _FORMAT,
                "durationS": round(time.monotonic() - began_s, 3),
                "places": [_as_json(each) for each in outcomes],
            }
        )
    else:
        for each in outcomes:
            _say(each)
    sys.stdout.flush()
    return 1 if any(each.problem is not None for each in outcomes) else 0


def _follow(settings: Settings, places: Any, request: Any, arguments: argparse.Namespace) -> int:
    """Back up on and on; SIGTERM and SIGINT end it after the round that is going."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    code = 0
    while not ended.is_set():
        try:
            code = _once(settings, places, request, arguments.format)
        except StorageError as error:
            code = 1
            print(printable(f"provgraph: {error}"), file=sys.stderr, flush=True)
        ended.wait(arguments.follow)
    return code


def _say(outcome: Any) -> None:
    done = outcome.written
    if done is None:
        print(printable(f"provgraph: {outcome.problem}"), file=sys.stderr)
        return
    address = printable(outcome.address)
    if not done.is_new:
        print(f"{address}: up to date, {done.size} entries")
    else:
        print(
            f"{address}: {done.size} entries, {done.new_entries} of them new;"
            f" {done.segments} segments, {done.new_bytes} bytes written"
        )
    if done.replaced:
        print(f"{address}: {done.replaced} segments replaced, since content in them was erased")
    if done.mended:
        print(f"{address}: {done.mended} segments were missing or damaged, and were written again")
    if done.dropped:
        print(f"{address}: {done.dropped} earlier backups taken away")
    for note in done.notes:
        print(printable(f"note: {note}"))


def _as_json(outcome: Any) -> dict[str, Any]:
    done = outcome.written
    if done is None:
        return {"place": outcome.address, "problem": outcome.problem}
    return {
        "place": outcome.address,
        "problem": None,
        "manifest": done.manifest,
        "size": done.size,
        "isNew": done.is_new,
        "newEntries": done.new_entries,
        "newBytes": done.new_bytes,
        "segments": done.segments,
        "replaced": done.replaced,
        "mended": done.mended,
        "dropped": done.dropped,
        "notes": done.notes,
    }
