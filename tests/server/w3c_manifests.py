"""W3C's HTTP test manifests as requests and expectations (vocabularies ht:, cnt:, mf:, ut:)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyoxigraph as ox

SUITE = Path(__file__).resolve().parents[3] / "shared/suites/sparql11/sparql/sparql11"

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_RDFS = "http://www.w3.org/2000/01/rdf-schema#"
_MF = "http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#"
_HT = "http://www.w3.org/2011/http#"
_CNT = "http://www.w3.org/2011/content#"
_UT = "http://www.w3.org/2009/sparql/tests/test-update#"

_CLASSES = {"StatusCode2xx": 2, "StatusCode3xx": 3, "StatusCode4xx": 4, "StatusCode5xx": 5}
_CODES = {"OK": 200, "Created": 201, "NoContent": 204, "BadRequest": 400, "NotFound": 404}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request, and what its response must be like."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    statuses: frozenset[str]  # "2xx" or "404"
    boolean: bool | None
    format: str | None  # boolean | tabular | RDF

    def accepts(self, status: int) -> bool:
        """Whether the status is one of those that may come back."""
        return bool({str(status), f"{status // 100}xx"} & self.statuses)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCase:
    """A test: its exchanges in order, and the graphs that must be there before."""

    name: str
    exchanges: tuple[Exchange, ...]
    data: Mapping[str, Path]  # graph IRI -> N-Triples file


class _Graph:
    def __init__(self, path: Path) -> None:
        self._store = ox.Store()
        base = "http://www.w3.org/2009/sparql/docs/tests/manifest"
        self._store.load(path=str(path), format=ox.RdfFormat.TURTLE, base_iri=base)

    def values(self, subject, iri):
        quads = self._store.quads_for_pattern(subject, ox.NamedNode(iri), None)
        return [quad.object for quad in quads]

    def value(self, subject, iri):
        return next(iter(self.values(subject, iri)), None)

    def text(self, subject, iri):
        value = self.value(subject, iri)
        return None if value is None else value.value

    def items(self, head):
        while head is not None and head.value != _RDF + "nil":
            yield self.value(head, _RDF + "first")
            head = self.value(head, _RDF + "rest")

    def subjects(self, type_iri):
        quads = self._store.quads_for_pattern(
            None, ox.NamedNode(_RDF + "type"), ox.NamedNode(type_iri)
        )
        return [quad.subject for quad in quads]


def http_cases(path: Path, kind: str) -> list[HttpCase]:
    """Read the tests of a kind (`ProtocolTest`) from a manifest, by name."""
    graph = _Graph(path)
    found = []
    for subject in graph.subjects(_MF + kind):
        action = graph.value(subject, _MF + "action")
        requests = [
            request
            for item in graph.values(action, _HT + "requests")
            for request in graph.items(item)
        ]
        data = {}
        for each in graph.values(subject, _UT + "graphData"):
            file = graph.value(each, _UT + "graph").value.rsplit("/", 1)[-1]
            data[graph.text(each, _RDFS + "label")] = path.parent / file
        found.append(
            HttpCase(
                name=subject.value.rsplit("#", 1)[-1],
                exchanges=tuple(_exchange(graph, request) for request in requests),
                data=data,
            )
        )
    return sorted(found, key=lambda case: case.name)


def _exchange(graph: _Graph, request) -> Exchange:
    headers = {
        graph.text(each, _HT + "fieldName"): graph.text(each, _HT + "fieldValue")
        for each in graph.items(graph.value(request, _HT + "headers"))
    }
    body = None
    content = graph.value(request, _HT + "body")
    if content is not None:
        encoding = graph.text(content, _CNT + "characterEncoding") or "UTF-8"
        body = graph.text(content, _CNT + "chars").encode(encoding)
    response = graph.value(request, _HT + "resp")
    statuses = set()
    for each in graph.values(response, _MF + "expectedStatus"):
        name = each.value.rsplit("#", 1)[-1]
        statuses.add(f"{_CLASSES[name]}xx" if name in _CLASSES else str(_CODES[name]))
    boolean = graph.text(response, _MF + "expectedBoolean")
    return Exchange(
        method=graph.text(request, _HT + "methodName"),
        path=graph.text(request, _HT + "absolutePath"),
        headers=headers,
        body=body,
        statuses=frozenset(statuses),
        boolean=None if boolean is None else boolean == "true",
        format=graph.text(response, _MF + "expectedFormat"),
    )
