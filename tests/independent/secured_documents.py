"""Secured documents, and what Digital Bazaar's packages say of them (node/verify.mjs)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foreign_programs import run_node

from provgraph import vocab
from provgraph.export.jsonld import DATA_INTEGRITY

ONTOLOGY = Path(__file__).resolve().parents[2] / "ontology"
CONTEXTS = {
    vocab.CONTEXT: str(ONTOLOGY / "context.jsonld"),
    DATA_INTEGRITY: str(ONTOLOGY / "contexts" / "data-integrity-v2.jsonld"),
}

Document = dict[str, Any]


def verify(cases: list[tuple[str, Document]]) -> dict[str, str]:
    """Ask the packages; return what they say of each document: "" where it verifies."""
    return ask([{"name": name, "document": document} for name, document in cases])


def verify_graphs(cases: list[tuple[str, Document, bytes]]) -> dict[str, str]:
    """The same with the RDF from graph.nq; of the document only its proof is handed over."""
    return ask([from_graph(name, document, graph_nq) for name, document, graph_nq in cases])


def from_graph(name: str, document: Document, graph_nq: bytes) -> dict[str, Any]:
    bare = {"@context": [DATA_INTEGRITY], "proof": document["proof"]}
    return {"name": name, "document": bare, "graph": graph_nq.decode()}


def ask(request: list[dict[str, Any]]) -> dict[str, str]:
    found = run_node("verify.mjs", {"contexts": CONTEXTS, "cases": request})
    assert [each["verified"] for each in found] == [each["error"] == "" for each in found]
    assert [each["name"] for each in found] == [each["name"] for each in request]
    return {each["name"]: each["error"] for each in found}


def documents(bundle: Path) -> dict[str, Document]:
    return {
        folder.name: json.loads((folder / "record.jsonld").read_text("utf-8"))
        for folder in sorted((bundle / "records").iterdir())
    }


def graph_of(bundle: Path, name: str) -> bytes:
    return (bundle / "records" / name / "graph.nq").read_bytes()
