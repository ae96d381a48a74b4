"""Making a profile as small as it must be: less detail for all columns, then fewer columns.

The first of DETAILS with which a profile is small enough is taken, so a narrow table keeps 65
quantiles a column and one of 200 columns keeps 9. Beyond that, columns at the end are left out and
said to be.
"""

from __future__ import annotations

from typing import Final

from provgraph.frozen import dataclass, replace
from provgraph.profiles.codec import encode, size_of_column
from provgraph.profiles.distinct import fold_registers
from provgraph.profiles.profile import (
    MAX_BYTES,
    ByLabel,
    ColumnProfile,
    Group,
    Label,
    TableProfile,
)
from provgraph.profiles.quantiles import Quantiles

MAX_COLUMNS: Final = 200
MAX_CLASSES: Final = 10
MAX_NOTES: Final = 20
_MAX_NAME: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """How much is kept of each part."""

    quantiles: int
    frequent: int
    group_quantiles: int
    group_frequent: int
    grouped: int  # columns
    associations: int
    registers: int  # 0: none
    patterns: int
    digits: int = 6  # of a column's range, in which its quantiles are written


# Each number of quantiles is one more than a power of two, so that the next is among its own values.
DETAILS: Final = (
    Detail(
        quantiles=65,
        frequent=32,
        group_quantiles=17,
        group_frequent=10,
        grouped=200,
        associations=200,
        registers=256,
        patterns=5,
    ),
    Detail(
        quantiles=33,
        frequent=24,
        group_quantiles=17,
        group_frequent=8,
        grouped=200,
        associations=150,
        registers=256,
        patterns=5,
    ),
    Detail(
        quantiles=33,
        frequent=16,
        group_quantiles=17,
        group_frequent=6,
        grouped=60,
        associations=100,
        registers=64,
        patterns=3,
    ),
    Detail(
        quantiles=17,
        frequent=10,
        group_quantiles=17,
        group_frequent=4,
        grouped=30,
        associations=80,
        registers=64,
        patterns=1,
    ),
    Detail(
        quantiles=17,
        frequent=6,
        group_quantiles=9,
        group_frequent=3,
        grouped=20,
        associations=60,
        registers=16,
        patterns=0,
        digits=5,
    ),
    Detail(
        quantiles=9,
        frequent=3,
        group_quantiles=9,
        group_frequent=2,
        grouped=10,
        associations=30,
        registers=0,
        patterns=0,
        digits=4,
    ),
    Detail(
        quantiles=9,
        frequent=2,
        group_quantiles=5,
        group_frequent=2,
        grouped=4,
        associations=20,
        registers=0,
        patterns=0,
        digits=3,
    ),
)
FULL: Final = DETAILS[0]


def fitted(profile: TableProfile, *, max_bytes: int = MAX_BYTES) -> TableProfile:
    """Return the most detailed form of a profile that is small enough."""
    profile = replace(
        profile,
        columns=tuple(replace(each, name=_short(each.name)) for each in profile.columns),
        notes=tuple(note[:400] for note in profile.notes[:MAX_NOTES]),
    )
    smaller = profile
    for detail in DETAILS:
        smaller = thinned(profile, detail)
        if len(encode(smaller)) <= max_bytes:
            return smaller
    return _with_fewer_columns(smaller, max_bytes)


def thinned(profile: TableProfile, detail: Detail) -> TableProfile:
    """Return a profile with no more than a detail keeps."""
    by_label = _strongest(profile, detail.grouped)
    return replace(
        profile,
        columns=tuple(_thin_column(column, detail) for column in profile.columns),
        by_label=tuple(
            replace(each, groups=tuple(_thin_group(group, detail) for group in each.groups))
            for each in by_label
        ),
        associations=profile.associations[: detail.associations],
    )


def _strongest(profile: TableProfile, count: int) -> tuple[ByLabel, ...]:
    """Return the groups of the columns that say most of the label, in the order of the columns."""
    if len(profile.by_label) <= count or profile.label is None:
        return profile.by_label
    strength = {
        ({each.one, each.other} - {profile.label.name} or {each.one}).pop(): abs(each.value)
        for each in profile.associations
        if profile.label.name in {each.one, each.other}
    }
    chosen = sorted(
        range(len(profile.by_label)),
        key=lambda place: (-strength.get(profile.by_label[place].column, 0.0), place),
    )[:count]
    return tuple(profile.by_label[place] for place in sorted(chosen))


def _thin_column(column: ColumnProfile, detail: Detail) -> ColumnProfile:
    registers = column.registers
    if registers is not None:
        registers = fold_registers(registers, detail.registers) if detail.registers else None
    return replace(
        column,
        mean=_short_figure(column.mean, detail),
        variance=_short_figure(column.variance, detail),
        quantiles=_thin_quantiles(column.quantiles, detail.quantiles, detail.digits),
        frequent=None if column.frequent is None else column.frequent.thinned(detail.frequent),
        registers=registers,
        patterns=column.patterns[: detail.patterns],
        buckets=column.buckets if detail.registers else (),
    )


def _thin_group(group: Group, detail: Detail) -> Group:
    frequent = group.frequent
    return replace(
        group,
        quantiles=_thin_quantiles(group.quantiles, detail.group_quantiles, detail.digits),
        frequent=None if frequent is None else frequent.thinned(detail.group_frequent),
    )


def _thin_quantiles(quantiles: Quantiles | None, size: int, digits: int) -> Quantiles | None:
    if quantiles is None:
        return None
    thin = quantiles.thinned(size).shortened(digits, end_digits=8 if digits < 6 else None)
    return replace(thin, error=min(1.0, round(thin.error + 5e-5, 4))) if digits < 6 else thin


def _short_figure(value: float | None, detail: Detail) -> float | None:
    return value if value is None or detail.digits == 6 else float(f"{value:.6g}")


def _with_fewer_columns(profile: TableProfile, max_bytes: int) -> TableProfile:
    """Drop columns at the end, and what is said about them, until the rest fits."""
    kept, size = 0, 0
    room = int(max_bytes * 0.9)  # the rest is for what is said of columns together
    for column in profile.columns:
        size += size_of_column(column) + 1
        if size > room:
            break
        kept += 1
    while True:
        names = {column.name for column in profile.columns[:kept]}
        note = f"columns from the {kept + 1}. on are left out: with them it would be over its size"
        label: Label | None = profile.label
        smaller = replace(
            profile,
            columns=profile.columns[:kept],
            label=label,
            by_label=tuple(each for each in profile.by_label if each.column in names),
            associations=tuple(
                each for each in profile.associations if {each.one, each.other} <= names
            ),
            notes=(*profile.notes, note),
        )
        if len(encode(smaller)) <= max_bytes or kept == 0:
            return smaller
        kept //= 2


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
