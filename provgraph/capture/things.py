"""What the user hands over, as an `Entity`: a path, a URI, an object in memory, or a handle.

What cannot be digested is still recorded: by name, with a `Missing` that says why. The caller
decides whether that is also said aloud.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from provgraph.capture.described import read_consent, read_intended_use, read_yes_or_no
from provgraph.capture.licences import normal_licence
from provgraph.capture.redact import redact
from provgraph.capture.values import describe_error, plain_text, whole_number
from provgraph.digests import Digest
from provgraph.errors import CaptureError, FormatError
from provgraph.frozen import dataclass, replace
from provgraph.loading import import_lock
from provgraph.records import Entity, Missing

KINDS: Final = ("dataset", "model", "feature-set", "file")

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://\S")

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


@dataclass(frozen=True, slots=True)
class Handle:
    """What `use` and `generate` return: hand it to `evaluate`, `derived_from` or another run."""

    entity: Entity

    def __repr__(self) -> str:
        """Say what it stands for in one line, for prompts and notebooks."""
        entity = self.entity
        called = entity.name or entity.uri or entity.description or "nameless"
        version = f":{entity.version}" if entity.version else ""
        reasons = [each.reason for each in entity.missing if each.field == "digest"]
        digest = (
            str(self.digest) if self.digest else f"no digest: {'; '.join(reasons) or 'none known'}"
        )
        return f"<{entity.kind} {called}{version}, {digest}>"

    @property
    def digest(self) -> Digest | None:
        """The content digest, None where there is none."""
        return self.entity.digest


def unknown_thing(reason: str) -> Entity:
    """Return the entity that stands for something of which nothing is known but why."""
    return Entity(missing=(Missing(field="digest", reason=reason),))


def entity_of(
    thing: Any, *, default_kind: str | None, role: str | None, given: Mapping[str, Any]
) -> Entity:
    """Describe whatever the user handed over.

    Args:
        thing: path, URI, object in memory, `Handle`.
        default_kind: kind where neither `given` nor the role tells; None for what the content
            tells, else dataset.
        role: the role it plays.
        given: fields of `Entity` that the user stated, in any types.
    """
    unknown: list[Missing] = []
    facts = _facts(given, unknown)
    kind = facts.pop("kind", None)
    if isinstance(thing, Handle):
        changes = facts if kind is None else {**facts, "kind": kind}
        entity = replace(thing.entity, **changes) if changes else thing.entity
    else:
        kind = kind or _KINDS_BY_ROLE.get(role or "", default_kind)
        entity = _described(thing, kind, facts)
    if unknown:
        entity = replace(entity, missing=(*entity.missing, *unknown))
    return entity


def is_uri(text: str) -> bool:
    """Whether text names something by a URI that is no local path."""
    return _URI.match(text) is not None and not text.startswith("file://")


def is_path(thing: Any) -> bool:
    """Whether a thing is meant as a local path."""
    return not is_uri(thing) if isinstance(thing, str) else isinstance(thing, os.PathLike)


def _facts(given: Mapping[str, Any], unknown: list[Missing]) -> dict[str, Any]:
    """Bring stated fields into their types; one that cannot be is left out and said so."""
    facts: dict[str, Any] = {}
    for field, value in given.items():
        if value is None:
            continue
        read = _READ_FIELD.get(field)
        try:
            if field == "consent":
                facts |= read_consent(value)
            else:
                facts[field] = plain_text(value) if read is None else read(value)
        except (CaptureError, FormatError) as error:
            unknown.append(Missing(field=field, reason=str(error)))
    return facts


def _kind(value: Any) -> str:
    kind = plain_text(value).lower().replace("_", "-").replace(" ", "-")
    if kind not in KINDS:
        raise CaptureError(f"expected one of {', '.join(KINDS)}, found {kind!r:.80}")
    return kind


def _digest(value: Any) -> Digest:
    return value if isinstance(value, Digest) else Digest.parse(plain_text(value))


def _rows(value: Any) -> int:
    return whole_number(value, "rows")


def _licence(value: Any) -> str:
    return normal_licence(plain_text(value))


def _personal_data(value: Any) -> bool | None:
    return read_yes_or_no(value, "personal_data")


_READ_FIELD: Final[Mapping[str, Callable[[Any], Any]]] = {
    "kind": _kind,
    "digest": _digest,
    "rows": _rows,
    "licence": _licence,
    "has_personal_data": _personal_data,
    "intended_use": read_intended_use,
}


def _described(thing: Any, kind: str | None, facts: dict[str, Any]) -> Entity:
    if not isinstance(thing, str | os.PathLike):
        return _by_content(thing, kind, facts)
    text = os.fspath(thing)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if is_uri(text):
        return _by_uri(text, kind or "dataset", facts)
    if text.startswith("file://"):
        text = unquote(urlsplit(text).path, errors="surrogateescape")
    return _by_path(text, kind or "dataset", facts)


def _by_uri(text: str, kind: str, facts: dict[str, Any]) -> Entity:
    missing: tuple[Missing, ...] = ()
    if "digest" not in facts:
        reason = "named by URI only; the bytes were not fetched. Pass digest= to pin them"
        missing = (Missing(field="digest", reason=reason),)
    return Entity(kind=kind, uri=redact(text), missing=missing, **facts)


def _by_path(text: str, kind: str, facts: dict[str, Any]) -> Entity:
    with import_lock:
        from provgraph.capture.files import digest_with_progress

    if not text:  # pathlib takes it for the working folder, which nobody means
        reason = "expected a path, found an empty text"
        return Entity(kind=kind, missing=(Missing(field="digest", reason=reason),), **facts)
    path = Path(text)
    try:
        location = os.path.abspath(text)
    except OSError:  # the working folder is gone
        location = text
    facts = {"name": redact(path.name or location), "location": redact(location), **facts}
    try:
        found = digest_with_progress(path, label=path.name)
    except Exception as error:
        reason = str(error) if isinstance(error, CaptureError) else describe_error(error)
        unknown = Missing(field="digest", reason=redact(reason))
        return Entity(kind=kind, missing=(unknown,), **facts)
    stated = facts.pop("digest", None)
    missing: tuple[Missing, ...] = ()
    if stated is not None and stated.algorithm == found.digest.algorithm and stated != found.digest:
        reason = f"the stated digest {stated} is not that of the bytes found; theirs is recorded"
        missing = (Missing(field="stated digest", reason=reason),)
    return Entity(
        kind=kind,
        digest=found.digest,
        media_type=_MEDIA_TYPES.get(path.suffix.lower()),
        size_bytes=found.size_bytes,
        file_count=found.file_count if found.digest.algorithm != "sha256" else None,
        missing=missing,
        **facts,
    )


def _by_content(thing: Any, kind: str | None, facts: dict[str, Any]) -> Entity:
    with import_lock:
        from provgraph.capture.data import describe, describe_object

    try:
        described = describe(thing)
    except CaptureError as error:
        described, reason = None, redact(str(error))
    else:
        reason = "no digest by content is known for such an object; save it and record the file"
    if described is None:
        facts = {"description": describe_object(thing), **facts}
        if "digest" not in facts:
            facts["missing"] = (Missing(field="digest", reason=reason),)
        return Entity(kind=kind or "dataset", **facts)
    found: dict[str, Any] = {
        "digest": described.digest,
        "size_bytes": described.size_bytes,
        "media_type": described.media_type,
        "rows": described.rows,
        "columns": described.columns,
        "description": described.description,
    }
    return Entity(kind=kind or described.kind, **(found | facts))


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
