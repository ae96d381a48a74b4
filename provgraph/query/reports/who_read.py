"""Q33: who read a model's records, from the access trail of the server of this home.

The trail keeps what was asked, not what was answered, so a request counts that names the model or one
of its records: by IRI, by id, by digest, or as people call it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from provgraph import terms, vocab
from provgraph.access.trail import Access, read_trail
from provgraph.errors import NotFoundError
from provgraph.index.store import Row
from provgraph.query.reporting import Material, Table
from provgraph.terms import literal_parts


def report(material: Material) -> Table:
    """Return the requests that named the model or its records.

    Raises:
        NotFoundError: this home has no access trail: no server has served it.
    """
    path = material.settings.home / "trail.db"
    if not path.exists():
        raise NotFoundError(
            f"{material.settings.home} has no access trail: it was never served, so nobody can have"
            " read it through a server; who reads this folder leaves no trace here"
        )
    words = _words(material)
    pattern = re.compile("|".join(map(re.escape, words)) or r"(?!)")
    since, until = (_time(material, name) for name in ("since", "until"))
    rows: list[Row] = []
    for position, access in read_trail(path):
        if (since and access.time < since) or (until and access.time >= until):
            continue
        match = pattern.search(access.asked) or pattern.search(unquote_plus(access.asked))
        if match is not None:
            rows.append(_row(position, access, named=match[0]))
    return Table(columns=tuple(material.query.columns), rows=rows)


def _words(material: Material) -> list[str]:
    """Return how the model and its records may be named in a request, the longest first."""
    found = set()
    for thing, label in material.found.rows:
        if thing is not None:
            iri = thing[1:-1]
            found.add(iri)
            if iri.startswith(vocab.ID):
                # Ids and digests: what stands in a path of the server. Short ones mean anything.
                found.update(part for part in [iri.rsplit("/", 1)[-1]] if len(part) >= 32)
                found.add(iri.removeprefix(vocab.ID))
        if label is not None and ":" in literal_parts(label)[0]:
            found.add(literal_parts(label)[0])
    return sorted(found, key=lambda word: (-len(word), word))


def _time(material: Material, name: str) -> str | None:
    values = material.values.get(name)
    return None if not values else literal_parts(values[0])[0]


def _row(position: int, access: Access, *, named: str) -> Row:
    return (
        terms.typed(access.time, f"{vocab.XSD}dateTime"),
        terms.string(access.who),
        terms.string(access.by),
        terms.string(access.address),
        terms.string(access.outcome),
        terms.string(access.asked),
        terms.string(named),
        terms.integer(access.size_bytes),
        terms.integer(position),
    )
