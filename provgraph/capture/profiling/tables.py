"""The profile of a table in memory, within a budget.

Every row is looked at up to `Limits.rows`, beyond it every n-th. Columns are read one at a time, so
memory is that of one column and of one hash per row. Whether a figure is of all rows, and what was
left out, stands in the profile. Nothing in it depends on the order of rows, unless rows were left
out by their place, which is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.profiling.cells import Cells, read_cells
from provgraph.capture.profiling.columns import measure, shown
from provgraph.capture.profiling.hashing import add_to_rows
from provgraph.capture.profiling.joint import (
    Joint,
    associations,
    by_label,
    group_places,
    joint_column,
    label_of,
    patterns_of,
)
from provgraph.capture.profiling.limits import Limits
from provgraph.capture.profiling.reading import Tabular, tabular
from provgraph.capture.profiling.sampling import smallest_rows
from provgraph.capture.redact import redact
from provgraph.capture.values import describe_error
from provgraph.errors import CaptureError
from provgraph.frozen import replace
from provgraph.profiles.fitting import MAX_COLUMNS, fitted
from provgraph.profiles.profile import (
    Association,
    ByLabel,
    ColumnProfile,
    Label,
    Sampled,
    TableProfile,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

# Names that say what a column is for, where nobody said so.
_LABELS: Final = ("target", "label", "y")
_MAX_CELLS_OF_SPARSE: Final = 200_000_000


def profile_table(
    thing: Any,
    *,
    limits: Limits,
    label: str | None = None,
    units: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.thread_time,
) -> TableProfile | None:
    """Profile a table or matrix in memory; None for anything else.

    Args:
        thing: pandas, polars or Arrow table, NumPy, SciPy or PyTorch matrix, lists, dict of columns.
        limits: the budget.
        label: name of the column that a model is to predict.
        units: units of columns by their names.
        clock: what the budget is measured by: CPU time of the thread, since a busy machine must not
            change what a profile says.

    Raises:
        CaptureError: a table that cannot be read at all.
    """
    end_s = clock() + limits.seconds
    table = tabular(thing, width=MAX_COLUMNS)
    if table is None:
        return None
    notes: list[str] = []
    if table.width > len(table.columns):
        notes.append(f"of {table.width:,} columns the first {len(table.columns)} are profiled")
    looked_at, sampled = _within_rows(table, limits)
    measured: list[ColumnProfile] = []
    row_hashes: Array | None = None
    needs_sample = looked_at.rows > limits.joint_rows
    for place, (name, make) in enumerate(looked_at.columns):
        if place and clock() > end_s:
            notes.append(
                f"columns from the {place + 1}. on are left out: the budget of"
                f" {limits.seconds:g} s (profile_s) was spent"
            )
            break
        cells, column = _measured(name, make, limits, units or {})
        measured.append(column)
        if cells is not None and needs_sample:
            row_hashes = add_to_rows(row_hashes, cells.row_hashes())
    profile = TableProfile(
        rows=table.rows,
        column_count=table.width,
        columns=tuple(measured),
        sampled=sampled,
        notes=tuple(notes),
    )
    is_late = clock() > end_s
    if is_late and len(measured) == len(table.columns):
        profile = replace(
            profile,
            notes=(
                *notes,
                (
                    "nothing by label and no associations: the budget of"
                    f" {limits.seconds:g} s (profile_s) was spent"
                ),
            ),
        )
    if not is_late and looked_at.rows:
        profile = _with_joint(profile, looked_at, row_hashes, limits, label or table.label)
    return fitted(profile)


def _within_rows(table: Tabular, limits: Limits) -> tuple[Tabular, Sampled | None]:
    import numpy as np

    if table.rows <= limits.rows:
        return table, None
    step = -(-table.rows // limits.rows)
    some = table.take(np.arange(0, table.rows, step))
    method = f"every {step}. row"
    return some, Sampled(rows=some.rows, of=table.rows, method=method)


def _measured(
    name: str, make: Callable[[], Any], limits: Limits, units: Mapping[str, str]
) -> tuple[Cells | None, ColumnProfile]:
    """Read and measure one column; one that cannot be read costs itself, not the table."""
    clean, unit = shown(name), units.get(name)
    try:
        cells = read_cells(make())
        return cells, measure(cells, name=clean, unit=unit, lists_values=limits.lists_values)
    except Exception as error:
        reason = str(error) if isinstance(error, CaptureError) else describe_error(error)
        return None, ColumnProfile(
            name=clean, type="unreadable", unit=unit, unreadable=redact(reason)[:300]
        )


def _with_joint(
    profile: TableProfile,
    table: Tabular,
    row_hashes: Array | None,
    limits: Limits,
    label_name: str | None,
) -> TableProfile:
    """Add what is known of columns together."""
    joint = None
    if row_hashes is not None and table.rows > limits.joint_rows:
        rows = smallest_rows(row_hashes, limits.joint_rows)
        table = table.take(rows)
        joint = Sampled(
            rows=len(rows), of=profile.profiled_rows, method="rows with the smallest hashes"
        )
    columns = list(profile.columns)
    known: list[Joint] = []
    for place, (_, make) in enumerate(table.columns[: len(columns)]):
        if columns[place].type == "unreadable":
            continue
        cells = read_cells(make())
        if cells.type == "string":
            columns[place] = replace(columns[place], patterns=patterns_of(cells))
        if (prepared := joint_column(cells, columns[place])) is not None:
            known.append(prepared)
    notes = list(profile.notes)
    label, goal = _label(columns, known, label_name, notes)
    places: Array | None = None
    grouped: tuple[ByLabel, ...] = ()
    if label is not None and goal is not None:
        places = group_places(label, goal)
        count = len(label.classes) or len(label.edges) + 1
        grouped = tuple(by_label(each, places, count) for each in known if each is not goal)
    found: tuple[Association, ...] = associations(known, goal, places)
    return replace(
        profile,
        columns=tuple(columns),
        joint=joint,
        label=label,
        by_label=grouped,
        associations=found,
        notes=tuple(notes),
    )


def _label(
    columns: Sequence[ColumnProfile], known: Sequence[Joint], name: str | None, notes: list[str]
) -> tuple[Label | None, Joint | None]:
    """Return the label and its column: what was given, else the one named as labels are."""
    origin = "given"
    if name is None:
        named = [each.name for each in columns if each.name.lower() in _LABELS]
        if len(named) != 1:
            return None, None
        name, origin = named[0], "guessed"
    goal = next((each for each in known if each.name == shown(name)), None)
    if goal is None:
        if origin == "given":
            notes.append(f"the label {shown(name)[:100]!r} is no column that has values")
        return None, None
    label = label_of(goal.profile, origin=origin)
    if label is None:
        why = goal.profile.withheld or "it has one value only"
        notes.append(f"nothing by the label {goal.name[:100]!r}: {why}")
        return None, None
    return label, goal
