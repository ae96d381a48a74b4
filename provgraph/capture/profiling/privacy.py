"""Which values may stand in a profile: those that tell of a population, not of a person.

Withheld are the values of columns whose name or content says that they identify, of free text, of
secrets. The rules err on the side of silence; counts, lengths, shapes and hash buckets remain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from provgraph.capture.redact import redact

MIN_ROWS: Final = 5
"""A text that fewer rows have is not listed: it may be one person's."""

_MAX_IDENTIFYING_SHARE: Final = 0.5
_MAX_MEAN_BYTES: Final = 40

# Words in a column's name. The first are of numbers whose very range tells of somebody.
# fmt: off
_STRICT: Final = frozenset(
    ("ssn", "phone", "mobile", "telephone", "tel", "fax", "iban", "bic", "passport", "card",
     "creditcard", "account", "taxid")
)
_PERSONAL: Final = _STRICT | frozenset(
    ("name", "firstname", "lastname", "surname", "fullname", "username", "nickname", "maiden",
     "email", "mail", "address", "street", "birthday", "birthdate", "dob", "birth", "ip", "mac",
     "user", "login", "password", "passwd", "secret", "token", "apikey", "credential",
     "patient", "person", "customer", "client", "employee", "member", "id", "uuid", "guid",
     "plate", "comment", "remarks")
)
# fmt: on
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_SHAPES: Final = (
    (re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+"), "e-mail addresses"),
    (re.compile(r"\+?\(?\d[\d\s()./-]{7,17}\d"), "phone numbers"),
    (re.compile(r"[A-Z]{2}\d{2}[A-Z0-9 ]{11,38}"), "bank accounts"),
    (re.compile(r"(?:\d[ -]?){13,19}"), "card numbers"),
    (re.compile(r"\d{3}-\d{2}-\d{4}"), "social security numbers"),
    (re.compile(r"(?:\d{1,3}\.){3}\d{1,3}"), "network addresses"),
    (re.compile(r"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"), "identifiers"),
)
_DIGITS = re.compile(r"\d+")
_LETTERS = re.compile(r"[^\W\d_]+")
_ISO_TIME = re.compile(r"\d{4}-\d\d?-\d\d?(?:[T ].*)?|\d\d?[./]\d\d?[./]\d{4}")


def personal_by_name(name: str) -> str | None:
    """Return why a column's name speaks against listing its values."""
    found = {word.lower() for word in _WORDS.findall(name)} & _PERSONAL
    return f"its name holds {min(found)!r}" if found else None


def is_strictly_personal(name: str) -> bool:
    """Whether even the range of a column's numbers would tell of somebody."""
    return bool({word.lower() for word in _WORDS.findall(name)} & _STRICT)


def identifying(*, distinct: int, count: int, mean_bytes: float) -> str | None:
    """Return why texts are not listed, from their figures alone."""
    if distinct > 1 and distinct > _MAX_IDENTIFYING_SHARE * count:
        return "most of its values are unique, as of an identifier"
    if mean_bytes > _MAX_MEAN_BYTES:
        return "its values are long, as of free text"
    return None


def personal_by_value(values: Iterable[str]) -> str | None:
    """Return why values are not listed, from what they look like."""
    for value in values:
        if redact(value) != value:
            return "a value looks like a secret"
        if _ISO_TIME.fullmatch(value):
            continue
        for shape, what in _SHAPES:
            if shape.fullmatch(value.strip()):
                return f"its values look like {what}"
    return None


def shape_of(text: str) -> str:
    """Return a text's shape: `anna.k@example.org` is `a.a@a.a`, `2024-05-01` is `9-9-9`."""
    short = text[:60]
    short = _LETTERS.sub("a", _DIGITS.sub("9", short))
    return short[:24]
