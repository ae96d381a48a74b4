"""After an erasure: clearing every file of a home of what is in the ledger no more.

The ledger's transaction is over by then; what is left are copies that nobody needs: the index and its
snapshots, journals and inbox files that processes left when they died, and old pages of the ledger's
own file. Each can be cleared again at any time, so whoever finds the mark of an erasure that was not
carried through does this first.

What nothing here reaches is in `docs/erasure.md`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Collection
from typing import Final

from provgraph.capture import journal
from provgraph.errors import ProvgraphError, StorageError
from provgraph.index.edges import discard_edges, lineage_folder
from provgraph.index.store import SCRATCH_PREFIX, open_index
from provgraph.index.texts import discard_texts, texts_path
from provgraph.ledger.erasing import Mark, scrub, settle
from provgraph.service.home import readable_ledger, temporary_index, writable_ledger
from provgraph.service.visibility import open_visibility
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)


def sweep(settings: Settings, *, ids: Collection[str] = ()) -> list[str]:
    """Clear a home of what was erased; return notes on what others still hold for a moment.

    Args:
        settings: whose home.
        ids: of erased runs, as in the names of their journals; those of all erased records are
            known from the tombstones.

    Raises:
        StorageError: something could not be cleared now; sweeping again is harmless.
    """
    notes: list[str] = []
    problems: list[str] = []
    steps: tuple[Callable[[], object], ...] = (
        lambda: _sweep_ledger(settings),
        lambda: _sweep_journals(settings, ids),
        lambda: _sweep_index(settings),
        lambda: _sweep_scratch(settings),
        lambda: keep_visibility(settings),
        lambda: notes.extend(_sweep_snapshots(settings)),
    )
    for step in steps:
        try:
            step()
        except (ProvgraphError, OSError) as error:
            problems.append(str(error))
    if problems:
        raise StorageError(
            "the content is out of the ledger, and copies of it are not all cleared yet:"
            f" {'; '.join(problems)}. Then run `provgraph erase --resume`"
        )
    return notes


def carry_on(settings: Settings) -> bool:
    """Finish the sweep of an erasure whose process died; return whether there was one.

    Where it cannot be finished now, the next one tries again.
    """
    mark = Mark.left_behind(settings.ledger_path)
    if mark is None:
        return False
    try:
        sweep(settings)
        mark.finish()
    except (ProvgraphError, OSError) as error:
        logger.warning("erasure not finished: %s", error)
    finally:
        mark.close()
    return True


def _sweep_ledger(settings: Settings) -> None:
    with writable_ledger(settings) as ledger:
        settle(ledger)
        scrub(ledger)


def _sweep_journals(settings: Settings, ids: Collection[str]) -> None:
    with writable_ledger(settings) as ledger:
        records = {row.name.rpartition("/")[2] for row in ledger.names_of_kind("tombstone")}
    for path in journal.paths(settings.journal_folder):
        if not any(each in path.name for each in {*ids, *records}):
            continue
        with journal.claim(path) as is_ours:
            if not is_ours:
                raise StorageError(f"{path} is the journal of a process that goes on; end it")
            for part in journal.parts(path):
                part.unlink(missing_ok=True)


def _sweep_index(settings: Settings) -> None:
    # While the home was read-only it was indexed elsewhere.
    for folder in (settings.index_folder, temporary_index(settings)):
        if folder.parent.exists():
            with open_index(folder, wait_s=settings.index_wait_s) as index:
                index.discard()
                discard_edges(lineage_folder(folder))
                discard_texts(texts_path(folder))


def keep_visibility(settings: Settings) -> None:
    """Let what is known of visibility follow the ledger, where somebody may be kept from something.

    Before an erasure, so that it is known whose the record was; after it, so that what the record
    mentioned is forgotten.
    """
    names = ("access.db", "visibility.db")
    if any((settings.home / each).exists() for each in names) and settings.ledger_path.exists():
        with readable_ledger(settings) as ledger, open_visibility(settings) as visibility:
            visibility.follow(ledger)


def _sweep_scratch(settings: Settings) -> None:
    """Remove what a check of the index that was killed has left; one that runs ends with an error."""
    for folder in settings.index_folder.parent.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(folder)


def _sweep_snapshots(settings: Settings) -> list[str]:
    """Remove snapshots whose server is gone; one that runs replaces its own, as the ledger grew."""
    folder = settings.home / "snapshots"
    notes = []
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        descriptor = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(each)
        finally:
            os.close(descriptor)
        if each.exists():
            notes.append(
                "a server that is running still holds a snapshot of the index; it takes a new one"
                " within seconds"
            )
    return notes
