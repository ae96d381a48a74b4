"""`provgraph keys`: whose seals count, and the keys themselves.

Arguments to service calls, and tables. Decisions (`add`, `rotate`, `revoke`) become entries of the ledger.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from provgraph.cli.asking import require_home
from provgraph.cli.output import console, print_json
from provgraph.errors import UsageError
from provgraph.records import Agent
from provgraph.seal.entry import PRODUCER
from provgraph.seal.keyevent import COMPROMISED, REASONS, ROLES, SUPERSEDED
from provgraph.seal.multikey import (
    ED25519,
    P256,
    did_key,
    encode_multikey,
    parse_verification_method,
    public_pem,
)
from provgraph.service.keylist import KeyRow, list_keys, own_method
from provgraph.service.rotating import Why, add_key, revoke_key, rotate_key
from provgraph.service.signing import OWN_ROLES, open_signer, place, place_of
from provgraph.settings import load
from provgraph.terms import format_time

FORMS = ("multikey", "did", "pem", "vkey")


def add_keys(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph keys` and what stands below it."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "keys",
        help=text,
        description="Whose seals count in this ledger. A key that was revoked keeps what it sealed"
        " before; the ledger takes in nothing that it seals afterwards.",
        epilog="Example: provgraph keys rotate producer --reason compromised --since 41",
    )
    below = parser.add_subparsers(metavar="ACTION", required=True)
    _add_list(below)
    _add_create(below)
    _add_add(below)
    _add_rotate(below)
    _add_revoke(below)
    _add_export(below)
    _add_passphrase(below)
    from provgraph.cli.trust import add_trust

    add_trust(below)
    return parser


def _add_list(below: Any) -> None:
    parser = below.add_parser(
        "list",
        help="every key: role, owner, state, validity, where its private part is",
        description="List the keys of this home, of the ledger's key events and of the trust file.",
        epilog="Example: provgraph keys list --used",
    )
    parser.add_argument(
        "--used", action="store_true", help="count what each key sealed; reads the whole ledger"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.set_defaults(run=run_list)


def _add_create(below: Any) -> None:
    parser = below.add_parser(
        "create",
        help="make a key in a file: a root key, or one for another machine",
        description="Make a key in a new file (mode 0600), encrypted under PROVGRAPH_KEY_PASSPHRASE"
        " where that is set, and print its public side. A home makes its own keys by itself.",
        epilog="Example: provgraph keys create /media/usb/root-1.pem --name root-1.example.org",
    )
    parser.add_argument("file", help="where; must not exist yet")
    parser.add_argument("--algorithm", choices=(ED25519, P256), default=ED25519)
    parser.add_argument("--name", help="print it as a verifier key of that name (for roots)")
    parser.set_defaults(run=run_create)


def _add_add(below: Any) -> None:
    parser = below.add_parser(
        "add",
        help="let a key seal from the next entry on",
        description="Enter a key into the ledger, sealed by this home's steward. KEY is a multikey"
        " or did:key, a key file, pkcs11:… or vault:…, or the role of a key of this home.",
        epilog="Example: provgraph keys add did:key:z6Mk… --role producer --owner 'pricing team'"
        " --valid-until 2027-01-01",
    )
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--role", choices=ROLES, required=True)
    _add_validity(parser)
    _add_why(parser)
    parser.set_defaults(run=run_add)


def _add_rotate(below: Any) -> None:
    parser = below.add_parser(
        "rotate",
        help="put a new key in the place of this home's own",
        description="Make a new key, enter it into the ledger and revoke the old one, in one append."
        " The old file is moved to keys/retired/. Processes that run go on with the new key.",
        epilog="Example: provgraph keys rotate producer --by ada@example.org",
    )
    parser.add_argument("role", choices=OWN_ROLES)
    parser.add_argument(
        "--reason",
        choices=(*REASONS, "none"),
        default=SUPERSEDED,
        help=f"why the old key counts no more (default: {SUPERSEDED}); none: it goes on to count",
    )
    _add_since(parser)
    _add_validity(parser, begin=False)
    _add_why(parser)
    parser.set_defaults(run=run_rotate)


def _add_revoke(below: Any) -> None:
    parser = below.add_parser(
        "revoke",
        help="let a key count no more, from the next entry on",
        description="Enter into the ledger that what a key seals from here on does not count. What"
        " it sealed before still does, except from --since on where it was compromised.",
        epilog="Example: provgraph keys revoke did:key:z6Mk… --reason compromised --since 41"
        " --note 'laptop stolen on 3 March'",
    )
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--reason", choices=REASONS, required=True)
    _add_since(parser)
    _add_why(parser)
    parser.set_defaults(run=run_revoke)


def _add_export(below: Any) -> None:
    parser = below.add_parser(
        "export",
        help="print the public side of a key",
        description="Print a public key. KEY is a role of this home, a key file, pkcs11:… or"
        " vault:…, or any public key, to have it in another form.",
        epilog="Example: provgraph keys export producer --format pem > producer-public.pem",
    )
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--format", choices=FORMS, default="did")
    parser.add_argument("--name", help="the name in a verifier key (vkey)")
    parser.set_defaults(run=run_export)


def _add_passphrase(below: Any) -> None:
    parser = below.add_parser(
        "passphrase",
        help="encrypt a key file, or change its passphrase",
        description="Encrypt a key file anew. The passphrase that it has now is read from"
        " PROVGRAPH_KEY_PASSPHRASE, the new one from PROVGRAPH_NEW_KEY_PASSPHRASE, and asked for"
        " where those are not set. KEY is a role of this home, or a file.",
        epilog="Example: provgraph keys passphrase producer",
    )
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--remove", action="store_true", help="write it unencrypted")
    parser.set_defaults(run=run_passphrase)


def _add_since(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since",
        metavar="ENTRY",
        type=_index,
        help=f"with --reason {COMPROMISED}: its seals from this entry on do not count either",
    )


def _add_validity(parser: argparse.ArgumentParser, *, begin: bool = True) -> None:
    parser.add_argument("--owner", metavar="NAME", help="who answers for it: a team, a person")
    if begin:
        parser.add_argument("--valid-from", metavar="TIME", type=_time)
    parser.add_argument(
        "--valid-until",
        metavar="TIME",
        type=_time,
        help="such as 2027-01-01 or 2027-01-01T09:00:00Z",
    )


def _add_why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", metavar="PERSON", help="who decides; goes into the ledger")
    parser.add_argument("--note", metavar="TEXT", help="why, in words; goes into the ledger")


def run_list(arguments: argparse.Namespace) -> int:
    """Print the keys."""
    from provgraph.service.home import writable_ledger
    from provgraph.service.rotating import finish_rotation

    settings = load()
    if settings.ledger_path.exists() and os.access(settings.keys_folder, os.W_OK):
        with writable_ledger(settings) as ledger:
            finish_rotation(settings, ledger.keys())
    rows = list_keys(settings, used=arguments.used)
    if arguments.format == "json":
        print_json([_json_row(row) for row in rows])
        return 0
    out = console()
    if not rows:
        out.print(f"no keys in {settings.home} yet; the first recording makes them")
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [
        "role",
        "key",
        "state",
        "owner",
        "valid from",
        "valid until",
        "counts by",
        "private key",
    ]
    for name in columns + (["sealed"] if arguments.used else []):
        table.add_column(name, overflow="fold")
    for row in rows:
        did = row.method.partition("#")[0]
        cells = [
            row.role,
            did,
            row.state,
            row.owner or "",
            _day(row.valid_from),
            _day(row.valid_until),
        ]
        cells += [row.basis, row.kept] + ([str(row.sealed)] if arguments.used else [])
        table.add_row(*map(escape, cells))
    out.print(table)
    return 0


def run_create(arguments: argparse.Namespace) -> int:
    """Make a key in a file."""
    from provgraph.seal.keys import load_or_create_signer
    from provgraph.seal.note import NoteKey
    from provgraph.service.signing import passphrase

    path = Path(arguments.file)
    if path.exists():
        raise UsageError(f"{path} exists already; a key is never written over")
    signer = load_or_create_signer(path, passphrase=passphrase(), algorithm=arguments.algorithm)
    kept = "encrypted" if passphrase() else "not encrypted: set PROVGRAPH_KEY_PASSPHRASE before"
    print(f"wrote {path} ({kept})", file=sys.stderr)
    if arguments.name is None:
        print(signer.verification_method.partition("#")[0])
    elif arguments.algorithm != ED25519:
        raise UsageError("verifier keys are Ed25519; leave out --name, or --algorithm")
    else:
        print(NoteKey(name=arguments.name, public_key=signer.public_key).vkey)
    return 0


def run_add(arguments: argparse.Namespace) -> int:
    """Enter a key into the ledger."""
    decided = add_key(
        load(),
        _method(arguments.key),
        role=arguments.role,
        owner=_owner(arguments.owner),
        valid_from=arguments.valid_from,
        valid_until=arguments.valid_until,
        why=_why(arguments),
    )
    print(
        f"{decided.key.partition('#')[0]} seals as {arguments.role} from entry"
        f" {decided.positions[-1].index} on"
    )
    return 0


def run_rotate(arguments: argparse.Namespace) -> int:
    """Put a new key in the place of the old one."""
    settings = load()
    require_home(settings)
    reason = None if arguments.reason == "none" else arguments.reason
    if arguments.since is not None and reason != COMPROMISED:
        raise UsageError(f"--since goes with --reason {COMPROMISED}")
    decided = rotate_key(
        settings,
        arguments.role,
        reason=reason,
        counts_before=arguments.since,
        owner=_owner(arguments.owner),
        valid_until=arguments.valid_until,
        why=_why(arguments),
    )
    old = (decided.replaced or "").partition("#")[0]
    print(f"new {arguments.role} key {decided.key.partition('#')[0]}")
    if decided.counts_before is None:
        print(f"the old one, {old}, goes on to count")
    else:
        print(f"the old one, {old}, counts before entry {decided.counts_before}")
    print(f"its file is now {decided.moved_to}")
    return 0


def run_revoke(arguments: argparse.Namespace) -> int:
    """Enter into the ledger that a key counts no more."""
    settings = load()
    require_home(settings)
    decided = revoke_key(
        settings,
        _method(arguments.key),
        reason=arguments.reason,
        counts_before=arguments.since,
        why=_why(arguments),
    )
    index = decided.positions[-1].index
    end = index if arguments.since is None else arguments.since
    print(
        f"{decided.key.partition('#')[0]} is revoked ({arguments.reason}) at entry {index}:"
        f" what it sealed counts before entry {end}"
    )
    if decided.key == own_method(settings, PRODUCER)[0]:
        print(
            "It is this home's own key: runs are kept in the journal until it has a new one,"
            " `provgraph keys rotate producer`"
        )
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Print a public key."""
    from provgraph.seal.note import NoteKey

    key = parse_verification_method(_method(arguments.key))
    if arguments.format == "vkey":
        if arguments.name is None or key.algorithm != ED25519:
            raise UsageError(
                "a verifier key is Ed25519 and has a name: give --name example.org/log"
            )
        print(NoteKey(name=arguments.name, public_key=key.raw).vkey)
    elif arguments.format == "pem":
        print(public_pem(key).decode(), end="")
    else:
        print({"did": did_key, "multikey": encode_multikey}[arguments.format](key))
    return 0


def run_passphrase(arguments: argparse.Namespace) -> int:
    """Encrypt a key file anew."""
    from provgraph.seal.keyfile import how_kept, rewrite_private_key

    where = place_of(load(), arguments.key) if arguments.key in OWN_ROLES else place(arguments.key)
    if where.path is None:
        raise UsageError(f"{where.text} is no file; its passphrase is the token's or server's own")
    kept = how_kept(where.path)
    now = None
    if kept == "encrypted file":
        now = _secret("PROVGRAPH_KEY_PASSPHRASE", f"passphrase of {where.path}")
    new = None if arguments.remove else _new_secret()
    rewrite_private_key(where.path, passphrase=now, new=new)
    print(f"{where.path} is {'not encrypted' if new is None else 'encrypted'} now")
    if new is not None:
        print("Set PROVGRAPH_KEY_PASSPHRASE to the new passphrase where this home is used.")
    return 0


def _secret(variable: str, prompt: str) -> bytes:
    text = os.environ.get(variable)
    if text is None:
        if not sys.stdin.isatty():
            raise UsageError(f"expected the {prompt}; set {variable}, or run this at a terminal")
        text = getpass.getpass(f"{prompt}: ")
    return text.encode()


def _new_secret() -> bytes:
    new = _secret("PROVGRAPH_NEW_KEY_PASSPHRASE", "new passphrase")
    if "PROVGRAPH_NEW_KEY_PASSPHRASE" not in os.environ and new != _secret("", "once more"):
        raise UsageError("the two passphrases differ; nothing was changed")
    if not new:
        raise UsageError(
            "expected a new passphrase, found none; --remove writes the key unencrypted"
        )
    return new


def _method(text: str) -> str:
    """Return the verification method of whatever names a key on the command line."""
    if text in OWN_ROLES:
        return open_signer(place_of(load(), text), create=True).verification_method
    if text.startswith(("pkcs11:", "vault:")) or text.endswith(".pem"):
        return open_signer(place(text)).verification_method
    multikey = text.removeprefix("did:key:").partition("#")[0]
    if not multikey.startswith("z"):
        raise UsageError(
            f"expected a multikey (z6Mk…), did:key:…, key file, pkcs11:…, vault:… or one of"
            f" {', '.join(OWN_ROLES)}; found {text[:200]!r}"
        )
    method = f"did:key:{multikey}#{multikey}"
    parse_verification_method(method)
    return method


def _owner(name: str | None) -> Agent | None:
    return None if name is None else Agent(name=name, kind="organization")


def _why(arguments: argparse.Namespace) -> Why:
    return Why(by=None if arguments.by is None else Agent(name=arguments.by), reason=arguments.note)


def _time(text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a time such as 2027-01-01 or 2027-01-01T09:00:00Z, found {text!r}"
        ) from None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise argparse.ArgumentTypeError(f"expected the index of an entry, found {text!r}")
    return int(text)


def _day(value: datetime | None) -> str:
    return "" if value is None else format_time(value)


def _json_row(row: KeyRow) -> dict[str, object]:
    return {
        "role": row.role,
        "id": row.method,
        "state": row.state,
        "owner": row.owner,
        "validFrom": None if row.valid_from is None else format_time(row.valid_from),
        "validUntil": None if row.valid_until is None else format_time(row.valid_until),
        "basis": row.basis,
        "privateKey": row.kept,
        "sealed": row.sealed,
    }
