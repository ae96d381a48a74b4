"""The packaged JSON-LD context says exactly what the vocabulary and the ontology say.

To renew it after a change: `python tests/ontology/test_context.py > ontology/context.jsonld`.
"""

from __future__ import annotations

import hashlib
import json

import pyoxigraph as ox
import pytest

from provgraph import resources, vocab

RANGE = ox.NamedNode(f"{vocab.RDFS}range")
TIMES = {"atTime", "startedAtTime", "endedAtTime", "generatedAtTime"}
# Words for terms of others; a text beside a resource of the same name gets its own word.
OTHERS = {
    "label": ("rdfs:label", ""),
    "description": ("dcterms:description", ""),
    "license": ("dcterms:license", "@id"),
    "rightsText": ("dc:rights", ""),
    "source": ("dcterms:source", "@id"),
    "sourceText": ("dc:source", ""),
    "publisher": ("dcterms:publisher", "@id"),
    "mediaType": ("dcat:mediaType", "@id"),
    "hasLegalBasis": ("dpv:hasLegalBasis", "@id"),
}


def ranges() -> dict[str, str]:
    """Local name of each property of ours -> its range, or "" where it has none."""
    store = ox.Store()
    store.load(resources.read_text("ontology", "provgraph.ttl").encode(), ox.RdfFormat.TURTLE)
    found = {}
    for name in vocab.PROPERTIES:
        values = [
            quad.object.value
            for quad in store.quads_for_pattern(ox.NamedNode(vocab.PG + name), RANGE, None)
        ]
        found[name] = values[0] if values else ""
    return found


def derived() -> dict[str, object]:
    """The context that vocabulary and ontology ask for."""
    terms: dict[str, object] = {"@version": 1.1, "@protected": True, "id": "@id", "type": "@type"}
    for prefix, namespace in vocab.PREFIXES.items():
        # Not protected: a document switches a prefix off when its data holds IRIs of that scheme.
        terms[prefix] = {"@id": namespace, "@prefix": True, "@protected": False}
    words = {name: (f"pg:{name}", "") for name in vocab.CLASSES}
    words |= {name: (f"prov:{name}", "") for name in vocab.PROV_TERMS if name[0].isupper()}
    for name, range_ in ranges().items():
        coercion = f"xsd:{range_[len(vocab.XSD) :]}" if range_.startswith(vocab.XSD) else "@id"
        if range_ == f"{vocab.PG}Number":
            coercion = "xsd:decimal"  # a double says its type
        words[name] = (f"pg:{name}", "" if coercion == "xsd:string" else coercion)
    for name in vocab.PROV_TERMS:
        if name[0].islower():
            words[name] = (f"prov:{name}", "xsd:dateTime" if name in TIMES else "@id")
    words |= OTHERS
    for name, (iri, coercion) in words.items():
        terms[name] = {"@id": iri, "@type": coercion} if coercion else iri
    return {"@context": terms}


def as_text(context: dict[str, object]) -> str:
    """One term to a line."""
    lines = [
        f"    {json.dumps(name)}: {json.dumps(definition)}"
        for name, definition in context["@context"].items()
    ]
    return '{\n  "@context": {\n' + ",\n".join(lines) + "\n  }\n}\n"


def test_the_context_is_the_one_that_vocabulary_and_ontology_ask_for():
    assert resources.read_text("ontology", "context.jsonld") == as_text(derived())


def test_no_word_is_given_twice():
    words = [*vocab.CLASSES, *vocab.PROPERTIES, *vocab.PROV_TERMS, *OTHERS, *vocab.PREFIXES]
    assert sorted(words) == sorted({*words})


def test_no_word_clashes_with_the_data_integrity_context():
    outer = json.loads(resources.read_text("ontology", "contexts", "data-integrity-v2.jsonld"))
    theirs = {**outer["@context"], **outer["@context"]["DataIntegrityProof"]["@context"]}
    ours = derived()["@context"]
    shared = {name for name in ours if name in theirs}
    assert shared == {"@protected", "id", "type"}
    assert [theirs[name] for name in sorted(shared)] == [True, "@id", "@type"]


def test_the_vendored_context_is_the_published_one():
    data = resources.read_text("ontology", "contexts", "data-integrity-v2.jsonld").encode()
    digest = hashlib.sha256(data).hexdigest()
    assert digest == "67f21e6e33a6c14e5ccfd2fc7865f7474fb71a04af7e94136cb399dfac8ae8f4"
    readme = resources.read_text("ontology", "contexts", "README.md")
    assert readme.count(digest) == 1


@pytest.mark.parametrize("name", sorted(vocab.PREFIXES))
def test_a_prefix_can_be_switched_off(name):
    definition = derived()["@context"][name]
    assert definition == {"@id": vocab.PREFIXES[name], "@prefix": True, "@protected": False}


if __name__ == "__main__":
    print(as_text(derived()), end="")
