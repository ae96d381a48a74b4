"""What all later facts share: whom and what they are about, and how they come into the ledger.

A fact that the ledger cannot take now is kept on disk for `provgraph recover`; where records go to a
server it is kept there first and delivered. What a name means is looked up as late as possible.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from provgraph.capture import things
from provgraph.capture.recorder import say
from provgraph.capture.run import Run
from provgraph.capture.sinks import Receipt
from provgraph.capture.things import Handle
from provgraph.capture.values import plain_text
from provgraph.digests import Digest
from provgraph.errors import CaptureError, LedgerError, UntrustedError
from provgraph.loading import import_lock
from provgraph.recordable import AboutThing, LaterFact
from provgraph.records import Agent, Entity, Missing, Note
from provgraph.settings import Settings, load


def record_later(
    what: str,
    record: LaterFact,
    *,
    called: str | None,
    attachments: Mapping[Digest, bytes] | None = None,
) -> Receipt | None:
    """Write a later fact; keep it on disk where the ledger cannot take it now.

    `called` is what the caller called the thing it is about, where that must be looked up.
    """
    with import_lock:
        from provgraph.service import recording, recovery
        from provgraph.service.home import writable_ledger
        from provgraph.service.things import about

    settings = load(os.environ)
    if settings.server:
        # On this disk first; the thread that delivers takes it from there.
        recovery.spool(
            settings, record, record_id=record.id, called=called, attachments=attachments
        )
        return deliver_soon(settings, record.id)
    try:
        found = record
        if called is not None:
            with writable_ledger(settings) as ledger:
                found = about(ledger, record, called)
        unknown = () if isinstance(found, AboutThing) else found.model.missing
        for missing in (*found.missing, *unknown):
            say(f"{what}: {missing.field} is not known: {missing.reason}")
        return recording.write_record(settings, found, record_id=record.id, attachments=attachments)
    except (LedgerError, UntrustedError, OSError) as error:
        path = recovery.spool(
            settings, record, record_id=record.id, called=called, attachments=attachments
        )
        say(
            f"{what} is not in the ledger yet: {error}. It is kept in {path};"
            " `provgraph recover` seals it"
        )
        return None


def deliver_soon(settings: Settings, name: str) -> Receipt | None:
    """Have what is in the spool delivered; return the receipt if it comes in time."""
    with import_lock:
        from provgraph.service.delivery import deliver

    return deliver(settings, name)


def model_of(model: Any) -> tuple[Entity, str | None]:
    """Return the model as far as it can be told without the ledger, and the name to look up."""
    with import_lock:
        from provgraph.service.things import is_path_like

    if isinstance(model, Handle):
        entity = model.entity
    elif things.is_path(model) and (not isinstance(model, str) or is_path_like(model)):
        entity = things.entity_of(model, default_kind="model", role="model", given={})
    else:
        return Entity(kind="model"), plain_text(model)
    if entity.digest is not None:
        return Entity(kind="model", digest=entity.digest), None
    known = Entity(kind="model", uri=entity.uri, missing=entity.missing)
    if entity.uri is not None:
        return known, None
    if isinstance(model, Handle):
        return known, ":".join(filter(None, (entity.name, entity.version))) or None
    return known, os.fsdecode(model)


def target_of(thing: Any) -> tuple[str, str | None]:
    """Return the IRI of what is retracted where it is known, and else the name to look up."""
    from provgraph import terms, vocab

    if isinstance(thing, Receipt):
        return thing.record, None
    if isinstance(thing, Run):
        return vocab.run_iri(thing.id), None
    if isinstance(thing, Handle):
        entity = thing.entity
        if entity.digest is not None:
            return vocab.content_iri(entity.digest), None
        if entity.uri is not None:
            return terms.to_iri(entity.uri), None
        return "", ":".join(filter(None, (entity.name, entity.version)))
    return "", os.fsdecode(thing) if isinstance(thing, os.PathLike) else plain_text(thing)


def activity_iri(kind: str, reference: str | Receipt | None) -> str | None:
    """Return the IRI of an act: the record that a receipt names has the same id."""
    from provgraph import terms, vocab

    if reference is None:
        return None
    text = reference.record if isinstance(reference, Receipt) else plain_text(reference)
    if text.startswith(vocab.ID) or not things.is_uri(text):
        return vocab.activity_iri(kind, text.rsplit("/", 1)[-1])
    return terms.to_iri(text)


def text_of(value: Any) -> str | None:
    """Return any value as text, None for None."""
    return None if value is None else plain_text(value)


def agent_of(name: Any) -> Agent | None:
    """Return the person of a name, None for None."""
    return None if name is None else Agent(name=plain_text(name))


def unknown_agent(name: Any) -> tuple[Missing, ...]:
    """Return what is missing where nobody was named."""
    if name is not None:
        return ()
    return (Missing(field="by", reason="nobody was named; pass by="),)


def notes_of(text: Any, at: datetime) -> tuple[Note, ...]:
    """Return a remark as notes."""
    return () if text is None else (Note(text=plain_text(text), at=at),)


def time_of(value: datetime | str, what: str) -> datetime:
    """Read a time; one without a zone counts as UTC.

    Raises:
        CaptureError: neither a datetime nor ISO 8601.
    """
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise CaptureError(
            f"{what}: expected datetimes or ISO 8601, found {plain_text(value)!r:.80}"
        ) from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
