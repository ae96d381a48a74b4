"""Many events of one run, job or dataset become one state, in whatever order they came.

Events are ordered by their times, then by how far they say the run is, then by content; the same event
twice is one. What a later event says of a facet replaces what an earlier one said; a dataset that any event
names as input or output is one. Specification: OpenLineage 2-0-2, "Run cycle", and BaseFacet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from provgraph.converters.contract import canonical_json
from provgraph.converters.openlineage.events import TYPES, Event, name_of
from provgraph.flows import FlowName

_SIDES: Final = {"inputs": "inputFacets", "outputs": "outputFacets"}


@dataclass(slots=True)
class FoldedDataset:
    """What all events say of one dataset on one side of a run."""

    name: FlowName
    facets: dict[str, Any] = field(default_factory=dict)
    own_facets: dict[str, Any] = field(default_factory=dict)  # inputFacets or outputFacets


@dataclass(slots=True)
class Folded:
    """The state of a run, job or dataset after all events about it."""

    events: list[Event]  # in order, each once
    content: bytes  # the events as JSON Lines, the same in whatever order they came
    run_facets: dict[str, Any] = field(default_factory=dict)
    job_facets: dict[str, Any] = field(default_factory=dict)
    dataset_facets: dict[str, Any] = field(default_factory=dict)
    inputs: dict[FlowName, FoldedDataset] = field(default_factory=dict)
    outputs: dict[FlowName, FoldedDataset] = field(default_factory=dict)

    @property
    def last(self) -> Event:
        """The latest event."""
        return self.events[-1]

    @property
    def started(self) -> Event | None:
        """The earliest event that tells a start."""
        return next((each for each in self.events if each.type == "START"), None)

    @property
    def ends(self) -> list[Event]:
        """All events that tell an end; the last one counts."""
        return [each for each in self.events if each.status is not None]

    @property
    def zoneless(self) -> list[datetime]:
        """Times of events that were written without a zone."""
        return [each.time for each in self.events if not each.has_zone]


def fold(events: Iterable[Event]) -> Folded:
    """Fold events about one run, job or dataset."""
    once = {canonical_json(each.value): each for each in events}
    ordered = sorted(once.items(), key=lambda item: (item[1].time, _rank(item[1]), item[0]))
    folded = Folded(
        events=[each for _, each in ordered], content=b"".join(line + b"\n" for line, _ in ordered)
    )
    for event in folded.events:
        value = event.value
        _merge(folded.run_facets, _facets(value.get("run")))
        _merge(folded.job_facets, _facets(value.get("job")))
        _merge(folded.dataset_facets, _facets(value.get("dataset")))
        for side, own in _SIDES.items():
            place = folded.inputs if side == "inputs" else folded.outputs
            for row in value.get(side) or ():
                name = name_of(row, side)
                dataset = place.setdefault(name, FoldedDataset(name))
                _merge(dataset.facets, _facets(row))
                _merge(dataset.own_facets, _facets(row, own))
    return folded


def _rank(event: Event) -> int:
    return TYPES.index(event.type) if event.type in TYPES else len(TYPES)


def _facets(value: Any, name: str = "facets") -> dict[str, Any]:
    facets = value.get(name) if isinstance(value, dict) else None
    return facets if isinstance(facets, dict) else {}


def _merge(into: dict[str, Any], facets: dict[str, Any]) -> None:
    for name, facet in facets.items():
        if isinstance(facet, dict) and facet.get("_deleted") is True:
            into.pop(name, None)
        else:
            into[name] = facet
