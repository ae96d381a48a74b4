"""What a model said, against what was true: metrics that need no protocol, outcomes, golden sets.

`standard_metrics` computes the same figures in every run, so that two evaluations can be compared
whatever metric, threshold and library their authors took: of classes accuracy, balanced accuracy and
macro F1; of probabilities of the class 1 also log loss, Brier score and the area under the ROC curve;
of numbers mean absolute error, root mean squared error, R² and Spearman's correlation. Rows in which
one of the two is missing are left out; `n` counts the others.

numpy is imported inside functions, which are given arrays.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.redact import redact
from provgraph.errors import CaptureError
from provgraph.frozen import dataclass

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

MAX_CLASSES: Final = 50
MAX_KEPT: Final = 10_000
"""Rows of a golden set that are kept: those with the smallest hashes of their ids."""
_MAX_SCORES: Final = 20
_MAX_TEXT: Final = 60
_SMALLEST: Final = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """True values beside predictions."""

    kind: str  # classes | probabilities | numbers
    n: int
    metrics: dict[str, float]
    outcomes: bytes | None = None  # `outcomes-v1`: classes, and counts[true][predicted]


def compare(y_true: Any, y_pred: Any, *, lists_values: bool = True) -> Compared:
    """Compare predictions with the truth.

    Raises:
        CaptureError: not two columns of one length, or nothing in both.
    """
    import numpy as np

    truth, said = one_column(y_true, "y_true"), one_column(y_pred, "y_pred")
    if len(truth) != len(said):
        raise CaptureError(
            f"y_true and y_pred: expected one length, found {len(truth)} and {len(said)}"
        )
    there = ~(_missing(truth) | _missing(said))
    truth, said = truth[there], said[there]
    if not len(truth):
        raise CaptureError("y_true and y_pred: no row has both")
    if _is_classes(truth) and _is_classes(said):
        classes, codes = np.unique(
            np.concatenate([_as_classes(truth), _as_classes(said)]), return_inverse=True
        )
        return _of_classes(
            classes, codes[: len(truth)], codes[len(truth) :], lists_values=lists_values
        )
    if truth.dtype.kind not in "biuf" or said.dtype.kind not in "biuf":
        raise CaptureError(
            f"y_true and y_pred: {truth.dtype} and {said.dtype} cannot be compared; predict classes"
            " for classes and numbers for numbers"
        )
    truth, said = truth.astype(np.float64), said.astype(np.float64)
    is_binary = bool(np.isin(truth, (0.0, 1.0)).all())
    if is_binary and said.min() >= 0 and said.max() <= 1:
        return _of_probabilities(truth, said)
    return _of_numbers(truth, said)


def golden_bytes(ids: Any, predictions: Any) -> tuple[bytes, int, int]:
    """Return predictions of a fixed set as `golden-v1`, how many there are, and how many are kept.

    Ids are kept as 64 bits of their SHA-256: enough to match rows, not a list of persons.

    Raises:
        CaptureError: not one prediction for each id, or too many scores in one.
    """
    import numpy as np

    names = one_column(ids, "ids")
    said = _array(predictions, "predictions")
    if len(names) != len(said):
        raise CaptureError(
            f"golden: expected a prediction for each id, found {len(names)} ids and"
            f" {len(said)} predictions"
        )
    if said.ndim > 2 or (said.ndim == 2 and said.shape[1] > _MAX_SCORES):
        raise CaptureError(
            f"golden: expected one value or at most {_MAX_SCORES} scores a row, found shape"
            f" {said.shape}"
        )
    if len(set(map(str, names.tolist()))) != len(names):
        raise CaptureError("golden: expected each id once")
    hashed = sorted(
        (hashlib.sha256(str(name).encode("utf-8", "replace")).hexdigest()[:16], place)
        for place, name in enumerate(names.tolist())
    )
    kept = hashed[: MAX_KEPT // (1 if said.ndim == 1 else max(1, said.shape[1] // 2))]
    rows = said[np.array([place for _, place in kept], np.int64)].tolist()
    content = {
        "format": "golden-v1",
        "ids": [name for name, _ in kept],
        "n": len(names),
        "predictions": [
            [_plain(each) for each in row] if isinstance(row, list) else _plain(row) for row in rows
        ],
    }
    return _json(content), len(names), len(kept)


def one_column(values: Any, what: str) -> Array:
    """Return values as a one-dimensional array.

    Raises:
        CaptureError: they are none.
    """
    array = _array(values, what)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise CaptureError(f"{what}: expected one column, found shape {array.shape}")
    return array


def _array(values: Any, what: str) -> Array:
    import numpy as np

    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        elif hasattr(values, "to_numpy"):
            values = values.to_numpy()
        array: Array = np.asarray(values)
    except Exception as error:
        raise CaptureError(f"{what}: expected an array, found {type(values).__name__}") from error
    if array.dtype.kind not in "biufOUST":
        raise CaptureError(f"{what}: expected numbers or classes, found {array.dtype}")
    if array.dtype.kind == "O":
        array = _unboxed(array)
    return array


def _unboxed(array: Array) -> Array:
    """Return objects that are all numbers as numbers."""
    import numpy as np

    cells = array.reshape(-1).tolist()
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds and kinds <= {int, float, bool}:
        return np.array([math.nan if cell is None else float(cell) for cell in cells]).reshape(
            array.shape
        )
    return array


def _missing(values: Array) -> Array:
    import numpy as np

    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), bool)
    return np.array([cell is None or cell != cell for cell in values.tolist()], bool)  # noqa: PLR0124


def _is_classes(values: Array) -> bool:
    import numpy as np

    if values.dtype.kind not in "iuf":
        return True
    if values.dtype.kind == "f" and not (np.isfinite(values) & (np.floor(values) == values)).all():
        return False
    return len(np.unique(values)) <= MAX_CLASSES


def _as_classes(values: Array) -> Array:
    import numpy as np

    if values.dtype.kind == "b":
        return values.astype(np.int64).astype(str)
    if values.dtype.kind in "iuf":
        return values.astype(np.int64).astype(str)
    return np.array([str(cell)[:_MAX_TEXT] for cell in values.tolist()])


def _of_classes(classes: Array, truth: Array, said: Array, *, lists_values: bool) -> Compared:
    import numpy as np

    size = len(classes)
    counts = np.bincount(truth * size + said, minlength=size * size).reshape(size, size)
    right = np.diag(counts).astype(np.float64)
    actual, predicted = counts.sum(1), counts.sum(0)
    seen = actual > 0
    recall = right[seen] / actual[seen]
    f1 = 2 * right / np.maximum(1, actual + predicted)
    outcomes = None
    if size <= MAX_CLASSES:
        content: dict[str, Any] = {"counts": counts.tolist(), "format": "outcomes-v1"}
        if lists_values:
            content["classes"] = [redact(str(each)) for each in classes.tolist()]
        outcomes = _json(content)
    return Compared(
        kind="classes",
        n=len(truth),
        metrics=_rounded(
            {
                "accuracy": float(right.sum()) / len(truth),
                "balanced_accuracy": float(recall.mean()),
                "f1_macro": float(f1[(actual + predicted) > 0].mean()),
            }
        ),
        outcomes=outcomes,
    )


def _of_probabilities(truth: Array, said: Array) -> Compared:
    import numpy as np

    decided = _of_classes(
        np.array(["0", "1"]), truth.astype(np.int64), (said >= 0.5).astype(np.int64),
        lists_values=True,
    )  # fmt: skip
    clear = np.clip(said, _SMALLEST, 1 - _SMALLEST)
    log_loss = -float((truth * np.log(clear) + (1 - truth) * np.log(1 - clear)).mean())
    metrics = {
        **decided.metrics,
        "log_loss": log_loss,
        "brier": float(((said - truth) ** 2).mean()),
    }
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if positives and negatives:
        above = _ranks(said)[truth == 1].sum() - positives * (positives + 1) / 2
        metrics["roc_auc"] = float(above) / (positives * negatives)
    return Compared(
        kind="probabilities",
        n=len(truth),
        metrics=_rounded(metrics),
        outcomes=decided.outcomes,
    )


def _of_numbers(truth: Array, said: Array) -> Compared:
    import numpy as np

    with np.errstate(all="ignore"):
        apart = said - truth
        metrics = {
            "mae": float(np.abs(apart).mean()),
            "rmse": math.sqrt(float((apart**2).mean())),
        }
        spread = float(((truth - truth.mean()) ** 2).sum())
        if spread > 0:
            metrics["r2"] = 1 - float((apart**2).sum()) / spread
        left, right = _ranks(truth), _ranks(said)
        left, right = left - left.mean(), right - right.mean()
        below = math.sqrt(float((left**2).sum()) * float((right**2).sum()))
        if below > 0:
            metrics["spearman"] = float((left * right).sum()) / below
    return Compared(kind="numbers", n=len(truth), metrics=_rounded(metrics))


def _ranks(values: Array) -> Array:
    """Return mean ranks from 1."""
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Array = (ends - (counts - 1) / 2)[inverse]
    return ranks


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    """Leave out what is no number and the digits in which machines differ."""
    return {name: float(f"{value:.9g}") for name, value in metrics.items() if math.isfinite(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, bool | int) or value is None:
        return value
    return redact(str(value)[:_MAX_TEXT])


def _json(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii")


def columns(truth: Any, said: Any) -> dict[str, Sequence[Any]]:
    """Return both as the table whose profile is kept."""
    return {"y_true": one_column(truth, "y_true"), "y_pred": one_column(said, "y_pred")}  # type: ignore[dict-item]
