"""What may be said of a case: one of four outcomes, ranked candidates, what was cleared, what to do next.

NO_DRIFT: the value lies within what healthy runs show, and the test could have seen more. ORIGIN: there
is a drop and a candidate that stands out; a hypothesis until a replay has verified it.
INSUFFICIENT_EVIDENCE: the test or the candidates leave it open; what would settle it is listed.
UNRECORDED_FACTOR: the drop is real and nothing recorded explains it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from provgraph.drift.align import Factor
from provgraph.drift.evidence import Evidence, gather
from provgraph.drift.facts import DATA_CATEGORIES, UNRECORDED, Case
from provgraph.drift.noise import MIN_HISTORY, MIN_ROWS, Drop
from provgraph.drift.ranking import Ranked, rank
from provgraph.drift.trees import Ranker, shipped
from provgraph.drift.wording import evidence_lines
from provgraph.frozen import dataclass, replace

ENGINE_VERSION: Final = "1"
"""Raised when the same facts would give another verdict, apart from the ranker's own version."""

NO_DRIFT = "NO_DRIFT"
ORIGIN = "ORIGIN"
INSUFFICIENT = "INSUFFICIENT_EVIDENCE"
UNRECORDED_FACTOR = "UNRECORDED_FACTOR"
OUTCOMES: Final = (NO_DRIFT, ORIGIN, INSUFFICIENT, UNRECORDED_FACTOR)

REAL: Final = 0.01
"""One-sided chance under no change below which a drop is real."""
UNDECIDED: Final = 0.04
"""Between REAL and this the test is open: more runs or rows would tell."""
STANDS_OUT: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A category that may be the origin, with what changed in it and what speaks for and against."""

    category: str
    confidence: float  # calibrated for the first, its share of the rest for the others
    share: float
    ranker_share: float
    rule_share: float
    status: str = "hypothesis"  # hypothesis | verified
    factors: tuple[str, ...] = ()  # paths, loudest first
    subjects: tuple[str, ...] = ()  # IRIs
    records: tuple[str, ...] = ()
    is_first_divergence: bool = False
    evidence: tuple[str, ...] = ()
    recovered: float | None = None  # share of the drop that swapping it back recovered


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A changed factor that cannot be the origin, and why."""

    factor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to record or replay next, and how much of the open question it would settle (bits)."""

    action: str
    settles: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer, complete: everything that a person or a record needs to judge it."""

    outcome: str
    summary: str
    before: str
    after: str
    drop: Drop
    candidates: tuple[Candidate, ...] = ()
    cleared: tuple[Cleared, ...] = ()
    first_divergence: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
    history: tuple[str, ...] = ()
    engine: str = ENGINE_VERSION
    ranker: str = ""
    replays: int = 0
    notes: tuple[str, ...] = ()


def decide(case: Case, *, ranker: Ranker | None = None) -> Verdict:
    """Judge a case by what was recorded, without running anything."""
    evidence = gather(case)
    ranker = ranker if ranker is not None else shipped()
    ranked = rank(evidence, ranker)
    candidates = _candidates(evidence, ranked)
    outcome = _outcome(evidence.drop, candidates, evidence)
    verdict = Verdict(
        outcome=outcome,
        summary="",
        before=case.before.iri,
        after=case.after.iri,
        drop=evidence.drop,
        candidates=candidates if outcome != NO_DRIFT else (),
        cleared=tuple(
            Cleared(factor=factor.path, reason=factor.reason)
            for factor in evidence.alignment.factors
            if factor.is_exonerated
        ),
        first_divergence=evidence.alignment.first_divergence,
        unchanged=tuple(f.path for f in evidence.alignment.factors if f.state == "same"),
        unknown=tuple(f.path for f in evidence.alignment.factors if f.state == "unknown"),
        caps=ranked.caps if outcome != NO_DRIFT else (),
        advice=_advice(case, evidence, ranked, outcome),
        history=tuple(end.iri for end in case.history),
        ranker=ranker.version,
        notes=_notes(case, evidence),
    )
    return replace(verdict, summary=summarise(verdict))


def _candidates(evidence: Evidence, ranked: Ranked) -> tuple[Candidate, ...]:
    found = []
    first = ranked.order[0]
    rest = 1 - ranked.shares[first]
    for category in ranked.order:
        share = ranked.shares[category]
        if category == first:
            confidence = ranked.confidence
        else:
            confidence = (1 - ranked.confidence) * share / rest if rest > 1e-9 else 0.0
        factors = evidence.factors.get(category, ())
        found.append(
            Candidate(
                category=category,
                confidence=confidence,
                share=share,
                ranker_share=ranked.ranker_shares[category],
                rule_share=ranked.rule_shares[category],
                factors=tuple(factor.path for factor in factors),
                subjects=_subjects(factors),
                records=tuple(dict.fromkeys(r for f in factors for r in f.slot.records)),
                is_first_divergence=any(
                    factor.path in evidence.alignment.first_divergence for factor in factors
                ),
                evidence=evidence_lines(category, evidence, ranked.points[category]),
            )
        )
    return tuple(found)


def _subjects(factors: tuple[Factor, ...]) -> tuple[str, ...]:
    iris = [
        slot.iri for factor in factors for slot in (factor.before, factor.after) if slot is not None
    ]
    return tuple(dict.fromkeys(iri for iri in iris if iri is not None))


def _outcome(drop: Drop, candidates: tuple[Candidate, ...], evidence: Evidence) -> str:
    if drop.z is None or drop.p is None:
        return INSUFFICIENT
    if drop.p >= UNDECIDED:
        return NO_DRIFT if not _is_blind(drop) else INSUFFICIENT
    if drop.p >= REAL:
        return INSUFFICIENT
    if evidence.alignment.shared == 0:
        return INSUFFICIENT
    named = [each for each in candidates if each.category != UNRECORDED]
    if not named or not evidence.alignment.suspects:
        return UNRECORDED_FACTOR
    first = candidates[0]
    if first.confidence < STANDS_OUT:
        return INSUFFICIENT
    return UNRECORDED_FACTOR if first.category == UNRECORDED else ORIGIN


def _is_blind(drop: Drop) -> bool:
    """Whether a test that saw nothing could not have seen a third of the value."""
    if drop.n is not None and drop.n < MIN_ROWS and drop.size > 0:
        return True
    return (
        drop.smallest_visible is not None
        and abs(drop.usual) > 0
        and drop.smallest_visible > 0.35 * abs(drop.usual)
        and drop.size > 0.1 * abs(drop.usual)
    )


# ---- what to do next -----------------------------------------------------------------------------
def _paths(factors: tuple[Factor, ...]) -> set[str]:
    return {factor.path for factor in factors}


def _entropy(p: float) -> float:
    p = min(max(p, 1e-9), 1 - 1e-9)
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


def _advice(case: Case, evidence: Evidence, ranked: Ranked, outcome: str) -> tuple[Advice, ...]:
    if outcome == NO_DRIFT:
        return ()
    found: list[Advice] = []
    drop = evidence.drop
    if drop.z is None or (drop.p is not None and drop.p >= REAL):
        if drop.runs < MIN_HISTORY:
            found.append(
                Advice(
                    action=f"record {MIN_HISTORY + 2 - drop.runs} more healthy runs",
                    settles=1.0,
                    why="their spread says what is usual; it is not known yet",
                )
            )
        if drop.n is None or drop.n < 4 * MIN_ROWS:
            found.append(
                Advice(
                    action="record n with the metric"
                    if drop.n is None
                    else f"measure on more than {drop.n} rows",
                    settles=0.9,
                    why="four times the rows halve the smallest drop that can be seen",
                )
            )
    entropy = -sum(s * math.log2(s) for s in ranked.shares.values() if s > 0)
    for category in ranked.order[:4]:
        factors = evidence.factors.get(category, ())
        if category == UNRECORDED or not factors:
            continue
        share = sum(
            ranked.shares[other]
            for other in ranked.order
            if _paths(evidence.factors.get(other, ())) == _paths(factors)
        )
        action = f"replay with {factors[0].path} as it was before"
        if all(action != each.action for each in found):
            found.append(
                Advice(
                    action=action,
                    settles=_entropy(min(share, 0.999)),
                    why=f"it carries {share:.0%} of the suspicion; one swap verifies or clears it",
                )
            )
    found += _to_record(case, evidence, ranked, entropy)
    return tuple(sorted(found, key=lambda each: -each.settles))


def _to_record(case: Case, evidence: Evidence, ranked: Ranked, entropy: float) -> list[Advice]:
    shared: Mapping[str, float] = evidence.shared
    data = sum(ranked.shares.get(name, 0.0) for name in DATA_CATEGORIES)
    found = []
    if not evidence.shifts and any(f.kind == "data" for f in evidence.alignment.factors):
        found.append(
            Advice(
                action="record column profiles of the data at both ends",
                settles=0.8 * entropy,
                why="without them the four kinds of data change cannot be told apart",
            )
        )
    elif math.isnan(shared.get("largest_own", math.nan)):
        found.append(
            Advice(
                action="record what each step makes (run.step … step.generate)",
                settles=0.6 * entropy * (1 - data),
                why="a step is cleared or convicted by its output beside its input",
            )
        )
    if math.isnan(shared.get("probe_excess", math.nan)) and not case.after.is_observation:
        found.append(
            Advice(
                action="record predictions on a golden set",
                settles=0.3 * entropy,
                why="it tells a changed model from changed data",
            )
        )
    if math.isnan(shared.get("canonical_share", math.nan)):
        share = ranked.shares.get("evaluation protocol", 0.0)
        found.append(
            Advice(
                action="record one metric under a protocol that never changes",
                settles=max(0.15 * entropy, _entropy(share)),
                why="it tells whether the model or its measurement changed",
            )
        )
    return found


def _notes(case: Case, evidence: Evidence) -> tuple[str, ...]:
    notes = [f"not known: {text}" for text in (*case.before.missing, *case.after.missing)][:20]
    notes = list(dict.fromkeys(notes))
    if case.before.at and case.after.at and case.before.at > case.after.at:
        notes.append("the baseline is later than what it is compared with")
    if evidence.alignment.shared == 0:
        notes.append("the two ends share no slot: nothing can be put side by side")
    notes += [
        f"{path}: columns lost {', '.join(shift.lost[:5])}; new {', '.join(shift.added[:5])}"
        " (a rename looks like both)"
        for path, shift in evidence.shifts.items()
        if shift.lost and shift.added
    ]
    for path, shift in evidence.skew.items():
        loud = sorted(shift.columns, key=lambda c: -c.loudness)[:1]
        if loud and loud[0].distance > 0.2 and loud[0].shape_z > 3:
            notes.append(
                f"{path}: {loud[0].name} differs from what the model was trained on"
                f" (distance {loud[0].distance:.2f}, {loud[0].shape_z:.1f} times noise)"
            )
    return tuple(notes)


def summarise(verdict: Verdict) -> str:
    """Say the verdict in one or two sentences."""
    drop = verdict.drop
    if drop.z is None:
        return f"Whether there is a drop cannot be tested: {drop.why}."
    seen = f"{drop.metric} {drop.value:.4g}, usual {drop.usual:.4g}"
    if verdict.outcome == NO_DRIFT:
        least = (
            f"; a drop of {drop.smallest_visible:.3g} would have been seen"
            if drop.smallest_visible
            else ""
        )
        return f"No drift: {seen}, {drop.z:.1f} times the noise {drop.why}{least}."
    head = f"{seen}: {drop.z:.1f} times the noise {drop.why}."
    if verdict.outcome == UNRECORDED_FACTOR:
        return f"The drop is real and nothing recorded explains it. {head}"
    if not verdict.candidates:
        return head
    first = verdict.candidates[0]
    if verdict.outcome == INSUFFICIENT:
        if drop.p is not None and drop.p >= REAL:
            return f"Not enough evidence that there is a drop at all: {head}"
        return (
            f"There is a drop, and not enough evidence where it began: {first.category} leads with"
            f" {first.confidence:.0%}. {head}"
        )
    how = "verified by replay" if first.status == "verified" else "a hypothesis, not replayed"
    where = f" ({first.factors[0]})" if first.factors else ""
    return f"It began in {first.category}{where}: {first.confidence:.0%} sure, {how}. {head}"
