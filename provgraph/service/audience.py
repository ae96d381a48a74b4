"""Which names a record may draw on: what the ledger says of them goes into the record.

A run of one project is read by people who may not see another. So what a run is told of names (which
version came before, which other bytes have that name) comes from records that all its readers may see:
those that are open, and those of its own project. Where that cannot be found out, it is told nothing.
"""

from __future__ import annotations

import logging
from typing import Final

from provgraph.access.store import AccessStore
from provgraph.access.views import FULL, View
from provgraph.errors import StorageError
from provgraph.ledger.names import Names, ShownNames
from provgraph.ledger.reading import LedgerReader
from provgraph.recordable import Record
from provgraph.records import Run
from provgraph.service.home import utc_now
from provgraph.service.visibility import open_visibility
from provgraph.settings import Settings

logger: Final = logging.getLogger(__name__)


class Audience:
    """The names for one record after the other. One thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: AccessStore | None = None
        self._version: int | None = None
        self._private: frozenset[str] = frozenset()

    def close(self) -> None:
        """Close the file of private projects."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def names(self, ledger: LedgerReader, record: Record, *, view: View = FULL) -> Names:
        """Return the names that a record may draw on when somebody with a view records it."""
        if isinstance(record, Run):
            try:
                private = self._private_projects()
            except StorageError as error:
                logger.warning("names not looked up error=%s", error)
                return ShownNames(ledger, is_shown=lambda _: False)
            view = View(hidden=view.hidden | private, only=view.only)
            if record.project is not None:
                view = view.with_projects(frozenset({record.project}))
        if view.is_full:
            return ledger
        hidden: set[int] | None = None

        def is_shown(index: int) -> bool:
            # Most records give no name that another gave, so this is found out when one does.
            nonlocal hidden
            if hidden is None:
                try:
                    with open_visibility(self._settings) as visibility:
                        hidden = visibility.hidden(view, size=visibility.follow(ledger))
                except StorageError as error:
                    logger.warning("names not looked up error=%s", error)
                    return False
            return index not in hidden

        return ShownNames(ledger, is_shown=is_shown)

    def _private_projects(self) -> frozenset[str]:
        path = self._settings.home / "access.db"
        if self._store is None:
            if not path.exists():
                return frozenset()
            self._store = AccessStore(path, clock=utc_now)
        version = self._store.version
        if version != self._version:
            self._version, self._private = version, self._store.private_projects()
        return self._private
