"""The examples in docstrings are true. Importing every module alone is checked along the way."""

import doctest
import importlib
import pkgutil

import pytest

import provgraph

MODULES = sorted(
    item.name for item in pkgutil.walk_packages(provgraph.__path__, prefix="provgraph.")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [finder.find(importlib.import_module(name)) for name in MODULES]
    assert sum(len(test.examples) for tests in found for test in tests) >= 4
