"""Turtle, TriG and N-Quads hold what the graphs hold, in an order that does not change."""

from __future__ import annotations

import pyoxigraph as ox
import pytest
import rdflib
from hypothesis import given, settings
from jsonld_processors import G, graphs, triples_of

from provgraph import terms, vocab
from provgraph.errors import FormatError
from provgraph.export.rdf import as_nquads, as_trig, as_turtle
from provgraph.terms import Graph
from provgraph.vocab import LABEL, PROV_T, A, C, P

RUN = terms.iri(f"{vocab.ID}run/u1")


def small(name=G) -> bytes:
    graph = Graph(name)
    graph.add(RUN, PROV_T["used"], terms.iri(f"{vocab.ID}content/sha256/00ff"))
    graph.add(RUN, A, C["Run"])
    graph.add(RUN, LABEL, terms.string("fit"))
    graph.add(RUN, P["exitCode"], terms.integer(0))
    graph.add(RUN, terms.iri(f"{vocab.METRIC}auc"), terms.double(0.97))
    return graph.canonical()


def lines(data: bytes, read: ox.RdfFormat, write: ox.RdfFormat) -> bytes:
    written = ox.serialize(ox.parse(data, format=read), format=write)
    return b"".join(sorted({*written.splitlines(keepends=True)}))


HEAD = f"""\
@prefix metric: <{vocab.METRIC}> .
@prefix pg: <{vocab.PG}> .
@prefix prov: <{vocab.PROV}> .
@prefix rdf: <{vocab.RDF}> .
@prefix rdfs: <{vocab.RDFS}> .
@prefix xsd: <{vocab.XSD}> .

"""
BLOCK = f"""\
<{vocab.ID}run/u1> a pg:Run ;
\trdfs:label "fit" ;
\tprov:used <{vocab.ID}content/sha256/00ff> ;
\tmetric:auc "0.97"^^xsd:double ;
\tpg:exitCode 0 .
"""


def test_turtle_has_a_block_for_each_subject():
    other = Graph(f"{G}2")
    other.add(terms.iri("urn:x:b"), LABEL, terms.string('a\n"b" .\n<c>'))
    turtle = as_turtle([small(), small(f"{G}3"), other.canonical()]).decode()
    assert turtle == HEAD + BLOCK + '\n<urn:x:b> rdfs:label "a\\n\\"b\\" .\\n<c>" .\n'


def test_trig_has_a_block_for_each_graph():
    trig = as_trig([small(f"{G}2"), small()]).decode()
    inside = "".join(f"\t{line}" for line in BLOCK.splitlines(keepends=True))
    assert trig == HEAD + f"<{G}2> {{\n{inside}}}\n\n<{G}> {{\n{inside}}}\n"


@settings(max_examples=150, deadline=None)
@given(graphs(), graphs(name=f"{G}2"))
def test_every_form_reads_back_as_the_same_statements(first, second):
    both = [first, second]
    quads = b"".join(sorted((first + second).splitlines(keepends=True)))
    assert as_nquads(both) == quads
    assert lines(as_trig(both), ox.RdfFormat.TRIG, ox.RdfFormat.N_QUADS) == quads
    triples = triples_of(first, second)
    assert lines(as_turtle(both), ox.RdfFormat.TURTLE, ox.RdfFormat.N_TRIPLES) == triples


def test_rdflib_reads_the_same():
    turtle = rdflib.Graph().parse(data=as_turtle([small()]), format="turtle")
    assert {*turtle} == {*rdflib.Graph().parse(data=triples_of(small()), format="nt")}
    assert len(turtle) == 5


@pytest.mark.parametrize("write", [as_nquads, as_trig, as_turtle])
def test_order_and_repetition_of_the_graphs_do_not_matter(write):
    first, second = small(), small(f"{G}2")
    assert write([first, second]) == write([second, first, second])


@pytest.mark.parametrize("write", [as_nquads, as_trig, as_turtle])
def test_no_graphs_give_no_bytes(write):
    assert write([]) == b""


@pytest.mark.parametrize("write", [as_nquads, as_trig, as_turtle])
def test_bytes_that_are_not_canonical_are_refused(write):
    with pytest.raises(FormatError, match="line 1"):
        write([b"_:b <urn:p> <urn:o> <urn:g> .\n"])
