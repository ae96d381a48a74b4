"""Waivers: which of them counts for a requirement, here and now; all of them are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from provgraph.gates.decisions import Act, Decisions
from provgraph.gates.verdict import WaiverStanding
from provgraph.query.promotion import Requirement
from provgraph.vocab import P


def standings(
    decisions: Decisions, requirements: Sequence[Requirement], *, stage: str | None
) -> list[WaiverStanding]:
    """Judge every waiver of the model."""
    known = {each.id: each for each in requirements}
    return [_standing(decisions, act, known, stage=stage) for act in decisions.acts("Waiver")]


def _standing(
    decisions: Decisions, act: Act, known: dict[str, Requirement], *, stage: str | None
) -> WaiverStanding:
    why = _problem(decisions, act, known, stage=stage)
    return WaiverStanding(
        waiver=act.iri,
        requirement=act.text(P["requirement"]) or "",
        by=act.by or "",
        reason=act.text(P["reason"]) or "",
        at="" if act.at is None else f"{act.at:%Y-%m-%dT%H:%M:%SZ}",
        expires=act.text(P["expiresAt"]) or "",
        is_honoured=why is None,
        because=why or "signed, reasoned, dated and in force",
    )


def _problem(
    decisions: Decisions, act: Act, known: dict[str, Requirement], *, stage: str | None
) -> str | None:
    """Return why a waiver does not count, None where it does.

    1. It is for a requirement of this profile, which somebody may waive.
    2. It is for this profile and stage, or for any.
    3. It gives a reason, and ends: after now, and no later than the profile allows.
    4. Whoever gave it may (`provgraph.gates.decisions`), in a role that waives this requirement.
    """
    profile, now = decisions.profile, decisions.sight.now
    # 1.
    requirement = known.get(act.text(P["requirement"]) or "")
    if requirement is None:
        return f"{profile.id} has no requirement of that name"
    if not requirement.waivable_by:
        return "nobody may waive this requirement"
    # 2.
    if P["profile"] in act.values and act.text(P["profile"]) != profile.id:
        return f"it is for the profile {act.text(P['profile'])}"
    if P["stage"] in act.values and act.text(P["stage"]) != stage:
        return f"it is for the stage {act.text(P['stage'])}"
    # 3.
    if not (act.text(P["reason"]) or "").strip():
        return "it gives no reason"
    expires = act.time(P["expiresAt"])
    if expires is None:
        return "it does not say when it ends"
    if expires <= now:
        return f"it expired on {expires:%Y-%m-%d %H:%M}Z"
    longest = timedelta(days=profile.decisions.max_days)
    if act.at is not None and expires - act.at > longest:
        return f"it runs for more than {profile.decisions.max_days} days"
    # 4.
    return decisions.problem(act, roles=requirement.waivable_by)
