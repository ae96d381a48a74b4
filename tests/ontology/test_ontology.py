"""The ontology defines what the code uses, wholly, beneath PROV-O, and breaks nothing in it."""

from __future__ import annotations

import re

import pyoxigraph as ox
import pytest
import rdflib
from rdflib import OWL, RDF, RDFS, SKOS

from provgraph import records, resources, vocab

FILES = ("provgraph.ttl", "alignments.ttl", "roles.ttl")
PG = rdflib.Namespace(vocab.PG)
PROV = rdflib.Namespace(vocab.PROV)
DCAM = rdflib.Namespace("http://purl.org/dc/dcam/")
MATCHES = (SKOS.exactMatch, SKOS.closeMatch, SKOS.relatedMatch, SKOS.broadMatch)

# W3C PROV-O (2013): classes with their superclasses, and owl:disjointWith.
PROV_CLASSES = {
    "Bundle": ["Entity"],
    "Collection": ["Entity"],
    "Plan": ["Entity"],
    "Entity": [],
    "Activity": [],
    "Agent": [],
}
DISJOINT = [{"Activity", "Entity"}]
# Domain and range of the PROV-O properties that ours stand below.
PROV_PROPERTIES = {
    "used": ("Activity", "Entity"),
    "generated": ("Activity", "Entity"),
    "wasInformedBy": ("Activity", "Activity"),
    "wasRevisionOf": ("Entity", "Entity"),
}


@pytest.fixture(scope="module", name="core")
def _core():
    return read("provgraph.ttl")


@pytest.fixture(scope="module", name="everything")
def _everything():
    whole = rdflib.Graph()
    for file in FILES:
        whole += read(file)
    return whole


def read(file):
    return rdflib.Graph().parse(data=resources.read_text("ontology", file), format="turtle")


def local(terms):
    return {str(term).removeprefix(vocab.PG) for term in terms if str(term).startswith(vocab.PG)}


def ancestors(graph, cls):
    """Names of the PROV-O classes above a class, through ours and theirs."""
    above = set(graph.transitive_objects(cls, RDFS.subClassOf))
    waiting = [str(n).removeprefix(vocab.PROV) for n in above if str(n).startswith(vocab.PROV)]
    found = set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting += PROV_CLASSES[name]
    return found


@pytest.mark.parametrize("file", FILES)
def test_two_parsers_read_the_same(file):
    text = resources.read_text("ontology", file)
    triples = {*ox.parse(text, format=ox.RdfFormat.TURTLE)}
    assert len(triples) == len(read(file))


def test_the_classes_are_those_of_the_vocabulary(core):
    assert local(core.subjects(RDF.type, OWL.Class)) == {*vocab.CLASSES}


def test_the_properties_are_those_of_the_vocabulary(core):
    data = local(core.subjects(RDF.type, OWL.DatatypeProperty))
    objects = local(core.subjects(RDF.type, OWL.ObjectProperty))
    assert data & objects == set()
    assert data | objects == {*vocab.PROPERTIES}


def test_the_ontology_version_is_that_of_the_vocabulary(core):
    ontology = rdflib.URIRef(vocab.PG)
    assert [str(v) for v in core.objects(ontology, OWL.versionInfo)] == [vocab.ONTOLOGY_VERSION]
    versions = [str(v) for v in core.objects(ontology, OWL.versionIRI)]
    assert versions == [f"{vocab.BASE}ns/{vocab.ONTOLOGY_VERSION}"]


@pytest.mark.parametrize("name", [*vocab.CLASSES, *vocab.PROPERTIES])
def test_every_term_is_labelled_and_defined_in_english(core, name):
    term = PG[name]
    (label,) = core.objects(term, RDFS.label)
    (definition,) = core.objects(term, SKOS.definition)
    assert (label.language, definition.language) == ("en", "en")
    assert re.fullmatch(r"[A-Z].{20,}\.", str(definition)) is not None
    assert list(core.objects(term, RDFS.isDefinedBy)) == [rdflib.URIRef(vocab.PG)]


def test_no_two_terms_share_a_definition(core):
    definitions = sorted(str(o) for o in core.objects(None, SKOS.definition))
    assert definitions == sorted({*definitions})


def test_most_datatype_properties_have_an_example(core):
    without = {
        name
        for name in local(core.subjects(RDF.type, OWL.DatatypeProperty))
        if (PG[name], SKOS.example, None) not in core
    }
    assert without == set()


@pytest.mark.parametrize("name", vocab.PROPERTIES)
def test_a_property_says_what_it_relates(core, name):
    term = PG[name]
    kind = core.value(term, RDF.type)
    ranges = [str(r) for r in core.objects(term, RDFS.range)]
    domains = list(core.objects(term, RDFS.domain))
    assert len(domains) <= 1
    if kind == OWL.DatatypeProperty:
        allowed = {f"{vocab.XSD}{t}" for t in ("string", "integer", "boolean", "dateTime")}
        allowed.add(f"{vocab.PG}Number")
        assert len(ranges) == 1
        assert {*ranges} - allowed == set()
        assert len(domains) + len(list(core.objects(term, DCAM.domainIncludes))) >= 1
    else:
        assert [r for r in ranges if r.startswith(vocab.XSD)] == []


def test_units_stand_in_the_definitions_of_measures(core):
    for name in vocab.PROPERTIES:
        if re.search(r"(Bytes|Seconds|Count|rows\w+)$", name):
            assert str(core.value(PG[name], SKOS.definition)).count("Unit: ") == 1


@pytest.mark.parametrize("name", vocab.CLASSES)
def test_every_class_stands_below_prov_and_in_no_two_disjoint_classes(everything, name):
    above = ancestors(everything, PG[name])
    assert above & {"Entity", "Activity", "Agent"} != set()
    assert [pair for pair in DISJOINT if pair <= above] == []


def test_the_disjointness_check_sees_a_class_that_breaks_it(everything):
    broken = rdflib.Graph() + everything
    broken.add((PG.Run, RDFS.subClassOf, PG.Record))
    above = ancestors(broken, PG.Run)
    assert [pair for pair in DISJOINT if pair <= above] == [{"Activity", "Entity"}]


def test_records_are_bundles(core):
    names = {name for name in vocab.CLASSES if "Bundle" in ancestors(core, PG[name])}
    assert names == {name for name in vocab.CLASSES if name.endswith("Record")}


def test_properties_below_those_of_prov_fit_their_domain_and_range(core):
    checked = set()
    for name in vocab.PROPERTIES:
        term = PG[name]
        for above in core.objects(term, RDFS.subPropertyOf):
            domain, range_ = PROV_PROPERTIES[str(above).removeprefix(vocab.PROV)]
            domains = [*core.objects(term, RDFS.domain), *core.objects(term, DCAM.domainIncludes)]
            assert [d for d in domains if domain not in ancestors(core, d)] == []
            assert [
                r for r in core.objects(term, RDFS.range) if range_ not in ancestors(core, r)
            ] == []
            checked.add(name)
    assert {"parameters", "metrics", "environment", "parentRun", "onApproval"} - checked == set()


def test_no_term_of_ours_is_used_and_not_defined(everything):
    known = {*vocab.CLASSES, *vocab.PROPERTIES, "Number", ""}
    assert {name for triple in everything for name in local(triple)} - known == set()


def test_no_term_of_ours_in_queries_is_not_defined():
    # pg:none never occurs: queries bind to it where nothing may match.
    known = {*vocab.CLASSES, *vocab.PROPERTIES, "none"}
    unknown = []
    for path in sorted(resources.folder("queries").rglob("*.rq")):
        text = re.sub(r"^\s*#.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
        names = re.findall(r"(?<![\w/])pg:(\w+)", text)
        names += re.findall(rf"<{re.escape(vocab.PG)}(\w+)>", text)
        unknown += [(path.name, name) for name in names if name not in known]
    assert unknown == []


def test_alignments_match_our_terms_with_those_of_others(everything):
    for predicate in MATCHES:
        for ours, theirs in read("alignments.ttl").subject_objects(predicate):
            assert (str(ours).startswith(vocab.PG), str(theirs).startswith(vocab.PG)) == (
                True,
                False,
            )
            assert (ours, SKOS.definition, None) in everything


def test_the_measuring_roles_are_those_of_the_records(everything):
    role = rdflib.Namespace(vocab.ROLE)
    measuring = everything.subjects(SKOS.broader, role.measuring)
    assert {str(r).removeprefix(vocab.ROLE) for r in measuring} == records.MEASURING_ROLES
    for subject in everything.subjects(RDF.type, PROV.Role):
        assert len(list(everything.objects(subject, SKOS.definition))) == 1
