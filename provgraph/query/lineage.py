"""Lineage walks: what a thing was made from, and what was made from it, level by level.

Every level is three flat queries over `VALUES` blocks of at most 500 IRIs; the walk itself is here,
so it ends on cycles and never depends on property paths. Activities stand between entities where
they are known: a model <- the run that made it <- what that run used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from provgraph import vocab
from provgraph.index.store import MAX_VALUES, Solutions, values_block
from provgraph.terms import Term, literal_parts

Select = Callable[[str], Solutions]

# A walk over more nodes than this is an export, not something a person reads.
MAX_NODES: Final = 200_000

_UP: Final = """PREFIX prov: <http://www.w3.org/ns/prov#>
SELECT DISTINCT ?from ?to ?via WHERE {{ {values}
  {{ ?from prov:wasDerivedFrom ?to }} UNION {{ ?from prov:wasGeneratedBy ?via }}
}}"""
_DOWN: Final = """PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX pg: <https://w3id.org/provgraph/ns#>
SELECT DISTINCT ?from ?to ?via WHERE {{ {values}
  {{ ?to prov:wasDerivedFrom ?from }} UNION {{ ?to pg:model ?from }}
}}"""
_DESCRIBE: Final = """PREFIX pg: <https://w3id.org/provgraph/ns#>
SELECT DISTINCT ?it ?p ?o WHERE {{ {values} ?it ?p ?o . FILTER(?p IN ({properties})) }}"""
_USED: Final = """PREFIX prov: <http://www.w3.org/ns/prov#>
SELECT DISTINCT ?activity ?entity ?role WHERE {{ {values}
  {{ ?activity prov:used ?entity }} UNION
  {{ ?activity prov:qualifiedUsage ?u . ?u prov:entity ?entity . ?u prov:hadRole ?role }}
}} ORDER BY ?role"""

FACTS: Final = {
    f"{vocab.RDF}type": "types",
    f"{vocab.RDFS}label": "label",
    f"{vocab.DCTERMS}description": "description",
    f"{vocab.PG}digest": "digest",
    f"{vocab.PG}rowCount": "rows",
    f"{vocab.PG}columnCount": "columns",
    f"{vocab.PG}project": "project",
    f"{vocab.PG}status": "status",
    f"{vocab.PG}reason": "reason",
    f"{vocab.PG}stage": "stage",
    f"{vocab.PG}target": "target",
    f"{vocab.PG}meaning": "meaning",
    f"{vocab.PG}model": "model",
    f"{vocab.PG}metricName": "metric",
    f"{vocab.PG}value": "value",
    f"{vocab.PG}slice": "slice",
    f"{vocab.DCTERMS}license": "licence",
    f"{vocab.DC}rights": "licence",
    f"{vocab.DCTERMS}source": "source",
    f"{vocab.DC}source": "source",
    f"{vocab.PROV}startedAtTime": "at",
    f"{vocab.PROV}generatedAtTime": "at",
    f"{vocab.PROV}wasAssociatedWith": "by",
    f"{vocab.PROV}wasAttributedTo": "by",
    f"{vocab.PROV}wasInvalidatedBy": "invalidated",
    f"{vocab.PROV}specializationOf": "version_of",
    f"{vocab.PG}partOfRun": "run",
}


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


def upstream(
    select: Select,
    roots: Sequence[str],
    *,
    max_depth: int | None = None,
    max_nodes: int = MAX_NODES,
) -> Lineage:
    """Walk to everything that the roots were made from."""
    return _walk(select, roots, _UP, upwards=True, max_depth=max_depth, max_nodes=max_nodes)


def downstream(
    select: Select,
    roots: Sequence[str],
    *,
    max_depth: int | None = None,
    max_nodes: int = MAX_NODES,
) -> Lineage:
    """Walk to everything that was made from the roots, deployments and approvals included."""
    return _walk(select, roots, _DOWN, upwards=False, max_depth=max_depth, max_nodes=max_nodes)


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


def _walk(
    select: Select,
    roots: Sequence[str],
    query: str,
    *,
    upwards: bool,
    max_depth: int | None,
    max_nodes: int,
) -> Lineage:
    seen = set(roots)
    level = sorted(seen)
    edges: set[tuple[str, str]] = set()
    made_by: dict[str, set[str]] = defaultdict(set)
    depth = 0
    is_cut = False
    while level and (max_depth is None or depth < max_depth):
        following: set[str] = set()
        for block in _blocks(level):
            for start, end, via in select(query.format(values=values_block("from", block))).rows:
                if start is None:
                    continue
                if via is not None:
                    made_by[start[1:-1]].add(via[1:-1])
                if end is not None:
                    pair = (start[1:-1], end[1:-1])
                    edges.add(pair if upwards else (pair[1], pair[0]))
                    following.add(end[1:-1])
        level = sorted(following - seen)
        seen |= following
        depth += 1
        if len(seen) > max_nodes:
            is_cut = True
            break
    if level and not is_cut:
        # A limit of depth cuts only where something lies beyond it.
        queries = (query.format(values=values_block("from", block)) for block in _blocks(level))
        is_cut = any(end is not None for each in queries for _, end, _ in select(each).rows)
    if upwards:
        roles = usage_roles(select, {each for made in made_by.values() for each in made})
        used = set(roles)
    else:
        used = set()
    result = tuple(
        Edge(
            child=child,
            parent=parent,
            activities=tuple(
                sorted(each for each in made_by.get(child, ()) if (each, parent) in used)
            ),
        )
        for child, parent in sorted(edges)
    )
    activities = {each for made in made_by.values() for each in made}
    return Lineage(
        roots=tuple(roots),
        nodes=describe(select, seen | activities),
        edges=result,
        is_cut=is_cut,
    )


def _blocks(iris: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(iris), MAX_VALUES):
        yield iris[start : start + MAX_VALUES]
