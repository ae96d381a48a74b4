"""Columns together: each by the label, and how they go together, on the joint sample.

All sums are of whole or half numbers below 2^53, so that no order of rows and no machine changes
them. Ranks are taken within each column, ties share their mean rank.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.profiling import privacy
from provgraph.capture.profiling.cells import Cells
from provgraph.capture.profiling.columns import quantiles_of
from provgraph.frozen import dataclass
from provgraph.profiles.fitting import FULL, MAX_CLASSES
from provgraph.profiles.profile import Association, ByLabel, ColumnProfile, Group, Label
from provgraph.profiles.values import Frequent, Value, key_of, ordered

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

# All pairs of so many columns; the label goes with every column.
_PAIRED: Final = 64
_WITHOUT_NUMBERS: Final = frozenset({"null", "struct", "mixed", "bytes", "unreadable"})
_BINS: Final = (0.25, 0.5, 0.75)
_MAX_CODES: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """One column in the joint sample: a number for each row, NaN for none."""

    profile: ColumnProfile
    numbers: Array | None  # None of texts
    codes: Array | None  # of texts: a number for each value, -1 for none
    texts: tuple[str, ...] = ()  # of the first codes, where they may be listed

    @property
    def name(self) -> str:
        """The column's name."""
        return self.profile.name


def joint_column(cells: Cells, profile: ColumnProfile) -> Joint | None:
    """Prepare a column of the sample, None where nothing can be said of it."""
    import numpy as np

    if profile.type in _WITHOUT_NUMBERS or not len(cells.numbers):
        return None
    if not cells.is_text:
        numbers = cells.row_numbers()
        numbers[np.isinf(numbers)] = np.nan
        return Joint(profile=profile, numbers=numbers, codes=None)
    unique, inverse = np.unique(cells.hashes, return_inverse=True)
    codes = np.full(cells.rows, -1, np.int64)
    codes[slice(None) if cells.valid is None else cells.valid] = inverse
    texts: list[str] = [""] * len(unique)
    listed = {value for value, _ in profile.frequent.counts} if profile.frequent else set()
    if listed and len(unique) <= _MAX_CODES:
        first = {int(code): row for row, code in reversed(list(enumerate(codes.tolist())))}
        for code, row in first.items():
            if code >= 0 and (text := cells.text_at(row)) in listed:
                texts[code] = text
    return Joint(profile=profile, numbers=None, codes=codes, texts=tuple(texts))


def label_of(column: ColumnProfile, *, origin: str) -> Label | None:
    """Return the classes or bins of a label, None where it has neither."""
    frequent = column.frequent
    is_number = column.quantiles is not None
    if frequent is not None and (not is_number or (column.distinct or 0) <= MAX_CLASSES):
        return Label(name=column.name, origin=origin, classes=frequent.counts[:MAX_CLASSES])
    if column.quantiles is not None and (column.distinct or 0) > MAX_CLASSES:
        edges = tuple(sorted({column.quantiles.at(rank) for rank in _BINS}))
        return Label(name=column.name, origin=origin, edges=edges)
    return None


def group_places(label: Label, goal: Joint) -> Array:
    """Return for each row the number of its class or bin, -1 for none."""
    import numpy as np

    if goal.numbers is None:
        assert goal.codes is not None
        number = {value: place for place, (value, _) in enumerate(label.classes)}
        table = np.array([*(number.get(text, -1) for text in goal.texts), -1], np.int64)
        return table[goal.codes]
    if label.edges:
        places = np.searchsorted(np.array(label.edges), goal.numbers, side="left")
        return np.where(np.isnan(goal.numbers), -1, places)
    places = np.full(len(goal.numbers), -1, np.int64)
    for place, (value, _) in enumerate(label.classes):
        places[goal.numbers == float(value)] = place
    return places


def by_label(column: Joint, places: Array, count: int) -> ByLabel:
    """Return one column by class or bin."""
    groups = []
    for place in range(count):
        rows = places == place
        if column.numbers is not None:
            groups.append(_number_group(column, column.numbers[rows]))
        else:
            assert column.codes is not None
            groups.append(_text_group(column, column.codes[rows]))
    return ByLabel(column=column.name, groups=tuple(groups))


def _number_group(column: Joint, numbers: Array) -> Group:
    import numpy as np

    there = np.sort(numbers[~np.isnan(numbers)])
    return Group(
        rows=len(numbers),
        nulls=len(numbers) - len(there),
        quantiles=quantiles_of(there, FULL.group_quantiles)
        if column.profile.quantiles is not None
        else None,
    )


def _text_group(column: Joint, codes: Array) -> Group:
    import numpy as np

    there = codes[codes >= 0]
    counts = np.bincount(there, minlength=len(column.texts))
    listed: dict[tuple[str, Value], int] = {
        key_of(column.texts[code]): int(counts[code])
        for code in np.flatnonzero(counts).tolist()
        if column.texts[code]
    }
    left = len(there) - sum(listed.values())
    frequent = Frequent(counts=ordered(listed), others=left, at_most=left)
    return Group(
        rows=len(codes),
        nulls=len(codes) - len(there),
        frequent=frequent.thinned(FULL.group_frequent) if listed else None,
    )


def associations(
    columns: Sequence[Joint], goal: Joint | None, places: Array | None
) -> tuple[Association, ...]:
    """Return how columns go with the label, the strongest first, then with one another."""
    numeric = [each for each in columns if each.numbers is not None and each is not goal]
    ranks = {id(each): _ranks(each) for each in (*numeric, *([goal] if goal else []))}
    found: list[Association] = []
    if goal is not None and places is not None:
        with_label = (
            _with_label(each, goal, places, ranks) for each in columns if each is not goal
        )
        found = sorted((each for each in with_label if each is not None), key=_by_strength)
    pairs = [
        measured
        for one, other in itertools.combinations(numeric[:_PAIRED], 2)
        if (measured := _spearman(one, other, ranks[id(one)], ranks[id(other)])) is not None
    ]
    pairs.sort(key=_by_strength)
    return (*found, *pairs[: max(0, FULL.associations - len(found))])


def _by_strength(each: Association) -> tuple[float, str, str]:
    return -abs(each.value), each.one, each.other


def _ranks(column: Joint) -> Array:
    """Return twice the mean rank of each row, centred, so that all are whole; 0 for no value."""
    import numpy as np

    if column.numbers is None:
        return np.empty(0, np.int64)
    there = ~np.isnan(column.numbers)
    _, inverse, counts = np.unique(column.numbers[there], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    doubled = 2 * ends - counts + 1 - (len(inverse) + 1)
    ranks = np.zeros(len(there))
    ranks[there] = doubled[inverse]
    return ranks


def _spearman(one: Joint, other: Joint, left: Array, right: Array) -> Association | None:
    import numpy as np

    assert one.numbers is not None
    assert other.numbers is not None
    both = ~(np.isnan(one.numbers) | np.isnan(other.numbers))
    if not both.all():
        left, right = left[both], right[both]
    below = math.sqrt(float(np.dot(left, left))) * math.sqrt(float(np.dot(right, right)))
    if not below:
        return None
    value = max(-1.0, min(1.0, float(np.dot(left, right)) / below))
    return Association(
        one=one.name, other=other.name, measure="spearman", value=round(value, 4), rows=len(left)
    )


def _with_label(
    column: Joint, goal: Joint, places: Array, ranks: dict[int, Array]
) -> Association | None:
    if column.numbers is not None and goal.numbers is not None:
        return _spearman(column, goal, ranks[id(column)], ranks[id(goal)])
    if column.numbers is not None:
        return _eta(column, goal, column, ranks[id(column)], places)
    assert column.codes is not None
    if goal.numbers is not None:
        return _eta(column, goal, goal, ranks[id(goal)], column.codes)
    return _cramers_v(column, goal, places)


def _eta(
    column: Joint, goal: Joint, number: Joint, ranks: Array, codes: Array
) -> Association | None:
    """Return the correlation ratio of ranks: how much of their spread lies between the classes.

    Without the share that so many classes of random rows would have (epsilon squared, Kelley 1935), or
    a column of identifiers would tell everything.
    """
    import numpy as np

    assert number.numbers is not None
    both = ~np.isnan(number.numbers) & (codes >= 0)
    ranks, codes = ranks[both], codes[both]
    if not len(ranks):
        return None
    counts = np.bincount(codes)
    sums = np.bincount(codes, weights=ranks)[counts > 0]
    counts = counts[counts > 0]
    total = float(ranks.sum())
    spread = float(np.dot(ranks, ranks)) - total * total / len(ranks)
    between = float((sums * sums / counts).sum()) - total * total / len(ranks)
    if spread <= 0 or len(ranks) <= len(counts):
        return None
    share = 1 - (1 - between / spread) * (len(ranks) - 1) / (len(ranks) - len(counts))
    value = math.sqrt(max(0.0, min(1.0, share)))
    return Association(
        one=column.name, other=goal.name, measure="eta", value=round(value, 4), rows=len(ranks)
    )


def _cramers_v(column: Joint, goal: Joint, places: Array) -> Association | None:
    """Return Cramér's V of two columns of classes, without its bias (Bergsma 2013)."""
    import numpy as np

    assert column.codes is not None
    both = (column.codes >= 0) & (places >= 0)
    codes, classes = column.codes[both], places[both]
    if not len(codes) or len(column.texts) > _MAX_CODES:
        return None
    width = int(classes.max()) + 1
    table = np.bincount(codes * width + classes, minlength=len(column.texts) * width)
    table = table.reshape(len(column.texts), width)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(table.shape) < 2:
        return None
    expected = np.outer(table.sum(1), table.sum(0)) / len(codes)
    squares = float(((table - expected) ** 2 / expected).sum())
    high, wide = table.shape
    less = len(codes) - 1
    share = max(0.0, squares / len(codes) - (high - 1) * (wide - 1) / less)
    room = min(high - (high - 1) ** 2 / less, wide - (wide - 1) ** 2 / less) - 1
    if room <= 0:
        return None
    value = math.sqrt(min(1.0, share / room))
    return Association(
        one=column.name,
        other=goal.name,
        measure="cramers-v",
        value=round(value, 4),
        rows=len(codes),
    )


def patterns_of(cells: Cells, *, most: int = 500) -> tuple[tuple[str, int], ...]:
    """Return the most frequent shapes of a column's texts, counted over some of its values.

    The values are those with the smallest hashes: which they are depends on no order.
    """
    import numpy as np

    unique, first, counts = np.unique(cells.hashes, return_index=True, return_counts=True)
    rows = np.arange(cells.rows) if cells.valid is None else np.flatnonzero(cells.valid)
    seen: dict[str, int] = {}
    for place in range(min(most, len(unique))):
        shape = privacy.shape_of(cells.text_at(int(rows[first[place]])))
        seen[shape] = seen.get(shape, 0) + int(counts[place])
    top = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    return tuple(item for item in top if item[1] >= privacy.MIN_ROWS)[: FULL.patterns]
