"""Two tables compared: columns, label, what a changed mix of labels alone would explain.

A table's own noise is what healthy tables show against each other (`noise`): every z is divided by
it where it is known, so that a column that moves in every healthy run is not loud.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from provgraph.drift.columns import (
    KS_CRITICAL,
    ColumnShift,
    classes_distance,
    compare_columns,
    group_distance,
    ks_distance,
    mixture_distance,
)
from provgraph.frozen import dataclass, replace
from provgraph.profiles.profile import ByLabel, ColumnProfile, Group, TableProfile
from provgraph.profiles.values import Frequent, key_of, merge_frequent


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShift:
    """How a table differs from an earlier one."""

    rows_before: int
    rows_after: int
    columns: tuple[ColumnShift, ...]
    lost: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()  # association of each column with the label before, 0 to 1
    label_distance: float | None = None
    label_z: float | None = None
    conditional: float | None = None  # mean distance of columns within classes of the label
    conditional_z: float | None = None
    marginal_z: float | None = None  # the same columns without regard to the label
    residual_z: float | None = None  # what is left when former classes are mixed as they are now
    association_z: float | None = None  # largest change of a correlation with the label
    association_mean_z: float | None = None
    association_lost: float | None = None  # share of the former correlation that is gone
    association_name: str = ""
    lonely: float = 0.0  # distance of the column that moved most without the ones tied to it
    broken_z: float | None = None  # mean log(1 + z) of how pairs of columns go together
    broken_share: float | None = None  # share of the ties between columns that is gone

    @property
    def loudness(self) -> float:
        """Return the loudest column's z."""
        return max((column.loudness for column in self.columns), default=0.0)

    @property
    def mean(self) -> float:
        """Return the mean of log(1 + z) over columns."""
        if not self.columns:
            return 0.0
        return sum(math.log1p(column.loudness) for column in self.columns) / len(self.columns)

    @property
    def weighted(self) -> float:
        """Return the same, each column by its association with the label."""
        total = sum(self.weights)
        if not self.columns or total <= 0:
            return self.mean
        return (
            sum(
                math.log1p(column.loudness) * weight
                for column, weight in zip(self.columns, self.weights, strict=True)
            )
            / total
        )

    @property
    def moved_share(self) -> float:
        """Return the share of columns that are louder than noise."""
        if not self.columns:
            return 0.0
        return sum(column.loudness > 1.6 for column in self.columns) / len(self.columns)


def compare_tables(
    before: TableProfile,
    after: TableProfile,
    noise: Mapping[str, float] | None = None,
    *,
    by_label: bool = True,
) -> TableShift:
    """Compare two tables; `noise` has the largest z of each column among healthy tables.

    `by_label` False leaves out what is compared class by class.
    """
    first = {column.name: column for column in before.columns}
    second = {column.name: column for column in after.columns}
    label = None if before.label is None else before.label.name
    shared = [name for name in first if name in second and name != label]
    n, m = before.profiled_rows, after.profiled_rows
    columns = []
    for name in shared:
        shift = compare_columns(first[name], second[name], n, m)
        scale = max(1.0, (noise or {}).get(name, 1.0))
        if scale > 1:
            shift = replace(shift, shape_z=shift.shape_z / scale, null_z=shift.null_z / scale)
        columns.append(shift)
    # Rows that come twice take distinct values from every column alike: only one beyond others tells.
    common = sorted(column.collapse for column in columns)[len(columns) // 2] if columns else 0.0
    if common > 0:
        columns = [replace(each, collapse=max(0.0, each.collapse - common)) for each in columns]
    strength = associations(before)
    result = TableShift(
        rows_before=before.rows,
        rows_after=after.rows,
        columns=tuple(columns),
        lost=tuple(name for name in first if name not in second and name != label),
        added=tuple(name for name in second if name not in first and name != label),
        weights=tuple(abs(strength.get(name, (0.0, 0))[0]) for name in shared),
    )
    result = _with_label(result, before, after, noise)
    if not by_label:
        return result
    result = _within_classes(result, before, after, noise or {})
    result = _with_pairs(result, before, after)
    return _with_association(result, after, strength)


def column_noise(tables: Sequence[TableProfile]) -> dict[str, float]:
    """Return the largest z of each column among healthy tables against the first, and of the label."""
    worst: dict[str, float] = {}
    for other in tables[1:]:
        shift = compare_tables(tables[0], other, by_label=False)
        for column in shift.columns:
            worst[column.name] = max(worst.get(column.name, 0.0), column.loudness)
        if shift.label_z is not None:
            worst["label"] = max(worst.get("label", 0.0), shift.label_z)
    return worst


def associations(profile: TableProfile) -> dict[str, tuple[float, int]]:
    """Return how each column goes with the label: (value, rows)."""
    if profile.label is None:
        return {}
    name, found = profile.label.name, {}
    for each in profile.associations:
        if each.one == name:
            found[each.other] = (each.value, each.rows)
        elif each.other == name:
            found[each.one] = (each.value, each.rows)
    return found


def label_shares(profile: TableProfile) -> tuple[float, ...] | None:
    """Return the share of each class or bin of the label, None where it is not known."""
    if profile.label is None:
        return None
    if profile.label.classes:
        total = sum(count for _, count in profile.label.classes)
        return tuple(count / total for _, count in profile.label.classes) if total else None
    if profile.by_label:
        rows = [group.rows for group in profile.by_label[0].groups]
        return tuple(count / sum(rows) for count in rows) if sum(rows) else None
    return None


def _with_label(
    shift: TableShift,
    before: TableProfile,
    after: TableProfile,
    noise: Mapping[str, float] | None,
) -> TableShift:
    if before.label is None or after.label is None:
        return shift
    scale = max(1.0, (noise or {}).get("label", 1.0))
    if before.label.classes and after.label.classes:
        first, second = Frequent(counts=before.label.classes), Frequent(counts=after.label.classes)
        n = sum(count for _, count in before.label.classes)
        m = sum(count for _, count in after.label.classes)
        distance, z = classes_distance(first, second, n, m)
    else:
        one = before.column(before.label.name)
        two = after.column(after.label.name)
        if one is None or two is None or one.quantiles is None or two.quantiles is None:
            return shift
        distance = ks_distance(one.quantiles, two.quantiles)
        n, m = one.quantiles.count, two.quantiles.count
        z = distance * math.sqrt(n * m / (n + m)) / 1.36
    return replace(shift, label_distance=distance, label_z=z / scale)


def _within_classes(
    shift: TableShift, before: TableProfile, after: TableProfile, noise: Mapping[str, float]
) -> TableShift:
    """Compare columns class by class, and with former classes mixed as they are now.

    Bins of a label that is a number have edges of their own table: their shares are read at the former
    edges off the new label's quantiles; class by class is compared only where edges are about equal.
    """
    shares = new_shares(before, after)
    if shares is None:
        return shift
    matched = _matched_groups(before, after)
    groups = {each.column: each.groups for each in before.by_label}
    distances, zs, marginals, residuals = [], [], [], []
    for column in shift.columns:
        if not column.comparable or column.name not in groups:
            continue
        scale = max(1.0, noise.get(column.name, 1.0))
        found = [
            (pair, min(one.rows, two.rows))
            for one, two in matched.get(column.name, ())
            if (pair := group_distance(one, two)) is not None
        ]
        weight = sum(rows for _, rows in found)
        if weight:
            distances.append(sum(pair[0] * rows for pair, rows in found) / weight)
            zs.append(sum(pair[1] * rows for pair, rows in found) / weight)
        other = after.column(column.name)
        residual = None if other is None else _residual(groups[column.name], shares, other, after)
        if residual is not None:
            marginals.append(column.shape_z)
            residuals.append(min(residual / scale, 1.5 * column.shape_z + 1.0))
    return replace(
        shift,
        conditional=_mean(distances),
        conditional_z=_mean([math.log1p(z) for z in zs]),
        marginal_z=_mean([math.log1p(z) for z in marginals]),
        residual_z=_mean([math.log1p(z) for z in residuals]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def new_shares(before: TableProfile, after: TableProfile) -> list[float] | None:
    """Return the shares of the former classes or bins in the new table, None where unknown."""
    if before.label is None or after.label is None or not before.by_label:
        return None
    if before.label.classes:
        counts = {str(value): count for value, count in after.label.classes}
        total = sum(counts.values())
        if not total:
            return None
        return [counts.get(str(value), 0) / total for value, _ in before.label.classes]
    column = after.column(after.label.name)
    if column is None or column.quantiles is None:
        return None
    up_to = [0.0, *(column.quantiles.share_up_to(edge) for edge in before.label.edges), 1.0]
    return [max(0.0, high - low) for low, high in pairwise(up_to)]


def _matched_groups(
    before: TableProfile, after: TableProfile
) -> dict[str, list[tuple[Group, Group]]]:
    assert before.label is not None
    assert after.label is not None
    second = {each.column: each for each in after.by_label}
    pairs: dict[str, list[tuple[Group, Group]]] = {}
    if before.label.classes:
        place = {str(value): i for i, (value, _) in enumerate(after.label.classes)}
        order = [
            (i, place[str(value)])
            for i, (value, _) in enumerate(before.label.classes)
            if str(value) in place
        ]
    elif _same_edges(before.label.edges, after.label.edges):
        order = [(i, i) for i in range(len(before.label.edges) + 1)]
    else:
        return {}
    for each in before.by_label:
        other = second.get(each.column)
        if other is not None and _fits(each, other, order):
            pairs[each.column] = [(each.groups[i], other.groups[j]) for i, j in order]
    return pairs


def _same_edges(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether bins mean about the same: edges of two samples of one label differ a little."""
    if len(one) != len(other) or not one:
        return False
    spread = (one[-1] - one[0]) or 1.0
    return all(abs(a - b) <= 0.12 * spread for a, b in zip(one, other, strict=True))


def _fits(one: ByLabel, other: ByLabel, order: Sequence[tuple[int, int]]) -> bool:
    return all(i < len(one.groups) and j < len(other.groups) for i, j in order)


def _residual(
    groups: Sequence[Group], shares: Sequence[float], column: ColumnProfile, after: TableProfile
) -> float | None:
    """Return z of the new rows against former classes in the new shares, None where unknown."""
    used = [(group, share) for group, share in zip(groups, shares, strict=False) if share > 0]
    used = [(group, share) for group, share in used if group.rows]
    if not used or sum(share for _, share in used) < 0.6:
        return None
    n, m = sum(group.rows for group, _ in used), after.profiled_rows - column.nulls
    if m < 1:
        return None
    if column.quantiles is not None and all(group.quantiles is not None for group, _ in used):
        parts = [(group.quantiles, share) for group, share in used if group.quantiles is not None]
        distance = max(0.0, mixture_distance(parts, column.quantiles) - 0.01)
        return distance * math.sqrt(n * m / (n + m)) / KS_CRITICAL
    if column.frequent is not None and all(group.frequent is not None for group, _ in used):
        scaled = [
            Frequent(
                counts=tuple(
                    (value, max(1, round(1e6 * share * count / group.rows)))
                    for value, count in group.frequent.counts
                ),
                others=round(1e6 * share * group.frequent.others / group.rows),
            )
            for group, share in used
            if group.frequent is not None
        ]
        mixed_classes = merge_frequent(scaled, size=24)
        total = sum(count for _, count in mixed_classes.counts) + mixed_classes.others
        counts = {key_of(v): c * n / max(total, 1) for v, c in mixed_classes.counts}
        shrunk = Frequent(
            counts=tuple((v, max(1, round(counts[key_of(v)]))) for v, _ in mixed_classes.counts),
            others=round(mixed_classes.others * n / max(total, 1)),
        )
        return classes_distance(shrunk, column.frequent, n, m)[1]
    return None


def _with_association(
    shift: TableShift,
    after: TableProfile,
    first: Mapping[str, tuple[float, int]],
) -> TableShift:
    second = associations(after)
    worst, name, total, lost, kept = 0.0, "", 0.0, 0.0, 0.0
    count = 0
    for column, (value, rows) in first.items():
        if column not in second or min(rows, second[column][1]) < 12:
            continue
        other, other_rows = second[column]
        # Fisher's transformation: the standard error of atanh(r) is 1 / sqrt(n - 3).
        gap = abs(_atanh(value) - _atanh(other)) / math.sqrt(1 / (rows - 3) + 1 / (other_rows - 3))
        total += math.log1p(gap)
        count += 1
        kept += value * value
        lost += value * value - min(value * value, other * other)
        if gap > worst:
            worst, name = gap, column
    if not count:
        return shift
    return replace(
        shift,
        association_z=worst,
        association_mean_z=total / count,
        association_lost=lost / kept if kept > 0.01 else None,
        association_name=name,
    )


def _with_pairs(shift: TableShift, before: TableProfile, after: TableProfile) -> TableShift:
    """Look at columns in pairs: damage to one column breaks its ties, a shift of rows carries them along."""
    label = None if before.label is None else before.label.name
    second = {(each.one, each.other): each for each in after.associations}
    distance = {column.name: column.distance for column in shift.columns if column.comparable}
    nulls = {c.name: abs(c.null_after - c.null_before) for c in shift.columns}
    partner: dict[str, float] = {}
    gaps, lost, kept = [], 0.0, 0.0
    for each in before.associations:
        if label in {each.one, each.other} or not {each.one, each.other} <= distance.keys():
            continue
        if abs(each.value) > 0.45:
            for name, other in ((each.one, each.other), (each.other, each.one)):
                moved = distance[other] / abs(each.value)
                partner[name] = max(partner.get(name, 0.0), moved)
        now = second.get((each.one, each.other)) or second.get((each.other, each.one))
        if now is None or min(each.rows, now.rows) < 12 or each.measure != now.measure:
            continue
        error = math.sqrt(1 / (each.rows - 3) + 1 / (now.rows - 3))
        gaps.append(math.log1p(abs(_atanh(each.value) - _atanh(now.value)) / error))
        if abs(each.value) > 0.2:
            kept += each.value**2
            lost += max(0.0, each.value**2 - now.value**2)
    lonely = [distance[name] + nulls[name] - moved for name, moved in partner.items()]
    return replace(
        shift,
        lonely=max([0.0, *lonely]),
        broken_z=_mean(gaps),
        broken_share=lost / kept if kept > 0.04 else None,
    )


def _atanh(value: float) -> float:
    return math.atanh(max(-0.999, min(0.999, value)))
