"""The terms in use: PROV-O, provgraph's own, and the few taken from DCAT, Dublin Core and SPDX.

`ontology/provgraph.ttl` defines every `PG` term beneath PROV-O; a test holds the two equal. IRIs
of things are minted here too, below one fixed base, so that none changes when a ledger moves to a
server or two ledgers are read together. What is content is named by its digest; what is named by
people (models, persons, projects) carries the ledger's namespace, so that two teams' `churn` stay
two things.
"""

from __future__ import annotations

from typing import Final

from provgraph import terms
from provgraph.digests import Digest
from provgraph.terms import Term, segment

ONTOLOGY_VERSION: Final = "1.0"

BASE: Final = "https://w3id.org/provgraph/"
PG: Final = f"{BASE}ns#"
ID: Final = f"{BASE}id/"
LEGAL_BASES: Final = f"{ID}legal-basis/"
ROLE: Final = f"{BASE}role/"
PARAM: Final = f"{BASE}param/"
METRIC: Final = f"{BASE}metric/"
TAG: Final = f"{BASE}tag/"
CONTEXT: Final = f"{BASE}context/v1"

PROV: Final = "http://www.w3.org/ns/prov#"
DCTERMS: Final = "http://purl.org/dc/terms/"
DC: Final = "http://purl.org/dc/elements/1.1/"
DCAT: Final = "http://www.w3.org/ns/dcat#"
DPV: Final = "https://w3id.org/dpv#"
DPV_GDPR: Final = "https://w3id.org/dpv/legal/eu/gdpr#"
RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS: Final = "http://www.w3.org/2000/01/rdf-schema#"
XSD: Final = terms.XSD

# Prefixes that queries, Turtle and the terminal use; one table, so that they cannot drift.
PREFIXES: Final = {
    "pg": PG,
    "prov": PROV,
    "dc": DC,
    "dcterms": DCTERMS,
    "dcat": DCAT,
    "dpv": DPV,
    "rdf": RDF,
    "rdfs": RDFS,
    "xsd": XSD,
    "param": PARAM,
    "metric": METRIC,
    "tag": TAG,
    "role": ROLE,
}

# ---- classes of our own ------------------------------------------------------------------------
CLASSES: Final = (
    # records: one named graph each, a prov:Bundle
    "Record",
    "RunRecord",
    "EnvironmentRecord",
    "SourceRecord",
    "ProfileRecord",
    "DeploymentRecord",
    "ObservationRecord",
    "ApprovalRecord",
    "RetractionRecord",
    "KeyEventRecord",
    "TombstoneRecord",
    "VerificationRecord",
    "AppointmentRecord",
    "ImportRecord",
    "NoticeRecord",
    "FlowRecord",
    # activities
    "Run",
    "Step",
    "Deployment",
    "Approval",
    "Retraction",
    "KeyAddition",
    "KeyRevocation",
    "Tombstone",
    "Verification",
    "Appointment",
    "Import",
    # agents
    "Witness",
    # entities
    "Dataset",
    "Model",
    "File",
    "FeatureSet",
    "Environment",
    "SourceCode",
    "Package",
    "Accelerator",
    "ParameterSet",
    "MetricSet",
    "MetricSeries",
    "Evaluation",
    "Observation",
    "Profile",
    "Column",
    "GoldenPredictions",
    "Filter",
    "Note",
    "Missing",
    "Outcome",
    "Finding",
    "Notice",
    "NoticeSubject",
    "FlowColumn",
    "ColumnOrigin",
    "Version",
    "Named",
    "Key",
    # drift
    "DriftVerdictRecord",
    "DriftVerdict",
    "DriftCandidate",
    "DriftEventRecord",
    "DriftEvent",
    # answers
    "CertificateRecord",
    "Certificate",
    "UpkeepRecord",
    "RestoreTest",
    # governance
    "ValidationRecord",
    "GateDecisionRecord",
    "WaiverRecord",
    "WithdrawalRecord",
    "RemediationRecord",
    "AssignmentRecord",
    "RegistrationRecord",
    "ModificationRecord",
    "ResponseRecord",
    "DeploymentEndRecord",
    "Validation",
    "GateDecision",
    "Judgement",
    "Waiver",
    "Withdrawal",
    "Remediation",
    "Assignment",
    "Responsibility",
    "Registration",
    "Modification",
    "Response",
    "DeploymentEnd",
    # facts about data
    "DescriptionRecord",
    "Description",
    "LegalBasis",
    "IntendedUse",
    "Feature",
    "Labelling",
    "QualityMeasurement",
    # imports
    "RegistryRecord",
    "RegistryEntry",
    "Disagreement",
    "SourceState",
)

# ---- properties of our own -----------------------------------------------------------------------
PROPERTIES: Final = (
    # record
    "recordVersion",
    "ontologyVersion",
    "softwareVersion",
    # any thing
    "digest",
    "sizeBytes",
    "fileCount",
    "rowCount",
    "columnCount",
    "version",
    "missing",
    "field",
    "reason",
    "note",
    "text",
    "attachment",
    # data
    "collected",
    "collector",
    "consent",
    # profiles
    "columnProfile",
    "profiledColumn",
    "dataType",
    "unit",
    "nullCount",
    "distinctCount",
    "mean",
    "earliest",
    "latest",
    "profiledRowCount",
    "labelColumn",
    "outputs",
    "dataRole",
    "standardMetrics",
    "outcomes",
    "golden",
    "goldenSet",
    "astDigest",
    # run
    "project",
    "experiment",
    "status",
    "durationSeconds",
    "exitCode",
    "rank",
    "worldSize",
    "parentRun",
    "resumes",
    "command",
    "entryScript",
    "entryScriptDigest",
    "workingFolder",
    "host",
    "user",
    "process",
    "parameters",
    "metrics",
    "series",
    "environment",
    "sourceCode",
    "plan",
    "seed",
    "variable",
    "ciSystem",
    "ciJob",
    "ciActor",
    "cluster",
    # steps
    "step",
    "partOfRun",
    "position",
    "rowsIn",
    "rowsOut",
    "filter",
    "condition",
    "rowsRemoved",
    # metric series
    "metricName",
    "first",
    "last",
    "minimum",
    "maximum",
    "count",
    # evaluation and observation
    "model",
    "data",
    "value",
    "intervalLow",
    "intervalHigh",
    "intervalLevel",
    "intervalMethod",
    "sampleSize",
    "slice",
    "threshold",
    "thresholdMet",
    "implementation",
    "test",
    "windowStart",
    "windowEnd",
    "deployment",
    # deployment, approval, retraction
    "stage",
    "target",
    "replaces",
    "meaning",
    "onApproval",
    "retracts",
    # keys
    "keyRole",
    "validFrom",
    "validUntil",
    "revocationReason",
    "countsBefore",
    # tombstone
    "erases",
    "erasedBy",
    "erasedAttachment",
    "entryIndex",
    "leafHash",
    "graphDigest",
    "legalGround",
    # verification of recorded files
    "backupPlace",
    "backupManifest",
    "ledgerSize",
    "rootHash",
    "question",
    "questionDigest",
    "askedWith",
    "resultDigest",
    "resultColumns",
    "resultRows",
    "rowDigests",
    "restsOn",
    "restsOnMeaning",
    "engine",
    "driftOutcome",
    "driftBaseline",
    "driftSubject",
    "usualValue",
    "timesNoise",
    "candidate",
    "candidateRank",
    "driftCategory",
    "candidateStatus",
    "factor",
    "confidence",
    "rankerShare",
    "ruleShare",
    "recoveredShare",
    "concerns",
    "replay",
    "observation",
    "outcome",
    "finding",
    "state",
    "artifact",
    "foundDigest",
    # witnesses
    "witness",
    "address",
    "verifierKey",
    # flows
    "flowKind",
    "flowQuery",
    "flowDialect",
    "flowSource",
    "flowPath",
    "flowState",
    "flowColumn",
    "flowColumnType",
    "columnOrigin",
    "toColumn",
    "fromDataset",
    "fromColumn",
    "transformation",
    "isMasked",
    "keptFacet",
    # notices
    "noticeForm",
    "noticeProducer",
    "noticeSubject",
    "eventType",
    "eventTime",
    "schemaUrl",
    "foreignRun",
    "foreignJob",
    "foreignDataset",
    # source code
    "repository",
    "commit",
    "branch",
    "isDirty",
    "diffDigest",
    "untrackedDigest",
    "untrackedCount",
    # environment
    "python",
    "implementationName",
    "operatingSystem",
    "kernel",
    "architecture",
    "cpu",
    "cpuCount",
    "memoryBytes",
    "accelerator",
    "driverVersion",
    "cudaVersion",
    "containerImage",
    "package",
    "packageUrl",
    "origin",
    "originUrl",
    # governance
    "verdict",
    "isIndependent",
    "conditions",
    "report",
    "profile",
    "profileVersion",
    "profileDigest",
    "judgement",
    "requirement",
    "evidence",
    "waiver",
    "expiresAt",
    "withdraws",
    "withdrawn",
    "scope",
    "affects",
    "remedies",
    "underWithdrawal",
    "dueAt",
    "responsibility",
    "establishes",
    "responsible",
    "agentRole",
    "delegatedBy",
    "registers",
    "tier",
    "riskClass",
    "reviewBy",
    "modifies",
    "isSubstantial",
    "isPredetermined",
    "changePlan",
    "judges",
    "validates",
    "respondsTo",
    "action",
    "ends",
    # facts about data
    "describes",
    "collectionMethod",
    "useTerms",
    "hasPersonalData",
    "legalBasis",
    "basis",
    "purpose",
    "givenAt",
    "reference",
    "intendedUse",
    "isCommercial",
    "isDistributed",
    "outOfScope",
    "feature",
    "definition",
    "sourceColumn",
    "guideline",
    "guidelineVersion",
    "agreement",
    "agreementMethod",
    "labelCount",
    "column",
    # imports
    "converter",
    "converterVersion",
    "sourceUnit",
    "sourceState",
    "redactedCount",
    "supersedes",
    "disagreementAbout",
    "firstStatement",
    "secondStatement",
    "entryKind",
    "entryOf",
    "entryCreated",
    "alias",
    "mappedCount",
    "keptCount",
    "refusedCount",
    "waitingCount",
    "unchangedCount",
    "recordedCount",
)


def _own(name: str) -> Term:
    return terms.iri(PG + name)


C: Final = {name: _own(name) for name in CLASSES}
P: Final = {name: _own(name) for name in PROPERTIES}

# ---- terms of others ----------------------------------------------------------------------------
A: Final = terms.iri(f"{RDF}type")
LABEL: Final = terms.iri(f"{RDFS}label")

PROV_TERMS: Final = (
    "Activity",
    "Association",
    "Bundle",
    "Entity",
    "Generation",
    "Organization",
    "Person",
    "Plan",
    "SoftwareAgent",
    "Usage",
    "activity",
    "actedOnBehalfOf",
    "agent",
    "alternateOf",
    "atLocation",
    "atTime",
    "endedAtTime",
    "entity",
    "generatedAtTime",
    "hadPlan",
    "hadRole",
    "qualifiedAssociation",
    "qualifiedGeneration",
    "qualifiedUsage",
    "specializationOf",
    "startedAtTime",
    "used",
    "wasAssociatedWith",
    "wasAttributedTo",
    "wasDerivedFrom",
    "wasGeneratedBy",
    "wasInformedBy",
    "wasInvalidatedBy",
    "wasRevisionOf",
)
PROV_T: Final = {name: terms.iri(PROV + name) for name in PROV_TERMS}
DESCRIPTION: Final = terms.iri(f"{DCTERMS}description")
LICENSE: Final = terms.iri(f"{DCTERMS}license")
SOURCE: Final = terms.iri(f"{DCTERMS}source")
# The Dublin Core terms take resources; where only text is known, the older elements take it.
RIGHTS_TEXT: Final = terms.iri(f"{DC}rights")
SOURCE_TEXT: Final = terms.iri(f"{DC}source")
PUBLISHER: Final = terms.iri(f"{DCTERMS}publisher")
LEGAL_BASIS: Final = terms.iri(f"{DPV}hasLegalBasis")
MEDIA_TYPE: Final = terms.iri(f"{DCAT}mediaType")
MEDIA_TYPES: Final = "https://www.iana.org/assignments/media-types/"


# ---- minting -------------------------------------------------------------------------------------
def content_iri(digest: Digest) -> str:
    """Name bytes by their digest: `…/id/content/sha256/<hex>`."""
    return f"{ID}content/{digest.algorithm}/{digest.value}"


def profile_iri(digest: Digest) -> str:
    """Name a column profile by the digest of its canonical JSON."""
    return f"{ID}profile/{digest.value}"


def record_iri(record_id: str) -> str:
    """Name a record's graph: `…/id/record/<id>`."""
    return f"{ID}record/{segment(record_id)}"


def profile_record_iri(digest: Digest) -> str:
    """Name the record of a column profile."""
    return record_iri(f"profile-{digest.value}")


def run_iri(run_id: str) -> str:
    """Name a run: `…/id/run/<uuid>`."""
    return f"{ID}run/{segment(run_id)}"


def activity_iri(kind: str, activity_id: str) -> str:
    """Name a deployment, approval, observation or retraction: `…/id/<kind>/<uuid>`."""
    return f"{ID}{kind}/{segment(activity_id)}"


def named_iri(kind: str, namespace: str, *names: str) -> str:
    """Name what people name: `…/id/model/<namespace>/churn/3`, `…/id/person/<namespace>/ada`."""
    return f"{ID}{kind}/{segment(namespace)}/{'/'.join(map(segment, names))}"


def role_iri(role: str) -> str:
    """Name the role that an entity plays in an activity: `…/role/train`."""
    return f"{ROLE}{segment(role)}"
