"""Facts about governance to PROV-O: an activity each, by whom, when, and about which thing.

Specification: W3C PROV-O; terms in `ontology/provgraph.ttl`, under Governance. What a later record says
about an earlier thing (a deployment has ended) is said of that thing in the later record's graph too,
in PROV's own words where PROV has them.
"""

from __future__ import annotations

from provgraph import terms
from provgraph.convert import acts
from provgraph.convert.entities import Context, Sheet
from provgraph.errors import FormatError
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
from provgraph.records import Agent, Entity
from provgraph.terms import Term
from provgraph.vocab import PROV_T, A, C, P

Act = (
    Assignment
    | DeploymentEnd
    | GateDecision
    | Modification
    | Registration
    | Remediation
    | Response
    | Validation
    | Waiver
    | Withdrawal
)


def validation(record: Validation, record_iri: str, context: Context) -> Sheet:
    """Write a validation; its report is what it used."""
    sheet, subject = _begin("validation", record, record_iri, context)
    _about_model(sheet, subject, record.model, P["validates"])
    sheet.text(subject, P["verdict"], _word(record.verdict, VERDICTS, "verdict"))
    sheet.text(subject, P["meaning"], record.meaning)
    _flag(sheet, subject, P["isIndependent"], record.is_independent)
    sheet.text(subject, P["conditions"], record.conditions)
    sheet.time(subject, P["validUntil"], record.valid_until)
    if record.report is not None:
        report = sheet.entity(record.report)
        sheet.add(subject, P["report"], report)
        sheet.add(subject, PROV_T["used"], report)
    return sheet


def gate_decision(record: GateDecision, record_iri: str, context: Context) -> Sheet:
    """Write a gate's decision, with a node for each requirement that it judged."""
    sheet, subject = _begin("gate-decision", record, record_iri, context)
    _about_model(sheet, subject, record.model, P["judges"])
    sheet.text(subject, P["profile"], record.profile)
    sheet.text(subject, P["profileVersion"], record.profile_version)
    digest = record.profile_digest
    sheet.text(subject, P["profileDigest"], None if digest is None else str(digest))
    sheet.text(subject, P["stage"], record.stage)
    sheet.text(subject, P["verdict"], _word(record.verdict, GATE_VERDICTS, "verdict"))
    sheet.number(subject, P["ledgerSize"], record.ledger_size)
    for each in record.judgements:
        _judgement(sheet, subject, each)
    return sheet


def _judgement(sheet: Sheet, decision: Term, judgement: Judgement) -> None:
    node = sheet.node("judgement")
    sheet.add(decision, P["judgement"], node)
    sheet.add(node, A, C["Judgement"])
    sheet.text(node, P["requirement"], judgement.requirement)
    sheet.text(node, P["state"], _word(judgement.state, JUDGEMENT_STATES, "state"))
    sheet.text(node, P["reason"], judgement.reason)
    for iri in judgement.evidence:
        sheet.add(node, P["evidence"], terms.iri(terms.to_iri(iri)))
    if judgement.waiver is not None:
        waived = terms.iri(terms.to_iri(judgement.waiver))
        sheet.add(node, P["waiver"], waived)
        sheet.add(decision, PROV_T["wasInformedBy"], waived)


def waiver(record: Waiver, record_iri: str, context: Context) -> Sheet:
    """Write a waiver."""
    sheet, subject = _begin("waiver", record, record_iri, context)
    _about_model(sheet, subject, record.model)
    sheet.text(subject, P["requirement"], record.requirement)
    sheet.text(subject, P["profile"], record.profile)
    sheet.text(subject, P["stage"], record.stage)
    sheet.text(subject, P["reason"], record.reason)
    sheet.time(subject, P["expiresAt"], record.expires)
    return sheet


def withdrawal(record: Withdrawal, record_iri: str, context: Context) -> Sheet:
    """Write a withdrawal; data that is withdrawn as such is invalidated, in PROV's sense."""
    sheet, subject = _begin("withdrawal", record, record_iri, context)
    target = terms.iri(terms.to_iri(record.target))
    sheet.add(subject, P["withdraws"], target)
    sheet.text(subject, P["withdrawn"], _word(record.what, WITHDRAWN, "what"))
    sheet.text(subject, P["scope"], record.scope)
    sheet.text(subject, P["reason"], record.reason)
    sheet.text(subject, P["legalGround"], record.ground)
    for iri in record.affected:
        sheet.add(subject, P["affects"], terms.iri(terms.to_iri(iri)))
    if record.what == "dataset" and record.scope is None:
        sheet.add(target, PROV_T["wasInvalidatedBy"], subject)
    return sheet


def remediation(record: Remediation, record_iri: str, context: Context) -> Sheet:
    """Write what becomes of a thing that a withdrawal affects."""
    sheet, subject = _begin("remediation", record, record_iri, context)
    under = terms.iri(terms.to_iri(record.withdrawal))
    sheet.add(subject, P["remedies"], terms.iri(terms.to_iri(record.target)))
    sheet.add(subject, P["underWithdrawal"], under)
    sheet.add(subject, PROV_T["wasInformedBy"], under)
    sheet.text(subject, P["state"], _word(record.state, REMEDIATION_STATES, "state"))
    sheet.text(subject, P["reason"], record.reason)
    sheet.time(subject, P["dueAt"], record.due)
    return sheet


def assignment(record: Assignment, record_iri: str, context: Context) -> Sheet:
    """Write who answers for a thing."""
    sheet, subject = _begin("assignment", record, record_iri, context)
    node = _responsibility(
        sheet, subject, terms.iri(terms.to_iri(record.target)), record.agent, record.role
    )
    sheet.time(node, P["validFrom"], record.valid_from or record.at)
    sheet.time(node, P["validUntil"], record.valid_until)
    if record.delegated_by is not None:
        principal = sheet.agent(record.delegated_by)
        sheet.add(node, P["delegatedBy"], principal)
        sheet.add(sheet.agent(record.agent), PROV_T["actedOnBehalfOf"], principal)
    return sheet


def registration(record: Registration, record_iri: str, context: Context) -> Sheet:
    """Write a model's entry in the inventory."""
    sheet, subject = _begin("registration", record, record_iri, context)
    target = terms.iri(terms.to_iri(record.target))
    sheet.add(subject, P["registers"], target)
    if record.owner is not None:
        node = _responsibility(sheet, subject, target, record.owner, "owner")
        sheet.time(node, P["validFrom"], record.at)
    sheet.text(subject, P["project"], record.project)
    sheet.text(subject, P["tier"], record.tier)
    sheet.text(subject, P["riskClass"], record.risk_class)
    sheet.time(subject, P["reviewBy"], record.review_by)
    return sheet


def modification(record: Modification, record_iri: str, context: Context) -> Sheet:
    """Write how far a model differs from the one it follows."""
    sheet, subject = _begin("modification", record, record_iri, context)
    _about_model(sheet, subject, record.model)
    if record.previous is not None:
        sheet.add(subject, P["modifies"], terms.iri(terms.to_iri(record.previous)))
    _flag(sheet, subject, P["isSubstantial"], record.is_substantial)
    _flag(sheet, subject, P["isPredetermined"], record.is_predetermined)
    sheet.text(subject, P["changePlan"], record.plan)
    sheet.text(subject, P["reason"], record.reason)
    return sheet


def response(record: Response, record_iri: str, context: Context) -> Sheet:
    """Write a response to an observation or a drift verdict."""
    sheet, subject = _begin("response", record, record_iri, context)
    sheet.add(subject, P["respondsTo"], terms.iri(terms.to_iri(record.target)))
    sheet.text(subject, P["status"], _word(record.status, RESPONSE_STATUSES, "status"))
    sheet.text(subject, P["action"], record.action)
    return sheet


def deployment_end(record: DeploymentEnd, record_iri: str, context: Context) -> Sheet:
    """Write the end of a deployment, of the deployment itself too."""
    sheet, subject = _begin("deployment-end", record, record_iri, context)
    deployment = terms.iri(terms.to_iri(record.target))
    sheet.add(subject, P["ends"], deployment)
    sheet.add(subject, PROV_T["wasInformedBy"], deployment)
    sheet.time(deployment, PROV_T["endedAtTime"], record.until)
    sheet.text(subject, P["reason"], record.reason)
    return sheet


def _begin(kind: str, record: Act, record_iri: str, context: Context) -> tuple[Sheet, Term]:
    sheet, subject = acts.begin(
        kind,
        record_iri=record_iri,
        context=context,
        record_id=record.id,
        by=record.by,
        at=record.at,
    )
    sheet.notes(subject, record.notes)
    sheet.missing(subject, record.missing)
    return sheet, subject


def _about_model(sheet: Sheet, subject: Term, model: Entity, predicate: Term | None = None) -> None:
    entity = sheet.entity(model)
    if predicate is not None:
        sheet.add(subject, predicate, entity)
    sheet.add(subject, PROV_T["used"], entity)
    sheet.add(subject, P["model"], entity)


def _responsibility(sheet: Sheet, act: Term, thing: Term, agent: Agent, role: str) -> Term:
    node = sheet.node("responsibility")
    sheet.add(act, P["establishes"], node)
    sheet.add(thing, P["responsibility"], node)
    sheet.add(node, A, C["Responsibility"])
    sheet.add(node, P["responsible"], sheet.agent(agent))
    sheet.text(node, P["agentRole"], role)
    return node


def _word(value: str, words: tuple[str, ...], field: str) -> str:
    if value not in words:
        raise FormatError(f"{field}: expected {' or '.join(words)}, found {value[:80]!r}")
    return value


def _flag(sheet: Sheet, subject: Term, predicate: Term, value: bool | None) -> None:  # noqa: FBT001 - a value
    if value is not None:
        sheet.add(subject, predicate, terms.boolean(value))
