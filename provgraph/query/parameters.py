"""Parameters of written-down questions: what their types take, and the terms that values become.

A value comes as text, or from Python as itself (`True`, `3`, a datetime). It becomes terms, never
syntax: what is no value of its type is refused with what was expected and an example.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from provgraph import terms
from provgraph.errors import UsageError
from provgraph.terms import Term

Resolve = Callable[[str], list[str]]
"""Turns what a user calls a thing into the IRIs that it means."""

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_WORDS: Final[Mapping[str, bool]] = {
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One typed hole of a question."""

    name: str
    type: str
    help: str
    is_optional: bool = False
    default: str | None = None
    """Taken where no value is given; an optional parameter without one stays unbound."""
    choices: tuple[str, ...] = ()
    example: str = ""

    def terms(self, value: object, *, resolve: Resolve) -> tuple[Term, ...]:
        """Return the terms that a value means.

        Raises:
            UsageError: it is no value of this parameter's type.
            NotFoundError: a thing that is not known here.
        """
        text = _text_of(value)
        try:
            return tuple(TYPES[self.type](text, self, resolve))
        except ValueError as error:
            raise UsageError(
                f"{self.name}: expected {error}, found {text[:200]!r};"
                f" for example {self.name}={self.sample}"
            ) from None

    @property
    def sample(self) -> str:
        """A value that stands in examples."""
        return (
            self.example or self.default or next(iter(self.choices), _SAMPLES.get(self.type, "…"))
        )


def _text_of(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _thing(value: str, _: Parameter, resolve: Resolve) -> list[Term]:
    if not value.strip():
        raise ValueError("a name, digest or IRI")
    return [terms.iri(iri) for iri in resolve(value)]


def _text(value: str, _: Parameter, __: Resolve) -> list[Term]:
    return [terms.string(value)]


def _integer(value: str, _: Parameter, __: Resolve) -> list[Term]:
    if not _WHOLE.fullmatch(value.strip()):
        raise ValueError("a whole number")
    return [terms.integer(int(value))]


def _number(value: str, _: Parameter, __: Resolve) -> list[Term]:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError("a number")
    return [terms.double(found)]


def _time(value: str, _: Parameter, __: Resolve) -> list[Term]:
    return [terms.timestamp(read_time(value))]


def _choice(value: str, parameter: Parameter, _: Resolve) -> list[Term]:
    if value not in parameter.choices:
        raise ValueError(f"one of {', '.join(parameter.choices)}")
    return [terms.string(value)]


def _boolean(value: str, _: Parameter, __: Resolve) -> list[Term]:
    found = _WORDS.get(value.strip().lower())
    if found is None:
        raise ValueError("true or false")
    return [terms.boolean(found)]


def read_time(text: str) -> datetime:
    """Read a time in ISO 8601; without an offset it is UTC.

    Raises:
        ValueError: it is none.
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("a time such as 2026-03-01T12:00:00Z") from None


TYPES: Final[Mapping[str, Callable[[str, Parameter, Resolve], list[Term]]]] = {
    "thing": _thing,
    "text": _text,
    "integer": _integer,
    "number": _number,
    "time": _time,
    "choice": _choice,
    "boolean": _boolean,
}
_SAMPLES: Final[Mapping[str, str]] = {
    "thing": "churn:3",
    "text": "first-try",
    "integer": "10",
    "number": "0.5",
    "time": "2026-03-01T12:00:00Z",
    "boolean": "true",
}
JSON_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "thing": {"type": "string", "minLength": 1},
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "time": {"type": "string", "format": "date-time"},
    "choice": {"type": "string"},
    "boolean": {"type": "boolean"},
}
