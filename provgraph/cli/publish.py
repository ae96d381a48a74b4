"""`provgraph publish`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from provgraph.cli.asking import require_home
from provgraph.cli.cosign import add_require_witness, say_witnessed, witnessed
from provgraph.settings import load


def add_publish(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph publish`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "publish",
        help=text,
        description="Write the ledger into a folder as a transparency log (C2SP tlog-tiles): signed"
        " checkpoint, tree and entries, for any static web server, witness or auditor. Entries are"
        " hashes and record ids; what was recorded stays here. Again, it adds what is new, and"
        " refuses when this ledger is older than what the folder says.",
        epilog="Example: provgraph publish /srv/www/lineage-log",
    )
    parser.add_argument("folder", help="a new folder, or one that this ledger was published into")
    add_require_witness(parser)
    parser.set_defaults(run=run_publish)
    return parser


def run_publish(arguments: argparse.Namespace) -> int:
    """Publish."""
    from provgraph.digests import sha256_bytes
    from provgraph.ledger.tiles import publish
    from provgraph.service.home import readable_ledger

    settings = load()
    require_home(settings)
    done_by = witnessed(settings, arguments)
    with readable_ledger(settings) as ledger:
        done = publish(ledger, Path(arguments.folder), note=done_by.note)
        charter = ledger.charter
    print(
        f"published {done.checkpoint.size} entries of {done.checkpoint.origin} into {done.folder}:"
        f" {done.new_entries} new, {done.new_files} files written"
    )
    say_witnessed(done_by)
    print("Tell readers, by another way than this folder, how to know it:")
    print(f"  verifier key    {charter.note_key.vkey}")
    print(f"  charter         {sha256_bytes(charter.note)}")
    return 0
