"""Other people's JSON-LD processors, offline, and graphs for them to read.

pyld does what is hard (contexts) and Oxigraph what follows (RDF): pyld's own last step, like that
of jsonld.js, writes every xsd:double anew (`0.97` becomes `9.7E-1`), also one given as a string.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pyoxigraph as ox
from hypothesis import strategies as st
from pyld import jsonld

from provgraph import resources, terms, vocab
from provgraph.export.jsonld import DATA_INTEGRITY
from provgraph.terms import Graph, Term

G = f"{vocab.ID}record/r1"
FILES = {
    vocab.CONTEXT: ("context.jsonld",),
    DATA_INTEGRITY: ("contexts", "data-integrity-v2.jsonld"),
}
CONTEXTS = {url: json.loads(resources.read_text("ontology", *path)) for url, path in FILES.items()}


def load(url, _options):
    """pyld's document loader: what is packaged and nothing else."""
    return {
        "contentType": "application/ld+json",
        "contextUrl": None,
        "documentUrl": url,
        "document": CONTEXTS[url],
    }


def expand(document):
    return jsonld.expand(document, {"documentLoader": load})


def by_pyld_and_oxigraph(document) -> bytes:
    """Sorted N-Quads of a document, its contexts resolved by pyld."""
    return by_oxigraph(expand(document))


def by_pyld(document) -> bytes:
    text = jsonld.to_rdf(document, {"documentLoader": load, "format": "application/n-quads"})
    return b"".join(sorted(text.encode().splitlines(keepends=True)))


def by_oxigraph(document) -> bytes:
    quads = ox.parse(json.dumps(document), format=ox.RdfFormat.JSON_LD)
    data = ox.serialize(quads, format=ox.RdfFormat.N_QUADS)
    return b"".join(sorted({*data.splitlines(keepends=True)}))


def inlined(document) -> dict:
    """The document with the packaged contexts written out, for processors without a loader."""
    contexts = document["@context"]
    listed = contexts if isinstance(contexts, list) else [contexts]
    return {
        **document,
        "@context": [CONTEXTS[c]["@context"] if isinstance(c, str) else c for c in listed],
    }


def triples_of(*graphs: bytes) -> bytes:
    """The union of the statements, without the names of their graphs, as sorted N-Triples."""
    lines = {f"{s} {p} {o} .\n" for graph in graphs for s, p, o, _ in terms.parse_lines(graph)}
    return b"".join(sorted(line.encode() for line in lines))


# ---- graphs of every kind ------------------------------------------------------------------------
TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "a\nb\r\tc\\", 'say "ü" 😀', "\x00\x07\x7f", "http://x/", "@id", "pg:x", "Run", "null"]
    ),
)
SEGMENT = TEXT.map(terms.segment)
IRI = st.one_of(
    SEGMENT.map(lambda s: f"{vocab.ID}thing/{s}"),
    SEGMENT.map(lambda s: f"urn:x:{s}"),
    st.sampled_from(
        [
            "tag:example.org,2026:x",
            "pg:rowCount",
            "pg://x",
            "data:text/plain,hi",
            "model:m",
            "id:x",
            "xsd:string",
            "prov:used",
            "file:///a//b",
            "https://x/%20a?q=1&r=(2)#f",
        ]
    ),
)
KNOWN = sorted({*vocab.P.values(), *vocab.PROV_T.values(), vocab.LABEL, vocab.LICENSE, vocab.A})
PREDICATE = st.one_of(
    st.sampled_from(KNOWN),
    st.tuples(
        st.sampled_from([vocab.PARAM, vocab.METRIC, vocab.TAG, vocab.PG, vocab.RDF]),
        st.one_of(SEGMENT, st.sampled_from(["//x", "a:b", "Run"])),
    ).map(lambda pair: terms.iri("".join(pair))),
    IRI.map(terms.iri),
)
LITERAL = st.one_of(
    TEXT.map(terms.string),
    st.integers(-(10**20), 10**20).map(terms.integer),
    st.floats().map(terms.double),
    st.booleans().map(terms.boolean),
    st.sampled_from(
        [
            terms.decimal(Decimal("1.5")),
            terms.timestamp(datetime(2026, 1, 2, 3, 4, 5, 500000, UTC)),
            terms.typed("2026-01-02", f"{vocab.XSD}date"),
            terms.typed("x", "urn:x:type"),
            Term('"x"@en-gb'),
        ]
    ),
)


@st.composite
def graphs(draw, name=G) -> bytes:
    """Canonical bytes of a graph that `Graph` accepts, with subjects that meet as objects."""
    nodes = [terms.iri(text) for text in draw(st.lists(IRI, min_size=1, max_size=5))]
    graph = Graph(name)
    facts = st.tuples(
        st.sampled_from(nodes),
        PREDICATE,
        st.one_of(st.sampled_from(nodes), st.sampled_from(sorted(vocab.C.values())), LITERAL),
    )
    for subject, predicate, value in draw(st.lists(facts, min_size=1, max_size=15)):
        graph.add(subject, predicate, value)
    return graph.canonical()
