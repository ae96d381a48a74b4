"""Rows chosen by their content: the same ones in whatever order they stand.

The rows with the smallest hashes are a random sample of a multiset, once equal rows are told apart:
the second of two equal rows counts as another one (its hash is mixed with its number among its like),
or a table of four different rows would be sampled as one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provgraph.capture.profiling.hashing import mix

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def smallest_rows(row_hashes: Array, count: int) -> Array:
    """Return the places of `count` rows, in ascending order."""
    import numpy as np

    order = np.argsort(row_hashes)
    hashes = row_hashes[order]
    starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
    sizes = np.diff(starts, append=len(hashes))
    among_its_like = np.arange(len(hashes)) - np.repeat(starts, sizes)
    apart = mix(hashes + among_its_like.astype(np.uint64) * np.uint64(0xD1342543DE82EF95))
    return np.sort(order[np.argpartition(apart, count)[:count]])
