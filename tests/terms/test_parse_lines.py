"""Canonical N-Quads are read back exactly, and nothing else is read at all."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provgraph import terms
from provgraph.errors import FormatError
from provgraph.terms import Graph, is_literal, literal_parts, parse_lines

S, P, OBJECT, G = (terms.iri(f"urn:x:{name}") for name in "spog")
LINE = "<urn:x:s> <urn:x:p> <urn:x:o> <urn:x:g> .\n"


def test_statements_come_in_their_order():
    graph = Graph("urn:x:g")
    graph.add(S, P, terms.string('a "b"\n'))
    graph.add(S, P, OBJECT)
    graph.add(OBJECT, P, terms.double(0.5))
    assert list(parse_lines(graph.canonical())) == [
        (OBJECT, P, terms.double(0.5), G),
        (S, P, terms.string('a "b"\n'), G),
        (S, P, OBJECT, G),
    ]


def test_nothing_is_no_statements():
    assert list(parse_lines(b"")) == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("_:b <urn:x:p> <urn:x:o> <urn:x:g> .\n", id="blank-subject"),
        pytest.param("<urn:x:s> <urn:x:p> _:b <urn:x:g> .\n", id="blank-object"),
        pytest.param("<urn:x:s> <urn:x:p> <urn:x:o> .\n", id="no-graph"),
        pytest.param("<s> <urn:x:p> <urn:x:o> <urn:x:g> .\n", id="relative-iri"),
        pytest.param("<urn:x:s> <urn:x:p> <urn:x:ü> <urn:x:g> .\n", id="iri-not-ascii"),
        pytest.param("<urn:x:s> <urn:x:p> <urn:x:%zz> <urn:x:g> .\n", id="bare-percent"),
        pytest.param("<urn:x:s> <urn:x:p> <urn:x:\\u0041> <urn:x:g> .\n", id="escape-in-iri"),
        pytest.param("<urn:x:s>  <urn:x:p> <urn:x:o> <urn:x:g> .\n", id="two-spaces"),
        pytest.param("<urn:x:s> <urn:x:p> <urn:x:o> <urn:x:g>.\n", id="no-space-before-dot"),
        pytest.param(LINE[:-1] + " # note\n", id="comment"),
        pytest.param("\n" + LINE, id="empty-line"),
        pytest.param(LINE[:-1] + "\r\n", id="crlf"),
        pytest.param('<urn:x:s> <urn:x:p> "a\tb" <urn:x:g> .\n', id="raw-tab"),
        pytest.param('<urn:x:s> <urn:x:p> "\\u0041" <urn:x:g> .\n', id="escaped-letter"),
        pytest.param('<urn:x:s> <urn:x:p> "\\u000A" <urn:x:g> .\n', id="long-line-feed"),
        pytest.param('<urn:x:s> <urn:x:p> "\\u000b" <urn:x:g> .\n', id="lower-case-hex"),
        pytest.param('<urn:x:s> <urn:x:p> "\\\'" <urn:x:g> .\n', id="escaped-apostrophe"),
        pytest.param('<urn:x:s> <urn:x:p> "\ufffe" <urn:x:g> .\n', id="disputed-character"),
        pytest.param(f'<urn:x:s> <urn:x:p> "a"^^<{terms.XSD}string> <urn:x:g> .\n', id="string"),
        pytest.param(
            f'<urn:x:s> <urn:x:p> "a"^^<{terms.RDF_LANG_STRING}> <urn:x:g> .\n', id="no-tag"
        ),
        pytest.param('<urn:x:s> <urn:x:p> "a"@en-GB <urn:x:g> .\n', id="upper-case-tag"),
        pytest.param('<urn:x:s> <urn:x:p> "a"@ar--rtl <urn:x:g> .\n', id="direction"),
        pytest.param('"s" <urn:x:p> <urn:x:o> <urn:x:g> .\n', id="literal-subject"),
        pytest.param("<< <urn:x:s> <urn:x:p> <urn:x:o> >> <urn:x:p> <urn:x:o> .\n", id="triple"),
    ],
)
def test_other_spellings_are_refused(line):
    with pytest.raises(FormatError, match=r"expected canonical N-Quads statements.* line 1 is "):
        parse_lines(line.encode())


def test_the_line_that_is_wrong_is_named():
    with pytest.raises(FormatError, match=re.escape("line 2 is 'x'")):
        parse_lines(LINE.encode() + b"x\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (LINE[:-1].encode(), "expected LF after the last statement"),
        (LINE.encode() * 2, "sorted N-Quads lines without duplicates"),
        (LINE.encode() + LINE.encode().replace(b":s>", b":a>"), "sorted N-Quads lines"),
        (b"\xff", "expected N-Quads in UTF-8"),
        (b"x" * (terms.MAX_GRAPH_BYTES + 1), "at most 16777216 bytes, found 16777217"),
    ],
)
def test_other_bytes_are_refused(data, message):
    with pytest.raises(FormatError, match=message):
        parse_lines(data)


def test_a_long_hostile_line_is_refused_in_linear_time():
    line = '<urn:x:s> <urn:x:p> "' + "a\\n" * 1_000_000 + "\n"
    started = time.process_time()
    with pytest.raises(FormatError, match="line 1"):
        parse_lines(line.encode())
    assert time.process_time() - started < 2


@given(st.text())
def test_any_string_reads_back(text):
    graph = Graph("urn:x:g")
    graph.add(S, P, terms.string(text))
    ((_, _, value, _),) = parse_lines(graph.canonical())
    # What no canonical text can hold was replaced when the literal was made.
    expected = re.sub("[\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
    assert literal_parts(value) == (expected, terms.XSD_STRING, "")


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        (terms.integer(-5), ("-5", f"{terms.XSD}integer", "")),
        (terms.string(""), ("", terms.XSD_STRING, "")),
        (terms.string('\\"^^<x>@en'), ('\\"^^<x>@en', terms.XSD_STRING, "")),
        (terms.string("\x00\x0b\x7f\b\t\n\f\r"), ("\x00\x0b\x7f\b\t\n\f\r", terms.XSD_STRING, "")),
        (terms.Term('"a"@en-gb'), ("a", terms.RDF_LANG_STRING, "en-gb")),
    ],
)
def test_a_literal_has_parts(term, parts):
    assert is_literal(term) is True
    assert literal_parts(term) == parts


def test_an_iri_has_none():
    assert is_literal(S) is False
    with pytest.raises(FormatError, match="expected a literal, found <urn:x:s>"):
        literal_parts(S)
