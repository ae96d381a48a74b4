"""Is the drop real: the drifted value against the spread of healthy runs, and their sampling error.

The test is one-sided: the mean of the history less the value, over the spread that a further healthy
run has, s * sqrt(1 + 1/k), with Student's t on k - 1 degrees of freedom; s is never below the
recorded (or, for shares, computed) standard error of one value. What the test could have seen at the
smallest is said with it. Where lower is better the sign is turned.
"""

from __future__ import annotations

import math
from typing import Final

from provgraph.drift.facts import Case, End, Measure
from provgraph.frozen import dataclass

MIN_HISTORY: Final = 3
MIN_ROWS: Final = 30
SURE: Final = 0.01
"""One-sided chance, under no change, that a drop is called real."""

LOWER_IS_BETTER: Final = (
    "loss", "error", "mae", "mse", "rmse", "mape", "deviance", "brier", "perplexity", "wer", "cer",
    "eer", "fpr", "fnr", "latency", "calibration_error", "ece", "hamming", "distance",
)  # fmt: skip
SHARES: Final = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "auc",
    "kappa",
    "sensitivity",
    "specificity",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """How far a value lies below what was usual. `z` None: it could not be tested, `why` says why."""

    metric: str
    usual: float
    value: float
    size: float  # positive: worse
    noise: float | None
    z: float | None
    p: float | None
    runs: int
    smallest_visible: float | None
    is_real: bool
    why: str
    n: int | None = None


def is_lower_better(metric: str) -> bool:
    """Tell a metric's direction by its name."""
    words = metric.lower().replace("-", "_").split("_")
    return any(word in LOWER_IS_BETTER for word in words) or metric.lower() in LOWER_IS_BETTER


def standard_error(measure: Measure) -> float | None:
    """Return what was recorded, or what n gives for a share; None where neither is known."""
    if measure.standard_error is not None:
        return measure.standard_error
    name = measure.metric.lower()
    if measure.n and 0 <= measure.value <= 1 and any(word in name for word in SHARES):
        p = min(max(measure.value, 0.5 / measure.n), 1 - 0.5 / measure.n)
        return math.sqrt(p * (1 - p) / measure.n)
    return None


def test_drop(case: Case) -> Drop:
    """Test the measure in question."""
    after, before = case.after.measure, case.before.measure
    if after is None or before is None:
        which = case.after.name if after is None else case.before.name
        return _untested("", float("nan"), float("nan"), f"no metric is recorded for {which}")
    usual = [end.measure.value for end in (*case.history, case.before) if end.measure is not None]
    return judge_drop(before, after, [value for value in usual if math.isfinite(value)])


def judge_drop(before: Measure, after: Measure, usual: list[float]) -> Drop:
    """Test a value against healthy values (the baseline's is one of them)."""
    if not math.isfinite(after.value) or not math.isfinite(before.value) or not usual:
        return _untested(after.metric, before.value, after.value, "the metric is not a number")
    sign = -1.0 if is_lower_better(after.metric) else 1.0
    mean = sum(usual) / len(usual)
    size = sign * (mean - after.value)
    spread = _spread(usual, mean)
    errors = [e for e in (standard_error(before), standard_error(after)) if e is not None]
    floor = max(errors) if errors else None
    k = len(usual)
    if k >= MIN_HISTORY and spread is not None:
        base = max(spread, 0.75 * floor if floor is not None else 0.0, 1e-6 + 1e-4 * abs(mean))
        noise, degrees = base * math.sqrt(1 + 1 / k), float(k - 1)
        if floor is not None and floor * 0.75 > spread:
            degrees = max(degrees, 30.0)  # the sampling error is known, not estimated from k runs
        why = f"against {k} healthy runs"
    elif floor is not None:
        noise, degrees = math.sqrt(2.0) * floor, 30.0
        why = f"against the sampling error alone: {k} healthy run{'s' if k > 1 else ''} show no spread"
    else:
        return _untested(
            after.metric, mean, after.value,
            f"{k} healthy value{'s' if k > 1 else ''} and no n or interval: noise is unknown",
        )  # fmt: skip
    z = size / noise
    p = student_tail(z, degrees)
    critical = student_critical(SURE, degrees)
    return Drop(
        metric=after.metric,
        usual=mean,
        value=after.value,
        size=size,
        noise=noise,
        z=z,
        p=p,
        runs=k,
        smallest_visible=critical * noise,
        is_real=p < SURE,
        why=why,
        n=after.n,
    )


def shift_of(case: Case, metric: str, protocol: str, side: str) -> float | None:
    """Return by how many units of noise another recorded measure got worse, None where unknown."""
    ends = (*case.history, case.before)
    values = [found.value for end in ends if (found := end.measured(metric, protocol, side))]
    before, after = (
        case.before.measured(metric, protocol, side),
        case.after.measured(metric, protocol, side),
    )
    if before is None or after is None or not values:
        return None
    drop = judge_drop(before, after, [v for v in values if math.isfinite(v)])
    return drop.z


def unchanged_protocols(before: End, after: End) -> list[Measure]:
    """Return measures of the evaluated side that both ends took in the same way."""
    return [
        each
        for each in after.measures
        if each.side == "evaluated"
        and before.measured(each.metric, each.protocol, each.side) is not None
    ]


def student_tail(t: float, degrees: float) -> float:
    """Return the chance of a value above t (continued fraction of the incomplete beta function)."""
    x = degrees / (degrees + t * t)
    tail = 0.5 * _incomplete_beta(degrees / 2, 0.5, x)
    return tail if t > 0 else 1 - tail


def student_critical(p: float, degrees: float) -> float:
    """Return t with a chance of p above it."""
    low, high = 0.0, 200.0
    for _ in range(60):
        middle = (low + high) / 2
        if student_tail(middle, degrees) > p:
            low = middle
        else:
            high = middle
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    # Lentz's method, Numerical Recipes 6.4.
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d or 1e-30)
    result = d
    for i in range(1, 200):
        for numerator in (
            i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i)),
            -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1)),
        ):
            d = 1 / ((1 + numerator * d) or 1e-30)
            c = (1 + numerator / c) or 1e-30
            result *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * result / a


def _spread(values: list[float], mean: float) -> float | None:
    if len(values) < 2:
        return None
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _untested(metric: str, usual: float, value: float, why: str) -> Drop:
    return Drop(
        metric=metric,
        usual=usual,
        value=value,
        size=usual - value,
        noise=None,
        z=None,
        p=None,
        runs=0,
        smallest_visible=None,
        is_real=False,
        why=why,
    )
