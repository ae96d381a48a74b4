"""Foreign text made into IRIs: whatever comes out is one to every RDF parser."""

from __future__ import annotations

import pyoxigraph as ox
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provgraph.errors import FormatError
from provgraph.terms import to_iri

PIECES = st.sampled_from(
    [*"ab1:/?#[]@!$&'()*+,;=%-._~ \"<>\\^`{|}é🚀\0\n\ud800", "%41", "::1", ":80"]
)
SCHEMES = st.sampled_from(["s3://", "http://", "hf+git://", "file:///", "urn:", "mailto:"])


@pytest.mark.parametrize(
    ("text", "iri"),
    [
        ("https://example.org/a b?c=d e#f", "https://example.org/a%20b?c=d%20e#f"),
        ("s3://bucket/ünï/🚀", "s3://bucket/%C3%BCn%C3%AF/%F0%9F%9A%80"),
        ("https://example.org/100%", "https://example.org/100%25"),
        ("https://example.org/%41%zz", "https://example.org/%41%25zz"),
        ("https://ada:x@example.org:8080/a@b:c", "https://ada:x@example.org:8080/a@b:c"),
        ("https://ada@home@example.org/", "https://ada%40home@example.org/"),
        ("http://host:port/x", "http://host%3Aport/x"),
        ("http://host:/x", "http://host:/x"),
        ("http://[::1]:80/x", "http://%5B%3A%3A1%5D:80/x"),
        ("s3://::", "s3://%3A:"),
        ("urn:a#b#c", "urn:a#b%23c"),
        ("mailto:ada@example.org", "mailto:ada@example.org"),
    ],
)
def test_examples(text, iri):
    assert to_iri(text) == iri


@pytest.mark.parametrize("text", ["", "relative/path", "//host/x", ":", "1a:b", "a b:c"])
def test_text_without_a_scheme_is_refused(text):
    with pytest.raises(FormatError, match="expected an absolute IRI with a scheme"):
        to_iri(text)


@given(st.builds(str.__add__, SCHEMES, st.lists(PIECES, max_size=10).map("".join)))
@example("s3://:%")
@example("http://@@:x")
def test_whatever_has_a_scheme_becomes_an_iri_that_parsers_take(text):
    iri = to_iri(text)
    (statement,) = ox.parse(f"<{iri}> <urn:p> <{iri}> .\n".encode(), format=ox.RdfFormat.N_TRIPLES)
    assert (statement.subject.value, statement.object.value) == (iri, iri)
    assert to_iri(iri) == iri
