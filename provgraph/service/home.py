"""One home folder: its keys and its ledger, opened once per process.

<home>/ledger.db        the truth
<home>/keys/            producer.pem seals records, steward.pem what decides about the ledger,
                        log.pem signs checkpoints, and log-mldsa.pem those that leave the ledger
<home>/trust/           the trust files that were installed
<home>/witnessed/       what witnesses have seen (provgraph.ledger.witnessed)
<home>/journal/         runs that are going
<home>/index/           disposable; elsewhere where the home is read-only

The ledger stays open between records, since opening costs more than writing. It is used by one
thread at a time, and closed before the process forks: SQLite keeps its locks per process, and a
child that used or closed its parent's connection could damage the file
(https://www.sqlite.org/howtocorrupt.html section 2.6).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from provgraph import disk
from provgraph.capture.journal import fallback_folder, make_private
from provgraph.errors import IndexUnavailableError, StorageError, UsageError
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.entry import LOG, PRODUCER, STEWARD
from provgraph.seal.keys import Signer
from provgraph.seal.mldsa import load_mldsa_signer, load_or_create_mldsa_signer
from provgraph.service.signing import open_signer, passphrase, place, signer_of
from provgraph.service.trusting import trust_in_force
from provgraph.settings import Settings

logger = logging.getLogger(__name__)


class _Open:
    """What this process has open. One of it exists; `lock` guards the rest."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.ledger: Ledger | None = None
        self.identity: tuple[Path, int, int] | None = None  # path, device, inode
        self.recorded: set[str] = set()  # records by content that the ledger is known to hold

    def close(self) -> None:
        if self.ledger is not None:
            self.ledger.close()
        self.ledger, self.identity = None, None
        self.recorded.clear()


_open: Final = _Open()


def utc_now() -> datetime:
    """Return the time by the wall clock."""
    return datetime.now(UTC)


def producer_signer(settings: Settings) -> Signer:
    """Return the key that seals records, made on first use."""
    return signer_of(settings, PRODUCER)


def steward_signer(settings: Settings) -> Signer:
    """Return the key that seals what decides about the ledger itself, made on first use."""
    return signer_of(settings, STEWARD)


def trail_signer(settings: Settings) -> Signer:
    """Return the key that signs the access trail, made on first use."""
    return open_signer(place(str(settings.keys_folder / "trail.pem")), create=True)


def log_signer(settings: Settings) -> Signer:
    """Return the key that signs checkpoints, made on first use."""
    return signer_of(settings, LOG)


def cosigned_checkpoint(settings: Settings) -> bytes:
    """Return the ledger's latest checkpoint as it may leave this home: signed by all its log keys.

    Raises:
        StorageError: the ledger or a key cannot be read or written.
        LedgerError: the ledger is damaged.
        UntrustedError: a key is not the one that the ledger was made with.
    """
    with writable_ledger(settings) as ledger:
        signer = None
        if ledger.charter.mldsa_key is not None:
            signer = load_mldsa_signer(_mldsa_path(settings), passphrase=passphrase())
        return ledger.cosigned_checkpoint(mldsa_signer=signer, clock=utc_now)


@contextlib.contextmanager
def writable_ledger(settings: Settings) -> Iterator[Ledger]:
    """Lend this process's open ledger to one thread, made on first use.

    Raises:
        StorageError: the home cannot be written.
        LedgerError: the file is no ledger, or damaged.
    """
    with _open.lock:
        ledger = _open.ledger
        if ledger is None or _open.identity != _identity(settings.ledger_path):
            _open.close()
            ledger = _open.ledger = _opened(settings)
            _open.identity = _identity(settings.ledger_path)
        yield ledger


def close_ledger() -> None:
    """Close the ledger that this process has open; the next use opens it again."""
    with _open.lock:
        _open.close()


def is_recorded(ledger: Ledger, iri: str) -> bool:
    """Whether the ledger lent by `writable_ledger` holds a record; remembered when it does."""
    if iri not in _open.recorded:
        if ledger.find(iri) is None:
            return False
        _open.recorded.add(iri)
    return True


def own_ledger(settings: Settings) -> Ledger:
    """Open the ledger for writing, made first where there is none; the caller alone uses and closes it.

    Raises:
        StorageError: the home cannot be written.
        LedgerError: the file is no ledger, or damaged.
    """
    return _opened(settings)


def readable_ledger(settings: Settings) -> Ledger:
    """Open the ledger for reading; the caller closes it.

    Raises:
        NotFoundError: nothing has been recorded here yet.
    """
    return Ledger.open(
        settings.ledger_path,
        log_signer=None,
        clock=utc_now,
        read_only=True,
        trust=functools.partial(trust_in_force, settings),
        checkpoint_copies=settings.checkpoint_copies,
    )


def index_folder(settings: Settings) -> Path:
    """Return where the index is: in the home, or where that is read-only, in a temporary folder.

    An auditor may be handed a home that nobody can write any more; the index is disposable.

    Raises:
        IndexUnavailableError: the temporary folder is somebody else's.
    """
    if os.access(settings.home, os.W_OK) or not settings.home.exists():
        return settings.index_folder
    temporary = temporary_index(settings).parent
    try:
        make_private(temporary)
    except OSError as error:
        raise IndexUnavailableError(
            f"{settings.home} is read-only, and the index cannot be in {temporary}:"
            f" {error.strerror or error}; make one of them writable, or set TMPDIR"
        ) from error
    logger.info("home read-only, index elsewhere folder=%s", temporary)
    return temporary_index(settings)


def temporary_index(settings: Settings) -> Path:
    """Return where this user's index of a read-only home is."""
    return fallback_folder(settings.index_folder) / "index"


def _opened(settings: Settings) -> Ledger:
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make the folder {settings.home}: {error.strerror or error};"
            " make it writable, or set PROVGRAPH_HOME"
        ) from error
    signer = log_signer(settings)
    mldsa_signer = None
    if not settings.ledger_path.exists():
        # The charter of a new ledger names it; recording needs it never again.
        try:
            mldsa_signer = load_or_create_mldsa_signer(
                _mldsa_path(settings), passphrase=passphrase()
            )
        except UsageError as error:
            logger.warning("ledger made without an ML-DSA-44 key: %s", error)
        _make_keys_safe(settings)
    return Ledger.open(
        settings.ledger_path,
        log_signer=signer,
        mldsa_signer=mldsa_signer,
        clock=utc_now,
        namespace=settings.namespace or None,
        trust=functools.partial(trust_in_force, settings),
        checkpoint_copies=settings.checkpoint_copies,
    )


def _make_keys_safe(settings: Settings) -> None:
    """Make safe the names of keys that another process made and perhaps died over.

    A ledger that outlived its log key could take in nothing more.
    """
    try:
        disk.sync(settings.keys_folder)
    except OSError as error:
        raise StorageError(
            f"the keys in {settings.keys_folder} could not be made durable:"
            f" {error.strerror or error}; look at the disk, and repeat"
        ) from error


def _identity(path: Path) -> tuple[Path, int, int] | None:
    """Name the file at a path: one put in its place is another ledger."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return path, status.st_dev, status.st_ino


def _mldsa_path(settings: Settings) -> Path:
    return settings.keys_folder / "log-mldsa.pem"


def _before_fork() -> None:
    # No other thread is inside the ledger while this one holds the lock, until the fork is over.
    _open.lock.acquire()
    with contextlib.suppress(Exception):
        _open.close()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_open.lock.release,
    after_in_child=_open.lock.release,
)
