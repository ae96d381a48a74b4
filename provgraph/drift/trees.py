"""The ranker that ships, and its evaluation: small trees in a readable file, `ranker.json`.

A tree is a list of nodes `[feature, threshold, left, right, missing goes left]` or a leaf `[value]`; a
row goes left where its figure is at most the threshold. The sum over trees, passed through the logistic
function, is the chance that a candidate is (one of) the origin; isotonic steps then calibrate the share
that a case's candidates have of all. The file says what made it (`make train-drift`).

Safe to read: it is data, and every index in it is checked.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from provgraph.errors import FormatError
from provgraph.frozen import dataclass

FORMAT: Final = "provgraph-ranker-v1"
MAX_BYTES: Final = 4_000_000

Node = tuple[int, float, int, int, bool]
"""Feature, threshold, left, right, whether a missing figure goes left. Feature -1: a leaf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranker:
    """Trees over named features, and the steps that calibrate."""

    version: str
    features: tuple[str, ...]
    base: float
    trees: tuple[tuple[Node, ...], ...]
    confidence_names: tuple[str, ...]
    confidence_weights: tuple[float, ...]
    confidence_base: float
    steps: tuple[tuple[float, float], ...]  # (raw confidence, calibrated), both rising
    recipe: Mapping[str, Any]

    def margin(self, row: Mapping[str, float]) -> float:
        """Return the sum of all trees for one candidate's figures."""
        values = [row.get(name, math.nan) for name in self.features]
        total = self.base
        for tree in self.trees:
            place = 0
            while True:
                feature, threshold, left, right, missing_left = tree[place]
                if feature < 0:
                    total += threshold
                    break
                value = values[feature]
                if math.isnan(value):
                    place = left if missing_left else right
                else:
                    place = left if value <= threshold else right
        return total

    def chance(self, row: Mapping[str, float]) -> float:
        """Return the chance that a candidate is the origin, by itself."""
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, self.margin(row)))))

    def confidence(self, figures: Mapping[str, float]) -> float:
        """Return how often a first candidate with such figures was right."""
        total = self.confidence_base + sum(
            weight * figures[name]
            for name, weight in zip(self.confidence_names, self.confidence_weights, strict=True)
        )
        return interpolate(self.steps, 1 / (1 + math.exp(-max(-30.0, min(30.0, total)))))


def interpolate(steps: Sequence[tuple[float, float]], value: float) -> float:
    """Read a rising line through points; flat beyond its ends."""
    if not steps:
        return value
    if value <= steps[0][0]:
        return steps[0][1]
    for (x0, y0), (x1, y1) in pairwise(steps):
        if value <= x1:
            return y0 + (y1 - y0) * (value - x0) / ((x1 - x0) or 1.0)
    return steps[-1][1]


@functools.cache
def shipped() -> Ranker:
    """Read the ranker that ships."""
    return parse((Path(__file__).parent / "ranker.json").read_bytes())


def parse(data: bytes) -> Ranker:
    """Read a ranker's file.

    Raises:
        FormatError: not a ranker, or an index that leads nowhere.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(f"expected a ranker of at most {MAX_BYTES} bytes, found {len(data)}")
    try:
        plain = json.loads(data)
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']!r}")
        features = tuple(str(name) for name in plain["features"])
        return Ranker(
            version=str(plain["version"]),
            features=features,
            base=float(plain["base"]),
            trees=tuple(_tree(tree, len(features)) for tree in plain["trees"]),
            confidence_names=tuple(str(name) for name in plain["confidence"]["figures"]),
            confidence_weights=tuple(float(w) for w in plain["confidence"]["weights"]),
            confidence_base=float(plain["confidence"]["base"]),
            steps=tuple((float(x), float(y)) for x, y in plain["steps"]),
            recipe=plain["recipe"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"expected a ranker of the form {FORMAT}: {error!r}") from None


def _tree(nodes: Any, features: int) -> tuple[Node, ...]:
    tree: list[Node] = []
    for place, node in enumerate(nodes):
        if len(node) == 1:
            tree.append((-1, float(node[0]), 0, 0, False))
            continue
        feature, threshold, left, right, missing_left = node
        # Children come after their parent, so a walk ends.
        if not (
            0 <= feature < features and place < left < len(nodes) and place < right < len(nodes)
        ):
            raise ValueError(f"node {place} leads nowhere")
        tree.append((int(feature), float(threshold), int(left), int(right), bool(missing_left)))
    if not tree:
        raise ValueError("an empty tree")
    return tuple(tree)
