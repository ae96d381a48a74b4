"""Lineage as readers see it: a walk over the lineage index, with the facts beside each thing.

Activities stand between entities where they are known: a model <- the run that made it <- what that run
used. What a SPARQL index is asked for besides comes in `VALUES` blocks of at most 500 IRIs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from provgraph import vocab
from provgraph.index.edge_facts import FACTS, GENERATED, NAMES, USED
from provgraph.index.store import MAX_VALUES, Solutions, values_block
from provgraph.query.lineage_graph import ALL, MAX_THINGS, WALKED, LineageGraph, Restriction
from provgraph.terms import Term, literal_parts

Select = Callable[[str], Solutions]

MAX_NODES: Final = MAX_THINGS
# A hub has millions of edges, and a walk that a limit ended needs few of them.
_EDGES_PER_NODE: Final = 10
_SHOWN: Final = tuple(code for code, name in enumerate(NAMES) if name in FACTS.values())

_DESCRIBE: Final = """PREFIX pg: <https://w3id.org/provgraph/ns#>
SELECT DISTINCT ?it ?p ?o WHERE {{ {values} ?it ?p ?o . FILTER(?p IN ({properties})) }}"""
_USED: Final = """PREFIX prov: <http://www.w3.org/ns/prov#>
SELECT DISTINCT ?activity ?entity ?role WHERE {{ {values}
  {{ ?activity prov:used ?entity }} UNION
  {{ ?activity prov:qualifiedUsage ?u . ?u prov:entity ?entity . ?u prov:hadRole ?role }}
}} ORDER BY ?role"""


@dataclass(slots=True, kw_only=True)
class Node:
    """A thing in a walk, with the facts that a reader wants beside it."""

    iri: str
    facts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Its most telling class: ours before PROV's, empty where nothing says."""
        own = [kind for kind in self.facts.get("types", ()) if kind.startswith(vocab.PG)]
        return min(own).removeprefix(vocab.PG) if own else ""

    @property
    def title(self) -> str:
        """What people call it: `churn:3` where it is a version of something, else its label."""
        for iri in self.facts.get("version_of", ()):
            # …/id/model/<namespace>/churn/3
            head, _, rest = iri.partition(vocab.ID)
            parts = [unquote(part) for part in rest.split("/")]
            if not head and len(parts) == 4 and parts[2] in self.facts.get("label", ()):
                return f"{parts[2]}:{parts[3]}"
        return self.fact("label") or self.fact("description") or ""

    def fact(self, name: str) -> str | None:
        """Return the first value of a fact, None where it is not recorded."""
        values = self.facts.get(name)
        return values[0] if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`child` was made from `parent`; `activities` made the child and used the parent."""

    child: str
    parent: str
    activities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The result of a walk: nodes and edges, and whether a limit cut it."""

    roots: tuple[str, ...]
    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    is_cut: bool
    matches: frozenset[str] | None = None  # what a restriction let in; None where there was none
    untimed: int = 0  # left out of a span of time, since nobody recorded theirs


def walk(
    graph: LineageGraph,
    roots: Sequence[str],
    *,
    up: bool,
    max_depth: int | None = None,
    max_nodes: int = MAX_NODES,
    only: Restriction = ALL,
) -> Lineage:
    """Walk to everything that the roots were made from, or that was made from them or said of them.

    With a restriction, what matches it is in the result, and what lies on a way there.
    """
    file, as_of = graph.file, graph.as_of
    known = file.ids(roots)
    levels, is_cut = graph.levels(known.values(), up=up, max_depth=max_depth, max_things=max_nodes)
    things = set().union(*levels)
    # Nobody looked beyond the last level where a limit ended the walk.
    is_limited = is_cut or (max_depth is not None and len(levels) > max_depth)
    expanded = things.difference(levels[-1]) if is_limited else things
    limit = max_nodes * _EDGES_PER_NODE
    stated = list(file.edges_at(expanded, up=up, kinds=WALKED, as_of=as_of, limit=limit))
    is_cut = is_cut or len(stated) == limit
    pairs = {
        (edge.child, edge.parent)
        for edge in stated
        if (edge.parent if up else edge.child) in things
    }
    matches, untimed = None, 0
    if not only.is_none:
        found, untimed = graph.matching(things, only)
        things = _on_the_way(found, pairs, up=up) | set(known.values())
        pairs = {pair for pair in pairs if set(pair) <= things}
        expanded &= things
        matches = frozenset(file.iris(found).values())
    made_by: dict[int, set[int]] = defaultdict(set)
    used: set[tuple[int, int]] = set()
    if up:
        for edge in file.edges_at(expanded, up=True, kinds=(GENERATED,), as_of=as_of):
            made_by[edge.child].add(edge.parent)
        activities = set().union(*made_by.values())
        used = {
            (edge.child, edge.parent)
            for edge in file.edges_at(activities, up=True, kinds=(USED,), as_of=as_of)
        }
        things |= activities
    names = file.iris(things)
    edges = [
        Edge(
            child=names[child],
            parent=names[parent],
            activities=tuple(
                sorted(names[each] for each in made_by.get(child, ()) if (each, parent) in used)
            ),
        )
        for child, parent in pairs
    ]
    return Lineage(
        roots=tuple(roots),
        nodes=described(graph, [*names.values(), *roots]),
        edges=tuple(sorted(edges, key=lambda edge: (edge.child, edge.parent))),
        is_cut=is_cut,
        matches=matches,
        untimed=untimed,
    )


def described(graph: LineageGraph, iris: Iterable[str]) -> dict[str, Node]:
    """Return labels, kinds and the other facts that readers want, from the lineage index."""
    nodes = {iri: Node(iri=iri) for iri in sorted(set(iris))}
    ids = graph.file.ids(nodes)
    names = {number: iri for iri, number in ids.items()}
    rows = graph.file.facts(names, codes=_SHOWN, as_of=graph.as_of)
    values = graph.file.iris({value for _, _, value in rows if isinstance(value, int)})
    collected: dict[int, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for thing, code, value in rows:
        collected[thing][code].add(values[value] if isinstance(value, int) else value)
    for thing, facts in collected.items():
        nodes[names[thing]].facts = {
            NAMES[code]: tuple(sorted(found)) for code, found in facts.items()
        }
    return nodes


def describe(select: Select, iris: Iterable[str]) -> dict[str, Node]:
    """Fetch labels, kinds and the other facts that readers want, by IRI."""
    wanted = sorted(set(iris))
    nodes = {iri: Node(iri=iri) for iri in wanted}
    properties = ", ".join(f"<{iri}>" for iri in FACTS)
    collected: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for block in _blocks(wanted):
        query = _DESCRIBE.format(values=values_block("it", block), properties=properties)
        for it, predicate, value in select(query).rows:
            if it is not None and predicate is not None and value is not None:
                collected[it[1:-1]][FACTS[predicate[1:-1]]].add(plain(value))
    for iri, facts in collected.items():
        nodes[iri].facts = {name: tuple(sorted(values)) for name, values in facts.items()}
    return nodes


def usage_roles(select: Select, activities: Iterable[str]) -> dict[tuple[str, str], str | None]:
    """Return (activity, used entity) to its roles in words, None where no role was said.

    One thing in two roles, such as `test, train`, is what an auditor looks for.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for block in _blocks(sorted(set(activities))):
        for activity, entity, role in select(
            _USED.format(values=values_block("activity", block))
        ).rows:
            if activity is None or entity is None:
                continue
            roles = found.setdefault((activity[1:-1], entity[1:-1]), [])
            if role is not None:
                roles.append(unquote(role[1:-1].rsplit("/", 1)[-1]))
    return {key: ", ".join(roles) or None for key, roles in found.items()}


def plain(term: Term) -> str:
    """Return an IRI without its brackets, a literal without quotes and datatype."""
    return term[1:-1] if term.startswith("<") else literal_parts(term)[0]


def _on_the_way(found: set[int], pairs: set[tuple[int, int]], *, up: bool) -> set[int]:
    """Return what leads to matches: they, and whatever a walk passes before it comes to them."""
    before: dict[int, list[int]] = defaultdict(list)
    for child, parent in pairs:
        start, end = (child, parent) if up else (parent, child)
        before[end].append(start)
    on_it = set(found)
    level = found
    while level:
        level = {start for each in level for start in before.get(each, ())} - on_it
        on_it |= level
    return on_it


def _blocks(iris: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(iris), MAX_VALUES):
        yield iris[start : start + MAX_VALUES]
