"""Records to PROV-O: a pure function from a record to the canonical bytes of its named graph.

Specification: W3C PROV-O; terms in `ontology/provgraph.ttl`. No blank nodes, only canonical
literals and absolute IRIs, so that the bytes equal their own RDFC-1.0 form. Qualified usage,
generation and association are written where there is a role or a time to say; the plain relations
are always there, so that a tool that knows only `prov:used` sees every edge.

A derivation is claimed from an activity's inputs to its outputs, because the user put them into
one run or step on purpose; inputs in a measuring role (`test`, `holdout`) are left out, and
`derived_from=` states it exactly.

What repeats from run to run (the environment, the state of the source code) becomes a record of
its own, named by its content, without any time in it: stored once, referred to for ever.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from provgraph import terms, vocab
from provgraph.convert import acts, data, governance, keys
from provgraph.convert.certificates import certificate_sheet
from provgraph.convert.descriptions import description_sheet
from provgraph.convert.drift import event_sheet, verdict_sheet
from provgraph.convert.entities import Context, NameRow, Sheet, is_web_address
from provgraph.convert.evaluations import write_evaluation, write_measurement
from provgraph.convert.flows import flow_sheet
from provgraph.convert.imports import import_sheet, import_summary_sheet
from provgraph.convert.notices import notice_sheet
from provgraph.convert.registry import registry_sheet
from provgraph.convert.tombstone import tombstone_sheet
from provgraph.convert.upkeep import restore_test_sheet
from provgraph.convert.verification import verification_sheet
from provgraph.convert.witnesses import appointment
from provgraph.digests import Digest, sha256_bytes
from provgraph.flows import Flow
from provgraph.frozen import as_dict, dataclass
from provgraph.governance import (
    Assignment,
    DeploymentEnd,
    GateDecision,
    Modification,
    Registration,
    Remediation,
    Response,
    Validation,
    Waiver,
    Withdrawal,
)
from provgraph.imported import ImportSummary, RegistryEntry
from provgraph.loading import import_lock
from provgraph.recordable import Record
from provgraph.records import (
    MEASURING_ROLES,
    RECORD_VERSION,
    Appointment,
    Approval,
    Certificate,
    Deployment,
    Description,
    Environment,
    Generation,
    GoldenPredictions,
    GraphImport,
    Invocation,
    KeyAddition,
    KeyRevocation,
    Notice,
    Observation,
    Package,
    Retraction,
    Run,
    SourceCode,
    Step,
    Tombstone,
    Usage,
    Verification,
)
from provgraph.terms import Term
from provgraph.upkeep import RestoreTest
from provgraph.verdicts import DriftEvent, DriftVerdict
from provgraph.vocab import LABEL, PROV_T, A, C, P

if TYPE_CHECKING:
    from provgraph.profiles.profile import TableProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A record's graph, ready to be sealed."""

    iri: str
    canonical: bytes
    names: tuple[NameRow, ...] = ()


def convert(record: Record, *, record_id: str, context: Context) -> Converted:
    """Write a record as the canonical bytes of its named graph.

    Raises:
        FormatError: the graph is too large, or its order is not the same for every verifier.
    """
    writer = {
        Run: _run,
        Deployment: _deployment,
        Observation: _observation,
        Approval: _approval,
        Retraction: _retraction,
        Description: description_sheet,
        KeyAddition: keys.key_addition,
        KeyRevocation: keys.key_revocation,
        Tombstone: tombstone_sheet,
        Verification: verification_sheet,
        Appointment: appointment,
        GraphImport: import_sheet,
        ImportSummary: import_summary_sheet,
        RegistryEntry: registry_sheet,
        Notice: notice_sheet,
        Flow: flow_sheet,
        Certificate: certificate_sheet,
        DriftVerdict: verdict_sheet,
        DriftEvent: event_sheet,
        RestoreTest: restore_test_sheet,
        Validation: governance.validation,
        GateDecision: governance.gate_decision,
        Waiver: governance.waiver,
        Withdrawal: governance.withdrawal,
        Remediation: governance.remediation,
        Assignment: governance.assignment,
        Registration: governance.registration,
        Modification: governance.modification,
        Response: governance.response,
        DeploymentEnd: governance.deployment_end,
    }[type(record)]
    sheet: Sheet = writer(record, vocab.record_iri(record_id), context)  # type: ignore[operator]
    return _finish(sheet)


def environment_iri(environment: Environment) -> str:
    """Name an environment by its content."""
    return f"{vocab.ID}environment/{_content_hex(environment)}"


def source_code_iri(source: SourceCode) -> str:
    """Name a state of source code by commit, diff and untracked files."""
    return f"{vocab.ID}source/{_content_hex(source)}"


def content_record_iri(content: Environment | SourceCode) -> str:
    """Name the record that describes an environment or a state of source code."""
    kind = "environment" if isinstance(content, Environment) else "source"
    return vocab.record_iri(f"{kind}-{_content_hex(content)}")


def convert_content(content: Environment | SourceCode, *, context: Context) -> Converted:
    """Write an environment or a state of source code as a record named by its content."""
    iri = content_record_iri(content)
    if isinstance(content, Environment):
        return _finish(_environment(content, iri, context))
    return _finish(_source_code(content, iri, context))


def convert_profile(profile: TableProfile, digest: Digest, *, context: Context) -> Converted:
    """Write a column profile as a record named by its content."""
    with import_lock:  # most runs use no table in memory
        from provgraph.convert.profiles import profile_sheet

    return _finish(profile_sheet(profile, digest, context))


def _finish(sheet: Sheet) -> Converted:
    return Converted(
        iri=sheet.graph.name, canonical=sheet.graph.canonical(), names=tuple(sheet.names)
    )


# ---- run -----------------------------------------------------------------------------------------
def _run(run: Run, record_iri: str, context: Context) -> Sheet:
    home = vocab.run_iri(run.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("RunRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Activity"])
    sheet.add(subject, A, C["Run"])
    sheet.text(subject, LABEL, run.name)
    sheet.named("run", run.name, "", subject)
    sheet.text(subject, P["project"], run.project)
    sheet.text(subject, P["experiment"], run.experiment)
    sheet.text(subject, P["status"], run.status)
    sheet.text(subject, P["reason"], run.reason)
    sheet.time(subject, PROV_T["startedAtTime"], run.started_at)
    sheet.time(subject, PROV_T["endedAtTime"], run.ended_at)
    sheet.real(subject, P["durationSeconds"], run.duration_s)
    sheet.number(subject, P["exitCode"], run.exit_code)
    sheet.number(subject, P["rank"], run.rank)
    sheet.number(subject, P["worldSize"], run.world_size)
    for predicate, other in ((P["parentRun"], run.parent), (P["resumes"], run.resumes)):
        if other is not None:
            sheet.add(subject, predicate, terms.iri(vocab.run_iri(other)))
            sheet.add(subject, PROV_T["wasInformedBy"], terms.iri(vocab.run_iri(other)))
    _association(sheet, subject, run)
    _invocation(sheet, subject, run.invocation)
    if run.environment is not None:
        _use_content(sheet, subject, P["environment"], environment_iri(run.environment))
    if run.source_code is not None and run.source_code.is_identified:
        _use_content(sheet, subject, P["sourceCode"], source_code_iri(run.source_code))
    elif run.source_code is not None:
        sheet.missing(subject, run.source_code.missing)
    sheet.named_values(subject, vocab.TAG, run.tags)
    sheet.parameters(subject, run.parameters)
    _metrics(sheet, subject, run.metrics)
    _series(sheet, subject, run)
    steps = {step.number: terms.iri(f"{home}#step-{step.number}") for step in run.steps}
    for step in run.steps:
        _step(sheet, subject, step, steps)
    _data_flow(sheet, subject, run.used, run.generated)
    for evaluation in run.evaluations:
        write_evaluation(sheet, subject, evaluation)
    for golden in run.golden:
        _golden(sheet, subject, golden)
    if run.code is not None:
        sheet.text(subject, P["astDigest"], str(run.code))
        sheet.add(subject, P["attachment"], terms.iri(vocab.content_iri(run.code)))
    _data_facts(sheet, subject, run)
    sheet.notes(subject, run.notes)
    sheet.missing(subject, (*run.missing, *run.invocation.missing))
    return sheet


def _association(sheet: Sheet, subject: Term, run: Run) -> None:
    owner = None if run.owner is None else sheet.agent(run.owner)
    sheet.add(subject, PROV_T["wasAssociatedWith"], owner)
    if run.plan is None:
        return
    if is_web_address(run.plan):
        plan = terms.iri(terms.to_iri(run.plan))
    else:
        plan = sheet.node("plan")
        sheet.text(plan, LABEL, run.plan)
    sheet.add(plan, A, PROV_T["Plan"])
    sheet.add(plan, A, PROV_T["Entity"])
    sheet.add(subject, P["plan"], plan)
    if owner is not None:
        association = sheet.node("association")
        sheet.add(subject, PROV_T["qualifiedAssociation"], association)
        sheet.add(association, A, PROV_T["Association"])
        sheet.add(association, PROV_T["agent"], owner)
        sheet.add(association, PROV_T["hadPlan"], plan)


def _invocation(sheet: Sheet, subject: Term, invocation: Invocation) -> None:
    if invocation.command:
        # A JSON array: the only text form of argv that can be read back without guessing.
        command = json.dumps(list(invocation.command), ensure_ascii=False)
        sheet.text(subject, P["command"], command)
    sheet.text(subject, P["entryScript"], invocation.entry_script)
    if invocation.entry_script_digest is not None:
        sheet.text(subject, P["entryScriptDigest"], str(invocation.entry_script_digest))
    sheet.text(subject, P["workingFolder"], invocation.working_folder)
    sheet.text(subject, P["host"], invocation.host)
    sheet.text(subject, P["user"], invocation.user)
    sheet.number(subject, P["process"], invocation.process)
    sheet.text(subject, P["ciSystem"], invocation.ci_system)
    sheet.text(subject, P["ciJob"], invocation.ci_job)
    sheet.text(subject, P["ciActor"], invocation.ci_actor)
    for predicate, pairs in (
        (P["variable"], invocation.variables),
        (P["cluster"], invocation.cluster),
        (P["seed"], invocation.seeds),
    ):
        for name, value in sorted(pairs.items()):
            sheet.text(subject, predicate, f"{name}={value}")


def _use_content(sheet: Sheet, subject: Term, predicate: Term, iri: str) -> None:
    sheet.add(subject, predicate, terms.iri(iri))
    sheet.add(subject, PROV_T["used"], terms.iri(iri))


def _metrics(sheet: Sheet, subject: Term, metrics: dict[str, float]) -> None:
    if not metrics:
        return
    node = sheet.node("metrics")
    sheet.add(subject, P["metrics"], node)
    sheet.add(node, A, C["MetricSet"])
    sheet.add(node, PROV_T["wasGeneratedBy"], subject)
    sheet.named_values(node, vocab.METRIC, metrics)


def _series(sheet: Sheet, subject: Term, run: Run) -> None:
    for series in run.series:
        node = sheet.node("series")
        sheet.add(subject, P["series"], node)
        sheet.add(node, A, C["MetricSeries"])
        sheet.add(node, PROV_T["wasGeneratedBy"], subject)
        sheet.text(node, P["metricName"], series.name)
        for predicate, value in (
            ("first", series.first),
            ("last", series.last),
            ("minimum", series.minimum),
            ("maximum", series.maximum),
        ):
            sheet.add(node, P[predicate], terms.real(value))
        sheet.number(node, P["count"], series.count)
        sheet.add(node, P["attachment"], terms.iri(vocab.content_iri(series.attachment)))


def _step(sheet: Sheet, run: Term, step: Step, steps: dict[int, Term]) -> None:
    subject = steps[step.number]
    around = run if step.parent is None else steps[step.parent]
    sheet.add(subject, A, PROV_T["Activity"])
    sheet.add(subject, A, C["Step"])
    sheet.text(subject, LABEL, step.name)
    sheet.add(subject, P["partOfRun"], run)
    sheet.add(around, P["step"], subject)
    sheet.number(subject, P["position"], step.number)
    sheet.time(subject, PROV_T["startedAtTime"], step.started_at)
    sheet.time(subject, PROV_T["endedAtTime"], step.ended_at)
    sheet.real(subject, P["durationSeconds"], step.duration_s)
    if step.status != "completed":
        sheet.text(subject, P["status"], step.status)
    sheet.text(subject, P["reason"], step.reason)
    sheet.number(subject, P["rowsIn"], step.rows_in)
    sheet.number(subject, P["rowsOut"], step.rows_out)
    sheet.parameters(subject, step.parameters)
    _metrics(sheet, subject, step.metrics)
    for removed in step.filters:
        node = sheet.node("filter")
        sheet.add(subject, P["filter"], node)
        sheet.add(node, A, C["Filter"])
        sheet.text(node, P["condition"], removed.condition)
        sheet.text(node, P["reason"], removed.reason)
        sheet.number(node, P["rowsRemoved"], removed.rows_removed)
        if removed.by is not None:
            sheet.add(node, PROV_T["wasAttributedTo"], sheet.agent(removed.by))
    _data_flow(sheet, subject, step.used, step.generated)
    _data_facts(sheet, subject, step)
    sheet.notes(subject, step.notes)
    sheet.missing(subject, step.missing)


def _data_flow(
    sheet: Sheet, activity: Term, used: Sequence[Usage], generated: Sequence[Generation]
) -> None:
    """Write what an activity used and made, and the derivations that follow from it."""
    inputs: list[Term] = []
    for usage in used:
        entity = sheet.entity(usage.entity)
        sheet.add(activity, PROV_T["used"], entity)
        if usage.role not in MEASURING_ROLES:
            inputs.append(entity)
        if usage.role is not None or usage.at is not None:
            node = sheet.node("usage")
            sheet.add(activity, PROV_T["qualifiedUsage"], node)
            sheet.add(node, A, PROV_T["Usage"])
            sheet.add(node, PROV_T["entity"], entity)
            sheet.add(node, PROV_T["hadRole"], sheet.role(usage.role))
            sheet.time(node, PROV_T["atTime"], usage.at)
    for generation in generated:
        entity = sheet.entity(generation.entity)
        sheet.add(entity, PROV_T["wasGeneratedBy"], activity)
        if generation.role is not None or generation.at is not None:
            node = sheet.node("generation")
            sheet.add(entity, PROV_T["qualifiedGeneration"], node)
            sheet.add(node, A, PROV_T["Generation"])
            sheet.add(node, PROV_T["activity"], activity)
            sheet.add(node, PROV_T["hadRole"], sheet.role(generation.role))
            sheet.time(node, PROV_T["atTime"], generation.at)
        sources: Iterable[Term] = inputs
        if generation.derived_from is not None:
            sources = [sheet.entity(source) for source in generation.derived_from]
        for source in sources:
            if source != entity:
                sheet.add(entity, PROV_T["wasDerivedFrom"], source)


def _data_facts(sheet: Sheet, activity: Term, said: Run | Step) -> None:
    data.write_features(sheet, activity, said.features)
    data.write_labellings(sheet, said.labellings, of=None)
    data.write_qualities(sheet, activity, said.qualities, of=None)


def _golden(sheet: Sheet, run: Term, golden: GoldenPredictions) -> None:
    node = sheet.node("golden")
    sheet.add(run, P["golden"], node)
    sheet.add(node, A, PROV_T["Entity"])
    sheet.add(node, A, C["GoldenPredictions"])
    sheet.add(node, PROV_T["wasGeneratedBy"], run)
    sheet.text(node, P["goldenSet"], golden.name)
    sheet.number(node, P["sampleSize"], golden.n)
    if golden.model is not None:
        model = sheet.entity(golden.model)
        sheet.add(node, P["model"], model)
        sheet.add(node, PROV_T["wasDerivedFrom"], model)
    sheet.add(node, P["attachment"], terms.iri(vocab.content_iri(golden.attachment)))
    if golden.profile is not None:
        sheet.add(node, P["columnProfile"], terms.iri(vocab.profile_iri(golden.profile)))
    sheet.time(node, PROV_T["generatedAtTime"], golden.at)


# ---- later facts ---------------------------------------------------------------------------------
def _later(
    kind: str, record: Deployment | Approval | Retraction, record_iri: str, context: Context
) -> tuple[Sheet, Term]:
    # A deployment lasts: it has a start and no end until another record gives it one.
    sheet, subject = acts.begin(
        kind,
        record_iri=record_iri,
        context=context,
        record_id=record.id,
        by=record.by,
        at=record.at,
        is_lasting=isinstance(record, Deployment),
    )
    sheet.missing(subject, record.missing)
    return sheet, subject


def _deployment(record: Deployment, record_iri: str, context: Context) -> Sheet:
    sheet, subject = _later("deployment", record, record_iri, context)
    model = sheet.entity(record.model)
    sheet.add(subject, PROV_T["used"], model)
    sheet.add(subject, P["model"], model)
    sheet.text(subject, P["stage"], record.stage)
    sheet.text(subject, P["target"], record.target)
    for predicate, iri in ((P["onApproval"], record.on_approval), (P["replaces"], record.replaces)):
        if iri is not None:
            sheet.add(subject, predicate, terms.iri(iri))
            sheet.add(subject, PROV_T["wasInformedBy"], terms.iri(iri))
    sheet.notes(subject, record.notes)
    return sheet


def _approval(record: Approval, record_iri: str, context: Context) -> Sheet:
    sheet, subject = _later("approval", record, record_iri, context)
    model = sheet.entity(record.model)
    sheet.add(subject, PROV_T["used"], model)
    sheet.add(subject, P["model"], model)
    sheet.text(subject, P["meaning"], record.meaning)
    sheet.text(subject, P["stage"], record.stage)
    sheet.notes(subject, record.notes)
    return sheet


def _retraction(record: Retraction, record_iri: str, context: Context) -> Sheet:
    sheet, subject = _later("retraction", record, record_iri, context)
    target = terms.iri(record.target)
    sheet.add(subject, P["retracts"], target)
    sheet.text(subject, P["reason"], record.reason)
    # Only entities can be invalidated in PROV; runs and records are retracted by our own term.
    if record.target.startswith(f"{vocab.ID}content/"):
        sheet.add(target, PROV_T["wasInvalidatedBy"], subject)
    return sheet


def _observation(record: Observation, record_iri: str, context: Context) -> Sheet:
    home = vocab.activity_iri("observation", record.id)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.head("ObservationRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Entity"])
    sheet.add(subject, A, C["Observation"])
    sheet.time(subject, PROV_T["generatedAtTime"], record.at)
    if record.by is not None:
        sheet.add(subject, PROV_T["wasAttributedTo"], sheet.agent(record.by))
    model = sheet.entity(record.model)
    sheet.add(subject, P["model"], model)
    sheet.add(subject, PROV_T["wasDerivedFrom"], model)
    if record.data is not None:
        data = sheet.entity(record.data)
        sheet.add(subject, P["data"], data)
        sheet.add(subject, PROV_T["wasDerivedFrom"], data)
    if record.outputs is not None:
        outputs = sheet.entity(record.outputs)
        sheet.add(subject, P["outputs"], outputs)
        sheet.add(subject, PROV_T["wasDerivedFrom"], outputs)
    if record.deployment is not None:
        sheet.add(subject, P["deployment"], terms.iri(record.deployment))
    write_measurement(sheet, subject, record)
    sheet.time(subject, P["windowStart"], record.window_start)
    sheet.time(subject, P["windowEnd"], record.window_end)
    sheet.notes(subject, record.notes)
    sheet.missing(subject, record.missing)
    return sheet


# ---- content that repeats --------------------------------------------------------------------------
# The contents seen last, each with its name. Looked up by identity: hashing hundreds of packages
# takes as long as writing them, and capture hands over the same object for run after run.
_named: deque[tuple[Environment | SourceCode, str]] = deque(maxlen=16)


def _content_hex(content: Environment | SourceCode) -> str:
    for known, value in tuple(_named):
        if known is content:
            return value
    value = _digest_hex(content)
    _named.append((content, value))
    return value


def _digest_hex(content: Environment | SourceCode) -> str:
    """SHA-256 over the facts as sorted JSON, with the record version they are written under."""
    plain = as_dict(content)
    text = json.dumps([RECORD_VERSION, plain], sort_keys=True, default=_plain, ensure_ascii=False)
    return sha256_bytes(text.encode("utf-8", "replace")).value


def _plain(value: object) -> str:
    if isinstance(value, Digest):
        return str(value)
    raise TypeError(type(value).__name__)


def _environment(env: Environment, record_iri: str, context: Context) -> Sheet:
    home = environment_iri(env)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.content_head("EnvironmentRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Entity"])
    sheet.add(subject, A, C["Environment"])
    sheet.text(subject, LABEL, f"{env.implementation} {env.python} on {env.operating_system}")
    sheet.text(subject, P["python"], env.python)
    sheet.text(subject, P["implementationName"], env.implementation)
    sheet.text(subject, P["operatingSystem"], env.operating_system)
    sheet.text(subject, P["kernel"], env.kernel)
    sheet.text(subject, P["architecture"], env.architecture)
    sheet.text(subject, P["cpu"], env.cpu)
    sheet.number(subject, P["cpuCount"], env.cpu_count)
    sheet.number(subject, P["memoryBytes"], env.memory_bytes)
    sheet.text(subject, P["driverVersion"], env.driver_version)
    sheet.text(subject, P["cudaVersion"], env.cuda_version)
    sheet.text(subject, P["containerImage"], env.container_image)
    for accelerator in env.accelerators:
        node = sheet.node("accelerator")
        sheet.add(subject, P["accelerator"], node)
        sheet.add(node, A, C["Accelerator"])
        sheet.text(node, LABEL, accelerator.name)
        sheet.number(node, P["memoryBytes"], accelerator.memory_bytes)
    for package in env.packages:
        sheet.add(subject, P["package"], _package(sheet, package))
    sheet.missing(subject, env.missing)
    return sheet


def _package(sheet: Sheet, package: Package) -> Term:
    """An index release is the same thing everywhere, so its package URL names it.

    What was installed from elsewhere only claims that name, so it is a node of this environment.
    """
    name = package.name.lower().replace("_", "-")
    url = f"pkg:pypi/{terms.segment(name)}@{terms.segment(package.version)}"
    node = terms.iri(url) if package.origin == "index" else sheet.node("package")
    sheet.add(node, A, C["Package"])
    sheet.text(node, LABEL, package.name)
    sheet.text(node, P["version"], package.version)
    if package.origin != "index":
        sheet.text(node, P["packageUrl"], url)
        sheet.text(node, P["origin"], package.origin)
        sheet.text(node, P["originUrl"], package.origin_url)
    return node


def _source_code(source: SourceCode, record_iri: str, context: Context) -> Sheet:
    home = source_code_iri(source)
    sheet = Sheet(record_iri=record_iri, home=home, context=context)
    sheet.content_head("SourceRecord")
    subject = terms.iri(home)
    sheet.add(subject, A, PROV_T["Entity"])
    sheet.add(subject, A, C["SourceCode"])
    sheet.text(subject, P["repository"], source.repository)
    sheet.text(subject, P["commit"], source.commit)
    sheet.text(subject, P["branch"], source.branch)
    if source.is_dirty is not None:
        sheet.add(subject, P["isDirty"], terms.boolean(source.is_dirty))
    for predicate, digest in (
        (P["diffDigest"], source.diff_digest),
        (P["untrackedDigest"], source.untracked_digest),
    ):
        sheet.text(subject, predicate, None if digest is None else str(digest))
    sheet.number(subject, P["untrackedCount"], source.untracked_count)
    sheet.missing(subject, source.missing)
    return sheet
