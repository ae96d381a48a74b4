"""What whoever verifies brings along: a trust file, root keys."""

from __future__ import annotations

import argparse
from pathlib import Path

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.bundle_keys import Anchors
from provgraph.seal.note import parse_vkey
from provgraph.seal.trustfile import TrustFile, open_trust, require_roots
from provgraph.service.trusting import read_trust, trust_in_force
from provgraph.settings import load


def add_anchor_options(parser: argparse.ArgumentParser) -> None:
    """Add `--trust` and `--root-key`."""
    parser.add_argument(
        "--trust", metavar="FILE", help="a trust file that you got another way than the bundle"
    )
    parser.add_argument(
        "--root-key",
        metavar="VKEY",
        action="append",
        default=[],
        help="a root key that must have signed the trust file; repeatable",
    )


def anchors_of(arguments: argparse.Namespace) -> Anchors:
    """Read what the reader knows from elsewhere.

    Raises:
        FormatError, UntrustedError: the trust file or a root key is not one.
    """
    own = None
    if arguments.trust is not None:
        try:
            own = open_trust(read_trust(Path(arguments.trust)))
        except (FormatError, UntrustedError) as error:
            raise type(error)(f"{arguments.trust}: {error}") from None
    return Anchors(trust=own, roots=tuple(parse_vkey(text) for text in arguments.root_key))


def trust_for(ledger_path: Path, arguments: argparse.Namespace) -> TrustFile | None:
    """Return the trust file to judge a ledger by: the reader's own, else its home's.

    Raises:
        FormatError, UntrustedError: as `anchors_of`, or a root key has not signed it.
    """
    anchors = anchors_of(arguments)
    trust = anchors.trust
    if trust is None:
        settings = load({"PROVGRAPH_HOME": str(ledger_path.absolute().parent)})
        trust = trust_in_force(settings)
    if trust is None and anchors.roots:
        raise UntrustedError(
            f"{ledger_path.parent} has no trust file that your root keys could have signed;"
            " give one with --trust"
        )
    return None if trust is None else require_roots(trust, anchors.roots)
