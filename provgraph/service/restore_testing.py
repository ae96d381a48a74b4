"""Restoring a backup to see whether it can be: to a folder of its own, which is thrown away afterwards.

1. The backup is restored with every check of `provgraph.service.restoring`, the whole ledger included.
2. Index and lineage index are built from it, and compared with it graph by graph.
3. Written-down questions are asked of it, and of the live home as it was at the backup's size: the answers
   must be the same, row by row.
4. The result is sealed into the live home's ledger, whatever it is.

What cannot be compared (no live home here, something erased since) is said, and never counts as compared.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from provgraph import __version__
from provgraph.backup.places import Place
from provgraph.backup.restoring import Backup
from provgraph.backup.segments import erased_positions
from provgraph.capture.identifiers import new_id
from provgraph.digests import sha256_bytes
from provgraph.errors import NotFoundError, ProvgraphError, StorageError
from provgraph.index.edges import lineage_folder
from provgraph.pool import cores
from provgraph.query.answers import Answer
from provgraph.records import Agent
from provgraph.service.asking import Reader, open_reader
from provgraph.service.home import index_folder, readable_ledger, utc_now
from provgraph.service.index_check import check_index
from provgraph.service.indexing import reindex
from provgraph.service.lineage_check import check_lineage
from provgraph.service.recording import write_record
from provgraph.service.restoring import Choice, Progress, Restored, choose, restore_to
from provgraph.settings import Settings, load
from provgraph.terms import format_time
from provgraph.upkeep import FAILED, PASSED, RestoreTest

FORMAT: Final = "provgraph-restore-test/v1"

# About everything, as of the time of the backup; and about a few things that it holds.
_OF_ALL: Final = (
    "inventory",
    "in-production",
    "monitoring-gaps",
    "waived-promotions",
    "modifications",
    "withdrawn-records",
    "contradictions",
)
_AT: Final = frozenset({"inventory", "in-production", "monitoring-gaps"})
_OF_MODELS: Final = ("model-origins", "model-data", "model-metrics", "validations", "converters")
_OF_DATA: Final = ("data-origin", "impact")
_THINGS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A question, and whether both homes answered it alike."""

    question: str
    about: str | None
    rows: int
    is_same: bool | None  # None: there was nothing to compare with


@dataclass(slots=True, kw_only=True)
class Report:
    """What a restore test came to."""

    place: str
    started: datetime
    ended: datetime | None = None
    restored: Restored | None = None
    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # what could not be compared, and why
    questions: list[Compared] = field(default_factory=list)
    graphs: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    record: str | None = None

    @property
    def has_passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the report for programs; members are added and never renamed."""
        found = self.restored
        return {
            "format": FORMAT,
            "provgraph": __version__,
            "place": self.place,
            "verdict": PASSED if self.has_passed else FAILED,
            "started": format_time(self.started),
            "ended": None if self.ended is None else format_time(self.ended),
            "manifest": None if found is None else found.manifest,
            "made": None if found is None else found.made,
            "size": None if found is None else found.tree.size,
            "root": None if found is None else found.tree.root.hex(),
            "problems": self.problems,
            "unknown": self.unknown,
            "graphs": self.graphs,
            "questions": [
                {
                    "question": each.question,
                    "about": each.about,
                    "rows": each.rows,
                    "same": each.is_same,
                }
                for each in self.questions
            ],
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "record": self.record,
        }


def try_restore(
    settings: Settings,
    place: Place,
    choice: Choice,
    *,
    progress: Progress,
    records: bool = True,
) -> Report:
    """Restore a backup to a temporary folder, check it, ask it, compare, and record the result.

    Raises:
        NotFoundError: there is no backup.
        UsageError: it is encrypted, and there is no passphrase.
        StorageError: the place, or the temporary folder, cannot be used: that says nothing of the backup.
    """
    report = Report(place=place.address, started=utc_now())
    backup = None
    try:
        backup = choose(place, choice)
        with tempfile.TemporaryDirectory(prefix="provgraph-restore-test-") as folder:
            _test(settings, backup, Path(folder, "home"), report, progress=progress)
    except (NotFoundError, StorageError):
        raise
    except ProvgraphError as error:
        report.problems.append(str(error))
    report.ended = utc_now()
    if records and settings.ledger_path.exists():
        _record(settings, report, backup)
    return report


def _test(
    settings: Settings, backup: Backup, home: Path, report: Report, *, progress: Progress
) -> None:
    # 1.
    began_s = time.monotonic()
    home.mkdir(mode=0o700)
    report.restored = restore_to(home, backup, named=home, progress=progress)
    began_s = _took(report, "restore", began_s)
    # Nothing of this process's surroundings but where the home is.
    own = load({"PROVGRAPH_HOME": str(home)})
    # 2.
    reindex(own, progress=lambda done, total: progress("indexing", done, total))
    began_s = _took(report, "index", began_s)
    _check_indexes(own, report, progress=progress)
    began_s = _took(report, "compareIndex", began_s)
    # 3.
    progress("asking", 0, 1)
    with open_reader(own) as reader:
        asked = list(_questions(reader, backup.manifest.made))
        answers = [_answer(reader, *each) for each in asked]
    began_s = _took(report, "ask", began_s)
    live = _live_answers(settings, report, asked)
    others: list[Rows | None] = [None] * len(asked) if live is None else [*live]
    for (question, values), mine, other in zip(asked, answers, others, strict=True):
        is_same = None if other is None else mine == other
        about = next((str(each) for name, each in values.items() if name != "at"), None)
        report.questions.append(
            Compared(question=question, about=about, rows=len(mine[1]), is_same=is_same)
        )
        if is_same is False:
            report.problems.append(
                f"the restored home answers {question}{f' of {about}' if about else ''} differently from"
                " the live one"
            )
    _took(report, "askLive", began_s)


def _check_indexes(own: Settings, report: Report, *, progress: Progress) -> None:
    assert report.restored is not None, "it was restored"
    size = report.restored.tree.size
    with readable_ledger(own) as ledger:
        folder = index_folder(own)
        found = check_index(
            ledger,
            folder,
            size=size,
            processes=cores(),
            go_on=True,
            wait_s=own.index_wait_s,
            progress=lambda done, total: progress("comparing", done, total),
        )
        report.graphs = found.graphs
        report.problems += [each.message for each in found.findings]
        lineage = check_lineage(ledger, lineage_folder(folder), size=size)
        if lineage is not None:
            report.problems += [each.message for each in lineage.findings]


Question = tuple[str, dict[str, object]]
Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _questions(reader: Reader, made: str) -> Iterator[Question]:
    """Yield what is asked: about all, and about the newest models and datasets that the backup holds."""
    for name in _OF_ALL:
        yield name, {"at": made} if name in _AT else {}
    for kind, parameter, names in (
        ("Model", "model", _OF_MODELS),
        ("Dataset", "dataset", _OF_DATA),
    ):
        for node in reader.things(kind)[-_THINGS:]:
            for name in names:
                yield name, {parameter: node.iri}


def _answer(reader: Reader, name: str, values: dict[str, object]) -> Rows:
    try:
        found: Answer = reader.ask(name, values)
    except NotFoundError as error:
        return ("error",), [(str(error),)]
    return found.columns, sorted(tuple(map(str, row)) for row in found.rows)


def _live_answers(settings: Settings, report: Report, asked: list[Question]) -> list[Rows] | None:
    """Ask the live home the same, as of the backup's size; None, with the reason, where that says nothing."""
    assert report.restored is not None, "it was restored"
    tree = report.restored.tree
    if not settings.ledger_path.exists():
        report.unknown.append(
            f"there is no live home at {settings.home}: answers were not compared"
        )
        return None
    with readable_ledger(settings) as ledger:
        if ledger.origin != tree.origin:
            report.unknown.append(
                f"the home at {settings.home} is of another ledger, {ledger.origin}: answers were not"
                " compared"
            )
            return None
        if ledger.size() < tree.size or ledger.root(tree.size) != tree.root:
            report.problems.append(
                f"the home at {settings.home} does not contain what the backup has signed: it is an older"
                " copy, or has another history"
            )
            return None
        erased = len(erased_positions(ledger, size=tree.size))
    if erased != report.restored.erased:
        report.unknown.append(
            f"{erased - report.restored.erased} entries were erased since the backup was made: answers were"
            " not compared; back up and test again"
        )
        return None
    with open_reader(settings) as now, now.as_of(tree.size) as then:
        return [_answer(then, *each) for each in asked]


def _record(settings: Settings, report: Report, backup: Backup | None) -> None:
    details = json.dumps(report.to_json(), ensure_ascii=True, indent=0).encode()
    digest = sha256_bytes(details)
    tree = None if backup is None else backup.manifest.tree
    assert report.ended is not None, "it has ended"
    record = RestoreTest(
        id=new_id(),
        place=report.place,
        backup=None if backup is None else backup.name,
        state=PASSED if report.has_passed else FAILED,
        problems=tuple(report.problems[:20]),
        ledger_size=None if tree is None else tree.size,
        root_hash=None if tree is None else f"sha256:{tree.root.hex()}",
        details=digest,
        software=Agent(name=f"provgraph {__version__}", kind="software"),
        at=report.started,
        ended_at=report.ended,
    )
    receipt = write_record(settings, record, record_id=record.id, attachments={digest: details})
    report.record = receipt.record


def _took(report: Report, part: str, began_s: float) -> float:
    now_s = time.monotonic()
    report.seconds[part] = now_s - began_s
    return now_s
