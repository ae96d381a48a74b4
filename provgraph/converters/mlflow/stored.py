"""What an MLflow store holds, in one shape for all ways to read it: SQL, files, REST, the client.

Values stand as the store has them: nobody has checked them yet (`mapping` does), times are milliseconds
since 1970, parameters and tags are text. Surrogate keys of the store (`dataset_uuid`, `input_uuid`) are
left out: a copy of the store has others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Row = tuple[int, int, float]
"""A logged value: step, time in milliseconds, value. Left to `mapping` to check."""


@dataclass(slots=True, kw_only=True)
class StoredDataset:
    """A dataset that a run logged as input."""

    name: str
    digest: str
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class StoredModelMetric:
    """A metric of a logged model, with the dataset that it was computed on."""

    model_id: str
    name: str
    at_ms: int
    step: int
    value: float | None
    dataset_name: str | None = None
    dataset_digest: str | None = None


@dataclass(slots=True, kw_only=True)
class StoredAssessments:
    """What assessors said of the traces of a logged model: one number for each name."""

    name: str
    source_type: str
    count: int
    mean: float
    last_ms: int


@dataclass(slots=True, kw_only=True)
class StoredModel:
    """A logged model, as far as its run's record needs it."""

    model_id: str
    name: str
    model_type: str | None = None
    artifact_location: str | None = None
    source_run: str | None = None
    status: str | None = None
    status_message: str | None = None
    lifecycle: str = "active"
    created_ms: int | None = None
    updated_ms: int | None = None
    experiment_id: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    assessments: list[StoredAssessments] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class StoredRun:
    """A run with all that hangs on it."""

    run_id: str
    name: str | None = None
    experiment_id: str | None = None
    experiment: str | None = None
    user: str | None = None
    status: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    lifecycle: str = "active"
    deleted_ms: int | None = None
    artifact_uri: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[Row]] = field(default_factory=dict)  # by step, time and value
    latest: dict[str, Row] | None = None  # what the store says is the last value, if it does
    inputs: list[StoredDataset] = field(default_factory=list)
    model_inputs: list[str] = field(default_factory=list)
    outputs: list[tuple[str, int]] = field(default_factory=list)  # model and step
    models: list[StoredModel] = field(default_factory=list)  # that name the run as their source
    model_metrics: list[StoredModelMetric] = field(default_factory=list)
    others: dict[str, Any] = field(default_factory=dict)  # columns that say more


@dataclass(slots=True, kw_only=True)
class StoredVersion:
    """A version of a registered model."""

    name: str
    version: str
    workspace: str = "default"
    created_ms: int | None = None
    updated_ms: int | None = None
    description: str | None = None
    user: str | None = None
    stage: str | None = None
    source: str | None = None
    run_id: str | None = None
    model_id: str | None = None
    model_run: str | None = None  # that the logged model names as its source
    status: str | None = None
    status_message: str | None = None
    run_link: str | None = None
    aliases: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class StoredRegistered:
    """A registered model."""

    name: str
    workspace: str = "default"
    created_ms: int | None = None
    updated_ms: int | None = None
    description: str | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class StoredExperiment:
    """An experiment."""

    experiment_id: str
    name: str
    artifact_location: str | None = None
    lifecycle: str = "active"
    created_ms: int | None = None
    updated_ms: int | None = None
    workspace: str = "default"
    tags: dict[str, str] = field(default_factory=dict)


Stored = StoredRun | StoredModel | StoredVersion | StoredRegistered | StoredExperiment


class Store(Protocol):
    """A way to read a store. Each part is read in its own order, and nothing is kept in memory."""

    def read(self, cursor: Mapping[str, Any] | None) -> Iterator[Stored | Fault]:
        """Yield what the store holds, or of it only what can have changed since the cursor."""
        ...

    def cursor(self) -> dict[str, Any] | None:
        """Return where `read` has come to; None where it cannot go on."""
        ...

    def close(self) -> None:
        """Let the store go."""
        ...


@dataclass(slots=True, kw_only=True)
class Fault:
    """A part of the store that could not be read."""

    what: str
    where: str
    reason: str
