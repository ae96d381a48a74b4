"""The 398 PROV-JSON documents of the package `prov`, to PROV-O and back."""

from __future__ import annotations

import warnings
from pathlib import Path

import prov.tests
import pytest
from prov.model import ProvDocument

from provgraph import terms
from provgraph.convert.prov_package import build_document
from provgraph.convert.provdm import prov as prov_term
from provgraph.convert.provdm_reading import read_statements

CORPUS = sorted((Path(prov.tests.__file__).parent / "json").glob("*.json"))
MINTED = "https://w3id.org/provgraph/id/genid/test-"

# Two statements of one identifier, which PROV-CONSTRAINTS unifies or refuses; in RDF they are one thing.
ONE_IDENTIFIER = {path.stem for path in CORPUS if path.stem.startswith("scruffy-")}
# xsd:integer comes out as xsd:int, as the package writes whole numbers.
WHOLE_NUMBERS = {
    *(
        f"attr_{kind}0"
        for kind in (
            "activity",
            "agent",
            "association",
            "attribution",
            "communication",
            "delegation",
            "derivation",
            "end",
            "entity",
            "generation",
            "influence",
            "invalidation",
            "start",
            "usage",
        )
    ),
    "attr_association_one_role_attr14",
    "attr_entity_one_attr14",
    "attr_entity_one_location_attr14",
    "attr_entity_one_other_attr14",
    "attr_entity_one_value_attr14",
}


def load(path: Path) -> ProvDocument:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ProvDocument.deserialize(path, format="json")


def test_the_corpus_is_here() -> None:
    assert len(CORPUS) == 398
    assert len(ONE_IDENTIFIER) == 28


def test_every_document_comes_back_equal_save_for_a_named_list() -> None:
    differing = set()
    for path in CORPUS:
        document = load(path)
        reading = read_statements(document, minted=MINTED)
        assert reading.refused == [], path.stem
        again, _ = build_document(reading.bundles, minted=MINTED)
        if again != document:
            differing.add(path.stem)
    assert differing == ONE_IDENTIFIER | WHOLE_NUMBERS


def read(text: str):
    document = ProvDocument.deserialize(content=text, format="provn")
    return read_statements(document, minted=MINTED)


HEAD = "document\n prefix ex <http://example.org/>\n "


def test_a_derivation_is_asserted_only_where_one_is_stated() -> None:
    reading = read(f"{HEAD} used(ex:a, ex:e1, -)\n wasGeneratedBy(ex:e2, ex:a, -)\nendDocument")
    assert {predicate for _, predicate, _ in reading.bundles[""]} == {
        prov_term("used"),
        prov_term("wasGeneratedBy"),
    }


def test_a_time_without_a_zone_stays_without_one_and_is_counted() -> None:
    reading = read(f"{HEAD} activity(ex:a, 2011-11-16T16:05:00, 2011-11-16T16:06:00Z)\nendDocument")
    (time,) = [
        value for _, name, value in reading.bundles[""] if name == prov_term("startedAtTime")
    ]
    assert terms.literal_parts(time)[0] == "2011-11-16T16:05:00"
    assert reading.zoneless_times == 1


@pytest.mark.parametrize("name", ["", "relative/"])
def test_a_name_without_a_scheme_is_refused_with_its_statement_and_the_rest_goes_on(name) -> None:
    text = f"document\n prefix r <{name or 'x'}>\n prefix ex <http://e.org/>\n entity(r:a)\n entity(ex:b)\nendDocument"
    reading = read(text)
    assert [triple[0] for triple in reading.bundles[""]] == ["<http://e.org/b>"]
    assert len(reading.refused) == 1
    assert "expected an absolute IRI" in reading.refused[0]
    assert "r:a" in reading.refused[0]
