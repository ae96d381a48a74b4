"""Two ends beside each other, slot by slot: what changed, what did not, what a change did not reach.

A changed factor is *exonerated* where its difference cannot have had an effect: the settings differ
only in what has none, the code's syntax tree is equal though the commit differs, or everything that
its activity made is equal byte for byte. Digests decide; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provgraph.drift.facts import DATA_CATEGORIES, Activity, End, Slot
from provgraph.frozen import dataclass
from provgraph.records import Scalar

SAME, CHANGED, APPEARED, VANISHED, UNKNOWN = "same", "changed", "appeared", "vanished", "unknown"

INERT: Final = frozenset(
    {
        "cache", "debug", "device", "jobs", "log_level", "logdir", "n_jobs", "num_threads",
        "num_workers", "output", "output_dir", "pin_memory", "progress", "run_name", "silent",
        "tags", "threads", "verbose", "verbosity", "warm_start", "workers",
    }
)  # fmt: skip
"""Settings that steer how a thing is computed or shown and not what comes out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One slot at both ends. `reason` says why a changed one is exonerated, if it is."""

    path: str
    kind: str
    categories: tuple[str, ...]
    state: str
    before: Slot | None
    after: Slot | None
    is_exonerated: bool = False
    reason: str = ""
    changed_values: tuple[tuple[str, Scalar | None, Scalar | None], ...] = ()
    usual: float = 0.0  # share of healthy runs in which it changed as well

    @property
    def slot(self) -> Slot:
        """Return the slot, as it is now or was."""
        slot = self.after if self.after is not None else self.before
        assert slot is not None
        return slot

    @property
    def is_suspect(self) -> bool:
        """Whether it differs and nothing clears it."""
        return self.state in {CHANGED, APPEARED, VANISHED} and not self.is_exonerated


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """All factors of two ends, inputs and settings first, and where the two first part."""

    factors: tuple[Factor, ...]
    first_divergence: tuple[str, ...]  # paths of changed factors with the smallest depth
    shared: int  # slots that both ends have

    @property
    def suspects(self) -> tuple[Factor, ...]:
        """Return the changed factors that nothing clears."""
        return tuple(factor for factor in self.factors if factor.is_suspect)


def align(before: End, after: End, history: tuple[End, ...] = ()) -> Alignment:
    """Put two ends beside each other."""
    paths = dict.fromkeys((*before.slots, *after.slots))
    activities = {**before.activities, **after.activities}
    factors = []
    for path in paths:
        one, other = before.slots.get(path), after.slots.get(path)
        slot = other if other is not None else one
        assert slot is not None
        if slot.kind == "model" or (slot.kind == "data" and slot.made_by is not None):
            continue  # made on the way: evidence, not a cause
        factors.append(_factor(path, before, after, history))
    suspects = [factor for factor in factors if factor.is_suspect]
    depths = {factor.path: _depth(factor, activities) for factor in suspects}
    # What changes in every healthy run parts the two as well, but it is not news.
    news = [factor for factor in suspects if factor.usual < 0.5] or suspects
    least = min((depths[factor.path] for factor in news), default=0)
    return Alignment(
        factors=tuple(factors),
        first_divergence=tuple(f.path for f in news if depths[f.path] == least),
        shared=sum(path in before.slots and path in after.slots for path in paths),
    )


def _factor(path: str, before: End, after: End, history: tuple[End, ...]) -> Factor:
    one, other = before.slots.get(path), after.slots.get(path)
    activities = {**before.activities, **after.activities}
    slot = other if other is not None else one
    assert slot is not None
    state = _state(one, other)
    changed = _changed_values(one, other) if state == CHANGED else ()
    reason = ""
    if state == CHANGED:
        reason = _why_cleared(slot, one, other, changed)
        if not reason:
            reason = _absorbed(slot, before, after, activities)
    others = [end.slots[path] for end in history if path in end.slots]
    differing = sum(each.digest != (one or slot).digest for each in others)
    return Factor(
        path=path,
        kind=slot.kind,
        categories=DATA_CATEGORIES if slot.kind == "data" else (slot.category or "code",),
        state=state,
        before=one,
        after=other,
        is_exonerated=bool(reason),
        reason=reason,
        changed_values=changed,
        usual=differing / len(others) if len(others) > 1 else 0.0,
    )


def _state(one: Slot | None, other: Slot | None) -> str:
    if one is None:
        return APPEARED
    if other is None:
        return VANISHED
    if one.digest is None or other.digest is None:
        return UNKNOWN if not one.values and not other.values else _by_values(one, other)
    return SAME if one.digest == other.digest else CHANGED


def _by_values(one: Slot, other: Slot) -> str:
    return SAME if dict(one.values) == dict(other.values) else CHANGED


def _changed_values(
    one: Slot | None, other: Slot | None
) -> tuple[tuple[str, Scalar | None, Scalar | None], ...]:
    first = {} if one is None else dict(one.values)
    second = {} if other is None else dict(other.values)
    names = dict.fromkeys((*first, *second))
    return tuple(
        (name, first.get(name), second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    )


def is_inert(name: str) -> bool:
    """Whether a setting of this name steers no result."""
    return name.rsplit(".", 1)[-1].lower() in INERT


def _why_cleared(
    slot: Slot,
    one: Slot | None,
    other: Slot | None,
    changed: tuple[tuple[str, Scalar | None, Scalar | None], ...],
) -> str:
    if slot.kind == "settings" and changed and all(is_inert(name) for name, _, _ in changed):
        names = ", ".join(name for name, _, _ in changed)
        return f"only {names} changed, which steers how it is computed and not what comes out"
    if slot.kind == "code" and one is not None and other is not None:
        first, second = one.values.get("syntax"), other.values.get("syntax")
        if first is not None and first == second:
            return "the commit differs, its syntax tree is the same: comments or layout only"
    return ""


def _absorbed(slot: Slot, before: End, after: End, activities: Mapping[str, Activity]) -> str:
    """Say that everything made from a changed slot is equal, where it is."""
    users = [
        activity
        for activity in activities.values()
        if slot.path in activity.used or activity.path == slot.of
    ]
    made = [path for activity in users for path in activity.made]
    if not made or slot.kind == "evaluation":
        return ""
    for path in made:
        one, other = before.slots.get(path), after.slots.get(path)
        if one is None or other is None or one.digest is None or one.digest != other.digest:
            return ""
    return f"what was made with it is equal byte for byte ({', '.join(made[:3])})"


def _depth(factor: Factor, activities: Mapping[str, Activity]) -> int:
    slot = factor.slot
    if slot.of is not None and slot.of in activities:
        return activities[slot.of].depth
    users = [each.depth for each in activities.values() if slot.path in each.used]
    return min(users, default=0)
