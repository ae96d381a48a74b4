"""An MLflow store in SQLite becomes records: what is claimed, what is not, and what happens the next time."""

from __future__ import annotations

import json
import os
import sqlite3
import threading

import pytest
from stores import edit, made, one

from provgraph import terms, vocab
from provgraph.capture.series import decode
from provgraph.digests import sha256_bytes
from provgraph.errors import StorageError, UsageError
from provgraph.service.asking import open_reader
from provgraph.service.home import readable_ledger
from provgraph.service.importing import import_source
from provgraph.settings import load

P = vocab.P
RUN_NAMES = {"base", "failed", "fold 1", "mistake", "train"}


@pytest.fixture
def store(tmp_path):
    return made(tmp_path)


@pytest.fixture
def bring(home, store):
    def bring(**more):
        return import_source(load(os.environ), str(store), **more)

    return bring


def graphs():
    """Record IRI -> its statements, in the order of the ledger."""
    with readable_ledger(load(os.environ)) as ledger:
        return {
            record.iri: {(s, p, o) for s, p, o, _ in terms.parse_lines(record.graph_nq)}
            for record in ledger.records()
        }


def about(unit):
    """Statements of the latest record of the units whose key begins so."""
    found = None
    for statements in graphs().values():
        for _, p, o in statements:
            if p == P["sourceUnit"] and terms.literal_parts(o)[0].startswith(unit):
                found = statements
    assert found is not None, unit
    return found


def values(statements, predicate):
    return sorted(
        terms.literal_parts(o)[0] if o.startswith('"') else o[1:-1]
        for _, p, o in statements
        if p == predicate
    )


def run_id(store, name):
    return one(store, f"SELECT run_uuid FROM runs WHERE name = '{name}'")


def of_run(store, name):
    return about(f"mlflow/run/{run_id(store, name)}")


def ask(question, **given):
    with open_reader(load(os.environ)) as reader:
        answer = reader.ask(question, given)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


# ---- what is recorded ------------------------------------------------------------------------------
def test_each_unit_becomes_a_record_and_unfinished_runs_wait(bring):
    imported = bring()
    # 2 experiments, 5 runs, a deletion, 2 logged models, a registered model, 2 versions and 1 deleted.
    assert (imported.new, imported.superseding, imported.unchanged) == (14, 0, 0)
    counts = imported.report.as_json()["counts"]
    assert (counts["mapped"]["run"], counts["mapped"]["deletion"]) == (5, 2)
    assert (counts["waiting"], counts["refused"]) == ({"run": 1}, {})


def test_what_a_run_says_comes_over_as_it_is(bring, store):
    bring()
    run = of_run(store, "train")
    me = terms.iri(vocab.run_iri(f"mlflow-{run_id(store, 'train')}"))
    assert (me, P["status"], terms.string("completed")) in run
    assert (me, P["experiment"], terms.string("churn")) in run
    assert (me, P["entryScript"], terms.string("train.py")) in run
    assert terms.iri(f"{vocab.PARAM}depth") in {p for _, p, _ in run}
    assert values(run, terms.iri(f"{vocab.PARAM}depth")) == ["6"]
    assert values(run, terms.iri(f"{vocab.METRIC}accuracy")) == ["0.91"]
    assert values(run, terms.iri(f"{vocab.METRIC}unstable")) == ["NaN"]
    assert "ada" in values(run, vocab.LABEL)
    assert values(run, P["text"]) == ["first model with the new data"]


def test_a_series_is_attached_with_every_step(bring, store):
    bring()
    found = []
    with readable_ledger(load(os.environ)) as ledger:
        for _, p, o in of_run(store, "train"):
            if p == P["attachment"]:
                data = ledger.attachment(terms_digest(o))
                if data.startswith(b"provgraph-series-1\n"):
                    found = [(point.step, point.value) for point in decode(data)]
    assert found == [(step, 1 / (1 + step)) for step in range(5)]


def terms_digest(term):
    from provgraph.digests import Digest

    return Digest("sha256", term[1:-1].rsplit("/", 1)[-1])


def test_the_rows_of_a_run_are_kept_and_named_with_the_converter(bring, store):
    bring()
    run = of_run(store, "train")
    assert values(run, P["converter"]) == ["mlflow"]
    assert values(run, P["converterVersion"]) == ["1"]
    with readable_ledger(load(os.environ)) as ledger:
        (source,) = [
            o for s, p, o in run if p == vocab.PROV_T["wasDerivedFrom"] and "/record/" in s
        ]
        data = ledger.attachment(terms_digest(source))
    rows = json.loads(data)
    assert f"<{vocab.content_iri(sha256_bytes(data))}>" == source
    assert (rows["run_id"], rows["user"]) == (run_id(store, "train"), "ada")
    assert rows["metrics"]["accuracy"][2] == 0.91
    assert rows["inputs"][0]["schema"].startswith('{"mlflow_colspec"')


def test_a_secret_is_in_no_graph_and_no_attachment(bring, home):
    imported = bring()
    assert imported.redacted == 1
    with readable_ledger(load(os.environ)) as ledger:
        everything = [record.graph_nq for record in ledger.records()]
        for graph in list(everything):
            for _, p, o, _ in terms.parse_lines(graph):
                if p == P["attachment"]:
                    everything.append(ledger.attachment(terms_digest(o)))
    assert [data for data in everything if b"hunter2" in data] == []


def test_a_model_derives_from_what_it_was_trained_on_and_not_from_test_data(bring, store):
    bring()
    rows = ask("Q02", model="churn:2")
    assert {(row["label"], row["role"], row["strength"]) for row in rows} == {
        ('"train"', '"train"', '"weak"'),
        ('"held-out"', '"evaluation"', '"weak"'),
    }
    model = one(store, "SELECT model_id FROM logged_models WHERE name = 'churn-model'")
    derived = {
        o
        for s, p, o in of_run(store, "train")
        if p == vocab.PROV_T["wasDerivedFrom"] and s == f"<models:/{model}>"
    }
    base = one(store, "SELECT model_id FROM logged_models WHERE name = 'base-model'")
    labels = {o: name for s, p, name in of_run(store, "train") if p == vocab.LABEL for o in [s]}
    assert {labels.get(o, o) for o in derived} == {'"train"', f"<models:/{base}>"}


def test_the_registry_says_stage_alias_and_tags(bring):
    bring()
    first, second = about("mlflow/model-version/churn/1@"), about("mlflow/model-version/churn/2@")
    assert (values(first, P["stage"]), values(first, P["alias"])) == (["Production"], [])
    assert (values(second, P["stage"]), values(second, P["alias"])) == ([], ["champion"])
    assert values(second, terms.iri(f"{vocab.TAG}checked")) == ["yes"]
    assert "MLflow keeps neither when nor by whom it was set" in values(first, P["reason"])


def test_deletions_are_retractions(bring, store):
    bring()
    gone = vocab.run_iri(f"mlflow-{run_id(store, 'mistake')}")
    targets = {o for each in graphs().values() for _, p, o in each if p == P["retracts"]}
    with readable_ledger(load(os.environ)) as ledger:
        version = vocab.named_iri("model", ledger.namespace, "churn", "3")
    assert targets == {terms.iri(gone), terms.iri(version)}


def test_assessments_of_traces_bear_on_their_model(bring, store):
    bring()
    model = one(store, "SELECT model_id FROM logged_models WHERE name = 'churn-model'")
    entry = about(f"mlflow/logged-model/{model}")
    assert values(entry, P["metricName"]) == ["correct"]
    assert values(entry, P["value"]) == ["0.75"]
    assert values(entry, P["sampleSize"]) == ["4"]


# ---- again ----------------------------------------------------------------------------------------
def test_importing_twice_records_nothing_new(bring):
    first = bring()
    before = list(graphs())
    second = bring()
    assert (second.recorded, second.unchanged, second.record) == (0, first.new, None)
    assert list(graphs()) == before


def test_a_change_becomes_a_record_that_supersedes(bring, store):
    bring()
    earlier = [iri for iri, each in graphs().items() if each == of_run(store, "train")]
    edit(store, "UPDATE tags SET value = 'bob' WHERE key = 'mlflow.user' AND value = 'ada'")
    again = bring()
    assert (again.new, again.superseding, again.unchanged) == (0, 1, 13)
    assert values(of_run(store, "train"), P["supersedes"]) == earlier
    # And back: the ledger follows the source, it does not stop at a state that it has seen.
    edit(store, "UPDATE tags SET value = 'ada' WHERE key = 'mlflow.user' AND value = 'bob'")
    assert (bring().superseding, bring().recorded) == (1, 0)


def test_a_run_that_waited_is_imported_when_it_has_ended(bring, store):
    bring()
    edit(
        store,
        "UPDATE runs SET status = 'FINISHED', end_time = start_time + 5 WHERE status = 'RUNNING'",
    )
    assert (bring(goes_on=True).new, bring(goes_on=True).recorded) == (1, 0)


def test_what_is_new_is_found_from_the_cursor(bring, store):
    bring()
    edit(
        store,
        "INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, experiment_id)"
        " VALUES ('ffffffffffffffffffffffffffffffff', 'late', 'FINISHED', 1000, 2000, 'active', 1)",
    )
    imported = bring(goes_on=True)
    assert imported.new == 1
    assert "late" in values(about("mlflow/run/ffff"), vocab.LABEL)


def test_a_dry_run_writes_nothing(bring, home):
    imported = bring(is_dry=True)
    assert (imported.new, home.exists()) == (14, False)
    bring()
    size = len(graphs())
    assert (bring(is_dry=True).unchanged, len(graphs())) == (14, size)


# ---- contradictions -------------------------------------------------------------------------------
def test_a_store_that_agrees_with_itself_shows_no_disagreement(bring):
    assert (bring().disagreements, ask("Q32")) == (0, [])


def test_a_metric_edited_by_sql_is_shown_by_q32(bring, store):
    edit(store, "UPDATE metrics SET value = 0.99 WHERE key = 'accuracy'")
    edit(store, "UPDATE latest_metrics SET value = 0.99 WHERE key = 'accuracy'")
    assert bring().disagreements == 1
    (row,) = ask("Q32")
    assert row["rule"] == '"source-disagrees"'
    assert row["first"].startswith('"0.99 (the metrics of run')
    assert row["second"] == '"0.91 (the metrics of the logged model)"'


def test_a_metric_edited_after_an_import_is_shown_by_q32(bring, store):
    bring()
    edit(store, "UPDATE metrics SET value = 0.5 WHERE key = 'auc'")
    edit(store, "UPDATE latest_metrics SET value = 0.5 WHERE key = 'auc'")
    bring()
    (row,) = ask("Q32")
    assert (row["rule"], row["fact"]) == ('"source-changed"', '"auc"')
    assert {row["first"].split('"')[1], row["second"].split('"')[1]} == {"0.88", "0.5"}


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ("UPDATE latest_metrics SET value = 0.1 WHERE key = 'auc'", "auc"),
        ("DELETE FROM metrics WHERE key = 'auc'", "auc"),
        ("UPDATE params SET value = '7' WHERE key = 'depth' AND value = '6'", "depth"),
        (
            "UPDATE logged_models SET source_run_id = 'other' WHERE name = 'churn-model'",
            "run that made it",
        ),
    ],
)
def test_other_tables_that_disagree_are_found(bring, store, change, fact):
    edit(store, change)
    bring()
    assert {row["fact"] for row in ask("Q32")} == {f'"{fact}"'}


# ---- bad input ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "what", "reason"),
    [
        (
            "UPDATE runs SET start_time = NULL, end_time = NULL WHERE name = 'failed'",
            "run",
            "no time at all",
        ),
        ("UPDATE metrics SET value = 'high' WHERE key = 'auc'", "metric value", "expected a step"),
        (
            "UPDATE metrics SET timestamp = 9e18 WHERE key = 'auc'",
            "metric value",
            "expected a step",
        ),
    ],
)
def test_a_bad_unit_is_refused_with_its_place_and_the_rest_goes_on(
    bring, store, change, what, reason
):
    edit(store, change)
    imported = bring()
    lines = [line for line in imported.report.lines if line.outcome == "refused"]
    assert [(line.what, line.reason.startswith(reason)) for line in lines] == [(what, True)]
    assert imported.new >= 13


def test_text_that_is_no_utf8_is_kept_byte_for_byte(bring, store):
    edit(
        store,
        "UPDATE params SET value = CAST(X'ff6f6b' AS TEXT) WHERE key = 'depth' AND value = '6'",
    )
    bring()
    with readable_ledger(load(os.environ)) as ledger:
        (source,) = [
            o
            for s, p, o in of_run(store, "train")
            if p == vocab.PROV_T["wasDerivedFrom"] and "/record/" in s
        ]
        rows = json.loads(ledger.attachment(terms_digest(source)))
    assert rows["params"]["depth"].encode("utf-8", "surrogateescape") == b"\xffok"


def test_an_id_like_one_of_ours_makes_no_statement_about_ours(bring, store, home):
    import provgraph

    with provgraph.run("ours") as ours:
        pass
    edit(store, f"UPDATE runs SET run_uuid = '{ours.id}' WHERE name = 'failed'")
    edit(store, f"UPDATE model_versions SET source = '{vocab.run_iri(ours.id)}' WHERE version = 1")
    bring()
    mine = terms.iri(vocab.run_iri(ours.id))
    said = [iri for iri, each in graphs().items() for s, _, _ in each if s == mine]
    assert set(said) == {ours.receipt.record}


def test_a_schema_of_the_future_is_read_and_named(bring, store):
    edit(store, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    edit(store, "ALTER TABLE runs ADD COLUMN carbon FLOAT")
    imported = bring()
    assert imported.new == 14
    schema, left_out = imported.report.notes
    assert schema.startswith("the schema ffffffffffff is of a newer MLflow than 3.17.2")
    assert left_out == "rows that are not imported: 4 in spans"


def test_an_old_schema_without_logged_models_is_read(bring, store):
    for table in (
        "logged_model_metrics", "logged_model_params", "logged_model_tags", "logged_models",
        "registered_model_aliases", "latest_metrics", "inputs", "input_tags",
    ):  # fmt: skip
        edit(store, f"DROP TABLE {table}")
    imported = bring()
    assert imported.report.as_json()["counts"]["mapped"]["run"] == 5
    assert imported.report.total("refused") == 0


def test_a_store_that_a_writer_holds_for_a_moment_is_waited_for(bring, store):
    writer = sqlite3.connect(store, check_same_thread=False)
    writer.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(0.5, writer.rollback)
    timer.start()
    imported = bring()
    timer.join()
    assert imported.new == 14


def test_a_store_that_stays_locked_is_an_error_with_the_next_step(bring, store, monkeypatch):
    monkeypatch.setattr("provgraph.converters.mlflow.sqlite._TRIES", 1)
    monkeypatch.setattr("provgraph.converters.mlflow.sqlite._WAIT_S", 0.1)
    writer = sqlite3.connect(store)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises((StorageError, UsageError), match="locked by another process"):
        bring(converter="mlflow")
    writer.close()


def test_a_store_in_a_folder_that_nobody_may_write_is_read(bring, store):
    edit(store, "PRAGMA journal_mode = WAL")
    os.chmod(store.parent, 0o500)
    try:
        assert bring(is_dry=True).new == 14
    finally:
        os.chmod(store.parent, 0o700)


def test_the_import_changes_nothing_in_the_store(bring, store):
    before = sha256_bytes(store.read_bytes())
    bring()
    assert sha256_bytes(store.read_bytes()) == before
    assert sorted(
        path.name for path in store.parent.iterdir() if path.name.startswith("mlflow")
    ) == ["mlflow.db"]


def test_two_imports_at_once_are_one_and_a_message(bring, home):
    import fcntl

    bring()
    with (home / "imports" / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match=r"another import into .* is running"):
            bring()
