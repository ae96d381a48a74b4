"""JSON-LD 1.1 straight from canonical N-Quads, with the packaged context and no JSON-LD processor.

Specifications: JSON-LD 1.1, sections 4 and 5; VC Data Integrity 1.0, section 2.1 for the place of
the proof. Two documents: a record's *secured document*, whose RDF without `proof` is exactly the
bytes that were signed, and a *lineage document*, many graphs merged into a tree that a person can
read from its root.

Nothing is rounded or retyped: every number is a typed string (a native JSON number would be
rewritten by a processor), and where a term's own datatype does not fit, the value says its type.
Which terms exist and how they are coerced is read from `ontology/context.jsonld`.

What it does not do: read JSON-LD; tell which graph made which statement of a lineage document
(TriG does, `provgraph.export.rdf`).
"""

from __future__ import annotations

import functools
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

from provgraph import resources, terms, vocab
from provgraph.errors import FormatError, NotFoundError
from provgraph.seal.proof import parse_proof_config
from provgraph.terms import XSD_STRING, Term
from provgraph.vocab import LABEL, PROV, A

Json = None | str | list["Json"] | dict[str, "Json"]
"""What JSON-LD needs here: no numbers, no booleans, and null only to switch a prefix off."""

Document = dict[str, Json]

DATA_INTEGRITY: Final = "https://w3id.org/security/data-integrity/v2"

# Readers (json, pyld, rdflib) recurse once or more per level of nesting: a chain deeper than this
# goes on in a tree of its own under @included.
MAX_DEPTH: Final = 16

_SUBJECT = itemgetter(0)
_PROV: Final = f"<{PROV}"


def secured_document(graph_nq: bytes, *, proof_nq: bytes, proof_value: str) -> Document:
    """Write a sealed graph as a Data Integrity secured document.

    Raises:
        FormatError: the bytes are not one canonical named graph, or the proof configuration is not
            one of ours.
    """
    statements = list(terms.parse_lines(graph_nq))
    names = {graph for _, _, _, graph in statements}
    if len(names) != 1:
        raise FormatError(f"expected the statements of one named graph, found {len(names)} graphs")
    proof = parse_proof_config(proof_nq)
    writer = _Writer(graph_nq)
    return {
        "@context": [vocab.CONTEXT, DATA_INTEGRITY, *writer.shadowed_context()],
        "@id": names.pop()[1:-1],
        # Canonical lines stand sorted, so those of one subject stand together.
        "@graph": [
            writer.fill({}, subject, [(p, o) for _, p, o, _ in group])
            for subject, group in groupby(statements, key=_SUBJECT)
        ],
        "proof": {
            "type": "DataIntegrityProof",
            "cryptosuite": proof.cryptosuite,
            "created": terms.format_time(proof.created),
            "verificationMethod": proof.verification_method,
            "proofPurpose": "assertionMethod",
            "proofValue": proof_value,
        },
    }


def lineage_document(graphs: Sequence[bytes], root: str) -> Document:
    """Merge graphs and write them as a tree from `root`, an IRI.

    A thing is described where it is nearest to the root, and named by its IRI wherever else it
    occurs. What the root does not lead to (such as an evaluation, which points at its model) stands
    under `@included`, as trees of their own. The document's RDF is the union of the statements.

    Raises:
        FormatError: bytes that are not canonical N-Quads.
        NotFoundError: no graph says anything about the root.
    """
    merged = sorted({line[:3] for graph in graphs for line in terms.parse_lines(graph)})
    nodes = {
        subject: [(p, o) for _, p, o in group] for subject, group in groupby(merged, key=_SUBJECT)
    }
    start = terms.iri(root)
    if start not in nodes:
        raise NotFoundError(f"none of the {len(graphs)} graphs says anything about {root}")
    writer = _Writer(*graphs)
    forest = _Forest(writer, nodes)
    tree, *rest = forest.grow([start])
    rest += forest.grow(forest.beginnings())
    # Now only cycles are left that nothing leads into.
    rest += forest.grow(nodes)
    context: list[Json] = [vocab.CONTEXT, *writer.shadowed_context()]
    document: Document = {"@context": context if len(context) > 1 else vocab.CONTEXT, **tree}
    if rest:
        document["@included"] = [*rest]
    return document


def to_bytes(document: Mapping[str, Json]) -> bytes:
    """Write a document as indented UTF-8 JSON; equal documents give equal bytes."""
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()


# ---- the packaged context ------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """`ontology/context.jsonld`, turned round: from IRIs to the words for them."""

    properties: Mapping[Term, tuple[str, str]]  # predicate -> (key, coercion: "", "@id", datatype)
    classes: Mapping[Term, str]
    prefixes: Mapping[str, str]  # prefix -> namespace


@functools.lru_cache(maxsize=1)
def _context() -> _Context:
    definitions = json.loads(resources.read_text("ontology", "context.jsonld"))["@context"]
    prefixes: dict[str, str] = {}
    properties: dict[Term, tuple[str, str]] = {}
    classes: dict[Term, str] = {}
    for name, definition in definitions.items():
        if name.startswith("@") or definition in ("@id", "@type"):
            continue
        if isinstance(definition, str):
            definition = {"@id": definition}  # noqa: PLW2901 - the short form of the same thing
        if definition.get("@prefix"):
            prefixes[name] = definition["@id"]
            continue
        predicate = terms.iri(_expand(definition["@id"], prefixes))
        if name[0].isupper():
            classes[predicate] = name
        else:
            coercion = definition.get("@type", "")
            properties[predicate] = (
                name,
                coercion if coercion in {"", "@id"} else _expand(coercion, prefixes),
            )
    return _Context(properties=properties, classes=classes, prefixes=prefixes)


def _expand(compact: str, prefixes: Mapping[str, str]) -> str:
    prefix, _, name = compact.partition(":")
    return prefixes[prefix] + name


@functools.lru_cache(maxsize=1)
def _scheme_pattern() -> re.Pattern[bytes]:
    """Match an IRI whose scheme is also a prefix of ours (`tag:` is both); `//` rules that out."""
    names = "|".join(map(re.escape, _context().prefixes))
    return re.compile(f"<({names}):(?!//)".encode())


# ---- nodes and values ----------------------------------------------------------------------------
class _Writer:
    """Writes terms as JSON-LD, for one document.

    A prefix that is also the scheme of an IRI in the data is switched off for the document, since
    JSON-LD has no other way to say that `tag:example.org,2026:x` means itself.
    """

    def __init__(self, *graphs: bytes) -> None:
        context = _context()
        pattern = _scheme_pattern()
        self._shadowed = sorted({m.decode() for graph in graphs for m in pattern.findall(graph)})
        self._classes = context.classes
        self._keys = dict(context.properties)
        self._prefixes = [
            (f"<{namespace}", f"{prefix}:")
            for prefix, namespace in context.prefixes.items()
            if prefix not in self._shadowed
        ]
        self._datatypes = {XSD_STRING: ""}

    def shadowed_context(self) -> list[Json]:
        """Return the context that switches prefixes off, if any must be."""
        return [dict.fromkeys(self._shadowed)] if self._shadowed else []

    def fill(
        self,
        node: Document,
        subject: Term,
        facts: Iterable[tuple[Term, Term]],
        embed: Callable[[Term], Document | None] | None = None,
    ) -> Document:
        """Write the facts (predicate, object) of a subject into a node.

        `embed` gives the node to put in place of an IRI, or None where the IRI is enough.
        """
        node["id"] = subject[1:-1]
        node["type"] = None  # keeps the second place
        types: list[Json] = []
        for predicate, value in facts:
            if predicate == A and value[0] == "<":
                types.append(self._classes.get(value) or value[1:-1])
                continue
            known = self._keys.get(predicate)
            if known is None:
                known = self._keys[predicate] = (self._compact(predicate), "")
            key, coercion = known
            written: Json
            if value[0] == '"':
                written = self._literal(value, coercion)
            elif embed is None or (written := embed(value)) is None:
                written = value[1:-1] if coercion == "@id" else {"id": value[1:-1]}
            there = node.get(key)
            if there is None:
                node[key] = written
            elif isinstance(there, list):
                there.append(written)
            else:
                node[key] = [there, written]
        if types:
            node["type"] = types if len(types) > 1 else types[0]
        else:
            del node["type"]
        return node

    def _literal(self, value: Term, coercion: str) -> Json:
        """Write a literal as plainly as the key's coercion allows."""
        text, datatype, language = terms.literal_parts(value)
        if language:
            return {"@language": language, "@value": text}
        if datatype == (coercion or XSD_STRING):
            return text
        short = self._datatypes.get(datatype)
        if short is None:
            short = self._datatypes[datatype] = self._compact(terms.iri(datatype))
        return {"@type": short, "@value": text} if short else {"@value": text}

    def _compact(self, iri: Term) -> str:
        for namespace, prefix in self._prefixes:
            # `//` after a prefix would make it a scheme again.
            if iri.startswith(namespace) and not iri.startswith("//", len(namespace)):
                return prefix + iri[len(namespace) : -1]
        return iri[1:-1]


_Level = list[tuple[Term, Document]]


class _Forest:
    """Trees over the nodes of merged graphs; every node is described in exactly one place."""

    def __init__(self, writer: _Writer, nodes: Mapping[Term, list[tuple[Term, Term]]]) -> None:
        self._writer = writer
        self._nodes = nodes
        self._placed: set[Term] = set()

    def grow(self, tops: Iterable[Term]) -> list[Document]:
        """Grow a tree from each top that has no place yet, and from where a tree grew too deep."""
        waiting = deque(tops)
        trees = []
        while waiting:
            top = waiting.popleft()
            if top not in self._placed:
                trees.append(self._tree(top, waiting))
        return trees

    def beginnings(self) -> list[Term]:
        """Return the nodes without a place that no other such node leads to, sorted."""
        left = [subject for subject in self._nodes if subject not in self._placed]
        led_to = {
            value
            for subject in left
            for predicate, value in self._nodes[subject]
            if value != subject and predicate != A
        }
        return [subject for subject in left if subject not in led_to]

    def _tree(self, top: Term, too_deep: deque[Term]) -> Document:
        """Grow level by level, so that a thing stands where it is nearest to the top."""
        tree: Document = {}
        self._placed.add(top)
        level = [(top, tree)]
        for depth in range(1, MAX_DEPTH + 1):
            below: _Level = []

            def embed(value: Term, depth: int = depth, below: _Level = below) -> Document | None:
                if value not in self._nodes or value in self._placed:
                    return None
                if depth == MAX_DEPTH:
                    too_deep.append(value)
                    return None
                self._placed.add(value)
                node: Document = {}
                below.append((value, node))
                return node

            for subject, node in level:
                facts = sorted(self._nodes[subject], key=_reading_order)
                self._writer.fill(node, subject, facts, embed)
            level = below
        return tree


def _reading_order(fact: tuple[Term, Term]) -> tuple[bool, bool, Term, Term]:
    """Label first; our own relations before those of PROV, which often say the same less exactly."""
    predicate, value = fact
    return predicate != LABEL, predicate.startswith(_PROV), predicate, value
