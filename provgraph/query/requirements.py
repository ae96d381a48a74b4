"""Profiles: requirements on what is recorded of a model, as versioned data in `ontology/profiles`.

TOML 1.0; what stands in one is drawn in `ontology/templates/profile.toml`. Reading is strict: a word
that is not known is refused with its line and the nearest known one, and a profile or requirement that
could fail nothing is refused as well: a check that checks nothing must not pass.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from provgraph import resources
from provgraph.digests import sha256_bytes
from provgraph.errors import FormatError, NotFoundError, QueryError, UsageError
from provgraph.query.catalogue import CannedQuery, find
from provgraph.query.promotion import (
    CHECKS,
    FACTS,
    KEYS,
    SEVERITIES,
    DecisionRules,
    Profile,
    Requirement,
    Rows,
    Unanswered,
)

__all__ = ["FACTS", "Profile", "Requirement", "load_profile", "parse_profile", "profile_names"]

Row = TypeVar("Row")
MAX_BYTES: Final = 1024 * 1024
MAX_REQUIREMENTS: Final = 500
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_TABLE: Final = re.compile(r"^\s*\[{1,2}\s*([A-Za-z0-9_-]+)[^\]]*\]{1,2}")
_TOP: Final = {"id", "version", "title", "about", "requirement", "unanswered", "roles", "decisions"}
_HOW: Final = ("fact", "question", "check")
_RULES: Final = ("where", "require", "forbid", "unknown", "at_least", "at_most")
_REQUIREMENT: Final = {
    *("id", "title", "source", "severity", "waivable_by", "role", "with", "rows"),
    *_HOW,
    *_RULES,
}
_UNANSWERED: Final = {"id", "title", "source", "why"}
_DECISIONS: Final = {"keys", "vouching", "max_days"}
_ROWS: Final = ("some", "none", "any")
# The parameter of a question that is the model that the gate judges.
_SUBJECTS: Final = ("model", "dataset", "run", "thing")


def profile_names() -> list[str]:
    """Return the names of the profiles that come with provgraph, sorted."""
    return _names_in(_folder())


def named_profiles(folder: Path) -> list[str]:
    """Return the names of all profiles, those in a folder of one's own too, sorted."""
    return sorted({*profile_names(), *_names_in(folder)})


def _names_in(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".toml") for path in folder.glob("*.toml"))


def load_profile(name: str, *, folder: Path | None = None) -> Profile:
    """Read a profile by its name: one that comes with provgraph, else one in a folder of one's own.

    Raises:
        NotFoundError: there is none; near names are suggested.
        FormatError: it is not in its form.
    """
    names = profile_names() if folder is None else named_profiles(folder)
    if not _NAME.fullmatch(name) or name not in names:
        near = difflib.get_close_matches(name[:100], names, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
        raise NotFoundError(f"no profile is called {name[:100]!r}{hint}")
    path = _folder() / f"{name}.toml"
    if not path.exists() and folder is not None:
        path = folder / f"{name}.toml"
    profile = parse_profile(_bytes_of(path), where=path.name)
    if profile.id != name:
        raise FormatError(f"{path.name}: expected the id {name!r}, found {profile.id!r}")
    return profile


def read_profile(text: str, *, folder: Path | None = None) -> Profile:
    """Read a profile by its name, or from a file: whatever ends in .toml or has a slash is a path.

    Raises:
        NotFoundError: there is none.
        FormatError: it is not in its form.
    """
    if not text.endswith(".toml") and "/" not in text:
        return load_profile(text, folder=folder)
    return parse_profile(_bytes_of(Path(text)), where=Path(text).name)


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise NotFoundError(
            f"cannot read the profile {path}: {error.strerror or error};"
            " `provgraph gate --new-profile FILE` writes one to begin with"
        ) from None
    if len(data) > MAX_BYTES:
        raise FormatError(f"{path}: expected at most {MAX_BYTES} bytes of profile")
    return data


def parse_profile(data: bytes, *, where: str) -> Profile:
    """Read a profile's TOML.

    Raises:
        FormatError: something is missing, unknown or asked twice; or nothing is asked at all.
    """
    try:
        text = data.decode("utf-8")
        value: dict[str, Any] = tomllib.loads(text)
    except ValueError as error:
        raise FormatError(f"{where}: broken profile: {error}") from None
    return _Reading(text, where).profile(value, data)


def _folder() -> Path:
    return resources.folder("ontology") / "profiles"


class _Reading:
    """One profile's text while it is read: every refusal names the line that it is about."""

    def __init__(self, text: str, where: str) -> None:
        self._lines = text.splitlines()
        self._where = where
        # Where each table stands: (name, how many of that name before) -> number of its first line.
        self._tables: dict[tuple[str, int], int] = {}
        self._table = ("", 0)
        count: dict[str, int] = {}
        for number, line in enumerate(self._lines, start=1):
            if (found := _TABLE.match(line)) and "." not in line.split("]")[0]:
                name = found[1]
                self._tables[name, count.get(name, 0)] = number
                count[name] = count.get(name, 0) + 1

    def profile(self, value: Mapping[str, Any], data: bytes) -> Profile:
        self._known(value, _TOP, "a profile")
        requirements = self._each(value, "requirement", self._requirement)
        unanswered = self._each(value, "unanswered", self._not_answered)
        self._table = ("", 0)
        if not requirements:
            raise self._wrong("it requires nothing, so every model would meet it")
        if all(each.severity != "error" for each in requirements):
            raise self._wrong("it only warns, so every model would pass; let one requirement fail")
        seen: set[str] = set()
        for place, own in enumerate(
            [
                *(each.id for each in requirements),
                *(each.id for each in unanswered),
            ]
        ):
            if own in seen:
                is_own = place < len(requirements)
                self._table = (
                    ("requirement", place) if is_own else ("unanswered", place - len(requirements))
                )
                raise self._wrong(f"the requirement {own!r} stands twice", "id")
            seen.add(own)
        self._table = ("roles", 0)
        roles = {
            role: self._texts(value.get("roles", {}), role) for role in self._object(value, "roles")
        }
        self._table = ("", 0)
        return Profile(
            id=self._text(value, "id"),
            version=self._text(value, "version"),
            title=self._text(value, "title"),
            about=self._text(value, "about") if "about" in value else "",
            requirements=tuple(requirements),
            unanswered=tuple(unanswered),
            roles=roles,
            decisions=self._decisions(self._object(value, "decisions")),
            digest=sha256_bytes(data),
        )

    def _each(
        self, value: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], Row]
    ) -> list[Row]:
        rows = value.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._wrong(f"expected [[{name}]], a table for each")
        if len(rows) > MAX_REQUIREMENTS:
            raise self._wrong(f"expected at most {MAX_REQUIREMENTS} of [[{name}]]")
        made = []
        for place, row in enumerate(rows):
            self._table = (name, place)
            made.append(read(row))
        return made

    def _requirement(self, row: Mapping[str, Any]) -> Requirement:
        self._known(row, _REQUIREMENT, "a requirement")
        own = self._text(row, "id")
        how = [name for name in _HOW if name in row]
        if len(how) != 1:
            found = " and ".join(how) or "none of them, so it checks nothing"
            raise self._wrong(f"{own}: expected one of {', '.join(_HOW)}; found {found}")
        rules = [name for name in (*_RULES, "with", "rows") if name in row]
        if rules and how != ["question"]:
            raise self._wrong(f"{own}: {rules[0]} is for a question", rules[0])
        if "role" in row and row.get("check") not in {"approval", "validation"}:
            raise self._wrong(f"{own}: role is for the checks approval and validation", "role")
        severity = row.get("severity", "error")
        return Requirement(
            id=own,
            title=self._text(row, "title"),
            source=self._text(row, "source"),
            fact=self._word(row, "fact", FACTS, "fact", own) if how == ["fact"] else None,
            check=self._word(row, "check", CHECKS, "check", own) if how == ["check"] else None,
            rows=self._rows(row, own) if how == ["question"] else None,
            severity=self._word(row, "severity", SEVERITIES, "severity", own)
            if "severity" in row
            else severity,
            waivable_by=self._texts(row, "waivable_by"),
            role=self._text(row, "role") if "role" in row else None,
        )

    def _rows(self, row: Mapping[str, Any], own: str) -> Rows:
        name = self._text(row, "question")
        try:
            query = find(name)
        except QueryError as error:
            raise self._wrong(f"{own}: {error}", "question") from None
        subject = subject_of(query)
        if subject is None:
            raise self._wrong(
                f"{own}: {query.id} is not about a model, so a gate cannot ask it", "question"
            )
        rules = {rule: self._columns(row, rule, query, own) for rule in _RULES[:4]}
        numbers = {rule: self._numbers(row, rule, query, own) for rule in _RULES[4:]}
        rows = self._word(row, "rows", _ROWS, "rows", own) if "rows" in row else "some"
        checks = any(rules[rule] for rule in _RULES[1:4]) or any(numbers.values())
        if rows == "any" and not checks:
            raise self._wrong(f"{own}: any rows and no rule on them: it checks nothing", "rows")
        if rows == "none" and checks:
            raise self._wrong(f"{own}: no rows at all, so a rule on them checks nothing", "rows")
        given = {}
        for parameter, value in self._object(row, "with").items():
            known = {each.name: each for each in query.parameters if each.name != subject}
            spelt = parameter.replace("_", "-")
            if spelt not in known:
                hint = _near(spelt, known)
                raise self._wrong(f"{own}: {query.id} has no parameter {spelt!r}{hint}", "with")
            given[spelt] = str(value).lower() if isinstance(value, bool) else str(value)
            try:
                known[spelt].terms(given[spelt], resolve=lambda text: [text])
            except (UsageError, FormatError) as error:
                raise self._wrong(f"{own}: {error}", "with") from None
        return Rows(question=query.id, given=given, rows=rows, **rules, **numbers)  # type: ignore[arg-type]

    def _columns(
        self, row: Mapping[str, Any], rule: str, query: CannedQuery, own: str
    ) -> dict[str, tuple[str, ...]]:
        table = self._object(row, rule)
        for column in table:
            self._column(column, rule, query, own)
        made = {column: self._texts(table, column, at=rule) for column in table}
        for column, values in made.items():
            if not values:
                raise self._wrong(f"{own}: {rule}.{column} lists no value: it checks nothing", rule)
        return made

    def _numbers(
        self, row: Mapping[str, Any], rule: str, query: CannedQuery, own: str
    ) -> dict[str, float]:
        table = self._object(row, rule)
        for column, value in table.items():
            self._column(column, rule, query, own)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value):
                raise self._wrong(
                    f"{own}: {rule}.{column}: expected a number, found {value!r:.40}", rule
                )
        return {column: float(value) for column, value in table.items()}

    def _column(self, column: str, rule: str, query: CannedQuery, own: str) -> None:
        if column not in query.columns:
            hint = _near(column, query.columns)
            raise self._wrong(f"{own}: {query.id} has no column {column!r}{hint}", rule)

    def _not_answered(self, row: Mapping[str, Any]) -> Unanswered:
        self._known(row, _UNANSWERED, "what no record answers")
        return Unanswered(**{name: self._text(row, name) for name in sorted(_UNANSWERED)})

    def _decisions(self, row: Mapping[str, Any]) -> DecisionRules:
        self._table = ("decisions", 0)
        self._known(row, _DECISIONS, "decisions")
        days = row.get("max_days", 366)
        if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= 3660:
            raise self._wrong(f"max_days: expected 1 to 3660 days, found {days!r:.40}", "max_days")
        keys = self._word(row, "keys", KEYS, "rule for keys", "decisions") if "keys" in row else ""
        return DecisionRules(
            keys=keys or KEYS[0], vouching=self._texts(row, "vouching"), max_days=days
        )

    def _known(self, row: Mapping[str, Any], known: Iterable[str], what: str) -> None:
        for key in row:
            if key not in known:
                hint = _near(key, known)
                raise self._wrong(f"broken profile: there is no key {key!r} in {what}{hint}", key)

    def _text(self, row: Mapping[str, Any], key: str) -> str:
        value = row.get(key)
        if not isinstance(value, str) or not value.strip():
            found = "nothing" if value is None else repr(value)[:40]
            raise self._wrong(f"broken profile: {key}: expected text, found {found}", key)
        return value

    def _texts(self, row: Mapping[str, Any], key: str, *, at: str | None = None) -> tuple[str, ...]:
        value = row.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self._wrong(f"{key}: expected a list of texts, found {value!r:.60}", at or key)
        return tuple(value)

    def _object(self, row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = row.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong(f"{key}: expected a table, found {value!r:.60}", key)
        return value

    def _word(
        self, row: Mapping[str, Any], key: str, words: Iterable[str], what: str, own: str
    ) -> str:
        value = row[key]
        if value not in words:
            hint = _near(str(value), words)
            raise self._wrong(f"{own}: no {what} is called {str(value)[:80]!r}{hint}", key)
        return str(value)

    def _wrong(self, message: str, key: str | None = None) -> FormatError:
        line = self._line(key)
        at = f"{self._where}" if line is None else f"{self._where}, line {line}"
        return FormatError(f"{at}: {message}")

    def _line(self, key: str | None) -> int | None:
        """Return the line of a key in the table that is being read, or of the table itself."""
        start = self._tables.get(self._table)
        if start is None and self._table[0]:
            return None
        if key is None:
            return start
        pattern = re.compile(rf"""^\s*["']?{re.escape(key)}["']?\s*[.=]""")
        for number, line in enumerate(self._lines[(start or 0) :], start=(start or 0) + 1):
            if _TABLE.match(line):
                break
            if pattern.match(line):
                return number
        for number, line in enumerate(self._lines, start=1):
            if start is None and re.match(rf"^\s*\[+\s*{re.escape(key)}\b", line):
                return number
        return start


def subject_of(query: CannedQuery) -> str | None:
    """Return which parameter of a question is the thing that it is about; None where there is none."""
    things = [each.name for each in query.parameters if each.type == "thing"]
    needed = [
        each.name for each in query.parameters if not each.is_optional and each.default is None
    ]
    found = next((name for name in _SUBJECTS if name in things), None)
    return found if found is not None and set(needed) <= {found} else None


def _near(word: str, known: Iterable[str]) -> str:
    names: Sequence[str] = sorted(known)
    near = difflib.get_close_matches(word[:100], names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
