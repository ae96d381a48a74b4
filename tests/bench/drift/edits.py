"""What can happen to a table before the pipeline sees it; each is a named edit with settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tests.bench.drift.tables import Task


def apply_edits(
    task: Task,
    frame: pd.DataFrame,
    reserve: pd.DataFrame,
    edits: list[dict[str, Any]],
    *,
    seed: int,
) -> pd.DataFrame:
    """Return the table after all edits; the given one is left alone.

    What selects rows takes them from the reserve, each at most once, about as many as there were or
    half of the reserve where that is less.
    """
    if not edits:
        return frame
    size = min(len(frame), len(reserve) // 2)
    if any(each["kind"] in SELECTING for each in edits):
        frame = reserve
    frame = frame.reset_index(drop=True)
    for each in edits:
        generator = np.random.default_rng([seed, each.get("salt", 0)])
        if each["kind"] in SELECTING:
            each = each | {"size": size}  # noqa: PLW2901 - the same edit, told how many
        frame = _EDITS[each["kind"]](task, frame.copy(), each, generator).reset_index(drop=True)
    return frame


def _nulls(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    for name in edit["columns"]:
        gone = generator.random(len(frame)) < edit["share"]
        frame.loc[gone, name] = np.nan if name in task.numeric else "unknown"
    return frame


def _unit(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    for name in edit["columns"]:
        frame[name] = frame[name] * edit["factor"]
    return frame


def _partial_unit(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    chosen = generator.random(len(frame)) < edit["share"]
    for name in edit["columns"]:
        frame.loc[chosen, name] = frame.loc[chosen, name] * edit["factor"]
    return frame


def _sentinel(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    for name in edit["columns"]:
        chosen = generator.random(len(frame)) < edit["share"]
        frame.loc[chosen, name] = edit["value"] * (1 if name in task.numeric else 0)
    return frame


def _label_noise(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    chosen = np.flatnonzero(generator.random(len(frame)) < edit["share"])
    labels = frame["__y"].to_numpy().copy()
    if task.is_classification:
        kinds = np.unique(labels)
        step = generator.integers(1, max(len(kinds), 2), len(chosen))
        labels[chosen] = kinds[(np.searchsorted(kinds, labels[chosen]) + step) % len(kinds)]
    else:
        labels[chosen] = generator.permutation(labels[chosen])
    frame["__y"] = labels
    return frame


def _misjoin(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    chosen = np.flatnonzero(generator.random(len(frame)) < edit["share"])
    other = generator.permutation(chosen)
    for name in edit["columns"]:
        values = frame[name].to_numpy().copy()
        values[chosen] = values[other]
        frame[name] = values
    return frame


def _truncated(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    keep = max(25, int(len(frame) * edit["share"]))
    return frame.iloc[:keep]


def _repeated(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    block = frame.iloc[: max(10, int(len(frame) * 0.06))]
    return pd.concat([frame] + [block] * edit["times"])


def _frozen(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    for name in edit["columns"]:
        values = frame[name].to_numpy().copy()
        start = int(len(values) * (1 - edit["share"]))
        values[start:] = values[start - 1] if start else values[0]
        frame[name] = values
    return frame


def _swapped(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    a, b = edit["columns"][:2]
    first = frame[a].to_numpy().copy()
    frame[a] = frame[b].to_numpy()
    frame[b] = first
    return frame


def _spelling(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    for name in edit["columns"]:
        chosen = generator.random(len(frame)) < edit["share"]
        values = frame[name].astype(object).to_numpy().copy()
        values[chosen] = [f"{str(v).upper()} " for v in values[chosen]]
        frame[name] = values
    return frame


def _noise(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    for name in edit["columns"]:
        spread = float(np.nanstd(frame[name])) or 1.0
        frame[name] = frame[name] + generator.normal(0, edit["size"] * spread, len(frame))
    return frame


def _selection(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    """Rows come more often the higher they are on a mix of columns, whatever their label."""
    score = _mixed(task, edit)
    return _chosen(frame, edit["strength"] * score(frame), edit, generator)


def _subgroup(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    values = _mixed(task, edit)(frame)
    inside = values >= np.quantile(values, 1 - edit["share"])
    return _chosen(frame, np.where(inside, 5.0 * edit["strength"], 0.0), edit, generator)


def _label_mix(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    """Rows come by label: the label's shares change, the rows of each label do not."""
    labels = frame["__y"].to_numpy()
    if task.is_classification:
        kinds = np.unique(task.pool["__y"].to_numpy())
        order = np.random.default_rng(edit["salt"]).permutation(len(kinds))
        rank = order[np.searchsorted(kinds, labels)] / max(len(kinds) - 1, 1)
    else:
        rank = np.argsort(np.argsort(labels)) / len(labels)
        if edit["salt"] % 2:
            rank = 1 - rank
    return _chosen(frame, edit["strength"] * rank, edit, generator)


def _source(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    """Rows of the other source, measured with its own habits (a gain and offset per column)."""
    is_other = (frame["__site"] == "B").to_numpy()
    result = _chosen(frame, np.where(is_other, 6.0 * edit["share"], 0.0), edit, generator)
    swap = (result["__site"] == "B").to_numpy()
    habits = np.random.default_rng(edit["salt"])
    for name in task.numeric:
        gain = 1 + habits.normal(0, edit["habit"])
        offset = habits.normal(0, edit["habit"]) * (float(task.pool[name].std()) or 1.0)
        moved = result[name].to_numpy(float).copy()
        moved[swap] = moved[swap] * gain + offset
        result[name] = moved
    return result


def _chosen(frame: Any, weight: Any, edit: Any, generator: Any) -> Any:
    """Choose rows without repeating one, by exp(weight): the largest weights with Gumbel noise."""
    keys = weight + generator.gumbel(0, 1, len(frame))
    return frame.iloc[np.sort(np.argsort(-keys)[: edit["size"]])].copy()


def _mixed(task: Task, edit: Any) -> Any:
    def score(frame: Any) -> Any:
        total = np.zeros(len(frame))
        for name, weight in edit["mix"]:
            values = frame[name].to_numpy(float)
            order = np.argsort(np.argsort(values)) / len(values)
            total += weight * (order - 0.5) * 3.4
        return total / np.sqrt(sum(w * w for _, w in edit["mix"]))

    return score


def _same(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    """A new snapshot of the same population."""
    keep = generator.permutation(len(frame))[: int(len(frame) * 0.93)]
    return frame.iloc[keep].copy()


def _shuffled(task: Task, frame: Any, edit: Any, generator: Any) -> Any:
    return frame.sample(frac=1, random_state=int(generator.integers(1 << 30)))


SELECTING = {"selection", "subgroup", "label_mix", "source"}
_EDITS = {
    "nulls": _nulls,
    "unit": _unit,
    "partial_unit": _partial_unit,
    "sentinel": _sentinel,
    "label_noise": _label_noise,
    "misjoin": _misjoin,
    "truncated": _truncated,
    "repeated": _repeated,
    "frozen": _frozen,
    "swapped": _swapped,
    "spelling": _spelling,
    "noise": _noise,
    "selection": _selection,
    "subgroup": _subgroup,
    "label_mix": _label_mix,
    "source": _source,
    "same": _same,
    "shuffled": _shuffled,
}
