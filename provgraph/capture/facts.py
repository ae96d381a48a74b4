"""Facts as JSON: how parts of a record travel through a journal and back, without loss.

A fact is a dict of plain JSON values. Dataclasses of `provgraph.records` are written with their
defaults left out and read back by their own type hints, so that a new field needs no line here.
NaN and infinities are written as Python's json writes them (`NaN`); only provgraph reads journals.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from datetime import datetime
from typing import Any, TypeVar

from provgraph.digests import Digest
from provgraph.errors import FormatError
from provgraph.terms import format_time

T = TypeVar("T")
Fact = dict[str, Any]
"""One line of a journal: foreign until `decode` has read it, hence Any."""


def encode(value: Any) -> Any:
    """Turn a record part into JSON values; fields that hold their default are left out."""
    if isinstance(value, Digest):
        return str(value)
    if isinstance(value, datetime):
        return format_time(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: encode(current)
            for field in dataclasses.fields(value)
            if (current := getattr(value, field.name)) != _default(field)
        }
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    return value


def decode(kind: type[T], value: Any) -> T:
    """Read a record part back.

    Raises:
        FormatError: the JSON does not fit the type; the journal was damaged or is from the future.
    """
    try:
        return typing.cast("T", _decode(kind, value))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise FormatError(f"expected {kind.__name__} in a journal, found {value!r:.200}") from error


def parse_time(text: str) -> datetime:
    """Read a time as `encode` writes it."""
    return datetime.fromisoformat(text)


def _decode(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in {typing.Union, types.UnionType}:
        if value is None:
            return None
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return _decode(options[0], value) if len(options) == 1 else value
    if origin is tuple:
        arguments = typing.get_args(kind)
        if arguments[-1] is Ellipsis:
            return tuple(_decode(arguments[0], item) for item in value)
        return tuple(_decode(each, item) for each, item in zip(arguments, value, strict=True))
    if origin is dict:
        return {key: _decode(typing.get_args(kind)[1], item) for key, item in value.items()}
    if kind is Digest:
        return Digest.parse(value)
    if kind is datetime:
        return parse_time(value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _decode(hints[name], item) for name, item in value.items()})
    if kind is float and isinstance(value, int):
        return float(value)
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
