"""Registers that count distinct values, and frequent values with their bounds."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provgraph.capture.profiling.hashing import registers_of as registers_of_array
from provgraph.errors import FormatError
from provgraph.profiles.distinct import estimate, fold_registers, merge_registers, write_registers
from provgraph.profiles.values import Frequent, key_of, merge_frequent, ordered


def registers_of(items: range, *, size: int) -> str:
    """HyperLogLog, written again from its definition."""
    bits = size.bit_length() - 1
    ranks = [0] * size
    for item in items:
        value = int.from_bytes(hashlib.blake2b(b"%d" % item, digest_size=8).digest(), "little")
        rest = value >> bits
        rank = (rest & -rest).bit_length() if rest else 64 - bits + 1
        ranks[value % size] = max(ranks[value % size], rank)
    return write_registers(ranks)


@pytest.mark.parametrize("count", [0, 1, 20, 300, 5_000, 40_000])
@pytest.mark.parametrize(("size", "tolerance"), [(256, 0.2), (64, 0.4)])
def test_an_estimate_is_within_three_standard_errors(count, size, tolerance):
    found = estimate(registers_of(range(count), size=size))
    assert abs(found - count) <= tolerance * count


@pytest.mark.parametrize("size", [16, 64])
def test_folded_registers_are_those_of_the_smaller_sketch(size):
    assert fold_registers(registers_of(range(3_000), size=256), size) == registers_of(
        range(3_000), size=size
    )


@pytest.mark.parametrize("count", [0, 100, 5_000, 400_000])
def test_registers_made_of_many_hashes_at_once_are_those_of_the_definition(count):
    hashes = np.random.default_rng(0).integers(0, 2**64, count, np.uint64)
    ranks = [0] * 256
    for value in hashes.tolist():
        rest = value >> 8
        ranks[value & 255] = max(ranks[value & 255], (rest & -rest).bit_length() if rest else 57)
    assert registers_of_array(hashes, 256) == ranks


def test_merged_registers_are_those_of_all_items():
    left, right = registers_of(range(2_000), size=256), registers_of(range(1_000, 9_000), size=64)
    assert merge_registers(left, right) == registers_of(range(9_000), size=64)


@pytest.mark.parametrize("text", ["", "A" * 17, "é" * 16, "A" * 255 + "-"])
def test_what_are_no_registers_is_refused(text):
    with pytest.raises(FormatError, match="registers"):
        estimate(text)


COUNTS = st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(1, 50), max_size=12)


def frequent(counts: dict[str, int], size: int) -> Frequent:
    return Frequent(counts=ordered({key_of(v): n for v, n in counts.items()})).thinned(size)


@given(parts=st.lists(COUNTS, min_size=1, max_size=4), size=st.integers(1, 6))
def test_merged_counts_are_within_their_bound(parts, size):
    merged = merge_frequent([frequent(part, size) for part in parts], size=size)
    truth: Counter[str] = Counter()
    for part in parts:
        truth.update(part)
    assert sum(n for _, n in merged.counts) + merged.others == sum(truth.values())
    listed = dict(merged.counts)
    for value, count in truth.items():
        assert listed.get(value, 0) <= count <= listed.get(value, 0) + merged.at_most


def test_true_is_not_the_number_1():
    merged = merge_frequent([Frequent(counts=((True, 3),)), Frequent(counts=((1, 2),))], size=5)
    assert [(type(value), count) for value, count in merged.counts] == [(bool, 3), (int, 2)]


def test_a_value_that_is_listed_twice_is_refused():
    with pytest.raises(FormatError, match="once"):
        Frequent(counts=(("a", 3), ("a", 1)))
