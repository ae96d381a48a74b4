"""`provgraph witness`: run a witness, an independent service that cosigns other people's ledgers."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from provgraph.errors import FormatError, NotFoundError, StorageError, UsageError
from provgraph.seal.charter import open_charter
from provgraph.seal.note import MAX_NOTE_BYTES, NoteKey, parse_vkey
from provgraph.service.home import utc_now
from provgraph.service.signing import PASSPHRASE_VARIABLE
from provgraph.witness.folder import WitnessFolder, open_folder
from provgraph.witness.server import WitnessServer, status_text

DEFAULT_LISTEN: Final = "127.0.0.1:8093"

_LISTEN = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:]+)):([0-9]{1,5})")


def add_witness(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph witness` and its own commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "witness",
        help=text,
        description="Run a witness: it cosigns the checkpoints of the logs it knows, with the time, as"
        " long as each contains the one before (C2SP tlog-witness). It needs no ledger and no home, only"
        " a folder of its own, on another machine than the ledgers it watches. An encrypted key is"
        " opened with PROVGRAPH_KEY_PASSPHRASE.",
        epilog="Example: provgraph witness key ./witness --name witness.example.org &&"
        " provgraph witness add-log ./witness charter && provgraph witness serve ./witness",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    def action(
        name: str, run: Callable[[argparse.Namespace], int], text: str, description: str
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(
            name, help=text, description=description
        )
        added.add_argument("folder", help="the witness's own folder")
        added.set_defaults(run=run)
        return added

    key = action(
        "key",
        run_key,
        "show its verifier keys",
        "Make the witness where there is none yet, and print its verifier keys, one a line: what"
        " ledgers name it by, and readers check it with.",
    )
    key.add_argument(
        "--name", help="its name in signatures, chosen once, such as witness.example.org/w1"
    )
    add_log = action(
        "add-log",
        run_add_log,
        "begin to cosign for a log",
        "Begin to cosign for a log. All the keys given must sign its checkpoints; a charter names"
        " them all.",
    )
    add_log.add_argument(
        "keys",
        nargs="+",
        metavar="CHARTER_OR_KEY",
        help="the ledger's charter (in a published folder or a bundle), or verifier keys",
    )
    action(
        "list",
        run_list,
        "show the logs and what was cosigned last",
        "Show each log that it knows, and what it cosigned last of it.",
    )
    serve = action(
        "serve",
        run_serve,
        "answer over HTTP",
        "Answer submissions over HTTP until it is stopped. It speaks no TLS: put it behind a web"
        " server that does where a network lies between.",
    )
    serve.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default=DEFAULT_LISTEN,
        help=f"(default: {DEFAULT_LISTEN}; port 0 takes a free one)",
    )
    return parser


def run_key(arguments: argparse.Namespace) -> int:
    """Print the verifier keys."""
    folder = open_folder(
        Path(arguments.folder), clock=utc_now, name=arguments.name, passphrase=_passphrase()
    )
    for key in folder.keys:
        print(key.vkey)
    return 0


def run_add_log(arguments: argparse.Namespace) -> int:
    """Add a log."""
    keys = [key for text in arguments.keys for key in _log_keys(text)]
    origin = _existing(arguments.folder).add_log(keys)
    kinds = ", ".join(f"{key.type:#04x}" for key in keys)
    print(f"cosigns for {origin} from now on, when its keys of type {kinds} have signed")
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    """Print what is known of each log."""
    print(status_text(_existing(arguments.folder)), end="")
    return 0


def run_serve(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    match = _LISTEN.fullmatch(arguments.listen)
    if match is None or int(match[3]) > 65535:
        raise UsageError(f"expected --listen HOST:PORT, found {arguments.listen!r}")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    folder = _existing(arguments.folder)
    with _only_one(folder.path):
        # Whatever is damaged is said now, and stops it, rather than at the first request.
        status_text(folder)
        try:
            server = WitnessServer(
                match[1] or match[2], int(match[3]), folder=folder, clock=utc_now
            )
        except OSError as error:
            raise UsageError(f"cannot listen on {arguments.listen}: {error.strerror}") from error
        with server:
            for number in (signal.SIGTERM, signal.SIGINT):
                # From a thread, since `shutdown` waits for the loop that this handler interrupts.
                signal.signal(
                    number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start()
                )
            host, port = server.server_address[:2]
            shown = f"[{host!s}]" if ":" in str(host) else str(host)
            print(f"witness {folder.name} listens on http://{shown}:{port}", flush=True)
            server.serve_forever(poll_interval=0.1)
    return 0


def _existing(path: str) -> WitnessFolder:
    if not (Path(path) / "name").exists():
        raise NotFoundError(
            f"no witness in {path}; `provgraph witness key {path} --name …` makes one"
        )
    return open_folder(Path(path), clock=utc_now, passphrase=_passphrase())


def _passphrase() -> bytes | None:
    text = os.environ.get(PASSPHRASE_VARIABLE)
    return text.encode() if text else None


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Refuse to serve a folder that another process serves: one of the two is there by mistake."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another process serves the witness {folder} already") from None
        except OSError as error:
            raise StorageError(f"cannot lock {folder}: {error.strerror or error}") from error
        yield
    finally:
        os.close(descriptor)


def _log_keys(text: str) -> tuple[NoteKey, ...]:
    """Read a verifier key, or all log keys of the charter in a file."""
    path = Path(text)
    try:
        if not path.is_file():
            return (parse_vkey(text),)
        with path.open("rb") as file:
            return open_charter(file.read(MAX_NOTE_BYTES)).log_keys
    except FormatError as error:
        raise UsageError(f"{text[:80]}: {error}; give a charter's file or a verifier key") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
