"""Tokens, and who belongs to which private project: one SQLite file in the home, `access.db`.

A token is 32 random bytes, shown once and stored as its SHA-256: whoever reads the file has no
token. 256 bits need no salt and no slow hash. Changes are durable when a call returns. The file is
readable by its owner only. Times are UTC.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from provgraph.access.roles import ROLES
from provgraph.access.verdict import Caller
from provgraph.errors import NotFoundError, StorageError, UntrustedError, UsageError
from provgraph.terms import format_time

APPLICATION_ID: Final = 0x50474143  # "PGAC"
TOKEN_PREFIX: Final = "pgt_"  # noqa: S105 - what tokens start with, so that scanners find leaked ones
_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}")
# A token's last use is written at most this often.
_LAST_USE_S: Final = 60.0
_SCHEMA: Final = """
CREATE TABLE token (id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, owner TEXT NOT NULL,
  roles TEXT NOT NULL, projects TEXT, created TEXT NOT NULL, expires TEXT, revoked TEXT,
  last_used TEXT, note TEXT) STRICT;
CREATE TABLE project (name TEXT PRIMARY KEY, is_private INTEGER NOT NULL) STRICT;
CREATE TABLE member (project TEXT NOT NULL, person TEXT NOT NULL, PRIMARY KEY (project, person))
  STRICT, WITHOUT ROWID;
CREATE TABLE person (name TEXT PRIMARY KEY, roles TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as the store knows it; the secret itself is nowhere."""

    id: str
    owner: str
    roles: frozenset[str]
    projects: frozenset[str] | None
    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None
    note: str | None

    def state(self, now: datetime) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return (
            "expired" if self.expires is not None and self.expires <= format_time(now) else "active"
        )


class AccessStore:
    """The file, open. One thread at a time."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime]) -> None:
        """Open the file, and make it first where there is none.

        Raises:
            StorageError: it cannot be made, opened or read, or is no access file.
        """
        self._path = path
        self._clock = clock
        self._db = self._opened()
        self._written: dict[str, datetime] = {}
        # Who tokens stand for, by their hashes, as long as nothing of the file has changed.
        self._callers: dict[bytes, tuple[Token, Caller]] = {}
        self._callers_of = (-1, -1)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def version(self) -> int:
        """A number that changes when another process has changed the file."""
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return version

    def is_set_up(self) -> bool:
        """Whether anybody was ever given access: from then on nobody has any without."""
        return bool(self._rows("SELECT 1 FROM token UNION SELECT 1 FROM person LIMIT 1"))

    # ---- tokens ----------------------------------------------------------------------------------
    def create_token(
        self,
        *,
        owner: str,
        roles: Iterable[str],
        projects: Iterable[str] | None = None,
        lifetime: timedelta | None = None,
        note: str | None = None,
    ) -> tuple[Token, str]:
        """Make a token; return it with its secret, which is not kept.

        Raises:
            UsageError: a role that does not exist, no owner, no role, no future.
        """
        wanted = frozenset(roles)
        unknown = sorted(wanted - set(ROLES))
        if unknown or not wanted:
            raise UsageError(
                f"expected roles of {', '.join(ROLES)}, found {', '.join(unknown) or 'none'}"
            )
        if not owner.strip():
            raise UsageError("a token belongs to somebody; say who with --owner")
        if lifetime is not None and lifetime <= timedelta(0):
            raise UsageError("a token that has expired already is of no use; give it a future")
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        token = Token(
            id=secrets.token_hex(4),
            owner=owner.strip(),
            roles=wanted,
            projects=None if projects is None else frozenset(projects),
            created=format_time(now),
            expires=None if lifetime is None else format_time(now + lifetime),
            revoked=None,
            last_used=None,
            note=note,
        )
        with self._transaction():
            self._db.execute(
                "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?)",
                (
                    token.id,
                    _hash(secret),
                    token.owner,
                    _join(wanted),
                    None if token.projects is None else _join(token.projects),
                    token.created,
                    token.expires,
                    note,
                ),
            )
        return token, secret

    def tokens(self) -> list[Token]:
        """Return all tokens ever made, the oldest first."""
        return [_token(row) for row in self._rows(f"{_TOKENS} ORDER BY created")]

    def revoke_token(self, token_id: str) -> Token:
        """End a token now; ending it again changes nothing.

        Raises:
            NotFoundError: there is no token of that id.
        """
        with self._transaction():
            self._db.execute(
                "UPDATE token SET revoked = ? WHERE id = ? AND revoked IS NULL",
                (format_time(self._clock()), token_id),
            )
        for token in self.tokens():
            if token.id == token_id:
                return token
        raise NotFoundError(f"there is no token {token_id!r}; `provgraph access tokens` lists them")

    def caller(self, secret: str) -> Caller:
        """Return who a token stands for, and note that it was used.

        Raises:
            UntrustedError: no such token, or it has expired or was revoked.
        """
        known = self._known_caller(_hash(secret)) if _TOKEN.fullmatch(secret) else None
        if known is None:
            raise UntrustedError("this token is not known here; ask for a new one")
        token, caller = known
        now = self._clock()
        state = token.state(now)
        if state != "active":
            raise UntrustedError(f"the token {token.id} is {state}; ask for a new one")
        self._note_use(token, now)
        return caller

    def _known_caller(self, hashed: bytes) -> tuple[Token, Caller] | None:
        """Look a token up by its hash: how long that takes says nothing about the token."""
        # One number tells of changes by other connections, the other of those by this one.
        version = self.version, self._db.total_changes
        if version != self._callers_of:
            self._callers_of = version
            self._callers.clear()
        if hashed not in self._callers:
            rows = self._rows(f"{_TOKENS} WHERE hash = ?", hashed)
            if not rows:
                return None
            token = _token(rows[0])
            caller = Caller(
                name=token.owner,
                by=f"token {token.id}",
                roles=token.roles,
                projects=token.projects,
                member_of=self.projects_of(token.owner),
            )
            self._callers[hashed] = token, caller
        return self._callers[hashed]

    # ---- persons and projects --------------------------------------------------------------------
    def set_roles(self, person: str, roles: Iterable[str]) -> None:
        """Say which roles somebody has who signs in elsewhere (OpenID Connect); none takes them all.

        Raises:
            UsageError: a role that does not exist.
        """
        wanted = frozenset(roles)
        unknown = sorted(wanted - set(ROLES))
        if unknown:
            raise UsageError(f"expected roles of {', '.join(ROLES)}, found {', '.join(unknown)}")
        with self._transaction():
            self._db.execute("DELETE FROM person WHERE name = ?", (person,))
            if wanted:
                self._db.execute("INSERT INTO person VALUES (?, ?)", (person, _join(wanted)))

    def roles_of(self, person: str) -> frozenset[str]:
        """Return the roles that somebody was given by name."""
        rows = self._rows("SELECT roles FROM person WHERE name = ?", person)
        return _split(rows[0][0]) if rows else frozenset()

    def set_private(self, project: str, *, is_private: bool) -> None:
        """Make a project private, or open again."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO project VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET is_private ="
                " excluded.is_private",
                (project, int(is_private)),
            )

    def private_projects(self) -> frozenset[str]:
        """Return the projects that are private."""
        return frozenset(row[0] for row in self._rows("SELECT name FROM project WHERE is_private"))

    def set_member(self, project: str, person: str, *, belongs: bool) -> None:
        """Say that somebody belongs to a project, or no longer."""
        statement = (
            "INSERT OR IGNORE INTO member VALUES (?, ?)"
            if belongs
            else "DELETE FROM member WHERE project = ? AND person = ?"
        )
        with self._transaction():
            self._db.execute(statement, (project, person))

    def projects_of(self, person: str) -> frozenset[str]:
        """Return the projects that somebody belongs to."""
        return frozenset(
            row[0] for row in self._rows("SELECT project FROM member WHERE person = ?", person)
        )

    def members(self, project: str) -> list[str]:
        """Return who belongs to a project, sorted."""
        rows = self._rows("SELECT person FROM member WHERE project = ? ORDER BY person", project)
        return [row[0] for row in rows]

    # ---- the file --------------------------------------------------------------------------------
    def _opened(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Only a new file: closing one that this process has open elsewhere drops SQLite's locks
            # on it (https://www.sqlite.org/howtocorrupt.html section 2.2).
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA busy_timeout = 10000")
            db.execute("BEGIN IMMEDIATE")
            application_id = db.execute("PRAGMA application_id").fetchone()[0]
            if application_id == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            elif application_id != APPLICATION_ID:
                raise StorageError(f"{self._path} is no access file of provgraph; move it away")
            db.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"cannot use {self._path}: {error}; make it readable and writable for the server"
            ) from error
        return db

    def _rows(self, statement: str, *values: object) -> list[tuple[str, ...]]:
        with self._errors():
            rows: list[tuple[str, ...]] = self._db.execute(statement, values).fetchall()
        return rows

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                # If the process dies before COMMIT returns, nothing of the change is there, and
                # nobody was told that it is.
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"cannot use {self._path}: {error}; look at the disk") from error

    def _note_use(self, token: Token, now: datetime) -> None:
        written = self._written.get(token.id)
        if written is None or (now - written).total_seconds() >= _LAST_USE_S:
            self._written[token.id] = now
            # A convenience for whoever cleans up tokens; a full disk must not lock everybody out.
            with contextlib.suppress(StorageError), self._transaction():
                self._db.execute(
                    "UPDATE token SET last_used = ? WHERE id = ?", (format_time(now), token.id)
                )


_TOKENS: Final = (
    "SELECT id, owner, roles, projects, created, expires, revoked, last_used, note FROM token"
)


def _token(row: tuple[str, ...]) -> Token:
    token_id, owner, roles, projects, created, expires, revoked, last_used, note = row
    return Token(
        id=token_id,
        owner=owner,
        roles=_split(roles),
        projects=None if projects is None else _split(projects),
        created=created,
        expires=expires,
        revoked=revoked,
        last_used=last_used,
        note=note,
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _join(names: frozenset[str]) -> str:
    return json.dumps(sorted(names), ensure_ascii=False)


def _split(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))
