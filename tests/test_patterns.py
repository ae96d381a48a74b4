"""`provgraph.patterns`: the same as `re.compile`, later."""

from __future__ import annotations

import re

import pytest

from provgraph.patterns import pattern


def test_a_pattern_answers_as_the_compiled_one_does() -> None:
    late, compiled = pattern(r"(\w)=(\d+)"), re.compile(r"(\w)=(\d+)")
    text = "a=1 b=22"
    for _ in range(2):  # compiled by the first call
        assert late.findall(text) == compiled.findall(text)
        assert late.sub(r"\2", text) == "1 22"
        found = late.search(text, 1)
        assert found is not None
        assert found.group(1, 2) == ("b", "22")
    assert late.fullmatch(text) is None
    assert late.pattern == compiled.pattern


def test_flags_count() -> None:
    assert pattern("A", re.IGNORECASE).findall("aA") == ["a", "A"]


def test_a_broken_pattern_is_an_error_when_it_is_used() -> None:
    broken = pattern("(")
    with pytest.raises(re.error, match="missing"):
        broken.match("x")
