"""Profiles as canonical JSON, `profile-v1` (docs/profiles.md), and strictly back.

Specification: RFC 8785, numbers included: each is written as ECMAScript writes it (ECMA-262, Number::
toString), so that JavaScript and Python agree on the bytes. Fields that hold their default are left
out. What `decode` accepts is what `encode` writes and nothing else, so one profile has one digest.

An integer above 2^53 that no double holds exactly is written as a decimal text inside
`{"integer": …}`, since other readers would round it.
"""

from __future__ import annotations

import functools
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Final

from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import FormatError
from provgraph.frozen import default_of, field_names
from provgraph.profiles.marks import FORMAT
from provgraph.profiles.profile import TYPES, ColumnProfile, TableProfile

MEDIA_TYPE: Final = "application/vnd.provgraph.profile+json"
# What is read from others; own profiles are a good deal smaller.
MAX_READ_BYTES: Final = 1_000_000

_EXACT: Final = 2**53
_text: Final = json.JSONEncoder(ensure_ascii=False).encode


def encode(profile: TableProfile) -> bytes:
    """Write a profile as canonical JSON.

    Raises:
        FormatError: a number that is not finite.
    """
    plain = _plain(profile)
    plain["format"] = FORMAT
    return _json(plain).encode()


def decode(data: bytes) -> TableProfile:
    """Read a profile.

    Raises:
        FormatError: not a profile, from a later version, or not in canonical form.
    """
    if len(data) > MAX_READ_BYTES:
        raise FormatError(
            f"expected a profile of at most {MAX_READ_BYTES} bytes, found {len(data)}"
        )
    try:
        plain = json.loads(data.decode(), parse_constant=_refuse, parse_float=_float)
        if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
            raise TypeError(f"it is not of the format {FORMAT}")
        profile: TableProfile = _reader(TableProfile)(plain)
        if unknown := {column.type for column in profile.columns} - set(TYPES):
            raise ValueError(f"no column has the type {min(unknown)!r}")
        same = encode(profile) == data
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise FormatError(f"expected a column profile, found {data[:80]!r}…: {error}") from None
    if not same:
        raise FormatError("expected a profile in canonical JSON, found another spelling of one")
    return profile


def digest_of(profile: TableProfile) -> Digest:
    """Return the digest that names a profile."""
    return sha256_bytes(encode(profile))


def size_of_column(column: ColumnProfile) -> int:
    """Return the bytes that one column takes."""
    return len(_json(_plain(column)).encode())


# ---- writing -------------------------------------------------------------------------------------
def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in {str, bool, float}:
        return value
    if kind is int:
        return value if abs(value) <= _EXACT or int(float(value)) == value else _BigInteger(value)
    if kind is tuple:
        return [_plain(item) for item in value]
    names = field_names(kind)
    if names is None:
        raise FormatError(f"expected a part of a profile, found a {kind.__name__}")
    return {
        name: _plain(current)
        for name in names
        if (current := getattr(value, name)) != default_of(kind, name)
    }


class _BigInteger(int):
    """An integer that no double holds."""


def _json(value: Any) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise FormatError("expected text without lone surrogates") from None
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _BigInteger):
        return f'{{"integer":"{int(value)}"}}'
    if isinstance(value, int):
        return number_text(float(value))
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    # All keys are ASCII, whose order is the same in UTF-16.
    return "{" + ",".join([f"{_text(name)}:{_json(value[name])}" for name in sorted(value)]) + "}"


def number_text(value: float) -> str:
    """Write a number as ECMAScript does.

    Raises:
        FormatError: NaN or infinite.
    """
    if not math.isfinite(value):
        raise FormatError(f"expected a finite number, found {value}")
    if value == 0:
        return "0"
    if abs(value) < _EXACT and value == int(value):
        return str(int(value))
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + ("" if fraction == "0" else fraction)).rstrip("0")
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped
    if len(digits) <= point <= 21:
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


# ---- reading -------------------------------------------------------------------------------------
def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no double")
    return value


@functools.cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    if kind is float:
        return _read_float
    if kind is int:
        return _read_int
    if kind in {str, bool}:
        return functools.partial(_read_plain, kind)
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin in {typing.Union, types.UnionType}:
        options = [option for option in arguments if option is not type(None)]
        return _reader(options[0]) if len(options) == 1 else _read_value
    if origin is tuple and arguments[-1] is Ellipsis:
        inner = _reader(arguments[0])
        return lambda value: tuple([inner(item) for item in _read_plain(list, value)])
    if origin is tuple:
        members = [_reader(each) for each in arguments]
        return lambda value: tuple(
            [read(item) for read, item in zip(members, _read_plain(list, value), strict=True)]
        )
    readers = {name: _reader(hint) for name, hint in typing.get_type_hints(kind).items()}
    return lambda value: kind(
        **{name: readers[name](item) for name, item in _read_plain(dict, value).items()}
    )


def _read_plain(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, found {value!r:.80}")
    return value


def _read_float(value: Any) -> float:
    if type(value) not in {int, float}:
        raise TypeError(f"expected a number, found {value!r:.80}")
    return float(value)


def _read_int(value: Any) -> int:
    if type(value) is dict and set(value) == {"integer"}:
        return int(_read_plain(str, value["integer"]))
    if type(value) is float and value == int(value):  # such as 1e+21
        return int(value)
    whole: int = _read_plain(int, value)
    # Its digits are those of the shortest text that means this double, not its own.
    return whole if abs(whole) <= _EXACT else int(float(whole))


def _read_value(value: Any) -> Any:
    if type(value) in {str, bool, float}:
        return value
    return _read_int(value)
