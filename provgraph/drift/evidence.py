"""What speaks for each category: figures of one case, each free of units and scaled by noise.

One row per candidate category, each with the figures named in FEATURES; what is not known is NaN,
and the ranker has learned what to do without. Figures are of four kinds: what was recorded to have
changed; where along the pipeline the tables part (the *own* effect of an activity: how much louder
its outputs differ than its inputs); how data differs; what the metrics under unchanged protocols, on
the training rows and on a golden set say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from provgraph.drift.align import Alignment, Factor, align
from provgraph.drift.confusion import ClassRates, class_rates, reweighted
from provgraph.drift.facts import (
    CATEGORIES,
    DATA_CATEGORIES,
    EVALUATED,
    TRAIN,
    UNRECORDED,
    Case,
    End,
    Probe,
    Slot,
)
from provgraph.drift.noise import Drop, shift_of, test_drop, unchanged_protocols
from provgraph.drift.settings import environment_size, settings_size
from provgraph.drift.tables import TableShift, column_noise, compare_tables
from provgraph.frozen import dataclass, field

NAN: Final = float("nan")
NOISE_RUNS: Final = 3
"""Healthy runs whose tables are compared for the noise of columns; more cost time and add little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All figures of a case, and what they were taken from."""

    drop: Drop
    alignment: Alignment
    shifts: Mapping[str, TableShift]  # path of a data slot -> how it differs
    own: Mapping[str, float]  # path of an activity -> own effect
    shared: Mapping[str, float]  # figures that belong to the case as a whole
    rows: Mapping[str, Mapping[str, float]]  # candidate category -> figures
    factors: Mapping[
        str, tuple[Factor, ...]
    ]  # candidate category -> changed factors, loudest first
    skew: Mapping[str, TableShift] = field(default_factory=dict)  # training against evaluated


SHARED: Final = (
    "z", "canonical_z", "canonical_share", "trained_z", "probe", "probe_excess", "is_serving",
    "changed_categories", "stages_known", "matrix", "matrix_weighted", "outputs", "largest_own",
    "unclaimed_own", "model_same", "input_max", "input_weighted", "log_n", "runs", "reweighted",
)  # fmt: skip
OWN: Final = (
    "category", "factors", "usual", "own_here", "own_rest", "own_first", "size", "is_specific",
    "is_alone", "train_max", "test_max", "train_weighted", "test_weighted", "moved", "null",
    "null_weighted", "new", "spike", "outside", "unit", "collapse", "schema", "rows", "source",
    "label_z", "label_distance", "conditional", "residual", "residual_share", "association",
    "association_mean", "association_lost", "scatter", "lonely",
    "broken", "broken_share",
)  # fmt: skip
FEATURES: Final = (*SHARED, *OWN)


def gather(case: Case) -> Evidence:
    """Measure everything that the facts of a case allow."""
    before, after = case.before, case.after
    alignment = align(before, after, case.history)
    drop = test_drop(case)
    shifts = _shifts(case)
    own = _own_effects(before, after, shifts)
    factors = _by_category(alignment, shifts, own)
    claimed = {f.slot.of for fs in factors.values() for f in fs if f.kind == "settings"}
    seen = _Seen(case=case, shifts=shifts, own=own, factors=factors, claimed=frozenset(claimed))
    shared = _shared(seen, drop)
    rows = {
        category: dict(shared) | _row(seen, category, changed)
        for category, changed in factors.items()
    }
    rows[UNRECORDED] = dict(shared) | _row(seen, UNRECORDED, ())
    return Evidence(
        drop=drop,
        alignment=alignment,
        shifts=shifts,
        own=own,
        shared=shared,
        rows=rows,
        factors=factors,
        skew=_skew(after),
    )


def vector(row: Mapping[str, float]) -> list[float]:
    """Return the figures in the order of FEATURES."""
    return [row.get(name, NAN) for name in FEATURES]


# ---- tables --------------------------------------------------------------------------------------
def _shifts(case: Case) -> dict[str, TableShift]:
    found = {}
    for path, slot in case.after.slots.items():
        one = case.before.slots.get(path)
        if slot.kind != "data" or one is None or slot.profile is None or one.profile is None:
            continue
        if slot.digest is not None and slot.digest == one.digest:
            continue
        healthy = [one.profile]
        for end in case.history[-NOISE_RUNS:]:
            other = end.slots.get(path)
            if other is not None and other.profile is not None and other.digest != one.digest:
                healthy.append(other.profile)
        noise = column_noise(healthy) if len(healthy) > 1 else None
        found[path] = compare_tables(
            one.profile, slot.profile, noise, by_label=slot.made_by is None
        )
    return found


def _loud(shift: TableShift | None) -> float:
    return 0.0 if shift is None else shift.mean


def _own_effects(before: End, after: End, shifts: Mapping[str, TableShift]) -> dict[str, float]:
    """Return by how much louder each activity's outputs differ than its inputs, on the same side."""
    own = {}
    for path, activity in after.activities.items():
        if path not in before.activities or _uses_other_model(before, after, activity.used):
            continue  # what another model predicts differs by the model, not by this activity
        best = None
        for made in activity.made:
            slot = after.slots.get(made)
            if slot is None or slot.kind != "data" or slot.profile is None:
                continue
            sources = [
                after.slots[used]
                for used in activity.used
                if used in after.slots and after.slots[used].kind == "data"
            ]
            known = [s for s in sources if s.profile is not None]
            if not known:
                continue
            same_side = [s for s in known if s.side == slot.side] or known
            effect = _louder(shifts.get(made), [shifts.get(s.path) for s in same_side])
            best = effect if best is None else max(best, effect)
        if best is not None:
            own[path] = best
    return own


def _uses_other_model(before: End, after: End, used: tuple[str, ...]) -> bool:
    models = [path for path in used if path in after.slots and after.slots[path].kind == "model"]
    return any(
        path not in before.slots
        or after.slots[path].digest is None
        or before.slots[path].digest != after.slots[path].digest
        for path in models
    )


def _louder(made: TableShift | None, used: list[TableShift | None]) -> float:
    if made is None:
        return 0.0
    known = {
        column.name: math.log1p(column.loudness)
        for shift in used
        if shift is not None
        for column in shift.columns
    }
    base = max(known.values(), default=0.0)
    excess = [math.log1p(column.loudness) - known.get(column.name, base) for column in made.columns]
    schema = (len(made.lost) + len(made.added)) / max(len(made.columns) + len(made.lost), 1)
    if not excess:
        return schema * 2
    excess.sort(reverse=True)
    top = excess[: max(1, len(excess) // 3)]
    return max(0.0, 0.5 * sum(top) / len(top) + 0.5 * max(excess)) + 1.5 * schema


def _skew(end: End) -> dict[str, TableShift]:
    """Compare what was evaluated or served with what was trained on, at the same place."""
    found = {}
    for path, slot in end.slots.items():
        if slot.kind != "data" or slot.side != EVALUATED or slot.profile is None:
            continue
        partner = next(
            (
                other
                for other in end.slots.values()
                if other.kind == "data"
                and other.side == TRAIN
                and other.profile is not None
                and other.made_by == slot.made_by
            ),
            None,
        )
        if partner is not None and partner.profile is not None:
            found[path] = compare_tables(partner.profile, slot.profile, by_label=False)
    return found


# ---- candidates ----------------------------------------------------------------------------------
def _by_category(
    alignment: Alignment, shifts: Mapping[str, TableShift], own: Mapping[str, float]
) -> dict[str, tuple[Factor, ...]]:
    found: dict[str, list[Factor]] = {}
    for factor in alignment.suspects:
        for category in factor.categories:
            found.setdefault(category, []).append(factor)

    def loudness(factor: Factor) -> float:
        if factor.kind == "data":
            shift = shifts.get(factor.path)
            return 0.0 if shift is None else shift.weighted + 0.3 * math.log1p(shift.label_z or 0.0)
        return own.get(factor.slot.of or "", 0.0)

    return {
        category: tuple(sorted(found[category], key=loudness, reverse=True))
        for category in CATEGORIES
        if category in found
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the figures of candidates are taken from."""

    case: Case
    shifts: Mapping[str, TableShift]
    own: Mapping[str, float]
    factors: Mapping[str, tuple[Factor, ...]]
    claimed: frozenset[str | None]  # activities of which settings changed


def _shared(seen: _Seen, drop: Drop) -> dict[str, float]:
    case, shifts, own, factors, claimed = (
        seen.case, seen.shifts, seen.own, seen.factors, seen.claimed,
    )  # fmt: skip
    before, after = case.before, case.after
    canonical = _canonical_shift(case)
    trained = [
        z
        for each in after.measures
        if each.side == TRAIN
        and (z := shift_of(case, each.metric, each.protocol, TRAIN)) is not None
    ]
    level, excess = _probe(case)
    inputs = [s for p, s in shifts.items() if after.slots[p].made_by is None]
    outputs = [s for p, s in shifts.items() if _is_output(after, p)]
    last = _last_before_model(after, shifts)
    groups = {("data" if c in DATA_CATEGORIES else c) for c in factors}
    models = [
        s.digest == before.slots[p].digest
        for p, s in after.slots.items()
        if s.kind == "model" and p in before.slots and s.digest is not None
    ]
    rates = _rates(case)
    return {
        "z": _clip(drop.z, 25.0),
        "canonical_z": _clip(canonical, 25.0),
        "canonical_share": NAN
        if canonical is None or not drop.z
        else max(-1.0, min(3.0, canonical / drop.z)),
        "trained_z": _clip(max(trained, key=abs) if trained else None, 25.0),
        "probe": level,
        "probe_excess": excess,
        "is_serving": float(after.is_observation),
        "changed_categories": float(len(groups)),
        "stages_known": float(sum(s.profile is not None for s in after.slots.values())),
        "matrix": NAN if last is None else last.mean,
        "matrix_weighted": NAN if last is None else last.weighted,
        "outputs": max((s.mean for s in outputs), default=NAN),
        "largest_own": max(own.values(), default=NAN),
        "unclaimed_own": max(
            (value for path, value in own.items() if path not in claimed), default=NAN
        ),
        "model_same": NAN if not models else float(all(models)),
        "input_max": math.log1p(max((s.loudness for s in inputs), default=0.0)),
        "input_weighted": max((s.weighted for s in inputs), default=0.0),
        "log_n": NAN if not drop.n else math.log10(max(drop.n, 1)),
        "runs": float(drop.runs),
        "reweighted": NAN if rates is None or not drop.size else max(-1.0, min(2.0, rates)),
    }


def _row(seen: _Seen, category: str, changed: tuple[Factor, ...]) -> dict[str, float]:
    shifts, own, factors, claimed = seen.shifts, seen.own, seen.factors, seen.claimed
    after = seen.case.after
    is_data = category in DATA_CATEGORIES
    groups = {("data" if c in DATA_CATEGORIES else c) for c in factors}
    places = {f.slot.of for f in changed if f.kind == "settings"}
    specific = {f.slot.of for f in changed if f.slot.of in own}
    if category in {"code", "environment"} and not specific:
        here = [value for path, value in own.items() if path not in claimed]
    else:
        here = [value for path, value in own.items() if path in specific | places]
    elsewhere = [v for p, v in own.items() if p not in (specific | places)]
    row: dict[str, float] = {
        "category": float((*CATEGORIES, UNRECORDED).index(category)),
        "factors": float(len(changed)),
        "usual": min((f.usual for f in changed), default=0.0),
        "own_here": NAN if is_data else max(here, default=NAN),
        "own_rest": max(elsewhere, default=NAN),
        "own_first": _is_first(own, specific | places, after),
        "size": _size(category, changed),
        "is_specific": float(bool(specific)),
        "is_alone": float(groups <= {"data" if is_data else category}),
    }
    inputs = {
        path: shift
        for path, shift in shifts.items()
        if after.slots[path].made_by is None and after.slots[path].kind == "data"
    }
    return row | _data_figures(inputs, changed, after)


def _data_figures(
    inputs: Mapping[str, TableShift], changed: tuple[Factor, ...], after: End
) -> dict[str, float]:
    """Return how the inputs differ: of each trait, the most that any of them shows."""
    train = [s for p, s in inputs.items() if after.slots[p].side == TRAIN]
    test = [s for p, s in inputs.items() if after.slots[p].side != TRAIN]
    every = [*train, *test]
    columns = [column for shift in every for column in shift.columns]
    if not every:
        sources = [f for f in changed if f.kind == "data"]
        return {"source": _source(sources)}

    def most(values: list[float | None]) -> float:
        known = [v for v in values if v is not None and math.isfinite(v)]
        return max(known, default=NAN)

    residual = most([s.residual_z for s in every])
    marginal = most([s.marginal_z for s in every])
    return {
        "train_max": math.log1p(max((s.loudness for s in train), default=0.0)),
        "test_max": math.log1p(max((s.loudness for s in test), default=0.0)),
        "train_weighted": max((s.weighted for s in train), default=0.0),
        "test_weighted": max((s.weighted for s in test), default=0.0),
        "moved": max(s.moved_share for s in every),
        "null": max(
            (abs(c.null_after - c.null_before) for c in columns if c.null_z > 2), default=0.0
        ),
        "null_weighted": max(_null_weighted(s) for s in every),
        "new": max((c.new_mass for c in columns), default=0.0),
        "spike": max((c.spike for c in columns), default=0.0),
        "outside": max((c.outside for c in columns), default=0.0),
        "unit": float(sum(c.unit is not None for c in columns)),
        "collapse": max((c.collapse for c in columns), default=0.0),
        "schema": float(
            sum(len(s.lost) + len(s.added) for s in every) + sum(c.type_changed for c in columns)
        ),
        "rows": min(
            (math.log(max(s.rows_after, 1) / max(s.rows_before, 1)) for s in every),
            key=lambda v: -abs(v),
        ),
        "source": _source([f for f in changed if f.kind == "data"]),
        "label_z": math.log1p(max((s.label_z or 0.0) for s in every)),
        "label_distance": most([s.label_distance for s in every]),
        "conditional": most([s.conditional_z for s in every]),
        "residual": residual,
        "residual_share": residual / marginal if marginal > 0.3 else NAN,
        "association": math.log1p(max((s.association_z or 0.0) for s in every)),
        "association_mean": most([s.association_mean_z for s in every]),
        "association_lost": most([s.association_lost for s in every]),
        "lonely": max(s.lonely for s in every),
        "broken": most([s.broken_z for s in every]),
        "broken_share": most([s.broken_share for s in every]),
        "scatter": max(_scatter(s) for s in every),
    }


def _null_weighted(shift: TableShift) -> float:
    total = sum(shift.weights) or 1.0
    return (
        sum(
            weight * max(0.0, column.null_after - column.null_before)
            for column, weight in zip(shift.columns, shift.weights, strict=True)
        )
        / total
    )


def _scatter(shift: TableShift) -> float:
    """Return how unevenly columns moved: near 1 when few stand out, near 0 when all moved alike."""
    values = sorted((math.log1p(c.loudness) for c in shift.columns), reverse=True)
    if len(values) < 2 or values[0] < 0.7:
        return 0.0
    return 1 - (sum(values) / len(values)) / values[0]


def _source(changed: list[Factor]) -> float:
    """Whether a source was recorded and differs: 1, recorded and equal: 0, not recorded: NaN."""
    known = [
        f.before.source != f.after.source
        for f in changed
        if f.before is not None
        and f.after is not None
        and (f.before.source is not None or f.after.source is not None)
    ]
    return NAN if not known else float(any(known))


def _size(category: str, changed: tuple[Factor, ...]) -> float:
    if category in {"hyperparameters", "preprocessing", "feature definition", "model architecture"}:
        return max((settings_size(f.changed_values) for f in changed), default=NAN)
    if category == "environment":
        return max((environment_size(f.changed_values) for f in changed), default=NAN)
    if category == "code":
        known = [f for f in changed if f.before is not None and "syntax" in f.before.values]
        return NAN if not known else 1.0
    return NAN


def _is_first(own: Mapping[str, float], places: set[str | None], after: End) -> float:
    """Whether the first activity with an own effect is one of these: 1, another: 0, none: NaN."""
    loud = [p for p, value in own.items() if value > 0.5]
    if not loud:
        return NAN
    first = min(loud, key=lambda path: after.activities[path].depth)
    return float(first in places)


# ---- metrics, golden set, class by class ---------------------------------------------------------
def _canonical_shift(case: Case) -> float | None:
    found = [
        z
        for each in unchanged_protocols(case.before, case.after)
        if case.after.measure is None
        or (each.metric, each.protocol) != (case.after.measure.metric, case.after.measure.protocol)
        or case.before.measure is None
        or case.before.measure.protocol == case.after.measure.protocol
        if (z := shift_of(case, each.metric, each.protocol, EVALUATED)) is not None
    ]
    return max(found) if found else None


def _probe(case: Case) -> tuple[float, float]:
    """Return how much predictions on the golden set differ, and by how much beyond healthy runs."""
    if case.before.probe is None or case.after.probe is None:
        return NAN, NAN
    level = disagreement(case.before.probe, case.after.probe)
    usual = [
        disagreement(case.before.probe, end.probe) for end in case.history if end.probe is not None
    ]
    usual = [value for value in usual if not math.isnan(value)]
    if math.isnan(level) or not usual:
        return level, NAN
    mean = sum(usual) / len(usual)
    spread = math.sqrt(sum((v - mean) ** 2 for v in usual) / max(len(usual) - 1, 1))
    rows = len(case.after.probe.predictions)
    floor = math.sqrt(max(mean * (1 - min(mean, 1)), 0.5 / rows) / rows)
    return level, max(-3.0, min(25.0, (level - mean) / max(spread, floor)))


def disagreement(one: Probe, other: Probe) -> float:
    """Return the share of rows predicted otherwise, or the RMS difference over the spread."""
    if one.name != other.name or len(one.predictions) != len(other.predictions):
        return NAN
    pairs = list(zip(one.predictions, other.predictions, strict=True))
    values = [(a, b) for a, b in pairs if isinstance(a, float) and isinstance(b, float)]
    if len(values) < len(pairs) or not values:
        return sum(a != b for a, b in pairs) / max(len(pairs), 1)
    mean = sum(a for a, _ in values) / len(values)
    spread = math.sqrt(sum((a - mean) ** 2 for a, _ in values) / len(values)) or 1.0
    return min(2.0, math.sqrt(sum((a - b) ** 2 for a, b in values) / len(values)) / spread)


def _rates(case: Case) -> float | None:
    """Return the share of the drop that is gone when classes are weighted as they were before."""
    found = [
        (one, two)
        for path in case.after.slots
        if _is_output(case.after, path)
        and (one := _class_rates(case.before.slots.get(path))) is not None
        and (two := _class_rates(case.after.slots.get(path))) is not None
    ]
    if not found:
        return None
    one, two = found[0]
    return reweighted(one, two)


def _class_rates(slot: Slot | None) -> ClassRates | None:
    return None if slot is None or slot.profile is None else class_rates(slot.profile)


def _is_output(end: End, path: str) -> bool:
    slot = end.slots[path]
    return (
        slot.kind == "data"
        and slot.profile is not None
        and slot.profile.column("prediction") is not None
    )


def _last_before_model(end: End, shifts: Mapping[str, TableShift]) -> TableShift | None:
    made = [
        (end.activities[slot.made_by].depth, path)
        for path, slot in end.slots.items()
        if path in shifts
        and slot.made_by is not None
        and slot.made_by in end.activities
        and slot.side == EVALUATED
        and not _is_output(end, path)
    ]
    if not made:
        return None
    depth = max(depth for depth, _ in made)
    return max((shifts[path] for d, path in made if d == depth), key=lambda shift: shift.mean)


def _clip(value: float | None, bound: float) -> float:
    return NAN if value is None or math.isnan(value) else max(-bound, min(bound, value))
