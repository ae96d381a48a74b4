"""One home folder: its keys and its ledger, opened once per thread and process.

<home>/ledger.db        the truth
<home>/keys/            producer.pem seals records, log.pem signs checkpoints
<home>/journal/         runs that are going
<home>/index/           disposable
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from provgraph.errors import StorageError
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer, load_or_create_signer
from provgraph.settings import Settings

PASSPHRASE_VARIABLE = "PROVGRAPH_KEY_PASSPHRASE"  # noqa: S105 - the variable's name, not a secret

# SQLite connections belong to the thread and the process that opened them.
_open = threading.local()


def utc_now() -> datetime:
    """Return the time by the wall clock."""
    return datetime.now(UTC)


def producer_signer(settings: Settings) -> Signer:
    """Return the key that seals records, made on first use."""
    return _signer(settings.keys_folder / "producer.pem")


def log_signer(settings: Settings) -> Signer:
    """Return the key that signs checkpoints, made on first use."""
    return _signer(settings.keys_folder / "log.pem")


def writable_ledger(settings: Settings) -> Ledger:
    """Return this thread's open ledger, made on first use.

    Raises:
        StorageError: the home cannot be written.
        LedgerError: the file is no ledger, or damaged.
    """
    key = (os.getpid(), settings.ledger_path)
    if getattr(_open, "key", None) == key and settings.ledger_path.exists():
        ledger: Ledger = _open.ledger
        return ledger
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make the folder {settings.home}: {error.strerror or error};"
            " make it writable, or set PROVGRAPH_HOME"
        ) from error
    ledger = Ledger.open(
        settings.ledger_path,
        log_signer=log_signer(settings),
        clock=utc_now,
        namespace=settings.namespace or None,
    )
    _open.key, _open.ledger = key, ledger
    return ledger


def readable_ledger(settings: Settings) -> Ledger:
    """Open the ledger for reading; the caller closes it.

    Raises:
        NotFoundError: nothing has been recorded here yet.
    """
    return Ledger.open(settings.ledger_path, log_signer=None, clock=utc_now, read_only=True)


def _signer(path: Path) -> Signer:
    key = (os.getpid(), path)
    known: dict[tuple[int, Path], Signer] = _open.__dict__.setdefault("signers", {})
    if key not in known:
        passphrase = os.environ.get(PASSPHRASE_VARIABLE)
        known[key] = load_or_create_signer(
            path, passphrase=passphrase.encode() if passphrase else None
        )
    return known[key]
