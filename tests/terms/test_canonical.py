"""The canonical bytes of a graph: sorted as whole lines are, and known by their type."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provgraph import terms
from provgraph.errors import FormatError
from provgraph.seal.proof import require_sorted_lines
from provgraph.terms import Canonical, Graph, Term

# Terms that begin like one another: with and without datatype, with subtags, one IRI inside another.
LITERALS = st.sampled_from(
    [
        *(terms.string(text) for text in ("", "a", "a b", "a\n", 'a"', "a\\", "\u00e9", "\x7f")),
        terms.typed("a", f"{terms.XSD}date"),
        terms.typed("a", f"{terms.XSD}dateTime"),
        Term('"a"@en'),
        Term('"a"@en-us'),
        terms.iri("x:a"),
        terms.iri("x:a/b"),
        terms.integer(1),
        terms.integer(11),
    ]
)
IRIS = st.sampled_from([terms.iri(text) for text in ("x:a", "x:a/", "x:a/b", "x:b", "x:a-b")])


@given(st.lists(st.tuples(IRIS, IRIS, LITERALS)))
def test_bytes_are_the_sorted_whole_lines(statements: list[tuple[Term, Term, Term]]) -> None:
    graph = Graph("x:graph")
    for subject, predicate, value in statements:
        graph.add(subject, predicate, value)
    lines = {f"{s} {p} {o} <x:graph> .\n" for s, p, o in statements}
    assert graph.canonical() == "".join(sorted(lines)).encode()


def test_statements_about_one_subject_can_come_together() -> None:
    one, many = Graph("x:graph"), Graph("x:graph")
    statements = [(terms.iri("x:p"), terms.integer(n)) for n in (3, 1, 3)]
    for predicate, value in statements:
        one.add(terms.iri("x:s"), predicate, value)
    many.add_all(terms.iri("x:s"), statements)
    assert many.canonical() == one.canonical()
    assert len(many) == 2


def test_what_a_graph_gives_is_known_by_its_type_and_passes_the_check() -> None:
    graph = Graph("x:graph")
    graph.add_all(terms.iri("x:s"), [(terms.iri("x:p"), terms.integer(n)) for n in range(20)])
    canonical = graph.canonical()
    assert type(canonical) is Canonical
    require_sorted_lines(bytes(canonical))
    # What is cut out of it is bytes like any others, and is looked at again.
    assert type(canonical[1:]) is bytes
    with pytest.raises(FormatError, match="line 2 does not come after the one before it"):
        require_sorted_lines(canonical.splitlines(keepends=True)[1] + canonical)


def test_its_digest_is_that_of_its_bytes() -> None:
    data = Canonical(b"<x:s> <x:p> <x:o> <x:g> .\n")
    for _ in range(2):
        assert data.sha256 == hashlib.sha256(bytes(data)).digest()
    assert terms.sha256_of(bytes(data)) == terms.sha256_of(data) == data.sha256


@given(st.text())
def test_strings_are_escaped_as_the_specification_says(text: str) -> None:
    special = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    special |= {'"': '\\"', "\\": "\\\\"}
    expected = "".join(
        special.get(char, f"\\u{ord(char):04X}" if char < " " or char == "\x7f" else char)
        for char in terms.clean(text)
    )
    assert terms.string(text) == f'"{expected}"'


@pytest.mark.parametrize("code", [*range(0x20), 0x22, 0x5C, 0x7F, 0x80, 0x85, 0xA0, 0x2028])
def test_every_control_character_is_written_as_it_must_be(code: int) -> None:
    written = terms.string(f"a{chr(code)}b")
    escaped = code < 0x20 or code in {0x22, 0x5C, 0x7F}
    assert written.startswith('"a\\') is escaped
    assert terms.literal_parts(written)[0] == f"a{chr(code)}b"
