"""Predictions: standard metrics against scikit-learn, outcomes, golden sets, windows in service."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pandas as pd
import polars as pl
import pytest
from readback import facts_of
from sklearn import metrics

import provgraph
from provgraph import vocab
from provgraph.capture.predictions import MAX_KEPT, compare, golden_bytes
from provgraph.digests import Digest
from provgraph.errors import CaptureError
from provgraph.profiles.codec import decode
from provgraph.service.home import writable_ledger
from provgraph.settings import load

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 2, 400)
SCORES = np.clip(TRUTH * 0.4 + RNG.random(400) * 0.6, 0, 1).round(2)


def attachment(iri: str) -> bytes:
    digest = Digest("sha256", iri.rsplit("/", 1)[-1])
    with writable_ledger(load(os.environ)) as ledger:
        return ledger.attachment(digest)


def test_metrics_of_classes_are_those_of_scikit_learn():
    truth = np.array(["cat", "dog", "emu", "dog"] * 50)
    said = np.where(RNG.random(200) < 0.7, truth, "cat")
    found = compare(truth, said)
    assert (found.kind, found.n) == ("classes", 200)
    assert found.metrics == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, said),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, said),
            "f1_macro": metrics.f1_score(truth, said, average="macro"),
        }
    )
    outcomes = json.loads(found.outcomes)
    assert outcomes["classes"] == ["cat", "dog", "emu"]
    assert outcomes["counts"] == metrics.confusion_matrix(truth, said).tolist()


def test_metrics_of_probabilities_are_those_of_scikit_learn():
    found = compare(TRUTH, SCORES)
    assert (found.kind, found.n) == ("probabilities", 400)
    assert found.metrics["roc_auc"] == pytest.approx(metrics.roc_auc_score(TRUTH, SCORES))
    assert found.metrics["log_loss"] == pytest.approx(metrics.log_loss(TRUTH, SCORES))
    assert found.metrics["brier"] == pytest.approx(metrics.brier_score_loss(TRUTH, SCORES))
    assert found.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(TRUTH, SCORES >= 0.5))


def test_metrics_of_numbers_are_those_of_scikit_learn():
    truth = RNG.normal(size=300)
    said = truth + RNG.normal(size=300)
    found = compare(truth, said)
    assert found.metrics["mae"] == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert found.metrics["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, said))
    assert found.metrics["r2"] == pytest.approx(metrics.r2_score(truth, said))


def test_true_and_1_are_one_class_in_whatever_library():
    expected = compare(TRUTH, TRUTH)
    assert expected.metrics["accuracy"] == 1.0
    for truth, said in (
        (TRUTH.astype(bool), TRUTH),
        (pd.Series(TRUTH), pl.Series(TRUTH)),
        (TRUTH.tolist(), TRUTH.astype(float)),
        (TRUTH.reshape(-1, 1), TRUTH),
    ):
        assert compare(truth, said) == expected


def test_rows_in_which_one_is_missing_do_not_count():
    found = compare([1.5, None, 2.5, 4.5], [1.5, 2.5, float("nan"), 4.0])
    assert (found.n, found.metrics["mae"]) == (2, 0.25)


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        ([1, 2], [1], "expected one length, found 2 and 1"),
        ([], [], "no row has both"),
        ([None], [None], "no row has both"),
        (["a", "b"], [0.25, 0.75], "cannot be compared"),
        (np.zeros((2, 2)), [1, 2], "expected one column"),
        (object(), [1], "expected one column, found shape"),
        ([1 + 2j], [1], "expected numbers or classes"),
    ],
)
def test_what_cannot_be_compared_is_said(truth, said, message):
    with pytest.raises(CaptureError, match=message):
        compare(truth, said)


@pytest.mark.usefixtures("home")
def test_an_evaluation_keeps_standard_metrics_outcomes_and_the_profile_of_predictions():
    with provgraph.run("evaluate") as run:
        run.evaluate(None, None, metric="roc_auc", y_true=TRUTH, y_pred=SCORES, role="test")
    facts = facts_of(run.receipt)
    (evaluation,) = facts.all("Evaluation")
    assert facts.one(evaluation, "dataRole") == "test"
    assert facts.one(evaluation, "sampleSize") == "400"
    expected = metrics.roc_auc_score(TRUTH, SCORES)
    assert float(facts.one(evaluation, "value")) == pytest.approx(expected)
    (standard,) = facts.of(evaluation, "standardMetrics")
    assert float(facts.one(standard, "metric:brier")) == pytest.approx(
        metrics.brier_score_loss(TRUTH, SCORES)
    )
    outcomes = json.loads(attachment(facts.one(evaluation, "outcomes")))
    assert outcomes["counts"] == metrics.confusion_matrix(TRUTH, SCORES >= 0.5).tolist()
    profile = decode(attachment(facts.one(evaluation, "columnProfile")))
    assert [column.name for column in profile.columns] == ["y_true", "y_pred"]
    assert profile.label.name == "y_true"


@pytest.mark.usefixtures("home")
def test_predictions_that_cannot_be_compared_cost_themselves_only(monkeypatch):
    monkeypatch.setenv("PROVGRAPH_STRICT", "off")
    with provgraph.run("evaluate") as run:
        run.evaluate(None, None, metric="auc", value=0.9, y_true=[1, 0], y_pred=[1])
        run.evaluate(None, None, metric="custom", y_true=[1, 0], y_pred=[1, 1])
    facts = facts_of(run.receipt)
    (evaluation,) = facts.all("Evaluation")
    assert facts.one(evaluation, "metricName") == "auc"
    missing = facts.missing()
    assert "expected one length" in missing["auc predictions"]
    assert "expected a value" in missing["evaluate"]


# ---- golden sets ---------------------------------------------------------------------------------
def test_a_golden_set_is_the_same_in_any_order_and_holds_no_ids():
    ids = [f"customer-{number}" for number in range(50)]
    said = [number / 7 for number in range(50)]
    data, count, kept = golden_bytes(ids, said)
    assert golden_bytes(ids[::-1], said[::-1])[0] == data
    assert (count, kept) == (50, 50)
    assert b"customer" not in data
    content = json.loads(data)
    first = hashlib.sha256(b"customer-3").hexdigest()[:16]
    assert content["predictions"][content["ids"].index(first)] == 0.428571


def test_a_big_golden_set_keeps_the_same_rows_each_time():
    ids = np.arange(3 * MAX_KEPT)
    one, count, kept = golden_bytes(ids, ids % 5)
    other, _, _ = golden_bytes(ids, ids % 3)
    assert (count, kept) == (3 * MAX_KEPT, MAX_KEPT)
    assert json.loads(one)["ids"] == json.loads(other)["ids"]
    assert len(one) < 1_000_000


@pytest.mark.parametrize(
    ("ids", "said", "message"),
    [
        ([1, 2], [1], "2 ids and 1 predictions"),
        ([1, 1], [1, 2], "each id once"),
        ([1], np.zeros((1, 30)), "at most 20 scores"),
    ],
)
def test_what_is_no_golden_set_is_said(ids, said, message):
    with pytest.raises(CaptureError, match=message):
        golden_bytes(ids, said)


@pytest.mark.usefixtures("home")
def test_a_run_records_what_its_model_says_of_a_golden_set(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"model")
    with provgraph.run("train") as run:
        model = run.generate(tmp_path / "model.bin", role="model", name="churn")
        run.golden("golden-2026", [1, 2, 3], [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]], model=model)
    facts = facts_of(run.receipt)
    (golden,) = facts.of(facts.run, "golden")
    assert facts.one(golden, "goldenSet") == "golden-2026"
    assert facts.one(golden, "sampleSize") == "3"
    assert facts.one(golden, "model") == vocab.content_iri(model.digest)
    content = json.loads(attachment(facts.one(golden, "attachment")))
    assert sorted(map(tuple, content["predictions"])) == [(0.25, 0.75), (0.5, 0.5), (1.0, 0.0)]


# ---- windows -------------------------------------------------------------------------------------
@pytest.mark.usefixtures("home")
def test_a_window_of_inputs_and_outputs_is_profiled(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"model")
    inputs = pd.DataFrame({"age": range(100)})
    receipt = provgraph.observe(
        tmp_path / "model.bin",
        inputs=inputs,
        outputs=np.linspace(0, 1, 100),
        window=("2026-06-01", "2026-06-08"),
    )
    facts = facts_of(receipt)
    (seen,) = facts.all("Observation")
    assert (facts.one(seen, "metricName"), facts.one(seen, "value")) == ("rows", "100")
    profile = decode(attachment(facts.one(facts.one(seen, "data"), "columnProfile")))
    assert (profile.rows, profile.columns[0].maximum) == (100, 99)
    profile = decode(attachment(facts.one(facts.one(seen, "outputs"), "columnProfile")))
    assert profile.columns[0].mean == 0.5


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "given",
    [{}, {"metric": "auc"}, {"value": 1}, {"inputs": [1], "data": [1], "metric": "n", "value": 1}],
    ids=["nothing", "no-value", "no-metric", "inputs-twice"],
)
def test_a_window_of_nothing_is_refused(given):
    with pytest.raises(CaptureError, match="observe: "):
        provgraph.observe("churn", **given)


@pytest.mark.usefixtures("home")
def test_a_window_that_the_ledger_cannot_take_keeps_its_profiles_in_the_spool(tmp_path):
    from provgraph.capture.profiled import profile_bytes
    from provgraph.capture.profiling.limits import Limits
    from provgraph.digests import sha256_bytes
    from provgraph.records import Entity, Observation
    from provgraph.service.recovery import recover, spool

    data = profile_bytes([1, 2, 3], limits=Limits())
    digest = sha256_bytes(data)
    observation = Observation(
        id="0192-a",
        model=Entity(kind="model", digest=Digest("sha256", "ab" * 32)),
        metric="rows",
        value=3.0,
        data=Entity(kind="dataset", uri="https://example.org/d", profile=digest),
        at=pd.Timestamp("2026-06-01", tz="UTC").to_pydatetime(),
    )
    settings = load(os.environ)
    spool(settings, observation, record_id=observation.id, attachments={digest: data})
    (sealed,) = recover(settings)
    assert sealed.receipt is not None
    assert attachment(vocab.profile_iri(digest)) == data
