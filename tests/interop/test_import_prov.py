"""PROV documents in: the corpus of the package `prov` in every format, and what is refused of bad ones."""

from __future__ import annotations

import io
import json
import re
import warnings
from pathlib import Path

import prov.tests
import pytest
from prov.model import ProvDocument

from provgraph import terms
from provgraph.cli.main import main
from provgraph.constraints.documents import load_document
from provgraph.constraints.syntaxes import kept_literals, read_quads
from provgraph.convert.prov_package import build_document
from provgraph.convert.provdm_reading import read_statements
from provgraph.converters.contract import ForeignGraph, Reading
from provgraph.converters.prov import CONVERTER, minted_prefix
from provgraph.converters.prov.statements import Taken, take, triples_of
from provgraph.converters.report import KEPT, REFUSED, Report
from provgraph.converters.sources import open_source
from provgraph.digests import sha256_bytes
from provgraph.service.home import readable_ledger
from provgraph.settings import load
from provgraph.vocab import PROV_T

TESTS = Path(prov.tests.__file__).parent
CORPUS = sorted((TESTS / "json").glob("*.json"))
MINTED = "https://w3id.org/provgraph/id/genid/test-"
RELATIVE = "urn:provgraph:relative/"


def original(path: Path) -> ProvDocument:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ProvDocument.deserialize(path, format="json")


def written(document: ProvDocument, form: str) -> bytes:
    out = io.BytesIO() if form == "xml" else io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document.serialize(out, format=form)
    data = out.getvalue()
    return data if isinstance(data, bytes) else data.encode()


def taken_from(data: bytes, form: str) -> Taken:
    reading = read_statements(load_document(data, form), minted=MINTED)
    assert reading.refused == []
    return take(reading.bundles, minted=MINTED, kept_literals=kept_literals)


def comes_back_as(taken: Taken) -> ProvDocument:
    return build_document({name: [*lines] for name, lines in taken.bundles.items()}, minted=MINTED)[
        0
    ]


# The package cannot write these two as PROV-JSONLD itself.
NOT_AS_JSONLD = 2


@pytest.mark.parametrize("form", ["json", "provn", "xml", "jsonld"])
def test_the_corpus_enters_and_comes_out_equal_or_its_report_says_why(form) -> None:
    entered, differing = 0, set()
    for path in CORPUS:
        document = original(path)
        try:
            data = path.read_bytes() if form == "json" else written(document, form)
        except Exception:
            assert form == "jsonld", path.stem
            continue
        entered += 1
        taken = taken_from(data, form)
        assert taken.refused == [], path.stem
        if comes_back_as(taken) != document:
            differing.add(path.stem)
            # Scruffy: two statements of one identifier. Others: a literal whose form the index changes.
            is_scruffy = path.stem.startswith("scruffy-")
            has_literal = any(what == "literal" for what, _ in taken.kept)
            whole = b"xsd:integer" in path.read_bytes()  # comes out as xsd:int
            assert is_scruffy or has_literal or whole, path.stem
    assert entered == (len(CORPUS) - NOT_AS_JSONLD if form == "jsonld" else len(CORPUS))
    assert len(differing) == 149


def test_the_corpus_is_all_of_it() -> None:
    assert len(CORPUS) == 398


def test_every_rdf_document_of_the_corpus_enters_whole() -> None:
    paths = sorted((TESTS / "rdf").iterdir())
    assert len(paths) == 402
    for path in paths:
        before = Taken()
        quads = read_quads(
            path.read_bytes(), "trig" if path.suffix == ".trig" else "turtle", base=RELATIVE
        )
        bundles = triples_of(quads, minted=MINTED, base=RELATIVE, taken=before)
        taken = take(bundles, minted=MINTED, kept_literals=kept_literals)
        assert before.refused + taken.refused == [], path.name
        count = sum(map(len, taken.bundles.values()))
        assert count == len({*map(tuple, quads)}) or any(w == "literal" for w, _ in taken.kept)


def read(path: Path) -> tuple[list, Report]:
    report = Report()
    return list(CONVERTER.read(open_source(str(path)), Reading(report=report))), report


TURTLE = """@prefix prov: <http://www.w3.org/ns/prov#> . @prefix ex: <http://example.org/> .
ex:e prov:wasGeneratedBy ex:a ; prov:qualifiedGeneration [ a prov:Generation ; prov:activity ex:a ] .
<relative> a prov:Entity .
ex:e prov:generatedAtTime "2011-11-16T16:05:00"^^<http://www.w3.org/2001/XMLSchema#dateTime> .
<https://w3id.org/provgraph/id/model/acme/churn> prov:wasDerivedFrom ex:e .
ex:e prov:wasDerivedFrom <https://w3id.org/provgraph/id/model/acme/churn> .
"""


def test_turtle_enters_with_named_nodes_and_what_cannot_is_refused(tmp_path) -> None:
    path = tmp_path / "doc.ttl"
    path.write_text(TURTLE)
    assert CONVERTER.recognises(open_source(str(path))) == "PROV-O in Turtle"
    (unit,), report = read(path)
    assert isinstance(unit.record, ForeignGraph)
    lines = unit.record.statements
    minted = minted_prefix(TURTLE.encode())
    node = terms.iri(f"{minted}b1")
    assert {p for s, p, _ in lines if s == node} == {
        terms.iri("http://www.w3.org/1999/02/22-rdf-syntax-ns#type"),
        PROV_T["activity"],
    }
    assert unit.content == TURTLE.encode()
    reasons = {line.reason for line in report.lines if line.outcome == REFUSED}
    assert any("relative IRI" in each for each in reasons)
    assert any("which only ledgers give" in each for each in reasons)
    assert report.total(REFUSED) == 2
    # A reference to a thing of a ledger stays; a claim about one does not.
    derived = {(s, o) for s, p, o in lines if p == PROV_T["wasDerivedFrom"]}
    assert derived == {
        (
            terms.iri("http://example.org/e"),
            terms.iri("https://w3id.org/provgraph/id/model/acme/churn"),
        )
    }


def test_each_bundle_is_a_graph_of_its_own(tmp_path) -> None:
    path = tmp_path / "doc.provn"
    path.write_text(
        "document\n prefix ex <http://example.org/>\n entity(ex:b, [prov:type='prov:Bundle'])\n"
        " bundle ex:b\n  entity(ex:e)\n endBundle\nendDocument\n"
    )
    units, _ = read(path)
    digest = sha256_bytes(path.read_bytes()).value
    assert [each.key for each in units] == [f"prov/{digest}", f"prov/{digest}/http://example.org/b"]
    assert {s for s, _, _ in units[1].record.statements} == {terms.iri("http://example.org/e")}


def test_what_the_constraints_say_is_in_the_report(tmp_path) -> None:
    path = tmp_path / "bad.provn"
    path.write_text(
        "document\n prefix ex <http://example.org/>\n"
        " activity(ex:a, 2012-01-01T00:00:00Z, 2011-01-01T00:00:00Z)\n"
        " entity(ex:a)\nendDocument\n"
    )
    units, report = read(path)
    assert len(units) == 1
    assert any("PROV-CONSTRAINTS" in note and "no violation" not in note for note in report.notes)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b'{"entity": {"ex:a": {}', "not PROV-JSON"),
        (
            "a.json",
            b'{"prefix":{"ex":"http://e/"},"entity":{"ex:a":{}},"entity":{}}',
            "'entity' twice",
        ),
        ("a.json", b'{"entity": {"ex:a": ' + b"[" * 200_000, "PROV-JSON|nests|nested"),
        ("a.json", b'{"entity": {"ex:\xff": {}}}', "not PROV-JSON"),
        ("a.provn", b"document\n entity(", "not PROV-N"),
        (
            "a.provx",
            b'<!DOCTYPE a [<!ENTITY b "c">]><prov:document xmlns:prov="http://www.w3.org/ns/prov#"/>',
            "document type",
        ),
        ("a.ttl", b"@prefix prov: <http://www.w3.org/ns/prov#> .\n<a> prov:", "not Turtle"),
    ],
    ids=["truncated", "key-twice", "deep", "not-utf-8", "provn", "doctype", "turtle"],
)
def test_a_document_that_cannot_be_read_is_one_line_of_the_report(
    tmp_path, name, data, message
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    units, report = read(path)
    assert units == []
    (line,) = [each for each in report.lines if each.outcome == REFUSED]
    assert line.what == "document"
    assert re.search(message, line.reason), line.reason


def test_other_json_is_not_taken_for_prov(tmp_path) -> None:
    for number, text in enumerate(
        (
            '{"bomFormat": "CycloneDX"}',
            '{"@context": "https://w3id.org/ro/crate/1.1/context"}',
            "{}",
        )
    ):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        assert CONVERTER.recognises(open_source(str(path))) is None


def test_imported_twice_it_is_there_once_with_its_bytes(home, tmp_path, capsys) -> None:
    path = TESTS / "json" / "activity9.json"
    assert main(["import", str(path), "--dry-run"]) == 0
    assert "would record 1 record" in capsys.readouterr().out
    assert main(["import", str(path), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["new"], first["counts"][KEPT]) == (1, {"literal": 1})
    assert main(["import", str(path), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["new"], again["unchanged"]) == (0, 1)
    with readable_ledger(load()) as ledger:
        graph = ledger.graph(first["positions"][0])
        assert ledger.attachment(sha256_bytes(path.read_bytes())) == path.read_bytes()
    assert b"<http://example.org/a9> " in graph
    assert main(["sparql", "SELECT ?a { ?a a <http://www.w3.org/ns/prov#Activity> . FILTER(STRSTARTS(STR(?a), 'http://example.org/')) }", "--format", "csv"]) == 0  # fmt: skip
    assert capsys.readouterr().out.split() == ["a", "http://example.org/a9"]
