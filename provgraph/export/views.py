"""Checks that the readable views of a verified bundle say exactly what was signed.

Signatures cover graph.nq; people read Turtle, TriG and JSON-LD. A view that says more, less or
something else is how a reader would be fooled, so each is parsed and compared statement by
statement. Parsers drop what they need not understand (comments, undefined keys, nodes without an
absolute name), and people would read it: so nothing may stand in a view that makes no statement.
JSON-LD is read with the packaged context only; nothing is ever fetched.

Not here: the title in bundle.json, HOWTO-VERIFY.txt and ro-crate-metadata.json. They are words of
whoever exported the bundle, signed by the log key and by nobody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import pyoxigraph as ox

from provgraph import resources, terms, vocab
from provgraph.errors import FormatError, UntrustedError
from provgraph.export.shape import require_lineage_shape, require_secured_shape
from provgraph.export.tokens import require_statements_only
from provgraph.seal.bundle import VerifiedBundle
from provgraph.seal.proof import parse_proof_config

DATA_INTEGRITY_CONTEXT: Final = "https://w3id.org/security/data-integrity/v2"

# SHA-256 of the contexts that earlier releases put into bundles: the vocabulary only grows, and a
# bundle is read with the context that it was written with.
EARLIER_CONTEXTS: Final = frozenset(
    {"674a082e0cf20e424d422088fd0940db5d5070cd030f493923a241b8cf491e0c"}  # 0.1.0
)


def check_views(bundle: VerifiedBundle) -> int:
    """Compare every view with the signed graphs; return how many were compared.

    10. record.ttl, record.jsonld, lineage.trig and lineage.jsonld hold exactly the statements of
        the signed graphs and nothing besides, record.jsonld carries the record's own proof, and
        lineage.jsonld begins at the thing that the bundle explains (a view that misleads its
        readers).

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
        name = f"{folder}/record.jsonld"
        document = _load(bundle, name)
        proof = document.pop("proof", None)
        if proof != _proof(bundle, folder, record.entry.proof_value):
            raise UntrustedError(f"{name}: its proof is not the record's proof")
        context_after = [vocab.CONTEXT, DATA_INTEGRITY_CONTEXT]
        switched_off = _switched_off(document, context_after, context, name)
        _shaped(name, require_secured_shape, document, context, switched_off)
        _require_equal(name, _expand(document, context, switched_off, name), signed)
        compared += 2
    trig = set(_parse(bundle, "lineage.trig", ox.RdfFormat.TRIG))
    _require_equal("lineage.trig", trig, union)
    name = "lineage.jsonld"
    document = _load(bundle, name)
    if document.get("id") != bundle.root:
        raise UntrustedError(f"{name}: expected a tree of {bundle.root}")
    switched_off = _switched_off(document, [vocab.CONTEXT], context, name)
    _shaped(name, require_lineage_shape, document, context, switched_off)
    found = _expand(document, context, switched_off, name)
    _require_equal(name, {quad.triple for quad in found}, {quad.triple for quad in union})
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
    data = _member(bundle, name)
    try:
        text = data.decode("utf-8")
        found = list(ox.parse(data, format=form))
    except (SyntaxError, ValueError) as error:
        raise UntrustedError(f"{name} does not parse: {error}") from None
    try:
        require_statements_only(text, vocab.PREFIXES)
    except FormatError as error:
        raise UntrustedError(f"{name}: {error}") from None
    return found


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
        document = json.loads(_member(bundle, name).decode("utf-8"), object_pairs_hook=refuse_twice)
    except (ValueError, RecursionError):
        raise UntrustedError(f"{name} is not JSON, or nested too deeply") from None
    if not isinstance(document, dict):
        raise UntrustedError(f"{name}: expected a JSON object")
    return document


def _context(bundle: VerifiedBundle) -> Mapping[str, Any]:
    """Return the bundle's context, which must be the packaged one or that of an earlier release."""
    packaged = resources.read_text("ontology", "context.jsonld").encode()
    given = _member(bundle, "context.jsonld")
    if given != packaged and hashlib.sha256(given).hexdigest() not in EARLIER_CONTEXTS:
        raise UntrustedError(
            "context.jsonld is not a context v1 that this provgraph knows, so the JSON-LD views"
            " could mean anything; the signed graphs themselves verified"
        )
    context: Mapping[str, Any] = json.loads(given)["@context"]
    return context


def _switched_off(
    document: Mapping[str, Any], expected: list[str], context: Mapping[str, Any], name: str
) -> frozenset[str]:
    """Return the prefixes that a document switches off, since an IRI in it has such a scheme.

    Raises:
        UntrustedError: its context is another one than that of provgraph, or changes a term of it.
    """
    stated = document.get("@context")
    listed = stated if isinstance(stated, list) else [stated]
    extra = listed[len(expected) :]
    off = extra[0] if len(extra) == 1 and isinstance(extra[0], dict) else {}
    is_harmless = all(
        value is None and isinstance(context.get(prefix), dict) and context[prefix].get("@prefix")
        for prefix, value in off.items()
    )
    if listed[: len(expected)] != expected or bool(extra) != bool(off) or not is_harmless:
        raise UntrustedError(f"{name}: expected the context {expected}, found {stated!r:.200}")
    return frozenset(off)


def _shaped(
    name: str,
    require: Callable[[dict[str, Any], Mapping[str, Any], frozenset[str]], None],
    document: dict[str, Any],
    context: Mapping[str, Any],
    switched_off: frozenset[str],
) -> None:
    try:
        require(document, context, switched_off)
    except FormatError as error:
        raise UntrustedError(f"{name}: {error}") from None


def _expand(
    document: Mapping[str, Any],
    context: Mapping[str, Any],
    switched_off: frozenset[str],
    name: str,
) -> set[ox.Quad]:
    local = {**document, "@context": [context, dict.fromkeys(sorted(switched_off))]}
    try:
        data = json.dumps(local).encode()
        return set(ox.parse(data, format=ox.RdfFormat.JSON_LD))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UntrustedError(f"{name} does not parse: {error}") from None


def _proof(bundle: VerifiedBundle, folder: str, proof_value: str) -> dict[str, str]:
    """Return the proof that record.jsonld must carry: proof.nq in JSON, with its value."""
    proof = parse_proof_config(bundle.members[f"{folder}/proof.nq"])
    return {
        "type": "DataIntegrityProof",
        "cryptosuite": proof.cryptosuite,
        "created": terms.format_time(proof.created),
        "verificationMethod": proof.verification_method,
        "proofPurpose": "assertionMethod",
        "proofValue": proof_value,
    }
