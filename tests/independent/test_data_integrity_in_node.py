"""Every record.jsonld is a W3C Data Integrity document to Digital Bazaar's packages, offline.

They do all themselves: expand the JSON-LD with the packaged contexts, make RDF, canonicalise it,
hash, and check the signature under the key that the did:key names. Each change that must be caught
is tried against them too.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from secured_documents import (
    CONTEXTS,
    Document,
    ask,
    documents,
    from_graph,
    graph_of,
    verify,
    verify_graphs,
)

from provgraph import resources, terms, vocab
from provgraph.export.jsonld import secured_document
from provgraph.seal.keys import Signer, signer_from_seed
from provgraph.seal.multikey import P256
from provgraph.seal.proof import seal
from provgraph.terms import Graph

pytestmark = pytest.mark.usefixtures("node")

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ED25519_SIGNER = signer_from_seed(b"\x05" * 32)
P256_SIGNER = signer_from_seed(b"\x05" * 32, algorithm=P256)


def sealed(graph_nq: bytes, signer: Signer) -> Document:
    made = seal(graph_nq, signer=signer, created=CREATED)
    document = secured_document(graph_nq, proof_nq=made.proof_nq, proof_value=made.proof_value)
    return json.loads(json.dumps(document))


# ---- what verifies -------------------------------------------------------------------------------
def test_contexts_are_the_packaged_ones(bundle: Path) -> None:
    packaged = resources.read_text("ontology", "context.jsonld")
    assert (bundle / "context.jsonld").read_text("utf-8") == packaged
    assert Path(CONTEXTS[vocab.CONTEXT]).read_text("utf-8") == packaged


def test_every_record_of_a_bundle_verifies(bundle: Path) -> None:
    found = documents(bundle)
    assert len(found) == 6
    assert verify([*found.items()]) == dict.fromkeys(found, "")


def test_every_record_verifies_from_its_graph(bundle: Path) -> None:
    found = documents(bundle)
    cases = [(name, document, graph_of(bundle, name)) for name, document in found.items()]
    assert verify_graphs(cases) == dict.fromkeys(found, "")


def test_p256_seals_and_proof_sets_verify(bundle: Path) -> None:
    """`ecdsa-rdfc-2019`, and both suites over one document."""
    cases = []
    for name in documents(bundle):
        p256, ed25519 = (
            sealed(graph_of(bundle, name), signer) for signer in (P256_SIGNER, ED25519_SIGNER)
        )
        assert p256["proof"]["cryptosuite"] == "ecdsa-rdfc-2019"
        both = {**p256, "proof": [p256["proof"], ed25519["proof"]]}
        cases += [(f"{name} P-256", p256), (f"{name} both", both)]
    assert verify(cases) == {name: "" for name, _ in cases}


def test_an_iri_whose_scheme_is_a_prefix_of_ours_verifies() -> None:
    """Such a document has a context of its own that switches the prefix off."""
    graph = Graph(f"{vocab.ID}record/iris")
    for text in ("tag:example.org,2026:x", "pg:rowCount", "data:text/plain,hi", "urn:uuid:1"):
        graph.add(terms.iri(text), vocab.LABEL, terms.string(text))
    document = sealed(graph.canonical(), ED25519_SIGNER)
    assert document["@context"][2:] == [{"pg": None, "tag": None}]
    assert verify([("iris", document)]) == {"iris": ""}


# ---- what must not -------------------------------------------------------------------------------
def text_replaced(old: str, new: str) -> Callable[[Document], Document]:
    def change(document: Document) -> Document:
        text = json.dumps(document, ensure_ascii=False)
        assert old in text
        return json.loads(text.replace(old, new, 1))

    return change


def proof_changed(**changes: str) -> Callable[[Document], Document]:
    return lambda document: {**document, "proof": {**document["proof"], **changes}}


def node_changed(change: Callable[[Document], None]) -> Callable[[Document], Document]:
    """Change the node of the run itself."""

    def changed(document: Document) -> Document:
        document = copy.deepcopy(document)
        change(next(node for node in document["@graph"] if "Run" in node.get("type", ())))
        return document

    return changed


def signature_bit_flipped(document: Document) -> Document:
    value = document["proof"]["proofValue"]
    other = "2" if value[40] != "2" else "3"
    return proof_changed(proofValue=value[:40] + other + value[41:])(document)


def line_dropped(document: Document) -> Document:
    return {**document, "@graph": document["@graph"][:-1]}


OTHER = signer_from_seed(b"\x06" * 32)
INVALID = "Invalid signature."
NO_PROOF_FITS = (
    "Did not verify any proofs; insufficient proofs matched the acceptable suite(s) and required"
    " purpose(s)."
)
NOT_LOADED = (
    "Dereferencing a URL did not result in a valid JSON-LD object. Possible causes are an"
    " inaccessible URL perhaps due to a same-origin policy (ensure the server uses CORS if you are"
    " using client-side JavaScript), too many redirects, a non-JSON response, or more than one HTTP"
    ' Link Header was provided for a remote context. URL: "https://evil.example".'
)
TAMPERED: dict[str, tuple[Callable[[Document], Document], str]] = {
    "value changed": (text_replaced("0.9123456789012345", "0.9923456789012345"), INVALID),
    "text changed": (text_replaced("for the pilot", "for everybody"), INVALID),
    "IRI changed": (text_replaced("/content/sha256/", "/content/sha256/0"), INVALID),
    "statement dropped": (line_dropped, INVALID),
    "statement added": (node_changed(lambda run: run.update(wasInformedBy="urn:x:y")), INVALID),
    "class changed": (node_changed(lambda run: run.update(type="Step")), INVALID),
    "number made a double": (
        text_replaced('"value": "0.9123456789012345"', '"value": 0.9123456789012345'),
        INVALID,
    ),
    "graph renamed": (text_replaced("/record/", "/record/x"), INVALID),
    "created changed": (proof_changed(created="2020-01-01T00:00:00Z"), INVALID),
    "verificationMethod changed": (
        proof_changed(verificationMethod=OTHER.verification_method),
        INVALID,
    ),
    "verificationMethod of P-256": (
        proof_changed(verificationMethod=P256_SIGNER.verification_method),
        '"bytes" must be a 32-byte Uint8Array.',
    ),
    "verificationMethod of another place": (
        proof_changed(verificationMethod="https://evil.example/key"),
        "not packaged, and nothing is fetched: https://evil.example/key",
    ),
    "proofPurpose changed": (
        proof_changed(proofPurpose="authentication"),
        NO_PROOF_FITS,
    ),
    "cryptosuite changed": (
        proof_changed(cryptosuite="ecdsa-rdfc-2019"),
        "Unsupported public multikey header.",
    ),
    "signature changed": (signature_bit_flipped, INVALID),
    "undefined term": (
        node_changed(lambda run: run.update(approvedBy="nobody")),
        "Safe mode validation error.",
    ),
    "remote context": (
        lambda document: {**document, "@context": [*document["@context"], "https://evil.example"]},
        NOT_LOADED,
    ),
    "term redefined": (
        lambda document: {**document, "@context": [*document["@context"], {"value": "urn:x:v"}]},
        "Invalid JSON-LD syntax; tried to redefine a protected term.",
    ),
    "prefix switched off": (
        lambda document: {**document, "@context": [*document["@context"], {"metric": None}]},
        INVALID,
    ),
    "proof removed": (
        lambda document: {key: value for key, value in document.items() if key != "proof"},
        "No matching proofs found in the given document.",
    ),
}


@pytest.fixture
def trained(bundle: Path) -> Document:
    """The record of the run that trained the model."""
    return next(
        document
        for document in documents(bundle).values()
        if "0.9123456789012345" in json.dumps(document)
    )


def test_tampered_documents_are_refused(bundle: Path, trained: Document) -> None:
    approval = next(each for each in documents(bundle).values() if "for the pilot" in str(each))
    cases = [
        (name, change(approval if name == "text changed" else trained))
        for name, (change, _) in TAMPERED.items()
    ]
    assert verify(cases) == {name: error for name, (_, error) in TAMPERED.items()}


def test_proof_of_another_record_is_refused(bundle: Path) -> None:
    found = documents(bundle)
    names = [*found]
    cases = [
        (name, {**found[name], "proof": found[other]["proof"]})
        for name, other in zip(names, names[1:] + names[:1], strict=True)
    ]
    assert verify(cases) == dict.fromkeys(names, INVALID)


def test_graph_of_another_record_is_refused(bundle: Path) -> None:
    found = documents(bundle)
    names = [*found]
    cases = [
        (name, found[name], graph_of(bundle, other))
        for name, other in zip(names, names[1:] + names[:1], strict=True)
    ]
    assert verify_graphs(cases) == dict.fromkeys(names, INVALID)


# ---- doubles -------------------------------------------------------------------------------------
def test_record_with_a_double_verifies_from_its_graph_only(bundle_with_double: Path) -> None:
    found = documents(bundle_with_double)
    doubles = {name for name in found if b"XMLSchema#double>" in graph_of(bundle_with_double, name)}
    assert len(doubles) == 1
    said = verify([*found.items()])
    assert said == {name: INVALID if name in doubles else "" for name in found}
    cases = [
        (name, document, graph_of(bundle_with_double, name)) for name, document in found.items()
    ]
    assert verify_graphs(cases) == dict.fromkeys(found, "")


# What the packages say of a record that holds the number, read as JSON-LD.
NUMBERS = {
    0.97: "",
    -1e-18: "",
    0.1 + 0.2: "",
    1e-19: INVALID,
    1e-30: INVALID,
    1e18: INVALID,
    float("inf"): INVALID,
    float("-inf"): INVALID,
    # The one double whose text jsonld.js leaves as it is.
    float("nan"): "",
}


def test_which_numbers_survive_json_ld_in_javascript() -> None:
    cases, expected = [], {}
    for value, said in NUMBERS.items():
        graph = Graph(f"{vocab.ID}record/numbers")
        graph.add(terms.iri("urn:x:run"), terms.iri(f"{vocab.METRIC}m"), terms.real(value))
        graph_nq = graph.canonical()
        for signer in (ED25519_SIGNER, P256_SIGNER):
            document = sealed(graph_nq, signer)
            name = f"{value} {signer.algorithm}"
            cases.append({"name": name, "document": document})
            cases.append(from_graph(f"{name} from its graph", document, graph_nq))
            expected |= {name: said, f"{name} from its graph": ""}
    assert ask(cases) == expected


def test_decimals_of_every_length_survive() -> None:
    graph = Graph(f"{vocab.ID}record/numbers")
    for digits in range(1, 19):
        number = Decimal(1) / Decimal(10) ** digits + Decimal(digits)
        graph.add(terms.iri("urn:x:run"), terms.iri(f"{vocab.METRIC}m"), terms.decimal(number))
    assert verify([("decimals", sealed(graph.canonical(), ED25519_SIGNER))]) == {"decimals": ""}
