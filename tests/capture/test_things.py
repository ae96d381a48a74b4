"""What use and generate are handed: paths, URIs, objects, handles, and what stands of each."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from readback import facts_of

import provgraph
from provgraph import vocab
from provgraph.capture.things import Handle, entity_of, unknown_thing
from provgraph.digests import Digest
from provgraph.records import Entity, Missing

SHA256 = "sha256:" + "ab" * 32


def described(thing: object, *, role: str | None = None, kind: str | None = None, **given: object):
    return entity_of(thing, default_kind=kind, role=role, given=given)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "customers.csv"
    path.write_bytes(b"id\n1\n2\n")
    return path


DIGEST = Digest("sha256", hashlib.sha256(b"id\n1\n2\n").hexdigest())


def test_a_file_as_text_path_uri_or_path_like(csv, monkeypatch):
    class Like:
        def __fspath__(self) -> bytes:
            return os.fsencode(csv)

    monkeypatch.chdir(csv.parent)
    expected = Entity(
        kind="dataset",
        name="customers.csv",
        location=str(csv),
        digest=DIGEST,
        media_type="text/csv",
        size_bytes=7,
    )
    for thing in (csv, str(csv), "customers.csv", "./customers.csv", csv.as_uri(), Like()):
        assert described(thing) == expected


def test_a_folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"a")
    (tmp_path / "images" / "b.png").write_bytes(b"bb")
    lines = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in (("a.png", b"a"), ("b.png", b"bb"))
    )
    assert described(tmp_path / "images") == Entity(
        kind="dataset",
        name="images",
        location=str(tmp_path / "images"),
        digest=Digest("folder-v1", hashlib.sha256(lines.encode()).hexdigest()),
        size_bytes=3,
        file_count=2,
    )


@pytest.mark.parametrize(
    ("role", "kind", "given", "found"),
    [
        (None, None, None, "dataset"),
        (None, "file", None, "file"),
        ("model", "file", None, "model"),
        ("base-model", None, None, "model"),
        ("checkpoint", None, None, "model"),
        ("features", None, None, "feature-set"),
        ("report", None, None, "file"),
        ("train", None, None, "dataset"),
        ("model", None, "dataset", "dataset"),
        ("train", None, "Feature Set", "feature-set"),
        ("train", None, "feature_set", "feature-set"),
    ],
)
def test_the_kind_is_stated_or_follows_from_the_role(csv, role, kind, given, found):
    assert entity_of(csv, default_kind=kind, role=role, given={"kind": given}).kind == found


def test_what_was_stated_in_a_wrong_form_is_left_out_and_said(csv):
    entity = described(csv, kind=None, rows="many", digest="md5", version=3, name=Path("x"))
    assert (entity.kind, entity.rows, entity.digest, entity.version) == (
        "dataset",
        None,
        DIGEST,
        "3",
    )
    assert [(each.field, each.reason) for each in entity.missing] == [
        ("rows", "rows: expected a whole number, found str 'many'"),
        ("digest", "expected <algorithm>:<lower-case hex>, found md5:"),
    ]
    entity = entity_of(csv, default_kind=None, role=None, given={"kind": "spreadsheet"})
    assert entity.kind == "dataset"
    assert entity.missing == (
        Missing(
            field="kind",
            reason="expected one of dataset, model, feature-set, file, found 'spreadsheet'",
        ),
    )


def test_a_stated_digest_that_is_not_that_of_the_file(csv):
    entity = described(csv, digest=SHA256)
    assert entity.digest == DIGEST
    assert entity.missing == (
        Missing(
            field="stated digest",
            reason=f"the stated digest {SHA256} is not that of the bytes found; theirs is recorded",
        ),
    )
    assert described(csv, digest=str(DIGEST)).missing == ()


@pytest.mark.parametrize(
    "uri", ["s3://bucket/train.parquet", "https://example.org/a b.csv", "hf+git://org/model"]
)
def test_a_uri_is_not_fetched(uri):
    assert described(uri) == Entity(
        kind="dataset",
        uri=uri,
        missing=(
            Missing(
                field="digest",
                reason="named by URI only; the bytes were not fetched. Pass digest= to pin them",
            ),
        ),
    )
    assert described(uri, digest=SHA256, name="train") == Entity(
        kind="dataset", uri=uri, digest=Digest.parse(SHA256), name="train"
    )


def test_credentials_in_a_uri_are_redacted():
    assert described("https://ada:hunter2@example.org/x").uri == (
        "https://ada:[redacted]@example.org/x"
    )


def test_objects_in_memory_are_described_by_content():
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    entity = described(array)
    assert (entity.kind, entity.rows, entity.columns, entity.size_bytes) == ("dataset", 3, 2, 24)
    assert entity.digest is not None
    assert entity.digest.algorithm == "array-v1"
    assert described(array.copy()).digest == entity.digest
    assert described(array + 1).digest != entity.digest
    assert described(b"weights").kind == "file"
    assert described(b"weights", role="model").kind == "model"


def test_an_object_of_no_known_kind_is_kept_by_name():
    class Estimator:
        pass

    assert described(Estimator(), role="model", name="churn") == Entity(
        kind="model",
        name="churn",
        description="test_things.test_an_object_of_no_known_kind_is_kept_by_name.<locals>"
        ".Estimator object",
        missing=(
            Missing(
                field="digest",
                reason="no digest by content is known for such an object; save it and record the"
                " file",
            ),
        ),
    )
    assert described(Estimator(), digest=SHA256).missing == ()


def test_a_handle_is_the_same_thing_with_what_is_added(csv):
    handle = Handle(described(csv, licence="MIT"))
    assert described(handle) is handle.entity
    again = described(handle, name="customers", version="2")
    assert (again.digest, again.licence, again.name, again.version) == (
        DIGEST,
        "MIT",
        "customers",
        "2",
    )
    assert entity_of(handle, default_kind=None, role="x", given={"kind": "model"}).kind == "model"


@pytest.mark.parametrize("name", ["nul\0inside", "x" * 5000, "", "no/such/file"])
def test_what_is_no_path_has_no_digest_and_a_reason(name):
    entity = described(name)
    assert entity.digest is None
    assert [each.field for each in entity.missing] == ["digest"]


def test_a_pure_path_counts_as_path(csv):
    assert described(PurePosixPath(csv)).digest == DIGEST


# ---- in the graph -----------------------------------------------------------------------------------------
def test_all_that_was_said_of_an_input_stands_in_the_graph(home, csv):
    with provgraph.run("train", owner="ada") as run:
        handle = run.use(
            csv,
            role="train",
            name="customers",
            version="2024-06",
            rows=2,
            source="https://example.org/customers",
            licence="CC-BY-4.0",
            collected="2024-01/2024-06",
            collector="Branch offices",
            consent="contract, Art. 6(1)(b) GDPR",
            vendor="Acme",
            description="one row per customer",
        )
    assert handle.digest == DIGEST
    facts = facts_of(run.receipt)
    content = vocab.content_iri(DIGEST)
    (version,) = facts.of(content, "prov:specializationOf")
    (vendor,) = facts.of(content, "dcterms:publisher")
    namespace = version.split("/")[-3]
    assert version == f"{vocab.ID}dataset/{namespace}/customers/2024-06"
    assert facts.of(version, "prov:specializationOf") == [
        f"{vocab.ID}dataset/{namespace}/customers"
    ]
    assert vendor == f"{vocab.ID}organization/{namespace}/Acme"
    assert {
        name: facts.of(content, name)
        for name in (
            *("rdfs:label", "digest", "sizeBytes", "rowCount", "collected", "collector", "consent"),
            *("dcterms:license", "dcterms:source", "dcterms:description", "dcat:mediaType"),
            *("prov:atLocation", "missing"),
        )
    } == {
        "rdfs:label": ["customers"],
        "digest": [str(DIGEST)],
        "sizeBytes": ["7"],
        "rowCount": ["2"],
        "collected": ["2024-01/2024-06"],
        "collector": ["Branch offices"],
        "consent": ["contract, Art. 6(1)(b) GDPR"],
        "dcterms:license": ["https://spdx.org/licenses/CC-BY-4.0"],
        "dcterms:source": ["https://example.org/customers"],
        "dcterms:description": ["one row per customer"],
        "dcat:mediaType": [f"{vocab.MEDIA_TYPES}text/csv"],
        "prov:atLocation": [csv.as_uri()],
        "missing": [],
    }
    ((entity, role, at),) = facts.parts(
        facts.run, "prov:qualifiedUsage", "prov:entity", "prov:hadRole", "prov:atTime"
    )
    assert (entity, role) == (content, f"{vocab.ROLE}train")
    assert str(facts.one(facts.run, "prov:startedAtTime")) <= str(at)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("licence", "property_", "value"),
    [
        ("MIT", "dcterms:license", "https://spdx.org/licenses/MIT"),
        (
            "https://example.org/terms of use",
            "dcterms:license",
            "https://example.org/terms%20of%20use",
        ),
        ("for research only", "dc:rights", "for research only"),
    ],
)
def test_a_licence_is_an_spdx_id_an_address_or_text(licence, property_, value):
    with provgraph.run("train", owner="ada") as run:
        run.use("s3://b/x", licence=licence)
        run.use("s3://b/y", license=licence)  # as it is also spelled
    facts = facts_of(run.receipt)
    assert [facts.of(f"s3://b/{name}", property_) for name in "xy"] == [[value], [value]]
    assert facts.of(facts.run, "note") == []


@pytest.mark.usefixtures("home")
def test_same_bytes_in_two_runs_are_one_thing_wherever_they_lie(tmp_path):
    for number, name in enumerate(("a.csv", "b.csv")):
        (tmp_path / name).write_bytes(b"same")
        with provgraph.run(f"run {number}", owner="ada") as run:
            run.use(tmp_path / name)
        facts = facts_of(run.receipt)
        assert (
            facts.of(facts.run, "prov:used").count(
                vocab.content_iri(Digest("sha256", hashlib.sha256(b"same").hexdigest()))
            )
            == 1
        )


@pytest.mark.usefixtures("home")
def test_a_file_name_that_is_no_utf_8_keeps_its_bytes_in_the_location(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9 \xff.csv"
    with open(raw, "wb") as file:
        file.write(b"x")
    with provgraph.run("train", owner="ada") as run:
        run.use(os.fsdecode(raw))
    facts = facts_of(run.receipt)
    content = vocab.content_iri(Digest("sha256", hashlib.sha256(b"x").hexdigest()))
    assert facts.of(content, "rdfs:label") == ["caf\ufffd \ufffd.csv"]
    assert facts.of(content, "prov:atLocation") == [f"{tmp_path.as_uri()}/caf%E9%20%FF.csv"]


def test_a_handle_says_what_it_stands_for_in_one_line(csv):
    assert repr(Handle(described(csv))) == f"<dataset {csv.name}, {described(csv).digest}>"
    model = Handle(Entity(kind="model", uri="hf://bert", version="3"))
    assert repr(model) == "<model hf://bert:3, no digest: none known>"
    lost = Handle(unknown_thing("no such file"))
    assert repr(lost) == "<file nameless, no digest: no such file>"
