"""Recording: a record becomes canonical bytes, a seal, and an entry of the ledger, in that order.

A record is acknowledged by a `Receipt`, which exists only after the ledger's COMMIT returned.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from provgraph import __version__, vocab
from provgraph.capture import journal
from provgraph.capture.facts import decode, encode
from provgraph.capture.sinks import Receipt
from provgraph.capture.state import RunState, replay
from provgraph.convert.entities import Context
from provgraph.convert.prov import Converted, content_record_iri, convert, convert_content
from provgraph.digests import Digest
from provgraph.errors import FormatError, ProvgraphError
from provgraph.ledger.rows import NameRow, Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.records import (
    Approval,
    Deployment,
    Entity,
    Environment,
    Missing,
    Observation,
    Record,
    Retraction,
    Run,
    SourceCode,
    Step,
)
from provgraph.seal.proof import seal
from provgraph.service.home import producer_signer, utc_now, writable_ledger
from provgraph.settings import Settings

_RECORD_KINDS: Final[Mapping[str, type[Record]]] = {
    "deployment": Deployment,
    "observation": Observation,
    "approval": Approval,
    "retraction": Retraction,
}
# Where code point order and UTF-16 order can differ (see terms.require_one_order).
_AMBIGUOUS = re.compile(r"[\ue000-\uffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What became of a journal that its process had left behind."""

    path: Path
    run_id: str | None
    receipt: Receipt | None
    problem: str | None = None


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
        ledger = writable_ledger(self._settings)
        for row in reversed(ledger.names("run", name)):
            graph = ledger.graph(row.index).decode()
            wanted = "" if project is None else f"{vocab.P['project']} {json.dumps(project)}"
            if wanted in graph:
                is_complete = f'<{row.iri}> {vocab.P["status"]} "completed"' in graph
                return None if is_complete else row.iri.rsplit("/", 1)[-1]
        return None


def write_record(
    settings: Settings,
    record: Record,
    *,
    record_id: str,
    attachments: Mapping[Digest, bytes] | None = None,
) -> Receipt:
    """Convert, seal and append one record; return when the ledger has committed it.

    Raises:
        StorageError: the bytes could not be made durable.
        ConflictError: a record of this id has other content.
        FormatError: the record cannot be written as one graph (too large).
    """
    ledger = writable_ledger(settings)
    found = _find_receipt(ledger, vocab.record_iri(record_id))
    if found is not None:
        # A process died after COMMIT and before it could remove its journal: nothing is left to do.
        return found
    now = utc_now()
    record, previous = _against_names(ledger, record)
    context = Context(
        namespace=ledger.namespace,
        software_version=__version__,
        recorded_at=now,
        previous=previous,
    )
    pending = [
        _pending(settings, convert_content(content, context=context), now, {})
        for content in _repeated_content(record)
        if ledger.find(content_record_iri(content)) is None
    ]
    try:
        converted = convert(record, record_id=record_id, context=context)
    except FormatError:
        # Some verifiers would sort these statements otherwise. Nothing is lost: the characters
        # that cause it are written as visible escapes.
        converted = convert(_unambiguous(record), record_id=record_id, context=context)
    pending.append(_pending(settings, converted, now, attachments or {}))
    # The one durable write. If the process dies before COMMIT, the ledger is as it was and the
    # journal still has the facts; after it, the record is there and sealing again finds it.
    positions = ledger.append(pending)
    return Receipt(
        record=positions[-1].iri, position=positions[-1].index, ledger_size=ledger.size()
    )


def recover(settings: Settings) -> list[Recovered]:
    """Seal what processes that died have left: runs as abandoned, or as ended where they said so."""
    found = []
    for folder in (settings.journal_folder, journal.fallback_folder()):
        for path in journal.paths(folder):
            with journal.claim(path) as is_ours:
                if is_ours:
                    found.append(_recover_one(settings, path))
    return found


def going_runs(settings: Settings) -> Iterator[RunState]:
    """Yield the state of every run that is going now, from the journals that are held."""
    for folder in (settings.journal_folder, journal.fallback_folder()):
        for path in journal.paths(folder):
            with journal.claim(path) as is_ours:
                if is_ours:
                    continue
            try:
                yield replay(journal.read(path))
            except (FormatError, OSError):
                continue  # just begun, or just sealed


def spool(settings: Settings, record: Record, *, record_id: str) -> Path:
    """Keep a later fact on disk that the ledger could not take; `recover` seals it.

    Raises:
        OSError: there is nowhere to keep it.
    """
    kind = next(name for name, each in _RECORD_KINDS.items() if each is type(record))
    fact = {"f": "record", "kind": kind, "record": record_id, "value": encode(record)}
    for folder in (settings.journal_folder, journal.fallback_folder()):
        try:
            kept = journal.Journal.create(folder, f"{kind}-{record_id}")
        except OSError:
            continue
        kept.write(fact)
        kept.close(remove=False)
        if kept.fault is None:
            return kept.path
    raise OSError(f"neither {settings.journal_folder} nor {journal.fallback_folder()} takes it")


def _recover_one(settings: Settings, path: Path) -> Recovered:
    run_id = None
    try:
        facts = list(journal.read(path))
        if facts and facts[0].get("f") == "record":
            kind = _RECORD_KINDS[facts[0]["kind"]]
            record: Record = decode(kind, facts[0]["value"])
            receipt = write_record(settings, record, record_id=facts[0]["record"])
        else:
            state = replay(facts)
            run_id = state.run_id
            receipt = LocalSink(settings).seal(state)
    except (ProvgraphError, OSError, KeyError) as error:
        return Recovered(path=path, run_id=run_id, receipt=None, problem=str(error))
    path.unlink(missing_ok=True)
    return Recovered(path=path, run_id=run_id, receipt=receipt)


def _find_receipt(ledger: Ledger, iri: str) -> Receipt | None:
    index = ledger.find(iri)
    if index is None:
        return None
    return Receipt(record=iri, position=index, ledger_size=ledger.size())


def _pending(
    settings: Settings,
    converted: Converted,
    now: datetime,
    attachments: Mapping[Digest, bytes],
) -> Pending:
    names = [
        NameRow(kind=row.kind, name=row.name, version=row.version, iri=row.iri)
        for row in dict.fromkeys(converted.names)
    ]
    return Pending(
        iri=converted.iri,
        graph_nq=converted.canonical,
        seal=seal(converted.canonical, signer=producer_signer(settings), created=now),
        attachments=attachments,
        names=names,
    )


def _repeated_content(record: Record) -> list[Environment | SourceCode]:
    """What a record refers to and does not hold: described once in the ledger."""
    if not isinstance(record, Run):
        return []
    return [each for each in (record.environment, record.source_code) if each is not None]


def _against_names(
    ledger: Ledger, record: Record
) -> tuple[Record, dict[tuple[str, str, str], str]]:
    """Find which version each named thing follows, and versions that already mean other bytes."""
    previous: dict[tuple[str, str, str], str] = {}
    conflicts: list[Missing] = []
    for entity in _entities(record):
        if entity.name is None or entity.version is None or entity.digest is None:
            continue
        iri = vocab.content_iri(entity.digest)
        rows = [row for row in ledger.names(entity.kind, entity.name) if row.version]
        others = [row for row in rows if row.version == entity.version and row.iri != iri]
        if others:
            label = f"{entity.name}:{entity.version}"
            reason = (
                f"{label} already names other bytes ({others[-1].iri.rsplit('/', 1)[-1][:16]}…,"
                f" ledger position {others[-1].index}); both are kept, say which by digest"
            )
            conflicts.append(Missing(field=f"one content for {label}", reason=reason))
        earlier = [row for row in rows if row.version != entity.version]
        if earlier and not others and not any(row.iri == iri for row in rows):
            previous[entity.kind, entity.name, entity.version] = vocab.named_iri(
                entity.kind, ledger.namespace, entity.name, earlier[-1].version
            )
    if conflicts:
        from provgraph.capture.run import logger

        for conflict in conflicts:
            logger.warning("provgraph: %s", conflict.reason)
        record = replace(record, missing=(*record.missing, *dict.fromkeys(conflicts)))
    return record, previous


def _entities(record: Record) -> Iterator[Entity]:
    if not isinstance(record, Run):
        return
    scopes: list[Run | Step] = [record, *record.steps]
    for scope in scopes:
        yield from (usage.entity for usage in scope.used)
        yield from (generation.entity for generation in scope.generated)


def _unambiguous(record: Record) -> Record:
    """Write the characters that verifiers sort differently as visible escapes."""
    text = json.dumps(encode(record), ensure_ascii=False)
    escaped = _AMBIGUOUS.sub(lambda match: f"\\\\u{ord(match[0]):04X}", text)
    return decode(type(record), json.loads(escaped))


def new_id() -> str:
    """Mint the id of a later fact."""
    from provgraph.capture.run import new_run_id

    return str(uuid.UUID(new_run_id()))
