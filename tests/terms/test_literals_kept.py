"""The index gives every literal back as it was made; otherwise it would not hold what was signed."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal

import pyoxigraph as ox
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provgraph import terms
from provgraph.terms import Graph


def kept(*literals: terms.Term) -> bool:
    """Whether an Oxigraph store gives a graph with these literals back byte for byte."""
    graph = Graph("urn:x:g")
    for literal in literals:
        graph.add(terms.iri("urn:x:s"), terms.iri("urn:x:p"), literal)
    store = ox.Store()
    store.extend(ox.parse(graph.canonical(), format=ox.RdfFormat.N_QUADS))
    dumped = store.dump(format=ox.RdfFormat.N_QUADS)
    return b"".join(sorted(dumped.splitlines(keepends=True))) == graph.canonical()


@settings(max_examples=300, deadline=None)
@given(st.integers(), st.floats(), st.decimals(allow_nan=False, allow_infinity=False), st.text())
def test_numbers_and_strings(integer, double, decimal, text):
    literals = (terms.integer(integer), terms.double(double), terms.string(text))
    assert kept(*literals, terms.decimal(decimal)) is True


@settings(max_examples=300, deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_times(time):
    assert kept(terms.timestamp(time)) is True


@pytest.mark.parametrize(
    ("value", "text"),
    [("-0", "0"), ("-0.00", "0"), ("1.50", "1.5"), ("1E+3", "1000"), ("1E-20", f"0.{'0' * 19}1")],
)
def test_a_decimal_has_one_form(value, text):
    literal = terms.decimal(Decimal(value))
    assert literal == f'"{text}"^^<{terms.XSD}decimal>'
    assert kept(literal) is True


def test_the_check_sees_a_literal_that_is_rewritten():
    assert kept(terms.Term(f'"1.50"^^<{terms.XSD}decimal>')) is False
