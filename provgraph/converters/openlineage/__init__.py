"""OpenLineage 2-0-2, in: files of events, in any order.

A unit is a run with all its events, or what events declare of a job or a dataset without a run. A run
of which no event tells the end waits for a later import, unless unfinished ones are asked for.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from provgraph.converters.contract import Converter, Reading, Unit
from provgraph.converters.openlineage.events import Event, read_event, read_events
from provgraph.converters.openlineage.folding import fold
from provgraph.converters.openlineage.mapping import unit_of
from provgraph.converters.sources import Source
from provgraph.errors import StorageError, UsageError

# What every event has, of a run, a job or a dataset.
_KEYS: Final = (rb'"eventTime"', rb'"(?:job|dataset)"', rb'"namespace"')


def _recognises(source: Source) -> str | None:
    if source.file is None or source.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in {b"{", b"["}:
        return None
    if all(re.search(key, source.head) for key in _KEYS):
        return "OpenLineage events"
    return None


def _read(source: Source, reading: Reading) -> Iterator[Unit]:
    path = source.file
    if path is None:
        raise UsageError(f"{source.text} is no file of OpenLineage events")
    groups: dict[str, list[bytes]] = defaultdict(list)
    places: dict[str, list[str]] = defaultdict(list)
    try:
        with path.open("rb") as file:
            for event, data in read_events(file, name=path.name, report=reading.report):
                groups[event.subject].append(data)
                places[event.subject].append(event.where)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    for subject, lines in groups.items():
        events: list[Event] = [
            read_event(line, where=where)
            for line, where in zip(lines, places.pop(subject), strict=True)
        ]
        unit = unit_from(events, reading)
        if unit is not None:
            yield unit


def unit_from(events: Iterable[Event], reading: Reading) -> Unit | None:
    """Fold the events of one run, job or dataset; None where it is left for a later import."""
    folded = fold(events)
    if folded.last.run is not None and not folded.ends and not reading.takes_unfinished:
        reason = "no event tells its end; --unfinished takes it in as it is"
        reading.report.waiting("run", where=folded.last.where, reason=reason)
        return None
    return unit_of(folded, reading.report, project=reading.project)


CONVERTER: Final = Converter(name="openlineage", version="1", recognises=_recognises, read=_read)
