"""What a name or an IRI means in what a SPARQL index holds, and the contents of a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from provgraph import terms, vocab
from provgraph.index.store import values_block
from provgraph.query.lineage import Select

_PREFIXES: Final = (
    f"PREFIX prov: <{vocab.PROV}> PREFIX pg: <{vocab.PG}> PREFIX rdfs: <{vocab.RDFS}>"
)
_CONTENT_CLASSES: Final = "pg:Dataset, pg:Model, pg:FeatureSet, pg:File"
_CONTENTS: Final = f"""{_PREFIXES} SELECT DISTINCT ?e WHERE {{{{
  {{it}} {{pattern}} . ?e a ?type . FILTER(?type IN ({_CONTENT_CLASSES})) }}}}"""
_KNOWN: Final = "SELECT ?p WHERE {{ {it} {{ ?it ?p ?o }} UNION {{ ?s ?p ?it }} }} LIMIT 1"
_CALLED: Final = f"""{_PREFIXES} SELECT DISTINCT ?it ?type WHERE {{{{
  VALUES ?label {{{{ {{label}} }}}} ?it rdfs:label ?label ; a ?type .
  FILTER(?type IN (pg:Version, pg:Named, pg:Run, {_CONTENT_CLASSES})) }}}} LIMIT 200"""
# `churn:3` is a version before it is anything else of that label.
_FIRST: Final = (frozenset({"Version"}), frozenset({"Named"}), frozenset({"Run"}))


def versions(select: Select, iris: Sequence[str]) -> list[str]:
    """Return the contents below names and versions."""
    it = values_block("it", iris)
    return _iris(select, _CONTENTS.format(it=it, pattern="?e prov:specializationOf+ ?it"))


def is_known(select: Select, iri: str) -> bool:
    """Whether any statement has an IRI as its subject or object."""
    return bool(select(_KNOWN.format(it=values_block("it", [iri]))).rows)


def called(select: Select, text: str) -> list[str]:
    """Return the things of a label: versions, else names, else runs, else contents; sorted."""
    rows = select(_CALLED.format(label=terms.string(text))).rows
    found = {
        (it[1:-1], kind[1:-1].removeprefix(vocab.PG))
        for it, kind in rows
        if it is not None and kind is not None
    }
    for kinds in _FIRST:
        first = sorted({iri for iri, kind in found if kind in kinds})
        if first:
            return first
    return sorted({iri for iri, _ in found})


def _iris(select: Select, query: str) -> list[str]:
    return sorted(row[0][1:-1] for row in select(query).rows if row[0] is not None)
