"""Facts as JSON: how parts of a record travel through a journal and back, without loss.

A fact is a dict of plain JSON values. Dataclasses of `provgraph.records` are written with their
defaults left out and read back by their own type hints, so that a new field needs no line here.
NaN and infinities are written as Python's json writes them (`NaN`); only provgraph reads journals.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from provgraph.digests import Digest
from provgraph.errors import FormatError
from provgraph.frozen import dataclass, default_of, field_names
from provgraph.terms import format_time

T = TypeVar("T")
Fact = dict[str, Any]
"""One line of a journal: foreign until `decode` has read it, hence Any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A fact on its way: into a run's state, and as a line into its journal."""

    fact: Fact
    part: Any = (
        None  # the part of a record that fact["value"] is the JSON of, where that is at hand
    )
    line: bytes | None = None  # of the journal, where it is at hand


_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def encode(value: Any) -> Any:
    """Turn a record part into JSON values; fields that hold their default are left out."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is Digest:
        return str(value)
    if kind is datetime:
        return format_time(value)
    if kind is tuple or kind is list:
        return [encode(item) for item in value]
    if kind is dict:
        return {str(key): encode(item) for key, item in value.items()}
    if field_names(kind) is not None:
        return {
            name: encode(current)
            for name, default in _defaults(typing.cast("Any", kind))
            if (current := getattr(value, name)) is not default and current != default
        }
    raise FormatError(f"expected a part of a record, found a {kind.__name__}")


def decode(kind: type[T], value: Any) -> T:
    """Read a record part back.

    Raises:
        FormatError: the JSON does not fit the type; the journal was damaged or is from the future.
    """
    try:
        return typing.cast("T", _decoder(typing.cast("Any", kind))(value))
    except Exception as error:
        raise FormatError(
            f"expected {kind.__name__} in a journal, found {value!r:.200}: {error}"
        ) from error


def find_fault(kind: Any, value: Any, path: str = "") -> tuple[str, str]:
    """Say where a value that `decode` refuses goes wrong: the path to the part, and why.

    Slow, and for values that were refused only: it tries the parts one by one.
    """
    arguments = typing.get_args(kind)
    options = [option for option in arguments if option is not type(None)]
    origin = typing.get_origin(kind)
    parts: list[tuple[str, Any, Any]] = []
    if origin in {typing.Union, types.UnionType} and len(options) == 1:
        return find_fault(options[0], value, path)
    if origin is tuple and arguments[-1] is Ellipsis and isinstance(value, list):
        parts = [(str(place), arguments[0], item) for place, item in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        parts = [(str(name), arguments[1], item) for name, item in value.items()]
    elif isinstance(kind, type) and field_names(kind) is not None and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        for name in value:
            if name not in hints:
                return f"{path}/{name}", f"there is no such field; there are {', '.join(hints)}"
        parts = [(name, hints[name], item) for name, item in value.items()]
    for name, part_kind, item in parts:
        try:
            _decoder(part_kind)(item)
        except Exception:
            return find_fault(part_kind, item, f"{path}/{name}")
    try:
        _decoder(kind)(value)
    except Exception as error:
        return path, str(error).replace("__init__()", "this part").partition("\n")[0]
    return path, "it is refused as a whole"


def parse_time(text: str) -> datetime:
    """Read a time as `encode` writes it.

    Raises:
        ValueError: no time, or one without a zone.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"expected a time with a zone, found {text}")
    return time


@functools.cache
def _decoder(kind: Any) -> Callable[[Any], Any]:
    """Return the function that reads one type; made once for each type that records use."""
    if kind in _LEAVES:
        return _LEAVES[kind]
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        options = [option for option in arguments if option is not type(None)]
        if len(options) > 1:
            return _exactly(*options)
        inner = _decoder(options[0])
        return lambda value: None if value is None else inner(value)
    if origin is tuple and arguments[-1] is Ellipsis:
        inner = _decoder(arguments[0])
        return lambda value: tuple([inner(item) for item in _as(list, value)])
    if origin is tuple:
        members = [_decoder(each) for each in arguments]
        return lambda value: tuple(
            [each(item) for each, item in zip(members, _as(list, value), strict=True)]
        )
    if origin is dict:
        inner = _decoder(arguments[1])
        return lambda value: {_as(str, key): inner(item) for key, item in value.items()}
    decoders = {name: _decoder(hint) for name, hint in typing.get_type_hints(kind).items()}
    return lambda value: kind(**{name: decoders[name](item) for name, item in value.items()})


def _exactly(*kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"expected {' or '.join(kind.__name__ for kind in kinds)}")
        return value

    return read


def _as(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}")
    return value


def _float(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise TypeError("expected a number")
    return float(value)


_LEAVES: Final[dict[Any, Callable[[Any], Any]]] = {
    str: _exactly(str),
    int: _exactly(int),
    bool: _exactly(bool),
    float: _float,
    Digest: lambda value: Digest.parse(_as(str, value)),
    datetime: parse_time,
}


@functools.cache
def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    return tuple((name, default_of(kind, name)) for name in field_names(kind) or ())
