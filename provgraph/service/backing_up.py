"""Backing a home up to several places at once, each for itself: one that fails holds up no other.

What was backed up where is remembered in `<home>/backups.json`, so that a place that is found empty later is
noticed: a disk that is not mounted looks like one that has nothing on it.

What it does not do: back up journals of runs that are going, or anything that is made from the ledger.
"""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provgraph.access.trail import read_head
from provgraph.backup import homes
from provgraph.backup.places import Place
from provgraph.backup.segments import (
    LEDGER,
    LedgerSource,
    Source,
    TrailSource,
    erased_positions,
)
from provgraph.backup.writing import (
    Content,
    ErasedMeanwhileError,
    Order,
    Written,
    write_backup,
)
from provgraph.errors import ProvgraphError, StorageError, UsageError
from provgraph.seal.charter import open_charter
from provgraph.seal.note import NoteSigner, unverified_checkpoint
from provgraph.seal.publish import replace_durably
from provgraph.service.home import cosigned_checkpoint, log_signer, readable_ledger, utc_now
from provgraph.settings import Settings
from provgraph.terms import format_time

PASSPHRASE_VARIABLE: Final = "PROVGRAPH_BACKUP_PASSPHRASE"  # noqa: S105 - the variable's name
DEFAULT_KEEP: Final = 30

_MEMORY: Final = "backups.json"
_MAX_ROUNDS: Final = 20
_memory_lock: Final = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a backup."""

    passphrase: bytes | None = None
    with_keys: bool = False
    keep: int = DEFAULT_KEEP
    checks: bool = False
    anew: bool = False  # a place that held backups once may be empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the backup to one place."""

    address: str
    written: Written | None = None
    problem: str | None = None


def back_up(settings: Settings, places: Sequence[Place], request: Request) -> list[Outcome]:
    """Back a home up to each place; problems of a place are in its outcome.

    Raises:
        UsageError: keys are to go with it and there is no passphrase.
        RolledBackError: the ledger is not the one that a witness has seen; nothing is signed.
        StorageError: the home cannot be read.
        LedgerError: the ledger is damaged.
    """
    if request.with_keys and request.passphrase is None:
        raise UsageError(
            "--with-keys needs --encrypt: whoever has the private keys can write another history"
        )
    # Before the threads: a key that has to be unlocked, or a ledger that is not to be signed, is one
    # problem and not one of each place.
    log_signer(settings)
    with _ledger_content(settings, request):
        pass
    with ThreadPoolExecutor(max_workers=max(1, len(places))) as threads:
        return list(threads.map(functools.partial(_to_place, settings, request), places))


def remembered(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what was backed up where: by address, `size` and `at`, as far as this home knows."""
    try:
        found = json.loads((settings.home / _MEMORY).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _to_place(settings: Settings, request: Request, place: Place) -> Outcome:
    try:
        for _ in range(_MAX_ROUNDS):
            try:
                written = _once(settings, request, place)
            except ErasedMeanwhileError:
                continue
            _remember(settings, place.address, written)
            return Outcome(address=place.address, written=written)
        problem = f"{place.address}: records are being erased without a pause; repeat later"
    except ProvgraphError as error:
        problem = str(error)
    return Outcome(address=place.address, problem=problem)


def _once(settings: Settings, request: Request, place: Place) -> Written:
    with _ledger_content(settings, request) as (content, erased_now):
        order = Order(
            signer=NoteSigner(name=content.tree.origin, signer=log_signer(settings)),
            passphrase=request.passphrase,
            keep=request.keep,
            checks=request.checks,
            is_known=place.address in remembered(settings) and not request.anew,
            at=utc_now(),
        )
        return write_backup(place, content, order, erased_now=erased_now)


@contextlib.contextmanager
def _ledger_content(
    settings: Settings, request: Request
) -> Iterator[tuple[Content, Callable[[], Mapping[int, int]]]]:
    """Lend what is to be backed up: the ledger as of a checkpoint that leaves it now.

    Entries below the checkpoint never change, whatever is appended meanwhile, except by an erasure; so the
    checkpoint is one that has the tombstones of all that is erased.
    """
    with readable_ledger(settings) as ledger:
        for _ in range(_MAX_ROUNDS):
            note = cosigned_checkpoint(settings)
            tree = unverified_checkpoint(note)
            erased_now = functools.partial(erased_positions, ledger, size=tree.size)
            erased = erased_now()
            if all(tombstone < tree.size for tombstone in erased.values()):
                break
        else:
            raise StorageError("records are being erased without a pause; back up later")
        trail_path = settings.home / "trail.db"
        files, trail, trail_size = {}, "none", 0
        if trail_path.exists():
            head = read_head(trail_path)
            files = {homes.TRAIL_CHARTER: head.charter, homes.TRAIL_CHECKPOINT: head.checkpoint}
            trail, trail_size = open_charter(head.charter).origin, head.size
        content = Content(
            charter=ledger.charter,
            checkpoint=note,
            tree=tree,
            root_at=ledger.root,
            erased=erased,
            files=homes.gather(settings.home, with_keys=request.with_keys, trail=files),
            trail=trail,
            trail_size=trail_size,
            sources=functools.partial(_source, settings, tree.origin),
        )
        yield content, erased_now


@contextlib.contextmanager
def _source(settings: Settings, origin: str, kind: str, first: int) -> Iterator[Source]:
    if kind == LEDGER:
        with LedgerSource.open(settings.ledger_path, origin=origin, first=first) as source:
            yield source
        return
    path = settings.home / "trail.db"
    with TrailSource.open(path, origin=origin) as trail:
        yield trail


def _remember(settings: Settings, address: str, written: Written) -> None:
    with _memory_lock:
        found = remembered(settings)
        found[address] = {
            "size": written.size,
            "manifest": written.manifest,
            "at": format_time(utc_now()),
        }
        text = json.dumps(found, ensure_ascii=False, indent=1, sort_keys=True)
        replace_durably(Path(settings.home, _MEMORY), f"{text}\n".encode())
