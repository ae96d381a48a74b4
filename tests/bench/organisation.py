"""A synthetic organisation of any size: projects with chains, fans and hubs, and one planted lineage.

Runs come as canonical graphs in the order of a ledger, so index and lineage index are built of the same
bytes. In every organisation, whatever its size, stands the same planted lineage, spread evenly over the whole: `layers` of
`width` things between `SOURCE` and `MODEL`, each made from two of the layer before. Its answers are equal
at every size, so what a question costs can be compared. The rest is projects of `PROJECT_RUNS` runs: a
chain, a wide fan over one dataset, models of two things each; every tenth run uses a dataset that the
whole organisation shares, which so becomes a hub.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provgraph import vocab
from provgraph.index.edges import Entry

PROJECT_RUNS = 1000
_RUN_QUADS = 47  # about, in an index
_CHAIN, _FAN = 300, 800  # the runs before these places of a project
_OWNERS = 50
_LICENCES = ("MIT", "CC-BY-4.0", "CC0-1.0", "Apache-2.0", "ODbL-1.0")


def content(name: str) -> str:
    return f"{vocab.ID}content/sha256/{hashlib.sha256(name.encode()).hexdigest()}"


SOURCE = content("planted source")
MODEL = content("planted model")
SHARED = content("what everybody uses")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One run: what it made, and from what."""

    project: str
    kind: str
    name: str
    inputs: Sequence[str]


def runs(*, quads: int, layers: int, width: int, seed: int = 1) -> Iterator[Entry]:
    """Yield runs until the index of them, which holds each statement twice, has about so many quads."""
    planted = layers * width + 1
    others = max(0, quads // _RUN_QUADS - planted)
    rest = _projects(random.Random(seed))
    number = 0
    for placed, made in enumerate(_planted(layers, width), start=1):
        due = others * placed // planted - (number - placed + 1)
        for each in (*itertools.islice(rest, due), made):
            yield Entry(
                position=number,
                iri=f"{vocab.ID}record/{number}",
                graph_nq=_graph(each, number),
            )
            number += 1


def _planted(layers: int, width: int) -> Iterator[Made]:
    layer = [SOURCE] * width
    for depth in range(layers):
        names = [f"planted {depth} {place}" for place in range(width)]
        for place, name in enumerate(names):
            inputs = {layer[place]: None, layer[(7 * place + 3) % width]: None}
            yield Made(project="planted", kind="Dataset", name=name, inputs=list(inputs))
        layer = [content(name) for name in names]
    yield Made(project="planted", kind="Model", name="planted model", inputs=layer)


def _projects(chance: random.Random) -> Iterator[Made]:
    for number in itertools.count():
        project = f"project-{number}"
        own: list[str] = [content(f"{project} source")]
        for place in range(PROJECT_RUNS):
            name = f"{project} {place}"
            if place < _CHAIN:
                kind, inputs = "Dataset", [own[-1]]
            elif place < _FAN:
                kind, inputs = "Model", [own[_CHAIN // 2], chance.choice(own)]
            else:
                kind, inputs = "Model", chance.sample(own, 2)
            if place % 10 == 0:
                inputs.append(SHARED)
            yield Made(project=project, kind=kind, name=name, inputs=list(dict.fromkeys(inputs)))
            own.append(content(name))


def _graph(made: Made, number: int) -> bytes:
    record, run = f"{vocab.ID}record/{number}", f"{vocab.ID}run/{number}"
    thing = content(made.name)
    owner = number % _OWNERS
    agent = f"{vocab.ID}person/acme/owner-{owner}"
    minute = f"2026-03-{1 + number // 1440 % 28:02}T{number // 60 % 24:02}:{number % 60:02}"
    rdf, prov, pg = vocab.RDF, vocab.PROV, vocab.PG
    time = f"^^<{vocab.XSD}dateTime>"
    statements = [
        f"<{record}> <{rdf}type> <{prov}Bundle>",
        f"<{record}> <{rdf}type> <{pg}RunRecord>",
        f'<{record}> <{prov}generatedAtTime> "{minute}:59Z"{time}',
        f"<{run}> <{rdf}type> <{prov}Activity>",
        f"<{run}> <{rdf}type> <{pg}Run>",
        f'<{run}> <{vocab.RDFS}label> "run {number}"',
        f'<{run}> <{pg}project> "{made.project}"',
        f'<{run}> <{prov}startedAtTime> "{minute}:00Z"{time}',
        f'<{run}> <{prov}endedAtTime> "{minute}:30Z"{time}',
        f"<{run}> <{prov}wasAssociatedWith> <{agent}>",
        f"<{agent}> <{rdf}type> <{prov}Person>",
        f'<{agent}> <{vocab.RDFS}label> "owner-{owner}@acme.example"',
        f"<{thing}> <{rdf}type> <{prov}Entity>",
        f"<{thing}> <{rdf}type> <{pg}{made.kind}>",
        f'<{thing}> <{vocab.RDFS}label> "{made.name}"',
        f'<{thing}> <{pg}digest> "sha256:{thing.rpartition("/")[2]}"',
        f"<{thing}> <{vocab.DCTERMS}license> <https://spdx.org/licenses/{_LICENCES[number % 5]}>",
        f"<{thing}> <{prov}wasGeneratedBy> <{run}>",
    ]
    for source in made.inputs:
        statements += [
            f"<{run}> <{prov}used> <{source}>",
            f"<{thing}> <{prov}wasDerivedFrom> <{source}>",
            f"<{source}> <{rdf}type> <{prov}Entity>",
        ]
    end = f" <{record}> .\n"
    return "".join([f"{each}{end}" for each in sorted(statements)]).encode()
