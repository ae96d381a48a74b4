"""A model held against a profile, requirement by requirement.

Whatever goes wrong inside one requirement makes it `unknown`, which fails like a failure: a gate that
cannot look does not let pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from provgraph.errors import ProvgraphError
from provgraph.gates.checks import CHECKS, Case
from provgraph.gates.decisions import Decisions
from provgraph.gates.sight import Sight
from provgraph.gates.verdict import (
    FAILED,
    MET,
    MISSING,
    UNKNOWN,
    WAIVED,
    Finding,
    Found,
    Verdict,
    WaiverStanding,
)
from provgraph.gates.waivers import standings
from provgraph.index.store import Row
from provgraph.query import promotion
from provgraph.query.catalogue import find
from provgraph.query.lineage import plain
from provgraph.query.promotion import ALWAYS, Profile, Requirement, Rows
from provgraph.query.reports.completeness import by_fact, judged

OWN: Final = "gate."
"""What the ids of checks begin with that a profile did not ask for."""
_SOURCE: Final = "provgraph: every gate"


def judge(sight: Sight, profile: Profile, *, asked: str, stage: str | None) -> Verdict:
    """Judge a model. Raises nothing: what goes wrong is a finding that fails."""
    requirements = with_own(profile)
    decisions = Decisions(sight=sight, profile=profile)
    findings = []
    facts = _Facts(sight=sight)
    for each in requirements:
        case = Case(sight=sight, decisions=decisions, requirement=each, stage=stage)
        found = _guarded(lambda case=case: _found(case, facts))  # type: ignore[misc]
        findings.append(_finding(each, found))
    waivers: list[WaiverStanding] = []
    try:
        waivers = standings(decisions, requirements, stage=stage)
    except Exception as error:
        why = f"the waivers of this model cannot be read: {_said(error)}"
        findings.append(_finding(_own("waivers"), Found(state=UNKNOWN, reasons=(why,))))
    return Verdict(
        asked=asked,
        model=sight.model,
        profile=profile.id,
        profile_version=profile.version,
        profile_digest=profile.digest,
        stage=stage,
        findings=tuple(_waived(each, waivers) for each in findings),
        unanswered=profile.unanswered,
        waivers=tuple(waivers),
        ledger_size=sight.entries.size,
        at=sight.now,
    )


def with_own(profile: Profile) -> list[Requirement]:
    """Return a profile's requirements, after those of every gate that it does not ask for itself."""
    asked = {each.check for each in profile.requirements if each.severity == "error"}
    return [*(_own(check) for check in ALWAYS if check not in asked), *profile.requirements]


def _own(check: str) -> Requirement:
    title = promotion.CHECKS.get(check, check)
    return Requirement(id=f"{OWN}{check}", title=title, source=_SOURCE, check=check)


@dataclass(slots=True, kw_only=True)
class _Facts:
    """What Q29 finds out, asked once."""

    sight: Sight
    found: Mapping[str, list[Row]] | None = None

    def judge(self, requirement: Requirement) -> Found:
        if self.found is None:
            self.found = by_fact(self.sight.raw("Q29"))
        rows = judged(requirement, self.found, wants_all=False)
        if not rows:
            stated = self.found.get(requirement.fact or "", [])
            things = dict.fromkeys(plain(row[2]) for row in stated if row[2] is not None)
            return Found(state=MET, evidence=tuple(things))
        reasons, evidence = [], []
        for _, _, state, thing, label, reason, _ in rows:
            name = label or thing
            of = "" if name is None else f"of {plain(name)}: "
            why = "missing" if state is None else plain(state)
            if reason is not None:
                why = f"absent, with reason: {plain(reason)}"
            reasons.append(f"{of}{why}")
            if thing is not None:
                evidence.append(plain(thing))
        return Found(state=MISSING, reasons=tuple(reasons), evidence=tuple(evidence))


def _found(case: Case, facts: _Facts) -> Found:
    each = case.requirement
    if each.fact is not None:
        return facts.judge(each)
    if each.check is not None:
        return CHECKS[each.check](case)
    if each.rows is not None:
        return _judge_rows(case.sight, each.rows)
    return Found(state=FAILED, reasons=("it checks nothing, so it cannot be met",))


def _judge_rows(sight: Sight, rules: Rows) -> Found:
    table = sight.table(rules.question, rules.given)
    names = sight.labels(table.rows)
    rows = [
        {
            name: None if term is None else plain(term)
            for name, term in zip(table.columns, row, strict=True)
        }
        for row in table.rows
    ]
    rows = [
        row for row in rows if all(_matches(row[name], rules.where[name]) for name in rules.where)
    ]
    if rules.rows == "none":
        return Found(
            state=FAILED if rows else MET,
            reasons=tuple(_line(row, names) for row in rows),
            evidence=_iris(rows),
        )
    if not rows:
        is_enough = rules.rows == "any"
        empty = find(rules.question).empty if not table.rows else "no row is about what it asks"
        return Found(state=MET if is_enough else MISSING, reasons=(f"{rules.question}: {empty}",))
    unknown = [
        row
        for row in rows
        if any(_matches(row[name], values) for name, values in rules.unknown.items())
    ]
    failed = [row for row in rows if row not in unknown and _fails(row, rules)]
    if failed or unknown:
        told = failed or unknown
        return Found(
            state=FAILED if failed else MISSING,
            reasons=tuple(f"{rules.question}: {_line(row, names)}" for row in told),
            evidence=_iris(told),
        )
    return Found(state=MET, reasons=(f"{rules.question}: {len(rows)} rows",), evidence=_iris(rows))


def _fails(row: Mapping[str, str | None], rules: Rows) -> bool:
    if any(_matches(row[name], values) for name, values in rules.forbid.items()):
        return True
    if any(not _matches(row[name], values) for name, values in rules.require.items()):
        return True
    numbers = {name: _number(row[name]) for name in (*rules.at_least, *rules.at_most)}
    # What is no number reaches nothing (NaN compares as false).
    return not all(
        [numbers[name] >= bound for name, bound in rules.at_least.items()]
        + [numbers[name] <= bound for name, bound in rules.at_most.items()]
    )


def _number(text: str | None) -> float:
    try:
        return math.nan if text is None else float(text)
    except ValueError:
        return math.nan


def _matches(text: str | None, values: Sequence[str]) -> bool:
    return text is not None and any(
        text.startswith(value[:-1]) if value.endswith("*") else text == value for value in values
    )


def _line(row: Mapping[str, str | None], names: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} {names.get(value, value)}" for name, value in row.items() if value is not None
    )


def _iris(rows: Sequence[Mapping[str, str | None]]) -> tuple[str, ...]:
    found = (value for row in rows for value in row.values() if value and "://" in value[:12])
    return tuple(dict.fromkeys(found))


def _guarded(look: Callable[[], Found]) -> Found:
    try:
        return look()
    except Exception as error:
        return Found(state=UNKNOWN, reasons=(f"it could not be judged: {_said(error)}",))


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ProvgraphError) else f"{type(error).__name__}: {error}"


def _finding(each: Requirement, found: Found) -> Finding:
    return Finding(
        requirement=each.id,
        title=each.title,
        source=each.source,
        severity=each.severity,
        state=found.state,
        reasons=found.reasons,
        evidence=found.evidence,
    )


def _waived(each: Finding, waivers: Sequence[WaiverStanding]) -> Finding:
    if each.state == MET:
        return each
    for waiver in reversed(waivers):
        if waiver.is_honoured and waiver.requirement == each.requirement:
            said = (f"waived by {waiver.by} until {waiver.expires}: {waiver.reason}", *each.reasons)
            return Finding(
                requirement=each.requirement,
                title=each.title,
                source=each.source,
                severity=each.severity,
                state=WAIVED,
                reasons=said,
                evidence=each.evidence,
                waiver=waiver.waiver,
            )
    return each
