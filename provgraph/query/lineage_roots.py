"""What a walk starts from: the contents of a version, what a run made; as of the graph's position."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from provgraph import vocab
from provgraph.index.edge_facts import CODES, GENERATED, KINDS, USED
from provgraph.query.lineage_graph import LineageGraph

_CONTENT_CLASSES: Final = frozenset(
    f"{vocab.PG}{name}" for name in ("Dataset", "Model", "FeatureSet", "File")
)
_STEP: Final = KINDS.index(f"{vocab.PG}step")
_VERSION: Final = KINDS.index(f"{vocab.PROV}specializationOf")


def starts(graph: LineageGraph, iris: Sequence[str], *, up: bool = True) -> list[str]:
    """Return what a walk starts from, by IRI.

    Contents are the answer where there are any: a run also makes metrics and evaluations. A run that
    made nothing stands, upwards, for what it used.
    """
    ids = set(graph.file.ids(iris).values())
    acts = ids | _beyond(graph, ids, kind=_STEP, up=True)
    found = _contents(graph, _at(graph, acts, kind=GENERATED, up=False))
    if up and not found:
        found = _contents(graph, _at(graph, acts, kind=USED, up=True))
    if not found:
        found = _contents(graph, _beyond(graph, ids, kind=_VERSION, up=False))
    return found or list(iris)


def _beyond(graph: LineageGraph, ids: Collection[int], *, kind: int, up: bool) -> set[int]:
    """Return what edges of one kind lead to, in one step or more."""
    found: set[int] = set()
    level = set(ids)
    while level:
        level = _at(graph, level, kind=kind, up=up) - found
        found |= level
    return found


def _at(graph: LineageGraph, ids: Collection[int], *, kind: int, up: bool) -> set[int]:
    edges = graph.file.edges_at(ids, up=up, kinds=(kind,), as_of=graph.as_of)
    return {edge.parent if up else edge.child for edge in edges}


def _contents(graph: LineageGraph, ids: Collection[int]) -> list[str]:
    rows = graph.file.facts(ids, codes=[CODES["types"]], as_of=graph.as_of)
    names = graph.file.iris({value for _, _, value in rows if isinstance(value, int)})
    found = {
        thing
        for thing, _, value in rows
        if isinstance(value, int) and names[value] in _CONTENT_CLASSES
    }
    return sorted(graph.file.iris(found).values())
