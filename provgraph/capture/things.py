"""What the user hands over, as an `Entity`: a path, a URI, an object in memory, or a handle.

What cannot be digested is still recorded: by name, with a `Missing` that says why. The caller
decides whether that is also said aloud.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from provgraph.capture.redact import redact
from provgraph.digests import Digest
from provgraph.errors import CaptureError, FormatError
from provgraph.records import Entity, Missing, Scalar

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://\S")
_THRESHOLD = re.compile(r"\s*(>=|<=|>|<|==)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")

# Metrics where less is better, so that a bare threshold of 0.2 means "at most 0.2".
_LOWER_IS_BETTER: Final = re.compile(
    r"(?:^|_|-| )(?:loss|error|mae|mse|rmse|mape|rmsle|msle|brier|ece|perplexity|wer|cer|fpr|fnr"
    r"|latency|drift|psi|ks|divergence|entropy)(?:$|_|-| )",
    re.IGNORECASE,
)

_KINDS_BY_ROLE: Final = {
    "model": "model",
    "base-model": "model",
    "checkpoint": "model",
    "features": "feature-set",
    "report": "file",
    "plot": "file",
    "config": "file",
    "log": "file",
    "code": "file",
}
MAX_TEXT: Final = 10_000
"""Longest text value that is kept whole, in characters; longer ones are cut and say so."""


@dataclass(frozen=True, slots=True)
class Handle:
    """What `use` and `generate` return: hand it to `evaluate`, `derived_from` or another run."""

    entity: Entity

    @property
    def digest(self) -> Digest | None:
        """The content digest, None where there is none."""
        return self.entity.digest


def entity_of(
    thing: Any, *, default_kind: str, role: str | None, given: Mapping[str, Any]
) -> Entity:
    """Describe whatever the user handed over.

    Args:
        thing: path, URI, object in memory, `Handle`.
        default_kind: kind where neither `given` nor the role tells.
        role: the role it plays.
        given: fields of `Entity` that the user stated; `digest` may be text.

    Raises:
        CaptureError: a stated digest or number of rows is not one.
    """
    facts = {name: value for name, value in given.items() if value is not None}
    if (digest := facts.get("digest")) is not None and not isinstance(digest, Digest):
        try:
            facts["digest"] = Digest.parse(str(digest))
        except FormatError as error:
            raise CaptureError(f"digest: {error}") from None
    kind = facts.pop("kind", None) or _KINDS_BY_ROLE.get(role or "", default_kind)
    if isinstance(thing, Handle):
        return replace(thing.entity, **facts) if facts else thing.entity
    if isinstance(thing, str | os.PathLike):
        text = os.fspath(thing)
        text = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
        if _URI.match(text):
            if not text.startswith("file://"):
                return _by_uri(text, kind, facts)
            text = unquote(urlsplit(text).path)
        return _by_path(Path(text), kind, facts)
    return _by_content(thing, kind, facts)


def _by_uri(text: str, kind: str, facts: dict[str, Any]) -> Entity:
    missing: tuple[Missing, ...] = ()
    if "digest" not in facts:
        reason = "named by URI only; the bytes were not fetched. Pass digest= to pin them"
        missing = (Missing(field="digest", reason=reason),)
    return Entity(kind=kind, uri=redact(text), missing=missing, **facts)


def _by_path(path: Path, kind: str, facts: dict[str, Any]) -> Entity:
    from provgraph.capture.files import digest_with_progress

    location = os.path.abspath(path)
    facts = {"name": path.name or location, **facts}
    try:
        found = digest_with_progress(path, label=path.name)
    except CaptureError as error:
        unknown = Missing(field="digest", reason=str(error))
        return Entity(kind=kind, location=location, missing=(unknown,), **facts)
    stated = facts.pop("digest", None)
    missing: tuple[Missing, ...] = ()
    if stated is not None and stated.algorithm == found.digest.algorithm and stated != found.digest:
        reason = f"the stated digest {stated} is not that of the bytes found; theirs is recorded"
        missing = (Missing(field="stated digest", reason=reason),)
    return Entity(
        kind=kind,
        digest=found.digest,
        location=location,
        media_type=_media_type(path),
        size_bytes=found.size_bytes,
        file_count=found.file_count if found.digest.algorithm != "sha256" else None,
        missing=missing,
        **facts,
    )


def _by_content(thing: Any, kind: str, facts: dict[str, Any]) -> Entity:
    from provgraph.capture.data import describe, describe_object

    try:
        described = describe(thing)
    except CaptureError as error:
        described, reason = None, str(error)
    else:
        reason = "no digest by content is known for such an object; save it and record the file"
    facts = {"description": describe_object(thing), **facts}
    if described is None:
        if "digest" not in facts:
            facts["missing"] = (Missing(field="digest", reason=reason),)
        return Entity(kind=kind, **facts)
    found: dict[str, Any] = {
        "digest": described.digest,
        "size_bytes": described.size_bytes,
        "rows": described.rows,
        "columns": described.columns,
        "description": described.description,
    }
    return Entity(kind=kind, **(found | facts))


def plain_value(value: Any) -> Scalar:
    """Turn a parameter into a plain value: numbers of NumPy and tensors of one element too."""
    if isinstance(value, str):
        return _shorten(redact(value))
    if value is None:
        return "None"
    if isinstance(value, bool | int | float):
        # int and float subclasses (enum members, numpy.float64) become the plain type.
        return (
            value
            if type(value) is bool
            else (int(value) if isinstance(value, int) else float(value))
        )
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) in {(), (1,)}:
        found = item()
        if isinstance(found, str | bool | int | float):
            return plain_value(found)
    if isinstance(value, dict | list | tuple | set | frozenset):
        import json

        try:
            ordered = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            return _shorten(redact(json.dumps(ordered, default=repr, ensure_ascii=False)))
        except (TypeError, ValueError, RecursionError):
            pass
    return _shorten(redact(repr(value)))


def metric_value(value: Any) -> float:
    """Turn a metric into a float; NaN and infinities are values.

    Raises:
        CaptureError: not a number.
    """
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        found = f"{type(value).__name__} {value!r:.80}"
        raise CaptureError(f"expected a number, found {found}") from None


def judge(metric: str, value: float, threshold: Any) -> tuple[str | None, bool | None]:
    """Return (threshold as text with its comparison, whether the value meets it).

    A bare number means "at least" unless the metric's name says that less is better. NaN meets
    nothing.

    Raises:
        CaptureError: the threshold is neither a number nor a comparison such as `>= 0.9`.
    """
    if threshold is None:
        return None, None
    if isinstance(threshold, str) and (match := _THRESHOLD.fullmatch(threshold)):
        comparison, bound = match[1], float(match[2])
    else:
        try:
            bound = metric_value(threshold)
        except CaptureError:
            raise CaptureError(
                f"threshold: expected a number or a comparison such as '>= 0.9', found {threshold!r}"
            ) from None
        comparison = "<=" if _LOWER_IS_BETTER.search(metric) else ">="
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


def _shorten(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}… [cut: {len(text)} characters]"


def _media_type(path: Path) -> str | None:
    return _MEDIA_TYPES.get(path.suffix.lower())


# The few that occur in pipelines; the standard library's table costs 5 ms and knows no Parquet.
_MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".html": "text/html",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".xml": "application/xml",
    ".zip": "application/zip",
    ".gz": "application/gzip",
}
