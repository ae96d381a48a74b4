"""What a gate checks that is more than a question: seals, lineage, contradictions, withdrawals, decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from provgraph import terms
from provgraph.gates.decisions import Act, Decisions
from provgraph.gates.sight import Sight
from provgraph.gates.verdict import FAILED, MET, MISSING, UNKNOWN, Found
from provgraph.index.store import values_block
from provgraph.query.asking import blocks
from provgraph.query.contradictions import MAX_SCOPE, contradictions_of
from provgraph.query.lineage import plain
from provgraph.query.promotion import Requirement
from provgraph.query.seals import ERASED, VERIFIED
from provgraph.terms import Term
from provgraph.vocab import C, P

# Contradictions are looked for in so many things at once: what is around them must fit into one scope.
_THINGS: Final = MAX_SCOPE // 10
_TYPES: Final = "SELECT DISTINCT ?model ?type WHERE {{ {model} ?model a ?type }}"
_DESCRIBED: Final = "SELECT DISTINCT ?it WHERE {{ {values} ?it a ?type }}"
_ACTIVITIES: Final = (
    "SELECT DISTINCT ?it WHERE {{ {model}"
    " ?model (prov:wasDerivedFrom*/prov:wasGeneratedBy)|pg:none ?it }}"
)
_WITHDRAWN: Final = (
    "SELECT DISTINCT ?act ?it ?reason WHERE {{ {model} ?model (prov:wasDerivedFrom*)|pg:none ?it ."
    " ?act pg:withdraws ?it . OPTIONAL {{ ?act pg:reason ?reason }} }}"
)
_RETRACTED: Final = (
    "SELECT DISTINCT ?act ?it ?reason WHERE {{ {model}"
    " ?model (prov:specializationOf*|(prov:wasDerivedFrom*/(prov:wasGeneratedBy/pg:partOfRun?)?))|pg:none ?it ."
    " ?act pg:retracts ?it . OPTIONAL {{ ?act pg:reason ?reason }} }}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One requirement in front of the gate."""

    sight: Sight
    decisions: Decisions
    requirement: Requirement
    stage: str | None


def seals(case: Case) -> Found:
    """Check every record behind the model."""
    table = case.sight.table("Q30")
    what, thing, state, detail = (
        table.columns.index(each) for each in ("what", "thing", "state", "detail")
    )
    records = [
        tuple(_plain(row[each]) for each in (thing, state, detail))
        for row in table.rows
        if row[what] == '"record"'
    ]
    if not records:
        return Found(state=MISSING, reasons=("no record is known behind this model",))
    wrong = [row for row in records if row[1] != VERIFIED]
    if not wrong:
        return Found(state=MET, reasons=(f"{len(records)} records verified",))
    reasons = tuple(f"{name}: {state}: {detail}" for name, state, detail in wrong)
    is_erased = all(state == ERASED for _, state, _ in wrong)
    evidence = tuple(name for name, _, _ in wrong if name)
    return Found(state=UNKNOWN if is_erased else FAILED, reasons=reasons, evidence=evidence)


def lineage(case: Case) -> Found:
    """Check that what the model was made from, and what made it, is described to the asker."""
    sight = case.sight
    kinds = {kind for _, kind in sight.select(_TYPES)}
    if C["Model"][1:-1] not in kinds:
        called = ", ".join(sorted(str(kind).rpartition("#")[2] for kind in kinds)) or "nothing"
        return Found(state=FAILED, reasons=(f"expected a model, found {called}",))
    made_by = {it for (it,) in sight.select(_ACTIVITIES) if it is not None}
    if not any(True for _ in sight.select(_ACTIVITIES.replace("prov:wasDerivedFrom*/", ""))):
        return Found(state=MISSING, reasons=("no run is recorded that made it",))
    things = sight.upstream | made_by
    described: set[str] = set()
    for block in blocks(things):
        rows = sight.ask(_DESCRIBED.format(values=values_block("it", block))).rows
        described |= {row[0][1:-1] for row in rows if row[0] is not None}
    if dark := sorted(things - described):
        reasons = tuple(
            f"{iri}: restricted, erased or never described; ask who may read it" for iri in dark
        )
        return Found(state=UNKNOWN, reasons=reasons, evidence=tuple(dark))
    return Found(state=MET, reasons=(f"{len(things)} things and runs, all described",))


def contradictions(case: Case) -> Found:
    """Look for statements that exclude each other, about the model and all that it was made from."""
    things = sorted({case.sight.model, *case.sight.upstream})
    found = {
        each
        for start in range(0, len(things), _THINGS)
        for each in contradictions_of(case.sight.ask, things[start : start + _THINGS])
    }
    if not found:
        return Found(state=MET)
    ordered = sorted(found, key=lambda each: (each.rule, each.thing, each.first))
    return Found(
        state=FAILED,
        reasons=tuple(
            f"{each.rule}: {each.meaning}: {each.thing}: {each.fact}: {each.first} / {each.second}"
            for each in ordered
        ),
        evidence=tuple(dict.fromkeys(record for each in ordered for record in each.records)),
    )


def withdrawn(case: Case) -> Found:
    """Check that whatever was withdrawn or retracted behind the model is justified by somebody else."""
    sight, decisions = case.sight, case.decisions
    opened: dict[str, tuple[str, str | None, str]] = {}
    for word, pattern in (("withdrawn", _WITHDRAWN), ("retracted", _RETRACTED)):
        for act, it, reason in sight.select(pattern):
            if act is not None and it is not None:
                opened[act] = (it, reason, word)
    latest = {each.text(P["underWithdrawal"]): each for each in decisions.remediations()}
    names = sight.labels([(terms.iri(it),) for it, _, _ in opened.values()])
    reasons, evidence = [], []
    for iri, (it, reason, word) in sorted(opened.items()):
        answer = latest.get(iri)
        state = "open" if answer is None else answer.text(P["state"]) or "open"
        if state == "justified" and answer is not None:
            why = decisions.problem(answer)
            if why is None:
                evidence.append(answer.iri)
                continue
            state = f"justified, which does not count: {why}"
        reasons.append(f"{names.get(it, it)} was {word} ({reason or 'no reason given'}): {state}")
        evidence.append(iri)
    if reasons:
        return Found(state=FAILED, reasons=tuple(reasons), evidence=tuple(evidence))
    return Found(state=MET, evidence=tuple(evidence))


def thresholds(case: Case) -> Found:
    """Check that evaluations reached what they had to."""
    table = case.sight.table("Q15")
    place = {name: index for index, name in enumerate(table.columns)}
    rows = [{name: _plain(row[at]) for name, at in place.items()} for row in table.rows]
    stated = [row for row in rows if row["threshold"] is not None and row["kind"] == "evaluation"]
    if not stated:
        return Found(state=MISSING, reasons=("no evaluation says what it had to reach",))
    short = [row for row in stated if row["met"] != "true"]
    said = tuple(
        f"{row['metric']}{' on ' + row['slice'] if row['slice'] else ''} is {row['value']},"
        f" expected {row['threshold']}"
        for row in short or stated
    )
    evidence = tuple(row["evaluation"] for row in short or stated if row["evaluation"])
    return Found(state=FAILED if short else MET, reasons=said, evidence=evidence)


def approval(case: Case) -> Found:
    """Look for an approval that counts, for the stage."""

    def own(act: Act) -> str | None:
        if not (act.text(P["meaning"]) or "").strip():
            return "it does not say what it means"
        if P["stage"] in act.values and act.text(P["stage"]) != case.stage:
            return f"it is for the stage {act.text(P['stage'])}"
        return None

    return _decided(case, "Approval", own)


def validation(case: Case) -> Found:
    """Look for a validation that counts and holds; a later one that failed outweighs it."""
    found = _decided(case, "Validation", lambda act: _validation_problem(case, act))
    if found.state != MET:
        return found
    good = max(
        act.position for act in case.decisions.acts("Validation") if act.iri in found.evidence
    )
    for act in case.decisions.acts("Validation"):
        is_failure = act.text(P["verdict"]) == "failed" and act.position > good
        if is_failure and case.sight.is_sealed(act.record):
            return Found(
                state=FAILED, reasons=(f"{act.by} found it failed since",), evidence=(act.iri,)
            )
    return found


def _validation_problem(case: Case, act: Act) -> str | None:
    verdict = act.text(P["verdict"])
    if verdict not in {"passed", "conditional"}:
        return f"its verdict is {verdict}"
    if act.text(P["isIndependent"]) == "false":
        return "its validator declares not to be independent"
    until = act.time(P["validUntil"])
    if P["validUntil"] in act.values and (until is None or until <= case.sight.now):
        return f"it is out of date since {act.text(P['validUntil'])}"
    return None


def _decided(case: Case, kind: str, own: Callable[[Act], str | None]) -> Found:
    roles = () if case.requirement.role is None else (case.requirement.role,)
    good, reasons = [], []
    acts = case.decisions.acts(kind)
    for act in acts:
        why = own(act) or case.decisions.problem(act, roles=roles)
        by = act.by or "somebody"
        if why is None:
            said = act.text(P["conditions"])
            good.append((act.iri, f"by {by}{f', on condition: {said}' if said else ''}"))
        else:
            reasons.append(f"the {kind.lower()} by {by} does not count: {why}")
    if good:
        return Found(
            state=MET,
            reasons=tuple(said for _, said in good),
            evidence=tuple(iri for iri, _ in good),
        )
    if not acts:
        return Found(state=MISSING, reasons=(f"no {kind.lower()} is recorded",))
    return Found(state=FAILED, reasons=tuple(reasons), evidence=tuple(act.iri for act in acts))


def _plain(term: Term | None) -> str | None:
    return None if term is None else plain(term)


CHECKS: Final[Mapping[str, Callable[[Case], Found]]] = {
    "seals": seals,
    "lineage": lineage,
    "contradictions": contradictions,
    "withdrawn": withdrawn,
    "thresholds": thresholds,
    "approval": approval,
    "validation": validation,
}
