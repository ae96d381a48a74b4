"""What people and gates decide about models and data after the run: one function for each fact.

These raise what is wrong, for who sits in front of it (the command line, a server); the public
functions of `import provgraph` are the same ones, guarded (`provgraph.service.guarded`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from provgraph import terms, vocab
from provgraph.capture import things
from provgraph.capture.identifiers import new_id
from provgraph.capture.sinks import Receipt
from provgraph.capture.values import plain_text
from provgraph.errors import CaptureError, NotFoundError, ProvgraphError
from provgraph.governance import (
    GATE_VERDICTS,
    JUDGEMENT_STATES,
    REMEDIATION_STATES,
    RESPONSE_STATUSES,
    VERDICTS,
    WITHDRAWN,
    Assignment,
    DeploymentEnd,
    GateDecision,
    Judgement,
    Modification,
    Registration,
    Remediation,
    Response,
    Validation,
    Waiver,
    Withdrawal,
)
from provgraph.records import Agent, Approval, Deployment, Entity, Missing, Retraction
from provgraph.service.later import (
    activity_iri,
    agent_of,
    model_of,
    notes_of,
    record_later,
    target_of,
    text_of,
    time_of,
    unknown_agent,
)
from provgraph.settings import load

Time = datetime | str


def deploy(
    model: Any,
    *,
    stage: str,
    target: str | None = None,
    by: str | None = None,
    on_approval: str | Receipt | None = None,
    replaces: str | Receipt | None = None,
    at: datetime | str | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record that a model was put to work.

    Args:
        model: `name:version`, name (its latest version), digest, path, or handle.
        stage: such as production, staging, shadow.
        target: where it runs, such as a URL or cluster name.
        by: who did it.
        on_approval: receipt or IRI of the approval that this rests on.
        replaces: receipt or IRI of the deployment that ends with this one.
        at: since when it works; default is now.
        note: a remark.
    """
    now = datetime.now(UTC)
    entity, called = model_of(model)
    deployment = Deployment(
        id=new_id(),
        model=entity,
        stage=plain_text(stage),
        target=text_of(target),
        by=agent_of(by),
        at=now if at is None else time_of(at, "at"),
        on_approval=activity_iri("approval", on_approval),
        replaces=activity_iri("deployment", replaces),
        notes=notes_of(note, now),
        missing=unknown_agent(by),
    )
    return record_later("deploy", deployment, called=called)


def approve(
    model: Any, *, by: str, meaning: str, stage: str | None = None, note: str | None = None
) -> Receipt | None:
    """Record that a person takes responsibility for a model.

    Args:
        model: as for `deploy`.
        by: who approves.
        meaning: what the approval says, such as "fit for production in the EU".
        stage: the stage that it is approved for.
        note: a remark.
    """
    agent = agent_of(by)
    if agent is None or not agent.name.strip():
        raise CaptureError("by: an approval without a person is none; say who approves")
    at = datetime.now(UTC)
    entity, called = model_of(model)
    approval = Approval(
        id=new_id(),
        model=entity,
        by=agent,
        meaning=plain_text(meaning),
        stage=text_of(stage),
        at=at,
        notes=notes_of(note, at),
    )
    return record_later("approve", approval, called=called)


def retract(thing: Any, *, reason: str, by: str | None = None) -> Receipt | None:
    """Record that a thing, run or record is not to be relied on. It stays in the ledger.

    Args:
        thing: name, digest, path, handle, receipt, run, run id or IRI.
        reason: why.
        by: who retracts it.
    """
    target, called = target_of(thing)
    retraction = Retraction(
        id=new_id(),
        target=target,
        reason=plain_text(reason),
        by=agent_of(by),
        at=datetime.now(UTC),
        missing=unknown_agent(by),
    )
    return record_later("retract", retraction, called=called)


def validate(
    model: Any,
    *,
    by: str,
    verdict: str,
    meaning: str,
    independent: bool | None = None,
    conditions: str | None = None,
    report: Any = None,
    valid_until: Time | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record that somebody validated a model.

    Args:
        model: as for `deploy`.
        by: who validated it and signs.
        verdict: passed, conditional or failed.
        meaning: what signing it says, such as "conceptually sound, tested on unseen data".
        independent: whether the validator declares to be independent of the developers.
        conditions: what must hold for the verdict to hold.
        report: the report: path, URI or handle.
        valid_until: when the validation is out of date.
        note: a remark.
    """
    entity, called = model_of(model)
    at = datetime.now(UTC)
    validation = Validation(
        id=new_id(),
        model=entity,
        by=_person(by, "validates"),
        verdict=_word(verdict, VERDICTS, "verdict"),
        meaning=_said(meaning, "meaning: what does signing this validation say?"),
        is_independent=_answer(independent, "independent"),
        conditions=text_of(conditions),
        report=_document(report),
        valid_until=None if valid_until is None else time_of(valid_until, "valid_until"),
        at=at,
        notes=notes_of(note, at),
    )
    return record_later("validate", validation, called=called)


def gate_decision(
    model: Any,
    *,
    profile: str,
    verdict: str,
    stage: str | None = None,
    judgements: Sequence[Mapping[str, Any]] = (),
    profile_version: str | None = None,
    ledger_size: int | None = None,
    by: str | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record what a gate of your own decided about a model.

    Args:
        model: as for `deploy`.
        profile: the set of requirements that it was judged by.
        verdict: passed, waived or failed.
        stage: the stage that it was judged for.
        judgements: one mapping for each requirement: requirement, state (met, waived, failed,
            missing, unknown), and where there is one reason, evidence (IRIs) and waiver (receipt or
            IRI).
        profile_version: version of the profile.
        ledger_size: how many ledger entries were looked at.
        by: the person or job that asked.
        note: a remark.
    """
    entity, called = model_of(model)
    at = datetime.now(UTC)
    decision = GateDecision(
        id=new_id(),
        model=entity,
        profile=plain_text(profile),
        profile_version=text_of(profile_version),
        stage=text_of(stage),
        verdict=_word(verdict, GATE_VERDICTS, "verdict"),
        judgements=tuple(_judgement(each) for each in judgements),
        ledger_size=ledger_size,
        by=agent_of(by),
        at=at,
        notes=notes_of(note, at),
        missing=unknown_agent(by),
    )
    return record_later("gate_decision", decision, called=called)


def waive(
    model: Any,
    requirement: str,
    *,
    by: str,
    reason: str,
    expires: Time,
    profile: str | None = None,
    stage: str | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record that a model may pass although a requirement is not met, until a time.

    Args:
        model: as for `deploy`.
        requirement: its id in the profile.
        by: who waives it and answers for that.
        reason: why.
        expires: when the waiver ends; there is none without an end.
        profile: the profile it is for; default is any.
        stage: the stage it is for; default is any.
        note: a remark.
    """
    at = datetime.now(UTC)
    ends = time_of(expires, "expires")
    if ends <= at:
        raise CaptureError(f"expires: expected a time to come, found {ends:%Y-%m-%d %H:%M}Z")
    entity, called = model_of(model)
    waiver = Waiver(
        id=new_id(),
        model=entity,
        requirement=_said(requirement, "requirement: which one is waived?"),
        profile=text_of(profile),
        stage=text_of(stage),
        reason=_said(reason, "reason: a waiver without a reason is none"),
        by=_person(by, "waives"),
        expires=ends,
        at=at,
        notes=notes_of(note, at),
    )
    return record_later("waive", waiver, called=called)


def withdraw(
    dataset: Any,
    *,
    reason: str,
    by: str | None = None,
    consent: bool = False,
    scope: str | None = None,
    ground: str | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record that a dataset, or the consent behind it, is withdrawn, with what that affects.

    Whatever was made from it is open until `remediate` says what becomes of it.

    Args:
        dataset: name, digest, path, handle or IRI.
        reason: why.
        by: who withdraws it.
        consent: it is the consent that is withdrawn, not the data as such.
        scope: which part, or whose consent; default is all of it.
        ground: the legal ground.
        note: a remark.
    """
    target, called = target_of(dataset)
    at = datetime.now(UTC)
    reached, missing = _affected(called or target)
    withdrawal = Withdrawal(
        id=new_id(),
        target=target,
        what=WITHDRAWN[1] if consent else WITHDRAWN[0],
        scope=text_of(scope),
        reason=_said(reason, "reason: why is it withdrawn?"),
        ground=text_of(ground),
        by=agent_of(by),
        affected=reached,
        at=at,
        notes=notes_of(note, at),
        missing=(*unknown_agent(by), *missing),
    )
    return record_later("withdraw", withdrawal, called=called)


def remediate(
    thing: Any,
    *,
    withdrawal: str | Receipt,
    state: str,
    by: str,
    reason: str,
    due: Time | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record what becomes of a thing that a withdrawal affects. The latest decision counts.

    Args:
        thing: the affected model, dataset or deployment: name, digest, handle or IRI.
        withdrawal: receipt or IRI of the withdrawal.
        state: retrain, retire or justified; none opens it again.
        by: who decides.
        reason: why.
        due: until when it is to be carried out.
        note: a remark.
    """
    target, called = target_of(thing)
    at = datetime.now(UTC)
    remediation = Remediation(
        id=new_id(),
        target=target,
        withdrawal=_reference("withdrawal", withdrawal),
        state=_word(state, REMEDIATION_STATES, "state"),
        reason=_said(reason, "reason: why this remediation?"),
        due=None if due is None else time_of(due, "due"),
        by=_person(by, "decides"),
        at=at,
        notes=notes_of(note, at),
    )
    return record_later("remediate", remediation, called=called)


def register(
    model: Any,
    *,
    owner: str | None = None,
    project: str | None = None,
    tier: str | None = None,
    risk: str | None = None,
    review_by: Time | None = None,
    by: str | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Enter a model into the inventory, or change its entry.

    Args:
        model: its name, for all its versions; or one version, as for `deploy`.
        owner: who answers for it.
        project: the project it belongs to.
        tier: how much depends on it, on your own scale.
        risk: its class of risk, such as high-risk.
        review_by: when it is to be validated again.
        by: who registers it.
        note: a remark.
    """
    if all(each is None for each in (owner, project, tier, risk, review_by)):
        raise CaptureError("a registration says something: owner, project, tier, risk or review_by")
    target, called = target_of(model)
    at = datetime.now(UTC)
    registration = Registration(
        id=new_id(),
        target=target,
        owner=agent_of(owner),
        project=text_of(project),
        tier=text_of(tier),
        risk_class=text_of(risk),
        review_by=None if review_by is None else time_of(review_by, "review_by"),
        by=agent_of(by),
        at=at,
        notes=notes_of(note, at),
        missing=unknown_agent(by),
    )
    return record_later("register", registration, called=called)


def assign(
    thing: Any,
    *,
    to: str,
    role: str = "owner",
    delegated_by: str | None = None,
    since: Time | None = None,
    until: Time | None = None,
    by: str | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record that somebody answers for a thing in a role.

    Args:
        thing: a model (by name: all its versions), dataset or report.
        to: who answers for it.
        role: as what: owner, steward, developer, validator, or another word.
        delegated_by: in whose place.
        since: from when; default is now.
        until: to when; default is until further notice.
        by: who assigns it.
        note: a remark.
    """
    target, called = target_of(thing)
    at = datetime.now(UTC)
    assignment = Assignment(
        id=new_id(),
        target=target,
        agent=_person(to, "answers for it"),
        role=_said(role, "role: as what do they answer for it?"),
        delegated_by=agent_of(delegated_by),
        valid_from=at if since is None else time_of(since, "since"),
        valid_until=None if until is None else time_of(until, "until"),
        by=agent_of(by),
        at=at,
        notes=notes_of(note, at),
        missing=unknown_agent(by),
    )
    return record_later("assign", assignment, called=called)


def assess_change(
    model: Any,
    *,
    reason: str,
    substantial: bool | None = None,
    predetermined: bool | None = None,
    previous: str | None = None,
    plan: str | None = None,
    by: str | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record how far a model differs from the one it follows.

    Args:
        model: the new one, as for `deploy`.
        reason: why it is judged so.
        substantial: whether it is a substantial modification; None says that nobody knows yet.
        predetermined: whether it was laid down in a plan that was assessed before.
        previous: the model that it follows; default is what its record says.
        plan: where it is laid down.
        by: who judges.
        note: a remark.
    """
    entity, called = model_of(model)
    at = datetime.now(UTC)
    unknown = tuple(
        Missing(field=name, reason="not said; pass True or False")
        for name, value in (("substantial", substantial), ("predetermined", predetermined))
        if value is None
    )
    modification = Modification(
        id=new_id(),
        model=entity,
        previous=None if previous is None else _known_iri(previous),
        is_substantial=_answer(substantial, "substantial"),
        is_predetermined=_answer(predetermined, "predetermined"),
        plan=text_of(plan),
        reason=_said(reason, "reason: why is it judged so?"),
        by=agent_of(by),
        at=at,
        notes=notes_of(note, at),
        missing=(*unknown_agent(by), *unknown),
    )
    return record_later("assess_change", modification, called=called)


def respond(
    to: str | Receipt,
    *,
    by: str,
    action: str | None = None,
    status: str = "acknowledged",
    note: str | None = None,
) -> Receipt | None:
    """Record that somebody takes note of an observation or drift verdict, and what is done.

    Args:
        to: receipt or IRI of the observation, or IRI of the drift verdict.
        by: who responds.
        action: what is done about it.
        status: acknowledged, investigating, mitigated, resolved or accepted.
        note: a remark.
    """
    at = datetime.now(UTC)
    response = Response(
        id=new_id(),
        target=_reference("observation", to),
        status=_word(status, RESPONSE_STATUSES, "status"),
        action=text_of(action),
        by=_person(by, "responds"),
        at=at,
        notes=notes_of(note, at),
    )
    return record_later("respond", response, called=None)


def undeploy(
    deployment: str | Receipt,
    *,
    reason: str | None = None,
    until: Time | None = None,
    by: str | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Record that a deployment is over.

    Args:
        deployment: receipt or IRI of the deployment.
        reason: why it ends.
        until: when it ended; default is now.
        by: who ended it.
        note: a remark.
    """
    at = datetime.now(UTC)
    end = DeploymentEnd(
        id=new_id(),
        target=_reference("deployment", deployment),
        until=at if until is None else time_of(until, "until"),
        reason=text_of(reason),
        by=agent_of(by),
        at=at,
        notes=notes_of(note, at),
        missing=unknown_agent(by),
    )
    return record_later("undeploy", end, called=None)


def _affected(text: str) -> tuple[tuple[str, ...], tuple[Missing, ...]]:
    """Return what was made from a thing, as far as this home's ledger knows."""
    from provgraph.service.asking import open_reader

    settings = load(os.environ)
    if settings.server:
        reason = "the server holds the lineage; ask it what is downstream"
        return (), (Missing(field="affected", reason=reason),)
    try:
        with open_reader(settings) as reader:
            answer = reader.ask("Q19", {"dataset": text})
    except NotFoundError:
        raise
    except (ProvgraphError, OSError) as error:
        return (), (Missing(field="affected", reason=str(error)),)
    place = answer.columns.index("affected")
    found = (row[place] for row in answer.rows)
    return tuple(dict.fromkeys(each[1:-1] for each in found if each is not None)), ()


def _judgement(given: Mapping[str, Any]) -> Judgement:
    known = {"requirement", "state", "reason", "evidence", "waiver"}
    if unknown := sorted(set(given) - known):
        raise CaptureError(f"judgements: expected {', '.join(sorted(known))}, found {unknown[0]!r}")
    waiver = given.get("waiver")
    return Judgement(
        requirement=_said(given.get("requirement"), "judgements: which requirement?"),
        state=_word(given.get("state"), JUDGEMENT_STATES, "judgements: state"),
        reason=text_of(given.get("reason")),
        evidence=tuple(terms.to_iri(plain_text(each)) for each in given.get("evidence", ())),
        waiver=None if waiver is None else _reference("waiver", waiver),
    )


def _document(report: Any) -> Entity | None:
    if report is None:
        return None
    return things.entity_of(report, default_kind="file", role="report", given={})


def _reference(kind: str, given: str | Receipt) -> str:
    """Return the IRI of an act from a receipt, an IRI, an id, or as the terminal shows it."""
    if isinstance(given, str) and re.fullmatch(r"[a-z][a-z-]*/[A-Za-z0-9-]+", given.strip()):
        return vocab.ID + given.strip()
    found = activity_iri(kind, given)
    if found is None or not str(given).strip():
        raise CaptureError(f"expected the receipt or IRI of a {kind}, found nothing")
    return found


def _known_iri(text: str) -> str:
    from provgraph.service.home import readable_ledger
    from provgraph.service.things import resolve

    settings = load(os.environ)
    if things.is_uri(text) or settings.server:
        return terms.to_iri(text)
    with readable_ledger(settings) as ledger:
        return resolve(ledger, text).iris[0]


def _person(name: Any, does: str) -> Agent:
    agent = agent_of(name)
    if agent is None or not agent.name.strip():
        raise CaptureError(f"expected who {does}, found nobody; say it by name or address")
    return agent


def _said(value: Any, question: str) -> str:
    text = "" if value is None else plain_text(value).strip()
    if not text:
        raise CaptureError(question)
    return text


def _word(value: Any, words: Sequence[str], what: str) -> str:
    if value not in words:
        raise CaptureError(f"{what}: expected {' or '.join(words)}, found {value!r:.80}")
    return str(value)


def _answer(value: Any, what: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise CaptureError(f"{what}: expected True, False or None, found {value!r:.80}")
    return value
