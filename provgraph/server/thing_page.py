"""The page about one thing: names first, then what is recorded, what is not, and what that rests on.

Everything on it comes from what the caller sees, as of the size that the page names: the statements from
the SPARQL index, what is around the thing from the lineage index, the seals from the ledger's bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from provgraph import terms, vocab
from provgraph.index.edge_facts import ABOUT, DERIVED, GENERATED, KINDS, USED
from provgraph.index.store import Row, is_plain_iri
from provgraph.query import erasures
from provgraph.query.answer_json import native
from provgraph.query.answers import found_rows, labels_of
from provgraph.query.catalogue import find
from provgraph.query.completeness import Absent, completeness_of
from provgraph.query.erasures import Erasure
from provgraph.query.lineage import Node, Select, described, plain
from provgraph.query.lineage_graph import Columns, LineageGraph
from provgraph.query.seals import VERIFIED, SealState, seal_states
from provgraph.server.asked import Seen, seeing
from provgraph.server.endpoints import Call
from provgraph.server.headers import LEDGER_SIZE_HEADER
from provgraph.server.pages import kind_words, page
from provgraph.server.problems import HttpError
from provgraph.server.walking import with_lineage

MAX_OWN: Final = 1500
MAX_INCOMING: Final = 60
MAX_RECORDS: Final = 100
MAX_RELATED: Final = 40
# Counted no further: a page says "10,000 or more".
MAX_COUNTED: Final = 10_000

OWN: Final = f"""SELECT ?s ?p ?o WHERE {{{{
  {{{{ BIND({{it}} AS ?s) ?s ?p ?o }}}}
  UNION {{{{ {{it}} ?any ?s . FILTER(STRSTARTS(STR(?s), CONCAT(STR({{it}}), "#"))) ?s ?p ?o }}}}
}}}} LIMIT {MAX_OWN}"""
_INCOMING: Final = f"SELECT ?p ?s WHERE {{{{ ?s ?p {{it}} }}}} LIMIT {MAX_INCOMING + 1}"
_RECORDS: Final = (
    f"SELECT DISTINCT ?g WHERE {{{{ GRAPH ?g {{{{ {{it}} ?p ?o }}}} }}}} LIMIT {MAX_RECORDS + 1}"
)
_HIDDEN: Final = frozenset({f"{vocab.RDFS}label", f"{vocab.RDF}type"})
_QUALIFIED: Final = f"{vocab.PROV}qualified"
_WORDED: Final = frozenset({"pg", "prov", "dcterms", "dc", "rdf", "rdfs"})
_VERSION: Final = KINDS.index(f"{vocab.PROV}specializationOf")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What the index and the ledger say of a thing."""

    own: Sequence[Row]
    incoming: Sequence[Row]
    labels: Mapping[str, str]
    records: Sequence[SealState]
    more_records: bool
    absent: tuple[Absent, ...]
    erased: Mapping[str, tuple[Erasure, ...]]
    measured: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What the lineage index says of it and of what is around it."""

    node: Node
    columns: Columns | None
    up: int
    down: int
    related: Sequence[tuple[str, Sequence[tuple[str, Node, Columns | None]], bool]]


async def thing_page(call: Call, iri: str, *, path: str, links: str) -> Response:
    """Show what is recorded about a thing.

    Raises:
        HttpError: 404, nothing is.
    """
    as_of = call.request.query_params.get("as-of", "").strip() or None
    async with seeing(call, as_of) as (run, _, size):
        said: _Said = await run(lambda seen: _say(seen, iri))
        if not said.own and not said.incoming and iri not in said.erased:
            raise HttpError(404, "Not found", f"nothing is recorded here about {iri}")
        around, _now = await with_lineage(
            call, lambda _select, graph: _look(_select, graph, iri), as_of=size
        )
    values = await asyncio.to_thread(_values, iri, said, around, path)
    values |= {"size": size, "as_of": as_of or "", "is_full": call.view.is_full}
    return page("thing.html", values, headers={"Link": links, LEDGER_SIZE_HEADER: str(size)})


def _say(seen: Seen, iri: str) -> _Said:
    it = terms.iri(iri)
    own = seen.ask(OWN.format(it=it)).rows
    incoming = seen.ask(_INCOMING.format(it=it)).rows
    records = [plain(row[0]) for row in seen.ask(_RECORDS.format(it=it)).rows if row[0] is not None]
    if seen.entries.find(iri) is not None:
        records = [iri, *(each for each in records if each != iri)]
    kinds = {
        row[2][1:-1] for row in own if row[0] == it and row[1] == f"<{vocab.RDF}type>" and row[2]
    }
    measured: list[Mapping[str, Any]] = []
    if f"{vocab.PG}Model" in kinds:
        _, table = found_rows(seen.asked(find("Q15"), {"model": iri}, page=(0, 100)))
        measured = [
            {name: native(term) for name, term in zip(table.columns, row, strict=True)}
            for row in table.rows[:100]
        ]
    iris = {cell[1:-1] for row in (*own, *incoming) for cell in row if cell and cell[0] == "<"}
    wanted = filter(is_plain_iri, iris | {iri})
    return _Said(
        own=own,
        incoming=incoming,
        labels=labels_of(seen.ask, [*own, *incoming]),
        records=seal_states(seen.entries, seen.ledger.keys(), records[:MAX_RECORDS]),
        more_records=len(records) > MAX_RECORDS,
        absent=completeness_of(seen.ask, columns=(), required=(), rows=(), given=[iri]).absent,
        erased=erasures.erasures_of(seen.now, wanted, tombstones=seen.tombstones)
        if seen.tombstones
        else {},
        measured=measured,
    )


def _look(_select: Select, graph: LineageGraph, iri: str) -> _Around:
    ids = graph.file.ids([iri])
    node = described(graph, [iri])[iri]
    if iri not in ids:
        return _Around(node=node, columns=None, up=0, down=0, related=())
    number = ids[iri]
    counts = []
    for up in (True, False):
        levels, _ = graph.levels({number}, up=up, max_things=MAX_COUNTED)
        counts.append(sum(map(len, levels)) - 1)
    related = []
    versions = _at(graph, {number}, kinds=(_VERSION,), up=True)
    named = _at(graph, versions, kinds=(_VERSION,), up=True) or versions
    below = _at(graph, named | {number}, kinds=(_VERSION,), up=False)
    said = _at(graph, {number}, kinds=(ABOUT,), up=False)
    others = below | _at(graph, below, kinds=(_VERSION,), up=False)
    for title, found in (
        ("Made by", _at(graph, {number}, kinds=(GENERATED,), up=True)),
        ("Made from", _at(graph, {number}, kinds=(DERIVED, ABOUT), up=True)),
        ("It used", _at(graph, {number}, kinds=(USED,), up=True)),
        ("It made", _at(graph, {number}, kinds=(GENERATED,), up=False)),
        ("Used by", _at(graph, {number}, kinds=(USED,), up=False) - said),
        ("Made from it", _at(graph, {number}, kinds=(DERIVED,), up=False) - said),
        ("What was said and done later", said),
        ("Names and versions", (versions | named | others) - {number}),
    ):
        is_cut = len(found) > MAX_RELATED
        chosen = sorted(found)[-MAX_RELATED:]
        names = graph.file.iris(chosen)
        nodes = described(graph, names.values())
        columns = graph.columns(names.values())
        rows = [(each, nodes[each], columns.get(each)) for each in names.values()]
        rows.sort(key=lambda row: (_time(row[2]) or "~", row[1].title, row[0]))
        if rows:
            related.append((title, rows, is_cut))
    return _Around(
        node=node,
        columns=graph.columns([iri]).get(iri),
        up=counts[0],
        down=counts[1],
        related=related,
    )


def _at(graph: LineageGraph, ids: Iterable[int], *, kinds: tuple[int, ...], up: bool) -> set[int]:
    edges = graph.file.edges_at(set(ids), up=up, kinds=kinds, as_of=graph.as_of, limit=MAX_COUNTED)
    return {edge.parent if up else edge.child for edge in edges}


def _time(columns: Columns | None) -> str | None:
    return columns.time[0] if columns is not None and columns.time else None


# ---- what the template shows ------------------------------------------------------------------------
def _values(iri: str, said: _Said, around: _Around, path: str) -> dict[str, Any]:
    it = f"<{iri}>"
    types = [
        row[2][1:-1]
        for row in said.own
        if row[0] == it and row[1] == f"<{vocab.RDF}type>" and row[2]
    ]
    kind = around.node.kind or next(
        (each.removeprefix(vocab.PG) for each in types if each.startswith(vocab.PG)), ""
    )
    title = around.node.title or said.labels.get(iri) or iri.removeprefix(vocab.ID)
    facts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    parts: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for subject, predicate, value in sorted(said.own, key=lambda row: (row[0] or "", row[1] or "")):
        if subject is None or predicate is None or value is None:
            continue
        cell = _cell(value, said, own=iri)
        if subject != it:
            parts[subject[1:-1].removeprefix(iri)].append((_term(predicate), cell))
        elif not (
            predicate[1:-1] in _HIDDEN or predicate[1:].startswith(_QUALIFIED) or cell["is_part"]
        ):
            facts[_term(predicate)].append(cell)
    incoming = [
        {"predicate": _term(predicate), **_cell(subject, said, own=iri)}
        for predicate, subject in said.incoming[:MAX_INCOMING]
        if predicate is not None and subject is not None and not subject.startswith(f"<{iri}#")
    ]
    states = Counter(each.state for each in said.records)
    by = around.columns
    query = OWN.format(it=terms.iri(iri))
    return {
        "iri": iri,
        "path": path,
        "title": title,
        "kind": kind,
        "types": [_term(f"<{each}>") for each in types],
        "facts": sorted(facts.items()),
        "parts": list(parts.items())[:60],
        "more_parts": max(0, len(parts) - 60),
        "is_cut": len(said.own) >= MAX_OWN,
        "incoming": incoming,
        "more_incoming": len(said.incoming) > MAX_INCOMING,
        "erased": [f"{each}" for each in said.erased.get(iri, ())],
        "absent": said.absent,
        "records": [
            {"seal": each, "title": said.labels.get(each.record) or _short(each.record)}
            for each in said.records
        ],
        "more_records": said.more_records,
        "states": sorted(states.items()),
        "is_verified": bool(said.records) and states.keys() <= {VERIFIED},
        "up": around.up,
        "down": around.down,
        "most": MAX_COUNTED,
        "related": [
            (name, [_related(*row) for row in rows], is_cut)
            for name, rows, is_cut in around.related
        ],
        "timeline": _timeline(around),
        "measured": [{**each, "bar": interval_bar(each)} for each in said.measured],
        "owner": ", ".join(by.owners) if by else "",
        "projects": by.projects if by else (),
        "licence": ", ".join(_last(each) for each in by.licence) if by else "",
        "time": _time(by),
        "query": query,
    }


def _related(iri: str, node: Node, columns: Columns | None) -> dict[str, Any]:
    fact = _fact(node)
    kind = kind_words(node.kind)
    return {
        "iri": iri,
        "title": node.title or fact or (kind.capitalize() if kind else _short(iri)),
        "kind": kind,
        "is_restricted": not node.facts,
        "time": _time(columns),
        "owner": ", ".join(columns.owners) if columns else "",
        "fact": fact if node.title else "",
    }


def _fact(node: Node) -> str:
    """Return what an act without a name is known by: `roc_auc 0.98`, `production`, `fit for use`."""
    value = node.fact("value")
    with contextlib.suppress(ValueError):
        value = f"{float(value):.5g}" if value is not None else None
    said = (node.fact("metric"), value, *map(node.fact, ("stage", "meaning", "status")))
    return " ".join(dict.fromkeys(filter(None, said)))


def _timeline(around: _Around) -> list[dict[str, Any]]:
    rows = []
    if (time := _time(around.columns)) is not None:
        rows.append({"time": time, "what": "made", "iri": around.node.iri, "title": "", "fact": ""})
    for name, found, _ in around.related:
        if name in {"What was said and done later", "Used by", "Made from it"}:
            rows += [
                {**shown, "what": shown["kind"] or name.lower()}
                for shown in (_related(*row) for row in found)
                if shown["time"]
            ]
    rows.sort(key=lambda row: str(row["time"]))
    return rows[-30:] if len(rows) > 1 else []


def _cell(term: terms.Term, said: _Said, *, own: str) -> dict[str, Any]:
    if term[0] != "<":
        value = native(term)
        return {
            "text": "" if value is None else str(value),
            "iri": None,
            "is_part": False,
            "erased": (),
        }
    iri = term[1:-1]
    return {
        "text": said.labels.get(iri) or _short(iri),
        "iri": iri,
        "is_part": iri.startswith(f"{own}#"),
        "erased": [str(each) for each in said.erased.get(iri, ())] if iri != own else (),
    }


def _term(predicate: str) -> str:
    """Return a property as people read it: `prov:wasDerivedFrom` is "was derived from"."""
    short = _short(predicate[1:-1])
    prefix, colon, local = short.partition(":")
    if not colon or prefix not in _WORDED:
        return short
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", local).lower()


def _short(iri: str) -> str:
    for prefix, namespace in vocab.PREFIXES.items():
        if iri.startswith(namespace) and prefix != "id":
            return f"{prefix}:{iri.removeprefix(namespace)}"
    return iri.removeprefix(vocab.ID)


def _last(iri: str) -> str:
    return iri.rstrip("/").rsplit("/", 1)[-1]


def interval_bar(row: Mapping[str, Any]) -> dict[str, float] | None:
    """Return where value, interval and threshold stand on a bar of 100, None without numbers."""
    numbers: dict[str, float] = {}
    for name in ("value", "low", "high", "threshold"):
        try:
            numbers[name] = float(str(row.get(name)))
        except ValueError:
            continue
    if "value" not in numbers:
        return None
    least, most = min(numbers.values()), max(numbers.values())
    if least >= 0 and most <= 1:
        least, most = 0.0, 1.0
    span = (most - least) or 1.0
    return {name: round(4 + 92 * (each - least) / span, 1) for name, each in numbers.items()}
