"""Steps inside a run: nesting, their own inputs and outputs, rows, filters, and what derives from what."""

from __future__ import annotations

from pathlib import Path

import pytest
from readback import Facts, facts_of, runs

import provgraph
from provgraph import vocab
from provgraph.digests import digest_path
from provgraph.errors import CaptureError


@pytest.fixture
def files(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Five small files in the working folder: name to content IRI."""
    monkeypatch.chdir(tmp_path)
    found = {}
    for name in ("raw.csv", "prices.csv", "clean.csv", "test.csv", "model.bin"):
        (tmp_path / name).write_text(f"content of {name}\n", "utf-8")
        found[name] = vocab.content_iri(digest_path(tmp_path / name).digest)
    return found


def derivations(facts: Facts) -> set[tuple[str, str]]:
    wanted = f"{vocab.PROV}wasDerivedFrom"
    return {(s, o[1:-1]) for s, p, o in facts.statements if p == wanted}


def test_steps_nest_and_keep_their_own_facts(files):
    with provgraph.run("prepare", owner="ada") as run:
        run.log_params(seed=1)
        with run.step("clean", drop_na=True, strategy="median") as outer:
            outer.use("raw.csv", role="source")
            with outer.step("impute", column="age") as inner:
                inner.log_metrics(imputed=12)
                inner.note("median by region")
            outer.generate("clean.csv", role="table")
            outer.log_params(rows_seen=5)
        with run.step("split"):
            pass
    facts = facts_of(run.receipt)
    clean, impute, split = (facts.step(name) for name in ("clean", "impute", "split"))
    assert [clean, impute, split] == [f"{facts.run}#step-{number}" for number in (1, 2, 3)]
    assert [facts.one(each, "position") for each in (clean, impute, split)] == ["1", "2", "3"]
    assert [facts.of(each, "step") for each in (facts.run, clean, impute)] == [
        [clean, split],
        [impute],
        [],
    ]
    assert [facts.one(each, "partOfRun") for each in (clean, impute, split)] == [facts.run] * 3
    assert facts.parameters() == {"seed": "1"}
    assert facts.parameters(clean) == {
        "drop_na": "true",
        "strategy": "median",
        "rows_seen": "5",
    }
    assert facts.parameters(impute) == {"column": "age"}
    assert (facts.metrics(), facts.metrics(impute)) == ({}, {"imputed": "12"})
    assert facts.parts(impute, "note", "text") == [("median by region",)]
    assert files["raw.csv"] in facts.of(clean, "prov:used")
    assert files["raw.csv"] not in facts.of(facts.run, "prov:used")
    assert facts.of(files["clean.csv"], "prov:wasGeneratedBy") == [clean]
    assert facts.parts(clean, "prov:qualifiedUsage", "prov:entity", "prov:hadRole") == [
        (files["raw.csv"], f"{vocab.ROLE}source")
    ]
    for step in (clean, impute, split):
        assert facts.one(step, "status") is None  # completed, as the run is


@pytest.mark.usefixtures("home")
def test_rows_come_from_the_only_table_or_are_stated():
    first, second = [{"a": 1}, {"a": 2}, {"a": 3}], [{"a": 1}, {"a": 2}]
    with provgraph.run("prepare", owner="ada") as run:
        with run.step("by the tables") as step:
            step.use(first, name="first")
            step.generate(second, name="second")
        with run.step("stated") as step:
            step.use(first, name="first")
            step.rows(rows_in=1000)
            step.rows(rows_out=900)
        with run.step("two inputs") as step:
            step.use(first, name="first")
            step.use(second, name="second")
        with run.step("none"):
            pass
    facts = facts_of(run.receipt)
    assert {
        name: (facts.one(facts.step(name), "rowsIn"), facts.one(facts.step(name), "rowsOut"))
        for name in ("by the tables", "stated", "two inputs", "none")
    } == {
        "by the tables": ("3", "2"),
        "stated": ("1000", "900"),
        "two inputs": (None, None),
        "none": (None, None),
    }


@pytest.mark.usefixtures("home")
def test_filters_say_what_was_left_out_and_why():
    with provgraph.run("prepare", owner="ada") as run, run.step("clean") as step:
        step.filter("age < 18", reason="minors may not be scored", rows_removed=12)
        step.filter("duplicate id")
    facts = facts_of(run.receipt)
    assert facts.parts(facts.step("clean"), "filter", "condition", "reason", "rowsRemoved") == [
        ("age < 18", "minors may not be scored", "12"),
        ("duplicate id", None, None),
    ]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("count", [1.5, "many", [1], float("nan")])
def test_a_count_that_is_none_is_refused(count):
    with provgraph.run("prepare", owner="ada") as run, run.step("clean") as step:
        with pytest.raises(CaptureError, match="rows_in: expected a whole number"):
            step.rows(rows_in=count)
        with pytest.raises(CaptureError, match="rows_removed: expected a whole number"):
            step.filter("x", rows_removed=count)
    facts = facts_of(run.receipt)
    assert facts.one(facts.step("clean"), "rowsIn") is None
    assert facts.of(facts.step("clean"), "filter") == []


@pytest.mark.usefixtures("home")
def test_a_step_that_raises_is_failed_and_so_is_its_run():
    with pytest.raises(ZeroDivisionError) as caught, provgraph.run("prepare", owner="ada") as run:
        with run.step("first"):
            pass
        with run.step("divide"):
            1 / 0
    assert caught.value.args == ("division by zero",)
    facts = facts_of(run.receipt)
    place = "(in test_a_step_that_raises_is_failed_and_so_is_its_run, test_steps.py:"
    for failed in (facts.run, facts.step("divide")):
        assert facts.one(failed, "status") == "failed"
        reason = facts.one(failed, "reason")
        assert str(reason).startswith(f"ZeroDivisionError: division by zero {place}")
    assert facts.one(facts.step("first"), "reason") is None


@pytest.mark.usefixtures("home")
def test_a_step_that_raises_inside_can_be_recovered_from():
    with provgraph.run("prepare", owner="ada") as run:
        try:
            with run.step("fetch"):
                raise TimeoutError("no answer")
        except TimeoutError:
            with run.step("fetch again"):
                pass
    facts = facts_of(run.receipt)
    assert facts.one(facts.run, "status") == "completed"
    assert facts.one(facts.step("fetch"), "status") == "failed"
    assert facts.one(facts.step("fetch again"), "status") is None


@pytest.mark.usefixtures("home")
def test_one_step_object_entered_twice_is_two_steps():
    with provgraph.run("prepare", owner="ada") as run:
        step = run.step("batch")
        for size in (10, 20):
            with step:
                step.log_params(size=size)
    facts = facts_of(run.receipt)
    assert [facts.parameters(each) for each in facts.of(facts.run, "step")] == [
        {"size": "10"},
        {"size": "20"},
    ]


@pytest.mark.usefixtures("home")
def test_what_a_step_is_told_before_it_is_entered_belongs_to_what_is_around_it():
    with provgraph.run("prepare", owner="ada") as run:
        run.step("never entered").log_params(early=1)
    facts = facts_of(run.receipt)
    assert facts.parameters() == {"early": "1"}
    assert facts.all("Step") == []


@pytest.mark.usefixtures("home")
def test_a_step_can_have_a_parameter_called_name():
    with provgraph.run("prepare", owner="ada") as run:
        with run.step("load", name="customers"):
            pass
        with run.step(name="by keyword", depth=2):
            pass
        with run.step():
            pass
    facts = facts_of(run.receipt)
    assert facts.parameters(facts.step("load")) == {"name": "customers"}
    assert facts.parameters(facts.step("by keyword")) == {"depth": "2"}
    assert facts.parameters(facts.step("step")) == {}


# ---- derivations ----------------------------------------------------------------------------------------
def test_an_output_derives_from_all_inputs_but_those_that_measure(files):
    with provgraph.run("train", owner="ada") as run:
        run.use("raw.csv", role="train")
        run.use("prices.csv")
        for role in ("test", "holdout", "evaluation", "golden"):
            run.use("test.csv", role=role)
        run.generate("model.bin", role="model")
    assert derivations(facts_of(run.receipt)) == {
        (files["model.bin"], files["raw.csv"]),
        (files["model.bin"], files["prices.csv"]),
    }


def test_an_input_used_in_two_roles_is_derived_from_if_one_of_them_does_not_measure(files):
    with provgraph.run("train", owner="ada") as run:
        run.use("raw.csv", role="test")
        run.use("raw.csv", role="train")
        run.generate("model.bin", role="model")
    assert derivations(facts_of(run.receipt)) == {(files["model.bin"], files["raw.csv"])}


def test_derived_from_says_exactly_which(files):
    with provgraph.run("train", owner="ada") as run:
        raw = run.use("raw.csv")
        run.use("prices.csv", name="prices", version="7")
        run.generate("clean.csv", derived_from=[raw, "prices:7"])
        run.generate("test.csv", derived_from=raw)
        run.generate("model.bin", role="model", derived_from=())
    assert derivations(facts_of(run.receipt)) == {
        (files["clean.csv"], files["raw.csv"]),
        (files["clean.csv"], files["prices.csv"]),
        (files["test.csv"], files["raw.csv"]),
    }


def test_derived_from_may_name_what_was_no_input(files):
    with provgraph.run("train", owner="ada") as run:
        run.use("raw.csv")
        run.generate("model.bin", derived_from="prices.csv")
    facts = facts_of(run.receipt)
    assert derivations(facts) == {(files["model.bin"], files["prices.csv"])}
    assert files["prices.csv"] not in facts.of(facts.run, "prov:used")


def test_nothing_derives_from_itself(files):
    with provgraph.run("touch", owner="ada") as run:
        raw = run.use("raw.csv")
        run.use("prices.csv")
        run.generate("raw.csv")
        run.generate("prices.csv", derived_from=[raw, "prices.csv"])
    assert derivations(facts_of(run.receipt)) == {
        (files["raw.csv"], files["prices.csv"]),
        (files["prices.csv"], files["raw.csv"]),
    }


def test_a_step_derives_from_its_own_inputs_only(files):
    with provgraph.run("prepare", owner="ada") as run:
        run.use("prices.csv")
        with run.step("clean") as step:
            step.use("raw.csv")
            step.generate("clean.csv")
        with run.step("train") as step:
            step.use("clean.csv")
            step.use("test.csv", role="test")
            step.generate("model.bin", role="model")
    assert derivations(facts_of(run.receipt)) == {
        (files["clean.csv"], files["raw.csv"]),
        (files["model.bin"], files["clean.csv"]),
    }


def test_an_evaluation_derives_from_model_and_data(files):
    with provgraph.run("evaluate", owner="ada") as run:
        model = run.use("model.bin", role="model", name="churn")
        run.use("test.csv", role="test", name="held out")
        run.evaluate(
            "churn",
            "held out",
            metric="roc_auc",
            value=0.91,
            interval=(0.88, 0.94, 0.95),
            interval_method="bootstrap, 1000 resamples",
            n=1000,
            slice="age < 30",
            threshold=0.9,
            implementation=derivations,
            test="DeLong, p = 0.03",
        )
        run.evaluate(model, None, metric="log_loss", value=0.3, threshold=0.25, interval=(0.2, 0.4))
    facts = facts_of(run.receipt)
    first, second = facts.all("Evaluation")
    fields = (
        *("model", "data", "metricName", "value", "intervalLow", "intervalHigh", "intervalLevel"),
        *("intervalMethod", "sampleSize", "slice", "threshold", "thresholdMet"),
        *("implementation", "test"),
    )
    assert [facts.one(first, field) for field in fields] == [
        *(files["model.bin"], files["test.csv"], "roc_auc", "0.91", "0.88", "0.94", "0.95"),
        *("bootstrap, 1000 resamples", "1000", "age < 30", ">= 0.9", "true"),
        *("test_steps.derivations", "DeLong, p = 0.03"),
    ]
    assert [facts.one(second, field) for field in fields] == [
        *(files["model.bin"], None, "log_loss", "0.3", "0.2", "0.4", None),
        *(None, None, None, "<= 0.25", "false"),
        *(None, None),
    ]
    assert derivations(facts) == {
        (first, files["model.bin"]),
        (first, files["test.csv"]),
        (second, files["model.bin"]),
    }
    assert facts.of(first, "prov:wasGeneratedBy") == [facts.run]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"value": "good"}, "expected a number, found str 'good'"),
        ({"interval": (0.1,)}, r"auc interval: expected \(low, high\[, level\]\), found 1 values"),
        ({"interval": (0.1, "high")}, "auc interval: expected a number, found str 'high'"),
        ({"n": 10.5}, "auc n: expected a whole number, found float 10.5"),
        ({"threshold": "about 0.9"}, "auc threshold: expected a number or a comparison"),
    ],
)
def test_an_evaluation_that_makes_no_sense_is_refused(wrong, message):
    with provgraph.run("evaluate", owner="ada") as run:
        with pytest.raises(CaptureError, match=message):
            run.evaluate(None, None, **{"metric": "auc", "value": 0.9, **wrong})
    (facts,) = runs()
    assert facts.all("Evaluation") == []
