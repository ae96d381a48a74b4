"""JSON-LD says what the signed bytes say, no more and no less, whoever expands it."""

from __future__ import annotations

import json
import re
import warnings
from datetime import UTC, datetime

import pytest
import rdflib
from hypothesis import assume, given, settings
from jsonld_processors import (
    G,
    by_oxigraph,
    by_pyld,
    by_pyld_and_oxigraph,
    expand,
    graphs,
    inlined,
    triples_of,
)
from pyld import jsonld as pyld_jsonld

from provgraph import terms, vocab
from provgraph.errors import FormatError, NotFoundError
from provgraph.export import jsonld
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.proof import seal
from provgraph.terms import Graph
from provgraph.vocab import LABEL, PROV_T, A, C, P

RUN = f"{vocab.ID}run/u1"
DATA = f"{vocab.ID}content/sha256/00ff"
MODEL = f"{vocab.ID}content/sha256/11ee"
CREATED = datetime(2026, 1, 2, 3, 4, 5, 500000, UTC)
SIGNER = signer_from_seed(bytes(range(32)))


def graph_of(*statements, name=G) -> bytes:
    graph = Graph(name)
    for subject, predicate, value in statements:
        graph.add(terms.iri(subject), predicate, value)
    return graph.canonical()


SMALL = graph_of(
    (G, A, PROV_T["Bundle"]),
    (G, A, C["RunRecord"]),
    (RUN, A, C["Run"]),
    (RUN, LABEL, terms.string('fit "it" 😀\n')),
    (RUN, PROV_T["used"], terms.iri(DATA)),
    (RUN, PROV_T["startedAtTime"], terms.timestamp(CREATED)),
    (RUN, terms.iri(f"{vocab.PARAM}depth"), terms.integer(6)),
    (RUN, terms.iri(f"{vocab.TAG}team"), terms.string("x")),
    (RUN, P["durationSeconds"], terms.integer(3)),
    (DATA, A, C["Dataset"]),
    (DATA, P["rowCount"], terms.integer(569)),
    (MODEL, PROV_T["wasGeneratedBy"], terms.iri(RUN)),
    (MODEL, PROV_T["wasDerivedFrom"], terms.iri(DATA)),
    (f"{RUN}#metrics-1", PROV_T["wasGeneratedBy"], terms.iri(RUN)),
    (f"{RUN}#metrics-1", terms.iri(f"{vocab.METRIC}auc"), terms.real(0.97)),
)


def secured(graph_nq):
    made = seal(graph_nq, signer=SIGNER, created=CREATED)
    return jsonld.secured_document(graph_nq, proof_nq=made.proof_nq, proof_value=made.proof_value)


def unsecured(graph_nq):
    document = secured(graph_nq)
    del document["proof"]
    return document


def test_a_secured_document_reads_well():
    document = secured(SMALL)
    assert list(document) == ["@context", "@id", "@graph", "proof"]
    assert document["@context"] == [vocab.CONTEXT, jsonld.DATA_INTEGRITY]
    assert document["@id"] == G
    assert document["@graph"] == [
        {"id": DATA, "type": "Dataset", "rowCount": "569"},
        {"id": MODEL, "wasDerivedFrom": DATA, "wasGeneratedBy": RUN},
        {"id": G, "type": ["Bundle", "RunRecord"]},
        {
            "id": f"{RUN}#metrics-1",
            "wasGeneratedBy": RUN,
            "metric:auc": {"@type": "xsd:decimal", "@value": "0.97"},
        },
        {
            "id": RUN,
            "type": "Run",
            "label": 'fit "it" 😀\n',
            "startedAtTime": "2026-01-02T03:04:05.5Z",
            "used": DATA,
            "durationSeconds": {"@type": "xsd:integer", "@value": "3"},
            "param:depth": {"@type": "xsd:integer", "@value": "6"},
            "tag:team": "x",
        },
    ]


def test_its_rdf_without_the_proof_is_what_was_signed():
    assert by_pyld_and_oxigraph(unsecured(SMALL)) == SMALL


def test_its_proof_without_the_value_is_the_signed_configuration():
    made = seal(SMALL, signer=SIGNER, created=CREATED)
    document = secured(SMALL)
    assert document["proof"].pop("proofValue") == made.proof_value
    proof = {"@context": document["@context"], **document["proof"]}
    options = {"algorithm": "URDNA2015", "format": "application/n-quads"}
    assert pyld_jsonld.normalize(expand(proof), options).encode() == made.proof_nq


def test_the_proof_is_a_graph_of_its_own():
    (expanded,) = expand(secured(SMALL))
    assert sorted(expanded) == ["@graph", "@id", "https://w3id.org/security#proof"]


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_any_graph_expands_to_its_own_bytes(graph_nq):
    document = json.loads(jsonld.to_bytes(unsecured(graph_nq)))
    assert by_pyld_and_oxigraph(document) == graph_nq
    assert by_oxigraph(inlined(document)) == graph_nq


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_pyld_alone_agrees_where_no_double_or_control_character_is(graph_nq):
    # It rewrites the former and does not escape the latter.
    assume(b"#double>" not in graph_nq and re.search(rb"\\[ubtf]", graph_nq) is None)
    assert by_pyld(unsecured(graph_nq)) == graph_nq


@pytest.mark.parametrize(
    ("uri", "switched_off"),
    [
        ("tag:example.org,2026:x", [{"tag": None}]),
        ("pg:rowCount", [{"pg": None}]),
        ("pg://server/table", []),
        ("data:text/plain,hi", []),
        ("urn:uuid:1", []),
    ],
)
def test_a_uri_whose_scheme_is_a_prefix_means_itself(uri, switched_off):
    graph_nq = graph_of(
        (RUN, PROV_T["used"], terms.iri(uri)), (uri, terms.iri(f"{vocab.TAG}a"), terms.string(uri))
    )
    document = unsecured(graph_nq)
    assert document["@context"] == [vocab.CONTEXT, jsonld.DATA_INTEGRITY, *switched_off]
    assert by_pyld_and_oxigraph(document) == graph_nq


def test_two_graphs_are_no_secured_document():
    one, two = (graph_of((RUN, A, C["Run"]), name=name) for name in (G, f"{G}2"))
    with pytest.raises(FormatError, match="one named graph, found 2 graphs"):
        secured(two + one)


def test_a_proof_that_is_not_ours_is_refused():
    with pytest.raises(FormatError, match="five lines"):
        jsonld.secured_document(SMALL, proof_nq=b"_:b <p> <o> .\n", proof_value="z1")


def test_bytes_are_the_same_each_time_and_keep_their_characters():
    data = jsonld.to_bytes(secured(SMALL))
    assert data == jsonld.to_bytes(secured(SMALL))
    assert '"fit \\"it\\" 😀\\n"'.encode() in data
    assert data.endswith(b"}\n")


# ---- lineage -------------------------------------------------------------------------------------
OTHER = graph_of(
    (DATA, LABEL, terms.string("table")),
    (DATA, vocab.LICENSE, terms.iri("https://spdx.org/licenses/MIT")),
    (f"{RUN}#evaluation-1", P["model"], terms.iri(MODEL)),
    (f"{RUN}#evaluation-1", P["value"], terms.real(0.97)),
    name=f"{G}2",
)


def test_a_lineage_document_is_a_tree_from_its_root():
    assert jsonld.lineage_document([SMALL, OTHER], MODEL) == {
        "@context": vocab.CONTEXT,
        "id": MODEL,
        "wasDerivedFrom": {
            "id": DATA,
            "type": "Dataset",
            "label": "table",
            "rowCount": "569",
            "license": "https://spdx.org/licenses/MIT",
        },
        "wasGeneratedBy": {
            "id": RUN,
            "type": "Run",
            "label": 'fit "it" 😀\n',
            "durationSeconds": {"@type": "xsd:integer", "@value": "3"},
            "param:depth": {"@type": "xsd:integer", "@value": "6"},
            "tag:team": "x",
            "startedAtTime": "2026-01-02T03:04:05.5Z",
            "used": DATA,
        },
        "@included": [
            {"id": G, "type": ["Bundle", "RunRecord"]},
            {"id": f"{RUN}#evaluation-1", "model": MODEL, "value": "0.97"},
            {
                "id": f"{RUN}#metrics-1",
                "metric:auc": {"@type": "xsd:decimal", "@value": "0.97"},
                "wasGeneratedBy": RUN,
            },
        ],
    }


def test_the_order_of_the_graphs_does_not_matter():
    assert jsonld.to_bytes(jsonld.lineage_document([SMALL, OTHER], MODEL)) == jsonld.to_bytes(
        jsonld.lineage_document([OTHER, SMALL, OTHER], MODEL)
    )


def test_a_lineage_document_holds_the_union_of_the_statements():
    document = jsonld.lineage_document([SMALL, OTHER], MODEL)
    union = triples_of(SMALL, OTHER)
    assert by_pyld_and_oxigraph(document) == union
    assert by_oxigraph(inlined(document)) == union
    with warnings.catch_warnings():
        # rdflib warns of what its own parser uses.
        warnings.simplefilter("ignore", DeprecationWarning)
        read = rdflib.Graph().parse(data=json.dumps(inlined(document)), format="json-ld")
    assert {*read} == {*rdflib.Graph().parse(data=union, format="nt")}


@settings(max_examples=200, deadline=None)
@given(graphs(), graphs(name=f"{G}2"))
def test_any_lineage_expands_to_the_union(first, second):
    root = next(terms.parse_lines(first))[0][1:-1]
    document = json.loads(jsonld.to_bytes(jsonld.lineage_document([first, second], root)))
    union = triples_of(first, second)
    assert document["id"] == root
    assert by_pyld_and_oxigraph(document) == union
    assert by_oxigraph(inlined(document)) == union


def test_a_cycle_is_described_once():
    def a(n):
        return f"urn:x:{n}"

    ring = graph_of(*((a(n), PROV_T["wasInformedBy"], terms.iri(a((n + 1) % 3))) for n in range(3)))
    assert jsonld.lineage_document([ring], a(1)) == {
        "@context": vocab.CONTEXT,
        "id": a(1),
        "wasInformedBy": {
            "id": a(2),
            "wasInformedBy": {"id": a(0), "wasInformedBy": a(1)},
        },
    }
    island = graph_of((a(9), LABEL, terms.string("x")), name=f"{G}2")
    document = jsonld.lineage_document([ring, island], a(9))
    assert [node["id"] for node in document["@included"]] == [a(0)]
    assert by_pyld_and_oxigraph(document) == triples_of(ring, island)


def test_a_chain_of_ten_thousand_stays_within_reach_of_a_recursive_reader():
    chain = graph_of(
        *(
            (f"urn:x:{n}", PROV_T["wasDerivedFrom"], terms.iri(f"urn:x:{n + 1}"))
            for n in range(10_000)
        )
    )
    document = jsonld.lineage_document([chain], "urn:x:0")
    assert by_oxigraph(inlined(document)) == triples_of(chain)
    trees = [document, *document["@included"]]
    assert [tree["id"] for tree in trees] == [f"urn:x:{n}" for n in range(0, 10_000, 16)]
    assert max(map(depth, trees)) == jsonld.MAX_DEPTH


def depth(node) -> int:
    below = [value for key, value in node.items() if key != "@included" and isinstance(value, dict)]
    return 1 + max(map(depth, below), default=0)


def test_a_root_that_nothing_is_said_about_is_not_found():
    with pytest.raises(NotFoundError, match="none of the 1 graphs says anything about urn:x:none"):
        jsonld.lineage_document([SMALL], "urn:x:none")


def test_lines_that_are_not_canonical_are_refused():
    with pytest.raises(FormatError, match="sorted"):
        jsonld.lineage_document([b"".join(reversed(SMALL.splitlines(keepends=True)))], MODEL)
