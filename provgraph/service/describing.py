"""What is said of data and models after the runs that made or used them, as by their steward.

Raises what is wrong; the public `provgraph.describe` is the same function, guarded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from provgraph.capture import things
from provgraph.capture.described import Consent, IntendedUse, read_labelling, read_quality
from provgraph.capture.identifiers import new_id
from provgraph.capture.run import Run
from provgraph.capture.sinks import Receipt
from provgraph.capture.things import Handle
from provgraph.errors import CaptureError
from provgraph.frozen import replace
from provgraph.records import Description, Entity
from provgraph.service.later import agent_of, notes_of, record_later, target_of, unknown_agent


def describe(
    thing: Any,
    *,
    by: str | None = None,
    description: str | None = None,
    source: str | None = None,
    licence: str | None = None,
    use_terms: str | None = None,
    collected: str | None = None,
    collector: str | None = None,
    collection_method: str | None = None,
    vendor: str | None = None,
    personal_data: bool | None = None,
    consent: str | Consent | Sequence[Consent] | None = None,
    intended_use: str | IntendedUse | None = None,
    labels: Mapping[str, Any] | None = None,
    quality: Mapping[str, Any] | None = None,
    note: str | None = None,
) -> Receipt | None:
    """Say something of a dataset or model after the runs that made or used it.

    Nothing said before is changed. What differs stands beside it, until one is retracted.

    Args:
        thing: `name:version`, name, digest, path, URI, table, or handle.
        by: who says it.
        description: free text.
        source: where it came from.
        licence: SPDX identifier, URL, or text.
        use_terms: what it may be used for beyond the licence.
        collected: when it was collected.
        collector: who collected it.
        collection_method: how.
        vendor: who supplied it.
        personal_data: whether it holds personal data.
        consent: consent or other legal basis, a `provgraph.Consent` or text.
        intended_use: what a model is meant for, a `provgraph.IntendedUse` or text.
        labels: how its labels came about; the arguments of `run.labels`.
        quality: measured qualities by metric, such as `{"completeness": 0.97}`.
        note: a remark.
    """
    at = datetime.now(UTC)
    target, called = _target(thing)
    given = {
        "description": description,
        "source": source,
        "licence": licence,
        "use_terms": use_terms,
        "collected": collected,
        "collector": collector,
        "collection_method": collection_method,
        "vendor": vendor,
        "has_personal_data": personal_data,
        "consent": consent,
        "intended_use": intended_use,
    }
    said = things.entity_of(Handle(Entity()), default_kind=None, role=None, given=given)
    record = Description(
        id=new_id(),
        target=target,
        said=replace(said, missing=()),
        by=agent_of(by),
        at=at,
        labellings=() if labels is None else (read_labelling(None, labels, None),),
        qualities=tuple(
            read_quality(None, metric=metric, value=value, at=at)
            for metric, value in (quality or {}).items()
        ),
        notes=notes_of(note, at),
        missing=(*unknown_agent(by), *said.missing),
    )
    return record_later("describe", record, called=called)


def _target(thing: Any) -> tuple[str, str | None]:
    if isinstance(thing, Run | Receipt | Handle | str | os.PathLike):
        return target_of(thing)
    entity = things.entity_of(thing, default_kind=None, role=None, given={})
    if entity.digest is None:
        raise CaptureError(
            f"describe: {entity.description or 'the object'} has no digest by content;"
            " name the dataset as it was recorded"
        )
    return target_of(Handle(entity))
