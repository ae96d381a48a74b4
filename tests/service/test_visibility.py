"""Which records a view leaves out: each rule of docs/access.md, and random small ledgers."""

import contextlib
import shutil
import sqlite3
from datetime import UTC, datetime
from itertools import count

import pyoxigraph as ox
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provgraph import vocab
from provgraph.access.store import AccessStore
from provgraph.access.views import FULL, View
from provgraph.convert.entities import Context
from provgraph.convert.prov import convert, environment_iri
from provgraph.digests import Digest
from provgraph.ledger.names import ShownNames
from provgraph.records import (
    Agent,
    Approval,
    ArtifactFinding,
    Deployment,
    Entity,
    Environment,
    Generation,
    KeyAddition,
    Note,
    Observation,
    Retraction,
    Run,
    SourceCode,
    Usage,
    Verification,
)
from provgraph.seal.entry import KEY_ADD
from provgraph.seal.keys import generate_signer
from provgraph.seal.proof import seal
from provgraph.service.asking import open_reader
from provgraph.service.erasing import Order, carry_out, plan_erasure
from provgraph.service.home import close_ledger, readable_ledger, steward_signer, utc_now
from provgraph.service.ingesting import Incoming, IncomingFacts, IncomingSealed, Ingest
from provgraph.service.recording import write_record
from provgraph.service.view_index import ViewIndex
from provgraph.service.visibility import open_visibility
from provgraph.settings import load

AT = datetime(2026, 3, 1, tzinfo=UTC)
OPEN = View(hidden=frozenset({"secret"}))
ENVIRONMENT = Environment(
    python="3.11", implementation="CPython", operating_system="Linux", kernel="6", architecture="x"
)


def digest(letter):
    return Digest("sha256", (letter * 64)[:64])


def thing(letter, name=None, version=None, kind="dataset"):
    return Entity(kind=kind, digest=digest(letter), name=name, version=version)


def run(name, project=None, *, used=(), made=(), **facts):
    return Run(
        id=name,
        name="train",
        project=project,
        status="completed",
        started_at=AT,
        used=tuple(Usage(entity=each) for each in used),
        generated=tuple(Generation(entity=each, derived_from=()) for each in made),
        **facts,
    )


def approval(name, model):
    return Approval(id=name, model=model, by=Agent(name="grace"), meaning="fit", at=AT)


def take(*records):
    """Take records in one after the other, each under its id."""
    with Ingest(load()) as ingest:
        for each in records:
            items: list[Incoming] = [IncomingFacts(record_id=each.id, record=each)]
            ingest.take(items)


def shown(view=OPEN):
    """Return the ids of the records that a view shows; those of shared content by their kind."""
    with readable_ledger(load()) as ledger, open_visibility(load()) as visibility:
        size = visibility.follow(ledger)
        hidden = visibility.hidden(view, size=size)
        names = [
            each.iri.removeprefix(f"{vocab.ID}record/").partition("-")[0]
            for each in ledger.records()
            if each.index not in hidden
        ]
    return set(names)


MODEL = thing("a", "churn", "1", "model")


def test_a_run_is_as_private_as_its_project_and_one_without_is_open(home):
    take(run("r1", "secret"), run("r2", "other"), run("r3"))
    assert (shown(), shown(FULL)) == ({"r2", "r3"}, {"r1", "r2", "r3"})


def test_a_run_that_uses_what_a_private_run_made_is_private(home):
    take(run("r1", "secret", made=[MODEL]), run("r2", "other", used=[thing("a")]))
    assert shown() == set()


def test_what_both_use_leaves_the_open_run_open_whoever_was_first(home):
    data = thing("d", "raw", "1")
    take(run("r1", "secret", used=[data]), run("r2", "other", used=[data]))
    assert shown() == {"r2"}


def test_a_run_that_knew_content_before_a_private_run_made_it_stays_open(home):
    take(run("r1", "other", used=[thing("d")]), run("r2", "secret", made=[thing("d")]))
    assert shown() == {"r1"}


def test_a_run_that_makes_the_same_bytes_itself_stays_open(home):
    take(run("r1", "secret", made=[thing("e")]), run("r2", "other", made=[thing("e")]))
    assert shown() == {"r2"}


def test_a_name_that_began_in_private_is_private_with_other_bytes_too(home):
    take(run("r1", "secret", made=[MODEL]), run("r2", "other", used=[thing("b", "churn", "1")]))
    assert shown() == {"r2"}  # another kind of thing
    take(run("r3", "other", used=[thing("b", "churn", "1", "model")]))
    assert shown() == {"r2"}


def test_a_version_that_follows_a_private_one_is_private(home):
    take(run("r1", "secret", made=[MODEL]))
    take(run("r2", "other", made=[thing("b", "churn", "2", "model")]))
    assert shown() == set()


@pytest.mark.parametrize("is_local", [True, False], ids=["local", "sent"])
def test_an_open_run_is_told_nothing_of_private_names(home, is_local):
    take(run("r1", "secret", used=[thing("a", "raw", "1")], made=[MODEL]))
    store = AccessStore(home / "access.db", clock=utc_now)
    store.set_private("secret", is_private=True)
    store.close()
    others = [
        run(
            f"r{version}",
            project,
            used=[thing(version, "raw", "1")],
            made=[thing(letter, "churn", version, "model")],
        )
        for version, letter, project in (("2", "b", "other"), ("3", "c", "secret"))
    ]
    for each in others:
        if is_local:
            write_record(load(), each, record_id=each.id)
        else:
            take(each)
    with readable_ledger(load()) as ledger:
        graphs = [ledger.graph(ledger.find(vocab.record_iri(each.id))).decode() for each in others]
    told = [("already names other bytes" in each, "wasRevisionOf" in each) for each in graphs]
    assert told == [(False, False), (True, True)]


def test_a_view_index_has_nothing_left_of_what_was_erased(home):
    take(run("r1", "other", notes=(Note(text="Zacharias"),)), run("r2", "other"))
    index = ViewIndex(load(), OPEN, home / "views")
    first, _ = index.copied(is_forced=False)
    with open_reader(load()) as reader:
        plan = plan_erasure(reader, vocab.record_iri("r1"))
    carry_out(load(), plan, Order(by="dpo", why="asked", ground=None))
    shutil.rmtree(first)  # as its keeper does
    second, _ = index.copied(is_forced=False)
    files = [path.read_bytes() for path in (home / "views").rglob("*") if path.is_file()]
    kept = [name for name in ("r1", "r2") if f"<{vocab.run_iri(name)}>" in str(quads(second))]
    assert (any(b"Zacharias" in data for data in files), kept) == (False, ["r2"])


def test_a_child_of_a_private_run_is_private_though_it_came_in_first(home):
    take(run("r1", "other", parent="r2"))
    assert shown() == {"r1"}
    take(run("r2", "secret"), run("r3", "other", resumes="r2"))
    assert shown() == set()


@pytest.mark.parametrize(
    "later",
    [
        approval("l", MODEL),
        Deployment(id="l", model=MODEL, stage="production", at=AT),
        Observation(id="l", model=MODEL, metric="auc", value=0.5, at=AT),
        Retraction(id="l", target=vocab.content_iri(digest("a")), reason="wrong", at=AT),
        Retraction(id="l", target=vocab.run_iri("r1"), reason="wrong", at=AT),
        Retraction(id="l", target=vocab.record_iri("r1"), reason="wrong", at=AT),
    ],
    ids=["approval", "deployment", "observation", "content", "run", "record"],
)
def test_a_later_fact_is_as_visible_as_what_it_is_about(home, later):
    take(run("r1", "secret", made=[MODEL]), later)
    assert (shown(), shown(View(hidden=frozenset({"x"})))) == (set(), {"r1", "l"})


def test_a_later_fact_about_a_later_fact_is_as_visible(home):
    take(run("r1", "secret", made=[MODEL]), approval("a1", thing("a", kind="model")))
    take(Retraction(id="x1", target=vocab.activity_iri("approval", "a1"), reason="no", at=AT))
    assert shown() == set()


def test_a_later_fact_on_data_that_an_open_run_used_before_is_open(home):
    data = vocab.content_iri(digest("d"))
    take(run("r1", "secret", used=[thing("d")]), run("r2", "other", used=[thing("d")]))
    take(Retraction(id="x1", target=data, reason="consent withdrawn", at=AT))
    assert shown() == {"x1", "r2"}


def test_nobody_opens_a_later_fact_by_speaking_of_its_thing_afterwards(home):
    take(run("r1", "secret", used=[thing("d", "llama", "3", "model")]))
    take(Deployment(id="d1", model=thing("d", kind="model"), stage="at a customer", at=AT))
    take(run("r2", "other", used=[thing("d", "llama", "3", "model")]))
    take(run("r3", "other", made=[thing("d", "llama", "3", "model")]))
    assert shown() == {"r2", "r3"}


def test_a_later_fact_on_what_nobody_had_described_stays_for_those_who_read_all(home):
    guessed = Entity(kind="model", uri=vocab.named_iri("model", "local", "churn", "1"))
    take(approval("a1", MODEL), approval("a2", guessed))
    take(run("r1", "other", made=[MODEL]))
    assert (shown(), shown(FULL)) == ({"r1"}, {"a1", "a2", "r1"})


def test_a_shared_description_is_not_opened_by_a_run_that_only_names_it(home):
    take(run("r1", "secret", environment=ENVIRONMENT))
    record_iri, run_iri = vocab.record_iri("x1"), vocab.run_iri("x1")
    context = Context(namespace="acme", software_version="1", recorded_at=AT, previous={})
    facts = Run(id="x1", name="train", status="completed", started_at=AT)
    own = convert(facts, record_id="x1", context=context).canonical.decode().splitlines()
    named = (
        f"<{run_iri}> {vocab.P['environment']} <{environment_iri(ENVIRONMENT)}> <{record_iri}> ."
    )
    graph_nq = "".join(f"{line}\n" for line in sorted([*own, named])).encode()
    made = seal(graph_nq, signer=generate_signer(), created=AT)
    with Ingest(load()) as ingest:
        sent = IncomingSealed(
            graph_nq=graph_nq, proof_nq=made.proof_nq, proof_value=made.proof_value
        )
        ingest.take([sent])
    assert shown() == {"x1"}


def test_what_runs_share_is_as_visible_as_one_of_them(home):
    source = SourceCode(repository="https://example.org/x", commit="c" * 40)
    take(run("r1", "secret", environment=ENVIRONMENT, source_code=source))
    assert shown() == set()
    take(run("r2", "other", environment=ENVIRONMENT))
    assert shown() == {"r2", "environment"}


def test_a_verification_counts_everything_and_is_for_those_who_read_all(home):
    take(run("r1", "other", used=[thing("d")]))
    found = ArtifactFinding(artifact=digest("d"), location="file:///d", state="gone")
    write_record(
        load(),
        Verification(
            id="v1",
            ledger_size=1,
            root_hash="sha256:" + "0" * 64,
            counts={"gone": 1},
            findings=(found,),
            software=Agent(name="provgraph", kind="software"),
            at=AT,
            ended_at=AT,
        ),
        record_id="v1",
    )
    assert (shown(), shown(FULL)) == ({"r1"}, {"r1", "v1"})


def test_what_decides_about_the_ledger_is_open(home):
    take(run("r1", "secret"))
    write_record(
        load(),
        KeyAddition(id="k1", key=steward_signer(load()).verification_method, role="steward", at=AT),
        record_id="k1",
        kind=KEY_ADD,
        signer=steward_signer(load()),
    )
    assert shown() == {"k1"}


def test_a_view_of_some_projects_shows_no_other_and_nothing_without_one(home):
    take(run("r1", "secret"), run("r2", "other"), run("r3"), run("r4", "third"))
    assert shown(View(only=frozenset({"secret", "other"}))) == {"r1", "r2"}


def test_a_project_is_found_however_its_records_had_to_spell_it(home):
    name = "\N{UNICORN FACE}"
    view = View(hidden=frozenset({f"{name}\ufe0f"}))
    # Verifiers sort these two characters differently, so one is written as an escape.
    metrics = {f"a{name}": 1.0, "a\uff01": 2.0}
    take(run("r1", f"{name}\ufe0f", metrics=metrics), run("r2", f"{name}\ufe0f"), run("r3", name))
    assert shown(view) == {"r3"}


def test_names_that_are_all_shown_mean_what_they_mean_in_the_ledger(home):
    versions = "123132"
    runs = [
        run(f"r{place}", made=[thing(letter, "churn", version, "model")])
        for place, (version, letter) in enumerate(zip(versions, "abcdef", strict=True))
    ]
    take(*runs)
    asked = [{}, {"version": "1"}, {"last_but": "1"}, {"last_but": "3"}, {"last_but": "9"}]
    with readable_ledger(load()) as ledger:
        all_shown = ShownNames(ledger, is_shown=lambda _: True)
        found = [all_shown.names("model", "churn", **each) for each in asked]
        assert found == [ledger.names("model", "churn", **each) for each in asked]
        without_last = ShownNames(ledger, is_shown=lambda index: index not in {2, 4})
        (row,) = without_last.names("model", "churn", last_but="1")
    assert (row.version, [len(each) for each in found]) == ("2", [6, 2, 1, 1, 1])


def test_making_a_project_open_again_shows_all_its_past(home):
    take(run("r1", "secret", made=[MODEL]), approval("a1", MODEL))
    assert (shown(), shown(View(hidden=frozenset({"other"})))) == (set(), {"r1", "a1"})


@pytest.mark.parametrize("project", ["secret", "other"])
def test_an_erased_record_keeps_its_visibility(home, project):
    take(run("r1", project, made=[MODEL]), run("r2", "third"))
    before = shown()
    with open_reader(load()) as reader:
        plan = plan_erasure(reader, vocab.record_iri("r1"))
    carry_out(load(), plan, Order(by="dpo", why="asked", ground=None))
    after = shown()
    assert (after & {"r1", "r2"}, len(after - before)) == (before, int(project == "other"))
    # Without what was known of it nobody can tell, so its tombstone is for those who read all.
    (home / "visibility.db").unlink()
    assert shown() == {"r2"}


def test_an_erasure_learns_first_whose_it_was_and_forgets_then_what_it_mentioned(home):
    take(run("r1", "other", made=[MODEL]), run("r2", "third"))
    AccessStore(home / "access.db", clock=utc_now).close()
    with open_reader(load()) as reader:
        plan = plan_erasure(reader, vocab.record_iri("r1"))
    carry_out(load(), plan, Order(by="dpo", why="asked", ground=None))
    with contextlib.closing(sqlite3.connect(home / "visibility.db")) as db:
        found = db.execute("SELECT position, count(*) FROM mention GROUP BY position").fetchall()
    assert ([position for position, _ in found], "r1" in shown()) == ([1, 2], True)


def test_a_ledger_that_was_replaced_is_read_anew(home):
    take(run("r1", "secret"), run("r2", "other"))
    assert shown() == {"r2"}
    close_ledger()
    for path in home.glob("ledger.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    take(run("r3", "other"), run("r4", "secret"), run("r5", "other"))
    assert shown() == {"r3", "r5"}


# ---- random small ledgers --------------------------------------------------------------------------
LETTERS = "abcd"
PROJECTS = [None, "secret", "other"]
things = st.lists(st.sampled_from(LETTERS), max_size=2, unique=True)
events = st.one_of(
    st.tuples(
        st.just("run"),
        st.sampled_from(PROJECTS),
        things,
        things,
        st.one_of(st.none(), st.integers(0, 6)),
    ),
    st.tuples(st.just("approval"), st.sampled_from(LETTERS)),
    st.tuples(st.just("retraction"), st.integers(0, 6)),
)
_number = count()


def records_of(history):
    mark = next(_number)
    for place, event in enumerate(history):
        name = f"{mark}n{place}"
        if event[0] == "run":
            _, project, used, made, parent = event
            made = [each for each in made if each not in used]
            yield run(
                name,
                project,
                used=[thing(each, each, "1") for each in used],
                made=[thing(each, each, "1", "model") for each in made],
                # Of this batch, and perhaps not in yet.
                parent=None if parent is None else f"{mark}n{parent}",
            )
        elif event[0] == "approval":
            yield approval(name, thing(event[1], event[1], "1", "model"))
        else:
            target = vocab.run_iri(f"{mark}n{event[1]}")
            yield Retraction(id=name, target=target, reason="wrong", at=AT)


def quads(folder):
    store = ox.Store.read_only(str(folder))
    return {str(each) for each in store if "urn:provgraph:index" not in str(each.graph_name)}


def snapshots(steps, folder):
    """Let an index of the open view follow the ledger step by step; return what each copy holds."""
    index = ViewIndex(load(), OPEN, folder)
    found = []
    for step in steps:
        take(*step)
        copied, _ = index.copied(is_forced=False)
        found.append(quads(copied))
    return found


def expected():
    """The union of the graphs that are shown, each statement in its graph and without one."""
    with readable_ledger(load()) as ledger, open_visibility(load()) as visibility:
        hidden = visibility.hidden(OPEN, size=visibility.follow(ledger))
        graphs = [each.graph_nq for each in ledger.records() if each.index not in hidden]
    found = set()
    for each in ox.parse(b"".join(graphs), format=ox.RdfFormat.N_QUADS):
        found |= {str(each), str(ox.Quad(each.subject, each.predicate, each.object))}
    return found


@settings(max_examples=10, deadline=None)
@given(histories=st.lists(st.lists(events, min_size=1, max_size=4), min_size=1, max_size=3))
def test_an_open_snapshot_holds_the_open_graphs_exactly(tmp_path_factory, histories):
    home = tmp_path_factory.mktemp("random") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVGRAPH_HOME", str(home))
        steps = [list(records_of(each)) for each in histories]
        last = snapshots(steps, home / "views")[-1]
        assert last == expected()
        # No word of a private run is in it, whatever else came in.
        secret = {
            vocab.run_iri(each.id)
            for step in steps
            for each in step
            if isinstance(each, Run) and each.project == "secret"
        }
        assert [iri for iri in secret if any(f"<{iri}" in quad for quad in last)] == []
