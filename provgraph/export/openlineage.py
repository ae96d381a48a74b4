"""OpenLineage events of what is recorded, as JSON Lines: for Marquez, DataHub and other catalogues.

Specification: OpenLineage 2-0-2 with its facets and naming rules. Of each run there is a START, and a
COMPLETE, FAIL or ABORT where its end is recorded; what its steps used and made is the run's. A derivation is
stated in the `lineage` facet of what was made, never left to be guessed from inputs and outputs. A run that
came in as OpenLineage goes out as the events that it came in as.

Data goes by where it is, as the naming rules ask; its digest is its version. What has no place goes by its
name here.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from provgraph import terms, vocab
from provgraph.terms import Term
from provgraph.vocab import LABEL, PROV_T, A, C, P

PRODUCER: Final = "https://w3id.org/provgraph/releases/0.1"
_SPEC: Final = "https://openlineage.io/spec"
_SCHEMA: Final = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_ENDS: Final = {"completed": "COMPLETE", "failed": "FAIL", "abandoned": "ABORT"}
_FACETS: Final = {
    "parent": "1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
    "executionParameters": (
        "1-0-0/ExecutionParametersRunFacet.json#/$defs/ExecutionParametersRunFacet"
    ),
    "sourceCodeLocation": "1-1-0/SourceCodeLocationJobFacet.json#/$defs/SourceCodeLocationJobFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
    "documentation": "1-1-0/DocumentationDatasetFacet.json#/$defs/DocumentationDatasetFacet",
    "lineage": "1-0-0/LineageFacet.json#/$defs/LineageDatasetFacet",
    "datasetType": "1-0-1/DatasetTypeDatasetFacet.json#/$defs/DatasetTypeDatasetFacet",
    "outputStatistics": (
        "1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet"
    ),
}
_PLACE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)(/.*)?", re.DOTALL)

Facts = dict[Term, list[Term]]


@dataclass(slots=True)
class Events:
    """Events in the order of their times, and what they could not carry."""

    lines: list[bytes] = field(default_factory=list)
    without_start: int = 0
    left_out: set[str] = field(default_factory=set)


def events_of(
    graphs: Iterable[bytes], *, namespace: str, kept_events: Callable[[str], Sequence[bytes]]
) -> Events:
    """Write the runs in some graphs as events.

    Args:
        graphs: of records, canonical.
        namespace: of jobs whose runs have no project.
        kept_events: the events that a record, by IRI, was made of.
    """
    found: dict[Term, Facts] = defaultdict(lambda: defaultdict(list))
    said_by: dict[Term, Term] = {}
    for graph in graphs:
        for subject, predicate, value, name in terms.parse_lines(graph):
            if value not in found[subject][predicate]:
                found[subject][predicate].append(value)
            if predicate == A and value == C["Run"]:
                said_by[subject] = name
    flows = {subject for subject, facts in found.items() if C["FlowRecord"] in facts[A]}
    dated: list[tuple[str, bytes]] = []
    out = Events()
    for run, record in said_by.items():
        if record in flows:
            lines = kept_events(record[1:-1])
            dated += [(str(json.loads(line)["eventTime"]), line) for line in lines]
            continue
        writer = _Run(found, run, namespace=namespace)
        if writer.started is None:
            out.without_start += 1
            continue
        for event in writer.events():
            line = json.dumps(event, sort_keys=True, ensure_ascii=False).encode()
            dated.append((event["eventTime"], line))
        out.left_out |= writer.left_out
    out.lines = [line for _, line in sorted(dated, key=lambda each: each[0])]
    return out


class _Run:
    def __init__(self, found: dict[Term, Facts], run: Term, *, namespace: str) -> None:
        self._found = found
        self._run = run
        self._own = found[run]
        self._namespace = namespace
        self._activities = [run, *self._own.get(P["step"], ())]
        for step in self._activities:  # steps inside of steps come as the list grows
            self._activities += [
                each for each in found[step].get(P["step"], ()) if each not in self._activities
            ]
        self.started = self._text(self._own, PROV_T["startedAtTime"])
        self.left_out: set[str] = set()

    def events(self) -> list[dict[str, Any]]:
        """Return its START, and its end where that is recorded."""
        status = self._text(self._own, P["status"]) or ""
        inputs = [self._dataset(each) for each in self._used()]
        start = self._event("START", self.started or "")
        start["inputs"] = inputs
        ended = self._text(self._own, PROV_T["endedAtTime"])
        if ended is None or status not in _ENDS:
            return [start]
        end = self._event(_ENDS[status], ended)
        end["inputs"] = inputs
        end["outputs"] = [self._output(each) for each in self._made()]
        reason = self._text(self._own, P["reason"])
        if status == "failed" and reason is not None:
            end["run"]["facets"]["errorMessage"] = _facet(
                "errorMessage", message=reason, programmingLanguage="unknown"
            )
        return [start, end]

    def _event(self, type_: str, time: str) -> dict[str, Any]:
        job_facets, run_facets = {}, {}
        for source in self._own.get(P["sourceCode"], ()):
            facts = self._found[source]
            url, commit = self._text(facts, P["repository"]), self._text(facts, P["commit"])
            if url is not None and _PLACE.match(url):
                rest = {"version": commit, "branch": self._text(facts, P["branch"])}
                given = {name: value for name, value in rest.items() if value is not None}
                job_facets["sourceCodeLocation"] = _facet(
                    "sourceCodeLocation", type="git", url=url, repoUrl=url, **given
                )
        if (parameters := self._parameters()) != []:
            run_facets["executionParameters"] = _facet("executionParameters", parameters=parameters)
        for parent in self._own.get(P["parentRun"], ())[:1]:
            run_facets["parent"] = _facet(
                "parent", run={"runId": _run_id(parent)}, job=self._job(parent)
            )
        self._note_left_out()
        return {
            "eventType": type_,
            "eventTime": time,
            "producer": PRODUCER,
            "schemaURL": _SCHEMA,
            "run": {"runId": _run_id(self._run), "facets": run_facets},
            "job": {**self._job(self._run), "facets": job_facets},
            "inputs": [],
            "outputs": [],
        }

    def _job(self, run: Term) -> dict[str, Any]:
        facts = self._found[run]
        name = self._text(facts, LABEL) or run[1:-1].rpartition("/")[2]
        return {"namespace": self._text(facts, P["project"]) or self._namespace, "name": name}

    def _parameters(self) -> list[dict[str, Any]]:
        rows = []
        for node in self._own.get(P["parameters"], ()):
            for predicate, values in self._found[node].items():
                if predicate.startswith(f"<{vocab.PARAM}"):
                    name = unquote(predicate[1:-1].removeprefix(vocab.PARAM))
                    rows += [
                        {"key": name, "name": name, "value": terms.literal_parts(value)[0]}
                        for value in values
                    ]
        return sorted(rows, key=lambda each: each["name"])

    def _used(self) -> list[Term]:
        made = set(self._made())
        used = (
            each
            for activity in self._activities
            for each in self._found[activity].get(PROV_T["used"], ())
        )
        return [each for each in dict.fromkeys(used) if self._is_data(each) and each not in made]

    def _made(self) -> list[Term]:
        activities = set(self._activities)
        return sorted(
            subject
            for subject, facts in list(self._found.items())
            if activities & set(facts.get(PROV_T["wasGeneratedBy"], ())) and self._is_data(subject)
        )

    def _is_data(self, thing: Term) -> bool:
        types = self._found[thing].get(A, ())
        return any(C[name] in types for name in ("Dataset", "Model", "File", "FeatureSet"))

    def _name(self, thing: Term) -> dict[str, str]:
        facts = self._found[thing]
        for place in facts.get(PROV_T["atLocation"], [thing]):
            match = _PLACE.fullmatch(unquote(place[1:-1]))
            if match is None or place.startswith(f"<{vocab.BASE}"):
                continue
            scheme, host, path = match[1], match[2], match[3] or "/"
            if scheme == "file":
                return {"namespace": "file", "name": path}
            return {"namespace": f"{scheme}://{host}", "name": path.lstrip("/") or "/"}
        label = self._text(facts, LABEL) or thing[1:-1].removeprefix(vocab.ID)
        return {"namespace": self._namespace, "name": label}

    def _dataset(self, thing: Term) -> dict[str, Any]:
        facts = self._found[thing]
        facets: dict[str, Any] = {}
        digest = self._text(facts, P["digest"])
        if digest is not None:
            facets["version"] = _facet("version", datasetVersion=digest)
        description = self._text(facts, vocab.DESCRIPTION)
        if description is not None:
            facets["documentation"] = _facet("documentation", description=description)
        if C["Model"] in facts.get(A, ()):
            facets["datasetType"] = _facet("datasetType", datasetType="MODEL")
        return {**self._name(thing), "facets": facets}

    def _output(self, thing: Term) -> dict[str, Any]:
        row = self._dataset(thing)
        facts = self._found[thing]
        # What is stated, or stated to be nothing: an empty list says so.
        sources = [
            {**self._name(each), "type": "DATASET"}
            for each in facts.get(PROV_T["wasDerivedFrom"], ())
        ]
        row["facets"]["lineage"] = _facet("lineage", inputs=sources)
        numbers = {
            key: int(text)
            for key, name in (
                ("rowCount", "rowCount"),
                ("size", "sizeBytes"),
                ("fileCount", "fileCount"),
            )
            if (text := self._text(facts, P[name])) is not None
        }
        if numbers:
            row["outputFacets"] = {"outputStatistics": _facet("outputStatistics", **numbers)}
        return row

    def _text(self, facts: Facts, predicate: Term) -> str | None:
        for value in facts.get(predicate, ()):
            if terms.is_literal(value):
                return terms.literal_parts(value)[0]
        return None

    def _note_left_out(self) -> None:
        for predicate, what in (
            (P["environment"], "environments"),
            (P["metrics"], "metrics and evaluations"),
            (P["step"], "steps: what they used and made is the run's"),
            (P["missing"], "unknowns"),
            (PROV_T["wasAssociatedWith"], "who answers for a run"),
        ):
            if self._own.get(predicate):
                self.left_out.add(what)


def _facet(name: str, **said: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{_SPEC}/facets/{_FACETS[name]}", **said}


def _run_id(run: Term) -> str:
    """Return a run's own UUID, or one made of its name, the same each time."""
    text = unquote(run[1:-1].rpartition("/")[2]).removeprefix("openlineage-")
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, run[1:-1]))
