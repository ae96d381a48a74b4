"""Frozen dataclasses that cost a tenth of an import: what `dataclass(frozen=True, slots=True)` makes.

The standard library compiles six methods for each class when its module is imported, and loads
`inspect` to do so: for the twenty kinds of values in `provgraph.records` that was a third of what
reaching `provgraph.run` cost. Here the methods are shared, and `__init__` is compiled when a class
makes its first value. Type checkers see the standard decorator; `dataclasses.fields`, `asdict` and
`replace` work as on any other dataclass.

What it does not do: classes that are not frozen, have no slots, or inherit fields.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace

__all__ = ["as_dict", "dataclass", "default_of", "field", "field_names", "replace"]

C = TypeVar("C", bound=type)

_NONE: Final = object()  # no default


class _Factory:
    """Stands as the default of a field whose default is made anew for every value."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


class _Shape:
    """The fields of one class, and how its values are told apart."""

    __slots__ = ("annotations", "defaults", "is_kw_only", "names", "values")

    def __init__(self, cls: type, *, is_kw_only: bool) -> None:
        self.annotations: dict[str, str] = cls.__annotations__
        self.names = tuple(self.annotations)
        self.defaults = {name: cls.__dict__.get(name, _NONE) for name in self.names}
        self.is_kw_only = is_kw_only
        self.values: Callable[[Any], Any] = operator.attrgetter(*self.names)


def field_names(kind: type) -> tuple[str, ...] | None:
    """Return the names of the fields of a class made here, None for any other class."""
    shape: _Shape | None = kind.__dict__.get("_shape")
    return None if shape is None else shape.names


def as_dict(value: Any) -> Any:
    """Return what `dataclasses.asdict` does: fields by name, all the way down."""
    kind = type(value)
    if (names := field_names(kind)) is not None:
        return {name: as_dict(getattr(value, name)) for name in names}
    if kind is tuple or kind is list:
        return kind([as_dict(item) for item in value])
    if kind is dict:
        return {key: as_dict(item) for key, item in value.items()}
    return value


def default_of(kind: type, name: str) -> Any:
    """Return the default of a field, made anew where it has a factory; Ellipsis without one."""
    default = kind.__dict__["_shape"].defaults[name]
    if isinstance(default, _Factory):
        return default.make()
    return ... if default is _NONE else default


def _dataclass(*, frozen: bool, slots: bool, kw_only: bool = False) -> Callable[[C], C]:
    if not (frozen and slots):
        raise TypeError("expected frozen=True and slots=True; use dataclasses for other classes")

    def make(cls: C) -> C:
        shape = _Shape(cls, is_kw_only=kw_only)
        members = {
            name: value
            for name, value in cls.__dict__.items()
            if name not in shape.names and name not in {"__dict__", "__weakref__"}
        }
        members.setdefault("__eq__", _equal)
        members.setdefault("__hash__", _hash)
        members.setdefault("__repr__", _represent)
        made: Any = type(cls)(
            cls.__name__,
            cls.__bases__,
            {
                **members,
                "__slots__": shape.names,
                "__qualname__": cls.__qualname__,
                "__init__": _FirstInit(),
                "__setattr__": _refuse,
                "__delattr__": _refuse,
                "__getstate__": _state,
                "__setstate__": _set_state,
                "__match_args__": () if kw_only else shape.names,
                "__dataclass_fields__": _FirstFields(),
                "_shape": shape,
            },
        )
        return made  # type: ignore[no-any-return] # a class again, as before

    return make


def _field(*, default_factory: Callable[[], Any]) -> Any:
    return _Factory(default_factory)


def _replace(value: Any, /, **changes: Any) -> Any:
    kept = {name: getattr(value, name) for name in value._shape.names if name not in changes}
    return value.__class__(**kept, **changes)


if not TYPE_CHECKING:
    dataclass, field, replace = _dataclass, _field, _replace


# ---- methods that all classes share --------------------------------------------------------------
def _equal(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self._shape.values(self) == self._shape.values(other)


def _hash(self: Any) -> int:
    return hash(self._shape.values(self))


def _represent(self: Any) -> str:
    fields = ", ".join([f"{name}={getattr(self, name)!r}" for name in self._shape.names])
    return f"{self.__class__.__qualname__}({fields})"


def _refuse(self: Any, name: str, *_: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change {name!r} of a {self.__class__.__name__}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self._shape.names]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self._shape.names, state, strict=True):
        object.__setattr__(self, name, value)


# ---- what is made when it is first needed -----------------------------------------------------------
class _FirstInit:
    """Stands as `__init__` until somebody asks for it, and puts the compiled one in its place."""

    def __set_name__(self, owner: Any, name: str) -> None:
        self._owner = owner

    def __get__(self, instance: Any, owner: type) -> Any:
        # Two threads may both come here: they make the same.
        self._owner.__init__ = _compiled_init(self._owner)
        return self._owner.__init__.__get__(instance, owner)


class _FirstFields:
    """Stands as `__dataclass_fields__` until somebody asks, for those who work with any dataclass."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        import dataclasses

        shape: _Shape = owner._shape
        fields = []
        for name, default in shape.defaults.items():
            made: Any = dataclasses.field()
            if isinstance(default, _Factory):
                made = dataclasses.field(default_factory=default.make)
            elif default is not _NONE:
                made = dataclasses.field(default=default)
            fields.append((name, shape.annotations[name], made))
        like: Any = dataclasses.make_dataclass(
            owner.__name__, fields, frozen=True, kw_only=shape.is_kw_only
        )
        return like.__dataclass_fields__


def _compiled_init(cls: Any) -> Callable[..., None]:
    shape: _Shape = cls._shape
    known: dict[str, Any] = {"_Factory": _Factory}
    head = ["self", "*"] if shape.is_kw_only and shape.names else ["self"]
    body = []
    for name, default in shape.defaults.items():
        # The slot itself sets: past `__setattr__`, which refuses.
        known[f"_set_{name}"] = cls.__dict__[name].__set__
        known[f"_default_{name}"] = default
        value = name
        if isinstance(default, _Factory):
            known[f"_make_{name}"] = default.make
            value = f"_make_{name}() if {name} is _default_{name} else {name}"
        head.append(name if default is _NONE else f"{name}=_default_{name}")
        body.append(f"  _set_{name}(self, {value})\n")
    if hasattr(cls, "__post_init__"):
        body.append("  self.__post_init__()\n")
    source = f"def __init__({', '.join(head)}):\n{''.join(body) or '  pass'}"
    exec(source, known)  # noqa: S102 - made of our own field names, as the standard library does
    function: Any = known["__init__"]
    function.__qualname__ = f"{cls.__qualname__}.__init__"
    function.__module__ = cls.__module__
    function.__annotations__ = {**shape.annotations, "return": "None"}
    return function  # type: ignore[no-any-return] # what the source defines
