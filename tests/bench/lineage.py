"""The lineage index beside Oxigraph's property path and rustworkx, on the same edges, in turns."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyoxigraph as ox

from provgraph.index.edge_arrays import write_arrays
from provgraph.index.edge_facts import DERIVED
from provgraph.index.edges import BATCH, Entry, build_edges, open_edges
from provgraph.index.store import Index, Watermark
from provgraph.query.lineage_graph import LineageGraph, open_lineage
from tests.bench import organisation
from tests.bench.measure import Sample, cpu, digits, interleaved, measured
from tests.bench.organisation import MODEL, SOURCE
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores, disk_bytes

_REPOSITORY = Path(__file__).resolve().parents[2]
_ROOT = "00" * 32
_CLOSURE = (
    "SELECT (COUNT(DISTINCT ?it) AS ?count) WHERE {{ VALUES ?root {{ <{root}> }}"
    " {start} <http://www.w3.org/ns/prov#wasDerivedFrom>+ {end} }}"
)
_COLUMNS = ("label", "owner", "licence")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    """A lineage index of one organisation, and its index where it has one."""

    quads: int
    runs: int
    lineage: Path
    index: Path | None
    lineage_s: float
    arrays_s: float
    index_s: float | None

    @property
    def name(self) -> str:
        return f"{self.quads / 1e6:g} M quads"


def run(stores: Stores, scale: Scale) -> Section:
    """Build the organisations, then ask each the same."""
    built = [
        _build(stores.folder / f"organisation-{quads}", quads, scale)
        for quads in scale.organisations
    ]
    closures: list[tuple[str, ...]] = []
    worst: dict[str, float] = {}
    for each in built:
        closures += _closures(each, scale, worst)
    answers, ratios = _answers(built, scale)
    memory = json.loads(
        subprocess.run(
            [sys.executable, "-m", "tests.bench.resident", str(built[-1].lineage)],
            check=True,
            capture_output=True,
            cwd=_REPOSITORY,
        ).stdout
    )
    per_edge = memory["bytes"] / memory["edges"]
    impact_s = max(float(each) for each in ratios.pop("impact"))
    targets = [
        _against_oxigraph(worst),
        *_against_rustworkx(worst),
        Target(
            what=f"Equal answers at {built[-1].name}, against {built[0].name}",
            wanted="below 1.5 times the CPU time",
            found=f"{digits(max(ratios['size']))} times (the worst of {len(ratios['size'])})",
            is_met=max(ratios["size"]) < 1.5,
        ),
        Target(
            what="Impact on 20,000 things with labels, owners and licences",
            wanted="below 0.5 s of CPU",
            found=f"{digits(impact_s)} s (the slowest)",
            is_met=impact_s < 0.5,
        ),
        Target(
            what=f"Resident memory of the lineage index at {built[-1].name}",
            wanted="below 40 bytes per edge",
            found=f"{digits(per_edge)} bytes, with every page of the arrays touched",
            is_met=per_edge < 40,
        ),
    ]
    return Section(
        title="Lineage",
        method=_METHOD.format(
            layers=scale.planted[0],
            width=scale.planted[1],
            repeats=scale.repeats,
            stored=f"{scale.stored_quads / 1e6:g} M",
        ),
        tables=(
            Table(
                title="Organisations",
                head=(
                    "",
                    "runs",
                    "edges walked",
                    "things",
                    "building the lineage index, CPU s",
                    "its arrays, CPU s",
                    "its files",
                    "Oxigraph: loading and optimising, CPU s",
                ),
                rows=tuple(map(_built_row, built)),
            ),
            Table(
                title="Closures, counted, in turns on the same edges",
                head=(
                    "",
                    "things",
                    "arrays, CPU ms",
                    "SQLite, CPU ms",
                    "rustworkx, CPU ms",
                    "Oxigraph's path, CPU ms",
                    "Oxigraph / arrays",
                    "arrays / rustworkx",
                ),
                rows=tuple(closures),
            ),
            Table(
                title="The planted lineage, answered at every size in turns",
                head=("", *(f"{each.name}, CPU ms" for each in built), "largest / smallest"),
                rows=tuple(answers),
            ),
        ),
        targets=tuple(targets),
        notes=(
            (
                f"At {built[-1].name} the arrays take {memory['file_bytes'] / memory['edges']:.1f} bytes per"
                f" edge on the disk; {memory['edges']:,} edges."
            ),
        ),
    )


def _build(folder: Path, quads: int, scale: Scale) -> _Built:
    layers, width = scale.planted

    def entries() -> Iterator[Entry]:
        return organisation.runs(quads=quads, layers=layers, width=width)

    lineage = folder / "lineage"
    lineage_s = measured(lambda: build_edges(lineage, _batches(entries()))).cpu_s
    file = open_edges(lineage, read_only=False)
    assert file is not None
    with file:
        arrays_s = measured(lambda: write_arrays(file)).cpu_s
        runs = file.watermark().size
    index, index_s = None, None
    if quads <= scale.stored_quads:
        index = folder / "index"
        made = Index(index)
        mark = Watermark(size=runs, root_hex=_ROOT)
        graphs = (each.graph_nq or b"" for each in entries())
        index_s = measured(lambda: made.rebuild(graphs, mark=mark)).cpu_s
        made.close_store()
    return _Built(
        quads=quads,
        runs=runs,
        lineage=lineage,
        index=index,
        lineage_s=lineage_s,
        arrays_s=arrays_s,
        index_s=index_s,
    )


def _batches(entries: Iterator[Entry]) -> Iterator[tuple[Sequence[Entry], Watermark]]:
    size = 0
    while batch := list(itertools.islice(entries, BATCH)):
        size += len(batch)
        yield batch, Watermark(size=size, root_hex=_ROOT)


def _closures(built: _Built, scale: Scale, worst: dict[str, float]) -> Iterator[tuple[str, ...]]:
    store = None if built.index is None else ox.Store.read_only(str(built.index))
    with open_lineage(built.lineage) as graph:
        ids = graph.file.ids([MODEL, SOURCE])
        theirs = _rustworkx(graph)
        by_file = LineageGraph(graph.file)
        for root, up in ((MODEL, True), (SOURCE, False)):
            number = ids[root]
            start, end = ("?root", "?it") if up else ("?it", "?root")
            query = _CLOSURE.format(root=root, start=start, end=end)
            works: dict[str, Callable[[int], int]] = {
                "arrays": lambda _, n=number, up=up: _count(graph, n, up=up),  # type: ignore[misc]
                "file": lambda _, n=number, up=up: _count(by_file, n, up=up),  # type: ignore[misc]
            }
            if store is not None:
                works["oxigraph"] = lambda _, q=query: _path_count(store, q)  # type: ignore[misc]
            if theirs is not None:
                works["rustworkx"] = lambda _, n=number, up=up: theirs(n, up)  # type: ignore[misc]
            counts = {name: work(0) for name, work in works.items()}
            assert len(set(counts.values())) == 1, f"they answer differently: {counts}"
            took = {name: cpu(each) for name, each in interleaved(scale.repeats, works).items()}
            against_path, against_theirs = "", ""
            if "oxigraph" in took:
                ratio = took["oxigraph"].median / took["arrays"].median
                worst["oxigraph"] = min(worst.get("oxigraph", ratio), ratio)
                against_path = digits(ratio)
            if "rustworkx" in took:
                ratio = took["arrays"].median / took["rustworkx"].median
                worst["rustworkx"] = max(worst.get("rustworkx", ratio), ratio)
                against_theirs = digits(ratio)
            yield (
                f"{built.name}, {'upstream of the model' if up else 'downstream of the source'}",
                f"{counts['arrays']:,}",
                took["arrays"].text(scale=1000),
                took["file"].text(scale=1000),
                took["rustworkx"].text(scale=1000) if "rustworkx" in took else "not installed",
                took["oxigraph"].text(scale=1000) if "oxigraph" in took else "not loaded",
                against_path,
                against_theirs,
            )


def _count(graph: LineageGraph, number: int, *, up: bool) -> int:
    levels, _ = graph.levels([number], up=up)
    return sum(map(len, levels)) - 1


def _path_count(store: ox.Store, query: str) -> int:
    solutions = store.query(query)
    assert isinstance(solutions, ox.QuerySolutions)
    count = next(iter(solutions))["count"]
    assert isinstance(count, ox.Literal)
    return int(count.value)


def _rustworkx(graph: LineageGraph) -> Callable[[int, bool], int] | None:
    """Put the edges into rustworkx; None where it is not installed."""
    try:
        import rustworkx as rx
    except ImportError:
        return None
    made: Any = rx.PyDiGraph(multigraph=True)
    made.add_nodes_from(range(graph.file.thing_count()))
    rows = graph.file._all("SELECT child, parent FROM edge WHERE kind = ?", DERIVED)
    made.add_edges_from_no_data(rows)
    return lambda number, up: len((rx.descendants if up else rx.ancestors)(made, number))


def _answers(
    built: Sequence[_Built], scale: Scale
) -> tuple[list[tuple[str, ...]], dict[str, list[float]]]:
    rows: list[tuple[str, ...]] = []
    found: dict[str, list[float]] = {"size": [], "impact": []}
    with contextlib.ExitStack() as stack:
        graphs = [stack.enter_context(open_lineage(each.lineage)) for each in built]
        for name, ask in _ANSWERS.items():
            sizes = {ask(graph) for graph in graphs}
            assert len(sizes) == 1, f"{name}: they answer differently: {sizes}"
            works: Mapping[str, Callable[[int], object]] = {
                each.name: lambda _, ask=ask, graph=graph: ask(graph)  # type: ignore[misc]
                for each, graph in zip(built, graphs, strict=True)
            }
            samples: dict[str, list[Sample]] = interleaved(scale.repeats, works)
            took = [cpu(samples[each.name]) for each in built]
            ratio = took[-1].median / took[0].median
            found["size"].append(ratio)
            if name == _IMPACT:
                found["impact"] = [max(s.cpu_s for s in each) for each in samples.values()]
            rows.append((name, *(each.text(scale=1000) for each in took), digits(ratio)))
    return rows, found


_IMPACT = "impact of the source, with labels, owners and licences"
_ANSWERS: Mapping[str, Callable[[LineageGraph], int]] = {
    "upstream of the model, by number": lambda graph: _count(
        graph, graph.file.ids([MODEL])[MODEL], up=True
    ),
    "upstream of the model, IRIs and steps": lambda graph: len(graph.upstream([MODEL]).things),
    "downstream of the source, IRIs and steps": lambda graph: len(
        graph.downstream([SOURCE]).things
    ),
    _IMPACT: lambda graph: len(graph.downstream([SOURCE], show=_COLUMNS).columns),
    "three steps up from the model": lambda graph: len(graph.upstream([MODEL], max_depth=3).things),
    "a shortest way from the model to the source": lambda graph: len(
        graph.path(MODEL, SOURCE) or ()
    ),
}


def _against_oxigraph(worst: Mapping[str, float]) -> Target:
    return Target(
        what="Closures up and down, against Oxigraph's property path",
        wanted="at least 10 times faster",
        found=f"{digits(worst['oxigraph'])} times (the worst of all)",
        is_met=worst["oxigraph"] >= 10,
    )


def _against_rustworkx(worst: Mapping[str, float]) -> list[Target]:
    if "rustworkx" not in worst:
        return []
    return [
        Target(
            what="Closures up and down, against rustworkx in memory",
            wanted="at most 4 times the CPU time",
            found=f"{digits(worst['rustworkx'])} times (the worst of all)",
            is_met=worst["rustworkx"] <= 4,
        )
    ]


def _built_row(built: _Built) -> tuple[str, ...]:
    file = open_edges(built.lineage)
    assert file is not None
    with file:
        walked, things = file.walked_count(), file.thing_count()
    return (
        built.name,
        f"{built.runs:,}",
        f"{walked:,}",
        f"{things:,}",
        digits(built.lineage_s),
        digits(built.arrays_s),
        f"{disk_bytes(built.lineage) / 1e6:,.0f} MB",
        "not loaded" if built.index_s is None else digits(built.index_s),
    )


_METHOD = """\
Synthetic organisations (`tests/bench/organisation.py`): projects with chains, wide fans and a hub that
every tenth run uses, as canonical graphs; a quad is a statement in the index, which holds each twice. In
all of them the same planted lineage of {layers} layers of {width} things between a source and a model
is spread over the whole, so answers about it are equal at every size. The lineage index is built from the graphs' bytes, as
a replay does it; up to {stored} quads the same graphs go into Oxigraph (`bulk_load` and `optimize`),
and above that nowhere else. Each
question is asked {repeats} times on each side, in turns, after a first time that does not count; both
sides must answer the same. CPU time, since the machine is shared."""
