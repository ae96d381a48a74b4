"""Canonical JSON for the values that entries and manifests hold.

Specification: RFC 8785 (JCS), for null-free values: strings, integers below 2^53, booleans, lists
and objects. `parse_canonical` accepts only what `encode` writes, so each value has one text.

What it does not do: floating-point numbers, whose form in RFC 8785 is ECMAScript's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from provgraph.errors import FormatError

Json = str | int | bool | Sequence["Json"] | Mapping[str, "Json"]

# Above this, JavaScript and other readers of doubles see another number (RFC 8785 section 3.2.2.3).
MAX_INTEGER: Final = 2**53 - 1
_MAX_DEPTH: Final = 32


def encode(value: Json) -> bytes:
    """Write a value as RFC 8785 bytes.

    Raises:
        FormatError: a float, null, an integer of 2^53 or more, a lone surrogate, deep nesting.
    """
    text = _encode(value, 0)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError(f"expected text without lone surrogates: {error}") from None


def parse_canonical(data: bytes) -> Json:
    """Read RFC 8785 bytes; anything that `encode` would write differently is refused.

    Raises:
        FormatError: not JSON, duplicate keys, or not the canonical form.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"expected RFC 8785 JSON: {error}; found {data[:80]!r}") from None
    canonical = encode(value)
    if canonical != data:
        raise FormatError(
            f"expected RFC 8785 JSON {canonical[:80]!r}…, found another spelling {data[:80]!r}…"
        )
    checked: Json = value
    return checked


def parse_plain(data: bytes) -> Json:
    """Read JSON in any spelling, but of values that `encode` could write, and in UTF-8 only.

    So it reads the same everywhere: no key stands twice (readers take the first or the last), and no
    number is rounded or taken for another type.

    Raises:
        FormatError: not JSON, or a value that `encode` refuses.
    """
    try:
        value: Json = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"expected JSON: {error}; found {data[:80]!r}") from None
    encode(value)
    return value


_text: Final = json.JSONEncoder(ensure_ascii=False).encode


def _encode(value: Json, depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise FormatError(f"expected JSON of at most {_MAX_DEPTH} levels")
    if isinstance(value, str):
        # ensure_ascii=False escapes exactly what RFC 8785 section 3.2.2.2 escapes, in its forms.
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise FormatError(f"expected an integer below 2^53, found {value}")
        return str(value)
    if isinstance(value, Mapping):
        # RFC 8785 section 3.2.3: keys sort by UTF-16 code units.
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        members = (f"{_text(k)}:{_encode(value[k], depth + 1)}" for k in keys)
        return "{" + ",".join(members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_encode(item, depth + 1) for item in value) + "]"
    raise FormatError(
        f"expected a string, integer, boolean, list or object, found {type(value).__name__}"
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
