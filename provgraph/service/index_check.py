"""The index against the ledger: every graph equal, none added, none missing, the default graph theirs.

1. The index says which beginning of the ledger it holds, by size and root.
2. Each record's graph in the index is, statement by statement, the canonical graph in the ledger; an
   erased record has none.
3. The default graph holds each statement of all records once, and nothing else. Both sides are hashed
   (SHA-256 of the statement) into buckets on disk, and compared bucket by bucket: memory is flat, and a
   false statement would need a collision.
4. There are as many graphs and statements as that makes: nothing lies elsewhere.

A copy is compared, so others ask and record meanwhile. Memory is that of one bucket.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

from provgraph.errors import DamagedIndexError, IndexUnavailableError
from provgraph.index.compare import IndexCopy
from provgraph.index.store import SCRATCH_PREFIX, Index, Watermark, open_index
from provgraph.ledger.fsck_range import MAX_FINDINGS, Finding
from provgraph.ledger.sqlite import Ledger
from provgraph.pool import Answer, Task, Work, answers
from provgraph.service.home import utc_now

STEP_INDEX: Final = 11

_RANGE: Final = 256
_PARALLEL_ENTRIES: Final = 4 * _RANGE
_HASH_BYTES: Final = 32
# Hashes that a process keeps before it writes them.
_KEPT_HASHES: Final = 100_000
# Statements of about this many records share a bucket: 150,000 hashes, 15 MB as a set.
_RECORDS_PER_BUCKET: Final = 1000
_MAX_BUCKETS: Final = 256  # by the first byte of the hash
# As many false statements of the default graph are spelt out; the rest is counted.
_MAX_NAMED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What was compared, and what is wrong. `size` is that of the ledger which the index holds."""

    folder: str
    was_built: bool  # there was no index, so one was built to see that it can be
    size: int
    graphs: int
    statements: int
    findings: tuple[Finding, ...]


Progress = Callable[[int, int], None]
"""Called with (graphs compared so far, graphs to compare)."""


def check_index(
    ledger: Ledger,
    folder: Path,
    *,
    size: int,
    processes: int,
    go_on: bool,
    wait_s: float,
    progress: Progress,
) -> IndexReport:
    """Compare the index in a folder with the first `size` entries of a ledger.

    Where there is none, one is built in a scratch folder and compared.

    Raises:
        IndexUnavailableError: it is in use, or there is no room for a copy of it.
        StorageError: the ledger cannot be read.
    """
    with scratch_beside(folder) as scratch:
        copy = scratch / "copy"
        was_built = not folder.exists()
        if was_built:
            _build(ledger, copy, size=size)
        elif not os.access(folder.parent, os.W_OK):
            copy = folder  # nobody writes there, so it can be read as it is
        check = _Check(ledger, folder, copy, scratch, size=size, go_on=go_on)
        with contextlib.suppress(_StopError):
            check.run(wait_s=wait_s, processes=processes, progress=progress)
        return IndexReport(
            folder=str(folder),
            was_built=was_built,
            size=check.size,
            graphs=check.graphs,
            statements=check.statements,
            findings=tuple(check.findings),
        )


class _StopError(Exception):
    """The first wrong thing was found, and nobody asked for more."""


class _Check:
    """One comparison, as far as it has come."""

    def __init__(
        self, ledger: Ledger, folder: Path, copy: Path, scratch: Path, *, size: int, go_on: bool
    ) -> None:
        self.findings: list[Finding] = []
        self.size = self.graphs = self.statements = 0
        self._ledger, self._folder, self._copy, self._scratch = ledger, folder, copy, scratch
        self._ledger_size = size
        self._go_on = go_on

    def run(self, *, wait_s: float, processes: int, progress: Progress) -> None:
        try:
            if not self._copy.exists():
                with open_index(self._folder, wait_s=wait_s) as index:
                    index.snapshot(self._copy)
            self._run(processes=processes, progress=progress)
        except DamagedIndexError as error:
            self._found(str(error))

    def _run(self, *, processes: int, progress: Progress) -> None:
        # 1.
        mark = IndexCopy(self._copy).watermark()
        if mark.size > self._ledger_size or self._ledger.root(mark.size).hex() != mark.root_hex:
            self._found(
                f"the index {self._folder} says that it holds {mark.size} entries under root"
                f" {mark.root_hex}, which is no beginning of this ledger; `provgraph reindex` builds"
                " it anew"
            )
            return
        self.size = mark.size
        if self.size < _PARALLEL_ENTRIES:
            processes = 0
        setup: Task = {
            "ledger": str(self._ledger.path),
            "copy": str(self._copy),
            "scratch": str(self._scratch),
            "buckets": min(_MAX_BUCKETS, 1 + self.size // _RECORDS_PER_BUCKET),
            "all": self._go_on,
        }
        begin = f"{__name__}:begin"
        # 2. and 3. The default graph is read in one go, by a worker of its own.
        with ThreadPoolExecutor(max_workers=1) as other:
            whole: Task = {"do": "default"}
            read = other.submit(
                lambda: list(answers(begin, setup, [whole], processes=min(1, processes)))
            )
            ranges = (
                {"do": "range", "start": start, "stop": min(start + _RANGE, self.size)}
                for start in range(0, self.size, _RANGE)
            )
            graph_statements = 0
            for task, answer in answers(begin, setup, ranges, processes=processes):
                self.graphs += answer["graphs"]
                graph_statements += answer["statements"]
                for position, message in answer["findings"]:
                    self._found(message, position=position)
                progress(task["stop"], self.size)
            ((_, answer),) = read.result()
            default_statements = answer["statements"]
        # 3.
        buckets: Iterator[Task] = ({"do": "bucket", "bucket": n} for n in range(setup["buckets"]))
        extra, missing = set[bytes](), set[bytes]()
        counts = [0, 0]
        for _, answer in answers(begin, setup, buckets, processes=processes):
            extra.update(map(bytes.fromhex, answer["extra"]))
            missing.update(map(bytes.fromhex, answer["missing"]))
            counts[0] += answer["extra_count"]
            counts[1] += answer["missing_count"]
        if counts[0]:
            self._found(
                f"the default graph of the index {self._folder} holds {counts[0]} statements that no"
                f" record makes: {self._spelt(extra)}"
            )
        if counts[1]:
            self._found(
                f"the default graph of the index {self._folder} lacks {counts[1]} statements that"
                " records make"
            )
        # 4.
        copy = IndexCopy(self._copy)
        names = sum(1 for _ in copy.graph_names())
        if names != self.graphs:
            self._found(self._stray_graphs(copy))
        self.statements = graph_statements + default_statements
        if copy.quad_count() != self.statements and not self.findings:
            self._found(
                f"the index {self._folder} counts {copy.quad_count()} statements, its graphs hold"
                f" {self.statements}; `provgraph reindex` builds it anew"
            )

    def _found(self, message: str, *, position: int | None = None) -> None:
        self.findings.append(Finding(step=STEP_INDEX, message=message, position=position))
        if not self._go_on or len(self.findings) >= MAX_FINDINGS:
            raise _StopError

    def _spelt(self, hashes: set[bytes]) -> str:
        found: list[str] = []

        def take(statements: list[bytes]) -> None:
            named = (each for each in statements if hashlib.sha256(each).digest() in hashes)
            found.extend(map(_shown, islice(named, _MAX_NAMED - len(found))))

        IndexCopy(self._copy).each_default_statement(take)
        return "; ".join(found)

    def _stray_graphs(self, copy: IndexCopy) -> str:
        strays = []
        for name in copy.graph_names():
            index = self._ledger.find(name)
            if index is None or index >= self.size:
                strays.append(name)
        named = ", ".join(strays[:_MAX_NAMED])
        return (
            f"the index {self._folder} holds {len(strays)} graphs that are no records of the first"
            f" {self.size} entries of the ledger: {named}"
        )


# ---- in the workers --------------------------------------------------------------------------------
@contextlib.contextmanager
def begin(setup: Task) -> Iterator[Work]:
    """Open ledger and copy for a process that compares; see `_Check._run` for the tasks."""
    copy = IndexCopy(Path(setup["copy"]))
    scratch, count = Path(setup["scratch"]), int(setup["buckets"])
    path = Path(setup["ledger"])
    with Ledger.open(path, log_signer=None, clock=utc_now, read_only=True) as ledger:

        def work(task: Task) -> Answer:
            if task["do"] == "range":
                return _compare_range(
                    ledger,
                    copy,
                    _Buckets(scratch, "u", count),
                    start=task["start"],
                    stop=task["stop"],
                    go_on=setup["all"],
                )
            if task["do"] == "default":
                with _Buckets(scratch, "d", count) as buckets:
                    copy.each_default_statement(buckets.add)
                return {"statements": buckets.added}
            return _compare_bucket(scratch, task["bucket"])

        yield work


def _compare_range(
    ledger: Ledger, copy: IndexCopy, buckets: _Buckets, *, start: int, stop: int, go_on: bool
) -> Answer:
    findings: list[tuple[int, str]] = []
    graphs = statements = 0
    # What many records say of one thing is hashed once in a range.
    union: set[bytes] = set()
    for record in ledger.records(start, stop):
        expected = [] if record.is_erased else _statements(record.graph_nq, record.iri)
        found = copy.statements(record.iri)
        # As sets: sorting what the engine gives in its own order would take longer.
        wanted = set(expected)
        if len(found) != len(expected) or set(found) != wanted:
            what = _difference(expected, found, is_erased=record.is_erased)
            message = f"entry {record.index} of the ledger, record {record.iri}: {what}"
            findings.append((record.index, message))
            if not go_on:
                break
        graphs += bool(found)
        statements += len(found)
        union |= wanted
    with buckets:
        buckets.add(union)
    return {"graphs": graphs, "statements": statements, "findings": findings}


def _statements(graph_nq: bytes, iri: str) -> list[bytes]:
    """Return a canonical graph as the index's copy gives it: statements without its name."""
    # That each line ends so, and nothing else does, is shown by step 5 of `provgraph.ledger.fsck`.
    statements = graph_nq.split(f" <{iri}> .\n".encode())
    if not statements[-1]:
        statements.pop()
    return statements


def _difference(expected: list[bytes], found: list[bytes], *, is_erased: bool) -> str:
    if is_erased:
        return (
            "it was erased, and the index still holds its graph; `provgraph reindex` builds it anew"
        )
    if not found:
        return "the index has no graph of it; `provgraph reindex` builds it anew"
    for what, lines in (
        ("the index lacks", set(expected) - set(found)),
        ("the index adds", set(found) - set(expected)),
    ):
        if lines:
            return f"{what} {len(lines)} statements, the first is {_shown(min(lines))}"
    return "the index holds a statement twice"


def _shown(statement: bytes) -> str:
    return f"{statement[:500].decode('utf-8', 'replace')} ."


def _compare_bucket(scratch: Path, bucket: int) -> Answer:
    union, default = (
        {
            data[at : at + _HASH_BYTES]
            for path in scratch.glob(f"{side}-{bucket}-*")
            for data in [path.read_bytes()]
            for at in range(0, len(data), _HASH_BYTES)
        }
        for side in ("u", "d")
    )
    extra, missing = default - union, union - default
    return {
        "extra": [each.hex() for each in sorted(extra)[:_MAX_NAMED]],
        "missing": [each.hex() for each in sorted(missing)[:_MAX_NAMED]],
        "extra_count": len(extra),
        "missing_count": len(missing),
    }


class _Buckets:
    """Hashes of statements, spread over files by their first bytes; one set of files per process."""

    def __init__(self, folder: Path, side: str, count: int) -> None:
        self.added = 0
        self._folder, self._side = folder, side
        self._kept = [bytearray() for _ in range(count)]
        self._by_first = [self._kept[first % count] for first in range(256)]
        self._room = _KEPT_HASHES

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, statements: Collection[bytes]) -> None:
        """Take in statements."""
        by_first = self._by_first
        for digest in [hashlib.sha256(each).digest() for each in statements]:
            by_first[digest[0]] += digest
        self.added += len(statements)
        self._room -= len(statements)
        if self._room <= 0:
            self._write()
            self._room = _KEPT_HASHES

    def _write(self) -> None:
        for bucket, kept in enumerate(self._kept):
            if kept:
                path = self._folder / f"{self._side}-{bucket}-{os.getpid()}"
                with path.open("ab") as file:
                    file.write(kept)
                kept.clear()


def _build(ledger: Ledger, folder: Path, *, size: int) -> None:
    graphs = (b"" if each.is_erased else each.graph_nq for each in ledger.records(0, size))
    mark = Watermark(size=size, root_hex=ledger.root(size).hex())
    index = Index(folder)
    index.rebuild(graphs, mark=mark)
    index.close_store()


@contextlib.contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """Make a scratch folder, on the disk of the index if that can be written: hard links need that."""
    place = folder.parent if os.access(folder.parent, os.W_OK) else None
    try:
        with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=place) as name:
            yield Path(name)
    except OSError as error:
        raise IndexUnavailableError(
            f"no scratch folder for the comparison of the index: {error.strerror or error}; make room"
        ) from error
