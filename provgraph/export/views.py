"""Checks that the readable views of a verified bundle say exactly what was signed.

Signatures cover graph.nq; people read Turtle, TriG and JSON-LD. A view that says more, less or
something else is how a reader would be fooled, so each is parsed and compared statement by
statement. JSON-LD is read with the packaged context only (nothing is ever fetched), and a key that
the context does not define is refused: processors drop it silently, people would read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyoxigraph as ox

from provgraph import resources, vocab
from provgraph.errors import UntrustedError
from provgraph.seal.bundle import VerifiedBundle

DATA_INTEGRITY_CONTEXT: Final = "https://w3id.org/security/data-integrity/v2"
_KEYWORDS: Final = frozenset(
    {"@context", "@id", "@type", "@value", "@graph", "@language", "@list", "@set", "@included"}
)


def check_views(bundle: VerifiedBundle) -> int:
    """Compare every view with the signed graphs; return how many were compared.

    10. record.ttl, record.jsonld, lineage.trig and lineage.jsonld hold exactly the statements of
        the signed graphs, and record.jsonld carries the record's own proof (a view that misleads
        its readers).

    Raises:
        UntrustedError: a view that differs, does not parse, or is missing.
    """
    context = _context(bundle)
    compared = 0
    union: set[ox.Quad] = set()
    for record in bundle.records:
        folder = f"records/{record.position:06d}"
        signed = set(ox.parse(record.graph_nq, format=ox.RdfFormat.N_QUADS))
        union |= signed
        triples = {quad.triple for quad in signed}
        turtle = _parse(bundle, f"{folder}/record.ttl", ox.RdfFormat.TURTLE)
        _require_equal(f"{folder}/record.ttl", {quad.triple for quad in turtle}, triples)
        document = _load(bundle, f"{folder}/record.jsonld")
        _check_proof(f"{folder}/record.jsonld", document, record.entry.proof_value)
        plain = {key: value for key, value in document.items() if key != "proof"}
        _require_equal(f"{folder}/record.jsonld", _expand(plain, context, folder), signed)
        compared += 2
    trig = set(_parse(bundle, "lineage.trig", ox.RdfFormat.TRIG))
    _require_equal("lineage.trig", trig, union)
    found = _expand(_load(bundle, "lineage.jsonld"), context, "lineage.jsonld")
    _require_equal(
        "lineage.jsonld", {quad.triple for quad in found}, {quad.triple for quad in union}
    )
    return compared + 2


def _require_equal(name: str, found: set[Any], signed: set[Any]) -> None:
    extra, lacking = found - signed, signed - found
    if extra:
        raise UntrustedError(f"{name} says what nobody signed: {_first(extra)}")
    if lacking:
        raise UntrustedError(f"{name} leaves out what was signed: {_first(lacking)}")


def _first(statements: Iterable[Any]) -> str:
    return min(str(statement) for statement in statements)[:300]


def _parse(bundle: VerifiedBundle, name: str, form: ox.RdfFormat) -> list[ox.Quad]:
    try:
        return list(ox.parse(_member(bundle, name), format=form))
    except (SyntaxError, ValueError) as error:
        raise UntrustedError(f"{name} does not parse: {error}") from None


def _member(bundle: VerifiedBundle, name: str) -> bytes:
    try:
        return bundle.members[name]
    except KeyError:
        raise UntrustedError(f"expected a member {name}, found none") from None


def _load(bundle: VerifiedBundle, name: str) -> dict[str, Any]:
    def refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise UntrustedError(f"{name}: a key stands twice in one object")
        return value

    try:
        document = json.loads(_member(bundle, name), object_pairs_hook=refuse_twice)
    except (ValueError, RecursionError):
        raise UntrustedError(f"{name} is not JSON, or nested too deeply") from None
    if not isinstance(document, dict):
        raise UntrustedError(f"{name}: expected a JSON object")
    return document


def _context(bundle: VerifiedBundle) -> Mapping[str, Any]:
    """Return the packaged context; the bundle's copy must be one that this provgraph knows."""
    packaged = resources.read_text("ontology", "context.jsonld")
    if _member(bundle, "context.jsonld") != packaged.encode():
        raise UntrustedError(
            "context.jsonld is not the context v1 that this provgraph ships, so the JSON-LD views"
            " could mean anything; the signed graphs themselves verified"
        )
    terms: Mapping[str, Any] = json.loads(packaged)["@context"]
    return terms


def _expand(document: dict[str, Any], context: Mapping[str, Any], name: str) -> set[ox.Quad]:
    stated = document.get("@context")
    first, *others = stated if isinstance(stated, list) else [stated]
    shadowed = [each for each in others if each != DATA_INTEGRITY_CONTEXT]
    if first != vocab.CONTEXT or not all(_only_switches_off(each) for each in shadowed):
        raise UntrustedError(f"{name}: expected the context {vocab.CONTEXT}, found {stated!r:.200}")
    _refuse_undefined(document, context, name)
    local = {**document, "@context": [context, *shadowed]}
    try:
        data = json.dumps(local).encode()
        return set(ox.parse(data, format=ox.RdfFormat.JSON_LD))
    except (SyntaxError, ValueError) as error:
        raise UntrustedError(f"{name} does not parse: {error}") from None


def _only_switches_off(context: object) -> bool:
    """Whether a context only switches prefixes off, which an IRI with such a scheme needs."""
    return isinstance(context, dict) and all(value is None for value in context.values())


def _refuse_undefined(document: dict[str, Any], context: Mapping[str, Any], name: str) -> None:
    prefixes = {key for key in context if f"{key}:" not in context}
    stack: list[Any] = [{key: value for key, value in document.items() if key != "@context"}]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                prefix = key.partition(":")[0]
                is_known = key in context or key in _KEYWORDS or (":" in key and prefix in prefixes)
                if not is_known or key == "@context":
                    raise UntrustedError(f"{name}: the key {key[:100]!r} is not in the context")
                stack.append(inner)


def _check_proof(name: str, document: Mapping[str, Any], proof_value: str) -> None:
    proof = document.get("proof")
    if not isinstance(proof, dict) or proof.get("proofValue") != proof_value:
        raise UntrustedError(f"{name}: its proof is not the record's proof")
