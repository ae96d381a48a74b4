"""Hand rules: the readable fallback beside the ranker, and a check on it.

Each candidate category gets points for and against, with the reason in words; shares follow from them
as exp(points) over the sum. The rules know no fault types, only what a change of a kind must show:

- an activity whose settings changed is suspect when its own output parts from its input, and cleared
  when it does not;
- data is suspect by what is loud in it, and the trait says which kind: holes, spikes, units, values out
  of range and lost relations to the label are quality, smooth moves of several columns with the relation
  to the label kept are covariate shift, a changed label mix that explains the rest is label shift;
- training is suspect when the matrix is quiet and the golden set or the training metric is loud;
- the evaluation is suspect when the metric under an unchanged protocol did not drop;
- code and environment answer for own effects that no changed setting claims; if neither changed, what
  was not recorded does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from provgraph.drift.facts import DATA_CATEGORIES, UNRECORDED

Row = Mapping[str, float]
Points = list[tuple[float, str]]

LOUD: Final = 0.9
"""Of log(1 + z) means: about the loudness that two healthy tables seldom have."""


def score(rows: Mapping[str, Row]) -> dict[str, Points]:
    """Return the points of each candidate, with reasons."""
    return {category: _RULES[category](row, rows) for category, row in rows.items()}


def shares(points: Mapping[str, Points]) -> dict[str, float]:
    """Return the share of each candidate."""
    totals = {name: sum(value for value, _ in each) for name, each in points.items()}
    top = max(totals.values(), default=0.0)
    weights = {name: math.exp(total - top) for name, total in totals.items()}
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}


def _known(row: Row, name: str, default: float = 0.0) -> float:
    value = row.get(name, math.nan)
    return default if math.isnan(value) else value


def _is_known(row: Row, name: str) -> bool:
    return not math.isnan(row.get(name, math.nan))


# ---- what several rules ask ----------------------------------------------------------------------
def _data_loudness(row: Row) -> float:
    return max(
        _known(row, "train_weighted"),
        _known(row, "test_weighted"),
        0.6 * _known(row, "train_max"),
        0.6 * _known(row, "test_max"),
        0.7 * _known(row, "label_z"),
    )


def _protocol_alone(row: Row) -> bool:
    return _is_known(row, "canonical_share") and row["canonical_share"] < 0.35


def _common(row: Row, rows: Mapping[str, Row]) -> Points:
    points: Points = []
    if _protocol_alone(row) and "evaluation protocol" in rows:
        points.append((-3.0, "under an unchanged protocol the metric did not drop as far"))
    return points


def _is_model_loud(row: Row) -> bool:
    return _known(row, "probe_excess") > 3 or abs(_known(row, "trained_z")) > 4


def _serving_side(row: Row) -> bool:
    """Whether the model answers the golden set as ever, so that the cause is in what it was given."""
    return _is_known(row, "probe_excess") and row["probe_excess"] < 1.5


# ---- data ----------------------------------------------------------------------------------------
def _data_common(row: Row, rows: Mapping[str, Row]) -> Points:
    points = _common(row, rows)
    loud = _data_loudness(row)
    own = _known(row, "largest_own")
    if loud > LOUD:
        points.append((1.5 * min(loud, 2.5), f"inputs differ (log loudness {loud:.2f})"))
    elif row.get("factors", 0.0) and _is_known(row, "input_max") and not _flaws(row):
        points.append((-1.5, "inputs differ no more than healthy ones do"))
    if own > 1.2 and own > loud:
        points.append((-1.5, f"a later step parts more by itself ({own:.2f})"))
    return points


def _quality(row: Row, rows: Mapping[str, Row]) -> Points:
    points = _data_common(row, rows)
    for name, limit, weight, text in (
        ("null", 0.08, 2.0, "more empty cells in a column: +{:.0%}"),
        ("new", 0.05, 2.0, "classes never seen before: {:.0%} of rows"),
        ("spike", 0.08, 1.6, "one value became common: +{:.0%}"),
        ("outside", 0.06, 1.6, "values beyond the former range: {:.0%}"),
        ("unit", 0.5, 2.2, "a column multiplied by one factor ({:.0f})"),
        ("collapse", 0.65, 1.2, "distinct values lost: {:.0%}"),
        ("schema", 0.5, 1.0, "columns added, lost or of another type: {:.0f}"),
    ):
        value = _known(row, name)
        if value > limit:
            points.append((weight, text.format(value)))
    if _known(row, "source") > 0.5:
        points.append((-2.5, "the source changed as well"))
    if _known(row, "rows") < -1.6:
        points.append((2.0, f"{math.expm1(_known(row, 'rows')):.0%} rows"))
    lost = _known(row, "association_lost")
    loudest = max(_known(row, "train_max"), _known(row, "test_max"))
    if lost > 0.3 and loudest < 1.0:
        points.append((2.5, f"{lost:.0%} of the relation to the label is gone, columns look alike"))
    elif lost > 0.5 and _known(row, "broken_share") > 0.6:
        points.append((1.5, f"{lost:.0%} of the relation to the label is gone, columns untied too"))
    elif not _flaws(row) and loudest > 1.0:
        points.append((-1.2, "columns differ without a trait that damage leaves"))
    if _known(row, "lonely") > 0.2:
        points.append((1.2, "a column moved without those tied to it"))
    return points


def _covariate(row: Row, rows: Mapping[str, Row]) -> Points:
    points = _data_common(row, rows)
    if _flaws(row):
        points.append((-1.2, "traits that only damage leaves"))
    elif _known(row, "moved") > 0.15:
        points.append((1.5, f"{_known(row, 'moved'):.0%} of columns moved, without damage"))
    if _known(row, "source") > 0.5:
        points.append((-1.5, "the source changed as well"))
    if _known(row, "residual_share", 1.0) < 0.45 and _known(row, "label_z") > 1:
        points.append((-1.5, "the label mix explains it"))
    if _known(row, "label_z") > 1.2 and _known(row, "residual_share", 1.0) > 0.7:
        points.append((0.3, "the label mix moved and does not explain the columns"))
    return points


def _label(row: Row, rows: Mapping[str, Row]) -> Points:
    points = _data_common(row, rows)
    z = _known(row, "label_z")
    if z < 0.95:
        return [*points, (-3.0, "the label mix is as ever")]
    points.append((0.8 * min(z, 2.5), f"the label mix changed (log z {z:.2f})"))
    share = _known(row, "residual_share", 0.6)
    if share < 0.7:
        points.append((1.8, f"it explains the columns but for {share:.0%}"))
    elif share > 0.8:
        points.append((-1.0, f"{share:.0%} of what columns show is left unexplained"))
    if _flaws(row):
        points.append((-1.5, "traits that only damage leaves"))
    if _known(row, "source") > 0.5:
        points.append((-1.5, "the source changed as well"))
    return points


def _source(row: Row, rows: Mapping[str, Row]) -> Points:
    points = _data_common(row, rows)
    if not _is_known(row, "source"):
        return [*points, (-1.0, "no source is recorded")]
    if row["source"] > 0.5:
        return [*points, (4.0, "the recorded source is another")]
    return [*points, (-4.0, "the recorded source is the same")]


def _flaws(row: Row) -> bool:
    return (
        _known(row, "null") > 0.08
        or _known(row, "new") > 0.05
        or _known(row, "spike") > 0.1
        or _known(row, "outside") > 0.06
        or _known(row, "unit") > 0.5
        or _known(row, "collapse") > 0.65
    )


# ---- settings, training --------------------------------------------------------------------------
def _step(row: Row, rows: Mapping[str, Row]) -> Points:
    points = _common(row, rows)
    if not _is_known(row, "own_here"):
        return [*points, (0.3, "its output was not profiled")]
    own = row["own_here"]
    if own < 0.35:
        return [*points, (-2.5, f"what it made parts no more than what it was given ({own:.2f})")]
    points.append((1.6 * min(own, 2.5), f"what it made parts by itself ({own:.2f})"))
    if _known(row, "own_first") > 0.5:
        points.append((0.8, "it is the first to part"))
    return points


def _training(row: Row, rows: Mapping[str, Row]) -> Points:
    points = _common(row, rows)
    if _known(row, "size", 1.0) < 0.02:
        points.append((-3.0, "only what steers the computation changed"))
    elif _known(row, "size", 1.0) > 0.6:
        points.append((0.8, f"a large change of settings ({row['size']:.1f})"))
    elif _known(row, "size", 1.0) < 0.2:
        points.append((-1.0, f"a small change of settings ({row['size']:.2f})"))
    upstream = max(_data_loudness(row), _known(row, "largest_own_before", 0.0))
    if _serving_side(row):
        points.append((-2.0, "the golden set is answered as ever"))
    elif _is_model_loud(row):
        points.append((1.5, "the golden set or the training rows are answered otherwise"))
    if upstream < LOUD and _known(row, "matrix", 0.0) < LOUD:
        points.append((2.0, "the matrix it was trained on is as ever"))
    elif _known(row, "matrix", 0.0) > 1.5:
        points.append((-0.8, "the matrix had parted before"))
    return points


def _blind(row: Row, rows: Mapping[str, Row]) -> Points:
    """Code and environment: they may act anywhere."""
    points = _common(row, rows)
    own = _known(row, "own_here", _known(row, "unclaimed_own"))
    rivals = [name for name in rows if name not in {*DATA_CATEGORIES, UNRECORDED, "randomness"}]
    if own > 0.8:
        points.append(
            (1.4 * min(own, 2.5), f"an effect that no changed setting claims ({own:.2f})")
        )
    elif _is_model_loud(row) and _data_loudness(row) < LOUD and len(rivals) < 2:
        points.append((2.0, "the model changed and nothing else explains it"))
    if _known(row, "size", 1.0) < 0.6:
        points.append((-1.5, "no package changed that results are made of"))
    if len(rivals) < 2 and _data_loudness(row) < LOUD:
        points.append((1.5, "nothing else changed but data that looks healthy"))
    return points


def _protocol(row: Row, _rows: Mapping[str, Row]) -> Points:
    if not _is_known(row, "canonical_share"):
        quiet = _data_loudness(row) < LOUD and _known(row, "largest_own") < 0.6
        return [(1.0 if quiet else 0.0, "no metric under an unchanged protocol was recorded")]
    share = row["canonical_share"]
    if share < 0.35:
        return [(4.5, f"under an unchanged protocol {share:.0%} of the drop is left")]
    if share < 0.7:
        return [(0.5, f"under an unchanged protocol {share:.0%} of the drop is left")]
    return [(-3.5, f"under an unchanged protocol the drop is there as well ({share:.0%})")]


def _randomness(_row: Row, _rows: Mapping[str, Row]) -> Points:
    return [(-3.0, "seeds differ in every healthy run too")]


def _unrecorded(row: Row, rows: Mapping[str, Row]) -> Points:
    points: Points = [(-1.0, "fewer causes lie outside the record than in it")]
    blind = {"code", "environment"} & set(rows)
    if not blind and _known(row, "unclaimed_own") > 0.8:
        points.append((3.0, f"an effect where nothing changed ({row['unclaimed_own']:.2f})"))
    quiet = _data_loudness(row) < LOUD and _known(row, "largest_own") < 0.5
    if quiet and len(rows) <= 6:
        points.append((2.0, "nothing recorded is loud"))
    return points


_RULES: Final[dict[str, Callable[[Row, Mapping[str, Row]], Points]]] = {
    "data source": _source,
    "data quality": _quality,
    "covariate shift": _covariate,
    "label shift": _label,
    "preprocessing": _step,
    "feature definition": _step,
    "hyperparameters": _training,
    "model architecture": _training,
    "code": _blind,
    "environment": _blind,
    "evaluation protocol": _protocol,
    "randomness": _randomness,
    UNRECORDED: _unrecorded,
}
