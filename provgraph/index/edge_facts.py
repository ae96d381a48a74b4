"""What the lineage index takes from one record's graph: edges between things, and facts about them.

An edge leads from what depends (`child`) to what it depends on (`parent`). Two kinds make up lineage
itself: `DERIVED` (prov:wasDerivedFrom) and `ABOUT` (an evaluation, approval, deployment or observation
and its model); the others say which activities stand between, and what else explains a thing.

A fact is a property that readers want beside a thing. Three are worked out of the whole record, since
what made a thing says them of itself: who answers for it (`owner`), when it was made (`time`), and which
projects' records speak of it (`in_project`).

No I/O here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from provgraph import vocab
from provgraph.terms import Term, literal_parts

# By the predicate; the number of each kind is its place. The first two are what a walk follows.
KINDS: Final = (
    f"{vocab.PROV}wasDerivedFrom",
    f"{vocab.PG}model",
    f"{vocab.PROV}wasGeneratedBy",
    f"{vocab.PROV}used",
    f"{vocab.PG}partOfRun",
    f"{vocab.PG}step",
    f"{vocab.PG}parentRun",
    f"{vocab.PG}resumes",
    f"{vocab.PG}environment",
    f"{vocab.PG}sourceCode",
    f"{vocab.PG}onApproval",
    f"{vocab.PG}deployment",
    f"{vocab.PROV}specializationOf",
    f"{vocab.PG}retracts",
    f"{vocab.PG}replaces",
)
DERIVED, ABOUT, GENERATED, USED, PART_OF_RUN = range(5)
LAST_WALKED: Final = ABOUT

# What readers want beside a thing, by property. Several properties can be one fact to them.
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
OWNER: Final = "owner"
TIME: Final = "time"
IN_PROJECT: Final = "in_project"
# The number of each fact is its place.
NAMES: Final = (*dict.fromkeys(FACTS.values()), OWNER, TIME, IN_PROJECT)
CODES: Final = {name: code for code, name in enumerate(NAMES)}

# Parts of a record that are nobody's lineage; a run has hundreds of them.
_PARTS: Final = frozenset(
    {f"<{vocab.PROV}{name}>" for name in ("Usage", "Generation", "Association", "Plan")}
    | {
        f"<{vocab.PG}{name}>"
        for name in (
            "Accelerator",
            "Filter",
            "Finding",
            "Key",
            "MetricSeries",
            "Missing",
            "Note",
            "Outcome",
            "Package",
        )
    }
)
_EDGE_CODES: Final = {f"<{iri}>": code for code, iri in enumerate(KINDS)}
_FACT_CODES: Final = {f"<{iri}>": CODES[name] for iri, name in FACTS.items()}
_TYPE: Final = f"<{vocab.RDF}type>"
_PROJECT: Final = f"<{vocab.PG}project>"
_BEGAN: Final = f"<{vocab.PROV}startedAtTime>"
_ENDED: Final = f"<{vocab.PROV}endedAtTime>"
_WANTED: Final = frozenset({*_EDGE_CODES, *_FACT_CODES, _ENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What one graph states. IRIs stand without brackets, literals as plain text."""

    edges: list[tuple[str, int, str]]  # child, kind, parent
    things: list[tuple[str, int, str]]  # thing, fact, IRI
    texts: list[tuple[str, int, str]]  # thing, fact, text

    def iris(self) -> Iterable[str]:
        """Yield every IRI in it, in an order that depends on nothing but the graph."""
        for child, _, parent in self.edges:
            yield child
            yield parent
        for thing, _, value in self.things:
            yield thing
            yield value
        for thing, _, _ in self.texts:
            yield thing


def read_graph(graph_nq: bytes) -> Stated:
    """Read a canonical graph, as the ledger keeps it."""
    edges: list[tuple[str, int, str]] = []
    said: list[tuple[str, str, str]] = []
    types: dict[str, set[str]] = defaultdict(set)
    lines = graph_nq.decode().split("\n")
    lines.pop()
    if lines:
        # Every line ends with the name of the graph, and none holds a space that is no literal's.
        cut = -len(lines[0]) + lines[0].rindex(" <")
        for line in lines:
            subject, predicate, rest = line.split(" ", 2)
            if predicate not in _WANTED:
                continue
            value = rest[:cut]
            if predicate in _EDGE_CODES and value[0] == "<":
                edges.append((subject[1:-1], _EDGE_CODES[predicate], value[1:-1]))
            if predicate == _TYPE:
                types[subject].add(value)
            said.append((subject, predicate, value))
    on_edges = {iri for child, _, parent in edges for iri in (child, parent)}
    things: list[tuple[str, int, str]] = []
    texts: list[tuple[str, int, str]] = []
    for subject, predicate, value in said:
        code = _FACT_CODES.get(predicate)
        iri = subject[1:-1]
        if code is None or (iri not in on_edges and types.get(subject, _PARTS) <= _PARTS):
            continue
        if value[0] == "<":
            things.append((iri, code, value[1:-1]))
        else:
            texts.append((iri, code, literal_parts(Term(value))[0]))
    _add_worked_out(edges, said, on_edges, things=things, texts=texts)
    return Stated(edges=edges, things=things, texts=texts)


def _add_worked_out(
    edges: list[tuple[str, int, str]],
    said: list[tuple[str, str, str]],
    on_edges: set[str],
    *,
    things: list[tuple[str, int, str]],
    texts: list[tuple[str, int, str]],
) -> None:
    agents: dict[str, list[str]] = defaultdict(list)
    for thing, code, value in things:
        if code == CODES["by"]:
            agents[thing].append(value)
    own_time: dict[str, str] = {}
    for thing, code, value in texts:
        if code == CODES["at"]:
            own_time.setdefault(thing, value)
    times: dict[str, str] = {}
    for subject, predicate, value in said:
        if predicate == _ENDED or (predicate == _BEGAN and subject[1:-1] not in times):
            times[subject[1:-1]] = literal_parts(Term(value))[0] if value[0] == '"' else value
    made_by: dict[str, list[str]] = defaultdict(list)
    part_of: dict[str, list[str]] = defaultdict(list)
    for child, kind, parent in edges:
        if kind == GENERATED:
            made_by[child].append(parent)
        elif kind == PART_OF_RUN:
            part_of[child].append(parent)
    projects = sorted({v for _, p, v in said if p == _PROJECT and v[0] == '"'})
    for thing in sorted(on_edges):
        acts = [thing, *made_by[thing]]
        around = [run for act in acts for run in part_of[act]]
        owners = {agent for act in (*acts, *around) for agent in agents[act]}
        things.extend((thing, CODES[OWNER], owner) for owner in sorted(owners))
        time = own_time.get(thing) or next((times[a] for a in acts if a in times), None)
        if time is not None:
            texts.append((thing, CODES[TIME], time))
        texts.extend((thing, CODES[IN_PROJECT], literal_parts(Term(p))[0]) for p in projects)
