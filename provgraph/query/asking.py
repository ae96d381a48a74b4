"""What an answer needs of an index: a function that runs a SELECT, over all records or some of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from provgraph import vocab
from provgraph.index.store import MAX_VALUES, Row, Solutions, is_plain_iri
from provgraph.terms import Term

# Words of the vocabulary, roles and names of values: every record may mention them.
_WORDS: Final = (
    vocab.PG,
    vocab.ROLE,
    vocab.PARAM,
    vocab.METRIC,
    vocab.TAG,
    vocab.PROV,
    vocab.RDF,
    vocab.RDFS,
    vocab.XSD,
    vocab.MEDIA_TYPES,
    "https://spdx.org/licenses/",
)
# People and organisations are described alike in every record that names them.
_PEOPLE: Final = (f"{vocab.ID}person/", f"{vocab.ID}organization/", f"{vocab.ID}software/")


class Ask(Protocol):
    """Runs a SELECT of our own; with `graphs`, as if there were no other records."""

    def __call__(self, query: str, *, graphs: Sequence[str] | None = None) -> Solutions:
        """Return all rows."""


def things_in(rows: Iterable[Sequence[Term | None]], *, people: bool = False) -> set[str]:
    """Return the IRIs in rows that name things, not words of a vocabulary (nor, by default, people)."""
    terms = {term for row in rows for term in row if term is not None and term[0] == "<"}
    words = _WORDS if people else (*_WORDS, *_PEOPLE)
    return {iri for term in terms if is_plain_iri(iri := term[1:-1]) and not iri.startswith(words)}


def iris_in(rows: Iterable[Row]) -> set[str]:
    """Return all IRIs in rows."""
    terms = {term for row in rows for term in row if term is not None and term[0] == "<"}
    return {iri for term in terms if is_plain_iri(iri := term[1:-1])}


def blocks(iris: Iterable[str], *, size: int = MAX_VALUES) -> Iterator[list[str]]:
    """Cut IRIs, sorted, into blocks that fit a VALUES line."""
    ordered = sorted(iris)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
