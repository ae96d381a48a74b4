"""What processes that died, or could not reach the ledger, have left on disk: found and sealed.

Whoever asks a question calls `recover` first, so an abandoned run is seen by who looks. A journal
is taken over by its lock, so of two that look at once one seals it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from provgraph.capture import journal
from provgraph.capture.facts import Fact, decode, encode
from provgraph.capture.sinks import Receipt
from provgraph.capture.state import RunState, replay
from provgraph.capture.values import describe_error
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import FormatError, ProvgraphError
from provgraph.recordable import LATER_FACTS, LaterFact
from provgraph.service.home import writable_ledger
from provgraph.service.recording import LocalSink, write_record
from provgraph.service.things import about
from provgraph.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What became of a journal that its process had left behind."""

    path: Path
    run_id: str | None
    receipt: Receipt | None
    problem: str | None = None

    @property
    def name(self) -> str:
        """The id of the run, or of the record of a later fact."""
        return self.run_id or self.path.name.partition("-")[2].removesuffix(journal.SUFFIX)


def recover(settings: Settings) -> list[Recovered]:
    """Seal what processes that died have left: runs as abandoned, or as ended where they said so."""
    found = []
    for path in journal.paths(settings.journal_folder):
        with journal.claim(path) as is_ours:
            if is_ours and (each := _recover_one(settings, path)) is not None:
                found.append(each)
    return found


def going_runs(settings: Settings) -> Iterator[RunState]:
    """Yield the state of every run that is going now, from the journals that are held."""
    for path in journal.paths(settings.journal_folder):
        with journal.claim(path) as is_ours:
            if is_ours:
                continue
        try:
            yield replay(_facts(path))
        except (FormatError, OSError):
            continue  # just begun, just sealed, or of a later version


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A journal that nobody is writing: what it holds, and since when."""

    path: Path
    what: str  # run train | approval | …
    since: datetime
    size_bytes: int


def waiting(settings: Settings) -> list[Waiting]:
    """List what waits to be sealed or delivered; nothing is changed."""
    found = []
    for path in journal.paths(settings.journal_folder):
        with journal.claim(path) as is_ours:
            if not is_ours:
                continue
            try:
                status = path.stat()
                first = next(iter(_facts(path)), {})
            except (FormatError, OSError):
                continue
            name = f" {first.get('name')}" if first.get("f") == "start" else ""
            what = "run" if first.get("f") == "start" else str(first.get("kind", "unreadable"))
            found.append(
                Waiting(
                    path=path,
                    what=what + name,
                    since=datetime.fromtimestamp(status.st_mtime, UTC),
                    size_bytes=status.st_size,
                )
            )
    return found


def spool(
    settings: Settings,
    record: LaterFact,
    *,
    record_id: str,
    called: str | None = None,
    attachments: Mapping[Digest, bytes] | None = None,
) -> Path:
    """Keep a later fact on disk that the ledger could not take; `recover` seals it.

    `called` is what the user called the thing it is about, where that must be looked up.

    Raises:
        OSError: there is nowhere to keep it.
    """
    kind = next(name for name, each in LATER_FACTS.items() if each is type(record))
    fact: Fact = {"f": "record", "kind": kind, "record": record_id, "value": encode(record)}
    if called is not None:
        fact["called"] = called
    if attachments:
        fact["attachments"] = [data.decode() for data in attachments.values()]
    home = settings.journal_folder
    kept = journal.Journal(f"{kind}-{record_id}", home, otherwise=journal.fallback_folder)
    kept.write(journal.line_of(fact))
    kept.close(remove=False)
    if kept.unwritten:
        raise OSError(kept.fault)
    return kept.path


def _recover_one(settings: Settings, path: Path) -> Recovered | None:
    run_id = None
    try:
        facts = list(_facts(path))
        if not facts:
            receipt = None  # its process died before it could say anything
        elif facts[0].get("f") == "record":
            receipt = _write_spooled(settings, facts[0])
        else:
            state = replay(facts)
            run_id = state.run_id
            receipt = _seal(settings, state)
    except Exception as error:
        # Foreign bytes, a newer version, a full disk: the journal stays, and every question can
        # still be asked.
        problem = str(error) if isinstance(error, ProvgraphError) else describe_error(error)
        return Recovered(path=path, run_id=run_id, receipt=None, problem=problem)
    # If the process dies before this, the next one finds the record in the ledger and removes it.
    for part in journal.parts(path):
        with contextlib.suppress(OSError):
            part.unlink()
    return None if receipt is None else Recovered(path=path, run_id=run_id, receipt=receipt)


def _seal(settings: Settings, state: RunState) -> Receipt:
    """Seal a run where this home records to: its own ledger, or a server."""
    if settings.server:
        from provgraph.service.delivery import RemoteLedger

        return RemoteLedger(settings).seal(state)
    return LocalSink(settings).seal(state)


def _facts(path: Path) -> Iterator[Fact]:
    for part in journal.parts(path):
        yield from journal.read(part)


def _write_spooled(settings: Settings, fact: Fact) -> Receipt:
    kind = LATER_FACTS.get(fact["kind"])
    if kind is None:
        raise FormatError(f"unknown kind of record {fact['kind']!r}: it is from a later version")
    record: LaterFact = decode(kind, fact["value"])
    record_id = decode(str, fact["record"])
    called = decode(str, fact["called"]) if "called" in fact else None
    texts = decode(tuple[str, ...], fact.get("attachments", []))
    attachments = {sha256_bytes(text.encode()): text.encode() for text in texts}
    if settings.server:
        from provgraph.service.delivery import RemoteLedger

        return RemoteLedger(settings).write(
            fact["kind"],
            record,
            record_id=record_id,
            called=called,
            attachments=attachments,
        )
    if called is not None:
        with writable_ledger(settings) as ledger:
            record = about(ledger, record, called)
    return write_record(settings, record, record_id=record_id, attachments=attachments)
