"""Segments: rows [start, stop) of the ledger, or of the access trail, with all that belongs to them.

A segment is one line `provgraph-segment/1 <origin> ledger|trail <start> <stop>` and fields. Of the
ledger: the names that the records give (deflated JSON), then for each record its IRI key and tree
hashes, its entry and proof, its graph, and the digests of its attachments; then each of these
attachments once. Rows are as the ledger stores them. Of the trail: for each row, the row and its tree hashes.

A segment depends on nothing but those rows, so two processes that write one write the same bytes. It
changes only when an erasure takes content out of a row.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

from provgraph.backup.fields import field, read_fields, split_header
from provgraph.errors import FormatError, LedgerError
from provgraph.ledger import schema
from provgraph.ledger.codec import ERASED, require_blob
from provgraph.ledger.reading import LedgerReader

LEDGER: Final = "ledger"
TRAIL: Final = "trail"

# A segment that is full is never merged with another. The bytes are a bound on memory: one row with
# large attachments can exceed it.
FULL_ROWS: Final = 8192
FULL_BYTES: Final = 32 * 1024 * 1024

_MAGIC: Final = "provgraph-segment/1"
_HEADER = re.compile(rf"{_MAGIC} (\S+) (ledger|trail) (0|[1-9][0-9]*) ([1-9][0-9]*)")
_KEY_BYTES: Final = 8
_DIGEST_BYTES: Final = 32
_MAX_NAMES_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment as it was written."""

    start: int
    stop: int
    erased: int  # rows whose content is gone
    data: bytes
    is_full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the ledger, with the names and attachments that belong to it."""

    position: int
    iri_key: int
    nodes: bytes
    sealed: bytes
    graph: bytes
    names: tuple[tuple[str, str, str, str], ...]  # kind, name, version, IRI
    attached: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRows:
    """What a segment of the ledger holds."""

    rows: tuple[Row, ...]
    attachments: tuple[tuple[bytes, bytes], ...]  # digest, blob


class Source(Protocol):
    """What segments are written from. A segment has the rows from `start`, as many as fill it, below `size`."""

    def segment(self, *, start: int, size: int) -> Segment:
        """Write a segment.

        Raises:
            LedgerError: rows are missing or damaged.
            StorageError: they cannot be read.
        """
        ...


class LedgerSource:
    """The ledger's file, open for reading by one backup."""

    def __init__(self, db: sqlite3.Connection, path: Path, *, origin: str) -> None:
        self._db = db
        self._path = path
        self._origin = origin

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, *, origin: str, first: int) -> Iterator[LedgerSource]:
        """Open the ledger; segments begin at `first` or later.

        The table of names is kept by name, so those of the entries from `first` on are sorted by entry
        in a scratch file: one pass for all segments. What an entry names does not change, except that an
        erasure takes it away with the graph.

        Raises:
            StorageError: the ledger or the scratch file cannot be used.
        """
        with (
            tempfile.TemporaryDirectory(prefix="provgraph-backup-") as folder,
            contextlib.closing(schema.connect(path, read_only=True)) as db,
        ):
            with schema.storage_errors(path):
                scratch = quote(str(Path(folder, "names.db")))
                db.execute("ATTACH ? AS scratch", (f"file:{scratch}?mode=rwc",))
                db.execute("PRAGMA scratch.journal_mode = OFF")
                db.execute("PRAGMA scratch.synchronous = OFF")
                db.execute(
                    "CREATE TABLE scratch.name (position, kind, name, version, iri,"
                    " PRIMARY KEY (position, kind, name, version, iri)) WITHOUT ROWID"
                )
                db.execute(
                    "INSERT INTO scratch.name SELECT position, kind, name, version, iri"
                    " FROM main.name WHERE position >= ? ORDER BY position, kind, name, version, iri",
                    (first,),
                )
            yield cls(db, path, origin=origin)

    def segment(self, *, start: int, size: int) -> Segment:
        """Write a segment, as `Source` says."""
        with schema.storage_errors(self._path):
            # One transaction: an erasure is in all of these tables or in none.
            self._db.execute("BEGIN")
            try:
                return self._segment(start=start, size=size)
            finally:
                self._db.execute("COMMIT")

    def _segment(self, *, start: int, size: int) -> Segment:
        stop = min(size, start + FULL_ROWS)
        attached, sizes = self._attached(start, stop)
        parts: list[bytes] = []
        gone: set[int] = set()
        kept: set[bytes] = set()
        size_bytes, position = 0, start
        for found, iri_key, *blobs in self._db.execute(
            "SELECT position, iri_key, nodes, sealed, graph FROM main.record"
            " WHERE position >= ? AND position < ? ORDER BY position",
            (start, stop),
        ):
            if found != position:
                break
            what = f"row {position} of the ledger"
            nodes, sealed, graph = (require_blob(each, what=what) for each in blobs)
            own = attached[position]
            size_bytes += len(nodes) + len(sealed) + len(graph)
            size_bytes += sum(sizes[each] for each in own if each not in kept)
            if size_bytes > FULL_BYTES and position > start:
                stop = position
                break
            kept.update(own)
            if graph == ERASED:
                gone.add(position)
            parts.append(field(iri_key.to_bytes(_KEY_BYTES, "big", signed=True) + nodes))
            parts += [field(sealed), field(graph), field(b"".join(own))]
            position += 1
        if position != stop or position == start:
            raise LedgerError(
                f"ledger {self._path}: entry {position} is missing; nothing was backed up. Check it"
                " with `provgraph fsck`"
            )
        names = [
            row
            for row in self._db.execute(
                "SELECT position, kind, name, version, iri FROM scratch.name"
                " WHERE position >= ? AND position < ? ORDER BY position, kind, name, version, iri",
                (start, stop),
            )
            if row[0] not in gone
        ]
        text = json.dumps(names, ensure_ascii=False, separators=(",", ":")).encode()
        for digest in sorted(kept):
            parts += [field(digest), field(self._attachment(digest))]
        header = f"{_MAGIC} {self._origin} {LEDGER} {start} {stop}\n".encode()
        return Segment(
            start=start,
            stop=stop,
            erased=len(gone),
            data=b"".join([header, field(zlib.compress(text, 6)), *parts]),
            is_full=stop < size or stop - start == FULL_ROWS,
        )

    def _attached(self, start: int, stop: int) -> tuple[dict[int, list[bytes]], dict[bytes, int]]:
        attached: dict[int, list[bytes]] = defaultdict(list)
        sizes: dict[bytes, int] = {}
        for position, digest, size_bytes in self._db.execute(
            "SELECT attached.position, a.digest, length(a.data) FROM main.attached"
            " JOIN main.attachment AS a ON a.id = attached.attachment"
            " WHERE attached.position >= ? AND attached.position < ? ORDER BY 1, 2",
            (start, stop),
        ):
            attached[position].append(require_blob(digest, what="a digest"))
            sizes[digest] = size_bytes
        return attached, sizes

    def _attachment(self, digest: bytes) -> bytes:
        row = self._db.execute(
            "SELECT data FROM main.attachment WHERE digest = ?", (digest,)
        ).fetchone()
        return require_blob(row and row[0], what=f"attachment {digest.hex()}")


class TrailSource:
    """The access trail's file, open for reading by one backup."""

    def __init__(self, db: sqlite3.Connection, path: Path, *, origin: str) -> None:
        self._db = db
        self._path = path
        self._origin = origin

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, *, origin: str) -> Iterator[TrailSource]:
        """Open the trail.

        Raises:
            StorageError: it cannot be read.
        """
        with (
            schema.storage_errors(path),
            contextlib.closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
            ) as db,
        ):
            yield cls(db, path, origin=origin)

    def segment(self, *, start: int, size: int) -> Segment:
        """Write a segment, as `Source` says."""
        stop = min(size, start + FULL_ROWS)
        with schema.storage_errors(self._path):
            rows = self._db.execute(
                "SELECT position, row, nodes FROM access WHERE position >= ? AND position < ?"
                " ORDER BY position",
                (start, stop),
            ).fetchall()
        if [row[0] for row in rows] != list(range(start, stop)):
            raise LedgerError(f"{self._path}: rows are missing between {start} and {stop}")
        what = f"row of {self._path}"
        fields = [field(require_blob(each, what=what)) for row in rows for each in row[1:]]
        header = f"{_MAGIC} {self._origin} {TRAIL} {start} {stop}\n".encode()
        return Segment(
            start=start,
            stop=stop,
            erased=0,
            data=b"".join([header, *fields]),
            is_full=stop - start == FULL_ROWS,
        )


def erased_positions(ledger: LedgerReader, *, size: int) -> dict[int, int]:
    """Return the entries below `size` whose content is gone, and where the tombstone of each stands."""
    found = {}
    for row in ledger.names_of_kind("tombstone"):
        index = ledger.find(row.name)
        if index is not None and index < size and ledger.read(index).is_erased:
            found[index] = row.index
    return found


# ---- reading ---------------------------------------------------------------------------------------
def read_ledger_segment(data: bytes, *, origin: str, start: int, stop: int) -> LedgerRows:
    """Read a segment of the ledger. Whether the rows are right is for the ledger's own check to say.

    Raises:
        FormatError: of another ledger or range, cut short, or not in a segment's form.
    """
    what = f"segment {start} to {stop}"
    fields = _opened(data, kind=LEDGER, origin=origin, start=start, stop=stop)
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(next(fields), _MAX_NAMES_BYTES)
        if not inflater.eof or inflater.unused_data:
            raise FormatError(f"{what}: its names are cut short, or more than {_MAX_NAMES_BYTES} B")
        names: dict[int, list[tuple[str, str, str, str]]] = defaultdict(list)
        for position, *texts in json.loads(text):
            kind, name, version, iri = map(_text, texts)
            names[position].append((kind, name, version, iri))
        rows = []
        for position in range(start, stop):
            head, sealed, graph, attached = (next(fields) for _ in range(4))
            rows.append(
                Row(
                    position=position,
                    iri_key=int.from_bytes(head[:_KEY_BYTES], "big", signed=True),
                    nodes=head[_KEY_BYTES:],
                    sealed=sealed,
                    graph=graph,
                    names=tuple(names.pop(position, ())),
                    attached=tuple(
                        attached[each : each + _DIGEST_BYTES]
                        for each in range(0, len(attached), _DIGEST_BYTES)
                    ),
                )
            )
        attachments = tuple((digest, next(fields)) for digest in fields)
    except (StopIteration, RuntimeError, zlib.error, ValueError, TypeError) as error:
        raise FormatError(f"{what} is cut short or not in its form: {error}") from None
    if names:
        raise FormatError(f"{what}: names of other entries, such as {min(names)}")
    return LedgerRows(rows=tuple(rows), attachments=attachments)


def read_trail_segment(
    data: bytes, *, origin: str, start: int, stop: int
) -> Sequence[tuple[int, bytes, bytes]]:
    """Read a segment of the access trail: (position, row, tree hashes).

    Raises:
        FormatError: of another ledger or range, cut short, or not in a segment's form.
    """
    fields = list(_opened(data, kind=TRAIL, origin=origin, start=start, stop=stop))
    if len(fields) != 2 * (stop - start):
        raise FormatError(f"segment {start} to {stop} of the access trail is cut short")
    return list(zip(range(start, stop), fields[::2], fields[1::2], strict=True))


def _opened(data: bytes, *, kind: str, origin: str, start: int, stop: int) -> Iterator[bytes]:
    what = f"segment {start} to {stop}"
    header, begin = split_header(data, what=what)
    match = _HEADER.fullmatch(header)
    expected = (origin, kind, str(start), str(stop))
    if match is None or match.groups() != expected:
        raise FormatError(
            f"expected a segment '{_MAGIC} {' '.join(expected)}', found {header[:200]!r}"
        )
    return read_fields(data, begin, what=what)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {value!r:.40}")
    return value
