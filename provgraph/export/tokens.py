"""Turtle and TriG in which every character belongs to a statement.

A parser drops comments, directives, prefixes that nothing uses and empty graphs, and a reader of the
text sees them. Looking for those would mean to know all ways of writing them (a `#` in single quotes,
`PREFIX` after a full stop, `VERSION "…"`). So a view may hold only the few kinds of tokens that
`provgraph.export.rdf` writes, and prefixes of provgraph's table; whatever else is there is refused.

Specifications: RDF 1.1 Turtle section 6.5, TriG section 3. Here is the form only: that the text
parses, and what its statements are, is for a parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from provgraph.errors import FormatError

_IRI: Final = r"<[^\x00-\x20<>\"{}|^`\\]*+>"
_PNAME: Final = r"[a-z]*+:(?:[A-Za-z0-9_:.\-]|%[0-9A-Fa-f]{2}|\\[_~.\-!$&'()*+,;=/?#@%])*+"
# A string of three quotes would begin as an empty one with a third quote behind it.
_LITERAL: Final = (
    r'"(?:[^"\\\x00-\x1f]|\\[tbnrf"\'\\]|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8})*+"(?!")'
    rf"(?:@[A-Za-z]++(?:-[A-Za-z0-9]++)*+|\^\^(?:{_IRI}|{_PNAME}))?+"
)
_NUMBER: Final = r"[+-]?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_WORD: Final = r"(?:a|true|false)(?![\w:])"
# Not the empty graph.
_MARK: Final = r"[.;,}]|\{(?!\s*+\})"

_PREFIXES = re.compile(rf"(?:@prefix [a-z]*+: {_IRI} \.\n)*+")
_PREFIX = re.compile(r"@prefix ([a-z]*+): <([^>]*+)> \.\n")
_STATEMENTS = re.compile(rf"(?:[ \t\n]++|{_IRI}|{_LITERAL}|{_PNAME}|{_NUMBER}|{_WORD}|{_MARK})*+")


def require_statements_only(text: str, prefixes: Mapping[str, str]) -> None:
    """Check that a Turtle or TriG text holds nothing but prefixes of the table, and statements.

    Raises:
        FormatError: something else, with its place.
    """
    head = _PREFIXES.match(text)
    start = head.end() if head is not None else 0
    for name, iri in _PREFIX.findall(text, 0, start):
        if prefixes.get(name) != iri:
            raise FormatError(f"expected prefixes of provgraph only, found {name}: <{iri[:200]}>")
    body = _STATEMENTS.match(text, start)
    end = body.end() if body is not None else start
    if end != len(text):
        line = text.count("\n", 0, end) + 1
        raise FormatError(
            f"line {line} holds {text[end : end + 80]!r}, which is no part of a statement, so nobody"
            " signed it"
        )
