"""Check a whole ledger: every byte that somebody could rely on, against what was signed.

Specifications: RFC 9162 (tree), C2SP tlog-checkpoint, Data Integrity (seals). Size and checkpoint are
read at one instant; what others append meanwhile is left for the next time. Entries are read once, in
ranges, on as many cores as are given, and memory is flat.

Keys are judged by the key events of the ledger itself, and by a trust file where the caller has one.

What it does not do: know whose keys they are without a trust file, or repair. It cannot see that a
name or an attachment was taken away; it sees every one that is false, and every erased graph.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from provgraph.errors import ProvgraphError, StorageError, UntrustedError
from provgraph.ledger import fsck_range, schema
from provgraph.ledger.codec import iri_key, require_blob
from provgraph.ledger.fsck_keys import Deciders, producers_of
from provgraph.ledger.fsck_range import (
    MAX_FINDINGS,
    RANGE_ENTRIES,
    RANGE_LEVEL,
    STEP_ADDITIONS,
    STEP_ENTRIES,
    STEP_ERASED,
    STEP_KEYS,
    STEP_SEALS,
    STEP_TREE,
    Finding,
    RangeReport,
    SealedBy,
)
from provgraph.ledger.fsck_resume import RefusedStateError, State
from provgraph.ledger.fsck_snapshot import Snapshot, take_snapshot
from provgraph.ledger.reading import LedgerReader
from provgraph.pool import BrokenWorkerError, Task, answers
from provgraph.seal.charter import open_charter
from provgraph.seal.merkle import Frontier
from provgraph.seal.note import Checkpoint, open_checkpoint
from provgraph.seal.trust import KeyHistory
from provgraph.seal.trustfile import TrustFile

STEP_STRUCTURE: Final = 1
STEP_CHARTER: Final = 2
STEP_CHECKPOINT: Final = 3

# Below this many entries one process is done before another one has started.
_PARALLEL_ENTRIES: Final = 2 * RANGE_ENTRIES

Passed = Callable[[int, str], None]
"""Called with (step number, what was checked) as each step passes."""

Progress = Callable[[int, int], None]
"""Called with (entries checked so far, entries to check)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """What was found: the tree, how many records each key sealed, and what is wrong."""

    origin: str
    size: int
    root: bytes
    checkpoint: bytes
    sealed: Mapping[tuple[str, str], SealedBy]  # by (kind, verification method)
    attachments: int
    names: int
    graph_bytes: int
    findings: tuple[Finding, ...]
    erased: int = 0
    # The key events, and what they mean for every entry.
    keys: KeyHistory = field(default_factory=KeyHistory, compare=False)

    @property
    def sealed_by(self) -> dict[str, int]:
        """How many entries each verification method sealed, of whatever kind."""
        counts: Counter[str] = Counter()
        for (_, method), by in self.sealed.items():
            counts[method] += by.count
        return dict(counts)


def verify_ledger(ledger: LedgerReader, *, trust: TrustFile | None = None) -> LedgerReport:
    """Check everything in a ledger, in this process, up to the first wrong thing.

    Raises:
        UntrustedError: the first wrong thing, with the entry it belongs to.
        StorageError: the file cannot be read.
    """
    report = check_ledger(ledger, processes=0, trust=trust)
    if report.findings:
        raise UntrustedError(f"ledger {ledger.path}: {report.findings[0].message}")
    return report


def check_ledger(
    ledger: LedgerReader,
    *,
    processes: int,
    trust: TrustFile | None = None,
    go_on: bool = False,
    passed: Passed = lambda _step, _text: None,
    progress: Progress = lambda _done, _total: None,
    resume: State | None = None,
    save: Callable[[State], None] = lambda _state: None,
) -> LedgerReport:
    """Check everything in a ledger.

    1. SQLite's own structure is whole, and the schema is exactly ours (a trigger could change what
       is written).
    2. The charter is signed by the log key, the one the ledger was opened with.
    3. The checkpoint is signed by the log's keys, and is over as many entries as there are.
    4. Entries are dense from 0, canonical, of a kind that we know, and each is found by its IRI, once.
    5. Each graph and proof has the hash that its entry states, the seal over them verifies, is by
       the key that the entry states, and no statement lies in another graph.
    6. The stored hashes of the tree are those of the entries, and their root is the checkpoint's.
    7. Names and attachments say only what the sealed graphs say, and none is left over.
    8. Each seal is by a key that could seal there: not revoked before, in its role, within its
       validity as far as its own date says. An end that was set afterwards, because a key was
       compromised, is no fault of the ledger: `LedgerReport.keys` judges by it.
    9. Each entry without a graph was erased by a tombstone of the steward, which names exactly that
       entry; nothing of it is left, and each tombstone's entry has no graph.

    Args:
        ledger: open for reading.
        processes: how many to check with, none for this one; few entries are checked in this one.
        trust: whose keys they are, from another source than the ledger.
        go_on: report everything that is wrong, at most MAX_FINDINGS per range, and not only the first.
        passed: told of each step that passed.
        progress: told how far it is.
        resume: what an earlier call had checked when it was interrupted.
        save: given the state after each range, for a later `resume`.

    Raises:
        UntrustedError: `resume` does not fit this ledger.
        StorageError: the file cannot be read.
    """
    check = _Check(ledger, trust=trust, go_on=go_on, passed=passed)
    with schema.storage_errors(ledger.path), contextlib.suppress(_StopError):
        check.run(processes=processes, progress=progress, resume=resume, save=save)
    return check.report()


class _StopError(Exception):
    """The first wrong thing was found, and nobody asked for more."""


class _Check:
    """One check of one ledger, as far as it has come."""

    def __init__(
        self, ledger: LedgerReader, *, trust: TrustFile | None, go_on: bool, passed: Passed
    ) -> None:
        self.ledger = ledger
        self._deciders = Deciders(ledger, trust=trust)
        self.findings: list[Finding] = []
        self._db = ledger._db
        self._go_on = go_on
        self._passed = passed
        self._snapshot = Snapshot(size=0, note=b"")
        self._state = State.at_start(ledger.origin)

    def report(self) -> LedgerReport:
        state = self._state
        return LedgerReport(
            origin=self.ledger.origin,
            size=state.frontier.size,
            root=state.frontier.root(),
            checkpoint=self._snapshot.note,
            sealed=state.sealed,
            attachments=state.attachments,
            names=state.names,
            graph_bytes=state.graph_bytes,
            findings=tuple(self.findings),
            erased=len(state.erased),
            keys=self._deciders.history,
        )

    def run(
        self,
        *,
        processes: int,
        progress: Progress,
        resume: State | None,
        save: Callable[[State], None],
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="provgraph-fsck-") as folder:
            self._run(
                Path(folder), processes=processes, progress=progress, resume=resume, save=save
            )

    def _run(
        self,
        folder: Path,
        *,
        processes: int,
        progress: Progress,
        resume: State | None,
        save: Callable[[State], None],
    ) -> None:
        ledger = self.ledger
        # 1. What the later steps start from is read beside it; of damage it is this step that speaks.
        with (
            self._step(STEP_STRUCTURE, "SQLite's structure is whole, and the schema is ours"),
            ThreadPoolExecutor(max_workers=1) as other,
        ):
            reading = other.submit(take_snapshot, ledger, names=folder / "names.db")
            _require_structure(self._db)
        # 2.
        with self._step(STEP_CHARTER, f"ledger {ledger.origin}, charter signed by its log key"):
            row = self._db.execute("SELECT charter FROM ledger").fetchone()
            charter = open_charter(require_blob(row[0] if row else None, what="the charter"))
            if charter != ledger.charter:
                raise UntrustedError("its charter is not the one it was opened with")
        # 3.
        with self._step(STEP_CHECKPOINT, ""):
            self._snapshot = reading.result()
            checkpoint = self._checkpoint()
        size = self._snapshot.size
        self._passed(STEP_CHECKPOINT, f"checkpoint over {size} entries is signed by the log key")
        # 4. to 7.
        with self._step(STEP_ENTRIES, ""):  # a damaged page is met here first
            self._check_ranges(processes=processes, progress=progress, resume=resume, save=save)
        # 4. again: no IRI stands for two records.
        with self._step(
            STEP_ENTRIES, f"{size} entries are canonical, dense, each under its own IRI"
        ):
            _require_distinct(ledger, size)
        self._passed_unless_found(
            STEP_SEALS, f"{size} graphs are as their entries say, and their seals verify"
        )
        # 6. again
        with self._step(
            STEP_TREE, f"{size} leaves make the root that the checkpoint signs (RFC 9162)"
        ):
            if self._state.frontier.size == size and self._state.frontier.root() != checkpoint.root:
                raise UntrustedError(
                    f"its checkpoint says {checkpoint.size} entries under root"
                    f" {checkpoint.root.hex()}, its entries make {size} under"
                    f" {self._state.frontier.root().hex()}"
                )
        # 7. again
        text = f"{self._state.names} names and {self._state.attachments} attachments are sealed too"
        with self._step(STEP_ADDITIONS, text):
            _require_no_orphans(self._db)
        # 8. (each range was judged in its turn)
        producers = producers_of(self._state.sealed)
        methods = {method for _, method in self._state.sealed}
        self._passed_unless_found(STEP_KEYS, f"{len(methods)} keys could seal what they sealed")
        # 9.
        erased = self._state.erased
        text = f"{len(erased)} erased graphs have their tombstones"
        with self._step(STEP_ERASED, text):
            self._deciders.judge_erased(erased, producers=producers)

    # ---- steps -----------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _step(self, step: int, text: str) -> Iterator[None]:
        """Take a step: whatever a reader stumbles over in a file that we wrote is a finding."""
        try:
            yield
        except (StorageError, BrokenWorkerError, RefusedStateError):
            raise
        except (ProvgraphError, sqlite3.DatabaseError, ValueError, TypeError) as error:
            if isinstance(error, sqlite3.Error) and schema.is_about_storage(error):
                raise
            self._found([Finding(step=step, message=str(error))])
            if step in {STEP_CHARTER, STEP_CHECKPOINT}:
                # Without these there is nothing to hold the rest against.
                raise _StopError from None
        else:
            if text:
                self._passed_unless_found(step, text)

    def _passed_unless_found(self, step: int, text: str) -> None:
        if all(finding.step != step for finding in self.findings):
            self._passed(step, text)

    def _found(self, findings: list[Finding]) -> None:
        self.findings += findings
        if findings and (not self._go_on or len(self.findings) >= MAX_FINDINGS):
            raise _StopError

    def _checkpoint(self) -> Checkpoint:
        charter, snapshot = self.ledger.charter, self._snapshot
        checkpoint = open_checkpoint(snapshot.note, charter.note_key, known=charter.log_keys[1:])
        if checkpoint.size != snapshot.size:
            raise UntrustedError(
                f"its checkpoint says {checkpoint.size} entries under root"
                f" {checkpoint.root.hex()}, it has {snapshot.size}"
            )
        return checkpoint

    # ---- ranges ----------------------------------------------------------------------------------
    def _check_ranges(
        self,
        *,
        processes: int,
        progress: Progress,
        resume: State | None,
        save: Callable[[State], None],
    ) -> None:
        size = self._snapshot.size
        if size - (resume.frontier.size if resume else 0) < _PARALLEL_ENTRIES:
            processes = 0
        setup: Task = {
            "ledger": str(self.ledger.path),
            "names": None if self._snapshot.names is None else str(self._snapshot.names),
            "all": self._go_on,
        }
        if resume is not None:
            self._require_unchanged(resume, setup, processes=processes)
            self._deciders.take_again(resume.deciding)
            self._state = resume
        start = self._state.frontier.size
        progress(start, size)
        tasks = (
            {"start": each, "stop": min(each + RANGE_ENTRIES, size)}
            for each in range(start, size, RANGE_ENTRIES)
        )
        begin = f"{fsck_range.__name__}:begin"
        for task, answer in answers(begin, setup, tasks, processes=processes):
            self._take(fsck_range.decode_report(answer))
            if not self.findings and self._state.frontier.size % RANGE_ENTRIES == 0:
                save(self._state)
            progress(task["stop"], size)

    def _take(self, report: RangeReport) -> None:
        """Put a range's subtree into the tree."""
        state = self._state
        is_whole = report.frontier.size == RANGE_ENTRIES
        state.add(report)
        if is_whole and not report.findings:
            completed = state.frontier.append_subtree(report.frontier.root(), level=RANGE_LEVEL)
            if b"".join(completed[1:]) != report.upper:
                position = state.frontier.size - 1
                message = (
                    f"entry {position} of the ledger: its stored tree hashes are not those of the"
                    " entries before it"
                )
                report.findings.append(Finding(step=STEP_TREE, message=message, position=position))
        elif is_whole:
            state.frontier.append_subtree(report.frontier.root(), level=RANGE_LEVEL)
        else:
            state.frontier = _joined(state.frontier, report.frontier)
        report.findings += self._deciders.take_erased(report)
        if not report.findings:
            report.findings += self._deciders.take(report)
        self._found(sorted(report.findings, key=lambda finding: finding.position or 0))

    def _require_unchanged(self, state: State, setup: Task, *, processes: int) -> None:
        """Check that a state is of this ledger, and that the rows it answers for are as they were."""
        ledger, size = self.ledger, state.frontier.size
        state.require_fit(ledger, snapshot_size=self._snapshot.size)
        tasks: Iterator[Task] = (
            {"start": each, "stop": each + RANGE_ENTRIES, "rows_only": True}
            for each in range(0, size, RANGE_ENTRIES)
        )
        begin = f"{fsck_range.__name__}:begin"
        found = answers(begin, setup, tasks, processes=processes)
        for expected, (task, answer) in zip(state.rows, found, strict=True):
            if answer["rows_sha256"] != expected:
                raise RefusedStateError(
                    f"ledger {ledger.path}: entries {task['start']} to {task['stop'] - 1} were changed"
                    " since the interrupted check looked at them; check again without --resume"
                )


def _joined(left: Frontier, right: Frontier) -> Frontier:
    """Return the frontier of a tree whose last, incomplete range is `right`."""
    return Frontier.of_peaks(left.size + right.size, [*left.peaks, *right.peaks])


# ---- single steps ----------------------------------------------------------------------------------
def _require_structure(db: sqlite3.Connection) -> None:
    (finding,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if finding != "ok":
        raise UntrustedError(f"the ledger's SQLite file is damaged: {finding}")
    found: dict[str, Any] = dict(
        db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    )
    for name in sorted({*found, *schema.TABLES}):
        if name not in found and name in schema.ADDED:
            continue
        if found.get(name) != schema.TABLES.get(name):
            raise UntrustedError(
                f"the ledger's schema was changed at {name}: expected"
                f" {schema.TABLES.get(name)}, found {found.get(name)}"
            )


def _require_distinct(ledger: LedgerReader, size: int) -> None:
    """Check that no two entries have one IRI. Their keys are 8 bytes of a hash: few are alike."""
    alike = ledger._db.execute(
        "SELECT iri_key FROM record GROUP BY iri_key HAVING count(*) > 1"
    ).fetchall()
    for (key,) in alike:
        seen: dict[str, int] = {}
        for (position,) in ledger._db.execute(
            "SELECT position FROM record WHERE iri_key = ? AND position < ? ORDER BY position",
            (key, size),
        ).fetchall():
            iri = ledger.read(position).iri
            if iri in seen:
                raise UntrustedError(
                    f"entries {seen[iri]} and {position} of the ledger are both of record {iri}"
                )
            assert iri_key(iri) == key, "step 4 has looked"
            seen[iri] = position


def _require_no_orphans(db: sqlite3.Connection) -> None:
    # Positions are dense by now, so a record exists exactly up to the last one.
    for what, statement in (
        (
            "the name",
            (
                "SELECT name FROM name WHERE typeof(position) != 'integer'"
                " OR position NOT BETWEEN 0 AND (SELECT ifnull(max(position), -1) FROM record)"
            ),
        ),
        (
            "the attachment",
            (
                "SELECT attachment FROM attached WHERE typeof(position) != 'integer'"
                " OR position NOT BETWEEN 0 AND (SELECT ifnull(max(position), -1) FROM record)"
                " OR attachment NOT IN (SELECT id FROM attachment)"
            ),
        ),
        (
            "the attachment",
            "SELECT id FROM attachment WHERE id NOT IN (SELECT attachment FROM attached)",
        ),
    ):
        row = db.execute(f"{statement} LIMIT 1").fetchone()
        if row is not None:
            raise UntrustedError(f"{what} {row[0]!r} belongs to no record of the ledger")
