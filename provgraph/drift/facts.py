"""What is known of one end of a comparison: slots with digests and profiles, activities, measures.

A slot is a place in a pipeline with a stable path (`prepare/scale:used.train`), whatever fills it in
one run. Ends are made from records by `provgraph.drift.reading`, and by anyone who has such facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from provgraph.frozen import dataclass, field
from provgraph.profiles.profile import TableProfile
from provgraph.records import Scalar

CATEGORIES: Final = (
    "data source",
    "data quality",
    "covariate shift",
    "label shift",
    "preprocessing",
    "feature definition",
    "hyperparameters",
    "model architecture",
    "code",
    "environment",
    "evaluation protocol",
    "randomness",
)
DATA_CATEGORIES: Final = CATEGORIES[:4]
UNRECORDED: Final = "unrecorded"

TRAIN, EVALUATED = "train", "evaluated"
"""Sides: what a model was fitted to, and what it is measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in a pipeline and what filled it at one end.

    `kind` is `data` (an input, or made by an activity: `made_by`), `settings`, `code`, `environment`,
    `seed`, `evaluation` or `model`. `digest` None: what filled it was not pinned. `category` is the
    category that a change of it speaks for; data speaks for four, so it has none.
    """

    path: str
    kind: str
    category: str | None = None
    digest: str | None = None
    iri: str | None = None
    label: str | None = None
    side: str | None = None  # of data: train | evaluated
    made_by: str | None = None  # path of an activity; None: it came from outside
    of: str | None = None  # the activity that settings or code belong to
    source: str | None = None  # where data came from, as recorded
    values: Mapping[str, Scalar] = field(default_factory=dict)
    profile: TableProfile | None = None
    records: tuple[str, ...] = ()  # IRIs of the records that say so


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A run or a step: what it used and made, as paths of slots; `depth` from the inputs, 0 first."""

    path: str
    used: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One metric with its protocol. `standard_error` None: it was not recorded."""

    metric: str
    value: float
    n: int | None = None
    standard_error: float | None = None
    protocol: str = ""  # implementation, threshold and slice, as text
    side: str = EVALUATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Predictions on the rows of a golden set: classes, or numbers."""

    name: str
    predictions: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end: a run with everything behind it, or a window of a deployed model."""

    name: str
    iri: str
    at: datetime | None = None
    slots: Mapping[str, Slot] = field(default_factory=dict)
    activities: Mapping[str, Activity] = field(default_factory=dict)
    measure: Measure | None = None  # the one in question
    measures: tuple[Measure, ...] = ()
    probe: Probe | None = None
    missing: tuple[str, ...] = ()
    is_observation: bool = False

    def measured(self, metric: str, protocol: str, side: str) -> Measure | None:
        """Return the measure under a protocol, None where it was not taken."""
        for each in self.measures:
            if (each.metric, each.protocol, each.side) == (metric, protocol, side):
                return each
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is asked: two ends, and healthy runs before them as the noise model."""

    before: End
    after: End
    history: tuple[End, ...] = ()
