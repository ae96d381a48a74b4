"""The text index: what records say in words, and the facts people filter by, in one SQLite file (FTS5).

A text belongs to a thing and is kept once, however many records say the same; which ones do is beside it,
so that a search over some records only finds what those say. It is written from the ledger's bytes, up to
a watermark that may be behind, and can be deleted: it is built again. After an erasure it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote

from provgraph import vocab
from provgraph.errors import IndexUnavailableError
from provgraph.terms import Term, literal_parts

logger: Final = logging.getLogger(__name__)

_APPLICATION_ID: Final = 0x50475458  # "PGTX"
_LAYOUT: Final = 1
_SCHEMA: Final = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root TEXT NOT NULL);
CREATE TABLE doc (id INTEGER PRIMARY KEY, thing TEXT NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL,
  body TEXT NOT NULL, project TEXT, owner TEXT, licence TEXT, time TEXT, hash BLOB NOT NULL UNIQUE);
CREATE TABLE said (doc INTEGER NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (doc, record)) WITHOUT ROWID;
CREATE TABLE metric (doc INTEGER NOT NULL, name TEXT NOT NULL, value REAL NOT NULL,
  PRIMARY KEY (doc, name, value)) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(title, body, content='doc', content_rowid='id',
  tokenize="unicode61 remove_diacritics 2 tokenchars '_'", prefix='2 3');
"""

# Local class name -> what people call it; the first that a thing has counts.
KINDS: Final = (
    *("Model", "Dataset", "FeatureSet", "Feature", "Run", "Step", "Deployment", "Evaluation"),
    *(
        "Observation",
        "Approval",
        "Validation",
        "GateDecision",
        "Waiver",
        "Withdrawal",
        "Retraction",
    ),
    *("DriftVerdict", "File", "Environment", "SourceCode"),
)
_AGENTS: Final = {"Person": "person", "Organization": "organization", "SoftwareAgent": "software"}

_P: Final = vocab.PG
_TYPE: Final = f"{vocab.RDF}type"
_LABEL: Final = f"{vocab.RDFS}label"
_WORDS: Final = frozenset(
    {
        f"{vocab.DCTERMS}description",
        f"{vocab.DCTERMS}source",
        f"{vocab.DC}source",
        *(f"{_P}{each}" for each in ("text", "reason", "meaning", "stage", "target", "experiment")),
        *(f"{_P}{each}" for each in ("plan", "definition", "guideline", "purpose", "intendedUse")),
        *(f"{_P}{each}" for each in ("condition", "collectionMethod", "collector", "consent")),
    }
)
_LICENCE: Final = frozenset({f"{vocab.DCTERMS}license", f"{vocab.DC}rights"})
_TIMES: Final = tuple(
    f"{vocab.PROV}{each}" for each in ("startedAtTime", "generatedAtTime", "endedAtTime")
)
_BY: Final = frozenset({f"{vocab.PROV}wasAssociatedWith", f"{vocab.PROV}wasAttributedTo"})
_MAX_BODY: Final = 64 * 1024
_MAX_WORDS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Doc:
    """What one record says of one thing in words."""

    thing: str
    kind: str
    title: str
    body: str
    project: str | None = None
    owner: str | None = None
    licence: str | None = None
    time: str | None = None
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which things are wanted. Names are compared without case; times are ISO 8601, `until` not in."""

    kinds: frozenset[str] = frozenset()
    project: str | None = None
    owner: str | None = None
    licence: str | None = None
    since: str | None = None
    until: str | None = None
    metric: str | None = None
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A thing that was found, the best first."""

    thing: str
    kind: str
    title: str
    excerpt: str  # the words that were found stand between « and »
    project: str | None
    owner: str | None
    licence: str | None
    time: str | None
    records: int  # how many say so
    metrics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def docs_of(graph_nq: bytes) -> list[Doc]:
    """Read what a canonical graph says in words."""
    said: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in graph_nq.decode().splitlines():
        subject, predicate, rest = line.split(" ", 2)
        said[subject[1:-1]].append((predicate[1:-1], rest[: rest.rindex(" <")]))
    labels = {
        subject: next((_text(v) for p, v in pairs if p == _LABEL), "")
        for subject, pairs in said.items()
    }
    projects = [_text(v) for pairs in said.values() for p, v in pairs if p == f"{_P}project"]
    metrics = _metrics(said)
    found = []
    for subject, pairs in said.items():
        kind = _kind(pairs)
        if kind is None:
            continue
        body = [*_body(pairs)]
        version = ""
        around = list(pairs)  # whoever made a thing, and when, is said of the run that did
        for predicate, value in pairs:
            other = value[1:-1]
            if predicate == f"{_P}note":
                body += _body(said.get(other, []))
            elif predicate == f"{vocab.PROV}specializationOf" and labels.get(other):
                version = labels[other]
                body.append(labels[subject])
            elif predicate == f"{vocab.PROV}wasGeneratedBy":
                around += said.get(other, [])
                for run in [v[1:-1] for p, v in said.get(other, []) if p == f"{_P}partOfRun"]:
                    around += said.get(run, [])
        last = unquote(re.split(r"[/#]", subject)[-1])
        title = version or labels[subject] or next(filter(None, body), "") or last
        owners = [labels.get(v[1:-1]) or _last(v) for p, v in around if p in _BY]
        found.append(
            Doc(
                thing=subject,
                kind=kind,
                title=title[:500],
                body="\n".join(dict.fromkeys(filter(None, body)))[:_MAX_BODY],
                project=projects[0] if projects else None,
                owner=", ".join(sorted(dict.fromkeys(owners))) or None,
                licence=next((_last(v) for p, v in pairs if p in _LICENCE), None),
                time=next((_text(v) for t in _TIMES for p, v in around if p == t), None),
                metrics=tuple(sorted(set(metrics.get(subject, ())))),
            )
        )
    return found


def _metrics(said: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, list[tuple[str, float]]]:
    """Return metrics by thing: of an evaluation for its model, of a set of metrics for its run."""
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    sets: dict[str, list[tuple[str, float]]] = {}
    for subject, pairs in said.items():
        name = next((_text(v) for p, v in pairs if p == f"{_P}metricName"), None)
        measured = next((_number(v) for p, v in pairs if p == f"{_P}value"), None)
        if name is not None and measured is not None:
            for target in [subject, *(v[1:-1] for p, v in pairs if p == f"{_P}model")]:
                found[target].append((name, measured))
        own = [
            (unquote(p.removeprefix(vocab.METRIC)), number)
            for p, v in pairs
            if p.startswith(vocab.METRIC) and (number := _number(v)) is not None
        ]
        if own:
            sets[subject] = own
    for subject, pairs in said.items():
        for predicate, value in pairs:
            if predicate in {f"{_P}metrics", f"{_P}standardMetrics"}:
                found[subject] += sets.get(value[1:-1], [])
    return found


def _kind(pairs: Sequence[tuple[str, str]]) -> str | None:
    types = {v[1:-1] for p, v in pairs if p == _TYPE}
    for name in KINDS:
        if f"{_P}{name}" in types:
            return name.lower()
    for name, word in _AGENTS.items():
        if f"{vocab.PROV}{name}" in types:
            return word
    return None


def _body(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for predicate, value in pairs:
        if predicate in _WORDS:
            yield _text(value)
        elif predicate.startswith(vocab.TAG):
            yield f"{unquote(predicate.removeprefix(vocab.TAG))} {_text(value)}"


def _text(value: str) -> str:
    return literal_parts(Term(value))[0] if value[0] == '"' else value[1:-1]


def _last(value: str) -> str:
    return (
        _text(value) if value[0] == '"' else unquote(re.split(r"[/#]", value[1:-1].rstrip("/"))[-1])
    )


def _number(value: str) -> float | None:
    try:
        return float(_text(value))
    except ValueError:
        return None


class TextFile:
    """An open file; use `open_texts`. One thread at a time."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        """Take over an open connection."""
        self.path = path
        self._db = db

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._db.close()

    def watermark(self) -> tuple[int, str]:
        """Return how many entries of which tree are in: size and root hash, in hex."""
        row = self._db.execute("SELECT size, root FROM state").fetchone()
        return (int(row[0]), str(row[1])) if row else (0, "")

    def clear(self) -> None:
        """Take everything out; what stood there leaves no page behind."""
        with self._transaction():
            self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")
            for table in ("doc", "said", "metric", "state"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
        self._db.execute("VACUUM")

    def append(self, entries: Iterable[tuple[int, bytes]], *, size: int, root: str) -> None:
        """Put graphs in by their ledger positions, and move the watermark, in one transaction."""
        with self._transaction():
            for position, graph in entries:
                for doc in docs_of(graph):
                    self._put(doc, position)
            self._db.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?)", (size, root))

    def _put(self, doc: Doc, position: int) -> None:
        facts = (
            doc.thing,
            doc.kind,
            doc.title,
            doc.body,
            doc.project,
            doc.owner,
            doc.licence,
            doc.time,
        )
        digest = hashlib.blake2b(
            json.dumps([*facts, doc.metrics]).encode(), digest_size=16
        ).digest()
        row = self._db.execute("SELECT id FROM doc WHERE hash = ?", (digest,)).fetchone()
        if row is None:
            cursor = self._db.execute(
                "INSERT INTO doc (thing, kind, title, body, project, owner, licence, time, hash)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*facts, digest),
            )
            number = cursor.lastrowid
            self._db.execute(
                "INSERT INTO words (rowid, title, body) VALUES (?, ?, ?)",
                (number, doc.title, doc.body),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO metric VALUES (?, ?, ?)",
                [(number, name, value) for name, value in doc.metrics],
            )
        else:
            number = row[0]
        self._db.execute("INSERT OR IGNORE INTO said VALUES (?, ?)", (number, position))

    def search(
        self,
        text: str,
        filters: Filters,
        *,
        limit: int,
        offset: int = 0,
        as_of: int | None = None,
        hidden: Collection[int] = (),
    ) -> tuple[list[Hit], bool]:
        """Find things, best first, and say whether there are more.

        Args:
            text: words, all of which must occur (the last may be a beginning); "a phrase"; -not.
                Empty: everything that the filters leave, the newest first.
            filters: which things are wanted.
            limit: at most so many.
            offset: after so many that are passed over.
            as_of: only what the first so many entries say.
            hidden: entries that do not count.
        """
        match = match_of(text)
        where, values = _conditions(filters)
        if match is None:
            source, order = "FROM doc AS d", "d.time DESC, d.thing"
            excerpt = "substr(d.body, 1, 200)"
        else:
            source = "FROM words JOIN doc AS d ON d.id = words.rowid"
            where.insert(0, "words MATCH ?")
            values.insert(0, match)
            # Not by how rare a word is: that depends on everything, also on what is hidden.
            order = (
                "lower(d.title) = lower(?) DESC,"
                " instr(lower(d.title), lower(?)) > 0 DESC, d.time DESC, d.thing"
            )
            excerpt = "snippet(words, -1, '«', '»', '…', 16)"
        self._only(as_of=as_of, hidden=hidden)
        where.append("EXISTS (SELECT 1 FROM shown AS s WHERE s.doc = d.id)")
        statement = (
            f"SELECT d.thing, d.kind, d.title, {excerpt}, d.project, d.owner, d.licence, d.time"
            f" {source} WHERE {' AND '.join(where)} ORDER BY {order}"
        )
        found: dict[str, Hit] = {}
        passed: set[str] = set()
        if match is not None:
            values += [text.strip(), text.split(maxsplit=1)[0].strip('"')]
        with self._errors():
            for thing, *rest in self._db.execute(statement, values):
                if thing in found or thing in passed:
                    continue
                if len(passed) < offset:
                    passed.add(thing)
                    continue
                if len(found) == limit:
                    return list(found.values()), True
                found[thing] = self._hit(thing, rest)
        return list(found.values()), False

    def counts(self, *, hidden: Collection[int] = ()) -> dict[str, int]:
        """Return how many things there are of each kind."""
        self._only(as_of=None, hidden=hidden)
        with self._errors():
            rows = self._db.execute(
                "SELECT d.kind, count(DISTINCT d.thing) FROM doc AS d"
                " WHERE EXISTS (SELECT 1 FROM shown AS s WHERE s.doc = d.id) GROUP BY d.kind"
            ).fetchall()
        return {str(kind): int(count) for kind, count in rows}

    def _only(self, *, as_of: int | None, hidden: Collection[int]) -> None:
        """Make `shown` the rows of `said` that count."""
        self._db.execute("DROP VIEW IF EXISTS temp.shown")
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS hidden (record INTEGER PRIMARY KEY)")
        self._db.execute("DELETE FROM temp.hidden")
        self._db.executemany(
            "INSERT INTO temp.hidden VALUES (?)", [(each,) for each in sorted(hidden)]
        )
        bound = "" if as_of is None else f" AND record < {int(as_of):d}"
        self._db.execute(
            "CREATE TEMP VIEW shown AS SELECT doc, record FROM main.said"  # noqa: S608 - a number
            f" WHERE record NOT IN (SELECT record FROM temp.hidden){bound}"
        )

    def _hit(self, thing: str, rest: Sequence[Any]) -> Hit:
        kind, title, excerpt, project, owner, licence, time = rest
        (records,) = self._db.execute(
            "SELECT count(DISTINCT s.record) FROM shown AS s JOIN doc AS d ON d.id = s.doc"
            " WHERE d.thing = ?",
            (thing,),
        ).fetchone()
        metrics: dict[str, list[float]] = defaultdict(list)
        for name, value in self._db.execute(
            "SELECT DISTINCT m.name, m.value FROM metric AS m JOIN doc AS d ON d.id = m.doc"
            " WHERE d.thing = ? AND EXISTS (SELECT 1 FROM shown AS s WHERE s.doc = d.id)"
            " ORDER BY m.name, m.value LIMIT 100",
            (thing,),
        ):
            metrics[name].append(value)
        return Hit(
            thing=thing,
            kind=kind,
            title=title,
            excerpt=" ".join(str(excerpt).split()),
            project=project,
            owner=owner,
            licence=licence,
            time=time,
            records=records,
            metrics={name: tuple(values) for name, values in metrics.items()},
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise IndexUnavailableError(
                f"the text index {self.path} cannot be used: {error}; delete it, it is built again"
            ) from error


def match_of(text: str) -> str | None:
    """Write what a person typed as an FTS5 expression: nothing typed can be syntax.

    Words become quoted words, all of them wanted; the last one also as a beginning. `"…"` is a phrase,
    and `-word` excludes. None where there is no word.
    """
    wanted, unwanted = [], []
    for minus, phrase, word in re.findall(r'(-?)(?:"([^"]*)"|(\S+))', text)[:_MAX_WORDS]:
        tokens = re.findall(r"\w+", phrase or word)
        if not tokens:
            continue
        quoted = '"' + " ".join(tokens) + '"'
        if minus:
            unwanted.append(quoted)
        else:
            wanted.append(quoted if phrase else f"{quoted}*" if len(tokens) == 1 else quoted)
    if not wanted:
        return None
    # A beginning counts for the word that may still be being typed; the others are whole.
    whole = [each.removesuffix("*") for each in wanted[:-1]]
    expression = " AND ".join([*whole, wanted[-1]])
    return f"({expression}) NOT ({' OR '.join(unwanted)})" if unwanted else expression


def _conditions(filters: Filters) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    if filters.kinds:
        where.append(f"d.kind IN ({', '.join('?' * len(filters.kinds))})")
        values += sorted(filters.kinds)
    for column, value in (("project", filters.project), ("licence", filters.licence)):
        if value is not None:
            where.append(f"d.{column} = ? COLLATE NOCASE")
            values.append(value)
    if filters.owner is not None:
        where.append("instr(lower(', ' || d.owner || ','), lower(?)) > 0")
        values.append(f", {filters.owner},")
    if filters.since is not None:
        where.append("d.time >= ?")
        values.append(filters.since)
    if filters.until is not None:
        where.append("d.time < ?")
        values.append(filters.until)
    if filters.metric is not None:
        bounds = "SELECT 1 FROM metric AS m WHERE m.doc = d.id AND m.name = ?"
        values.append(filters.metric)
        for sign, bound in ((">=", filters.at_least), ("<=", filters.at_most)):
            if bound is not None:
                bounds += f" AND m.value {sign} ?"
                values.append(bound)
        where.append(f"EXISTS ({bounds})")
    return where or ["1"], values


def texts_path(index: Path) -> Path:
    """Return where the text index is that belongs to an index: beside it."""
    return index.with_name("texts.db" if index.name == "index" else f"{index.name}-texts.db")


def discard_texts(path: Path) -> None:
    """Delete the file, with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def open_texts(path: Path) -> TextFile:
    """Open the text index, made where there is none, and anew where it is of another layout.

    Raises:
        IndexUnavailableError: it cannot be made, read or written.
    """
    for attempt in range(2):
        try:
            return TextFile(path, _opened(path))
        except (sqlite3.Error, OSError) as error:
            is_damage = isinstance(error, sqlite3.DatabaseError) and not isinstance(
                error, sqlite3.OperationalError
            )
            if attempt or not is_damage:
                raise IndexUnavailableError(
                    f"the text index {path} cannot be used: {error}"
                ) from error
            logger.warning("text index damaged, built anew path=%s: %s", path, error)
            discard_texts(path)
    raise AssertionError("unreachable")


def _opened(path: Path) -> sqlite3.Connection:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA busy_timeout = 10000")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (layout,) = db.execute("PRAGMA user_version").fetchone()
        is_empty = not db.execute("SELECT 1 FROM sqlite_master").fetchone()
        if is_empty:
            for statement in filter(str.strip, _SCHEMA.split(";\n")):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {_LAYOUT}")
        elif (application, layout) != (_APPLICATION_ID, _LAYOUT):
            raise sqlite3.DatabaseError(f"another layout ({application}, {layout})")
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db
