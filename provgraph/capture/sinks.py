"""Where captured runs go. The embedded sink is `provgraph.service.LocalSink`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from provgraph.capture.state import RunState
from provgraph.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The ledger's answer: the record is durable and stands at this position."""

    record: str  # IRI of the record's graph
    position: int  # index of its entry, from 0
    ledger_size: int


class HandedOver(Exception):  # noqa: N818 - no error: the facts are on their way
    """A sink will seal the run from its journal; `begin` is called when the journal is closed.

    `begin` returns the receipt if it comes in a moment, and None otherwise.
    """

    def __init__(self, begin: Callable[[], Receipt | None]) -> None:
        """Take what starts the delivery."""
        super().__init__("handed over")
        self.begin = begin


class Sink(Protocol):
    """Takes runs over for good.

    `seal` returns only after the ledger has committed durably, and raises ProvgraphError otherwise, or
    HandedOver where that takes longer than the caller may wait;
    sealing one run twice is harmless, since its record id stays the same. Sinks are used from one
    thread at a time.
    """

    def journal_folder(self) -> Path:
        """Return the folder for journals; it need not exist yet."""

    def seal(self, state: RunState) -> Receipt:
        """Make a run's record durable."""

    def last_run(self, *, name: str, project: str | None) -> str | None:
        """Return the id of the latest run of that name if it did not complete, else None."""
