"""Handing over and checking: a bundle of many records, and the JSON-LD writer beside Oxigraph's."""

from __future__ import annotations

from pathlib import Path

import pyoxigraph as ox

from provgraph.export import jsonld
from provgraph.export.views import check_views
from provgraph.seal.bundle import VerifiedBundle, verify_bundle
from provgraph.service.asking import open_reader
from provgraph.service.exporting import collect, export_bundle, save_bundle
from tests.bench import with_provgraph
from tests.bench.measure import Sample, cpu, digits, interleaved, measured, wall
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores

WANTED_WRITER_RATIO = 3
_ROUNDS = 5


def run(stores: Stores, scale: Scale) -> Section:
    """Export and verify the lineage of a model at the end of a chain of runs."""
    rounds = min(_ROUNDS, scale.repeats)
    path = stores.folder / "chain.zip"
    with with_provgraph.home(stores.folder / "chain") as settings:
        model = with_provgraph.record_chain(scale.records)
        with open_reader(settings) as reader:
            exports = [
                measured(lambda: save_bundle(export_bundle(reader, model), path))
                for _ in range(rounds)
            ]
            found = collect(reader, model)
            graphs = [reader.ledger.graph(reader.ledger.find(iri)) for iri in found.records]
            root = found.roots[0]
    records = len(graphs)
    checks = [measured(lambda: _verified(path)) for _ in range(rounds)]
    views = [measured(lambda: check_views(_verified(path))) for _ in range(rounds)]
    text = b"".join(graphs)
    writers = interleaved(
        scale.repeats,
        {
            "ours": lambda _: jsonld.to_bytes(jsonld.lineage_document(graphs, root)),
            "theirs": lambda _: ox.serialize(
                ox.parse(text, format=ox.RdfFormat.N_QUADS), format=ox.RdfFormat.JSON_LD
            ),
        },
    )
    ratio = cpu(writers["ours"]).median / cpu(writers["theirs"]).median
    return Section(
        title="Export and verify",
        method=_METHOD.format(runs=scale.records, records=records, size=_size(path)),
        tables=(
            Table(
                title="A bundle",
                head=("", "CPU ms", "wall ms", "records per CPU second"),
                rows=(
                    _row("export, collected from the index and zipped", exports, records),
                    _row("verify: seals, entries, proofs of inclusion, manifest", checks, records),
                    _row("the same, and every readable view compared", views, records),
                ),
            ),
            Table(
                title="JSON-LD of these graphs, from N-Quads text to JSON text",
                head=("", "CPU ms"),
                rows=(
                    (
                        "provgraph: compacted, framed as one tree",
                        cpu(writers["ours"]).text(scale=1000),
                    ),
                    ("Oxigraph: expanded, flat", cpu(writers["theirs"]).text(scale=1000)),
                    ("ratio", digits(ratio)),
                ),
            ),
        ),
        targets=(
            Target(
                what="Writing JSON-LD, compacted, against Oxigraph's own writer",
                wanted=f"at most {WANTED_WRITER_RATIO} times the CPU time",
                found=f"{digits(ratio)} times",
                is_met=ratio <= WANTED_WRITER_RATIO,
            ),
        ),
    )


def _verified(path: Path) -> VerifiedBundle:
    return verify_bundle(path, report=lambda _step, _text: None)


def _row(name: str, samples: list[Sample], records: int) -> tuple[str, ...]:
    took = cpu(samples)
    return (
        name,
        took.text(scale=1000),
        wall(samples).text(scale=1000),
        digits(records / took.median),
    )


def _size(path: Path) -> str:
    return f"{path.stat().st_size:,}"


_METHOD = """\
A chain of {runs} runs, each starting from the model before; the bundle of the last one holds
{records} records in a zip of {size} bytes. Everything is in memory or in the page cache."""
