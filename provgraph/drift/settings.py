"""How large a change of settings or packages is, from 0 (none) to about 3, by form and not by effect."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

from provgraph.drift.align import is_inert
from provgraph.records import Scalar

Changes = Iterable[tuple[str, Scalar | None, Scalar | None]]

NUMERIC_PACKAGES: Final = frozenset(
    {
        "catboost", "cudf", "cuml", "cupy", "dask", "jax", "jaxlib", "keras", "lightgbm", "mkl",
        "numba", "numpy", "onnxruntime", "opencv-python", "pandas", "pillow", "polars", "pyarrow",
        "scikit-learn", "scikit-image", "scipy", "statsmodels", "tensorflow", "tokenizers", "torch",
        "torchvision", "transformers", "xgboost", "python", "cuda", "driver",
    }
)  # fmt: skip
"""Packages whose results a model is made of; a change of others seldom changes one."""


def settings_size(changes: Changes) -> float:
    """Return the largest change of one setting, plus a little for each further one."""
    sizes = [_size(old, new) for name, old, new in changes if not is_inert(name)]
    if not sizes:
        return 0.0
    return max(sizes) + 0.1 * (len(sizes) - 1)


def _size(old: Scalar | None, new: Scalar | None) -> float:
    if old is None or new is None:
        return 1.0
    if isinstance(old, bool) or isinstance(new, bool):
        return 1.0
    if isinstance(old, (int, float)) and isinstance(new, (int, float)):
        if old > 0 and new > 0:
            return min(3.0, abs(math.log10(new / old)))
        return min(3.0, 0.5 + math.log10(1 + abs(new - old)))
    first, second = _items(str(old)), _items(str(new))
    if len(first) > 1 or len(second) > 1:
        return 2.0 * len(first ^ second) / max(len(first | second), 1)
    return 1.0


def _items(text: str) -> set[str]:
    return {word for word in re.split(r"[\s,;\[\](){}'\"]+", text) if word}


def environment_size(changes: Changes) -> float:
    """Return how much a change of packages may matter: numeric ones, by how far the version went."""
    best = 0.0
    for name, old, new in changes:
        step = _version_step(old, new)
        plain = name.removeprefix("package.").lower().replace("_", "-")
        best = max(best, step * (1.0 if plain in NUMERIC_PACKAGES else 0.25))
    return best


def is_numeric_package(name: str) -> bool:
    """Whether results are made of this package."""
    return name.removeprefix("package.").lower().replace("_", "-") in NUMERIC_PACKAGES


def _version_step(old: Scalar | None, new: Scalar | None) -> float:
    first, second = _numbers(old), _numbers(new)
    if not first or not second:
        return 1.5
    for place, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return (3.0, 2.0, 1.0)[min(place, 2)]
    return 1.0


def _numbers(version: Scalar | None) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", str(version or ""))[:4]]
