"""What is said of data and models beyond their bytes, from the call to the sealed graph."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from readback import facts_of, ledger, settings

import provgraph
from provgraph import vocab
from provgraph.capture.described import Consent, read_consent, read_labelling
from provgraph.capture.licences import _KNOWN, normal_licence
from provgraph.convert.data import basis_concept
from provgraph.convert.entities import _SPDX_ID
from provgraph.data_facts import LegalBasis
from provgraph.errors import CaptureError, NotFoundError
from provgraph.service import recovery

GDPR = "https://w3id.org/dpv/legal/eu/gdpr#"


@pytest.fixture
def calls(tmp_path):
    path = tmp_path / "calls.csv"
    path.write_bytes(b"id\n1\n2\n")
    return path


# ---- values ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("cc-by-4.0", "CC-BY-4.0"),
        ("CC BY-NC-SA 3.0", "CC-BY-NC-SA-3.0"),
        ("https://creativecommons.org/licenses/by-nd/4.0/legalcode.en", "CC-BY-ND-4.0"),
        ("http://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://spdx.org/licenses/apache-2.0.html", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("mit", "MIT"),
        # No licence of the list, or none for sure: as it was written.
        ("CC-BY-SA-NC-4.0", "CC-BY-SA-NC-4.0"),
        ("CC-BY", "CC-BY"),
        ("internal use only", "internal use only"),
        ("https://example.org/licenses/by/4.0/", "https://example.org/licenses/by/4.0/"),
    ],
)
def test_licences_as_people_write_them(written, expected):
    assert normal_licence(written) == expected


def test_every_licence_that_capture_names_is_an_iri_in_the_graph():
    assert [name for name in _KNOWN.values() if not _SPDX_ID.fullmatch(name)] == []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("consent", f"{vocab.DPV}Consent"),
        ("Legitimate interest", f"{vocab.DPV}LegitimateInterest"),
        ("legal-obligation", f"{vocab.DPV}LegalObligation"),
        ("Art. 6(1)(b) GDPR", f"{GDPR}A6-1-b"),
        ("article 9 (2) a", f"{GDPR}A9-2-a"),
        (f"{vocab.DPV}Contract", f"{vocab.DPV}Contract"),
        # There is no such letter in the article.
        ("Art. 6(1)(h) GDPR", None),
        ("Art. 6(2)(a)", None),
        ("the works council agreed", None),
    ],
)
def test_legal_bases_that_dpv_knows(written, expected):
    assert basis_concept(written) == expected


def test_a_date_of_expiry_lasts_to_the_end_of_its_day():
    expected = LegalBasis(
        basis="consent",
        given_at=datetime(2026, 1, 2, tzinfo=UTC),
        expires_at=datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
    )
    for expires in ("2026-12-31", date(2026, 12, 31), "2026-12-31T23:59:59Z"):
        given = Consent(given="2026-01-02", expires=expires)
        assert read_consent(given) == {"legal_bases": (expected,)}


@pytest.mark.parametrize("expires", ["soon", "2026-13-01", 20261231, ""])
def test_what_is_no_date_is_refused(expires):
    with pytest.raises(CaptureError, match="expires: expected a date such as 2026-12-31"):
        read_consent(Consent(expires=expires))


def test_an_argument_of_labels_that_nobody_knows_is_refused():
    with pytest.raises(CaptureError, match="labels: unknown argument 'kappa'; there are agreement"):
        read_labelling(None, {"kappa": 0.8}, None)


# ---- in a run --------------------------------------------------------------------------------------
def test_facts_of_a_dataset(home, calls):
    with provgraph.run("train", owner="ada") as run:
        handle = run.use(
            calls,
            licence="cc by-nc 4.0",
            use_terms="not for pricing",
            collection_method="telephone survey",
            personal_data=True,
            consent=[
                provgraph.Consent(
                    basis="Art. 6(1)(a) GDPR",
                    purpose="better service",
                    expires="2026-12-31",
                    reference="form 7",
                ),
                provgraph.Consent(basis="the works council agreed"),
            ],
        )
        run.labels(
            handle,
            by=["rose", "otto"],
            guideline="https://example.org/guide",
            guideline_version="2.1",
            agreement=0.83,
            agreement_method="Cohen's kappa",
            count=569,
        )
        run.quality(handle, metric="completeness", value=0.91, column="id", threshold=0.95, n=2)
    facts = facts_of(run.receipt)
    (data,) = facts.all("Dataset")
    assert facts.of(data, "dcterms:license") == ["https://spdx.org/licenses/CC-BY-NC-4.0"]
    assert facts.of(data, "useTerms") == ["not for pricing"]
    assert facts.of(data, "collectionMethod") == ["telephone survey"]
    assert facts.of(data, "hasPersonalData") == ["true"]
    fields = ("basis", "dpv:hasLegalBasis", "purpose", "expiresAt", "reference")
    # Named by content, so their order is that of their digests.
    assert sorted(facts.parts(data, "legalBasis", *fields), key=repr) == [
        (
            "Art. 6(1)(a) GDPR",
            f"{GDPR}A6-1-a",
            "better service",
            "2026-12-31T23:59:59Z",
            "form 7",
        ),
        ("the works council agreed", None, None, None, None),
    ]
    (labelling,) = facts.all("Labelling")
    people = [facts.one(each, "rdfs:label") for each in facts.of(labelling, "prov:wasAttributedTo")]
    assert sorted(str(each) for each in people) == ["otto", "rose"]
    told = ("data", "guideline", "guidelineVersion", "agreement", "agreementMethod", "labelCount")
    assert [facts.one(labelling, each) for each in told] == [
        data,
        "https://example.org/guide",
        "2.1",
        "0.83",
        "Cohen's kappa",
        "569",
    ]
    (measured,) = facts.all("QualityMeasurement")
    told = ("data", "metricName", "value", "column", "threshold", "thresholdMet", "sampleSize")
    assert [facts.one(measured, each) for each in told] == [
        data,
        "completeness",
        "0.91",
        "id",
        ">= 0.95",
        "false",
        "2",
    ]
    assert facts.of(measured, "prov:wasGeneratedBy") == [facts.run]


def test_a_feature_has_versions_and_each_follows_the_one_before(home, calls):
    with provgraph.run("prepare", owner="ada") as run:
        run.feature("tenure", definition="months since signup", version="1", columns=["signup"])
    with provgraph.run("prepare", owner="ada") as run, run.step("features") as step:
        raw = step.use(calls)
        made = step.generate({"a": 1}, kind="feature-set", digest="sha256:" + "ab" * 32)
        step.feature(
            "tenure",
            definition="months since the first invoice",
            version="2",
            reason="signups were backdated",
            columns=["first_invoice"],
            source=raw,
            made=made,
            by="ada",
        )
        step.feature("tenure")
        step.filter("age < 0", reason="typing errors", rows_removed=3, by="rose")
    facts = facts_of(run.receipt)
    step_iri = facts.step("features")
    (defined,) = facts.all("Feature")
    (version,) = facts.of(defined, "prov:specializationOf")
    (named,) = facts.of(version, "prov:specializationOf")
    assert [facts.one(each, "rdfs:label") for each in (defined, version, named)] == [
        "tenure",
        "tenure:2",
        "tenure",
    ]
    assert facts.of(version, "prov:wasRevisionOf") == [f"{named}/1"]
    assert facts.of(step_iri, "feature") == sorted([defined, named])
    assert facts.of(facts.all("FeatureSet")[0], "feature") == [defined]
    told = ("definition", "reason", "sourceColumn", "data")
    assert [facts.one(defined, each) for each in told] == [
        "months since the first invoice",
        "signups were backdated",
        "first_invoice",
        facts.all("Dataset")[0],
    ]
    (author,) = facts.of(defined, "prov:wasAttributedTo")
    (decider,) = facts.of(facts.all("Filter")[0], "prov:wasAttributedTo")
    assert [facts.one(each, "rdfs:label") for each in (author, decider)] == ["ada", "rose"]


def test_one_version_of_a_feature_with_two_definitions_is_said(careful_home, caplog):
    for definition in ("months since signup", "weeks since signup"):
        with provgraph.run("prepare", owner="ada") as run:
            run.feature("tenure", definition=definition, version="1")
    # Others may be missing beside it: a busy machine gives git no time.
    assert "one content for tenure:1" in facts_of(run.receipt).missing()
    assert [each.message for each in caplog.records if "already names other" in each.message] != []


def test_a_model_is_meant_for_something(home, tmp_path):
    with provgraph.run("train", owner="ada") as run:
        run.generate(
            b"weights",
            role="model",
            name="churn",
            version="1",
            intended_use=provgraph.IntendedUse(
                purpose="ranking of tickets",
                commercial=True,
                distributed=False,
                out_of_scope="decisions about people",
            ),
        )
    facts = facts_of(run.receipt)
    fields = ("purpose", "isCommercial", "isDistributed", "outOfScope")
    assert facts.parts(facts.all("Model")[0], "intendedUse", *fields) == [
        ("ranking of tickets", "true", "false", "decisions about people")
    ]


def test_one_fact_that_makes_no_sense_costs_itself(careful_home, calls):
    with provgraph.run("train", owner="ada") as run:
        run.use(
            calls, consent=provgraph.Consent(expires="soon"), personal_data="yes", licence="MIT"
        )
    facts = facts_of(run.receipt)
    (data,) = facts.all("Dataset")
    assert facts.of(data, "dcterms:license") == ["https://spdx.org/licenses/MIT"]
    assert sorted(facts.missing(data)) == ["consent", "has_personal_data"]


# ---- later -----------------------------------------------------------------------------------------
def test_a_steward_describes_a_dataset_later(home, calls):
    with provgraph.run("train", owner="ada") as run:
        handle = run.use(calls)
    for thing in ("calls.csv", calls, handle, str(handle.digest)):
        receipt = provgraph.describe(
            thing,
            by="rose@example.org",
            licence="MIT",
            consent=provgraph.Consent(reference="form 7"),
            labels={"by": "otto", "count": 2},
            quality={"completeness": 0.97},
            note="seen on paper",
        )
        facts = facts_of(receipt)
        (act,) = facts.all("Description")
        (data,) = facts.of(act, "describes")
        assert data == vocab.content_iri(handle.digest)
        # What it is, its runs say: here it may be known by name only.
        assert facts.all("Dataset") + facts.all("File") == []
        assert facts.of(data, "dcterms:license") == ["https://spdx.org/licenses/MIT"]
        assert facts.parts(data, "legalBasis", "basis", "reference") == [("consent", "form 7")]
        assert facts.of(facts.all("Labelling")[0], "data") == [data]
        assert facts.of(facts.all("QualityMeasurement")[0], "data") == [data]
        assert facts.one(act, "prov:wasAssociatedWith") == vocab.named_iri(
            "person", ledger().namespace, "rose@example.org"
        )


def test_a_description_of_what_nobody_recorded_is_refused_with_the_next_step(home, calls):
    with provgraph.run("train", owner="ada") as run:
        run.use(calls)
    with pytest.raises(NotFoundError, match=r"nothing here is called 'colls.csv'.*provgraph list"):
        provgraph.describe("colls.csv", by="rose", licence="MIT")


def test_a_basis_is_withdrawn_by_its_reference(home, calls):
    with provgraph.run("train", owner="ada") as run:
        run.use(calls, consent=provgraph.Consent(reference="form 7"))
    facts = facts_of(run.receipt)
    (basis,) = facts.all("LegalBasis")
    later = facts_of(provgraph.retract("form 7", reason="withdrawn by the callers", by="rose"))
    assert later.of(later.all("Retraction")[0], "retracts") == [basis]


def test_a_description_that_the_ledger_could_not_take_is_spooled_and_sealed_later(home, calls):
    with provgraph.run("train", owner="ada") as run:
        run.use(calls)
    place = recovery.spool(
        settings(),
        provgraph.records.Description(
            id="d-1",
            target="",
            said=provgraph.records.Entity(licence="MIT"),
            at=datetime(2026, 3, 1, tzinfo=UTC),
        ),
        record_id="d-1",
        called="calls.csv",
    )
    assert place.exists()
    (done,) = recovery.recover(settings())
    assert (done.problem, place.exists()) == (None, False)
    facts = facts_of(done.receipt)
    (data,) = facts.of(facts.all("Description")[0], "describes")
    assert facts.of(data, "dcterms:license") == ["https://spdx.org/licenses/MIT"]
