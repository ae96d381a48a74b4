"""The facets of OpenLineage 2-0-2, one function each: what a facet says becomes facts of a flow.

A facet that is not listed, whose schema is of a later major version, or that is not as its schema has it,
stays in the source bytes only, and is named in the report. So does what is left of one of which only a part
has a place in PROV.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from provgraph.converters.openlineage.events import is_later
from provgraph.converters.report import Report
from provgraph.flows import Column, ColumnOrigin, FlowName
from provgraph.records import Agent, Note, Scalar

MAX_COLUMNS: Final = 10_000
# What is in a facet beside its facts.
_BASE: Final = frozenset({"_producer", "_schemaURL", "_deleted"})


@dataclass(slots=True)
class Said:
    """The facts that facets of one thing add up to; whoever asked takes those that apply to it."""

    texts: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Scalar] = field(default_factory=dict)
    owners: list[Agent] = field(default_factory=list)
    names: list[FlowName] = field(default_factory=list)  # alternates
    previous: FlowName | None = None
    sources: list[FlowName] = field(default_factory=list)
    origins: list[ColumnOrigin] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)  # that inform
    parent: str | None = None
    notes: list[Note] = field(default_factory=list)
    entries: list[tuple[FlowName, Said]] = field(default_factory=list)  # of other datasets


Reader = Callable[[Mapping[str, Any], Said], "frozenset[str] | set[str]"]
"""Reads a facet into `Said`; returns the keys of it that were not used."""


class NotAsSchemaError(Exception):
    """A facet is not as its schema has it."""


def read_facets(
    facets: Mapping[str, Any],
    said: Said,
    readers: Mapping[str, Reader],
    *,
    what: str,
    where: str,
    report: Report,
) -> list[str]:
    """Read facets; return the names of those that are kept as they came, wholly or in part."""
    kept = []
    for name, facet in facets.items():
        reader = readers.get(name)
        reason = None
        if reader is None:
            reason = "a facet that has no place in the graph"
        elif not isinstance(facet, dict):
            reason = "not as its schema has it: expected an object"
        elif is_later(facet.get("_schemaURL")):
            reason = "of a later major version of its schema"
        else:
            try:
                rest = reader(facet, said) - _BASE
            except NotAsSchemaError as error:
                reason = f"not as its schema has it: {error}"
            else:
                report.mapped(f"{what} facet")
                rest = {each for each in rest if facet.get(each) not in (None, [], {})}
                if rest:
                    reason = f"its {', '.join(sorted(rest))[:200]} has no place in the graph"
        if reason is not None:
            report.kept(f"{what} facet {name[:100]}", where=where, reason=reason)
            kept.append(f"{what}.{name}"[:200])
    return kept


# ---- reading values -----------------------------------------------------------------------------------
def _text(value: Mapping[str, Any], key: str) -> str | None:
    found = value.get(key)
    if found is None or found == "":
        return None
    if not isinstance(found, str):
        raise NotAsSchemaError(f"{key}: expected a text, found {type(found).__name__}")
    return found


def _number(value: Mapping[str, Any], key: str) -> int | None:
    found = value.get(key)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or found != found // 1:
        raise NotAsSchemaError(f"{key}: expected a whole number, found {found!r:.60}")
    return int(found)


def _rows(value: Mapping[str, Any], key: str) -> Iterator[dict[str, Any]]:
    found = value.get(key) or []
    if not isinstance(found, list):
        raise NotAsSchemaError(f"{key}: expected an array, found {type(found).__name__}")
    for row in found:
        if not isinstance(row, dict):
            raise NotAsSchemaError(f"{key}: expected objects, found {type(row).__name__}")
        yield row


def _name(value: Any) -> FlowName:
    namespace = value.get("namespace") if isinstance(value, dict) else None
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(namespace, str) or not isinstance(name, str) or not namespace or not name:
        raise NotAsSchemaError("expected a namespace and a name")
    return FlowName(namespace=namespace, name=name)


def _others(value: Mapping[str, Any], *used: str) -> frozenset[str]:
    return frozenset(value) - frozenset(used)


def _texts(**keys: str) -> Reader:
    """Read a facet of texts: its key -> ours."""

    def read(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
        for key, ours in keys.items():
            if (found := _text(facet, key)) is not None:
                said.texts[ours] = found
        return _others(facet, *keys)

    return read


def _numbers(**keys: str) -> Reader:
    def read(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
        for key, ours in keys.items():
            if (found := _number(facet, key)) is not None:
                said.numbers[ours] = found
        return _others(facet, *keys)

    return read


def _tagged(*keys: str, prefix: str) -> Reader:
    """Read texts that are worth asking for and have no term of their own, as tags `prefix.key`."""

    def read(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
        for key in keys:
            if (found := _text(facet, key)) is not None:
                said.tags[f"{prefix}.{key}"] = found
        return _others(facet, *keys)

    return read


# ---- of runs ------------------------------------------------------------------------------------------
def _parent(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    run = facet.get("run")
    said.parent = _text(run, "runId") if isinstance(run, dict) else None
    if said.parent is None:
        raise NotAsSchemaError("run: expected a runId")
    return _others(facet, "run", "job")


def _parameters(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    for row in _rows(facet, "parameters"):
        name = _text(row, "name") or _text(row, "key")
        value = row.get("value")
        if name is not None and isinstance(value, str | int | float | bool):
            said.parameters[name] = value
        elif name is not None and value is not None:
            said.parameters[name] = str(value)[:2000]
    return _others(facet, "parameters")


def _run_tags(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    for row in _rows(facet, "tags"):
        key, field_ = _text(row, "key"), _text(row, "field")
        if key is None:
            raise NotAsSchemaError("tags: expected a key")
        name = key if field_ is None else f"{field_}/{key}"
        said.tags[name] = str(row.get("value", ""))
    return _others(facet, "tags")


def _dependencies(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    for row in _rows(facet, "upstream"):
        run = row.get("run")
        if isinstance(run, dict) and (run_id := _text(run, "runId")) is not None:
            said.runs.append(run_id)
    return _others(facet, "upstream")


def _engine(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    name = _text(facet, "name") or "processing engine"
    version = _text(facet, "version")
    said.texts["engine"] = f"{name} {version}" if version is not None else name
    return _others(facet, "name", "version")


RUN: Final[Mapping[str, Reader]] = {
    "parent": _parent,
    "errorMessage": _texts(message="reason"),
    "tags": _run_tags,
    "executionParameters": _parameters,
    "processing_engine": _engine,
    "nominalTime": _tagged("nominalStartTime", "nominalEndTime", prefix="nominalTime"),
    "externalQuery": _tagged("externalQueryId", "source", prefix="externalQuery"),
    "jobDependencies": _dependencies,
}


# ---- of jobs -------------------------------------------------------------------------------------------
def _owners(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    for row in _rows(facet, "owners"):
        name = _text(row, "name")
        if name is None:
            raise NotAsSchemaError("owners: expected a name")
        kind = "organization" if name.startswith(("team:", "group:", "org:")) else "person"
        said.owners.append(Agent(name=name, kind=kind))
    return _others(facet, "owners")


def _code_location(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    for key, ours in (("version", "commit"), ("branch", "branch"), ("path", "path")):
        if (found := _text(facet, key)) is not None:
            said.texts[ours] = found
    url = _text(facet, "repoUrl") or _text(facet, "url")
    if url is not None:
        said.texts["repository"] = url
    return _others(facet, "type", "repoUrl", "url", "version", "branch", "path")


def _job_type(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    parts = [_text(facet, key) for key in ("integration", "jobType", "processingType")]
    said.texts["kind"] = " ".join(each for each in parts if each is not None)
    return _others(facet, "integration", "jobType", "processingType")


JOB: Final[Mapping[str, Reader]] = {
    "documentation": _texts(description="description", contentType="content type"),
    "sql": _texts(query="query", dialect="dialect"),
    "sourceCodeLocation": _code_location,
    "jobType": _job_type,
    "ownership": _owners,
    "tags": _run_tags,
}


# ---- of datasets ---------------------------------------------------------------------------------------
def _schema(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    columns: list[Column] = []
    stack = [("", row) for row in reversed(list(_rows(facet, "fields")))]
    while stack:
        prefix, row = stack.pop()
        name = _text(row, "name")
        if name is None:
            raise NotAsSchemaError("fields: expected a name")
        if len(columns) >= MAX_COLUMNS:
            raise NotAsSchemaError(f"fields: expected at most {MAX_COLUMNS}")
        columns.append(
            Column(
                name=prefix + name, type=_text(row, "type"), description=_text(row, "description")
            )
        )
        inner = list(_rows(row, "fields"))
        stack.extend((f"{prefix}{name}.", each) for each in reversed(inner))
    said.columns = columns
    return _others(facet, "fields")


def _symlinks(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    said.names.extend(_name(row) for row in _rows(facet, "identifiers"))
    return _others(facet, "identifiers")


def _lifecycle(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    state = _text(facet, "lifecycleStateChange")
    if state is not None:
        said.texts["state"] = state
    if isinstance(facet.get("previousIdentifier"), dict):
        said.previous = _name(facet["previousIdentifier"])
    return _others(facet, "lifecycleStateChange", "previousIdentifier")


def _transformations(row: Mapping[str, Any]) -> tuple[tuple[str, ...], bool | None]:
    found, masked = [], None
    for each in _rows(row, "transformations"):
        parts = [_text(each, "type"), _text(each, "subtype")]
        found.append("/".join(part for part in parts if part is not None))
        if isinstance(each.get("masking"), bool):
            masked = each["masking"] or bool(masked)
    # Before 1-1-0 of the facet there was one, as text.
    if not found and (kind := _text(row, "transformationType")) is not None:
        found.append(kind)
    return tuple(dict.fromkeys(found)), masked


def _origin(column: str | None, row: Mapping[str, Any], said: Said) -> None:
    transformations, masked = _transformations(row)
    source = _name(row)
    said.origins.append(
        ColumnOrigin(
            column=column,
            source=source,
            source_column=_text(row, "field"),
            transformations=transformations,
            is_masked=masked,
        )
    )
    said.sources.append(source)


def _column_lineage(facet: Mapping[str, Any], said: Said) -> frozenset[str]:
    fields = facet.get("fields") or {}
    if not isinstance(fields, dict):
        raise NotAsSchemaError("fields: expected an object")
    for column, entry in fields.items():
        if not isinstance(entry, dict):
            raise NotAsSchemaError(f"fields/{column[:80]}: expected an object")
        for row in _rows(entry, "inputFields"):
            _origin(column, row, said)
    for row in _rows(facet, "dataset"):
        _origin(None, row, said)
    return _others(facet, "fields", "dataset")


def _lineage_of(entry: Mapping[str, Any], said: Said) -> set[str]:
    """Read the sources that a `lineage` facet or entry states of one target; return what is left."""
    left: set[str] = set()
    for row in _rows(entry, "inputs"):
        if row.get("type") == "JOB":
            left.add("inputs of type JOB")
        elif row.get("field") is None and not row.get("transformations"):
            said.sources.append(_name(row))
        else:
            _origin(None, row, said)
    fields = entry.get("fields") or {}
    if not isinstance(fields, dict):
        raise NotAsSchemaError("fields: expected an object")
    for column, each in fields.items():
        if not isinstance(each, dict):
            raise NotAsSchemaError(f"fields/{column[:80]}: expected an object")
        for row in _rows(each, "inputs"):
            if row.get("type") == "JOB":
                left.add("inputs of type JOB")
            else:
                _origin(column, row, said)
    return left


def _dataset_lineage(facet: Mapping[str, Any], said: Said) -> set[str]:
    left = _lineage_of(facet, said)
    return {*_others(facet, "inputs", "fields"), *left}


def _job_lineage(facet: Mapping[str, Any], said: Said) -> set[str]:
    left: set[str] = set()
    for row in _rows(facet, "entries"):
        if row.get("type") == "DATASET":
            target = Said()
            left |= _lineage_of(row, target)
            said.entries.append((_name(row), target))
        else:
            left.add("entries of type JOB")
    return {*_others(facet, "entries"), *left}


DATASET: Final[Mapping[str, Reader]] = {
    "schema": _schema,
    "documentation": _texts(description="description", contentType="content type"),
    "ownership": _owners,
    "symlinks": _symlinks,
    "columnLineage": _column_lineage,
    "lineage": _dataset_lineage,
    "version": _texts(datasetVersion="version"),
    "dataSource": _texts(name="data source", uri="location"),
    "storage": _tagged("storageLayer", "fileFormat", prefix="storage"),
    "datasetType": _tagged("datasetType", "subType", prefix="datasetType"),
    "lifecycleStateChange": _lifecycle,
    "tags": _run_tags,
    "dataQualityMetrics": _numbers(rowCount="rows", bytes="size", fileCount="files"),
    "catalog": _tagged(
        "framework", "type", "name", "metadataUri", "warehouseUri", "source", prefix="catalog"
    ),
}
OWN: Final[Mapping[str, Reader]] = {
    "inputStatistics": _numbers(rowCount="rows", size="size", fileCount="files"),
    "outputStatistics": _numbers(rowCount="rows", size="size", fileCount="files"),
    "dataQualityMetrics": _numbers(rowCount="rows", bytes="size", fileCount="files"),
}
JOB_LINEAGE: Final[Mapping[str, Reader]] = {**JOB, "lineage": _job_lineage}
