"""Every kind of record conforms to our shapes, and every constraint of every shape rejects something.

Both by what we compile of the shapes and by pySHACL, which must agree on all of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provgraph import resources, terms, vocab
from provgraph.constraints.shapes import Property, Shape, by_class, problems, read_shapes
from provgraph.convert.entities import Context
from provgraph.convert.prov import convert
from provgraph.errors import FormatError
from provgraph.recordable import LATER_FACTS
from provgraph.records import Description, Entity
from provgraph.service.home import readable_ledger
from provgraph.terms import Term

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "asking")]
from governance_story import tell_governance  # noqa: E402
from story import ADA, at, content_iri, home_at  # noqa: E402

TYPE = vocab.A
Graph = list[tuple[Term, Term, Term]]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> list[Graph]:
    """One record of each kind, and more."""
    home = home_at(tmp_path_factory.mktemp("shapes") / "home")
    tell_governance(home)
    with readable_ledger(home.settings) as ledger:
        texts = [record.graph_nq for record in ledger.records()]
    said = Description(
        id="d1", target=content_iri("calls.csv"), said=Entity(licence="CC0-1.0"), by=ADA, at=at(1)
    )
    context = Context(namespace="acme", software_version="0", recorded_at=at(2), previous={})
    texts.append(convert(said, record_id="d1", context=context).canonical)
    return [[(s, p, o) for s, p, o, _ in terms.parse_lines(text)] for text in texts]


def by_engine(graphs: list[Graph]) -> list[bool]:
    texts = ["".join(f"{s} {p} {o} .\n" for s, p, o in graph) for graph in graphs]
    done = subprocess.run(
        [
            sys.executable,
            str(HERE / "shacl_engine.py"),
            str(resources.folder("ontology") / "shapes"),
        ],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def by_us(graph: Graph) -> bool:
    return problems((s, p, o, terms.iri("urn:x:g")) for s, p, o in graph) == []


def classes(graph: Graph) -> set[str]:
    return {o for _, p, o in graph if p == TYPE}


def test_every_record_conforms_and_every_shape_has_a_target(graphs):
    assert [by_us(graph) for graph in graphs] == [True] * len(graphs)
    assert by_engine(graphs) == [True] * len(graphs)
    found = set().union(*map(classes, graphs))
    # A shape that targets nothing checks nothing.
    assert sorted(set(by_class()) - found) == []


def test_every_later_fact_has_a_shape_and_so_has_its_record():
    names = ["".join(part.capitalize() for part in kind.split("-")) for kind in LATER_FACTS]
    wanted = {f"<{vocab.PG}{name}{end}>" for name in names for end in ("", "Record")}
    assert sorted(wanted - set(by_class())) == []


def mutants(graph: Graph, shape: Shape) -> Iterator[tuple[str, Graph]]:
    """Yield graphs in which one constraint of a shape does not hold."""
    (node, *_) = [s for s, p, o in graph if p == TYPE and o == shape.target]
    for each in shape.properties:
        path = Term(each.path)
        own = [(s, p, o) for s, p, o in graph if (s, p) == (node, path)]
        rest = [row for row in graph if row not in own]
        for name, values in wrong(each, [o for _, _, o in own]):
            yield f"{shape.target} {each.path} {name}", [*rest, *((node, path, v) for v in values)]


def wrong(each: Property, own: list[Term]) -> Iterator[tuple[str, list[Term]]]:
    good = own or [terms.iri("urn:x:some")]
    if each.min_count:
        yield "is missing", []
    if each.max_count is not None:
        more = terms.iri("urn:x:other") if each.is_iri else terms.string("another one")
        yield "stands too often", [*good, more, terms.iri("urn:x:third")]
    if each.is_iri:
        yield "is no IRI", [terms.string("text")]
    elif each.values:
        yield "is none of the words", [terms.string("maybe")]
    elif each.datatype == f"{vocab.XSD}string":
        yield "is no text", [terms.integer(7)]
        yield "is empty", [terms.string("")]
    elif each.datatype is not None:
        yield "is of another type", [terms.string("yesterday")]


def test_every_constraint_of_every_shape_rejects_what_it_is_for(graphs):
    broken = []
    for shape in by_class().values():
        graph = next(each for each in graphs if shape.target in classes(each))
        broken += list(mutants(graph, shape))
    assert len(broken) > 250
    accepted = [name for name, graph in broken if by_us(graph)]
    engine = [
        name for (name, _), ok in zip(broken, by_engine([g for _, g in broken]), strict=True) if ok
    ]
    assert (accepted, engine) == ([], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sh:targetClass pg:Run", "1 and 0"),
        ("sh:property [ sh:path pg:a ; sh:minCount 1 ]", "0 and 1"),
        (
            "sh:targetClass pg:Run ; sh:closed true ; sh:property [ sh:path pg:a ; sh:minCount 1 ]",
            "closed",
        ),
        (
            "sh:targetClass pg:Run ; sh:property [ sh:path pg:a ; sh:pattern 'x' ]",
            "is not compiled",
        ),
        ("sh:targetClass pg:Run ; sh:property [ sh:path pg:a ]", "something to check"),
        (
            "sh:targetClass pg:Run ; sh:property [ sh:path ( pg:a pg:b ) ; sh:minCount 1 ]",
            "predicate",
        ),
        (
            "sh:targetClass pg:Run ; sh:property [ sh:path pg:a ; sh:nodeKind sh:Literal ]",
            "not compiled",
        ),
        ("sh:targetClass pg:Run ; sh:property [ sh:path pg:a ; sh:minCount 1, 2 ]", "stands twice"),
        ("sh:targetClass", "not Turtle"),
    ],
)
def test_a_shape_that_would_be_skipped_in_part_is_refused(text, message):
    head = f"@prefix sh: <http://www.w3.org/ns/shacl#> . @prefix pg: <{vocab.PG}> . "
    with pytest.raises(FormatError, match=message):
        read_shapes(f"{head} pg:x a sh:NodeShape ; {text} .".encode(), where="s.ttl")


def test_shapes_use_only_words_of_the_ontology():
    text = resources.read_text("ontology", "provgraph.ttl")
    named = {shape.target for shape in by_class().values()}
    named |= {each.path for shape in by_class().values() for each in shape.properties}
    own = sorted(each[1:-1].removeprefix(vocab.PG) for each in named if vocab.PG in each)
    assert [name for name in own if f"pg:{name} a " not in text] == []
