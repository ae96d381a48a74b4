"""Recording: a record becomes canonical bytes, a seal, and an entry of the ledger, in that order.

A record is acknowledged by a `Receipt`, which exists only after the ledger's COMMIT returned.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provgraph import __version__, terms, vocab
from provgraph.capture.recorder import say
from provgraph.capture.sinks import Receipt
from provgraph.capture.state import RunState
from provgraph.convert.data import feature_iri
from provgraph.convert.entities import Context
from provgraph.convert.prov import (
    Converted,
    content_record_iri,
    convert,
    convert_content,
    convert_profile,
)
from provgraph.digests import Digest
from provgraph.errors import FormatError, KeyRefusedError
from provgraph.frozen import replace
from provgraph.imported import Origin
from provgraph.ledger.names import Names
from provgraph.ledger.reading import LedgerReader
from provgraph.ledger.rows import NameRow, Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.loading import import_lock
from provgraph.profiles.marks import is_profile
from provgraph.recordable import Record
from provgraph.records import (
    Entity,
    Environment,
    Missing,
    Run,
    SourceCode,
    Step,
)
from provgraph.seal.entry import RECORD
from provgraph.seal.keys import Signer
from provgraph.seal.proof import seal
from provgraph.service.folding import KEPT, folded, unambiguous
from provgraph.service.home import is_recorded, producer_signer, utc_now, writable_ledger
from provgraph.settings import Settings

if TYPE_CHECKING:
    from provgraph.profiles.profile import TableProfile


class LocalSink:
    """The embedded default: seals into the SQLite ledger of one home folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def journal_folder(self) -> Path:
        """Return `<home>/journal`."""
        return self._settings.journal_folder

    def seal(self, state: RunState) -> Receipt:
        """Seal a run and append it, with its environment and source code where they are new."""
        run, attachments = state.run()
        return write_record(self._settings, run, record_id=state.record_id, attachments=attachments)

    def last_run(self, *, name: str, project: str | None) -> str | None:
        """Return the id of the latest run of that name in that project unless it completed."""
        with import_lock:
            from provgraph.service.recovery import recover

        recover(self._settings)  # the run to go on from is often one that was killed
        with writable_ledger(self._settings) as ledger:
            for row in reversed(ledger.names("run", terms.clean(name))):
                facts = _facts_of(ledger.graph(row.index), row.iri)
                named = facts.get(vocab.P["project"])
                if named == (None if project is None else terms.string(project)):
                    if facts.get(vocab.P["status"]) == terms.string("completed"):
                        return None
                    return row.iri.rsplit("/", 1)[-1]
        return None


def write_record(
    settings: Settings,
    record: Record,
    *,
    record_id: str,
    attachments: Mapping[Digest, bytes] | None = None,
    kind: str = RECORD,
    signer: Signer | None = None,
    origin: Origin | None = None,
) -> Receipt:
    """Convert, seal and append one record; return when the ledger has committed it.

    Args:
        settings: whose ledger.
        record: the facts.
        record_id: names the record; writing it again is harmless.
        attachments: bytes that the record names by digest.
        kind: of the entry (`provgraph.seal.entry`).
        signer: who seals it; default is the producer key.
        origin: where an imported record came from.

    Raises:
        StorageError: the bytes could not be made durable.
        ConflictError: a record of this id has other content.
        KeyRefusedError: the key that sealed it may not seal, or not any more.
    """
    with writable_ledger(settings) as ledger:
        found = find_receipt(ledger, vocab.record_iri(record_id))
        if found is not None:
            # A process died after COMMIT and before it could remove its journal: nothing is left
            # to do.
            return found
        own = signer or producer_signer(settings)
        write = functools.partial(
            _write,
            ledger,
            record,
            record_id=record_id,
            attachments=attachments or {},
            kind=kind,
            names=names_for(settings, ledger, record),
            origin=origin,
        )
        try:
            return write(own)
        except KeyRefusedError:
            if signer is not None:
                raise
            # Another process has rotated the key since it was read, or died while it did.
            with import_lock:
                from provgraph.service.rotating import finish_rotation

            finish_rotation(settings, ledger.keys())
            successor = producer_signer(settings)
            if successor.verification_method == own.verification_method:
                raise
        return write(successor)


def names_for(settings: Settings, ledger: Ledger, record: Record) -> Names:
    """Return the names that a record may draw on: where projects can be private, not all."""
    if not (settings.home / "access.db").exists():
        return ledger
    with import_lock:
        from provgraph.service.audience import Audience
    audience = Audience(settings)
    try:
        return audience.names(ledger, record)
    finally:
        audience.close()


def _write(
    ledger: Ledger,
    record: Record,
    signer: Signer,
    *,
    record_id: str,
    attachments: Mapping[Digest, bytes],
    kind: str,
    names: Names,
    origin: Origin | None,
) -> Receipt:
    pending = prepare_record(
        names,
        record,
        record_id=record_id,
        attachments=attachments,
        kind=kind,
        signer=signer,
        is_recorded=lambda iri: is_recorded(ledger, iri),
        origin=origin,
    )
    # The one durable write. If the process dies before COMMIT, the ledger is as it was and the
    # journal still has the facts; after it, the record is there and sealing again finds it.
    positions = ledger.append(pending)
    return Receipt(
        record=positions[-1].iri, position=positions[-1].index, ledger_size=ledger.size()
    )


def prepare_record(
    names: Names,
    record: Record,
    *,
    record_id: str,
    attachments: Mapping[Digest, bytes] | None = None,
    kind: str = RECORD,
    signer: Signer,
    is_recorded: Callable[[str], bool],
    origin: Origin | None = None,
) -> list[Pending]:
    """Convert and seal a record, and before it what it refers to that the ledger has not got yet.

    The record itself is the last one. `origin` is where an imported one came from. Nothing is written
    here.
    """
    now = utc_now()
    record, previous = _against_names(names, record)
    context = Context(
        namespace=names.namespace,
        software_version=__version__,
        recorded_at=now,
        previous=previous,
    )
    pending = [
        sealed(convert_content(content, context=context), signer=signer, now=now)
        for content in _repeated_content(record)
        if not is_recorded(content_record_iri(content))
    ]
    if origin is not None:
        context = replace(context, origin=origin)
    converted, whole = _converted(record, record_id=record_id, context=context)
    profiles, others = _profiles(attachments or {})
    pending += [
        sealed(
            convert_profile(profile, digest, context=context),
            signer=signer,
            now=now,
            attachments={digest: data},
        )
        for digest, (profile, data) in profiles.items()
        if not is_recorded(vocab.profile_record_iri(digest))
    ]
    attached = {**others, **whole}
    pending.append(sealed(converted, signer=signer, now=now, kind=kind, attachments=attached))
    return pending


def _converted(
    record: Record, *, record_id: str, context: Context
) -> tuple[Converted, dict[Digest, bytes]]:
    """Convert a record; one that no graph can hold as it is loses its form, never its content."""
    try:
        return convert(record, record_id=record_id, context=context), {}
    except FormatError:
        record = unambiguous(record)
    for keep in (None, *KEPT):
        whole: dict[Digest, bytes] = {}
        smaller = record
        if keep is not None:
            smaller, whole = folded(record, keep=keep)
        try:
            return convert(smaller, record_id=record_id, context=context), whole
        except FormatError:
            if keep == KEPT[-1]:
                raise
    raise AssertionError("the last of KEPT returns or raises")


def find_receipt(ledger: LedgerReader, iri: str) -> Receipt | None:
    """Return where a record stands already, None where it does not."""
    index = ledger.find(iri)
    if index is None:
        return None
    return Receipt(record=iri, position=index, ledger_size=ledger.size())


def sealed(
    converted: Converted,
    *,
    signer: Signer,
    now: datetime,
    kind: str = RECORD,
    attachments: Mapping[Digest, bytes] | None = None,
) -> Pending:
    """Seal a converted record, ready for the ledger."""
    names = [
        NameRow(kind=row.kind, name=row.name, version=row.version, iri=row.iri)
        for row in dict.fromkeys(converted.names)
    ]
    return Pending(
        iri=converted.iri,
        kind=kind,
        graph_nq=converted.canonical,
        seal=seal(converted.canonical, signer=signer, created=now),
        attachments=attachments or {},
        names=names,
    )


def _repeated_content(record: Record) -> list[Environment | SourceCode]:
    """What a record refers to and does not hold: described once in the ledger."""
    if not isinstance(record, Run):
        return []
    source = record.source_code
    if source is not None and not source.is_identified:
        source = None
    return [each for each in (record.environment, source) if each is not None]


def _profiles(
    attachments: Mapping[Digest, bytes],
) -> tuple[dict[Digest, tuple[TableProfile, bytes]], dict[Digest, bytes]]:
    """Tell column profiles, which are records of their own, from the other attachments.

    Raises:
        FormatError: what says that it is a profile is none.
    """
    profiles, others = {}, {}
    for digest, data in attachments.items():
        if is_profile(data):
            with import_lock:
                from provgraph.profiles.codec import decode

            profiles[digest] = (decode(data), data)
        else:
            others[digest] = data
    return profiles, others


def _facts_of(graph_nq: bytes, iri: str) -> dict[terms.Term, terms.Term]:
    subject = terms.iri(iri)
    return {
        predicate: value
        for each, predicate, value, _ in terms.parse_lines(graph_nq)
        if each == subject
    }


# ---- versions ----------------------------------------------------------------------------------------
def _against_names(ledger: Names, record: Record) -> tuple[Record, dict[tuple[str, str, str], str]]:
    """Find which version each named thing follows, and versions that already mean other bytes."""
    previous: dict[tuple[str, str, str], str] = {}
    conflicts: list[Missing] = []
    seen: dict[tuple[str, str], dict[str, str]] = {}  # in this record: version -> IRI, in order
    for kind, given_name, given_version, iri in _versions(record):
        name, version = terms.clean(given_name), terms.clean(given_version)
        own = seen.setdefault((kind, name), {})
        stored = ledger.names(kind, name, version=version)
        known = {row.iri: f"ledger position {row.index}" for row in stored}
        if version in own:
            known.setdefault(own[version], "this record")
        others = [
            f"{each.rsplit('/', 1)[-1][:16]}…, {known[each]}" for each in known if each != iri
        ]
        if others:
            label = f"{name}:{version}"
            reason = f"{label} already names other bytes ({others[-1]}); both are kept, say which by digest"
            conflicts.append(Missing(field=f"one content for {label}", reason=reason))
        elif not known:
            earlier = list(own)[-1:] or [
                row.version for row in ledger.names(kind, name, last_but=version)
            ]
            for each in earlier:
                previous[kind, given_name, given_version] = vocab.named_iri(
                    kind, ledger.namespace, name, each
                )
        own.setdefault(version, iri)
    for conflict in dict.fromkeys(conflicts):
        say(conflict.reason)
    if conflicts:
        record = replace(record, missing=(*record.missing, *dict.fromkeys(conflicts)))
    return record, previous


def _versions(record: Record) -> Iterator[tuple[str, str, str, str]]:
    """Yield (kind, name, version, IRI of the content) of all that a record gives a version."""
    if not isinstance(record, Run):
        return
    for entity in _entities(record):
        if entity.name is not None and entity.version is not None and entity.digest is not None:
            yield entity.kind, entity.name, entity.version, vocab.content_iri(entity.digest)
    scopes: list[Run | Step] = [record, *record.steps]
    for scope in scopes:
        for feature in scope.features:
            if feature.version is not None and feature.definition is not None:
                yield "feature", feature.name, feature.version, feature_iri(feature)


def _entities(record: Run) -> Iterator[Entity]:
    scopes: list[Run | Step] = [record, *record.steps]
    for scope in scopes:
        yield from (usage.entity for usage in scope.used)
        for generation in scope.generated:
            yield from (generation.entity, *(generation.derived_from or ()))
