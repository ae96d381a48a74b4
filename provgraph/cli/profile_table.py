"""A column profile as a table of the terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from rich.markup import escape
from rich.table import Table

from provgraph.profiles.profile import TIMES, Association, ColumnProfile, TableProfile

_MAX_COLUMNS: Final = 40
_MAX_VALUES: Final = 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def profile_table(profile: TableProfile) -> Table:
    """Return one line for each of the first columns."""
    table = Table(box=None, pad_edge=False, header_style="cyan")
    table.add_column("column", overflow="fold")
    for name in ("type", "nulls", "distinct", "min", "median", "max", "mean", "frequent values"):
        right = name in {"nulls", "distinct", "min", "median", "max", "mean"}
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for column in profile.columns[:_MAX_COLUMNS]:
        table.add_row(*map(escape, _cells(column)))
    return table


def profile_notes(profile: TableProfile) -> list[str]:
    """Return in words what the table does not show."""
    said = [f"{profile.rows:,} rows, {profile.column_count:,} columns"]
    if profile.sampled is not None:
        said.append(f"looked at {profile.sampled.method}: {profile.sampled.rows:,} rows")
    if profile.label is not None:
        how = "" if profile.label.origin == "given" else " (guessed by its name)"
        classes = ", ".join(f"{value} {count:,}" for value, count in profile.label.classes)
        said.append(f"by the label {profile.label.name}{how}{': ' if classes else ''}{classes}")
        strongest = [
            f"{_other(each, profile.label.name)} {each.value:+.2f}"
            for each in profile.associations
            if len({each.one, each.other} & {profile.label.name}) == 1 and each.one != each.other
        ]
        if strongest:
            said.append(f"goes with it most: {', '.join(strongest[:3])}")
    if len(profile.columns) > _MAX_COLUMNS:
        said.append(f"{len(profile.columns) - _MAX_COLUMNS} more columns in the profile")
    return [*said, *profile.notes]


def _other(association: Association, name: str) -> str:
    return association.other if association.one == name else association.one


def _cells(column: ColumnProfile) -> list[str]:
    name = column.name or "(no name)"
    if column.unit:
        name = f"{name} [{column.unit}]"
    if column.unreadable is not None:
        return [name, column.type, "", "", "", "", "", "", column.unreadable]
    low = middle = high = ""
    if column.quantiles is not None:
        low, middle, high = (
            _figure(column, value)
            for value in (column.minimum, column.quantiles.at(0.5), column.maximum)
        )
    mean = "" if column.type in TIMES else _figure(column, column.mean)
    distinct = "" if column.distinct is None else f"{column.distinct:,}"
    if not column.is_distinct_exact:
        distinct = f"~{distinct}"
    return [
        name,
        column.type,
        f"{column.nulls:,}",
        distinct,
        low,
        middle,
        high,
        mean,
        _said(column),
    ]


def _figure(column: ColumnProfile, value: float | None) -> str:
    if value is None:
        return ""
    if column.type in TIMES:
        try:
            time = _EPOCH + timedelta(seconds=value)
        except OverflowError:
            return f"{value:g} s"
        return time.strftime("%Y-%m-%d" if column.type == "date" else "%Y-%m-%d %H:%M")
    return f"{value:.6g}"


def _said(column: ColumnProfile) -> str:
    if column.withheld is not None:
        return f"withheld: {column.withheld}"
    if column.frequent is None:
        return ", ".join(f"{shape!r} {count:,}" for shape, count in column.patterns[:1])
    shown = [f"{value} {count:,}" for value, count in column.frequent.counts[:_MAX_VALUES]]
    return ", ".join([*shown, "…"] if len(column.frequent.counts) > _MAX_VALUES else shown)
