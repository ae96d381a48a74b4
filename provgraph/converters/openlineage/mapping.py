"""A folded state of a run, job or dataset as facts of a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from provgraph import vocab
from provgraph.converters.contract import Unit
from provgraph.converters.openlineage import facets
from provgraph.converters.openlineage.events import Event
from provgraph.converters.openlineage.facets import Said
from provgraph.converters.openlineage.folding import Folded, FoldedDataset
from provgraph.converters.report import Report
from provgraph.flows import Flow, FlowDataset, FlowJob, FlowName, FlowRun
from provgraph.frozen import replace
from provgraph.imported import Disagreement
from provgraph.records import Missing

SYSTEM: Final = "openlineage"
NDJSON: Final = "application/x-ndjson"


def run_id(uuid: str) -> str:
    """Name a run so that it is never taken for one that was captured here."""
    return f"{SYSTEM}-{uuid.lower()}"


def unit_of(folded: Folded, report: Report, *, project: str | None = None) -> Unit:
    """Return what a folded state says, with its bytes."""
    last = folded.last
    where = last.where
    kept: list[str] = []
    run_said, job_said = Said(), Said()

    def read(
        given: Mapping[str, Any], said: Said, readers: Mapping[str, facets.Reader], what: str
    ) -> None:
        kept.extend(facets.read_facets(given, said, readers, what=what, where=where, report=report))

    read(folded.run_facets, run_said, facets.RUN, "run")
    read(folded.job_facets, job_said, facets.JOB_LINEAGE, "job")
    stated = dict(job_said.entries)
    inputs = [_dataset(each, read, "input") for each in folded.inputs.values()]
    outputs = [_dataset(each, read, "output") for each in folded.outputs.values()]
    described = []
    if last.dataset is not None:
        own = FoldedDataset(last.dataset, facets=folded.dataset_facets)
        described.append(_dataset(own, read, "dataset"))
    outputs = [_with(each, stated.pop(each.name, None)) for each in outputs]
    inputs = [_with(each, stated.pop(each.name, None)) for each in inputs]
    described += [_with(FlowDataset(name=name), said) for name, said in stated.items()]
    missing = (
        [
            Missing(
                field="time zone", reason=f"{len(folded.zoneless)} events have times without a zone"
            )
        ]
        if folded.zoneless
        else []
    )
    run = _run(folded, run_said, missing) if last.run is not None else None
    report.mapped("run" if run is not None else "job" if last.job is not None else "dataset")
    report.mapped("event", len(folded.events))
    if folded.zoneless:
        report.note(
            f"times without a zone: kept as they came, and not stated as times ({where} and maybe others)"
        )
    flow = Flow(
        id=last.subject,
        system=SYSTEM,
        project=project
        or (last.job.namespace if run is not None and last.job is not None else None),
        run=run,
        job=None if last.job is None else _job(last.job, job_said),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        described=tuple(described),
        kept=tuple(sorted(set(kept))),
        missing=tuple(missing),
    )
    return Unit(
        key=f"{SYSTEM}/{last.subject}",
        record=flow,
        content=folded.content,
        media_type=NDJSON,
        disagreements=_disagreements(folded),
    )


def _run(folded: Folded, said: Said, missing: list[Missing]) -> FlowRun:
    assert folded.last.run is not None, "only of runs"
    ends, started = folded.ends, folded.started
    end = ends[-1] if ends else None
    if started is None:
        missing.append(Missing(field="start", reason="no event told a start"))
    if end is None:
        reason = f"no event told an end; the last one says {folded.last.type or 'nothing'}"
        missing.append(Missing(field="end", reason=reason))
    return FlowRun(
        id=run_id(folded.last.run),
        status=None if end is None else end.status,
        state=(end or folded.last).type,
        reason=said.texts.get("reason"),
        started_at=_time(started),
        ended_at=_time(end),
        parent=None if said.parent is None else run_id(said.parent),
        informants=tuple(run_id(each) for each in dict.fromkeys(said.runs)),
        engine=said.texts.get("engine"),
        parameters=said.parameters,
        tags=said.tags,
    )


def _time(event: Event | None) -> Any:
    # A time without a zone names no instant: it stays in the source bytes.
    return event.time if event is not None and event.has_zone else None


def _job(name: FlowName, said: Said) -> FlowJob:
    return FlowJob(
        name=name,
        kind=said.texts.get("kind") or None,
        description=said.texts.get("description"),
        query=said.texts.get("query"),
        dialect=said.texts.get("dialect"),
        repository=said.texts.get("repository"),
        commit=said.texts.get("commit"),
        branch=said.texts.get("branch"),
        path=said.texts.get("path"),
        owners=tuple(dict.fromkeys(said.owners)),
        tags=said.tags,
    )


def _dataset(dataset: FoldedDataset, read: Any, what: str) -> FlowDataset:
    said = Said()
    read(dataset.facets, said, facets.DATASET, "dataset")
    read(dataset.own_facets, said, facets.OWN, what)
    if "data source" in said.texts:
        said.tags["dataSource"] = said.texts["data source"]
    return FlowDataset(
        name=dataset.name,
        version=said.texts.get("version"),
        location=said.texts.get("location"),
        description=said.texts.get("description"),
        alternates=tuple(dict.fromkeys(said.names)),
        previous=said.previous,
        state=said.texts.get("state"),
        owners=tuple(dict.fromkeys(said.owners)),
        tags=said.tags,
        columns=tuple(said.columns),
        rows=said.numbers.get("rows"),
        size_bytes=said.numbers.get("size"),
        file_count=said.numbers.get("files"),
        sources=tuple(dict.fromkeys(said.sources)),
        origins=tuple(dict.fromkeys(said.origins)),
    )


def _with(dataset: FlowDataset, said: Said | None) -> FlowDataset:
    """Add what the job's `lineage` facet states of a dataset."""
    if said is None:
        return dataset
    return replace(
        dataset,
        sources=tuple(dict.fromkeys((*dataset.sources, *said.sources))),
        origins=tuple(dict.fromkeys((*dataset.origins, *said.origins))),
    )


def _disagreements(folded: Folded) -> tuple[Disagreement, ...]:
    """Find events that tell different ends of one run."""
    if folded.last.run is None:
        return ()
    ends = folded.ends
    others = [each for each in ends if each.type != ends[-1].type]
    return tuple(
        Disagreement(
            about=vocab.run_iri(run_id(folded.last.run)),
            fact="how the run ended",
            first=str(each.type),
            first_place=each.where,
            second=str(ends[-1].type),
            second_place=ends[-1].where,
        )
        for each in others
    )
