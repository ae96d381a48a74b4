"""`provgraph keys trust`: make, sign, check and install the file that says whose keys count.

Each root key signs on its own machine; the file travels between them.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from provgraph.cli.asking import require_home
from provgraph.cli.output import console
from provgraph.errors import StorageError
from provgraph.seal.note import parse_vkey
from provgraph.seal.trustfile import (
    TrustList,
    open_trust,
    parse_trust_list,
    require_roots,
    require_successor,
    sign_trust,
    split_trust,
)
from provgraph.service.drafting import draft_trust
from provgraph.service.home import readable_ledger
from provgraph.service.signing import open_signer, place
from provgraph.service.trusting import install_trust, read_trust, trust_in_force
from provgraph.settings import load
from provgraph.terms import format_time


def add_trust(below: Any) -> None:
    """Add `provgraph keys trust`."""
    parser = below.add_parser(
        "trust",
        help="the trust file: whose keys count, signed by offline root keys",
        description="A trust file lists every key with its role, owner and validity, and is signed"
        " by a threshold of root keys that are kept offline. Draft it here, carry it to each root"
        " key, install it, and give it to whoever verifies.",
        epilog="Example: provgraph keys trust draft --root VKEY --root VKEY --root VKEY"
        " --threshold 2 > trust.txt",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    draft = actions.add_parser(
        "draft",
        help="write the next trust file of this ledger, unsigned",
        description="Write what this home knows of keys as a trust file without signatures: those of"
        " the one in force, those of the ledger's key events, and those that sealed and of which"
        " nothing else is said. Read it, and change it where it is wrong, before anybody signs.",
        epilog="Example: provgraph keys trust draft --root root-1.example.org+1b2c…+AZ…"
        " --threshold 1 > trust.txt",
    )
    draft.add_argument(
        "--root", metavar="VKEY", action="append", default=[], help="a root key, repeatable"
    )
    draft.add_argument("--threshold", type=int, metavar="N", help="how many roots must sign")
    draft.add_argument(
        "--owner", default="unknown", help="owner of keys that nobody has named one for"
    )
    draft.set_defaults(run=run_draft)
    sign = actions.add_parser(
        "sign",
        help="add the signature of one root key",
        description="Show what a trust file says, and add one root key's signature to it. Needs"
        " nothing but the file and the key, so it runs on a machine without network.",
        epilog="Example: provgraph keys trust sign trust.txt --key /media/usb/root-1.pem",
    )
    sign.add_argument("file")
    sign.add_argument("--key", required=True, help="a root key's file, pkcs11:… or vault:…")
    sign.set_defaults(run=run_sign)
    check = actions.add_parser(
        "check",
        help="show a trust file and who has signed it",
        description="Check a trust file's signatures against its own roots, against root keys that"
        " you know, and as successor of another one.",
        epilog="Example: provgraph keys trust check trust.txt --after trust-1.txt",
    )
    check.add_argument("file")
    check.add_argument("--after", metavar="FILE", help="one that you trust, which this replaces")
    check.add_argument(
        "--root-key", metavar="VKEY", action="append", default=[], help="must have signed it"
    )
    check.set_defaults(run=run_check)
    install = actions.add_parser(
        "install",
        help="let a signed trust file hold in this home",
        description="Check a trust file and let it hold: from then on the ledger takes in only seals"
        " of keys that it lists, or that its stewards add. The first one is taken on your word.",
        epilog="Example: provgraph keys trust install trust.txt",
    )
    install.add_argument("file")
    install.set_defaults(run=run_install)


def run_draft(arguments: argparse.Namespace) -> int:
    """Print the next trust file, unsigned."""
    settings = load()
    require_home(settings)
    drafted = draft_trust(
        settings,
        roots=tuple(parse_vkey(text) for text in arguments.root),
        threshold=arguments.threshold,
        owner=arguments.owner,
    )
    sys.stdout.write(drafted.encode().decode())
    return 0


def run_sign(arguments: argparse.Namespace) -> int:
    """Add a signature."""
    path = Path(arguments.file)
    data = read_trust(path)
    signed = sign_trust(data, open_signer(place(arguments.key)))
    _show(parse_trust_list(split_trust(data)[0]))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        temporary.write_bytes(signed)
        # Until the rename the file is as it was.
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    count = signed.partition(b"\n\n")[2].count(b"\n")
    print(f"signed {path}: {count} of {parse_trust_list(split_trust(signed)[0]).threshold} needed")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Show a trust file."""
    trust = open_trust(read_trust(Path(arguments.file)))
    if arguments.after is not None:
        require_successor(trust, of=open_trust(read_trust(Path(arguments.after))))
    require_roots(trust, [parse_vkey(text) for text in arguments.root_key])
    _show(trust.says)
    out = console()
    for key in trust.signed_by:
        out.print(f"[green]signed by[/green]  {escape(key.vkey)}")
    if not arguments.after and not arguments.root_key:
        out.print(
            "These roots are the file's own. To know whose they are, compare them with ones that"
            " you got another way: --root-key, or --after."
        )
    return 0


def run_install(arguments: argparse.Namespace) -> int:
    """Let a trust file hold."""
    settings = load()
    require_home(settings)
    before = trust_in_force(settings)
    with readable_ledger(settings) as ledger:
        trust = install_trust(settings, read_trust(Path(arguments.file)), origin=ledger.origin)
    out = console()
    out.print(f"trust file version {trust.version} holds in {settings.home}")
    if before is None:
        for key in trust.signed_by:
            out.print(f"on your word, for its root {escape(key.vkey)}")
    return 0


def _show(says: TrustList) -> None:
    out = console()
    out.print(
        f"trust file version {says.version} of {escape(says.origin)},"
        f" {says.threshold} of {len(says.roots)} roots"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("role", "key", "owner", "valid from", "valid until", "counts before"):
        table.add_column(name, overflow="fold")
    for key in says.keys:
        times = [
            "" if each is None else format_time(each) for each in (key.valid_from, key.valid_until)
        ]
        end = "" if key.counts_before is None else f"entry {key.counts_before}"
        table.add_row(
            *map(escape, [key.role, key.method.partition("#")[0], key.owner, *times, end])
        )
    out.print(table)
