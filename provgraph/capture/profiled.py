"""Profiles on their way into a record: of what a run used and made, of what was observed.

Whether a thing is a table is told by the names of its classes, so that a run without tables loads
nothing of `provgraph.capture.profiling`. A profile that could not be made is recorded as missing, in
strict mode too: it is an extra, and no fault of the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.redact import redact
from provgraph.capture.values import describe_error
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import CaptureError
from provgraph.frozen import replace
from provgraph.loading import import_lock
from provgraph.records import Entity, Missing

if TYPE_CHECKING:
    from provgraph.capture.profiling.limits import Limits

# Top-level module and class of what `provgraph.capture.profiling.reading` reads.
TABLES: Final = frozenset(
    {
        ("pandas", "DataFrame"),
        ("pandas", "Series"),
        ("polars", "DataFrame"),
        ("polars", "Series"),
        ("pyarrow", "Table"),
        ("pyarrow", "RecordBatch"),
        ("pyarrow", "ChunkedArray"),
        ("pyarrow", "Array"),
        ("numpy", "ndarray"),
        ("scipy", "_spbase"),
        ("torch", "Tensor"),
        ("jaxlib", "ArrayImpl"),
        ("tensorflow", "EagerTensor"),
        ("sklearn", "Bunch"),
        ("builtins", "list"),
        ("builtins", "dict"),
    }
)

Attachments = dict[Digest, bytes]


def is_table(thing: Any) -> bool:
    """Whether a thing is of a kind that has a profile."""
    keys = ((str(cls.__module__).partition(".")[0], cls.__name__) for cls in type(thing).__mro__)
    return not TABLES.isdisjoint(keys)


def profile_bytes(
    thing: Any,
    *,
    limits: Limits,
    label: str | None = None,
    units: Mapping[str, str] | None = None,
) -> bytes | None:
    """Return a table's profile as canonical JSON, None of what is no table.

    Raises:
        CaptureError: it could not be made; the message says why.
    """
    if not is_table(thing):
        return None
    try:
        with import_lock:
            from provgraph.capture.profiling.tables import profile_table
            from provgraph.profiles.codec import encode

        profile = profile_table(thing, limits=limits, label=label, units=units)
        return None if profile is None else encode(profile)
    except CaptureError:
        raise
    except Exception as error:
        raise CaptureError(describe_error(error)) from error


def with_profile(
    entity: Entity,
    thing: Any,
    *,
    limits: Limits | None,
    attachments: Attachments,
    label: str | None = None,
    units: Mapping[str, str] | None = None,
) -> Entity:
    """Return an entity with its profile, whose bytes go into `attachments`."""
    if limits is None or entity.kind == "model" or not is_table(thing):
        return entity
    try:
        data = profile_bytes(thing, limits=limits, label=label, units=units)
    except CaptureError as error:
        missing = Missing(field="profile", reason=redact(str(error)))
        return replace(entity, missing=(*entity.missing, missing))
    if data is None:
        return entity
    digest = sha256_bytes(data)
    attachments[digest] = data
    return replace(entity, profile=digest)
