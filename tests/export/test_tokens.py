"""Nothing may stand in a Turtle or TriG view that a parser drops and a reader sees."""

from __future__ import annotations

import pyoxigraph as ox
import pytest

from provgraph import vocab
from provgraph.errors import FormatError
from provgraph.export.tokens import require_statements_only

STATEMENT = '<urn:a:b> <urn:a:c> "6\\" \\u00e9" .\n'
TRUE = f"""@prefix pg: <{vocab.PG}> .
@prefix xsd: <{vocab.XSD}> .

<urn:a:b> a pg:Run , <urn:a:x> ;
\tpg:value "q\\"x" , 1.5 , -3 , 1e5 , "x"@en-gb , "2026"^^xsd:gYear , "x"^^<urn:a:d> , true ;
\tpg:a\\/b.c "" .
"""
# All of these parse, and make the statement above and no other.
UNSAID = {
    "comment": STATEMENT + "# approved\n",
    "comment_after_single_quotes": "<urn:a:b> <urn:a:c> '6\" é' . # approved \"\n",
    "long_string": '<urn:a:b> <urn:a:c> """6\\" é""" .\n',
    "prefix": "PREFIX approved: <urn:by:the:board>\n" + STATEMENT,
    "prefix_in_lower_case": "prefix approved: <urn:by:the:board>\n" + STATEMENT,
    "prefix_after_a_full_stop": STATEMENT.rstrip() + "PREFIX approved: <urn:by:the:board>\n",
    "prefix_of_ours_that_means_something_else": "@prefix pg: <urn:by:the:board> .\n" + STATEMENT,
    "prefix_of_nobody": "@prefix approved: <urn:by:the:board> .\n" + STATEMENT,
    "prefix_between_statements": STATEMENT + f"@prefix pg: <{vocab.PG}> .\n",
    "base": "@base <urn:by:the:board> .\n" + STATEMENT,
    "version": 'VERSION "approved"\n' + STATEMENT,
    "version_with_at": '@version "approved" .\n' + STATEMENT,
    "carriage_return": STATEMENT + "\r",
}


def statements(text: str) -> set[str]:
    return {str(quad) for quad in ox.parse(text.encode(), format=ox.RdfFormat.TURTLE)}


def test_what_our_writer_writes_passes() -> None:
    require_statements_only(TRUE, vocab.PREFIXES)
    assert len(statements(TRUE)) == 11


@pytest.mark.parametrize("name", UNSAID)
def test_what_makes_no_statement_is_refused(name: str) -> None:
    assert statements(UNSAID[name]) == statements(STATEMENT)
    require_statements_only(STATEMENT, vocab.PREFIXES)
    with pytest.raises(FormatError):
        require_statements_only(UNSAID[name], vocab.PREFIXES)


@pytest.mark.parametrize("text", ["<urn:a:approved> {}", "<urn:a:approved> { \n\t}"])
def test_an_empty_graph_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"line 1 holds '\{"):
        require_statements_only(text, vocab.PREFIXES)


@pytest.mark.parametrize("piece", ['"\\', "<", '"', "a:", "@a", "1", "{", '""', "\\", "'", "^^"])
def test_no_repetition_takes_long(piece: str) -> None:
    """Under a second for a megabyte; with backtracking it would be hours."""
    text = STATEMENT + piece * (1_000_000 // len(piece)) + "#"
    with pytest.raises(FormatError):
        require_statements_only(text, vocab.PREFIXES)
