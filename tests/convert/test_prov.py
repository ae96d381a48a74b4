"""Records to PROV-O: canonical bytes that the index gives back, and names that never change."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import pyoxigraph as ox
import pytest
import record_strategies  # noqa: F401 - registers how records are made
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from readback import Facts, facts_at, facts_of, runs
from readback import settings as home_settings

import provgraph
from provgraph import vocab
from provgraph.capture.facts import decode
from provgraph.convert.entities import Context
from provgraph.convert.prov import (
    content_record_iri,
    convert,
    convert_content,
    environment_iri,
    source_code_iri,
)
from provgraph.digests import Digest
from provgraph.errors import FormatError
from provgraph.index.store import Index, open_index
from provgraph.records import (
    Agent,
    Appointment,
    Approval,
    Deployment,
    Entity,
    Environment,
    Evaluation,
    Generation,
    Missing,
    Observation,
    Package,
    Retraction,
    Run,
    SourceCode,
    Step,
    Usage,
)
from provgraph.service.asking import open_reader
from provgraph.service.folding import folded, unambiguous
from provgraph.service.home import close_ledger
from provgraph.service.recording import write_record
from provgraph.terms import parse_lines

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
CONTEXT = Context(namespace="example.org", software_version="1.2.3", recorded_at=AT, previous={})
NUMBERS = itertools.count()
RECORD = "01890000-0000-7000-8000-000000000001"
SHA = Digest("sha256", "ab" * 32)

many = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def converted(record, **context: object) -> Facts:
    made = convert(record, record_id=RECORD, context=dataclasses.replace(CONTEXT, **context))
    return Facts(made.canonical)


def run_record(**fields: object) -> Run:
    return Run(id="r1", name="train", status="completed", started_at=AT, **fields)  # type: ignore[arg-type]


# ---- round trips --------------------------------------------------------------------------------------------
def runs_of_any_content() -> st.SearchStrategy[Run]:
    """Runs whose steps fit together, as capture numbers them."""

    def in_order(steps: list[Step], parents: list[int]) -> tuple[Step, ...]:
        numbered = enumerate(zip(steps, parents, strict=False), start=1)
        return tuple(
            dataclasses.replace(step, number=number, parent=parent % number or None)
            for number, (step, parent) in numbered
        )

    steps = st.builds(
        in_order, st.lists(st.from_type(Step), max_size=3), st.lists(st.integers(0, 9), min_size=3)
    )
    return st.builds(Run, steps=steps, series=st.just(()))


def retractions() -> st.SearchStrategy[Retraction]:
    return st.builds(
        Retraction, target=st.sampled_from([f"{vocab.ID}run/r1", vocab.content_iri(SHA), "urn:x:y"])
    )


KINDS = {
    "run": runs_of_any_content(),
    "deployment": st.builds(
        Deployment,
        on_approval=st.none() | st.just(f"{vocab.ID}approval/a1"),
        replaces=st.none() | st.just(f"{vocab.ID}deployment/d1"),
    ),
    "observation": st.builds(
        Observation, deployment=st.none() | st.just(f"{vocab.ID}deployment/d1")
    ),
    "approval": st.from_type(Approval),
    "retraction": retractions(),
    "appointment": st.from_type(Appointment),
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with open_index(tmp_path_factory.mktemp("index") / "index", wait_s=1) as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS)
@many
@given(data=st.data())
def test_any_record_is_canonical_and_the_index_gives_it_back(kind, data, index):
    record, record_id = data.draw(KINDS[kind]), f"record-{next(NUMBERS)}"
    try:
        made = convert(record, record_id=record_id, context=CONTEXT)
    except FormatError as error:
        assert "sort differently" in str(error)
        made = convert(unambiguous(record), record_id=record_id, context=CONTEXT)
    # Strict: every line in its one spelling, sorted, once, no blank nodes.
    statements = list(parse_lines(made.canonical))
    assert {graph for *_, graph in statements} == {f"<{vocab.record_iri(record_id)}>"}
    # Another parser reads the same graph, writes the same bytes, and finds nothing to rename.
    dataset = ox.Dataset(ox.parse(made.canonical, format=ox.RdfFormat.N_QUADS))
    assert len(dataset) == len(statements)
    assert "".join(sorted(f"{quad} .\n" for quad in dataset)).encode() == made.canonical
    # And the store keeps every literal as it is.
    index.replay([made.canonical], start=next(NUMBERS), root_at=lambda _: "00" * 32)
    assert index.graph(made.iri) == made.canonical


@many
@given(environment=st.from_type(Environment), source=st.from_type(SourceCode))
def test_content_that_repeats_is_canonical_and_named_by_all_of_it(environment, source):
    for content, iri in (
        (environment, environment_iri(environment)),
        (source, source_code_iri(source)),
    ):
        try:
            made = convert_content(content, context=CONTEXT)
        except FormatError as error:
            assert "sort differently" in str(error)
            continue
        later = dataclasses.replace(CONTEXT, recorded_at=datetime(2030, 1, 1, tzinfo=UTC))
        assert convert_content(content, context=later) == made
        assert made.iri == content_record_iri(content)
        assert f"<{iri}> " in made.canonical.decode()
        assert b"2030-01-01" not in made.canonical or "2030" in repr(content)


@many
@given(first=st.from_type(Environment), second=st.from_type(Environment))
def test_two_environments_have_two_names(first, second):
    assume(repr(first) != repr(second))
    assert environment_iri(first) != environment_iri(second)
    assert environment_iri(first) == environment_iri(dataclasses.replace(first))


# ---- what stands in the graph -----------------------------------------------------------------------------
def test_the_head_of_a_record():
    facts = converted(run_record())
    record = vocab.record_iri(RECORD)
    assert {
        name: facts.of(record, name)
        for name in ("rdf:type", "recordVersion", "softwareVersion", "prov:generatedAtTime")
    } == {
        "rdf:type": [f"{vocab.PROV}Bundle", f"{vocab.PG}RunRecord"],
        "recordVersion": ["1"],
        "softwareVersion": ["1.2.3"],
        "prov:generatedAtTime": ["2026-01-02T03:04:05.678901Z"],
    }


def test_a_plan_is_what_the_owner_followed():
    facts = converted(run_record(owner=Agent(name="Ada L."), plan="https://example.org/a plan"))
    owner = f"{vocab.ID}person/example.org/Ada%20L."
    assert facts.of(facts.run, "prov:wasAssociatedWith") == [owner]
    assert facts.parts(facts.run, "prov:qualifiedAssociation", "prov:agent", "prov:hadPlan") == [
        (owner, "https://example.org/a%20plan")
    ]
    facts = converted(run_record(plan="by hand"))
    assert facts.of(facts.run, "plan") == [f"{facts.run}#plan-1"]
    assert facts.of(f"{facts.run}#plan-1", "rdfs:label") == ["by hand"]
    assert facts.of(facts.run, "prov:qualifiedAssociation") == []


def test_usage_and_generation_are_qualified_where_there_is_a_role_or_a_time():
    entity = Entity(kind="dataset", digest=SHA)
    facts = converted(
        run_record(
            used=(Usage(entity=entity), Usage(entity=entity, role="train", at=AT)),
            generated=(Generation(entity=Entity(uri="s3://b/m"), at=AT),),
        )
    )
    iri = vocab.content_iri(SHA)
    assert facts.of(facts.run, "prov:used") == [iri]
    fields = ("prov:entity", "prov:hadRole", "prov:atTime")
    assert facts.parts(facts.run, "prov:qualifiedUsage", *fields) == [
        (iri, f"{vocab.ROLE}train", "2026-01-02T03:04:05.678901Z")
    ]
    assert facts.parts("s3://b/m", "prov:qualifiedGeneration", "prov:activity", *fields[1:]) == [
        (facts.run, None, "2026-01-02T03:04:05.678901Z")
    ]


def test_a_thing_without_digest_and_uri_exists_in_its_record_only():
    facts = converted(run_record(used=(Usage(entity=Entity(name="x")), Usage(entity=Entity()))))
    assert facts.of(facts.run, "prov:used") == [f"{facts.run}#entity-1", f"{facts.run}#entity-2"]
    made = convert(
        run_record(used=(Usage(entity=Entity(name="x", version="1")),)),
        record_id=RECORD,
        context=CONTEXT,
    )
    # A version whose bytes nobody saw does not answer which bytes it is.
    assert [(row.kind, row.name) for row in made.names] == [("run", "train")]


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("dataset", "Dataset"),
        ("model", "Model"),
        ("feature-set", "FeatureSet"),
        ("file", "File"),
        ("spreadsheet", "File"),
    ],
)
def test_kind_class_and_name_go_together(kind, cls):
    entity = Entity(kind=kind, digest=SHA, name="x", version="1")
    made = convert(run_record(used=(Usage(entity=entity),)), record_id=RECORD, context=CONTEXT)
    facts = Facts(made.canonical)
    assert facts.all(cls) == [vocab.content_iri(SHA)]
    (row,) = [row for row in made.names if row.kind != "run"]
    assert row.kind == {"spreadsheet": "file"}.get(kind, kind)
    assert facts.of(row.iri, "prov:specializationOf") == [f"{vocab.ID}{row.kind}/example.org/x/1"]


def test_a_version_revises_the_one_before():
    entity = Entity(kind="model", digest=SHA, name="churn", version="4")
    before = vocab.named_iri("model", "example.org", "churn", "3")
    record = run_record(generated=(Generation(entity=entity),))
    facts = converted(record, previous={("model", "churn", "4"): before})
    version = vocab.named_iri("model", "example.org", "churn", "4")
    assert facts.of(version, "prov:wasRevisionOf") == [before]
    assert converted(record).of(version, "prov:wasRevisionOf") == []


def test_two_ledgers_churn_are_two_things_and_their_bytes_are_one():
    record = run_record(
        generated=(Generation(entity=Entity(kind="model", digest=SHA, name="churn", version="3")),)
    )
    ours, theirs = converted(record), converted(record, namespace="other.org")
    assert ours.all("Model") == theirs.all("Model") == [vocab.content_iri(SHA)]
    assert ours.all("Version") == [f"{vocab.ID}model/example.org/churn/3"]
    assert theirs.all("Version") == [f"{vocab.ID}model/other.org/churn/3"]


def test_a_package_of_an_index_is_the_same_everywhere_and_others_only_claim_its_name():
    environment = Environment(
        python="3.11",
        implementation="CPython",
        operating_system="Debian",
        kernel="Linux",
        architecture="x86_64",
        packages=(
            Package(name="Scikit_Learn", version="1.5"),
            Package(name="mine", version="0.1", origin="editable", origin_url="/src/mine"),
        ),
    )
    facts = Facts(convert_content(environment, context=CONTEXT).canonical)
    iri = environment_iri(environment)
    index, mine = sorted(facts.of(iri, "package"), reverse=True)
    assert index == "pkg:pypi/scikit-learn@1.5"
    assert mine == f"{iri}#package-1"
    assert facts.of(mine, "packageUrl") == ["pkg:pypi/mine@0.1"]
    assert facts.of(mine, "originUrl") == ["/src/mine"]


@pytest.mark.parametrize(
    ("target", "is_invalidated"),
    [(vocab.content_iri(SHA), True), (f"{vocab.ID}run/r1", False)],
)
def test_only_entities_are_invalidated(target, is_invalidated):
    facts = converted(Retraction(id="t1", target=target, reason="wrong labels", at=AT))
    act = f"{vocab.ID}retraction/t1"
    assert facts.of(act, "retracts") == [target]
    assert facts.of(target, "prov:wasInvalidatedBy") == ([act] if is_invalidated else [])


def test_a_deployment_lasts_and_an_approval_is_over_at_once():
    model = Entity(kind="model", digest=SHA)
    facts = converted(
        Deployment(
            id="d2", model=model, stage="production", at=AT, replaces=f"{vocab.ID}deployment/d1"
        )
    )
    act = f"{vocab.ID}deployment/d2"
    assert facts.of(act, "prov:endedAtTime") == []
    assert facts.of(act, "prov:wasInformedBy") == [f"{vocab.ID}deployment/d1"]
    facts = converted(Approval(id="a1", model=model, by=Agent(name="g"), meaning="fit", at=AT))
    act = f"{vocab.ID}approval/a1"
    assert facts.of(act, "prov:endedAtTime") == facts.of(act, "prov:startedAtTime")
    assert facts.of(act, "prov:wasAssociatedWith") == [f"{vocab.ID}person/example.org/g"]


def test_an_observation_is_derived_from_what_was_observed():
    model, data = Entity(kind="model", digest=SHA), Entity(kind="dataset", uri="s3://b/live")
    facts = converted(
        Observation(
            id="o1", model=model, data=data, metric="auc", value=0.5, at=AT, interval=(0.4, 0.6)
        )
    )
    seen = f"{vocab.ID}observation/o1"
    assert facts.of(seen, "prov:wasDerivedFrom") == [vocab.content_iri(SHA), "s3://b/live"]
    assert [facts.one(seen, name) for name in ("intervalLow", "intervalHigh")] == ["0.4", "0.6"]


# ---- too large for a graph ----------------------------------------------------------------------------------
def test_a_record_is_folded_and_kept_whole_as_an_attachment():
    used = tuple(Usage(entity=Entity(uri=f"s3://b/{number}")) for number in range(25))
    record = run_record(
        used=used,
        parameters={f"p{number}": number for number in range(12)},
        evaluations=(Evaluation(model=None, data=None, metric="m", value=1.0),),
    )
    cut, attachments = folded(record, keep=10)
    ((digest, data),) = attachments.items()
    assert decode(Run, json.loads(data)) == record
    assert (cut.used, len(cut.parameters), cut.evaluations) == (used[:10], 10, record.evaluations)
    assert [(each.field, each.reason) for each in cut.missing] == [
        (
            f"{field} in the graph",
            f"{count} of them are only in the attachment {digest}, which has all facts",
        )
        for field, count in (("parameters", 2), ("used", 15))
    ]


@pytest.mark.usefixtures("home")
def test_a_run_of_ten_thousand_inputs_is_sealed_and_nothing_of_it_is_lost():
    with provgraph.run("train", owner="ada") as run:
        for number in range(10_000):
            run.use(
                f"s3://bucket/{'x' * 200}/{number}.png",
                digest=f"sha256:{number:064x}",
                role="train",
            )
    facts = facts_of(run.receipt)
    assert len(facts.of(facts.run, "prov:qualifiedUsage")) == 1000
    reason = facts.missing()["used in the graph"]
    assert reason.startswith("9000 of them are only in the attachment sha256:")
    with open_reader(home_settings()) as reader:
        digest = Digest.parse(reason.split()[8].rstrip(","))
        data = reader.ledger.attachment(digest).decode()
    assert data.count('"role":"train"') == 10_000


# ---- in a ledger ------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("home")
def test_versions_form_a_chain_in_the_order_of_the_ledger():
    for version in ("1", "2", "10"):
        with provgraph.run("train", owner="ada") as run:
            run.generate(f"model {version}".encode(), role="model", name="churn", version=version)
    with provgraph.run("again", owner="ada") as run:
        run.generate(b"model 1", role="model", name="churn", version="1")
    with provgraph.run("two at once", owner="ada") as run:
        run.generate(b"model 11", role="model", name="churn", version="11")
        run.generate(b"model 12", role="model", name="churn", version="12")
        run.generate(b"other 1", role="model", name="other", version="1")
    chain = [
        (s.rsplit("/", 1)[-1], o[1:-1].rsplit("/", 1)[-1])
        for facts in runs()
        for s, p, o in facts.statements
        if p == f"{vocab.PROV}wasRevisionOf"
    ]
    assert chain == [("2", "1"), ("10", "2"), ("11", "10"), ("12", "11")]


@pytest.mark.usefixtures("home")
def test_the_same_bytes_have_the_same_name_in_two_runs():
    for role in ("train", "test"):
        with provgraph.run(role, owner="ada") as run:
            run.use([{"a": 1}, {"a": 2}], role=role)
    first, second = runs()
    assert first.all("Dataset") == second.all("Dataset")
    assert len(first.all("Dataset")) == 1


def test_no_name_changes_when_the_ledger_moves(home, tmp_path, monkeypatch):
    with provgraph.run("train", owner="ada") as run:
        run.generate(b"model", role="model", name="churn", version="1")
    before = facts_of(run.receipt).canonical
    close_ledger()
    shutil.copytree(home, tmp_path / "moved")
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "moved"))
    assert facts_at(run.receipt.position).canonical == before
    with provgraph.run("train", owner="ada") as run:
        run.generate(b"model 2", role="model", name="churn", version="2")
    after = facts_of(run.receipt)
    (version,) = [each for each in after.all("Version") if each.endswith("/2")]
    assert after.of(version, "prov:wasRevisionOf") == [version[:-1] + "1"]
    assert after.of(version, "prov:wasRevisionOf")[0] in before.decode()


@pytest.mark.usefixtures("home")
@settings(many, max_examples=20)
@given(record=runs_of_any_content())
def test_any_run_can_be_sealed_and_comes_back_from_ledger_and_index(record):
    record_id = f"run-{next(NUMBERS)}"
    receipt = write_record(home_settings(), record, record_id=record_id)
    with open_reader(home_settings()) as reader:
        assert reader.index.graph(receipt.record) == reader.ledger.graph(receipt.position)
    assert write_record(home_settings(), record, record_id=record_id).position == receipt.position


def test_record_ids_of_any_form_make_an_iri():
    made = convert(run_record(), record_id="a b/ü", context=CONTEXT)
    assert made.iri == f"{vocab.ID}record/a%20b%2F%C3%BC"


def test_data_that_comes_back_is_described_as_the_first_time():
    data = Entity(kind="dataset", name="train", digest=SHA, rows=3, location="/d/x")
    first, second = (
        convert(
            Run(id="r", name="n", status="completed", started_at=AT, used=(Usage(entity=each),)),
            record_id="r",
            context=CONTEXT,
        )
        for each in (data, dataclasses.replace(data))
    )
    assert second == first
    elsewhere = convert(
        Run(id="r", name="n", status="completed", started_at=AT, used=(Usage(entity=data),)),
        record_id="other",
        context=CONTEXT,
    )
    assert elsewhere.names == first.names
    assert elsewhere.canonical == first.canonical.replace(b"/record/r>", b"/record/other>")


def test_what_takes_nodes_of_the_record_itself_is_described_anew():
    data = Entity(
        kind="dataset",
        name="train",
        digest=SHA,
        missing=(Missing(field="rows", reason="too large"),),
    )
    graphs = [
        convert(
            Run(id=run, name="n", status="completed", started_at=AT, used=(Usage(entity=data),)),
            record_id=run,
            context=CONTEXT,
        ).canonical
        for run in ("one", "two")
    ]
    assert [b"/run/one#missing-1>" in each for each in graphs] == [True, False]
    assert [b"/run/two#missing-1>" in each for each in graphs] == [False, True]
