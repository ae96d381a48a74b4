"""`provgraph.frozen` makes what the standard library's frozen dataclasses with slots are."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from provgraph import frozen
from provgraph.frozen import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    x: int
    y: int = 2
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.x + self.y


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    x: int
    y: int = 2
    tags: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    first: str
    second: str = "b"

    def __post_init__(self) -> None:
        if not self.first:
            raise ValueError("expected a first, found none")

    def __str__(self) -> str:
        return f"{self.first}:{self.second}"


def test_values_are_made_compared_and_hashed_by_their_fields() -> None:
    assert Point(x=1) == Point(x=1, y=2)
    assert Point(x=1) != Point(x=2)
    assert Pair("a") == Pair("a", "b")
    assert hash(Pair("a")) == hash(Pair(second="b", first="a"))
    assert Pair("a") != ("a", "b")
    assert (Point(x=1).total, str(Pair("a"))) == (3, "a:b")


def test_values_of_another_class_with_the_same_fields_are_not_equal() -> None:
    other = dataclass(frozen=True, slots=True)(
        type("Pair", (), {"__annotations__": {"first": "str", "second": "str"}})
    )
    made: Any = other
    assert made("a", "b") != Pair("a", "b")


def test_defaults_from_a_factory_are_made_anew() -> None:
    one, two = Point(x=1), Point(x=1)
    one.tags["a"] = "b"
    assert (one.tags, two.tags) == ({"a": "b"}, {})


def test_text_and_signature_are_those_of_the_standard_library() -> None:
    assert repr(Point(x=1)) == repr(Standard(x=1)).replace("Standard", "Point")
    assert list(inspect.signature(Point).parameters) == ["x", "y", "tags"]
    assert Pair.__match_args__ == ("first", "second")
    assert Point.__match_args__ == ()


def test_wrong_arguments_are_refused() -> None:
    made: Any = Point
    for arguments in ({}, {"x": 1, "z": 2}):
        with pytest.raises(TypeError, match=r"Point\.__init__\(\) (missing|got an unexpected)"):
            made(**arguments)
    with pytest.raises(TypeError, match="positional"):
        made(1)
    with pytest.raises(ValueError, match="expected a first"):
        Pair("")


def test_values_cannot_be_changed() -> None:
    value: Any = Point(x=1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot change 'x' of a Point"):
        value.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot change 'x' of a Point"):
        del value.x
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot change 'z' of a Point"):
        value.z = 2


def test_values_survive_pickle_and_copy() -> None:
    value = Point(x=1, tags={"a": "b"})
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert again == value
    assert copy.deepcopy(value).tags is not value.tags


def test_the_standard_functions_work_on_them() -> None:
    assert [each.name for each in dataclasses.fields(Point)] == ["x", "y", "tags"]
    assert dataclasses.asdict(Point(x=1)) == {"x": 1, "y": 2, "tags": {}}
    assert dataclasses.replace(Point(x=1), y=5) == Point(x=1, y=5)


def test_our_own_functions_agree_with_the_standard_ones() -> None:
    value = Point(x=1, tags={"a": "b"})
    nested = Point(x=2, tags={"pair": "c"})
    assert frozen.as_dict([value, (nested,)]) == [
        dataclasses.asdict(value),
        (dataclasses.asdict(nested),),
    ]
    assert frozen.replace(value, y=5) == dataclasses.replace(value, y=5)
    assert frozen.field_names(Point) == ("x", "y", "tags")
    assert frozen.field_names(Standard) is None
    defaults = [frozen.default_of(Point, name) for name in ("x", "y", "tags")]
    assert defaults == [..., 2, {}]


def test_classes_that_are_not_frozen_are_refused() -> None:
    make: Any = dataclass
    with pytest.raises(TypeError, match="expected frozen=True and slots=True"):
        make(frozen=False, slots=True)
