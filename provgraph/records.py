"""What may be recorded: one frozen dataclass per kind of record and per thing inside one.

A record is the unit of sealing: it becomes one named graph (`provgraph.convert.prov`) and one entry
of the ledger. Nothing here touches disk, clock or network. An unknown is a value of its own:
`Missing(field, reason)`; a record without it claims that nothing was missing.

Units: times are aware UTC datetimes, durations seconds, sizes bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from provgraph.data_facts import IntendedUse, LegalBasis
from provgraph.digests import Digest
from provgraph.frozen import dataclass, field

Scalar = str | int | float | bool

RECORD_VERSION: Final = 1
"""Raised when the same facts would convert to other quads; stands in every record's graph."""

# Inputs in these roles measure a result and are not part of it, so no derivation is claimed.
MEASURING_ROLES: Final = frozenset({"test", "holdout", "evaluation", "golden"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A fact that should be here and is not, with the reason in words."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A person, organisation or piece of software."""

    name: str
    kind: str = "person"  # person | organization | software


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A thing that was used or made: data, model, file. Named by its digest where there is one.

    `uri` is the name that the user gave as a URI; `location` is where the bytes were seen. With
    neither digest nor uri the thing exists only inside its record, and `missing` says why.
    """

    kind: str = "file"  # dataset | model | file | feature-set
    digest: Digest | None = None
    uri: str | None = None
    name: str | None = None
    version: str | None = None
    description: str | None = None
    location: str | None = None
    media_type: str | None = None
    size_bytes: int | None = None
    file_count: int | None = None
    rows: int | None = None
    columns: int | None = None
    source: str | None = None
    licence: str | None = None
    collected: str | None = None
    collector: str | None = None
    consent: str | None = None
    vendor: str | None = None
    collection_method: str | None = None
    use_terms: str | None = None
    has_personal_data: bool | None = None
    legal_bases: tuple[LegalBasis, ...] = ()
    intended_use: IntendedUse | None = None
    profile: Digest | None = None  # of the attachment with its columns (`provgraph.profiles`)
    weak_digest: Digest | None = None  # that does not name the content (`Digest.is_weak`)
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """An activity used an entity, in a role, at a time."""

    entity: Entity
    role: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """An activity made an entity. `derived_from` None means: from the activity's inputs."""

    entity: Entity
    role: str | None = None
    at: datetime | None = None
    derived_from: tuple[Entity, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Rows left out on purpose, with the reason."""

    condition: str
    reason: str | None = None
    rows_removed: int | None = None
    by: Agent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A version of what a column that models see means. Without a definition: a use of it."""

    name: str
    version: str | None = None
    definition: str | None = None
    reason: str | None = None  # why it was chosen
    by: Agent | None = None
    columns: tuple[str, ...] = ()  # that it is made of
    source: Entity | None = None  # where those stand
    made: Entity | None = None  # the table or feature set in which it stands


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """How the labels of a dataset came about. None means that nobody said."""

    data: Entity | None
    by: tuple[Agent, ...] = ()
    guideline: str | None = None
    guideline_version: str | None = None
    agreement: float | None = None
    agreement_method: str | None = None  # such as Cohen's kappa
    count: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """One measured quality of a dataset snapshot."""

    data: Entity | None
    metric: str
    value: float
    column: str | None = None
    n: int | None = None
    threshold: str | None = None
    threshold_met: bool | None = None
    implementation: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Free text by a person or the pipeline."""

    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric over steps: its summary, and the digest of the attachment with all points."""

    name: str
    first: float
    last: float
    minimum: float
    maximum: float
    count: int
    attachment: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One measured quality of a model on data, with what is needed to judge it."""

    model: Entity | None
    data: Entity | None
    metric: str
    value: float
    interval: tuple[float, float] | None = None
    interval_level: float | None = None
    interval_method: str | None = None
    n: int | None = None
    slice: str | None = None
    threshold: str | None = None  # "<comparison> <number>", such as ">= 0.9"
    threshold_met: bool | None = None
    implementation: str | None = None
    test: str | None = None
    at: datetime | None = None
    role: str | None = None  # of the data: train | validation | test
    standard: dict[str, float] = field(default_factory=dict)  # metrics that need no protocol
    outcomes: Digest | None = None  # of the attachment that counts (true, predicted) classes
    predictions: Digest | None = None  # profile of true and predicted values


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenPredictions:
    """What a model said of the rows of a named, fixed set: a probe of the model itself."""

    name: str
    model: Entity | None = None
    n: int
    kept: int  # of them in the attachment, those with the smallest hashes of their ids
    attachment: Digest
    profile: Digest | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A preparation or feature step inside a run, or inside another step."""

    number: int  # unique in its run, from 1, in order of start
    parent: int | None  # number of the step around it
    name: str
    parameters: dict[str, Scalar] = field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: float | None = None
    status: str = "completed"
    reason: str | None = None
    used: tuple[Usage, ...] = ()
    generated: tuple[Generation, ...] = ()
    rows_in: int | None = None
    rows_out: int | None = None
    filters: tuple[Filter, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    features: tuple[Feature, ...] = ()
    labellings: tuple[Labelling, ...] = ()
    qualities: tuple[Quality, ...] = ()
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An installed distribution. `origin` is `index`, `editable`, `vcs`, `file` or `patched`."""

    name: str
    version: str
    origin: str = "index"
    origin_url: str | None = None  # VCS URL with commit, or local path; credentials removed


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A GPU or other accelerator."""

    name: str
    memory_bytes: int | None = None
    uuid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What stays the same from run to run on one machine: named by the digest of its content."""

    python: str
    implementation: str
    operating_system: str
    kernel: str
    architecture: str
    cpu: str | None = None
    cpu_count: int | None = None
    memory_bytes: int | None = None
    accelerators: tuple[Accelerator, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    container_image: str | None = None
    packages: tuple[Package, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCode:
    """The state of a git work tree: named by commit, diff and untracked list together."""

    repository: str | None = None  # remote URL, credentials removed
    commit: str | None = None
    branch: str | None = None
    is_dirty: bool | None = None
    diff_digest: Digest | None = None
    untracked_digest: Digest | None = None  # folder-v1 style over the untracked, unignored files
    untracked_count: int | None = None
    missing: tuple[Missing, ...] = ()

    @property
    def is_identified(self) -> bool:
        """Whether this names one state: without a commit, different states would share a name."""
        return self.commit is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """How this process was started, and where: what differs from run to run."""

    command: tuple[str, ...] = ()  # argv, secrets redacted
    entry_script: str | None = None
    entry_script_digest: Digest | None = None
    working_folder: str | None = None
    host: str | None = None
    user: str | None = None
    process: int | None = None
    variables: dict[str, str] = field(default_factory=dict)  # allow-listed, redacted
    seeds: dict[str, str] = field(default_factory=dict)  # generator -> seed or state digest
    ci_system: str | None = None
    ci_job: str | None = None  # URL or id
    ci_actor: str | None = None
    cluster: dict[str, str] = field(default_factory=dict)  # scheduler facts by name
    rank: int | None = None
    world_size: int | None = None
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run: what one process did between entering and leaving the `with` block."""

    id: str
    name: str
    project: str | None = None
    experiment: str | None = None
    owner: Agent | None = None
    plan: str | None = None
    status: str  # completed | failed | abandoned
    reason: str | None = None
    started_at: datetime
    ended_at: datetime | None = None
    duration_s: float | None = None
    exit_code: int | None = None
    parent: str | None = None  # run id
    resumes: str | None = None  # id of the run that this one goes on from
    rank: int | None = None
    world_size: int | None = None
    invocation: Invocation = field(default_factory=Invocation)
    environment: Environment | None = None
    source_code: SourceCode | None = None
    parameters: dict[str, Scalar] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    series: tuple[Series, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    used: tuple[Usage, ...] = ()
    generated: tuple[Generation, ...] = ()
    steps: tuple[Step, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    golden: tuple[GoldenPredictions, ...] = ()
    code: Digest | None = None  # of the attachment with the AST digests of the project's modules
    features: tuple[Feature, ...] = ()
    labellings: tuple[Labelling, ...] = ()
    qualities: tuple[Quality, ...] = ()
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A model put somewhere to work."""

    id: str
    model: Entity
    stage: str
    target: str | None = None
    by: Agent | None = None
    at: datetime
    on_approval: str | None = None  # IRI of the approval it rests on
    replaces: str | None = None  # IRI of the deployment that ends with this one
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What monitoring saw of a deployed model in a window of time."""

    id: str
    model: Entity
    deployment: str | None = None  # IRI
    metric: str
    value: float
    n: int | None = None
    interval: tuple[float, float] | None = None
    threshold: str | None = None
    threshold_met: bool | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None
    data: Entity | None = None
    outputs: Entity | None = None  # what the model said of the data
    by: Agent | None = None
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person takes responsibility for a model, with a stated meaning."""

    id: str
    model: Entity
    by: Agent
    meaning: str
    stage: str | None = None
    at: datetime
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction:
    """A statement that an earlier thing or record is not to be relied on; it stays in the ledger."""

    id: str
    target: str  # IRI of the entity, activity or record retracted
    reason: str
    by: Agent | None = None
    at: datetime
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What somebody says of a thing after the runs that made or used it, such as its steward."""

    id: str
    target: str  # IRI of the thing
    said: Entity = field(default_factory=Entity)  # what is said of it; names and bytes do not count
    by: Agent | None = None
    at: datetime
    labellings: tuple[Labelling, ...] = ()  # of it, so without data
    qualities: tuple[Quality, ...] = ()  # of it, so without data
    notes: tuple[Note, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAddition:
    """A key may seal in a role from here on: a decision about the ledger, sealed by its steward."""

    id: str
    key: str  # verification method, did:key:<multikey>#<multikey>
    role: str  # producer | steward | log | access-trail | witness
    owner: Agent | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    replaces: str | None = None  # verification method of the key that it takes over from
    by: Agent | None = None
    reason: str | None = None
    at: datetime
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevocation:
    """What a key seals from here on does not count: a decision about the ledger."""

    id: str
    key: str  # verification method
    revocation_reason: str  # superseded | compromised | retired
    counts_before: int | None = None  # ledger index from which its seals do not count either
    by: Agent | None = None
    reason: str | None = None  # why, in words
    at: datetime
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What is left of a record whose content was erased: which, by whom, why, and its shape.

    Edges are (subject, predicate, object) and types (thing, class), all of them IRIs.
    """

    id: str
    record: str  # IRI of the erased record
    entry_index: int
    leaf_hash: str  # sha256:<hex>
    graph_digest: str  # sha256:<hex>
    by: Agent
    reason: str
    ground: str | None = None
    at: datetime
    attachments: tuple[Digest, ...] = ()  # erased with it
    edges: tuple[tuple[str, str, str], ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFinding:
    """What was found at the place where bytes were recorded, when it was not those bytes."""

    artifact: Digest  # as recorded
    location: str  # IRI
    state: str  # changed | gone | unreadable
    found: Digest | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The recorded files were hashed again at their places, against one size of the ledger."""

    id: str
    ledger_size: int
    root_hash: str  # sha256:<hex>
    counts: dict[str, int]  # state -> how many of the recorded places
    findings: tuple[ArtifactFinding, ...] = ()
    details: Digest | None = None  # an attachment with all of them
    software: Agent
    at: datetime
    ended_at: datetime
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphImport:
    """A foreign graph came in and was kept as a graph of its own, beside the bytes it came in."""

    id: str
    graph: str  # IRI of the graph that it became
    source: Digest  # of the bytes, kept as an attachment
    media_type: str
    size_bytes: int
    by: Agent
    at: datetime
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """From here on a witness is asked to cosign the ledger's checkpoints, or is no more."""

    id: str
    witness: str  # its name in signature lines
    address: str | None = None
    verifier_keys: tuple[str, ...] = ()  # as C2SP tools take them
    status: str  # named | retired
    reason: str | None = None
    by: Agent | None = None
    at: datetime
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An answer as it was given, by digests: asking again shows whether it holds. No rows are in it."""

    id: str
    question: str  # Q19
    title: str
    question_digest: Digest  # of its text, an attachment
    asked_with: dict[str, tuple[str, ...]]  # parameter -> terms in N-Triples syntax
    ledger_size: int
    root_hash: str  # sha256:<hex>
    columns: tuple[str, ...]
    rows: int
    result: Digest  # of columns and rows, canonical
    row_digests: Digest  # of an attachment
    rests_on: tuple[str, ...]  # IRIs of records
    rests_on_meaning: str  # sufficient | related
    engine: str
    by: Agent  # who asked
    at: datetime
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message in another vocabulary, kept as it came; what it means is for a converter to say."""

    id: str
    form: str  # openlineage
    content: Digest  # of its bytes, which are an attachment
    sender: Agent  # who delivered it, as far as that was verified
    producer: str  # the software that wrote it, as it calls itself
    event_type: str | None = None
    event_time: str  # as it was written: a time zone may lack
    schema_url: str | None = None
    run: str | None = None  # names in the sender's world
    namespace: str
    name: str | None = None  # of a job, or of a dataset
    is_of_dataset: bool = False
    missing: tuple[Missing, ...] = ()


KeyDecision = KeyAddition | KeyRevocation
