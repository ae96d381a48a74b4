"""OpenLineage events that a server took in, read from this home's ledger for an import.

A server keeps events as they come and acknowledges them; what they mean is worked out afterwards, from the
ledger, so that neither is a crash in between a loss nor an event's content a matter for the server's process.
`provgraph import kept://openlineage` does it, and the server has it done after events came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from provgraph.convert.notices import ABOUT
from provgraph.converters import openlineage
from provgraph.converters.contract import Converter, Reading, Unit
from provgraph.converters.openlineage.events import Event, read_event
from provgraph.converters.sources import Source
from provgraph.digests import Digest
from provgraph.errors import ErasedError, FormatError, LedgerError, NotFoundError
from provgraph.ledger.reading import LedgerReader
from provgraph.service.home import readable_ledger
from provgraph.settings import Settings

ADDRESS: Final = "kept://openlineage"
_SIZE: Final = "size"


def kept_converter(settings: Settings) -> Converter:
    """Return the converter of what this home's server has kept."""

    def read(_: Source, reading: Reading) -> Iterator[Unit]:
        try:
            ledger = readable_ledger(settings)
        except NotFoundError:
            return
        with ledger:
            since = (reading.cursor or {}).get(_SIZE, 0)
            size = ledger.size()
            rows = ledger.names_of_kind(ABOUT, since=since if isinstance(since, int) else 0)
            for subject in dict.fromkeys(row.name for row in rows):
                events = list(_events(ledger, subject, reading))
                unit = openlineage.unit_from(events, reading) if events else None
                if unit is not None:
                    yield unit
            reading.next_cursor = {_SIZE: size}

    return Converter(
        name=openlineage.CONVERTER.name,
        version=openlineage.CONVERTER.version,
        recognises=lambda _: "OpenLineage events that this home keeps",
        read=read,
        can_follow=True,
    )


def has_kept_events(settings: Settings) -> bool:
    """Whether this home keeps any event."""
    try:
        with readable_ledger(settings) as ledger:
            return bool(ledger.names_of_kind(ABOUT))
    except (LedgerError, NotFoundError):
        return False  # whoever opens the ledger to write says what is wrong with it


def _events(ledger: LedgerReader, subject: str, reading: Reading) -> Iterator[Event]:
    for row in ledger.names(ABOUT, subject):
        where = f"entry {row.index}"
        try:
            # The record of a notice is named by the digest of its bytes.
            record = ledger.read(row.index).iri
            data = ledger.attachment(Digest("sha256", record.rpartition("-")[2]))
            yield read_event(data, where=where)
        except (ErasedError, NotFoundError) as error:
            reading.report.kept("event", where=where, reason=str(error))
        except FormatError as error:
            reading.report.refused("event", where=where, reason=str(error))
