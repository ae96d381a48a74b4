"""What an import adds to a record: where it came from, and what the source says against itself.

An import turns what another system recorded into records of ours, one for each unit of the source (a
run, an entry of a registry). Each of them carries an `Origin`. Two kinds of record exist only because
of imports: what a registry says of a thing, and the import itself with its report.

As in `provgraph.records`: no I/O, aware UTC times, and an unknown is `Missing(field, reason)`.
"""

from __future__ import annotations

from datetime import datetime

from provgraph import vocab
from provgraph.digests import Digest, sha256_bytes
from provgraph.frozen import dataclass, field
from provgraph.records import Agent, Entity, Evaluation, Missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two statements of one source about one fact that cannot both be right; neither is preferred."""

    about: str  # IRI
    fact: str
    first: str
    first_place: str  # where in the source it stands
    second: str
    second_place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an imported record came from: the unit of the source, its bytes, and who converted it."""

    converter: str
    converter_version: str
    unit: str  # names the unit in its source for ever, such as `mlflow/run/<id>`
    content: Digest  # of the unit's bytes as they came, an attachment
    media_type: str
    supersedes: str | None = None  # IRI of the record of an earlier state of the unit
    redacted: int = 0  # values that looked like secrets and were taken out of the bytes too
    disagreements: tuple[Disagreement, ...] = ()

    @property
    def state(self) -> str:
        """Name this state of the unit, as read by this version of the converter, by an IRI."""
        text = f"{self.converter}/{self.converter_version} {self.content} {self.unit}"
        return f"{vocab.ID}source-state/{sha256_bytes(text.encode()).value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryEntry:
    """What a registry or catalogue says of a thing at the time of the import."""

    id: str
    what: str  # such as `model version`
    thing: Entity | None = None
    title: str
    status: str | None = None
    stage: str | None = None
    aliases: tuple[str, ...] = ()
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    run: str | None = None  # id of the run that it names as the maker
    evaluations: tuple[Evaluation, ...] = ()
    by: Agent | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSummary:
    """An import that recorded something: what it read, and what became of it, with its report."""

    id: str
    source: str  # as the caller named it, without credentials
    converter: str
    converter_version: str
    counts: dict[str, int]  # outcome -> how many things of the source
    records: int  # that it recorded
    report: Digest  # an attachment
    by: Agent | None = None
    at: datetime
    ended_at: datetime
    missing: tuple[Missing, ...] = ()
