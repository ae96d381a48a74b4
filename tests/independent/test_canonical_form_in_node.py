"""rdf-canonize (npm) finds that graph.nq is canonical: RDFC-1.0 of the same statements, byte for byte."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from foreign_programs import run_node

from provgraph import terms, vocab
from provgraph.errors import FormatError
from provgraph.seal.keys import signer_from_seed
from provgraph.seal.multikey import P256
from provgraph.seal.proof import seal
from provgraph.terms import Graph, Term

pytestmark = pytest.mark.usefixtures("node")

# Every character that a literal can hold and that some tool escapes, splits at or normalises.
ODD = [
    *map(chr, range(0x20)),
    *'"\\\x7f\x80\x85\x9f\xa0',
    *"\u0300\u0301\u00e9\u200b\u200d\u2028\u2029\ud7ff\ue000\ufb33\ufeff\ufffd",
    *"\U00010000\U0001f600\U0001d518\U0010fffd\U0010ffff",
]


def canonize(texts: list[str]) -> list[str]:
    found: list[str] = run_node("canonize.mjs", texts)
    return found


def shuffled(text: str, seed: int) -> str:
    """The same lines in another order, one of them twice."""
    # str.splitlines would know eight other ends of a line.
    lines = [f"{line}\n" for line in text.split("\n")[:-1]]
    random.Random(seed).shuffle(lines)
    return "".join([*lines, lines[0]])


def test_graphs_of_bundles(bundle: Path, bundle_with_double: Path) -> None:
    paths = [
        path for each in (bundle, bundle_with_double) for path in each.glob("records/*/graph.nq")
    ]
    graphs = [path.read_bytes().decode() for path in paths]
    assert len(graphs) == 9
    assert any("😀" in graph for graph in graphs) is True
    assert canonize([shuffled(graph, seed) for seed, graph in enumerate(graphs)]) == graphs


def test_proof_configurations_under_another_label(bundle: Path) -> None:
    """proof.nq is what RDFC-1.0 makes of a proof configuration, whose blank node has any label."""
    proofs = [path.read_bytes().decode() for path in bundle.glob("records/*/proof.nq")]
    signer = signer_from_seed(b"\x05" * 32, algorithm=P256)
    graph_nq = b"<urn:a> <urn:b> <urn:c> <urn:g> .\n"
    at = datetime(2026, 1, 2, 3, 4, 5, 670000, UTC)
    proofs.append(seal(graph_nq, signer=signer, created=at).proof_nq.decode())
    assert len(proofs) == 7
    relabelled = [
        shuffled(proof, seed).replace("_:c14n0", "_:proof") for seed, proof in enumerate(proofs)
    ]
    assert canonize(relabelled) == proofs


def literals() -> list[Term]:
    """Every kind of literal that we write."""
    at = datetime(2026, 1, 2, 3, 4, 5, 500000, UTC)
    numbers = (0.1, 1e-30, 1e300, 5e-324, -0.0, float("nan"), float("inf"), float("-inf"))
    return [
        *map(terms.string, [*ODD, "".join(ODD), "", "@en", "^^<urn:x>", "a\\nb"]),
        *map(terms.double, numbers),
        *map(terms.real, numbers),
        *map(terms.integer, (0, -1, 10**30)),
        terms.decimal(Decimal("123456789012345678.000000000000000001")),
        terms.boolean(True),
        terms.timestamp(at),
        terms.typed("2026-01-02", f"{vocab.XSD}date"),
        terms.typed("😀", "urn:x:type"),
        Term('"x"@en-gb'),
    ]


def test_every_kind_of_literal() -> None:
    graphs = []
    for value in literals():
        graph = Graph("urn:x:g")
        graph.add(terms.iri("urn:x:s"), terms.iri("urn:x:p"), value)
        graphs.append(graph.canonical().decode())
    assert canonize(graphs) == graphs


def test_random_graphs() -> None:
    chance = random.Random(7)
    values = literals()
    graphs = []
    while len(graphs) < 300:
        graph = Graph(f"urn:x:{terms.segment(chance.choice(ODD))}")
        for _ in range(chance.randrange(1, 30)):
            text = "".join(chance.choices(ODD, k=chance.randrange(4)))
            graph.add(
                terms.iri(f"urn:x:{terms.segment(text)}"),
                terms.iri(f"urn:p:{chance.randrange(3)}"),
                chance.choice([chance.choice(values), terms.string(text)]),
            )
        try:
            graphs.append(graph.canonical().decode())
        except FormatError:
            continue  # the order that the last test is about
    assert canonize([shuffled(graph, seed) for seed, graph in enumerate(graphs)]) == graphs


def test_the_order_that_we_refuse_is_one_that_rdf_canonize_gets_wrong() -> None:
    """RDFC-1.0 sorts by code point, JavaScript by UTF-16 unit: U+1F600 (D83D DE00) and U+FF5E."""
    graph = Graph("urn:x:g")
    for text in ("\uff5e", "\U0001f600"):
        graph.add(terms.iri("urn:x:s"), terms.iri("urn:x:p"), terms.string(text))
    with pytest.raises(FormatError, match="UTF-16"):
        graph.canonical()
    lines = [f'<urn:x:s> <urn:x:p> "{text}" <urn:x:g> .\n' for text in ("\uff5e", "\U0001f600")]
    assert sorted(lines) == lines
    assert canonize(["".join(lines)]) == ["".join(reversed(lines))]
