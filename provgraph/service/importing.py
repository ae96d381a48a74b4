"""Importing: units of a foreign source become sealed records, each state of a unit once.

A unit's name stands in the ledger's table of names with the states that were recorded. A unit in the last
state is left alone; one in another state becomes a new record that supersedes the last one. So an
import can be repeated, and one that was broken off goes on.

Batches are all or nothing, in the order of the source. If the process dies, what was committed is there,
and the next import finds the rest new. The cursor of a source is a note in `<home>/imports`, written after
the last commit: without it everything is compared, and nothing is recorded twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from provgraph import terms, vocab
from provgraph.capture.journal import make_private
from provgraph.convert.origins import KIND
from provgraph.converters import table
from provgraph.converters.contract import Converter, ForeignGraph, Reading, Unit
from provgraph.converters.report import OUTCOMES, Report
from provgraph.converters.sources import Source, open_source
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import FormatError, NotFoundError, StorageError, UsageError
from provgraph.frozen import replace
from provgraph.imported import ImportSummary, Origin
from provgraph.ledger.reading import LedgerReader
from provgraph.ledger.rows import Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.records import Agent, GraphImport, Run
from provgraph.seal.keys import Signer
from provgraph.seal.proof import seal
from provgraph.service import kept_events
from provgraph.service.home import (
    is_recorded,
    producer_signer,
    readable_ledger,
    utc_now,
    writable_ledger,
)
from provgraph.service.recording import names_for, prepare_record
from provgraph.settings import Settings

# One commit takes so much, whichever comes first.
_BATCH_UNITS: Final = 200
_BATCH_BYTES: Final = 8 * 1024 * 1024
# How long the end of a run waits for an import that is going on.
_WAIT_S: Final = 30.0
_MAX_CURSOR_BYTES: Final = 4 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Imported:
    """What an import did, or with `is_dry` would have done."""

    source: str
    what: str  # what the source is, in words
    converter: str
    converter_version: str
    is_dry: bool
    report: Report
    new: int = 0
    superseding: int = 0
    unchanged: int = 0
    disagreements: int = 0
    redacted: int = 0
    record: str | None = None  # IRI of the record of the import
    positions: tuple[int, int] | None = None  # in the ledger, of the first and last record

    @property
    def recorded(self) -> int:
        """How many records were added."""
        return self.new + self.superseding


@dataclass(slots=True, kw_only=True)
class _Batch:
    """Units on their way into one commit."""

    units: list[Unit] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    size_bytes: int = 0

    def add(self, unit: Unit) -> None:
        self.units.append(unit)
        self.keys.add(terms.clean(unit.key))
        self.size_bytes += len(unit.content) + sum(map(len, unit.attachments.values()))

    def is_full_for(self, unit: Unit) -> bool:
        return (
            len(self.units) >= _BATCH_UNITS
            or self.size_bytes >= _BATCH_BYTES
            or terms.clean(unit.key) in self.keys  # another state of one that waits here
        )


def import_source(
    settings: Settings,
    text: str,
    *,
    converter: str | None = None,
    project: str | None = None,
    by: str | None = None,
    is_dry: bool = False,
    takes_unfinished: bool = False,
    goes_on: bool = False,
) -> Imported:
    """Import a source, or with `is_dry` only say what would be imported.

    Args:
        settings: whose ledger.
        text: path or address.
        converter: by name, instead of recognising the format.
        project: of the runs, instead of what the source calls it.
        by: who imports.
        is_dry: write nothing.
        takes_unfinished: also what has not ended yet.
        goes_on: from where the last import of this source had come to, where the converter can.

    Raises:
        UsageError: nothing is there, or it is in no format that can be imported.
        FormatError, StorageError: the source as a whole cannot be read.
        LedgerError: the ledger cannot take records in.
    """
    if settings.server:
        raise UsageError(
            "importing writes into the ledger of a home, and PROVGRAPH_SERVER sends records elsewhere:"
            " unset it, and import on the machine of that server with its --home"
        )
    source = open_source(text)
    if source.address == kept_events.ADDRESS:
        chosen = kept_events.kept_converter(settings)
        what = chosen.recognises(source) or ""
    elif converter is None:
        chosen, what = table.recognise(source)
    else:
        chosen = table.find(converter)
        what = chosen.recognises(source) or f"read as {chosen.name}"
    imported = Imported(
        source=source.text,
        what=what,
        converter=chosen.name,
        converter_version=chosen.version,
        is_dry=is_dry,
        report=Report(),
    )
    reading = Reading(
        report=imported.report,
        project=project,
        takes_unfinished=takes_unfinished,
        cursor=_cursor(settings, source, chosen) if goes_on else None,
    )
    if is_dry:
        _try(settings, chosen, source, reading, imported)
    else:
        with _alone(settings):
            _run(settings, chosen, source, reading, imported, by=by)
    return imported


def record_units(settings: Settings, name: str, units: list[Unit]) -> list[str]:
    """Record units that were read elsewhere, such as in the process that made them.

    Returns the IRIs of the records of their states, also of those that were recorded before.

    Raises:
        LedgerError: the ledger cannot take records in.
    """
    converter = table.find(name)
    imported = Imported(
        source="",
        what="",
        converter=converter.name,
        converter_version=converter.version,
        is_dry=False,
        report=Report(),
    )
    with _alone(settings, wait_s=_WAIT_S):
        for unit in units:
            batch = _Batch()
            batch.add(unit)
            _commit(settings, converter, batch, imported)
    with writable_ledger(settings) as ledger:
        found = [ledger.names(KIND, terms.clean(unit.key)) for unit in units]
        return [ledger.read(rows[-1].index).iri for rows in found if rows]


# ---- reading --------------------------------------------------------------------------------------
def _try(
    settings: Settings, converter: Converter, source: Source, reading: Reading, imported: Imported
) -> None:
    try:
        ledger = readable_ledger(settings)
    except NotFoundError:
        ledger = None
    try:
        if ledger is not None:
            reading.namespace = ledger.namespace
        for unit in converter.read(source, reading):
            _compared(ledger, converter, unit, imported)
    finally:
        if ledger is not None:
            ledger.close()


def _run(
    settings: Settings,
    converter: Converter,
    source: Source,
    reading: Reading,
    imported: Imported,
    *,
    by: str | None,
) -> None:
    began = utc_now()
    with writable_ledger(settings) as ledger:
        reading.namespace = ledger.namespace
    batch = _Batch()
    try:
        for unit in converter.read(source, reading):
            if batch.is_full_for(unit):
                _commit(settings, converter, batch, imported)
                batch = _Batch()
            batch.add(unit)
    finally:
        # What was read before the source failed is whole, and stays.
        if batch.units:
            _commit(settings, converter, batch, imported)
        if imported.recorded:
            _summarise(settings, imported, by=by, began=began)
    # If the process dies before this line, the next import compares what this one has recorded.
    if reading.next_cursor is not None:
        _keep_cursor(settings, source, converter, reading.next_cursor)


def _compared(
    ledger: LedgerReader | None, converter: Converter, unit: Unit, imported: Imported
) -> Origin | None:
    """Return the origin of a unit's new record; None where its state is recorded."""
    origin = Origin(
        converter=converter.name,
        converter_version=converter.version,
        unit=terms.clean(unit.key),
        content=sha256_bytes(unit.content),
        media_type=unit.media_type,
        redacted=unit.redacted,
        disagreements=unit.disagreements,
    )
    earlier = [] if ledger is None else ledger.names(KIND, origin.unit)
    if earlier and earlier[-1].iri == origin.state:
        imported.unchanged += 1
        imported.report.unchanged(_kind(unit))
        return None
    if earlier:
        imported.superseding += 1
    else:
        imported.new += 1
    imported.disagreements += len(unit.disagreements)
    imported.redacted += unit.redacted
    if not earlier or ledger is None:
        return origin
    return replace(origin, supersedes=ledger.read(earlier[-1].index).iri)


def _kind(unit: Unit) -> str:
    return "graph" if isinstance(unit.record, ForeignGraph) else type(unit.record).__name__.lower()


# ---- writing --------------------------------------------------------------------------------------
def _commit(settings: Settings, converter: Converter, batch: _Batch, imported: Imported) -> None:
    with writable_ledger(settings) as ledger:
        signer = producer_signer(settings)
        pending: list[Pending] = []
        for unit in batch.units:
            before = imported.new, imported.superseding
            origin = _compared(ledger, converter, unit, imported)
            if origin is None:
                continue
            try:
                pending += _prepared(settings, ledger, unit, origin, signer)
            except FormatError as error:
                imported.new, imported.superseding = before
                imported.report.refused(_kind(unit), where=unit.key, reason=str(error))
        if not pending:
            return
        # The one durable write: all of the batch, or none of it.
        positions = ledger.append(_once(pending))
        new = [each.index for each in positions if each.is_new]
        if new:
            first = imported.positions[0] if imported.positions else new[0]
            imported.positions = first, new[-1]


def _prepared(
    settings: Settings, ledger: Ledger, unit: Unit, origin: Origin, signer: Signer
) -> list[Pending]:
    record_id = _record_id(ledger, origin)
    attachments = {**unit.attachments, origin.content: unit.content}
    record = unit.record
    if isinstance(record, ForeignGraph):
        return _graph(settings, ledger, record, unit, origin=origin, record_id=record_id)
    if not isinstance(record, Run):
        record = replace(record, id=record_id)
    return prepare_record(
        names_for(settings, ledger, record),
        record,
        record_id=record_id,
        attachments=attachments,
        signer=signer,
        is_recorded=lambda iri: is_recorded(ledger, iri),
        origin=origin,
    )


def _graph(
    settings: Settings,
    ledger: Ledger,
    foreign: ForeignGraph,
    unit: Unit,
    *,
    origin: Origin,
    record_id: str,
) -> list[Pending]:
    """Keep statements as a graph of their own, and beside it the record of where they came from."""
    name = vocab.record_iri(f"{record_id}-graph")
    graph = terms.Graph(name)
    for subject, predicate, value in foreign.statements:
        graph.add(subject, predicate, value)
    now, signer = utc_now(), producer_signer(settings)
    canonical = graph.canonical()
    record = GraphImport(
        id=record_id,
        graph=name,
        source=origin.content,
        media_type=unit.media_type,
        size_bytes=len(unit.content),
        by=Agent(name=f"{origin.converter}/{origin.converter_version}", kind="software"),
        at=now,
    )
    return [
        Pending(iri=name, graph_nq=canonical, seal=seal(canonical, signer=signer, created=now)),
        *prepare_record(
            names_for(settings, ledger, record),
            record,
            record_id=record_id,
            attachments={**unit.attachments, origin.content: unit.content},
            signer=signer,
            is_recorded=lambda iri: is_recorded(ledger, iri),
            origin=origin,
        ),
    ]


def _record_id(ledger: LedgerReader, origin: Origin) -> str:
    """Name a state of a unit: by the unit, and by how many states were recorded before."""
    number = len(ledger.names(KIND, origin.unit)) if origin.supersedes else 0
    unit = hashlib.sha256(origin.unit.encode()).hexdigest()[:32]
    return f"{origin.converter}-{unit}-{number}"


def _once(pending: list[Pending]) -> list[Pending]:
    """Keep the first of what several records of a batch brought along, such as their source code."""
    return list({each.iri: each for each in reversed(pending)}.values())[::-1]


def _summarise(settings: Settings, imported: Imported, *, by: str | None, began: datetime) -> None:
    report = json.dumps(imported.report.as_json(), sort_keys=True, indent=1).encode("ascii")
    digest: Digest = sha256_bytes(report)
    record_id = f"import-{uuid4()}"
    record = ImportSummary(
        id=record_id,
        source=imported.source,
        converter=imported.converter,
        converter_version=imported.converter_version,
        counts={outcome: imported.report.total(outcome) for outcome in OUTCOMES},
        records=imported.recorded,
        report=digest,
        by=None if by is None else Agent(name=by),
        at=began,
        ended_at=utc_now(),
    )
    with writable_ledger(settings) as ledger:
        positions = ledger.append(
            prepare_record(
                ledger,
                record,
                record_id=record_id,
                attachments={digest: report},
                signer=producer_signer(settings),
                is_recorded=lambda iri: is_recorded(ledger, iri),
            )
        )
    imported.record = positions[-1].iri


@contextlib.contextmanager
def _alone(settings: Settings, *, wait_s: float = 0.0) -> Iterator[None]:
    """Let one import at a time write into a home: two would each find the other's units new."""
    folder = _made_folder(settings)
    with (folder / "lock").open("wb") as file:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= until:
                    raise StorageError(
                        f"another import into {settings.home} is running; wait for it, and import"
                        " again"
                    ) from error
            time.sleep(0.05)
        yield


# ---- cursors --------------------------------------------------------------------------------------
def _cursor(settings: Settings, source: Source, converter: Converter) -> Mapping[str, Any] | None:
    path = _cursor_path(settings, source)
    try:
        data = path.read_bytes()[: _MAX_CURSOR_BYTES + 1]
        kept = json.loads(data)
        if kept["converter"] == f"{converter.name}/{converter.version}":
            cursor: Mapping[str, Any] = kept["cursor"]
            return cursor if isinstance(cursor, dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        pass  # without a cursor everything is compared
    return None


def _keep_cursor(
    settings: Settings, source: Source, converter: Converter, cursor: Mapping[str, Any]
) -> None:
    kept = {
        "source": source.text,
        "converter": f"{converter.name}/{converter.version}",
        "cursor": cursor,
    }
    path = _cursor_path(settings, source)
    temporary = path.with_suffix(".new")
    try:
        temporary.write_text(json.dumps(kept), "ascii")
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _cursor_path(settings: Settings, source: Source) -> Path:
    name = str(source.path.absolute()) if source.path is not None else source.text
    key = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return settings.home / "imports" / f"{key}.json"


def _made_folder(settings: Settings) -> Path:
    folder = settings.home / "imports"
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(folder)
    except OSError as error:
        raise StorageError(
            f"cannot make the folder {folder}: {error.strerror or error};"
            " make it writable, or set PROVGRAPH_HOME"
        ) from error
    return folder
