"""Metrics of a run: values, series with all their steps, and what does not fit together.

MLflow's last value of a metric is that of the largest step, then time, then value. A table of metrics and
what the store says of a logged model, or of the last values, are three accounts of the same logging; where
they differ, somebody changed one of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from provgraph.capture.series import Points
from provgraph.converters.mlflow import names
from provgraph.converters.mlflow.stored import Row, StoredRun
from provgraph.converters.report import Report
from provgraph.digests import Digest, sha256_bytes
from provgraph.imported import Disagreement
from provgraph.records import Series
from provgraph.vocab import run_iri

_LOWEST: Final = -(1 << 63)
_HIGHEST: Final = (1 << 63) - 1
# Two accounts of one value can be written with different numbers of digits by a database.
_TOLERANCE: Final = 1e-9


class Metrics:
    """What a run's metrics come to."""

    __slots__ = ("attachments", "content", "last", "series")

    def __init__(self, run: StoredRun, report: Report) -> None:
        """Read the metrics of a run; a value that is none is refused with its place."""
        self.last: dict[str, float] = {}
        self.series: list[Series] = []
        self.attachments: dict[Digest, bytes] = {}
        self.content: dict[str, Any] = {}
        points = 0
        for name, rows in run.metrics.items():
            kept = [row for row in rows if _is_value(row)]
            if len(kept) < len(rows):
                for row in rows:
                    if not _is_value(row):
                        where = f"run {run.run_id}, metric {name}"
                        report.refused("metric value", where=where, reason=_fault(row))
            if not kept:
                continue
            points += len(kept)
            self.last[name] = kept[-1][2]
            if len(kept) == 1:
                step, at_ms, value = kept[0]
                self.content[name] = [step, at_ms, number(value)]
            else:
                self.content[name] = self._series(name, kept)
        report.mapped("metric", len(self.last))
        report.mapped("metric value", points)

    def _series(self, name: str, rows: list[Row]) -> dict[str, str]:
        points = Points()
        for step, at_ms, value in rows:
            points.append(step=step, at_ms=at_ms, value=value)
        data = points.encode()
        digest = sha256_bytes(data)
        self.attachments[digest] = data
        minimum, maximum = points.extremes()
        self.series.append(
            Series(
                name=name,
                first=points.first,
                last=points.last,
                minimum=minimum,
                maximum=maximum,
                count=len(points),
                attachment=digest,
            )
        )
        return {"series": str(digest)}


def number(value: float) -> float | str:
    """Return a number as JSON can hold it."""
    return value if math.isfinite(value) else repr(float(value))


def disagreements(run: StoredRun, last: dict[str, float]) -> Iterator[Disagreement]:
    """Find what the store says twice, and differently, of the metrics and parameters of a run."""
    about = run_iri(names.run_id(run.run_id))
    for name, value in last.items():
        stated = None if run.latest is None else run.latest.get(name)
        if stated is None or stated[2] == value:
            continue
        if _is_value(stated) and not _same(stated[2], value):
            yield Disagreement(
                about=about,
                fact=name,
                first=repr(value),
                first_place="the metrics of the run",
                second=repr(stated[2]),
                second_place="its latest metrics",
            )
    latest = run.latest or {}
    for name in sorted(latest.keys() - run.metrics.keys()):
        yield Disagreement(
            about=about,
            fact=name,
            first="nothing",
            first_place="the metrics of the run",
            second=repr(latest[name][2]),
            second_place="its latest metrics",
        )
    for metric in run.model_metrics:
        if type(metric.value) is not float:
            continue
        logged = [
            row[2]
            for row in run.metrics.get(metric.name, ())
            if row[0] == metric.step and row[1] == metric.at_ms and _is_value(row)
        ]
        if not any(_same(metric.value, each) for each in logged):
            yield Disagreement(
                about=names.model_iri(metric.model_id),
                fact=metric.name,
                first=" or ".join(map(repr, logged)) or "nothing",
                first_place=f"the metrics of run {run.run_id}, step {metric.step}",
                second=repr(metric.value),
                second_place="the metrics of the logged model",
            )
    for model in run.models:
        for name in sorted(model.params.keys() & run.params.keys()):
            if model.params[name] != run.params[name]:
                yield Disagreement(
                    about=names.model_iri(model.model_id),
                    fact=name,
                    first=run.params[name],
                    first_place=f"the parameters of run {run.run_id}",
                    second=model.params[name],
                    second_place="the parameters of the logged model",
                )


def _same(one: float, other: float) -> bool:
    if one == other:
        return True
    if math.isnan(one) or math.isnan(other):
        # The table of logged models has no mark for a value that is not a number: it has 0.
        return (math.isnan(one) or one == 0) and (math.isnan(other) or other == 0)
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=0.0)


def _is_value(row: Row) -> bool:
    return (
        type(row[2]) is float
        and type(row[0]) is int
        and type(row[1]) is int
        and _LOWEST <= row[0] <= _HIGHEST
        and names.FIRST_MS <= row[1] <= names.LAST_MS
    )


def _fault(row: Row) -> str:
    return f"expected a step, a time and a number, found {row!r:.200}"
