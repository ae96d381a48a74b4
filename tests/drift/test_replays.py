"""Replays: who did it, when to stop, what is outside of the record, and functions that misbehave."""

import json
import pickle
import sys
import time

import pytest
from ends import rows

import provgraph
from provgraph.cli.main import main
from provgraph.drift.replaying import Runs, replay_factors
from provgraph.errors import UsageError
from provgraph.service.home import close_ledger
from provgraph.service.replays import load_function


def pipeline(**costs):
    """Return a function of a mix in which each factor costs what is given."""

    def run(mix, _seed):
        return 0.9 - sum(cost for name, cost in costs.items() if mix[name] == "after")

    return run


def replayed(function, factors, *, budget=20, drop=0.2, state=None, sign=1.0):
    return replay_factors(
        Runs(function, budget=budget, state=state), factors, recorded_drop=drop, sign=sign
    )


def test_the_first_suspect_is_verified_in_five_runs():
    found = replayed(pipeline(code=0.2, data=0.0), ["code", "data"])
    assert found.verified == ("code",)
    assert found.shares["code"] == pytest.approx(1)
    assert found.runs == 5


def test_a_wrong_order_costs_one_run_for_each_wrong_suspect():
    found = replayed(pipeline(code=0.0, data=0.0, step=0.2), ["code", "data", "step"])
    assert (found.verified, found.runs) == (("step",), 7)


def test_two_causes_share_the_drop():
    found = replayed(pipeline(code=0.1, data=0.1, step=0.0), ["code", "data", "step"])
    assert found.verified == ("code", "data")
    assert found.shares["code"] == pytest.approx(0.5)


def test_causes_that_need_each_other_are_both_named():
    def both(mix, _seed):
        return 0.7 if mix["code"] == mix["data"] == "after" else 0.9

    found = replayed(both, ["code", "data"])
    assert found.shares == {"code": pytest.approx(0.5), "data": pytest.approx(0.5)}


def test_where_lower_is_better_the_sign_turns():
    def loss(mix, _seed):
        return 1.0 + (mix["code"] == "after")

    assert replayed(loss, ["code"], drop=1.0, sign=-1.0).verified == ("code",)


def test_a_drop_that_does_not_come_back_lies_outside_of_the_record():
    found = replayed(pipeline(code=0.02, data=0.0), ["code", "data"])
    assert (found.verified, found.shares, found.runs) == ((), {}, 3)
    assert found.reproduced == pytest.approx(0.1)


def test_a_function_that_is_not_deterministic_is_not_believed():
    values = iter([0.9, 0.7, 0.9])
    found = replayed(lambda _mix, _seed: next(values), ["code"])
    assert found.verified == ()
    assert (
        found.why == "equal runs differ as much as the two ends: the function is not deterministic"
    )


def test_a_spent_budget_says_so_and_names_nobody():
    found = replayed(pipeline(code=0.0, data=0.2), ["code", "data"], budget=4)
    assert (found.is_complete, found.verified) == (False, ())
    assert found.why == "the budget of 4 runs is spent; a larger one goes on from here"


def test_a_stopped_replay_goes_on_from_its_file(tmp_path):
    calls = []

    def counted(mix, seed):
        calls.append(mix)
        return pipeline(code=0.0, data=0.2)(mix, seed)

    state = tmp_path / "state.json"
    assert replayed(counted, ["code", "data"], budget=3, state=state).is_complete is False
    found = replayed(counted, ["code", "data"], state=state)
    assert found.verified == ("data",)
    assert len(calls) == found.runs == 5


def test_another_file_is_not_taken_for_a_state(tmp_path):
    state = tmp_path / "state.json"
    state.write_text("[]")
    with pytest.raises(UsageError, match="is no state of a replay"):
        replayed(pipeline(code=0.1), ["code"], state=state)


def test_a_function_that_raises_is_tried_again_and_then_given_up():
    def broken(_mix, _seed):
        raise RuntimeError("no GPU")

    with pytest.raises(UsageError, match="failed 3 times, last with RuntimeError: no GPU"):
        replayed(broken, ["code"])


def test_one_failure_costs_nothing_but_itself():
    fails = iter([True])

    def once(mix, seed):
        if next(fails, False):
            raise ConnectionError("away")
        return pipeline(code=0.2)(mix, seed)

    assert replayed(once, ["code"]).verified == ("code",)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_none_is_refused(value):
    with pytest.raises(UsageError, match="the replay function returned"):
        replayed(lambda _mix, _seed: value, ["code"])


@pytest.mark.parametrize(
    ("named", "said"),
    [("x", "expected --replay module:function"), ("no_such_module:f", "cannot load"),
     ("json:nothing", "cannot load"), ("json:__doc__", "expected a function")],
)  # fmt: skip
def test_what_is_no_function_is_refused(named, said):
    with pytest.raises(UsageError, match=said):
        load_function(named)


# ---- over a ledger ---------------------------------------------------------------------------------
REPLAY = """
import time
def run(mix, seed):
    assert set(mix) == {"train:hyperparameters", "train:preprocessing"}
    return 0.9 - 0.25 * (mix["train:hyperparameters"] == "after")
def hidden(mix, seed):
    return 0.9
def hangs(mix, seed):
    while True:
        time.sleep(0.01)
"""


@pytest.fixture
def changed(tmp_path, monkeypatch):
    close_ledger()
    monkeypatch.setenv("PROVGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "again.py").write_text(REPLAY)
    monkeypatch.delitem(sys.modules, "again", raising=False)
    frame = rows(1)
    for version, value in enumerate((0.9, 0.91, 0.9, 0.89, 0.9, 0.65), start=1):
        last = version == 6
        with provgraph.run("train", project="churn", owner="ada") as run:
            run.log_params(alpha=500.0 if last else 1.0, impute="mean" if last else "median")
            data = run.use(frame, role="test", name="test", label="label")
            (tmp_path / "model").write_bytes(pickle.dumps(version))
            model = run.generate(
                tmp_path / "model", role="model", name="churn", version=str(version)
            )
            run.evaluate(model, data, metric="accuracy", value=value, n=700)
    yield tmp_path
    close_ledger()


def ask(capsys, *words):
    code = main(["drift", "churn:6", "--json", *words])
    said = capsys.readouterr()
    return code, said, json.loads(said.out) if said.out else None


def test_a_replay_verifies_the_cause_and_its_runs_are_recorded(changed, capsys):
    code, said, verdict = ask(capsys, "--replay", "again:run", "--by", "grace")
    assert (code, verdict["outcome"]) == (0, "ORIGIN")
    first = verdict["candidates"][0]
    assert (first["category"], first["status"]) == ("hyperparameters", "verified")
    assert first["recovered"] == 1.0
    assert verdict["replays"] <= 8
    assert "replay 1/20, seed 0: as after are none: 0.9" in said.err
    main(["sparql", f"PREFIX pg: <https://w3id.org/provgraph/ns#> SELECT (COUNT(?r) AS ?n) WHERE {{ GRAPH <{verdict['record']}> {{ ?v pg:replay ?r }} }}", "--format", "csv"])  # fmt: skip
    assert capsys.readouterr().out.split() == ["n", str(verdict["replays"])]


def test_what_replays_cannot_bring_back_was_not_recorded(changed, capsys):
    _, _, verdict = ask(capsys, "--replay", "again:hidden", "--dry")
    assert verdict["outcome"] == "UNRECORDED_FACTOR"
    assert verdict["candidates"][0]["category"] == "unrecorded"


def test_a_function_that_hangs_is_stopped(changed, capsys):
    started = time.monotonic()
    code, said, _ = ask(capsys, "--replay", "again:hangs", "--timeout", "0.2", "--dry")
    assert code == 2
    assert "a replay took longer than 0.2 s" in said.err
    assert time.monotonic() - started < 60


def test_a_budget_of_one_is_refused(changed, capsys):
    code, said, _ = ask(capsys, "--replay", "again:run", "--budget", "1")
    assert (code, "--budget of at least 2" in said.err) == (2, True)
