"""Profiles of parts added up: of the days of a month, of the shards of a dataset.

Counts, minimum, maximum, mean and variance are exact (variance by the formula of Chan, Golub and
LeVeque, 1979), distinct values an estimate or exact where all are listed, quantiles within their
stated error. The order of the parts does not matter. What cannot be added up is left out and said:
bins of a label with other edges, columns that not all parts have. Associations are averages over
the rows they were measured on: an association within the parts, not across them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from provgraph.errors import FormatError
from provgraph.frozen import replace
from provgraph.profiles.codec import encode
from provgraph.profiles.distinct import estimate, merge_registers
from provgraph.profiles.fitting import FULL, fitted
from provgraph.profiles.profile import (
    Association,
    ByLabel,
    ColumnProfile,
    Group,
    Label,
    Lengths,
    Sampled,
    TableProfile,
)
from provgraph.profiles.quantiles import Quantiles, merge_quantiles
from provgraph.profiles.values import Frequent, merge_frequent

_DIGITS = 9


def merge(parts: Sequence[TableProfile]) -> TableProfile:
    """Return the profile of all parts' rows together.

    Raises:
        FormatError: no parts.
    """
    if not parts:
        raise FormatError("expected at least one profile to merge")
    if len(parts) == 1:
        return parts[0]
    parts = sorted(parts, key=encode)
    notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    first = parts[0]
    names = [column.name for column in first.columns]
    common: list[list[ColumnProfile]] = []
    for place, name in enumerate(names):
        number = names[:place].count(name)
        found = [_nth(part, name, number) for part in parts]
        columns = [column for column in found if column is not None]
        if len(columns) == len(parts):
            common.append(columns)
    all_names = [name for part in parts for name in {c.name for c in part.columns}]
    apart = sorted(name for name in set(all_names) if all_names.count(name) < len(parts))
    if apart:
        shown = ", ".join(repr(name) for name in apart[:5])
        notes.append(f"not in all {len(parts)} parts, hence left out: {shown}")
    label, by_label = _by_label(parts, notes)
    return fitted(
        TableProfile(
            rows=sum(part.rows for part in parts),
            column_count=max(part.column_count for part in parts),
            columns=tuple(
                merge_columns(columns, [p.profiled_rows for p in parts]) for columns in common
            ),
            sampled=_sampled([part.sampled for part in parts], [part.rows for part in parts]),
            joint=_sampled([part.joint for part in parts], [p.profiled_rows for p in parts]),
            label=label,
            by_label=by_label,
            associations=_associations(parts),
            parts=sum(part.parts for part in parts),
            notes=tuple(notes),
        )
    )


def merge_columns(columns: Sequence[ColumnProfile], rows: Sequence[int]) -> ColumnProfile:
    """Return one column over all parts; `rows` are the rows looked at in each part."""
    mean, variance = _moments(columns, rows)
    distinct, is_exact, frequent, registers = _values(columns)
    lengths = _lengths(columns, rows)
    sketches = [column.quantiles for column in columns if column.quantiles is not None]
    withheld = next((column.withheld for column in columns if column.withheld), None)
    kinds = {column.type for column in columns if column.type != "null"}
    return ColumnProfile(
        name=columns[0].name,
        type=_common_type(kinds),
        unit=columns[0].unit if len({column.unit for column in columns}) == 1 else None,
        nulls=sum(column.nulls for column in columns),
        infinite=sum(column.infinite for column in columns),
        distinct=distinct,
        is_distinct_exact=is_exact,
        mean=mean,
        variance=variance,
        quantiles=merge_quantiles(sketches, size=FULL.quantiles) if sketches else None,
        frequent=None if withheld else frequent,
        registers=registers,
        buckets=_buckets(columns),
        lengths=lengths,
        withheld=withheld,
        unreadable=next((column.unreadable for column in columns if column.unreadable), None),
    )


def rounded(value: float) -> float:
    """Return a figure without the digits in which machines differ."""
    return float(f"{value:.{_DIGITS}g}")


def _nth(part: TableProfile, name: str, number: int) -> ColumnProfile | None:
    """Return the column that has a name for the `number`-th time: names may repeat."""
    same = [column for column in part.columns if column.name == name]
    return same[number] if number < len(same) else None


def _common_type(kinds: set[str]) -> str:
    if not kinds:
        return "null"
    if kinds == {"integer", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _moments(
    columns: Sequence[ColumnProfile], rows: Sequence[int]
) -> tuple[float | None, float | None]:
    total, mean, squares = 0, 0.0, 0.0
    for column, looked_at in zip(columns, rows, strict=True):
        count = looked_at - column.nulls - column.infinite
        if count <= 0 or column.mean is None:
            continue
        difference = column.mean - mean
        both = total + count
        mean += difference * count / both
        squares += (column.variance or 0.0) * max(0, count - 1)
        squares += difference * difference * total * count / both
        total = both
    if not total or not math.isfinite(mean):
        return None, None
    has_variance = total > 1 and math.isfinite(squares)
    return rounded(mean), rounded(squares / (total - 1)) if has_variance else None


def _values(
    columns: Sequence[ColumnProfile],
) -> tuple[int | None, bool, Frequent | None, str | None]:
    """Return distinct values, whether they are counted exactly, the frequent ones, registers."""
    known = [column for column in columns if column.distinct]
    frequent = None
    if known and all(column.frequent is not None for column in known):
        parts = [column.frequent for column in known if column.frequent is not None]
        frequent = merge_frequent(parts, size=FULL.frequent)
        if all(part.is_complete for part in parts):
            every = merge_frequent(parts, size=sum(len(part.counts) for part in parts))
            registers = _registers(known)
            return len(every.counts), True, frequent, registers
    if not known:
        return (0 if any(column.distinct == 0 for column in columns) else None), True, None, None
    registers = _registers(known)
    low = max(column.distinct or 0 for column in known)
    high = sum(column.distinct or 0 for column in known)
    if len(known) == 1:
        return low, known[0].is_distinct_exact, frequent, registers
    if registers is None:
        return low, False, frequent, None
    # Never below what one part has alone, nor above what all have together.
    return min(high, max(low, round(estimate(registers)))), False, frequent, registers


def _registers(columns: Sequence[ColumnProfile]) -> str | None:
    found: str | None = None
    for column in columns:
        if column.registers is None:
            return None
        found = column.registers if found is None else merge_registers(found, column.registers)
    return found


def _buckets(columns: Sequence[ColumnProfile]) -> tuple[int, ...]:
    filled = [column.buckets for column in columns if column.distinct]
    if not filled or any(len(buckets) != len(filled[0]) for buckets in filled):
        return ()
    return tuple(map(sum, zip(*filled, strict=True)))


def _lengths(columns: Sequence[ColumnProfile], rows: Sequence[int]) -> Lengths | None:
    weighted = [
        (column.lengths, looked_at - column.nulls)
        for column, looked_at in zip(columns, rows, strict=True)
        if column.lengths is not None
    ]
    if not weighted:
        return None
    total = sum(count for _, count in weighted)
    return Lengths(
        minimum=min(each.minimum for each, _ in weighted),
        maximum=max(each.maximum for each, _ in weighted),
        mean=rounded(sum(each.mean * count for each, count in weighted) / max(1, total)),
    )


def _sampled(parts: Sequence[Sampled | None], rows: Sequence[int]) -> Sampled | None:
    found = [part for part in parts if part is not None]
    if not found:
        return None
    methods = sorted({part.method for part in found})
    if len(found) < len(parts):
        methods.append("all rows")
    return Sampled(
        rows=sum(
            each if part is None else part.rows for part, each in zip(parts, rows, strict=True)
        ),
        of=sum(rows),
        method=" and ".join(methods)[:200],
    )


def _by_label(
    parts: Sequence[TableProfile], notes: list[str]
) -> tuple[Label | None, tuple[ByLabel, ...]]:
    labels = [part.label for part in parts]
    first = labels[0]
    if first is None or any(each is None for each in labels):
        if any(labels):
            notes.append("not all parts have a label, hence nothing by label")
        return None, ()
    given = [each for each in labels if each is not None]
    if len({each.name for each in given}) > 1 or len({each.edges for each in given}) > 1:
        notes.append("labels or their bins differ between the parts, hence nothing by label")
        return None, ()
    if first.edges:
        return first, _merged_groups(parts, [list(range(len(first.edges) + 1))] * len(parts))
    counts = merge_frequent([Frequent(counts=each.classes) for each in given], size=FULL.frequent)
    classes = [value for value, _ in counts.counts]
    places = [
        [
            next((at for at, (value, _) in enumerate(label.classes) if value == wanted), -1)
            for wanted in classes
        ]
        for label in given
    ]
    return replace(first, classes=counts.counts), _merged_groups(parts, places)


def _merged_groups(
    parts: Sequence[TableProfile], places: Sequence[Sequence[int]]
) -> tuple[ByLabel, ...]:
    """Merge groups; `places` says for each part where each of the classes stands in it."""
    merged = []
    for each in parts[0].by_label:
        same = [next((b for b in part.by_label if b.column == each.column), None) for part in parts]
        found = [by for by in same if by is not None]
        if len(found) < len(parts):
            continue
        groups = [
            [
                by.groups[place[at]]
                for by, place in zip(found, places, strict=True)
                if 0 <= place[at] < len(by.groups)
            ]
            for at in range(len(places[0]))
        ]
        merged.append(ByLabel(column=each.column, groups=tuple(map(_merge_groups, groups))))
    return tuple(merged)


def _merge_groups(groups: Sequence[Group]) -> Group:
    sketches: list[Quantiles] = [each.quantiles for each in groups if each.quantiles is not None]
    listed = [each.frequent for each in groups if each.frequent is not None]
    return Group(
        rows=sum(each.rows for each in groups),
        nulls=sum(each.nulls for each in groups),
        quantiles=merge_quantiles(sketches, size=FULL.group_quantiles) if sketches else None,
        frequent=merge_frequent(listed, size=FULL.group_frequent) if listed else None,
    )


def _associations(parts: Sequence[TableProfile]) -> tuple[Association, ...]:
    found: dict[tuple[str, str, str], list[Association]] = {}
    for part in parts:
        for each in part.associations:
            found.setdefault((each.one, each.other, each.measure), []).append(each)
    merged = []
    for (one, other, measure), measured in found.items():
        rows = sum(each.rows for each in measured)
        if len(measured) == len(parts) and rows:
            value = round(sum(each.value * each.rows for each in measured) / rows, 4)
            merged.append(
                Association(one=one, other=other, measure=measure, value=value, rows=rows)
            )
    labels = {part.label.name for part in parts if part.label is not None}
    merged.sort(
        key=lambda each: (
            not labels & {each.one, each.other},
            -abs(each.value),
            each.one,
            each.other,
        )
    )
    return tuple(merged)
