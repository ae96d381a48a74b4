"""`provgraph verify`: check a bundle offline, or a live ledger, step by step."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape

from provgraph.cli.anchors import add_anchor_options, anchors_of
from provgraph.cli.brought import add_tsa_ca, read_keys, read_roots
from provgraph.cli.output import console, counted
from provgraph.cli.terminal import printable
from provgraph.cli.verify_ledger import (
    add_ledger_options,
    ledger_of,
    refuse_ledger_options,
    run_ledger,
    write_report,
)
from provgraph.errors import FormatError, UntrustedError, UsageError
from provgraph.export.views import check_views
from provgraph.ledger.fsck_range import Finding
from provgraph.seal.absent import summary
from provgraph.seal.bundle import Report, VerifiedBundle, verify_bundle
from provgraph.seal.entry import SEALED_BY
from provgraph.seal.note import parse_vkey
from provgraph.seal.timestamp import MEMBER as TIMESTAMP
from provgraph.seal.timestamp import read_timestamp
from provgraph.seal.witnessed import cosigner_names, require_witnesses
from provgraph.service.verification import Verification


def add_verify(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph verify`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help=text,
        description="Check a bundle without configuration, identity or network, or a live ledger: every"
        " entry, graph, seal and hash, on all cores. Exits 1 if anything is wrong, and says what. Give"
        " the keys that you know from elsewhere to check as well whose it is.",
        epilog="Example: provgraph verify churn-3.zip --log-key did:key:z6Mk…; and for this home's"
        " ledger and index: provgraph verify --deep --report report.json",
    )
    parser.add_argument(
        "bundle",
        nargs="?",
        help="a .zip or an unpacked folder; or a home, or a ledger.db (default: this home)",
    )
    parser.add_argument(
        "--answer",
        metavar="ID",
        help="ask again what an answer certificate of this home answers, and compare",
    )
    add_ledger_options(parser)
    parser.add_argument("--log-key", metavar="KEY", help="the ledger's key, as did:key")
    parser.add_argument(
        "--charter",
        metavar="FILE",
        help="of a bundle: the ledger's charter as you kept it from an earlier one; names all its keys",
    )
    parser.add_argument(
        "--producer-key", metavar="KEY", action="append", help="a producer's key; repeatable"
    )
    parser.add_argument(
        "--witness",
        metavar="KEY",
        action="append",
        help="a verifier key, or a file of them, of a witness that must have cosigned; repeatable",
    )
    add_tsa_ca(parser)
    add_anchor_options(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing when all is well")
    parser.set_defaults(run=run_verify)
    return parser


def run_verify(arguments: argparse.Namespace) -> int:
    """Verify and report each step."""
    if arguments.answer is not None:
        from provgraph.cli.verify_answer import run_answer

        if arguments.bundle is not None:
            raise UsageError("--answer checks a certificate of this home; give no bundle with it")
        return run_answer(arguments.answer, quiet=arguments.quiet, report=arguments.report)
    ledger = ledger_of(arguments.bundle)
    if ledger is not None:
        if arguments.witness or arguments.tsa_ca:
            raise UsageError(
                "--witness and --tsa-ca are for a bundle; what witnesses saw of a live ledger is checked"
                " in step 10, and `provgraph status` says when"
            )
        if arguments.charter is not None:
            raise UsageError("--charter is for a bundle; name a ledger's key with --log-key")
        return run_ledger(ledger, arguments)
    refuse_ledger_options(arguments)
    written = Verification(what="bundle", subject=arguments.bundle, started=datetime.now(UTC))
    try:
        return _run_bundle(arguments, written)
    except UntrustedError as error:
        step = re.match(r"step (\d+): ", str(error))
        written.findings.append(Finding(step=int(step[1]) if step else 0, message=str(error)))
        written.is_cut_short = True
        raise
    finally:
        written.ended = datetime.now(UTC)
        if written.steps or written.findings:
            write_report(written, arguments.report)


def _kept_charter(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the charter {path}: {error.strerror or error}") from None


def _run_bundle(arguments: argparse.Namespace, written: Verification) -> int:
    out = console()

    def report(step: int, text: str) -> None:
        written.passed(step, text)
        if not arguments.quiet:
            out.print(f"[green]ok[/green] {step:>2}  {escape(printable(text))}")

    keys = arguments.producer_key
    bundle = verify_bundle(
        Path(arguments.bundle),
        report=report,
        log_key=arguments.log_key,
        charter=None if arguments.charter is None else _kept_charter(Path(arguments.charter)),
        producer_keys=None if keys is None else frozenset(keys),
        anchors=anchors_of(arguments),
    )
    written.origin, written.size = bundle.charter.origin, bundle.checkpoint.size
    written.root = bundle.checkpoint.root
    written.parts["bundle"] = {"records": len(bundle.records), "root": bundle.root}
    written.parts["keys"] = [
        {"id": record.signer, "role": SEALED_BY[record.entry.kind], "position": record.position}
        for record in bundle.records
    ]
    try:
        compared = check_views(bundle)
    except UntrustedError as error:
        raise UntrustedError(f"step 10: {error}") from None
    report(10, f"{compared} readable views say exactly what was signed")
    said = _check_outside(bundle, arguments, report)
    if arguments.quiet:
        return 0
    for text in said:
        out.print(escape(printable(text)))
    out.print(
        f"[bold green]verified[/bold green]: {counted(len(bundle.records), 'record')}"
        f" behind {escape(printable(bundle.root))}"
        f"{f'; {apart}' if (apart := summary(bundle.absent)) else ''}"
    )
    for each in bundle.absent:
        why = f"erased: entry {each.tombstone} is its tombstone"
        if each.reason is not None:
            why = f"withheld: {printable(each.reason)}"
        out.print(f"  entry {each.position}  {escape(printable(each.iri))}  {escape(why)}")
    for text in bundle.judged.not_shown:
        out.print(f"[dim]not shown:[/dim] {escape(printable(text))}")
    if not bundle.is_pinned:
        out.print(
            "The keys above came with the bundle. To know whose they are, compare them with ones"
            " that you got another way: --trust or --root-key, or --log-key and --producer-key."
        )
    return 0


def _check_outside(
    bundle: VerifiedBundle, arguments: argparse.Namespace, report: Report
) -> list[str]:
    """Check what others say of the checkpoint; return what is there and was not checked."""
    unchecked = []
    note = bundle.members["checkpoint"]
    try:
        texts = [key for text in arguments.witness or () for key in read_keys(text)]
        keys = [parse_vkey(text) for text in texts]
    except FormatError as error:
        raise UsageError(f"--witness: {error}") from None
    try:
        for each in require_witnesses(note, keys, now=datetime.now(UTC)):
            report(11, f"witness {each.name} saw this checkpoint at {_time(each.at)}")
        others = cosigner_names(note, but=[*bundle.charter.log_keys, *keys])
    except (FormatError, UntrustedError) as error:
        raise UntrustedError(f"step 11: {error}") from None
    if others:
        unchecked.append(
            f"Not checked: cosignatures by {', '.join(others)}. Give a witness's verifier key, got from"
            " the witness: --witness."
        )
    token = bundle.members.get(TIMESTAMP)
    roots = read_roots(arguments.tsa_ca)
    if token is None:
        if roots is not None:
            raise UntrustedError("step 12: expected a time-stamp of the checkpoint, found none")
        return unchecked
    try:
        stamp = read_timestamp(token, bundle.checkpoint.encode(), roots=roots)
    except (FormatError, UntrustedError) as error:
        raise UntrustedError(f"step 12: {error}") from None
    except UsageError as error:
        # Without the extra nothing of the token can be read; with --tsa-ca it is asked for above.
        return [*unchecked, f"Not checked: a time-stamp over the checkpoint; {error}."]
    text = f"this checkpoint existed at {_time(stamp.at)}, says {stamp.authority}"
    if stamp.is_trusted:
        report(12, text)
    else:
        unchecked.append(
            f"Not checked: a time-stamp by which {text}. Give the root of the authority that you trust:"
            " --tsa-ca."
        )
    return unchecked


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
