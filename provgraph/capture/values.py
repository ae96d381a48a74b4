"""Plain values out of whatever the user hands over: parameters, metrics, names, counts, thresholds.

Each function takes any object and returns a plain Python value or raises `CaptureError`. Texts are
redacted before they are cut, so that no secret loses its beginning and with it its form.
"""

from __future__ import annotations

import enum
import functools
import json
import math
import re
import sys
from collections.abc import Set as AbstractSet
from typing import Any, Final

from provgraph.capture.redact import redact, redact_value
from provgraph.errors import CaptureError
from provgraph.patterns import pattern
from provgraph.records import Scalar

MAX_TEXT: Final = 10_000
"""Longest text value that is kept whole, in characters; longer ones are cut and say so."""

# Beyond this a text is not even searched for secrets: what stands there is cut anyway.
_MAX_SEARCHED: Final = 1_000_000
# Python writes no longer number as text (sys.set_int_max_str_digits).
_MAX_INTEGER_BITS: Final = 14_000

# Texts shorter than this are remembered with what is left of them when secrets are taken out.
_MAX_KNOWN: Final = 64

_THRESHOLD = pattern(r"\s*(>=|<=|>|<|==)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")

# Metrics where less is better, so that a bare threshold of 0.2 means "at most 0.2".
_LOWER_IS_BETTER: Final = pattern(
    r"(?:^|_|-| )(?:loss|error|mae|mse|rmse|mape|rmsle|msle|brier|ece|perplexity|wer|cer|fpr|fnr"
    r"|latency|drift|psi|ks|divergence|entropy)(?:$|_|-| )",
    re.IGNORECASE,
)


def plain_value(value: Any) -> Scalar:
    """Turn a parameter into a plain value: numbers of NumPy and tensors of one element too.

    Raises:
        CaptureError: the object cannot even be written as text.
    """
    kind = type(value)
    if kind is str:
        return _short_text(value) if len(value) < _MAX_KNOWN else _text(value)
    if kind is bool or kind is float:
        number: bool | float = value
        return number
    try:
        return _plain_value(value)
    except Exception as error:
        raise CaptureError(
            f"a {kind.__name__} that cannot be written: {describe_error(error)}"
        ) from error


def plain_parameter(name: str, value: Any) -> Scalar:
    """Turn the value of a named parameter into a plain one; a secret by its name is redacted."""
    plain = plain_value(value)
    return redact_value(name, plain) if type(plain) is str else plain


def plain_text(value: Any) -> str:
    """Turn what should be a text into one: redacted, and cut where it is far too long.

    Raises:
        CaptureError: the object cannot even be written as text.
    """
    plain = plain_value(value)
    return plain if type(plain) is str else str(plain)


@functools.lru_cache(maxsize=4096)
def _short_text(text: str) -> str:
    return _text(text)  # short ones come back from run to run


def plain_name(value: Any) -> str:
    """Turn the name of a parameter, metric or tag into a text; the same few come again and again."""
    return _short_text(value) if type(value) is str else plain_text(value)


def whole_number(value: Any, what: str) -> int:
    """Turn a count or step into an int.

    Raises:
        CaptureError: not a whole number.
    """
    try:
        number = int(value)
        if number == value or isinstance(value, str):
            return number
    except Exception:  # noqa: S110 - any object may fail in its own way; the message below says it
        pass
    raise CaptureError(f"{what}: expected a whole number, found {_found(value)}")


def metric_value(value: Any) -> float:
    """Turn a metric into a float; NaN and infinities are values.

    Raises:
        CaptureError: not a number.
    """
    try:
        item = getattr(value, "item", None)
        if item is not None and getattr(value, "shape", None) == (1,):
            value = item()  # float() of an array with a dimension is deprecated in NumPy
        return float(value)
    except Exception:
        raise CaptureError(f"expected a number, found {_found(value)}") from None


def judge(metric: str, value: float, threshold: Any) -> tuple[str | None, bool | None]:
    """Return (threshold as text with its comparison, whether the value meets it).

    A bare number means "at least" unless the metric's name says that less is better. NaN meets
    nothing.

    Raises:
        CaptureError: the threshold is neither a number nor a comparison such as `>= 0.9`.
    """
    if threshold is None:
        return None, None
    try:
        if isinstance(threshold, str) and (match := _THRESHOLD.fullmatch(threshold)):
            comparison, bound = match[1], float(match[2])
        else:
            bound = metric_value(threshold)
            comparison = "<=" if _LOWER_IS_BETTER.search(metric) else ">="
    except (CaptureError, ValueError):
        raise CaptureError(
            "threshold: expected a number or a comparison such as '>= 0.9',"
            f" found {_found(threshold)}"
        ) from None
    if math.isnan(value):
        met = False
    else:
        met = {
            ">=": value >= bound,
            "<=": value <= bound,
            ">": value > bound,
            "<": value < bound,
            "==": value == bound,
        }[comparison]
    return f"{comparison} {bound!r}", met


def describe_error(error: BaseException) -> str:
    """Return `ValueError: its message`; an exception whose message cannot be had by its name."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return name
    return f"{name}: {text[:2000]}" if text else name


def _plain_value(value: Any) -> Scalar:
    if value is None:
        return "None"
    if isinstance(value, str):
        # A subclass (a member of a str enum, numpy.str_) may write itself otherwise.
        return _text(str.__str__(value))
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _MAX_INTEGER_BITS else _text(f"{value:#x}")
    if isinstance(value, float):
        return float(value)
    if isinstance(value, enum.Enum) or _is_decimal(value):
        return _text(str(value))
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) in {(), (1,)}:
        found = item()
        if isinstance(found, str | bool | int | float):
            return plain_value(found)
    if isinstance(value, dict | list | tuple | AbstractSet):
        try:
            ordered = sorted(value, key=repr) if isinstance(value, AbstractSet) else value
            return _text(json.dumps(ordered, default=_part, ensure_ascii=False))
        except (TypeError, ValueError, RecursionError):
            pass
    return _text(repr(value))


def _is_decimal(value: Any) -> bool:
    # Who has not loaded it has no decimals.
    decimal = sys.modules.get("decimal")
    return decimal is not None and isinstance(value, decimal.Decimal)


def _part(value: Any) -> Any:
    """Write what JSON has no form for, inside a list or dict."""
    plain = plain_value(value)
    return plain if isinstance(value, enum.Enum) or not isinstance(plain, str) else repr(value)


def _text(text: str) -> str:
    if len(text) > _MAX_SEARCHED:
        text, length = text[:_MAX_SEARCHED], len(text)
    else:
        length = len(text)
    text = redact(text)
    if length <= MAX_TEXT or len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}… [cut: {length} characters]"


def _found(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = "that cannot be shown"
    return redact(f"{type(value).__name__} {text[:80]}")
