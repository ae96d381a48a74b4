"""Looking names up: in the whole ledger, or in what somebody may see of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from provgraph.ledger.rows import StoredName


class Names(Protocol):
    """What names mean. `LedgerReader` has all of them, `ShownNames` some."""

    @property
    def namespace(self) -> str:
        """Whose names records give."""
        ...

    def names(
        self, kind: str, name: str, *, version: str | None = None, last_but: str | None = None
    ) -> list[StoredName]:
        """Return what records called by that name, in the order of the ledger.

        `version` gives that version's rows only; `last_but` only the first row of the newest other version.
        """
        ...


class ShownNames:
    """The names that records give of which somebody may know; others are as if never given."""

    def __init__(self, names: Names, *, is_shown: Callable[[int], bool]) -> None:
        """Take all names, and what says whether the record at an index is shown."""
        self._names = names
        self._is_shown = is_shown

    @property
    def namespace(self) -> str:
        """Whose names records give."""
        return self._names.namespace

    def names(
        self, kind: str, name: str, *, version: str | None = None, last_but: str | None = None
    ) -> list[StoredName]:
        """Return what shown records called by that name, as `Names` says."""
        rows = [
            row
            for row in self._names.names(kind, name, version=version)
            if self._is_shown(row.index)
        ]
        if version is not None or last_but is None:
            return rows
        first: dict[str, StoredName] = {}
        for row in rows:
            if row.version and row.version != last_but:
                first.setdefault(row.version, row)
        newest = max(
            first.values(), key=lambda row: (row.index, row.version, row.iri), default=None
        )
        return [] if newest is None else [newest]
