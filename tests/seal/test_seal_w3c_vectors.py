"""W3C's vectors beyond the single seal (vc-di-eddsa), without a JSON-LD processor.

Proof sets and chains: our seals are single proofs without an `id`, so these go one step further
than the product. Their proof configurations have an `id` as subject, and a link of a chain signs
the document together with the proofs that it builds on. What is checked is the part that is ours:
five lines, two hashes in that order, the signature. The quads around them are written out here from
the vectors' JSON. Data Integrity 1.0, section 4.1.2 (proof sets) and 4.1.3 (proof chains): in the
data to be hashed, `proof` holds exactly the matching previous proofs, each as a graph of its own.

`eddsa-jcs-2022` and `Ed25519Signature2020` are suites that we do not use; their vectors check our
JSON canonicalisation and our signatures, and that a seal of theirs is none of ours.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pyoxigraph as ox
import pytest

from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.jcs import encode
from provgraph.seal.keys import Signer, signer_from_seed, verify_signature
from provgraph.seal.multikey import (
    base58_decode,
    base58_encode,
    multibase_decode,
    parse_verification_method,
)
from provgraph.seal.proof import proof_config, verify_seal

VECTORS = Path(__file__).resolve().parents[3] / "shared/suites/vc-di-eddsa/TestVectors"
SECURITY = "https://w3id.org/security#"
DOCUMENT = "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33"


@pytest.fixture
def vectors() -> Path:
    if not VECTORS.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the W3C vectors are not at {VECTORS}")
        pytest.skip(f"needs the W3C vectors at {VECTORS}")
    return VECTORS


def load(vectors: Path, name: str) -> Any:
    return json.loads((vectors / "proof-set-chain" / f"{name}.json").read_text("utf-8"))


def document_lines(vectors: Path) -> list[str]:
    text = (vectors / "eddsa-rdfc-2022/canonDocDataInt.txt").read_text("utf-8")
    return text.splitlines(keepends=True)


def previous(proof: dict[str, Any]) -> list[str]:
    """The proofs that this one builds on; none in a proof set."""
    found = proof.get("previousProof", [])
    return [found] if isinstance(found, str) else found


def config_lines(proof: dict[str, Any]) -> list[str]:
    """The canonical proof configuration: our five lines under the proof's own name, and its links."""
    created = datetime.fromisoformat(proof["created"])
    lines = proof_config(created, proof["verificationMethod"]).decode()
    subject = f"<{proof['id']}>" if "id" in proof else "_:c14n0"
    links = [f"_:c14n0 <{SECURITY}previousProof> <{each}> .\n" for each in sorted(previous(proof))]
    return sorted(
        line.replace("_:c14n0", subject) for line in [*lines.splitlines(keepends=True), *links]
    )


def with_proofs(lines: list[str], proofs: list[dict[str, Any]]) -> bytes:
    """The document with these proofs in it, each in a graph of its own, canonical."""
    quads = list(lines)
    for number, proof in enumerate(proofs):
        graph = f"_:g{number}"
        quads.append(f"<{DOCUMENT}> <{SECURITY}proof> {graph} .\n")
        value = f'"{proof["proofValue"]}"^^<{SECURITY}multibase>'
        stated = [*config_lines(proof), f"<{proof['id']}> <{SECURITY}proofValue> {value} .\n"]
        quads += [line.replace(" .\n", f" {graph} .\n") for line in stated]
    dataset = ox.Dataset(ox.parse("".join(quads), format=ox.RdfFormat.N_QUADS))
    dataset.canonicalize(ox.CanonicalizationAlgorithm.RDFC_1_0)
    data = ox.serialize(dataset, format=ox.RdfFormat.N_QUADS)
    return b"".join(sorted(data.splitlines(keepends=True)))


def signed_bytes(proof: dict[str, Any], graph_nq: bytes) -> bytes:
    config = "".join(config_lines(proof)).encode()
    return hashlib.sha256(config).digest() + hashlib.sha256(graph_nq).digest()


def verify(proof: dict[str, Any], graph_nq: bytes) -> None:
    key = parse_verification_method(proof["verificationMethod"])
    signature = multibase_decode(proof["proofValue"], length=64, what="a proofValue")
    verify_signature(key, signature, signed_bytes(proof, graph_nq), what="proof")


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("signedProofSet1", [0]),
        ("signedProofSet2", [0, 0]),
        ("signedProofChain1", [0, 0, 2]),
        ("signedProofChain2", [0, 0, 2, 1]),
    ],
)
def test_w3c_sets_and_chains(vectors: Path, name: str, links: list[int]) -> None:
    document = load(vectors, name)
    proofs = document["proof"] if isinstance(document["proof"], list) else [document["proof"]]
    by_id = {proof["id"]: proof for proof in proofs if "id" in proof}
    keys = load(vectors, "multiKeyPairs")
    lines = document_lines(vectors)
    found = []
    for number, proof in enumerate(proofs, start=1):
        before = [by_id[each] for each in previous(proof)]
        graph_nq = with_proofs(lines, before)
        verify(proof, graph_nq)
        signer = signer_from_seed(
            base58_decode(keys[f"keyPair{number}"]["privateKeyMultibase"][1:])[2:]
        )
        assert signer.verification_method == proof["verificationMethod"]
        signature = multibase_decode(proof["proofValue"], length=64, what="a proofValue")
        assert signer.sign(signed_bytes(proof, graph_nq)) == signature
        found.append(len(before))
    assert found == links


def test_link_of_a_chain_without_the_proofs_it_builds_on_is_refused(vectors: Path) -> None:
    *_, last = load(vectors, "signedProofChain1")["proof"]
    with pytest.raises(UntrustedError, match="does not verify"):
        verify(last, "".join(document_lines(vectors)).encode())


def test_link_of_a_chain_over_another_earlier_proof_is_refused(vectors: Path) -> None:
    first, second, last = load(vectors, "signedProofChain1")["proof"]
    swapped = [first, {**second, "proofValue": first["proofValue"]}]
    with pytest.raises(UntrustedError, match="does not verify"):
        verify(last, with_proofs(document_lines(vectors), swapped))


def test_proof_of_a_set_under_the_other_ones_name_is_refused(vectors: Path) -> None:
    first, second = load(vectors, "signedProofSet2")["proof"]
    graph_nq = "".join(document_lines(vectors)).encode()
    with pytest.raises(UntrustedError, match="does not verify"):
        verify({**first, "id": second["id"]}, graph_nq)


def test_w3c_jcs_vector_byte_for_byte(vectors: Path) -> None:
    folder = vectors / "eddsa-jcs-2022"

    def text(name: str) -> str:
        return (folder / f"{name}JCS.txt").read_text("utf-8").strip()

    document = json.loads((folder / "signedJCS.json").read_text("utf-8"))
    proof = document.pop("proof")
    value = proof.pop("proofValue")
    canonical, config = encode(document), encode(proof)
    assert canonical.decode() == text("canonDoc")
    assert config.decode() == text("proofCanon")
    data = hashlib.sha256(config).digest() + hashlib.sha256(canonical).digest()
    assert data.hex() == text("combinedHash")
    assert "z" + base58_encode(single_signer(vectors).sign(data)) == value == text("sigBTC58")


def test_w3c_older_suite_from_its_canonical_text(vectors: Path) -> None:
    folder = vectors / "Ed25519Signature2020"
    graph_nq = (folder / "canonDocEdSig.txt").read_bytes().rstrip(b"\n") + b"\n"
    config = (folder / "proofCanonEdSig.txt").read_bytes().rstrip(b"\n") + b"\n"
    data = hashlib.sha256(config).digest() + hashlib.sha256(graph_nq).digest()
    assert data.hex() == (folder / "combinedHashEdSig.txt").read_text().strip()
    value = "z" + base58_encode(single_signer(vectors).sign(data))
    assert value == (folder / "sigBTC58EdSig.txt").read_text().strip()
    with pytest.raises(FormatError, match="five lines"):
        verify_seal(graph_nq, config, value)


def single_signer(vectors: Path) -> Signer:
    pair = json.loads((vectors / "keyPair.json").read_text("utf-8"))
    return signer_from_seed(base58_decode(pair["privateKeyMultibase"][1:])[2:])
