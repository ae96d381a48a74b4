"""What a scheduler or query engine says of its runs, jobs and datasets: facts of a data flow.

Unlike a run that was captured here, a foreign one names data by where it is, not by what is in it; so
each dataset is a thing that changes, and what a run wrote is a version of it. As in `provgraph.records`:
no I/O, aware UTC times, and an unknown is `Missing(field, reason)`.
"""

from __future__ import annotations

from datetime import datetime

from provgraph.frozen import dataclass, field
from provgraph.records import Agent, Missing, Note, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowName:
    """How a scheduler names a dataset or job: within a namespace."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnOrigin:
    """A column, or all of a dataset (`column` None), comes from another dataset's column."""

    column: str | None
    source: FlowName
    source_column: str | None
    transformations: tuple[str, ...] = ()  # such as `DIRECT/IDENTITY`
    is_masked: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a dataset's schema; those inside of another have its name before theirs."""

    name: str
    type: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDataset:
    """A dataset as the events describe it, and what of that holds of this version alone."""

    name: FlowName
    version: str | None = None  # that the source gives it
    location: str | None = None
    description: str | None = None
    alternates: tuple[FlowName, ...] = ()
    previous: FlowName | None = None  # that it was called before it was renamed
    state: str | None = None  # the last change: CREATE | TRUNCATE | DROP | …
    owners: tuple[Agent, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    rows: int | None = None
    size_bytes: int | None = None
    file_count: int | None = None
    sources: tuple[FlowName, ...] = ()  # that it is stated to be derived from
    origins: tuple[ColumnOrigin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowJob:
    """What runs are runs of."""

    name: FlowName
    kind: str | None = None
    description: str | None = None
    query: str | None = None
    dialect: str | None = None
    repository: str | None = None
    commit: str | None = None
    branch: str | None = None
    path: str | None = None
    owners: tuple[Agent, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRun:
    """A run, as far as events have told."""

    id: str
    status: str | None = None  # completed | failed | abandoned; None while no event tells an end
    state: str | None = None  # the last one that was told, in the source's word
    reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    parent: str | None = None  # run id
    informants: tuple[str, ...] = ()  # ids of runs that it is stated to depend on
    engine: str | None = None
    parameters: dict[str, Scalar] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A run with its job and datasets; or, without a run, what is declared of a job or a dataset."""

    id: str
    system: str  # whose names these are: openlineage
    project: str | None = None
    run: FlowRun | None = None
    job: FlowJob | None = None
    inputs: tuple[FlowDataset, ...] = ()
    outputs: tuple[FlowDataset, ...] = ()
    described: tuple[FlowDataset, ...] = ()  # that nobody is said to have read or written here
    kept: tuple[str, ...] = ()  # names of facets that are in the source bytes only
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()
