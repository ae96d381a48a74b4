"""PROV-JSON, PROV-N, PROV-XML and PROV-JSONLD: the whole closure, loadable, valid, and equal."""

from __future__ import annotations

import io

import pytest
from prov.model import ProvDocument
from small_history import record_history

from provgraph import terms
from provgraph.cli.main import main
from provgraph.constraints import check
from provgraph.constraints.documents import read_document
from provgraph.convert import prov_package
from provgraph.convert.provdm_reading import read_statements
from provgraph.errors import FormatError
from provgraph.service.asking import open_reader
from provgraph.service.exporting import PROV_FORMATS, collect, export_prov
from provgraph.settings import load
from provgraph.vocab import PROV_T, A

FORMS = {"prov-json": "json", "provn": "provn", "prov-xml": "xml", "prov-jsonld": "jsonld"}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVGRAPH_HOME", str(tmp_path_factory.mktemp("prov") / "home"))
        record_history()
        yield


def graphs_of(thing):
    with open_reader(load()) as reader:
        found = collect(reader, thing).records
        graphs = {iri: reader.ledger.graph(reader.ledger.find(iri)) for iri in found}
    return {iri: {line[:3] for line in terms.parse_lines(graph)} for iri, graph in graphs.items()}


def exported(thing, form):
    with open_reader(load()) as reader:
        return export_prov(reader, thing, form)


def load_document(data: bytes, form: str) -> ProvDocument:
    source = io.BytesIO(data) if form == "xml" else io.StringIO(data.decode())
    return ProvDocument.deserialize(source, format=form)


def test_the_table_of_forms_is_the_whole() -> None:
    assert set(FORMS) == set(PROV_FORMATS) == set(prov_package.FORMATS)


@pytest.mark.parametrize("form", FORMS)
def test_every_statement_of_the_closure_is_in_the_document(told, form) -> None:
    found = exported("churn:2", form)
    document = load_document(found.data, FORMS[form])
    reading = read_statements(document, minted="https://example.org/minted/")
    expected = graphs_of("churn:2")
    assert reading.refused == []
    assert set(reading.bundles) - {""} == set(expected)
    for name, triples in expected.items():
        lost = triples - set(reading.bundles[name])
        assert lost == set(), name
        # Beyond them: what a thing is, where the record leaves that to the properties it stands in,
        # and that a revision is a derivation.
        more = {predicate for _, predicate, _ in set(reading.bundles[name]) - triples}
        assert more <= {A, PROV_T["wasDerivedFrom"]}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_exported_breaks_no_constraint(told, form) -> None:
    data = exported("churn:2", form).data
    assert check(read_document(data, FORMS[form])) == []


def test_what_the_format_cannot_carry_is_said(told, capsys, tmp_path) -> None:
    out = tmp_path / "churn.provn"
    assert main(["export", "churn:2", "--format", "provn", "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "provn does not carry seals and positions in the ledger" in said
    assert "are written as entities" in said
    assert out.read_text().startswith("document\n")
    assert main(["check", str(out)]) == 0


def test_a_document_that_reads_back_otherwise_is_never_handed_out(monkeypatch) -> None:
    triple = (terms.iri("urn:a:1"), terms.iri("urn:b:p"), terms.string("x"))
    assert b"x" in prov_package.write_document({"": [triple]}, "provn").data
    real = ProvDocument.deserialize
    monkeypatch.setattr(ProvDocument, "deserialize", lambda *_, **__: ProvDocument())
    with pytest.raises(FormatError, match="reads back as something else"):
        prov_package.write_document({"": [triple]}, "provn")
    assert real is not ProvDocument.deserialize
