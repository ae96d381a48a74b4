"""`provgraph cosign`: name witnesses of this ledger, and have its checkpoint cosigned."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from provgraph.cli.asking import require_home
from provgraph.cli.brought import read_keys
from provgraph.errors import StorageError, UsageError
from provgraph.service.witnessing import Witnessed, cosign, name_witness, retire_witness
from provgraph.settings import Settings, load
from provgraph.witness.client import DEFAULT_TIMEOUT_S


def add_cosign(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph cosign`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "cosign",
        help=text,
        description="Ask the witnesses of this ledger to cosign its checkpoint now, and remember what"
        " they saw. From then on a copy of the ledger that is older, or has another history, is not"
        " written to. `publish` and `export --format bundle` ask them too. Exits 1 if one did not"
        " cosign.",
        epilog="Example: provgraph cosign --add https://witness.example.org witness.keys",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--add",
        nargs="+",
        metavar=("URL", "KEY"),
        help="name a witness: where it is, and its verifier keys or a file of them",
    )
    action.add_argument("--retire", metavar="NAME", help="ask a witness no more")
    parser.add_argument("--reason", metavar="TEXT", help="why it is retired")
    add_timeout(parser)
    parser.set_defaults(run=run_cosign)
    return parser


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add `--witness-timeout`."""
    parser.add_argument(
        "--witness-timeout",
        metavar="SECONDS",
        type=float,
        default=DEFAULT_TIMEOUT_S,
        help=f"how long to wait for a witness's answer (default: {DEFAULT_TIMEOUT_S:g})",
    )


def add_require_witness(parser: argparse.ArgumentParser) -> None:
    """Add `--require-witness` and `--witness-timeout`."""
    parser.add_argument(
        "--require-witness",
        action="store_true",
        help="fail where a witness has not cosigned, instead of a warning",
    )
    add_timeout(parser)


def run_cosign(arguments: argparse.Namespace) -> int:
    """Name, retire or ask."""
    settings = load()
    require_home(settings)
    if arguments.retire is not None:
        retire_witness(settings, arguments.retire, reason=arguments.reason)
        print(f"the witness {arguments.retire} is asked no more")
        return 0
    if arguments.reason is not None:
        raise UsageError("--reason says why a witness is retired; use it with --retire")
    if arguments.add is not None:
        address, *texts = arguments.add
        peer = name_witness(
            settings, address=address, keys=[key for text in texts for key in read_keys(text)]
        )
        print(f"named the witness {peer.name} at {peer.address}")
    done = cosign(settings, timeout_s=_timeout(arguments), is_fresh=True)
    if not done.cosigned and not done.silent:
        raise UsageError(
            "this ledger has no witness; name one with `provgraph cosign --add URL KEY`"
        )
    print(f"checkpoint over {done.checkpoint.size} entries of {done.checkpoint.origin}")
    say_witnessed(done)
    return 1 if done.silent else 0


def witnessed(settings: Settings, arguments: argparse.Namespace) -> Witnessed:
    """Return the checkpoint that is to leave the home, for commands with `add_require_witness`.

    Raises:
        UsageError: a witness is required, and the ledger has none.
        StorageError: one is required, and did not cosign.
    """
    done = cosign(settings, timeout_s=_timeout(arguments))
    if arguments.require_witness and not done.cosigned and not done.silent:
        raise UsageError(
            "--require-witness: this ledger has no witness; name one with"
            " `provgraph cosign --add URL KEY`"
        )
    if arguments.require_witness and done.silent:
        raise StorageError(f"nothing was written: {'; '.join(done.warnings)}")
    return done


def say_witnessed(done: Witnessed) -> None:
    """Say who has cosigned, and on stderr what was not to be had."""
    for each in done.cosigned:
        print(f"cosigned by {each.name} at {each.at:%Y-%m-%d %H:%M:%S}Z")
    for warning in done.warnings:
        print(f"provgraph: warning: {warning}", file=sys.stderr)


def _timeout(arguments: argparse.Namespace) -> float:
    seconds: float = arguments.witness_timeout
    if not 0 < seconds <= 600:
        raise UsageError(f"expected --witness-timeout of 0 to 600 seconds, found {seconds:g}")
    return seconds
